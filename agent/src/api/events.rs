//! `GET /v1/events`: server-sent events. The first one is the present state, so that a listener needs no other call;
//! each carries its number and the time.

use super::{Api, Command};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use tokio::sync::broadcast;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its number in this life of the agent, from 1.
    pub(crate) seq: u64,
    /// The JSON of it.
    pub(crate) text: String,
}

/// What one listener has been told.
pub(crate) struct Listener {
    api: Api,
    events: broadcast::Receiver<Told>,
    /// The number up to which it knows everything; `None` when it needs the state.
    known: Option<u64>,
}

pub(super) async fn events(
    State(api): State<Api>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(Listener::new(api), |mut listener| async {
        let told = listener.next().await?;
        let event = Event::default().id(told.seq.to_string()).data(told.text);
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Listener {
    /// Hears everything from now on, the present state first.
    pub(crate) fn new(api: Api) -> Self {
        Self {
            events: api.events.subscribe(),
            api,
            known: None,
        }
    }

    /// The next event; `None` when the agent stops.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            let Some(known) = self.known else {
                return self.state().await;
            };
            match self.events.recv().await {
                // What the state said already.
                Ok(told) if told.seq <= known => {}
                Ok(told) => {
                    self.known = Some(told.seq);
                    return Some(told);
                }
                // Too slow to hear everything: it begins with the state again.
                Err(broadcast::error::RecvError::Lagged(_)) => self.known = None,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The present state as an event.
    async fn state(&mut self) -> Option<Told> {
        let status = self.api.ask(Command::Status).await?;
        let seq = status["seq"].as_u64()?;
        self.known = Some(seq);
        let time: &Value = &status["time"];
        let text = json!({"event": "status", "seq": seq, "time": time, "status": status});
        let text = text.to_string();
        Some(Told { seq, text })
    }
}
