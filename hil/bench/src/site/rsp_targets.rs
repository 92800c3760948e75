//! Target files of `aid-hil judge` for the card, the SM-DP+ and the LPA of a set-up (docs/judge-rsp.md).

use super::{Site, write};
use aid_cli::cli::Failure;

/// Writes card-target.toml, smdp-target.toml and lpa-target.toml.
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
    for (name, text) in [
        ("card-target.toml", card),
        ("smdp-target.toml", smdp),
        ("lpa-target.toml", lpa),
    ] {
        write::file(&site.path(name), text.as_bytes())?;
    }
    Ok(())
}
