//! Target files of `aid-hil judge` for the card, the SM-DP+ and the LPA of a set-up (docs/judge-rsp.md), and for its
//! vehicle (docs/judge-vehicle.md).

use super::{Site, write};
use aid_cli::cli::Failure;

/// Writes card-target.toml, smdp-target.toml, lpa-target.toml and vehicle-target.toml.
pub(super) fn write_all(site: &Site) -> Result<(), Failure> {
    let ports = &site.ports;
    let card = format!(
        "# The card of this set-up, for `aid-hil judge card`. Start it: aid-hil part euicc-sim serve --config euicc.toml\n\
         name = \"euicc-sim\"\n\n\
         [card]\n\
         eid = \"{}\"\n\
         # Only where nobody's profile is on it.\n\
         memory_reset = true\n\n\
         [card.euicc]\n\
         port = \"socket:127.0.0.1:{}\"\n\n\
         [card.server]\n\
         pki = \"pki/rsp\"\n",
        site.eid, ports.euicc
    );
    let smdp = format!(
        "# The SM-DP+ of this set-up, for `aid-hil judge smdp`. Start it: aid-hil part aid-smdp serve --config smdp.toml\n\
         name = \"aid-smdp\"\n\n\
         [smdp]\n\
         address = \"localhost:{}\"\n\n\
         [smdp.euicc]\n\
         pki = \"pki/rsp\"\n\n\
         [smdp.es2]\n\
         address = \"localhost:{}\"\n\
         ca = \"pki/aid/ca.pem\"\n\
         cert = \"pki/aid/msp.pem\"\n\
         key = \"pki/aid/msp.key\"\n",
        ports.es9, ports.es2
    );
    let lpa = |words: &str| {
        format!(
            "[\"aid-hil\", \"part\", \"aid-lpa\", \"--json\", \"--private-smdp\", \"--ci\", \"{{ci}}\", \
             \"--euicc\", \"socket:{{card}}\", {words}]"
        )
    };
    let lpa = format!(
        "# The LPA of this project, for `aid-hil judge lpa`. The judge starts it.\n\
         name = \"aid-lpa\"\n\n\
         [lpa]\n\
         download = {}\n\
         download_with_code = {}\n\
         notifications = {}\n",
        lpa("\"profile\", \"download\", \"{code}\""),
        lpa(
            "\"profile\", \"download\", \"--confirmation-code\", \"{confirmation_code}\", \"{code}\""
        ),
        lpa("\"notification\", \"process\""),
    );
    let vehicle = format!(
        "# The first vehicle of this set-up, for `aid-hil judge vehicle`. The judge starts card and agent, and listens where\n\
         # their CMP and their SM-DP+ would.\n\
         name = \"aid-agent\"\n\
         version = \"{version}\"\n\n\
         [vehicle]\n\
         listen = \"127.0.0.1:{gateway}\"\n\
         cert = \"pki/aid/cmp-server.pem\"\n\
         key = \"pki/aid/cmp-server.key\"\n\
         client_ca = \"pki/aid/cars-ca.pem\"\n\
         eid = \"{eid}\"\n\
         # Loopback is quick: what has to come comes soon, and what may not come would have come by then.\n\
         patience = 20\n\
         quiet_ms = 300\n\n\
         [vehicle.smdp]\n\
         listen = \"127.0.0.1:{es9}\"\n\
         host = \"localhost\"\n\
         pki = \"pki/rsp\"\n\n\
         [vehicle.user]\n\
         api = \"agent.sock\"\n\n\
         [vehicle.power]\n\
         by = \"simulated\"\n\n\
         [vehicle.ignition]\n\
         by = \"simulated\"\n\n\
         [[vehicle.start]]\n\
         command = [\"aid-hil\", \"part\", \"euicc-sim\", \"serve\", \"--config\", \"euicc.toml\"]\n\
         stays = true\n\n\
         [[vehicle.start]]\n\
         command = [\"aid-hil\", \"part\", \"aid-agent\", \"run\", \"--config\", \"agent.toml\"]\n\
         stays = true\n",
        version = env!("CARGO_PKG_VERSION"),
        gateway = ports.gateway,
        eid = site.eid,
        es9 = ports.es9,
    );
    for (name, text) in [
        ("card-target.toml", card),
        ("smdp-target.toml", smdp),
        ("lpa-target.toml", lpa),
        ("vehicle-target.toml", vehicle),
    ] {
        write::file(&site.path(name), text.as_bytes())?;
    }
    Ok(())
}
