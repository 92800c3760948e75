//! The transactions of what the CMP wants (`correlation-id`, AID.02 §5.1): what the car says about an
//! order or an activation code carries the id that came with it, so that the CMP's trace goes through
//! the car. Kept in memory only: after a restart the CMP still knows its orders by their own ids.

use aid_agent_core::{Down, Iccid, Id, OrderKind, Up};
use std::collections::VecDeque;

/// Most that are remembered; a car has a handful at once.
const MOST: usize = 64;

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Profile(Iccid),
    Work(Id),
    /// All profiles of the card, or of somebody.
    Everything,
}

/// What was asked lately, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Transactions(VecDeque<(About, Id)>);

impl Transactions {
    /// Notes what a message of the CMP wants.
    pub(crate) fn note(&mut self, correlation: Id, body: &Down) {
        match body {
            Down::Order { order_id, kind } => {
                self.put(About::Work(*order_id), correlation);
                match kind {
                    OrderKind::Delete { iccid }
                    | OrderKind::DeleteOf { iccid, .. }
                    | OrderKind::Disable { iccid } => {
                        self.put(About::Profile(iccid.clone()), correlation);
                    }
                    OrderKind::DeleteAll | OrderKind::Erase { .. } | OrderKind::FactoryReset => {
                        self.put(About::Everything, correlation);
                    }
                    OrderKind::Logout { .. } => {}
                }
            }
            Down::ActivationCode {
                request_id,
                outcome,
                ..
            } => {
                self.put(About::Work(*request_id), correlation);
                if let aid_agent_core::CodeOutcome::Code {
                    iccid: Some(iccid), ..
                } = outcome
                {
                    self.put(About::Profile(iccid.clone()), correlation);
                }
            }
            _ => {}
        }
    }

    /// The transaction of a message to the CMP, where it belongs to one that is known.
    pub(crate) fn of(&self, body: &Up) -> Option<Id> {
        let find = |about: &About| self.0.iter().find(|(a, _)| a == about).map(|(_, id)| *id);
        match body {
            Up::Status { iccid, .. } => {
                let profile = iccid.as_ref().map(|i| About::Profile(i.clone()));
                profile
                    .and_then(|p| find(&p))
                    .or_else(|| find(&About::Everything))
            }
            Up::OrderResult { order_id, .. } => find(&About::Work(*order_id)),
            Up::Ack { message_id } => find(&About::Work(*message_id)),
            Up::CardFull { request_id, .. } => find(&About::Work(*request_id)),
            _ => None,
        }
    }

    fn put(&mut self, about: About, correlation: Id) {
        self.0.retain(|(a, _)| *a != about);
        self.0.push_front((about, correlation));
        self.0.truncate(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_agent_core::{OrderOutcome, Status};

    fn iccid(n: u8) -> Iccid {
        format!("89445008051720329{n:02}")
            .parse()
            .expect("an ICCID")
    }

    fn deleted(n: u8) -> Up {
        Up::Status {
            report_seq: 1,
            iccid: Some(iccid(n)),
            account: None,
            status: Status::Deleted,
            code: 0,
        }
    }

    // R-5.1-2
    #[test]
    fn what_the_car_says_belongs_to_what_it_was_asked() {
        let mut all = Transactions::default();
        let kind = OrderKind::Delete { iccid: iccid(1) };
        let order = Down::Order {
            order_id: [1; 16],
            kind,
        };
        all.note([7; 16], &order);
        assert_eq!(all.of(&deleted(1)), Some([7; 16]));
        assert_eq!(all.of(&deleted(2)), None);
        let result = |id| Up::OrderResult {
            order_id: id,
            outcome: OrderOutcome::Done,
        };
        assert_eq!(all.of(&result([1; 16])), Some([7; 16]));
        assert_eq!(all.of(&result([2; 16])), None);
        // Repeated in another transaction: the newest counts. A full card comes last.
        all.note([8; 16], &order);
        assert_eq!(all.of(&deleted(1)), Some([8; 16]));
        let (order_id, kind) = ([3; 16], OrderKind::DeleteAll);
        all.note([9; 16], &Down::Order { order_id, kind });
        assert_eq!(all.of(&deleted(1)), Some([8; 16]));
        assert_eq!(all.of(&deleted(2)), Some([9; 16]));
        for n in 0..200 {
            let kind = OrderKind::Logout {
                account: aid_agent_core::AccountRef([n; 16]),
            };
            let order_id = [n; 16];
            all.note(order_id, &Down::Order { order_id, kind });
        }
        assert_eq!(all.0.len(), MOST);
    }
}
