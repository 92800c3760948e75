//! What is handed to who looks for a fault: the journal in readable form, the configuration, the dates of certificates, the
//! last events. Nothing of it opens anything: PINs are not kept, activation codes and the codes of logins are removed.

use crate::config::Config;
use crate::view::hex;
use aid_agent_core::{Durable, Record, read_records};
use aid_cli::validity;
use serde_json::{Value, json};

/// What stands in place of a secret.
const REMOVED: &str = "(removed)";
/// Shortest text that is looked for as a secret: a shorter one would be found in words.
const SHORTEST: usize = 4;

/// An event or a login without the code that lets somebody in.
pub(crate) fn without_codes(mut event: Value) -> Value {
    // A number is the code of a failure.
    if event["code"].is_string() {
        event["code"] = json!(REMOVED);
    }
    event
}

/// The secrets of the state: activation codes, whole and by their parts.
pub(crate) fn secrets(durable: &Durable) -> Vec<String> {
    let codes = durable.downloads().iter().map(|d| d.code.expose());
    let parts = codes.flat_map(|code| {
        let parts = code.split('$').skip(2).map(str::to_owned);
        std::iter::once(code.to_owned()).chain(parts)
    });
    parts.filter(|part| part.len() >= SHORTEST).collect()
}

/// The same without these texts, and without what looks like an activation code (SGP.22 §4.1: `1$SM-DP+$…`).
pub(crate) fn scrubbed(value: Value, secrets: &[String]) -> Value {
    match value {
        Value::String(text) => {
            let mut text = secrets
                .iter()
                .fold(text, |t, s| t.replace(s.as_str(), REMOVED));
            if let Some(at) = text.find("1$") {
                text.replace_range(at.., REMOVED);
            }
            Value::String(text)
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| scrubbed(item, secrets))
            .collect(),
        Value::Object(members) => {
            let clean = members
                .into_iter()
                .map(|(name, v)| (name, scrubbed(v, secrets)));
            Value::Object(clean.collect())
        }
        other => other,
    }
}

/// `GET /v1/journal`: the state behind the journal.
pub(crate) fn journal(durable: &Durable) -> Value {
    let owners = durable.owners();
    let owners = owners.map(|(iccid, a)| json!({"iccid": iccid.as_str(), "account": hex(&a.0)}));
    let reports = durable.outbox().iter().map(|r| {
        json!({"report_seq": r.seq.to_string(), "iccid": r.iccid.as_ref().map(|i| i.as_str()),
               "account": r.account.map(|a| hex(&a.0)), "status": format!("{:?}", r.status), "code": r.code})
    });
    let downloads = durable.downloads().iter().map(|d| {
        json!({"request_id": hex(&d.request_id), "account": hex(&d.account.0), "attempts": d.attempts,
               "smdp": d.code.expose().split('$').nth(1), "iccid": d.iccid.as_ref().map(|i| i.as_str())})
    });
    let requests = durable.requests().iter();
    let requests = requests.map(|(id, a)| json!({"request_id": hex(id), "account": hex(&a.0)}));
    let orders = durable.orders().iter().map(|o| {
        json!({"order_id": hex(&o.order_id), "kind": format!("{:?}", o.kind),
               "outcome": o.outcome.map(|outcome| format!("{outcome:?}"))})
    });
    let logouts = durable.logouts().iter();
    let logouts = logouts.map(|(id, a)| json!({"logout_id": hex(id), "account": hex(&a.0)}));
    let intent = durable.intent().map(|i| {
        json!({"operation": format!("{:?}", i.operation), "iccid": i.iccid.as_str(), "attempts": i.attempts})
    });
    let verifiers = durable.verifiers().iter().map(|v| {
        json!({"account": hex(&v.account.0), "verifier": hex(&v.id), "expires_at": v.expires_at,
               "attempts": v.attempts, "tries": v.tries})
    });
    json!({"verifiers": verifiers.collect::<Vec<_>>(), "clock": durable.clock(),
           "factory_reset": durable.reset().map(|r| format!("{r:?}")),
           "report_seq": durable.report_seq().to_string(), "owners": owners.collect::<Vec<_>>(), "intent": intent,
           "reports": reports.collect::<Vec<_>>(), "downloads": downloads.collect::<Vec<_>>(),
           "requests": requests.collect::<Vec<_>>(), "orders": orders.collect::<Vec<_>>(),
           "logouts": logouts.collect::<Vec<_>>(),
           "deletions": durable.wanted().iter().map(|i| i.as_str()).collect::<Vec<_>>()})
}

/// Records as people read them; one that this version can't read is named as such.
pub(crate) fn records(writes: &[Vec<u8>]) -> Value {
    let shown = |record: &Record| format!("{record:?}");
    let writes = writes.iter().map(|bytes| match read_records(bytes) {
        Ok(records) => records.iter().map(shown).collect::<Vec<_>>(),
        Err(error) => vec![format!("not readable by this version: {error}")],
    });
    writes.map(Value::from).collect()
}

/// The configuration: names of files and addresses; the files themselves stay where they are.
pub(crate) fn configuration(config: &Config) -> Value {
    let cmp = &config.cmp;
    json!({"journal": config.journal, "api": config.api, "api_uids": config.api_uids,
           "dbus": config.dbus.to_string(),
           "euicc": config.euicc.name(),
           "cmp": {"address": cmp.address, "ca": cmp.ca, "cert": cmp.cert, "key": cmp.key.to_string(), "renew": cmp.renew,
                   "bootstrap": cmp.bootstrap.as_ref().map(|b| json!({"cert": b.cert, "key": b.key.to_string()}))},
           "rsp": {"ci": config.rsp.ci, "private_smdp": config.rsp.private_smdp},
           "bearers": config.bearer.bearers().names(), "op_interface": config.op_interface,
           "session": {"grace_s": config.session.grace_s, "offline": config.session.offline,
                       "offline_secret": config.session.offline_secret}})
}

/// What is wrong with the files of certificates and their dates; empty where nothing is.
pub(crate) fn certificates(config: &Config) -> Value {
    match validity::check(&config.certificates(), validity::now()) {
        Ok(warnings) => json!({"state": "valid", "warnings": warnings}),
        Err(failure) => json!({"state": "unusable", "warnings": [failure.text]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_logins_go_and_codes_of_failures_stay() {
        let code = without_codes(json!({"event": "login_code", "code": "BCDF-GHJK"}));
        assert_eq!(code["code"], REMOVED);
        let failure = without_codes(json!({"event": "installation_failed", "code": 8}));
        assert_eq!(failure["code"], 8);
    }

    #[test]
    fn secrets_go_wherever_they_are() {
        let value = json!({"a": ["the code LPA:1$smdp.example$MATCH is bad", {"MATCH-1": "xMATCHy"}], "n": 1});
        let clean = scrubbed(value, &["MATCH".to_owned()]);
        assert_eq!(clean["a"][0], format!("the code LPA:{REMOVED}"));
        assert_eq!(clean["a"][1]["MATCH-1"], format!("x{REMOVED}y"));
        assert_eq!(clean["n"], 1);
    }
}
