//! The calls that are being made.

use super::LaneOf;
use aid_cmp_core::model::Call;
use tokio::task::{Id, JoinSet};

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) lane: LaneOf,
    pub(super) call: Call,
    pub(super) end: End,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its result is stored; whether the MSP is there.
    Stored(bool),
    /// Its result was not stored.
    NotStored,
    /// It panicked.
    Panicked,
}

/// The calls that are being made.
#[derive(Debug, Default)]
pub(super) struct Running {
    tasks: JoinSet<End>,
    /// Which call each task makes: one that panics does not say. There are few.
    calls: Vec<(Id, LaneOf, Call)>,
}

impl Running {
    /// Begins a call.
    pub(super) fn begin(
        &mut self,
        lane: LaneOf,
        call: Call,
        made: impl Future<Output = End> + Send + 'static,
    ) {
        let task = self.tasks.spawn(made);
        self.calls.push((task.id(), lane, call));
    }

    /// Waits for the next one that ends; none where none runs.
    pub(super) async fn next(&mut self) -> Option<Made> {
        loop {
            let (task, end) = match self.tasks.join_next_with_id().await? {
                Ok((task, end)) => (task, end),
                Err(error) => (error.id(), End::Panicked),
            };
            let found = self.calls.iter().position(|(id, ..)| *id == task);
            if let Some(at) = found {
                let (_, lane, call) = self.calls.swap_remove(at);
                return Some(Made { lane, call, end });
            }
        }
    }

    /// Gives up all of them.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_cmp_core::model::{CallKind, CallState};
    use aid_id::MspToken;
    use std::future::{pending, ready};

    fn call(n: u8) -> Call {
        Call {
            id: [n; 16],
            msp: "one".into(),
            lane: String::new(),
            kind: CallKind::Status,
            token: MspToken::from_bytes([n; 16]),
            correlation: [n; 16],
            body: String::new(),
            attempts: 0,
            next_at: 0,
            state: CallState::Due,
            last_error: None,
            created_at: 0,
            closed_at: None,
        }
    }

    // What runs goes on: nobody is called twice because another call has failed.
    #[tokio::test]
    async fn a_call_that_panics_ends_no_other() {
        let mut running = Running::default();
        let lane = |n: u8| (format!("msp {}", n % 3), CallKind::Status);
        for n in 0..20 {
            match n % 4 {
                0 => running.begin(lane(n), call(n), async { panic!("an intended panic") }),
                1 => running.begin(lane(n), call(n), ready(End::Stored(true))),
                2 => running.begin(lane(n), call(n), ready(End::NotStored)),
                _ => running.begin(lane(n), call(n), pending()),
            }
        }
        let mut ended = Vec::new();
        for _ in 0..15 {
            let made = running.next().await.expect("it has ended");
            let n = made.call.id[0];
            let expected = [End::Panicked, End::Stored(true), End::NotStored];
            assert_eq!(Some(&made.end), expected.get(usize::from(n % 4)));
            assert_eq!(made.lane, lane(n));
            ended.push(n);
        }
        ended.sort_unstable();
        let done: Vec<u8> = (0..20).filter(|n| n % 4 != 3).collect();
        assert_eq!(ended, done);
        let left: Vec<u8> = running.calls.iter().map(|(.., c)| c.id[0] % 4).collect();
        assert_eq!(left, [3; 5]);
        running.shutdown().await;
        assert!(running.next().await.is_none());
    }
}
