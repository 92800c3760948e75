//! What the judge waits for, and what a test does to the link meanwhile.

use super::rig::Rig;
use super::shared::{Out, Seen, Then, name};
use crate::rsp::findings::Checked;
use crate::test::Finding;
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{Envelope, OrderKind, OrderOutcome, ProfileState, Status, Up};

impl Rig {
    /// Waits for a message of the vehicle.
    pub(super) fn expect<T>(
        &self,
        mark: usize,
        what: &str,
        mut wanted: impl FnMut(&Up) -> Option<T>,
    ) -> Checked<T> {
        let found = self.shared.wait(mark, self.patience(), |seen| match seen {
            Seen::Up(envelope) => wanted(&envelope.body),
            _ => None,
        });
        found.ok_or_else(|| {
            let seen = self.heard(mark);
            let state = self.shared.state();
            match state.is_linked() || state.refusing {
                true => Finding::broken(what, format!("it did not come; seen: {seen}")),
                // A vehicle that is not there can't say it.
                false => Finding::Hidden(format!(
                    "the vehicle has no link to the judge, and did not come back within {} s: {what} is not known; seen: {seen}",
                    self.target.patience
                )),
            }
        })
    }

    /// Listens, and finds a message that may not come. What was said before `mark` and is only repeated, because its
    /// acknowledgement was lost, is no such message.
    pub(super) fn nothing(
        &self,
        mark: usize,
        expected: &str,
        mut unwanted: impl FnMut(&Up) -> bool,
    ) -> Checked {
        let known = self.said(0, mark);
        self.silent(mark, expected, |envelope| {
            unwanted(&envelope.body) && !is_repeated(&known, envelope)
        })
    }

    /// As `nothing`, and what was said before may not be repeated either.
    pub(super) fn nothing_again(
        &self,
        mark: usize,
        expected: &str,
        mut unwanted: impl FnMut(&Up) -> bool,
    ) -> Checked {
        self.silent(mark, expected, |envelope| unwanted(&envelope.body))
    }

    fn silent(
        &self,
        mark: usize,
        expected: &str,
        mut unwanted: impl FnMut(&Envelope<Up>) -> bool,
    ) -> Checked {
        let found = self.shared.wait(mark, self.quiet(), |seen| match seen {
            Seen::Up(envelope) if unwanted(envelope) => Some(name(&envelope.body)),
            _ => None,
        });
        match found {
            Some(name) => Err(Finding::broken(
                expected,
                format!("{name}; seen: {}", self.heard(mark)),
            )),
            None => Ok(()),
        }
    }

    /// Names of what was seen since a mark.
    pub(super) fn heard(&self, mark: usize) -> String {
        let names = self.shared.since(mark).into_iter().map(|seen| match seen {
            Seen::Connected(_) => "CONNECT".to_owned(),
            Seen::Subscribed(_) => "SUBSCRIBE".to_owned(),
            Seen::Up(envelope) => match &envelope.body {
                Up::Status { status, .. } => format!("Status {status:?}"),
                Up::OrderResult { outcome, .. } => format!("OrderResult {outcome:?}"),
                other => name(other).to_owned(),
            },
            Seen::Bad(why) => format!("({why})"),
            Seen::Lost(why) => format!("(link lost: {why})"),
        });
        let names: Vec<_> = names.collect();
        match names.len() {
            0 => "nothing".to_owned(),
            count if count > 40 => format!("… {}", names[count - 40..].join(", ")),
            _ => names.join(", "),
        }
    }

    /// Waits for a report.
    pub(super) fn reported(&self, mark: usize, iccid: &Iccid, status: Status) -> Checked<u64> {
        let what = format!("a report that {iccid} is {status:?}");
        self.expect(mark, &what, |up| match up {
            Up::Status {
                iccid: Some(own),
                status: seen,
                report_seq,
                ..
            } if own == iccid && *seen == status => Some(*report_seq),
            _ => None,
        })
    }

    /// Numbers of the reports of a status of a profile since a mark, each once, and without repetitions of reports that
    /// came before.
    pub(super) fn reports(&self, mark: usize, iccid: &Iccid, status: Status) -> Vec<u64> {
        let known = self.said(0, mark);
        let mut found: Vec<u64> = self
            .said(mark, usize::MAX)
            .into_iter()
            .filter(|envelope| !is_repeated(&known, envelope))
            .filter_map(|envelope| match envelope.body {
                Up::Status {
                    iccid: Some(own),
                    status: seen,
                    report_seq,
                    ..
                } if own == *iccid && seen == status => Some(report_seq),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Messages of the vehicle since a mark.
    pub(super) fn ups(&self, mark: usize) -> Vec<Up> {
        let all = self.said(mark, usize::MAX).into_iter();
        all.map(|envelope| envelope.body).collect()
    }

    /// Messages of the vehicle from one mark to another.
    fn said(&self, from: usize, to: usize) -> Vec<Envelope<Up>> {
        let seen = self.shared.since(from).into_iter();
        seen.take(to.saturating_sub(from))
            .filter_map(|seen| match seen {
                Seen::Up(envelope) => Some(envelope),
                _ => None,
            })
            .collect()
    }

    /// Ids of an account's requests for codes since a mark, each once.
    pub(super) fn requests(&self, mark: usize, account: AccountRef) -> Vec<Id> {
        let mut all: Vec<_> = self
            .ups(mark)
            .into_iter()
            .filter_map(|up| request(&up))
            .filter(|(_, of)| *of == account)
            .map(|(id, _)| id)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Waits for the result of an order.
    pub(super) fn result(&self, mark: usize, order_id: Id) -> Checked<OrderOutcome> {
        self.expect(mark, "the order's result", |up| match up {
            Up::OrderResult {
                order_id: id,
                outcome,
            } if *id == order_id => Some(*outcome),
            _ => None,
        })
    }

    /// Sends an order and waits for its result.
    pub(super) fn ordered(&self, kind: OrderKind) -> Checked<OrderOutcome> {
        let mark = self.shared.mark();
        let id = self.shared.order(kind);
        self.result(mark, id)
    }

    /// The connection ends at the next message of this name, before any answer, and the vehicle comes back.
    pub(super) fn cut_at(&mut self, name: &'static str) {
        self.shared.state().at = Some((name, Then::Cut));
        self.lost_links += 1;
    }

    /// Nothing is answered from the next message of this name on.
    pub(super) fn silent_at(&self, name: &'static str) {
        self.shared.state().at = Some((name, Then::Silence));
    }

    /// The connection breaks now.
    pub(super) fn break_link(&mut self) {
        self.shared.disturb(Out::Cut);
        self.lost_links += 1;
    }

    /// The vehicle is out of reach until `come_back`.
    pub(super) fn go_away(&mut self) {
        self.shared.state().refusing = true;
        self.break_link();
    }

    /// The vehicle may connect again.
    pub(super) fn come_back(&self) {
        self.shared.state().refusing = false;
    }

    /// Waits for the vehicle's next `Hello`; what it lists.
    pub(super) fn hello(&self, mark: usize) -> Checked<Vec<ProfileState>> {
        self.expect(mark, "Hello of a new connection", |up| match up {
            Up::Hello { profiles, .. } => Some(profiles.clone()),
            _ => None,
        })
    }

    /// Waits until nothing is under way: an order about a profile that nobody has was answered.
    pub(super) fn settled(&mut self) -> Checked {
        let stranger = self.person()?;
        let kind = self.deletion(&stranger.iccid, stranger.account);
        prepared(self.ordered(kind)).map(drop)
    }
}

/// Was the same said before? A repetition has the id of the message, a report its number.
fn is_repeated(known: &[Envelope<Up>], envelope: &Envelope<Up>) -> bool {
    let is_report = matches!(envelope.body, Up::Status { .. });
    known.iter().any(|old| {
        old.body == envelope.body && (is_report || old.message_id == envelope.message_id)
    })
}

/// What a test only begins with: what does not come there hides the answer, and breaks no requirement of this test.
pub(super) fn prepared<T>(result: Checked<T>) -> Checked<T> {
    result.map_err(|finding| match finding {
        Finding::Broken { expected, seen } => Finding::Hidden(format!(
            "what the test begins with could not be prepared: expected {expected}; seen {seen}"
        )),
        other => other,
    })
}

/// The id and account of a request for a code.
pub(super) fn request(up: &Up) -> Option<(Id, AccountRef)> {
    match up {
        Up::RequestActivationCode {
            request_id,
            account,
        }
        | Up::RequestAgain {
            request_id,
            account,
        } => Some((*request_id, *account)),
        _ => None,
    }
}
