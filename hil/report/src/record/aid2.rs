//! AID2: envelopes of car and CMP.

use super::fields::Fields;
use super::{MAX_BYTES, Recorder, Route};
use crate::mask::MASK;
use crate::node::Node;
use aid_wire::{CodeOutcome, Down, Envelope, LoginWay, Up};
use serde::Serialize;

impl Recorder {
    /// Records an AID2 message from a car, as the payload of its MQTT PUBLISH. Malformed bytes are recorded as such.
    pub fn aid2_up(&mut self, route: &Route<'_>, payload: &[u8]) {
        let envelope = Envelope::<Up>::decode(payload);
        if let Ok(envelope) = &envelope {
            match &envelope.body {
                Up::Login { pin, .. }
                | Up::NumberedLogin {
                    way: LoginWay::Pin { pin, .. },
                    ..
                } => self.learn(pin.expose()),
                _ => {}
            }
        }
        self.aid2(route, payload, envelope.map_err(|e| e.to_string()));
    }

    /// Records an AID2 message from the CMP, as [`Self::aid2_up`].
    pub fn aid2_down(&mut self, route: &Route<'_>, payload: &[u8]) {
        let envelope = Envelope::<Down>::decode(payload);
        if let Ok(envelope) = &envelope {
            match &envelope.body {
                Down::ActivationCode {
                    outcome: CodeOutcome::Code { code, .. },
                    ..
                } => self.learn(code.expose()),
                Down::LoginCode { code, .. } => self.learn(code),
                _ => {}
            }
        }
        self.aid2(route, payload, envelope.map_err(|e| e.to_string()));
    }

    fn aid2<B: Serialize>(
        &mut self,
        route: &Route<'_>,
        payload: &[u8],
        envelope: Result<Envelope<B>, String>,
    ) {
        let mut fields = Fields::new(&mut self.mask);
        let (title, correlation) = match envelope {
            Ok(envelope) => {
                let id = |id| uuid::Uuid::from_bytes(id).to_string();
                let correlation = id(envelope.correlation_id);
                fields.masked("message_id", &id(envelope.message_id));
                fields.masked("correlation_id", &correlation);
                fields.masked("sequence", &envelope.sequence.to_string());
                if let Some(expires_at) = envelope.expires_at {
                    fields.masked("expires_at", &expires_at.to_string());
                }
                let body = serde_json::to_vec(&envelope.body).unwrap_or_default();
                let title = match Node::parse(&body) {
                    // An enum with content: one member, named after its variant.
                    Some(Node::Members(members)) => members.first().map(|(name, content)| {
                        fields.node("", content);
                        name.clone()
                    }),
                    Some(Node::Text(name)) => Some(name),
                    _ => None,
                };
                (
                    title.unwrap_or_else(|| "message".to_owned()),
                    Some(correlation),
                )
            }
            Err(why) => {
                fields.text("malformed", &why);
                ("malformed".to_owned(), None)
            }
        };
        let fields = fields.finish();
        let hexadecimal = hex::encode_upper(&payload[..payload.len().min(MAX_BYTES / 2)]);
        let mut bytes = self.mask.text(&hexadecimal);
        // A secret that is too short to be found by its value.
        if fields.iter().any(|field| field.value == MASK) && bytes == hexadecimal {
            bytes = MASK.to_owned();
        }
        self.push(
            route,
            &title,
            fields,
            Some(bytes),
            payload.len(),
            correlation,
        );
    }
}
