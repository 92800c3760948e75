//! What the local API shows (AID4): JSON views of the core's state and notices, secrets absent.
//! Built by the daemon's loop.

use crate::health::{Clock, Trouble};
use crate::store::{Aside, Failure};
use aid_agent_core::{Agent, Awaited, BootMs, Iccid, Id, LoginEnd, Notice, Phase, UserProfile};
use serde_json::{Value, json};

/// An id as the API writes it.
pub(crate) fn hex(id: &Id) -> String {
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
        Phase::Resetting => "resetting",
        Phase::FactoryReset => "factory_reset",
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
        let owner = agent.durable().owner(&p.iccid).map(|a| hex(&a.0));
        json!({"iccid": p.iccid.as_str(), "state": state, "owner": owner})
    });
    Value::Array(list.collect())
}

/// Why the user has no profile yet and when the next try is due; null where nothing failed.
fn waiting(agent: &Agent, now: BootMs) -> Value {
    let Some(waiting) = agent.waiting() else {
        return Value::Null;
    };
    let awaited = match waiting.awaited {
        Awaited::Code => "activation_code",
        Awaited::Download => "download",
        Awaited::Enable => "enable",
    };
    let next = waiting.next.0.saturating_sub(now.0).div_ceil(1000);
    json!({"for": awaited, "failed_tries": waiting.tries, "next_try_in_s": next,
           "cause": waiting.cause})
}

/// Seconds until the session ends because the ignition is off; null where it does not.
fn logout_in(agent: &Agent, now: BootMs) -> Value {
    let end = agent.parked_until();
    end.map_or(Value::Null, |end| {
        json!(end.0.saturating_sub(now.0).div_ceil(1000))
    })
}

/// What is around the core: for `GET /v1/status`.
pub(crate) struct Surroundings<'a> {
    pub(crate) link_up: bool,
    pub(crate) bearer: String,
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
               "profile": s.profile.as_ref().map(user_profile), "asking": s.asking(),
               "offline": s.is_offline()})
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
        "pending_reports": agent.durable().outbox().len(),
        "waiting": waiting(agent, around.clock.now),
        "waits_for_call": agent.waits_for_call(),
        "logout_in_s": logout_in(agent, around.clock.now),
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
            offline,
        } => json!({"event": "login_accepted", "offline": offline,
            "login_id": hex(login_id), "account": hex(&account.0), "display_name": aup.display_name,
            "msp_name": aup.msp_name, "masked_number": aup.masked_number}),
        Notice::LoginRefused {
            login_id,
            cause,
            reason,
        } => {
            let cause = match cause {
                LoginEnd::Refused => "refused",
                LoginEnd::NoAnswer => "no_answer",
                LoginEnd::Replaced => "replaced",
                LoginEnd::JournalFailed => "journal_failed",
                LoginEnd::Offline => "offline",
                LoginEnd::Reset => "factory_reset",
            };
            json!({"event": "login_refused", "login_id": hex(login_id), "cause": cause, "reason": reason})
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
        // The count alone: with its epoch the number is too large for many a JSON parser.
        Notice::Reported(seq) => json!({"event": "reported", "report_seq": seq & 0xFFFF_FFFF}),
        Notice::NotificationsDelivered => json!({"event": "notification_delivered"}),
        Notice::FactoryReset => json!({"event": "factory_reset"}),
        Notice::Error { text } => json!({"event": "error", "text": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_agent_core::{
        AccountRef, Aup, CodeOutcome, Down, Effect, EuiccError, EuiccOp, Event, LoginOutcome,
        Secret, Up,
    };

    const ACCOUNT: AccountRef = AccountRef([7; 16]);

    /// What the CMP and a card without an SM-DP+ say to an effect.
    fn answer(effect: Effect) -> Option<Event> {
        let inbound = |body| {
            let message_id = [1; 16];
            Some(Event::Inbound { message_id, body })
        };
        match effect {
            Effect::Persist { ticket, .. } => Some(Event::Persisted { ticket }),
            Effect::Euicc { op, what } => Some(Event::EuiccDone {
                op,
                result: match what {
                    EuiccOp::Download { .. } => Err(EuiccError {
                        code: 503,
                        text: "smdp.example answered with HTTP status 503".into(),
                        permanent: false,
                        full: false,
                    }),
                    _ => Ok(()),
                },
                profiles: Some(Vec::new()),
            }),
            Effect::Send { message_id, body } => match body {
                Up::Hello { .. } => inbound(Down::Ack {
                    message_id: message_id?,
                }),
                Up::Login { login_id, .. } => {
                    let aup = Aup {
                        display_name: "Ada".into(),
                        msp_name: "M".into(),
                        masked_number: String::new(),
                    };
                    let outcome = LoginOutcome::Accepted {
                        account: ACCOUNT,
                        aup,
                        profiles: Vec::new(),
                    };
                    inbound(Down::LoginResult { login_id, outcome })
                }
                Up::RequestActivationCode {
                    request_id,
                    account,
                } => inbound(Down::ActivationCode {
                    request_id,
                    account,
                    outcome: CodeOutcome::Code {
                        code: Secret::new("1$smdp.example$M".into()),
                        iccid: None,
                    },
                }),
                _ => None,
            },
            Effect::HashPin { .. }
            | Effect::Erase { .. }
            | Effect::AckInbound { .. }
            | Effect::Notify(_) => None,
        }
    }

    fn shown(agent: &Agent, now: BootMs) -> Value {
        let around = Surroundings {
            link_up: true,
            bearer: "lo".to_owned(),
            link: None,
            card_seen: true,
            card: None,
            journal: None,
            aside: None,
            clock: Clock { now, unix: 0 },
        };
        status(agent, &around)
    }

    // R-3.2-6
    #[test]
    fn the_status_says_what_is_waited_for_and_why() {
        let mut agent = Agent::restore("test", None, &[]).expect("new");
        let now = BootMs(1000);
        assert_eq!(shown(&agent, now)["waiting"], Value::Null);
        let (user, pin) = ("ada".to_owned(), Secret::new("123456".into()));
        let login = Event::Login {
            login_id: [3; 16],
            user,
            pin,
        };
        for event in [Event::Boot, Event::LinkUp, login] {
            agent.handle(now, event);
            while let Some(effect) = agent.poll_effect() {
                if let Some(event) = answer(effect) {
                    agent.handle(now, event);
                }
            }
        }
        let status = shown(&agent, now);
        assert_eq!(status["phase"], "downloading");
        let cause = "smdp.example answered with HTTP status 503";
        let expected = json!({"for": "download", "failed_tries": 1, "next_try_in_s": 1,
                              "cause": cause});
        assert_eq!(status["waiting"], expected);
        let late = shown(&agent, BootMs(60_000));
        assert_eq!(late["waiting"]["next_try_in_s"], 0);
        // The matching id is a secret.
        assert!(!status.to_string().contains("smdp.example$"));
    }
}
