//! What the local API shows (AID4): JSON views of the core's state and notices, secrets absent.
//! Built by the daemon's loop.

use crate::health::{Clock, Trouble};
use crate::store::{Aside, Failure};
use aid_agent_core::{Agent, BootMs, Iccid, Id, Notice, Phase, UserProfile};
use serde_json::{Value, json};

fn hex(id: &Id) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Guest => "guest",
        Phase::LoggingIn => "logging_in",
        Phase::AwaitingCode => "awaiting_code",
        Phase::Downloading => "downloading",
        Phase::Switching => "switching",
        Phase::Active => "active",
        Phase::NoProfile => "no_profile",
        Phase::Stopped => "stopped",
    }
}

/// Whether the profile belongs to who is logged in.
pub(crate) fn is_own(agent: &Agent, iccid: &Iccid) -> bool {
    let session = agent.session().map(|s| s.account);
    session.is_some() && agent.durable().owner(iccid) == session
}

/// The AID User Profile.
fn user_profile(profile: &UserProfile) -> Value {
    let subscription = |s: &aid_agent_core::SubscriptionView| {
        json!({"msp_name": s.msp_name, "icon": s.icon, "label": s.label,
               "masked_number": s.masked_number, "suspended": s.suspended})
    };
    let subscriptions: Vec<Value> = profile.subscriptions.iter().map(subscription).collect();
    let preferences: serde_json::Map<String, Value> = profile
        .preferences
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({"display_name": profile.display_name, "subscriptions": subscriptions,
           "preferences": preferences})
}

/// `GET /v1/profiles`.
pub(crate) fn profiles(agent: &Agent) -> Value {
    let list = agent.profiles().unwrap_or_default().iter().map(|p| {
        let state = if p.enabled { "enabled" } else { "disabled" };
        let owner = agent.durable().owners.get(&p.iccid).map(|a| hex(&a.0));
        json!({"iccid": p.iccid.as_str(), "state": state, "owner": owner})
    });
    Value::Array(list.collect())
}

/// What is around the core: for `GET /v1/status`.
pub(crate) struct Surroundings<'a> {
    pub(crate) link_up: bool,
    pub(crate) bearer: &'a str,
    /// Why the link is down, or what the server refuses.
    pub(crate) link: Option<&'a Trouble>,
    /// The card answered at least once.
    pub(crate) card_seen: bool,
    /// Why the card does not answer.
    pub(crate) card: Option<&'a Trouble>,
    pub(crate) journal: Option<&'a Failure>,
    pub(crate) aside: Option<&'a Aside>,
    pub(crate) clock: Clock,
}

impl Surroundings<'_> {
    fn since(&self, since: BootMs, text: &str) -> Value {
        json!({"since": self.clock.unix_of(since), "error": text})
    }

    fn trouble(&self, trouble: Option<&Trouble>) -> Value {
        trouble.map_or(Value::Null, |t| self.since(t.since, &t.text))
    }

    /// `present`, `starting` or `missing`; what went wrong, and since when (Unix seconds).
    fn card(&self) -> Value {
        let Some(trouble) = self.card else {
            let state = if self.card_seen {
                "present"
            } else {
                "starting"
            };
            return json!({"state": state});
        };
        let mut card = self.since(trouble.since, &trouble.text);
        card["state"] = json!("missing");
        card
    }

    /// `ok` or `failed`, and what was damaged in this life.
    fn journal(&self) -> Value {
        let mut journal = match self.journal {
            Some(failure) => {
                let mut journal = self.since(failure.since, &failure.text);
                journal["state"] = json!("failed");
                journal
            }
            None => json!({"state": "ok"}),
        };
        if let Some(aside) = self.aside {
            journal["damaged_at"] = json!(self.clock.unix_of(aside.at));
            journal["damage"] = json!(aside.text);
            journal["damaged_files"] = json!(aside.place);
        }
        journal
    }
}

/// `GET /v1/status`.
pub(crate) fn status(agent: &Agent, around: &Surroundings<'_>) -> Value {
    let session = agent.session().map(|s| {
        json!({"account": hex(&s.account.0), "display_name": s.aup.display_name,
               "msp_name": s.aup.msp_name, "masked_number": s.aup.masked_number,
               "profile": s.profile.as_ref().map(user_profile), "asking": s.asking})
    });
    json!({
        "session": session,
        "phase": phase(agent.phase()),
        "link": if around.link_up { "up" } else { "down" },
        "link_problem": around.trouble(around.link),
        "bearer": around.bearer,
        "card": around.card(),
        "journal": around.journal(),
        "profiles": profiles(agent),
        "pending_reports": agent.durable().outbox.len(),
    })
}

/// `GET /v1/counters`, and `counters` of an event: as they were when what it tells of had ended.
pub(crate) fn counters(apdus: u64, rx: u64, tx: u64) -> Value {
    json!({"apdus": apdus, "admin_rx_bytes": rx, "admin_tx_bytes": tx})
}

/// One event of `GET /v1/events`.
pub(crate) fn event(notice: &Notice) -> Value {
    match notice {
        Notice::LinkUp => json!({"event": "link_up"}),
        Notice::LinkDown => json!({"event": "link_down"}),
        Notice::LoginAccepted {
            login_id,
            account,
            aup,
        } => json!({"event": "login_accepted",
            "login_id": hex(login_id), "account": hex(&account.0), "display_name": aup.display_name,
            "msp_name": aup.msp_name, "masked_number": aup.masked_number}),
        Notice::LoginRefused { login_id, reason } => {
            json!({"event": "login_refused", "login_id": hex(login_id), "reason": reason})
        }
        Notice::LoginCode {
            login_id,
            code,
            url,
            expires_in,
        } => json!({"event": "login_code", "login_id": hex(login_id), "code": code, "url": url,
            "expires_in": expires_in}),
        Notice::UserProfile(profile) => {
            json!({"event": "user_profile", "profile": user_profile(profile)})
        }
        Notice::AskProvision => json!({"event": "ask_provision"}),
        Notice::CardFull => json!({"event": "card_full"}),
        Notice::LoggedOut { account } => json!({"event": "logged_out", "account": hex(&account.0)}),
        Notice::CodeRequested => json!({"event": "activation_code_requested"}),
        Notice::CodePending => json!({"event": "activation_code_pending"}),
        Notice::CodeReceived => json!({"event": "activation_code"}),
        Notice::CodeRefused => json!({"event": "activation_code_refused"}),
        Notice::CodeFailed { code, reason } => {
            json!({"event": "activation_code_failed", "code": code, "reason": reason})
        }
        Notice::Installed(iccid) => json!({"event": "installed", "iccid": iccid.as_str()}),
        Notice::InstallationFailed { code, text } => {
            json!({"event": "installation_failed", "code": code, "text": text})
        }
        Notice::Enabled(iccid) => json!({"event": "enabled", "iccid": iccid.as_str()}),
        Notice::Disabled(iccid) => json!({"event": "disabled", "iccid": iccid.as_str()}),
        Notice::Deleted(iccid) => json!({"event": "deleted", "iccid": iccid.as_str()}),
        Notice::Reported(seq) => json!({"event": "reported", "report_seq": seq}),
        Notice::NotificationsDelivered => json!({"event": "notification_delivered"}),
        Notice::Error { text } => json!({"event": "error", "text": text}),
    }
}
