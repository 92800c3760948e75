//! The agent behind its local API: requests of the page, and the events that keep the state current.

use crate::state::{State, Status};
use axum::body::{Body, to_bytes};
use futures_util::StreamExt as _;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// Largest answer of the agent, and largest event, bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Longest silence of an agent that lives: it says something every 15 s.
const SILENCE: Duration = Duration::from_secs(40);
/// Pause before the agent is looked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// The agent can't be reached, or does not answer.
    #[error("the agent at {path} does not answer: {text}")]
    Away { path: String, text: String },
    /// The agent says no, in its words.
    #[error("{0}")]
    Refused(String),
}

/// The agent, and what it last said.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
    state: watch::Sender<Arc<State>>,
}

impl Agent {
    pub(crate) fn new(socket: PathBuf) -> Self {
        let (state, _) = watch::channel(Arc::default());
        Self { socket, state }
    }

    /// What the agent last said.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Yields at each change of the state.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// Posts a request; yields its answer.
    ///
    /// # Errors
    /// The agent is away, or refuses.
    pub(crate) async fn post(&self, path: &str, body: String) -> Result<Value, AgentError> {
        let answer = self.ask(Method::POST, path, Body::from(body)).await?;
        // The page that follows shows what came of it.
        self.refresh().await;
        Ok(answer)
    }

    async fn refresh(&self) {
        if let Ok(status) = self.ask(Method::GET, "/v1/status", Body::empty()).await {
            self.take_status(status);
        }
    }

    fn take_status(&self, status: Value) {
        match serde_json::from_value::<Status>(status) {
            Ok(status) => self.change(|state| state.status(status, Instant::now())),
            Err(error) => tracing::warn!(%error, "the agent's status can't be read"),
        }
    }

    fn change(&self, f: impl FnOnce(&mut State)) {
        self.state.send_modify(|state| f(Arc::make_mut(state)));
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Value, AgentError> {
        let answered = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let bytes = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
            let bytes = bytes.map_err(|e| self.away(e))?;
            let value: Value = serde_json::from_slice(&bytes).map_err(|e| self.away(e))?;
            if status.is_success() {
                return Ok(value);
            }
            let text = value["error"].as_str().unwrap_or("the agent refuses");
            Err(AgentError::Refused(text.to_owned()))
        };
        let late = |_| self.away("it is silent");
        tokio::time::timeout(ANSWER, answered).await.map_err(late)?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Response<hyper::body::Incoming>, AgentError> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|e| self.away(e))?;
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|e| self.away(e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the agent ended");
            }
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "agent")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| self.away(e))?;
        sender.send_request(request).await.map_err(|e| self.away(e))
    }

    fn away(&self, error: impl std::fmt::Display) -> AgentError {
        AgentError::Away {
            path: self.socket.display().to_string(),
            text: error.to_string(),
        }
    }

    /// Follows the agent's events for ever; while it is away the state says so.
    pub(crate) async fn follow(&self) {
        let mut said = false;
        loop {
            match self.listen().await {
                Ok(()) => said = false,
                Err(error) if !std::mem::replace(&mut said, true) => {
                    tracing::warn!(%error, "waiting for the agent");
                }
                Err(_) => {}
            }
            self.change(|state| *state = State::default());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows one stream of events to its end.
    async fn listen(&self) -> Result<(), AgentError> {
        let late = |_| self.away("it is silent");
        let response = self.send(Method::GET, "/v1/events", Body::empty());
        let response = tokio::time::timeout(ANSWER, response)
            .await
            .map_err(late)??;
        if !response.status().is_success() {
            let bytes = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
            let value: Value =
                serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
            let text = value["error"].as_str().unwrap_or("the agent refuses");
            return Err(AgentError::Refused(text.to_owned()));
        }
        let mut body = Body::new(response.into_body()).into_data_stream();
        let mut pending: Vec<u8> = Vec::new();
        while let Ok(Some(Ok(bytes))) = tokio::time::timeout(SILENCE, body.next()).await {
            pending.extend_from_slice(&bytes);
            while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data: ") {
                    self.take(data).await;
                }
            }
            if pending.len() > MAX_ANSWER {
                return Err(self.away("an event is too large"));
            }
        }
        Ok(())
    }

    /// Takes one event. What it means for the state, the agent says itself.
    async fn take(&self, data: &[u8]) {
        let Ok(mut event) = serde_json::from_slice::<Value>(data) else {
            return tracing::warn!("an event of the agent can't be read");
        };
        if event["event"] == "status" {
            return self.take_status(event["status"].take());
        }
        self.change(|state| state.event(&event));
        self.refresh().await;
    }
}
