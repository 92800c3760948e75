//! Target files of `aid-hil judge` for this set-up: the judge takes the place of one party, and starts the others.

use super::configs::{CMP_ID, Doc, MSP_ID, Shared, local};
use super::{Driver, Site};
use toml::{Table, Value};

/// A table of a few texts on one line.
fn texts(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter();
    let table: Table = pairs
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect();
    Value::Table(table)
}

/// A step in a browser that follows a link of a page.
fn follow(doc: Doc, list: &str, open: &str, link: &str) -> Doc {
    doc.table(&format!("[[{list}]]"))
        .set("open", open)
        .set("link", link)
}

/// A step in a browser.
fn step(doc: Doc, list: &str, open: Option<&str>, form: &str, fill: &[(&str, &str)]) -> Doc {
    let mut doc = doc.table(&format!("[[{list}]]"));
    if let Some(open) = open {
        doc = doc.set("open", open);
    }
    doc = doc.set("form", form).set("optional", form == "/login");
    if fill.is_empty() {
        doc
    } else {
        doc.set("fill", texts(fill))
    }
}

/// A command of ours.
fn part(words: &[&str]) -> Vec<String> {
    let own = ["aid-hil", "part"];
    own.iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect()
}

fn laboratory(doc: Doc) -> Doc {
    ["name", "operator", "device", "versions", "remarks"]
        .iter()
        .fold(doc.table("[laboratory]"), |doc, key| doc.set(key, ""))
}

/// A party that the judge plays.
fn judge(doc: Doc, kind: &str, ids: (&str, &str), cert: &str, key: &str) -> Doc {
    doc.table(&format!("[{kind}.judge]"))
        .set("client_id", ids.0)
        .set("target_id", ids.1)
        .set("cert", format!("pki/aid/{cert}.pem"))
        .set("key", format!("pki/aid/{cert}.key"))
        .set("api_key", key)
}

/// The judge's server.
fn server(doc: Doc, kind: &str, (port, cert): (u16, &str), key: &str, client: &str) -> Doc {
    doc.table(&format!("[{kind}.server]"))
        .set("listen", local(port))
        .set("cert", format!("pki/aid/{cert}.pem"))
        .set("key", format!("pki/aid/{cert}.key"))
        .set("client_ca", "pki/aid/partners-ca.pem")
        .set("api_key", key)
        .set("common_name", client)
}

/// A program that the judge starts.
fn start(doc: Doc, kind: &str, program: &str, config: &str, port: u16) -> Doc {
    doc.table(&format!("[[{kind}.start]]"))
        .set("command", part(&[program, "serve", "--config", config]))
        .set("serves", local(port))
}

/// Where the judge calls a party, and whose certificate calls the judge: the party's, or the hub's in between.
fn other(site: &Site, hub: bool, port: u16, name: &'static str) -> (String, &'static str) {
    let (port, name) = if hub {
        (site.ports.hub, "hub")
    } else {
        (port, name)
    };
    (format!("https://localhost:{port}"), name)
}

/// The hub in between, where there is one. `aid-hil init` has made both parties known to it.
fn start_hub(doc: Doc, kind: &str, site: &Site, hub: bool) -> Doc {
    if hub {
        start(doc, kind, "aid-hub", "hub.toml", site.ports.hub)
    } else {
        doc
    }
}

/// `cmp-target.toml`: the CMP of this set-up, judged by its MSP, its driver and its car.
pub(super) fn cmp(site: &Site, shared: &Shared, hub: bool) -> String {
    let (url, caller) = other(site, hub, site.ports.cmp_aid1, "cmp");
    let (ports, driver): (_, &Driver) = (&site.ports, &site.driver);
    let portal = format!("https://localhost:{}", ports.portal);
    let touchpoint = format!("https://localhost:{}", ports.touchpoint);
    let doc = Doc::default()
        .head("The CMP of this set-up, for `aid-hil judge cmp` (docs/judge.md). The judge listens where its MSP would.")
        .set("name", "aid-cmp")
        .set("version", env!("CARGO_PKG_VERSION"));
    let doc = laboratory(doc)
        .table("[cmp]")
        .set("url", url)
        .set("ca", "pki/aid/ca.pem")
        .set("account_id_secret", shared.account_id_secret.as_str())
        .set("phone_key", shared.phone_key.as_str())
        .set(
            "statuses",
            [
                "installed",
                "enabled",
                "disabled",
                "deleted",
                "installation_failed",
            ]
            .map(str::to_owned)
            .to_vec(),
        )
        .set("msp_touchpoint", format!("{touchpoint}/authorize"))
        .set("msp_return", format!("{touchpoint}/return"));
    let doc = judge(doc, "cmp", (MSP_ID, CMP_ID), "msp", &shared.msp_to_cmp);
    let place = (ports.msp_aid1, "msp-server");
    let doc = server(doc, "cmp", place, &shared.cmp_to_msp, caller)
        .table("[cmp.vehicle]")
        .set("gateway", format!("localhost:{}", ports.gateway))
        .set("ca", "pki/aid/ca.pem")
        .set("cert", "pki/aid/car.pem")
        .set("key", "pki/aid/car.key")
        .set("eid", site.eid.as_str())
        .set("user", driver.name)
        .set("pin", driver.pin.as_str())
        .table("[cmp.hooks]")
        .set(
            "synchronise",
            part(&["aid-cmp", "sync", "run", "--all", "--config", "cmp.toml"]),
        )
        .table("[cmp.portal]")
        .set("ca", "pki/aid/ca.pem")
        .set("touchpoint", format!("{portal}/touchpoint"));
    let login = [
        ("name", driver.name),
        ("password", driver.password.as_str()),
    ];
    let at = |path: &str| format!("{portal}{path}");
    let doc = step(
        doc,
        "cmp.portal.login",
        Some(&at("/login")),
        "/login",
        &login,
    );
    let begin = at("/link?msp=AID%20Test%20MSP");
    let doc = step(doc, "cmp.portal.begin", Some(&begin), "/link", &[]);
    let mut doc = doc;
    for (list, decision) in [
        ("cmp.portal.arrive", "allow"),
        ("cmp.portal.decline", "deny"),
    ] {
        doc = step(doc, list, None, "/login", &login);
        doc = step(doc, list, None, "/touchpoint", &[("decision", decision)]);
    }
    let page = at("/subscriptions");
    let doc = follow(doc, "cmp.portal.withdraw", &page, "/unlink?");
    let doc = step(doc, "cmp.portal.withdraw", None, "/unlink", &[]);
    let add = [
        "user",
        "add",
        driver.name,
        "--password-stdin",
        "--pin-stdin",
    ];
    let user = [&["aid-cmp"], &add[..], &["--config", "cmp.toml"]].concat();
    let car = [
        "aid-cmp",
        "vehicle",
        "add",
        site.eid.as_str(),
        "--config",
        "cmp.toml",
    ];
    let doc = doc
        .table("[[cmp.start]]")
        .set("command", part(&user))
        .set("input", format!("{}\n{}\n", driver.password, driver.pin))
        .set("unless", "state/cmp.sqlite")
        .table("[[cmp.start]]")
        .set("command", part(&car))
        .set("unless", "state/cmp.sqlite");
    let doc = start_hub(doc, "cmp", site, hub);
    start(doc, "cmp", "aid-cmp", "cmp.toml", ports.cmp_aid1).0
}

/// `msp-target.toml`: the MSP of this set-up, judged by its CMP and its customer.
pub(super) fn msp(site: &Site, shared: &Shared, async_ac: bool, hub: bool) -> String {
    let (url, caller) = other(site, hub, site.ports.msp_aid1, "msp");
    let (ports, driver): (_, &Driver) = (&site.ports, &site.driver);
    let portal = format!("https://localhost:{}", ports.portal);
    let touchpoint = format!("https://localhost:{}", ports.touchpoint);
    let doc = Doc::default()
        .head("The MSP of this set-up, for `aid-hil judge msp` (docs/judge.md). The judge listens where its CMP would.")
        .set("name", "aid-msp")
        .set("version", env!("CARGO_PKG_VERSION"));
    let doc = laboratory(doc)
        .table("[msp]")
        .set("url", url)
        .set("ca", "pki/aid/ca.pem")
        .set("account_id_secret", shared.account_id_secret.as_str())
        .set("phone_key", shared.phone_key.as_str())
        .set("mode", if async_ac { "async" } else { "sync" })
        .set("codes", 24)
        .set("cmp_return", format!("{portal}/linked"));
    let doc = judge(doc, "msp", (CMP_ID, MSP_ID), "cmp", &shared.cmp_to_msp);
    let place = (ports.cmp_aid1, "cmp-server");
    let user = driver.msp_user;
    let doc = server(doc, "msp", place, &shared.msp_to_cmp, caller)
        .table("[msp.hooks]")
        .set(
            "update",
            part(&["aid-msp", "update", "--user", user, "--config", "msp.toml"]),
        )
        .set(
            "suspend",
            part(&[
                "aid-msp", "profile", "suspend", "{iccid}", "--config", "msp.toml",
            ]),
        )
        .set(
            "withdraw",
            part(&[
                "aid-msp", "withdraw", "--user", user, "--config", "msp.toml",
            ]),
        )
        .table("[msp.portal]")
        .set("ca", "pki/aid/ca.pem")
        .set("touchpoint", format!("{touchpoint}/authorize"));
    let login = [("user", user), ("password", driver.msp_password.as_str())];
    let mut doc = doc;
    for (list, decision) in [
        ("msp.portal.arrive", "allow"),
        ("msp.portal.decline", "deny"),
    ] {
        doc = step(doc, list, None, "/login", &login);
        doc = step(doc, list, None, "/consent", &[("decision", decision)]);
    }
    let doc = start_hub(doc, "msp", site, hub);
    let doc = start(doc, "msp", "aid-smdp", "smdp.toml", ports.es2);
    start(doc, "msp", "aid-msp", "msp.toml", ports.msp_aid1).0
}
