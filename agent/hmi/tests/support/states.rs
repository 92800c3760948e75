//! The states of an agent, and what the page says in each.

use super::{guest, members, with};
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "07070707070707070707070707070707";

pub(crate) fn session(changes: Value) -> Value {
    let session = json!({"account": ACCOUNT, "display_name": "Eva", "msp_name": "Mobile One",
                         "masked_number": "***67", "profile": null, "asking": false});
    let mut status = with(json!({"session": session}));
    for (name, value) in members(changes) {
        match name.as_str() {
            "asking" => status["session"]["asking"] = value,
            "offline" => status["session"]["offline"] = value,
            _ => status[name] = value,
        }
    }
    status
}

pub(crate) fn profile(state: &str) -> Value {
    json!([{"iccid": "8900000000000000001", "state": state, "owner": ACCOUNT}])
}

pub(crate) fn login(state: &str, cause: &str) -> Value {
    json!({"login_id": "01", "state": state, "cause": cause, "reason": "name or PIN is wrong",
           "code": "BCDF-GHJK", "url": "https://cmp.example/car", "expires_in": 600})
}

/// A state of the agent: its name, status, and what the page says in English and in German.
pub(crate) fn states() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let waiting = json!({"for": "download", "failed_tries": 3, "next_try_in_s": 240,
                         "cause": "smdp.example answered with HTTP status 503"});
    vec![
        (
            "guest",
            guest(),
            "Nobody is logged in",
            "Niemand ist angemeldet",
        ),
        (
            "guest-no-link",
            with(json!({"link": "down"})),
            "Logging in may have to wait",
            "muss vielleicht warten",
        ),
        (
            "guest-moving",
            with(json!({"vehicle": {"moving": true}})),
            "Stop the car to type",
            "bitte anhalten",
        ),
        (
            "guest-call",
            with(json!({"waits_for_call": true})),
            "A call is on",
            "Ein Anruf läuft",
        ),
        (
            "starting",
            with(json!({"phase": "starting", "card": {"state": "starting"}})),
            "reads its SIM",
            "liest seine SIM",
        ),
        (
            "card-missing",
            with(json!({"card": {"state": "missing", "error": "no card in the reader"}})),
            "no card in the reader",
            "no card in the reader",
        ),
        (
            "refused",
            with(json!({"login": login("refused", "refused")})),
            "name or PIN is wrong. Check name and PIN",
            "Prüfen Sie Name und PIN",
        ),
        (
            "no-answer",
            with(json!({"login": login("refused", "no_answer")})),
            "the service did not answer",
            "Der Dienst hat nicht geantwortet",
        ),
        (
            "journal-failed",
            with(json!({"login": login("refused", "journal_failed")})),
            "save anything",
            "nichts speichern",
        ),
        (
            "stopped",
            with(
                json!({"phase": "stopped", "journal": {"state": "failed", "error": "the disk is full"}}),
            ),
            "the disk is full",
            "Anmelden ist nicht möglich",
        ),
        (
            "checking",
            with(json!({"phase": "logging_in", "login": login("pending", "")})),
            "asks your service provider",
            "fragt Ihren Dienst",
        ),
        (
            "code",
            with(json!({"phase": "logging_in", "login": login("code", "")})),
            "BCDF-GHJK",
            "Scannen Sie das Bild",
        ),
        (
            "code-over",
            with(
                json!({"phase": "logging_in", "login": {"login_id": "9", "state": "code", "code": "X", "expires_in": 0}}),
            ),
            "no longer valid",
            "gilt nicht mehr",
        ),
        (
            "awaiting-code",
            session(json!({"phase": "awaiting_code"})),
            "Your operator prepares",
            "Anbieter bereitet",
        ),
        (
            "downloading",
            session(json!({"phase": "downloading"})),
            "being downloaded",
            "wird geladen",
        ),
        (
            "waiting",
            session(json!({"phase": "downloading", "waiting": waiting})),
            "HTTP status 503. The car tries again in 4 minutes",
            "Nächster Versuch in: 4 Minuten",
        ),
        (
            "switching",
            session(json!({"phase": "switching", "profiles": profile("disabled")})),
            "being switched",
            "wird umgeschaltet",
        ),
        (
            "switching-call",
            session(json!({"phase": "switching", "waits_for_call": true})),
            "A call is on",
            "Ein Anruf läuft",
        ),
        (
            "active",
            session(json!({"phase": "active", "profiles": profile("enabled")})),
            "***67 with Mobile One is active",
            "***67 bei Mobile One ist in diesem Auto aktiv",
        ),
        (
            "active-no-link",
            session(json!({"phase": "active", "link": "down", "profiles": profile("enabled")})),
            "your profile still works",
            "Ihr Profil funktioniert weiter",
        ),
        (
            "active-parked",
            session(json!({"phase": "active", "logout_in_s": 95, "profiles": profile("enabled")})),
            "logs you out in 95 seconds",
            "meldet Sie ab in: 95 Sekunden",
        ),
        (
            "active-offline",
            session(json!({"phase": "active", "offline": true, "profiles": profile("enabled")})),
            "has checked your PIN itself",
            "PIN selbst geprüft",
        ),
        (
            "no-profile",
            session(json!({"phase": "no_profile"})),
            "you have no profile here",
            "haben hier aber kein Profil",
        ),
        (
            "asking",
            session(json!({"phase": "no_profile", "asking": true})),
            "Yes, get a profile",
            "Ja, Profil holen",
        ),
    ]
}
