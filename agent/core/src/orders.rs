//! Orders of the CMP and deletions by the user: what is done at once, what the card has to do, and
//! when each is over (§4.4, §4.5, A.4). An order is executed once, whatever is repeated.

use crate::agent::Agent;
use crate::bounds::{insert, put};
use crate::card::Profiles;
use crate::durable::{Download, Record, Reset};
use crate::event::{BootMs, CardProfile};
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{OrderKind, OrderOutcome, Status};
use alloc::vec::Vec;

/// Code of a failed installation that was called off: the profile is not wanted here any more.
pub const CALLED_OFF: u16 = 1;

/// What a deletion order means.
enum Scope {
    /// One profile.
    One(Iccid),
    /// Those of one user.
    Of(AccountRef),
    /// All.
    All,
}

impl Scope {
    fn of(kind: &OrderKind) -> Option<Self> {
        match kind {
            OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } => {
                Some(Self::One(iccid.clone()))
            }
            OrderKind::Erase { account } => Some(Self::Of(*account)),
            OrderKind::DeleteAll | OrderKind::FactoryReset => Some(Self::All),
            OrderKind::Disable { .. } | OrderKind::Logout { .. } => None,
        }
    }

    /// Whether the profile of this download is in the scope.
    fn has_download(&self, download: &Download) -> bool {
        match self {
            Self::One(iccid) => download.iccid.as_ref() == Some(iccid),
            Self::Of(_) | Self::All => self.has_account(download.account),
        }
    }

    fn has_account(&self, account: AccountRef) -> bool {
        match self {
            Self::One(_) => false,
            Self::Of(own) => *own == account,
            Self::All => true,
        }
    }
}

impl Agent {
    /// Orders that are done as soon as they are in the journal, given what is on the card.
    pub(crate) fn orders_without_card(&mut self, now: BootMs) {
        let Some(card) = self.card.profiles.clone() else {
            return;
        };
        for order in self.durable().orders().to_vec() {
            if order.outcome.is_some() {
                continue;
            }
            let outcome = match (&order.kind, Scope::of(&order.kind)) {
                (_, Some(scope)) => self.deleted_already(now, &scope, &card),
                (OrderKind::Logout { account }, _) => {
                    self.end_session_of(now, |a| a == *account);
                    Some(OrderOutcome::Done)
                }
                (OrderKind::Disable { iccid }, _) => self.disabled_already(iccid, &card),
                _ => None,
            };
            if let Some(outcome) = outcome {
                self.finish_order(now, order.order_id, outcome);
            }
        }
        for iccid in self.durable().wanted().to_vec() {
            if !card.as_slice().iter().any(|p| p.iccid == iccid) && !self.busy_with(&iccid) {
                self.record(Record::DeleteGivenUp(iccid));
            }
        }
    }

    /// The result of an order that is repeated after its end, by what is on the card now.
    pub(crate) fn outcome_of_closed(&self, kind: &OrderKind) -> OrderOutcome {
        let is_gone = |iccid: &Iccid| {
            self.card.profiles.is_some() && !self.card.iter().any(|p| p.iccid == *iccid)
        };
        match kind {
            OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } if is_gone(iccid) => {
                OrderOutcome::NotFound
            }
            _ => OrderOutcome::Done,
        }
    }

    fn end_session_of(&mut self, now: BootMs, is: impl Fn(AccountRef) -> bool) {
        if self.driver.session.as_ref().is_some_and(|s| is(s.account)) {
            self.log_out(now);
        }
    }

    fn hold(&mut self, iccid: &Iccid) {
        if let Some(session) = &mut self.driver.session {
            insert(&mut session.held, iccid.clone());
        }
    }

    fn disabled_already(&mut self, iccid: &Iccid, card: &Profiles) -> Option<OrderOutcome> {
        let Some(profile) = card.as_slice().iter().find(|p| p.iccid == *iccid) else {
            return Some(OrderOutcome::NotFound);
        };
        self.hold(iccid);
        (!profile.enabled && !self.busy_with(iccid)).then_some(OrderOutcome::Done)
    }

    /// Whether a deletion order has nothing left to do; what must not come any more is called off.
    fn deleted_already(
        &mut self,
        now: BootMs,
        scope: &Scope,
        card: &Profiles,
    ) -> Option<OrderOutcome> {
        if let Scope::One(iccid) = scope {
            self.hold(iccid);
        }
        self.end_session_of(now, |a| scope.has_account(a));
        self.call_off(now, scope);
        let left: Vec<Iccid> = card
            .as_slice()
            .iter()
            .filter(|p| self.in_scope(scope, &p.iccid))
            .map(|p| p.iccid.clone())
            .collect();
        let comes = self
            .card
            .downloading()
            .and_then(|id| self.download(id))
            .is_some_and(|d| scope.has_download(&d));
        let busy = self
            .durable()
            .intent()
            .as_ref()
            .is_some_and(|i| self.in_scope(scope, &i.iccid));
        // What is not seen yet may be in the scope.
        let unseen = card.has_more() && !matches!(scope, Scope::One(_));
        if comes || busy || unseen || left.iter().any(|i| !self.card.undeletable.contains_key(i)) {
            return None;
        }
        let failed = left
            .iter()
            .find_map(|i| self.card.undeletable.get(i).copied());
        Some(match (failed, scope) {
            (Some(code), _) => OrderOutcome::Failed { code },
            (None, Scope::One(_)) => OrderOutcome::NotFound,
            (None, _) => OrderOutcome::Done,
        })
    }

    fn in_scope(&self, scope: &Scope, iccid: &Iccid) -> bool {
        match scope {
            Scope::One(one) => one == iccid,
            Scope::Of(account) => self.durable().owner(iccid) == Some(*account),
            Scope::All => true,
        }
    }

    /// Ends requests and downloads of the accounts; a download that runs is settled when it ends.
    fn call_off(&mut self, now: BootMs, scope: &Scope) {
        let verifiers = self.durable().verifiers().iter().map(|v| v.account);
        let void: Vec<AccountRef> = verifiers.filter(|a| scope.has_account(*a)).collect();
        for account in void {
            self.record(Record::VerifierDropped(account));
        }
        for (request_id, account) in self.durable().requests().to_vec() {
            if scope.has_account(account) {
                self.waits.answered_later.retain(|id| *id != request_id);
                self.record(Record::RequestClosed(request_id));
            }
        }
        for download in self.durable().downloads().to_vec() {
            if scope.has_download(&download) && self.card.downloading() != Some(download.request_id)
            {
                self.close_download(download.request_id);
                let (account, failed) = (Some(download.account), Status::InstallationFailed);
                self.report_for(now, account, download.iccid, failed, CALLED_OFF);
            }
        }
    }

    /// The next profile to delete, and whether it is enabled.
    pub(crate) fn next_deletion(&self) -> Option<(Iccid, bool)> {
        let scopes = self
            .durable()
            .orders()
            .iter()
            .filter(|o| o.outcome.is_none())
            .filter_map(|o| Scope::of(&o.kind))
            .chain(self.durable().wanted().iter().cloned().map(Scope::One))
            .chain((self.durable().reset() == Some(Reset::Closing)).then_some(Scope::All));
        let mut found = scopes.flat_map(|scope| {
            let fits = move |p: &&CardProfile| {
                self.in_scope(&scope, &p.iccid)
                    && !self.card.undeletable.contains_key(&p.iccid)
                    && !self.card.is_set_aside(&p.iccid)
            };
            self.card.iter().filter(fits)
        });
        found.next().map(|p| (p.iccid.clone(), p.enabled))
    }

    /// The card refuses to delete this profile for good: orders about it alone have failed, orders
    /// about more go on with the others.
    pub(crate) fn cannot_delete(&mut self, now: BootMs, iccid: &Iccid, code: u16) {
        put(&mut self.card.undeletable, iccid.clone(), code);
        if self.durable().wanted().contains(iccid) {
            self.record(Record::DeleteGivenUp(iccid.clone()));
        }
        self.finish_deletions(now, iccid, OrderOutcome::Failed { code });
    }

    /// Ends the orders about this profile alone.
    pub(crate) fn finish_deletions(&mut self, now: BootMs, iccid: &Iccid, outcome: OrderOutcome) {
        let about = |kind: &OrderKind| matches!(kind, OrderKind::Delete { iccid: i } | OrderKind::DeleteOf { iccid: i, .. } if i == iccid);
        let open: Vec<Id> = self
            .durable()
            .orders()
            .iter()
            .filter(|o| about(&o.kind) && o.outcome.is_none())
            .map(|o| o.order_id)
            .collect();
        for order_id in open {
            self.finish_order(now, order_id, outcome);
        }
    }
}
