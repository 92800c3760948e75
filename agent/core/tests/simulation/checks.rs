//! What must hold in the world.

use crate::world::*;
use aid_agent_core::*;

impl World {
    /// Invariant 8: nothing happens on the card that is not in the journal as an intent.
    pub(crate) fn invariant_8_intent(&self, what: &EuiccOp) {
        if self.agent.has_failed_journal() {
            // The one thing that needs no journal, and with nobody logged in.
            let allowed = matches!(what, EuiccOp::Disable { .. } | EuiccOp::List);
            assert!(allowed, "{what:?} without a journal");
            assert!(self.agent.session().is_none());
            return;
        }
        let disk = self.on_disk();
        let wants = |operation, i: &Iccid| {
            disk.intent()
                .as_ref()
                .is_some_and(|t| t.operation == operation && t.iccid == *i)
        };
        let ok = match what {
            EuiccOp::Enable { iccid } => wants(Operation::Enable, iccid),
            EuiccOp::Disable { iccid } => wants(Operation::Disable, iccid),
            EuiccOp::Delete { iccid } => wants(Operation::Delete, iccid),
            EuiccOp::Download { .. } => disk.downloads().first().is_some_and(|d| d.attempts > 0),
            EuiccOp::List | EuiccOp::Notifications => true,
        };
        assert!(ok, "invariant 8: {what:?} is not in the journal");
    }

    /// What an order about many profiles is for is so when its result first leaves the car (A.4).
    pub(crate) fn invariant_reset(&mut self, order_id: [u8; 16], outcome: OrderOutcome) {
        let Some(kind) = self.resets.get(&order_id) else {
            return;
        };
        if self.reset_results.insert(order_id, outcome).is_some() {
            return;
        }
        let owner = |i: &Iccid| self.agent.durable().owner(i);
        match kind {
            OrderKind::DeleteAll | OrderKind::FactoryReset => {
                assert!(self.card.is_empty(), "reset: {:?}", self.card);
            }
            OrderKind::Erase { account } => assert!(
                !self.card.keys().any(|i| owner(i) == Some(*account)),
                "erased: {:?}",
                self.card
            ),
            _ => {}
        }
        assert_eq!(outcome, OrderOutcome::Done);
    }

    /// What must hold when nothing is under way.
    pub(crate) fn check_at_rest(&mut self) {
        self.settle();
        let session = self.agent.session().map(|s| s.account);
        let enabled: Vec<_> = self
            .card
            .iter()
            .filter(|(_, e)| **e)
            .map(|(i, _)| i.clone())
            .collect();
        // R-2-9: the AID User Profile is that of who is logged in, and of nobody else.
        if let Some(s) = self.agent.session()
            && let Some(profile) = &s.profile
        {
            let name = char::from(s.account.0[0]).to_string();
            assert_eq!(
                profile.display_name, name,
                "somebody else's AID User Profile"
            );
        }
        // Invariants 1 and 2, R-4.3-15.
        assert!(enabled.len() <= 1, "invariant 2: {enabled:?}");
        for iccid in enabled {
            assert!(
                session.is_some(),
                "invariant 1: {iccid} enabled, nobody logged in"
            );
            assert_eq!(
                self.agent.durable().owner(&iccid),
                session,
                "invariant 2: foreign OP"
            );
        }
    }

    /// Invariant 3: the CMP's list of reports is the card's history, once the car is online.
    pub(crate) fn check_reports(&mut self) {
        (self.outage, self.away) = (false, false);
        self.set_link(true);
        // Whatever the disk is like, nothing stays enabled for nobody.
        self.check_at_rest();
        self.disk = Disk::Good;
        self.check_at_rest();
        assert!(!self.agent.has_failed_journal());
        if !self.agent.durable().logouts().is_empty() {
            // A login by code that nobody approves: the CMP learns of the session before when it is over.
            self.now += 3_700_000;
            self.agent.handle_timeout(BootMs(self.now));
            self.check_at_rest();
        }
        let told: Vec<_> = self
            .reports
            .values()
            .filter(|(_, s)| *s != Status::InstallationFailed)
            .map(|(i, s)| (i.clone().expect("iccid"), *s))
            .collect();
        if self.lossy {
            let mut history = self.history.iter();
            let ordered = told.iter().all(|t| history.any(|h| h == t));
            assert!(ordered, "invariant 3: {told:?} of {:?}", self.history);
        } else {
            assert_eq!(told, self.history, "invariant 3");
        }
        assert!(self.agent.durable().outbox().is_empty());
        // Every end of a session that anybody was told of is known to the CMP, too.
        assert!(
            self.agent.durable().logouts().is_empty(),
            "logouts undelivered"
        );
        if self.numbered {
            let session = self.agent.session().map(|s| s.account);
            assert_eq!(self.book.1, session, "the book of sessions");
        } else {
            assert!(
                self.lossy || self.logouts.len() >= self.ended,
                "a logout was lost"
            );
        }
    }
}
