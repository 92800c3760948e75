//! aid-hub between the CMP and the MSP: its configuration, and the descriptions of both for `aid-hub party add`.

use super::{CMP_ID, Doc, MSP_ID, Shared, Site, local, write};
use aid_cli::cli::Failure;

/// Writes hub.toml, hub-msp.toml and hub-cmp.toml.
pub(super) fn write(site: &Site, shared: &Shared) -> Result<(), Failure> {
    let ports = &site.ports;
    let hub = Doc::default()
        .head("The aggregation layer of this set-up.")
        .set("database", "state/hub.sqlite")
        .table("[aid1]")
        .set("listen", local(ports.hub))
        .set("cert", "pki/aid/hub-server.pem")
        .set("key", "pki/aid/hub-server.key")
        .set("client_ca", "pki/aid/partners-ca.pem")
        .table("[client]")
        .set("cert", "pki/aid/hub.pem")
        .set("key", "pki/aid/hub.key")
        .set("ca", "pki/aid/ca.pem");
    // Each party calls the hub with the key that it would call the other with, and is called with the other's.
    let party = |role: &str, id: &str, port: u16, key_in: &str, key_out: &str, page: String| {
        Doc::default()
            .head("A party of the hub: `aid-hub party add --file` reads this.")
            .set("id", id)
            .set("role", role)
            .set("name", format!("AID Test {}", role.to_uppercase()))
            .set("url", format!("https://localhost:{port}"))
            .set("common_name", role)
            .set("api_key_in", key_in)
            .set("api_key_out", key_out)
            .set("touchpoint", page)
    };
    let (msp_key, cmp_key) = (&shared.msp_to_cmp, &shared.cmp_to_msp);
    let page = format!("https://localhost:{}/authorize", ports.touchpoint);
    let msp = party("msp", MSP_ID, ports.msp_aid1, msp_key, cmp_key, page)
        .set("redirect_domains", vec!["localhost"]);
    let page = format!("https://127.0.0.1:{}/touchpoint", ports.portal);
    let cmp = party("cmp", CMP_ID, ports.cmp_aid1, cmp_key, msp_key, page)
        // On one machine all have one name; the domains of two parties must differ.
        .set("redirect_domains", vec!["127.0.0.1"])
        .set("pairs", "all");
    for (name, Doc(text)) in [
        ("hub.toml", hub),
        ("hub-msp.toml", msp),
        ("hub-cmp.toml", cmp),
    ] {
        write::file(&site.path(name), text.as_bytes())?;
    }
    Ok(())
}
