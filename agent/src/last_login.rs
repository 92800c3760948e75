//! The login that was begun last, shown by `GET /v1/status` (AID4): a client that missed an event finds its result here.

use crate::view;
use aid_agent_core::{Id, Notice};
use serde_json::{Value, json};

/// The login that was begun last, and how it stands.
#[derive(Debug, Default)]
pub(crate) struct LastLogin(Option<(Id, Value)>);

impl LastLogin {
    /// A login begins.
    pub(crate) fn begin(&mut self, login_id: Id) {
        let value = json!({"login_id": view::hex(&login_id), "state": "pending"});
        self.0 = Some((login_id, value));
    }

    /// Takes what the core says of logins; one that is over already is left alone.
    pub(crate) fn note(&mut self, notice: &Notice) {
        let (id, state) = match notice {
            Notice::LoginCode { login_id, .. } => (login_id, "code"),
            Notice::LoginAccepted { login_id, .. } => (login_id, "accepted"),
            Notice::LoginRefused { login_id, .. } => (login_id, "refused"),
            _ => return,
        };
        if let Some((own, value)) = &mut self.0
            && own == id
        {
            *value = view::event(notice);
            if let Some(fields) = value.as_object_mut() {
                fields.remove("event");
                fields.insert("state".into(), state.into());
            }
        }
    }

    /// What is shown; null where nobody began a login since the start.
    pub(crate) fn shown(&self) -> Value {
        self.0
            .as_ref()
            .map_or(Value::Null, |(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_agent_core::LoginEnd;

    #[test]
    fn the_last_login_is_shown_and_no_other() {
        let mut last = LastLogin::default();
        assert_eq!(last.shown(), Value::Null);
        let refused = |id: u8| Notice::LoginRefused {
            login_id: [id; 16],
            cause: LoginEnd::Refused,
            reason: "no".into(),
        };
        last.begin([1; 16]);
        last.begin([2; 16]);
        last.note(&refused(1));
        let id = "02".repeat(16);
        assert_eq!(last.shown(), json!({"login_id": id, "state": "pending"}));
        last.note(&refused(2));
        let shown = json!({"login_id": id, "state": "refused", "cause": "refused", "reason": "no"});
        assert_eq!(last.shown(), shown);
    }
}
