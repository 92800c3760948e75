//! The configuration files of a set-up, one per part, all paths relative to the directory.

use super::{Car, Options, Site, random, targets, write};
use aid_cli::cli::Failure;
use std::fmt::Write as _;

/// What the CMP and the MSP share and nobody else may know.
pub(super) struct Shared {
    pub(super) account_id_secret: String,
    pub(super) phone_key: String,
    pub(super) cmp_to_msp: String,
    pub(super) msp_to_cmp: String,
}

mod hub;

/// Where a party calls the other, and the common name of the certificate that calls it: the other's, or the hub's.
fn peer(options: Options<'_>, port: u16, name: &'static str) -> (String, &'static str) {
    let name = if options.hub { "hub" } else { name };
    (format!("https://localhost:{port}"), name)
}

/// What each calls itself on AID1.
pub(super) const CMP_ID: &str = "cmpAid";
pub(super) const MSP_ID: &str = "mspExample";

/// Writes euicc.toml, smdp.toml, msp.toml, cmp.toml and agent.toml, and the target files of the judge.
pub(super) fn write_all(site: &Site, options: Options<'_>) -> Result<(), Failure> {
    let shared = Shared {
        account_id_secret: random::alphanumeric(48)?,
        phone_key: random::hex32()?,
        cmp_to_msp: random::alphanumeric(40)?,
        msp_to_cmp: random::alphanumeric(40)?,
    };
    for (name, text) in [
        ("smdp.toml", smdp(site)),
        ("msp.toml", msp(site, &shared, options)?),
        ("cmp.toml", cmp(site, &shared, options)?),
        ("cmp-target.toml", targets::cmp(site, &shared, options.hub)),
        (
            "msp-target.toml",
            targets::msp(site, &shared, options.async_ac, options.hub),
        ),
    ] {
        write::file(&site.path(name), text.as_bytes())?;
    }
    if options.hub {
        hub::write(site, &shared)?;
    }
    for (car, gateway) in site.cars.iter().zip(&site.dial.gateway) {
        let suffix = &car.suffix;
        let (card, tcu) = (euicc(car, options.more.memory), agent(car, *gateway));
        write::file(&site.path(&format!("euicc{suffix}.toml")), card.as_bytes())?;
        write::file(&site.path(&format!("agent{suffix}.toml")), tcu.as_bytes())?;
    }
    Ok(())
}

/// A TOML document written line by line; values are quoted by the `toml` crate.
#[derive(Default)]
pub(super) struct Doc(pub(super) String);

impl Doc {
    pub(super) fn head(mut self, comment: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# {comment}");
        self
    }

    pub(super) fn table(mut self, name: &str) -> Self {
        let _ = writeln!(self.0, "\n{name}");
        self
    }

    pub(super) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let _ = writeln!(self.0, "{key} = {}", value.into());
        self
    }
}

pub(super) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub(super) fn euicc(car: &Car, memory: Option<u32>) -> String {
    let Car { suffix, eid, port } = car;
    let doc = Doc::default()
        .head("The software eUICC of this set-up.")
        .set("nvm", format!("state/euicc{suffix}.nvm"))
        .set("listen", local(*port))
        .set("eid", eid.as_str())
        .table("[certificates]")
        .set("eum", "pki/rsp/EUM/CERT_EUM_ECDSA_NIST.der")
        .set(
            "euicc",
            format!("pki/rsp/eUICC/CERT_EUICC_ECDSA_NIST{suffix}.der"),
        )
        .set(
            "key",
            format!("pki/rsp/eUICC/SK_EUICC_ECDSA_NIST{suffix}.pem"),
        )
        .set(
            "ci",
            vec!["pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der"],
        );
    match memory {
        Some(bytes) => doc.table("[card]").set("memory", i64::from(bytes)).0,
        None => doc.0,
    }
}

fn smdp(site: &Site) -> String {
    Doc::default()
        .head("The SM-DP+ of this set-up.")
        .set("database", "state/smdp.sqlite")
        .set("inventory", "inventory")
        .set("address", format!("localhost:{}", site.dial.es9))
        .set(
            "ci",
            vec!["pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der"],
        )
        .table("[es9]")
        .set("listen", local(site.ports.es9))
        .set("cert", "pki/rsp/DPtls/CERT_S_SM_DP_TLS_NIST.pem")
        .set("key", "pki/rsp/DPtls/SK_S_SM_DP_TLS_NIST.pem")
        .table("[es2]")
        .set("listen", local(site.ports.es2))
        .set("cert", "pki/aid/smdp-server.pem")
        .set("key", "pki/aid/smdp-server.key")
        .set("client_ca", "pki/aid/partners-ca.pem")
        .table("[[operator]]")
        .set("name", "AID Test MSP")
        .set("common_name", "msp")
        .table("[dpauth]")
        .set("cert", "pki/rsp/DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der")
        .set("key", "pki/rsp/DPauth/SK_S_SM_DPauth_ECDSA_NIST.pem")
        .table("[dppb]")
        .set("cert", "pki/rsp/DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der")
        .set("key", "pki/rsp/DPpb/SK_S_SM_DPpb_ECDSA_NIST.pem")
        .0
}

fn msp(site: &Site, shared: &Shared, options: Options<'_>) -> Result<String, Failure> {
    let ports = &site.ports;
    let mode = if options.async_ac { "async" } else { "sync" };
    let (url, common_name) = peer(options, site.dial.cmp_aid1, "cmp");
    let mut doc = Doc::default()
        .head("The Mobile Service Provider of this set-up.")
        .set("database", "state/msp.sqlite")
        .table("[aid1]")
        .set("listen", local(ports.msp_aid1))
        .set("cert", "pki/aid/msp-server.pem")
        .set("key", "pki/aid/msp-server.key")
        .set("client_ca", "pki/aid/partners-ca.pem")
        .set("own_id", MSP_ID)
        .table("[touchpoint]")
        // As the CMP calls it: an MSP has one name.
        .set("name", "AID Test MSP")
        .set("listen", local(ports.touchpoint))
        .set("cert", "pki/aid/msp-server.pem")
        .set("key", "pki/aid/msp-server.key")
        .set(
            "base_url",
            format!("https://localhost:{}", ports.touchpoint),
        )
        .table("[smdp]")
        .set("url", format!("https://localhost:{}", site.dial.es2))
        .set("ca", "pki/aid/ca.pem")
        .set("cert", "pki/aid/msp.pem")
        .set("key", "pki/aid/msp.key")
        .table("[[cmp]]")
        .set("name", "AID Test CMP")
        .set("client_id", CMP_ID)
        .set("own_client_id", MSP_ID)
        .set("hub", options.hub)
        .set("url", url)
        .set("ca", "pki/aid/ca.pem")
        .set("cert", "pki/aid/msp.pem")
        .set("key", "pki/aid/msp.key")
        .set("api_key_out", shared.msp_to_cmp.as_str())
        .set("api_key_in", shared.cmp_to_msp.as_str())
        .set("common_name", common_name)
        .set("account_id_secret", shared.account_id_secret.as_str())
        .set("phone_key", shared.phone_key.as_str())
        .set(
            "redirect_uris",
            vec![format!("https://localhost:{}/linked", ports.portal)],
        )
        .set(
            "touchpoint",
            format!("https://localhost:{}/touchpoint", ports.portal),
        )
        .set("mode", mode);
    for (n, driver) in site.drivers.iter().enumerate() {
        doc.0.push_str(&subscriber(
            driver.msp_user,
            &driver.msp_password,
            &msisdn(n + 1),
            options.more.pool,
        )?);
    }
    Ok(doc.0)
}

/// The phone number of the `n`th subscriber, from 1.
pub(super) fn msisdn(n: usize) -> String {
    format!("4917{n:08}")
}

/// A `[[subscriber]]` table of the MSP.
pub(super) fn subscriber(
    user: &str,
    password: &str,
    msisdn: &str,
    pool: Option<u32>,
) -> Result<String, Failure> {
    let password = aid_msp::hash_password(password).ok_or_else(|| {
        Failure::new("the driver's password at the MSP could not be hashed; try again")
    })?;
    let doc = Doc::default()
        .table("[[subscriber]]")
        .set("user", user)
        .set("password", password)
        .set("msisdn", msisdn);
    Ok(match pool {
        Some(pool) => doc.set("max_profiles", i64::from(pool)).0,
        None => doc.0,
    })
}

fn cmp(site: &Site, shared: &Shared, options: Options<'_>) -> Result<String, Failure> {
    let ports = &site.ports;
    let broker = options.more.broker;
    let (url, common_name) = peer(options, site.dial.msp_aid1, "msp");
    let portal = format!("https://localhost:{}", ports.portal);
    let touchpoint = format!("https://localhost:{}", ports.touchpoint);
    // At somebody else's broker the CMP is a client as the cars are.
    let (place, address, own) = if broker {
        let address = format!("mqtts://localhost:{}", ports.gateway);
        ("broker", address, "cmp-broker")
    } else {
        ("listen", local(ports.gateway), "cmp-server")
    };
    Ok(Doc::default()
        .head("The Car Mobility Provider of this set-up.")
        .set("database", "state/cmp.sqlite")
        .set("account_pin_key", random::hex32()?)
        .table("[aid1]")
        .set("listen", local(ports.cmp_aid1))
        .set("cert", "pki/aid/cmp-server.pem")
        .set("key", "pki/aid/cmp-server.key")
        .set("client_ca", "pki/aid/partners-ca.pem")
        .table("[portal]")
        .set("listen", local(ports.portal))
        .set("cert", "pki/aid/cmp-server.pem")
        .set("key", "pki/aid/cmp-server.key")
        .set("base_url", portal.as_str())
        .table("[gateway]")
        .set(place, address)
        .set("cert", format!("pki/aid/{own}.pem"))
        .set("key", format!("pki/aid/{own}.key"))
        .set("client_ca", "pki/aid/cars-ca.pem")
        .set("ca", "pki/aid/ca.pem")
        .table("[policy]")
        .set("private_smdp", true)
        .table("[[msp]]")
        .set("name", "AID Test MSP")
        .set("client_id", MSP_ID)
        .set("own_client_id", CMP_ID)
        .set("hub", options.hub)
        .set("url", url)
        .set(
            "touchpoint",
            format!("https://localhost:{}/authorize", ports.touchpoint),
        )
        .set("ca", "pki/aid/ca.pem")
        .set("cert", "pki/aid/cmp.pem")
        .set("key", "pki/aid/cmp.key")
        .set("api_key_out", shared.cmp_to_msp.as_str())
        .set("api_key_in", shared.msp_to_cmp.as_str())
        .set("common_name", common_name)
        .set("account_id_secret", shared.account_id_secret.as_str())
        .set("phone_key", shared.phone_key.as_str())
        .set("redirect_uri", format!("{portal}/linked"))
        .set("return_uris", vec![format!("{touchpoint}/return")])
        // Everything, so that a bench sees it.
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
        .set("every_use", true)
        .0)
}

fn agent(car: &Car, gateway: u16) -> String {
    let suffix = &car.suffix;
    Doc::default()
        .head("The TCU agent of this set-up.")
        .set("journal", format!("state/journal{suffix}"))
        .set("api", format!("agent{suffix}.sock"))
        .table("[euicc]")
        .set("socket", local(car.port))
        .table("[cmp]")
        .set("address", format!("localhost:{gateway}"))
        .set("ca", "pki/aid/ca.pem")
        .set("cert", format!("pki/aid/car{suffix}.pem"))
        .set("key", format!("pki/aid/car{suffix}.key"))
        .table("[rsp]")
        .set(
            "ci",
            vec!["pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der"],
        )
        .set("private_smdp", true)
        .table("[bearer]")
        .0
}

/// The agent of another car: what `first` says, with the card, journal, socket and certificate of `car`.
pub(super) fn another_agent(first: &toml::Table, car: &Car) -> Result<String, Failure> {
    let Car { suffix, port, .. } = car;
    let mut all = first.clone();
    let mut set = |table: Option<&str>, key: &str, value: String| -> Result<(), Failure> {
        let place = match table {
            None => Some(&mut all),
            Some(name) => all.get_mut(name).and_then(toml::Value::as_table_mut),
        };
        let place = place.ok_or_else(|| {
            Failure::new(format!(
                "agent.toml has no table [{}]; is it that of a set-up of aid-hil init?",
                table.unwrap_or_default()
            ))
        })?;
        place.insert(key.to_owned(), toml::Value::String(value));
        Ok(())
    };
    set(None, "journal", format!("state/journal{suffix}"))?;
    set(None, "api", format!("agent{suffix}.sock"))?;
    set(Some("cmp"), "cert", format!("pki/aid/car{suffix}.pem"))?;
    set(Some("cmp"), "key", format!("pki/aid/car{suffix}.key"))?;
    let card = toml::Table::from_iter([("socket".to_owned(), local(*port).into())]);
    all.insert("euicc".to_owned(), card.into());
    let text = toml::to_string(&all)
        .map_err(|e| Failure::new(format!("agent.toml can't be written for another car: {e}")))?;
    Ok(format!(
        "# The TCU agent of another car of this set-up.\n{text}"
    ))
}
