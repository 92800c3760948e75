//! What came of one command of an LPA under test.

use super::command::Ended;
use super::events::{Es10, Event, Http};
use crate::rsp::findings::Checked;
use crate::test::Finding;

/// What came of a command.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) ended: Ended,
    pub(super) events: Vec<Event>,
}

impl Run {
    /// Calls of a function of ES9+.
    pub(super) fn http(&self, function: &str) -> Vec<&Http> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Http(http) if http.function == function => Some(http),
            _ => None,
        });
        found.collect()
    }

    /// The first call of a function, which must be there.
    pub(super) fn called(&self, function: &str) -> Checked<&Http> {
        let first = self.http(function).into_iter().next();
        first.ok_or_else(|| {
            Finding::broken(
                format!("ES9+.{function}"),
                format!(
                    "no such call; the LPA did {} and {}",
                    self.did(),
                    self.end()
                ),
            )
        })
    }

    /// Requests of ES10 that begin with this tag.
    pub(super) fn es10(&self, tag: u32) -> Vec<&Es10> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Es10(es10) if crate::rsp::names::tag(&es10.request) == Some(tag) => Some(es10),
            _ => None,
        });
        found.collect()
    }

    /// The first request of a function of ES10, which must be there.
    pub(super) fn asked(&self, tag: u32) -> Checked<&Es10> {
        let name = crate::rsp::names::function(tag).unwrap_or("ES10");
        let first = self.es10(tag).into_iter().next();
        first.ok_or_else(|| {
            Finding::broken(
                name,
                format!(
                    "no such request; the LPA did {} and {}",
                    self.did(),
                    self.end()
                ),
            )
        })
    }

    /// All that was seen, in its order.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Position of the first event of this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| event.name() == name)
    }

    /// Names of what was done, each once in a row.
    pub(super) fn did(&self) -> String {
        let mut names: Vec<String> = self.events.iter().map(Event::name).collect();
        names.dedup();
        match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        }
    }

    /// How the command ended, in words.
    pub(super) fn end(&self) -> String {
        let how = match (self.ended.timed_out, self.ended.code) {
            (true, _) => "was ended after its time".to_owned(),
            (false, Some(code)) => format!("ended with exit code {code}"),
            (false, None) => "was ended by a signal".to_owned(),
        };
        let said: String = self.ended.output.chars().rev().take(300).collect();
        format!("{how}: {}", said.chars().rev().collect::<String>())
    }
}
