//! What the simulated CMP has on disk: the rows that decisions read and change, in memory. A copy of it is a backup.
//!
//! [`Store::apply`] names every [`Change`] without an arm for the rest, as the database's statements do: a new change does
//! not compile before it is stored here, too.

use aid_cmp_core::change::{Change, FleetChange, LinkChange, PortalChange};
use aid_cmp_core::decide::call::MAX_PAUSE;
use aid_cmp_core::decide::removal::ERASED;
use aid_cmp_core::model::{
    Account, Attempts, Call, CallState, CodeRequest, Doubt, Federation, Hold, LoginCode,
    Onboarding, Order, OrderState, Profile, Report, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken, Secret};
use std::collections::{BTreeMap, BTreeSet};

/// The rows. Lists are in the order in which their rows came.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Cars.
    pub vehicles: BTreeMap<Eid, Vehicle>,
    /// Users.
    pub accounts: Vec<Account>,
    /// Links.
    pub federations: Vec<Federation>,
    /// Profiles.
    pub profiles: Vec<Profile>,
    /// Requests for activation codes.
    pub requests: Vec<CodeRequest>,
    /// Reports.
    pub reports: Vec<Report>,
    /// Orders.
    pub orders: Vec<Order>,
    /// Calls to MSPs.
    pub calls: Vec<Call>,
    /// Onboardings.
    pub onboardings: Vec<Onboarding>,
    /// Failed attempts by their key.
    pub attempts: BTreeMap<String, Attempts>,
    /// Who logged in where.
    pub logins: BTreeSet<(Eid, AccountRef)>,
    /// Answers that repetitions get, by client and request.
    pub answered: BTreeSet<(String, Id)>,
    /// Codes that cars show.
    pub codes: BTreeMap<Eid, LoginCode>,
    /// Links whose profile the user deleted.
    pub holds: BTreeMap<(Id, Eid), Hold>,
    /// Links that the MSP did not know.
    pub doubts: BTreeMap<Id, Doubt>,
    /// Statuses that an MSP heard once.
    pub told: BTreeSet<(Id, Iccid, &'static str)>,
    /// Choices of a subscription.
    pub preferences: BTreeMap<(AccountRef, Option<Eid>), Id>,
    /// How often something was noted in the audit trail, by what.
    pub audits: BTreeMap<String, u64>,
    /// Cars that a lost report was made up for.
    pub repaired: u64,
}

impl Store {
    /// The link with this id.
    #[must_use]
    pub fn federation(&self, id: Id) -> Option<&Federation> {
        self.federations.iter().find(|f| f.id == id)
    }

    /// The link with this token of an MSP.
    #[must_use]
    pub fn token(&self, msp: &str, token: MspToken) -> Option<&Federation> {
        let mut all = self.federations.iter();
        all.find(|f| f.msp == msp && f.token == token)
    }

    /// The user's links, oldest first.
    #[must_use]
    pub fn federations_of(&self, account: AccountRef) -> Vec<Federation> {
        let own = self.federations.iter().filter(|f| f.account == account);
        own.cloned().collect()
    }

    /// The profiles of a link, least recently used first.
    #[must_use]
    pub fn profiles_of(&self, federation: Id) -> Vec<Profile> {
        let own = self.profiles.iter().filter(|p| p.federation == federation);
        let mut own: Vec<Profile> = own.cloned().collect();
        own.sort_by_key(|p| p.last_used);
        own
    }

    /// The profiles of a car.
    #[must_use]
    pub fn profiles_in(&self, eid: Eid) -> Vec<Profile> {
        let here = self.profiles.iter().filter(|p| p.eid == eid);
        here.cloned().collect()
    }

    /// The profiles with this number, newest first.
    #[must_use]
    pub fn profiles_with(&self, iccid: &Iccid) -> Vec<Profile> {
        let same = self.profiles.iter().filter(|p| p.iccid == *iccid);
        let mut same: Vec<Profile> = same.cloned().collect();
        same.sort_by_key(|p| std::cmp::Reverse(p.created_at));
        same
    }

    /// The profile with this number in this car.
    #[must_use]
    pub fn profile_in(&self, iccid: &Iccid, eid: Eid) -> Option<Profile> {
        let list = self.profiles_with(iccid);
        list.into_iter().find(|p| p.eid == eid)
    }

    /// The requests of a link, newest first.
    #[must_use]
    pub fn requests_of(&self, federation: Id) -> Vec<CodeRequest> {
        let own = self.requests.iter().rev();
        own.filter(|r| r.federation == federation)
            .cloned()
            .collect()
    }

    /// The car's request with this name.
    #[must_use]
    pub fn request_of_car(&self, eid: Eid, car_request: Id) -> Option<CodeRequest> {
        let mut all = self.requests.iter();
        all.find(|r| r.eid == eid && r.car_request == car_request)
            .cloned()
    }

    /// The request with this id.
    #[must_use]
    pub fn request(&self, id: Id) -> Option<CodeRequest> {
        self.requests.iter().find(|r| r.id == id).cloned()
    }

    /// Answers that the car has not journaled.
    pub fn undelivered(&self, eid: Eid) -> impl Iterator<Item = &CodeRequest> {
        let due =
            move |r: &&CodeRequest| r.eid == eid && !r.state.is_open() && r.delivered_at.is_none();
        self.requests.iter().filter(due)
    }

    /// The car's open orders.
    #[must_use]
    pub fn open_orders(&self, eid: Eid) -> Vec<Order> {
        let open = |o: &&Order| o.eid == eid && o.state == OrderState::Open;
        self.orders.iter().filter(open).cloned().collect()
    }

    /// The first call of each lane, of which none is `busy`.
    fn heads<'a>(&'a self, busy: &'a BTreeSet<Id>) -> impl Iterator<Item = &'a Call> {
        let mut lanes: BTreeSet<(&str, &str)> = BTreeSet::new();
        let due = self.calls.iter().filter(|c| c.state == CallState::Due);
        due.filter(move |c| lanes.insert((&c.msp, &c.lane)) && !busy.contains(&c.id))
    }

    /// The calls to make now.
    #[must_use]
    pub fn due_calls(&self, now: u64, busy: &BTreeSet<Id>) -> Vec<Call> {
        let heads = self.heads(busy);
        heads.filter(|c| is_due(c, now)).cloned().collect()
    }

    /// When the next call is due.
    #[must_use]
    pub fn next_call(&self, now: u64, busy: &BTreeSet<Id>) -> Option<u64> {
        let at = |c: &Call| if is_due(c, now) { now } else { c.next_at };
        self.heads(busy).map(at).min()
    }

    /// Carries out a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::AddVehicle(vehicle) => {
                self.vehicles.insert(vehicle.eid, vehicle);
            }
            Change::Seen {
                eid,
                at,
                software,
                card,
            } => {
                if let Some(vehicle) = self.vehicles.get_mut(&eid) {
                    vehicle.last_seen = Some(at);
                    vehicle.software = Some(software);
                    vehicle.card = Some(card);
                }
            }
            Change::Fleet(change) => self.fleet(change),
            Change::Portal(change) => self.portal(change),
            Change::RetireVehicle(eid, at, reason, by) => {
                if let Some(vehicle) = self.vehicles.get_mut(&eid) {
                    vehicle.retired_at = Some(at);
                    vehicle.retired_reason = Some(reason);
                    vehicle.replaced_by = by;
                }
            }
            Change::ForgetLogins(eid) => self.logins.retain(|(car, _)| *car != eid),
            Change::AddAccount(account) => self.accounts.push(account),
            Change::EraseAccount(id) => self.erase(id),
            Change::RemoveAccount(id) => self.accounts.retain(|a| a.id != id),
            Change::Prefer(account, eid, Some(id)) => {
                self.preferences.insert((account, eid), id);
            }
            Change::Prefer(account, eid, None) => {
                self.preferences.remove(&(account, eid));
            }
            Change::ForgetAttempts(prefix) => {
                self.attempts.retain(|key, _| !key.starts_with(&prefix));
            }
            Change::SetAttempts(key, None) => {
                self.attempts.remove(&key);
            }
            Change::SetAttempts(key, Some(attempts)) => {
                self.attempts.insert(key, attempts);
            }
            Change::LoggedIn(eid, account, _) => {
                self.logins.insert((eid, account));
            }
            Change::AddOnboarding(onboarding) => self.onboardings.push(onboarding),
            Change::CloseOnboarding(sid, state, token, error) => {
                for onboarding in self.onboardings.iter_mut().filter(|o| o.sid == sid) {
                    (onboarding.state, onboarding.token) = (state, token);
                    onboarding.error.clone_from(&error);
                }
            }
            Change::AddFederation(federation) => self.federations.push(federation),
            Change::UpdateFederation(new) => {
                for old in self.federations.iter_mut().filter(|f| f.id == new.id) {
                    old.clone_from(&new);
                }
            }
            Change::PurgeFederation(id) => self.purge(id),
            Change::SetHold(hold) => {
                self.holds.insert((hold.federation, hold.eid), hold);
            }
            Change::ClearHold(federation, eid) => {
                self.holds.remove(&(federation, eid));
            }
            Change::AddProfile(profile) | Change::PutProfile(profile) => {
                let same = |p: &&mut Profile| {
                    p.iccid == profile.iccid && p.federation == profile.federation
                };
                match self.profiles.iter_mut().find(same) {
                    Some(old) => *old = profile,
                    None => self.profiles.push(profile),
                }
            }
            Change::PutRequest(request) => {
                match self.requests.iter_mut().find(|r| r.id == request.id) {
                    Some(old) => *old = request,
                    None => self.requests.push(request),
                }
            }
            Change::AddReport(report) => self.reports.push(report),
            Change::AddOrder(order) => self.orders.push(order),
            Change::OrderSent(id, at) => {
                for order in self.orders.iter_mut().filter(|o| o.id == id) {
                    order.sent_at = Some(at);
                    order.attempts += 1;
                }
            }
            Change::CloseOrder(id, state, code, at) => {
                let open = |o: &&mut Order| o.id == id && o.state == OrderState::Open;
                for order in self.orders.iter_mut().filter(open) {
                    (order.state, order.code, order.closed_at) = (state, code, Some(at));
                }
            }
            Change::AddCall(call) => self.calls.push(call),
            Change::RetryCall {
                id,
                attempts,
                next_at,
                error,
                ..
            } => {
                for call in self.due(id) {
                    (call.attempts, call.next_at) = (attempts, next_at);
                    call.last_error = Some(error.clone());
                }
            }
            Change::GiveUpCall(id, _, error) => {
                for call in self.due(id) {
                    call.state = CallState::Dead;
                    call.last_error = Some(error.clone());
                }
            }
            Change::ReviveCall(id, at) => {
                for call in self.calls.iter_mut().filter(|c| c.id == id) {
                    if matches!(call.state, CallState::Due | CallState::Dead) {
                        (call.state, call.attempts, call.next_at) = (CallState::Due, 0, at);
                    }
                }
            }
            Change::CloseCall(id, state, at) => {
                for call in self.calls.iter_mut().filter(|c| c.id == id) {
                    if matches!(call.state, CallState::Due | CallState::Dead) {
                        (call.state, call.closed_at) = (state, Some(at));
                    }
                }
            }
            Change::Remember(answer) => {
                self.answered.insert((answer.client, answer.request_id));
            }
            Change::Link(change) => self.link(change),
            Change::Audit(audit) => {
                self.repaired += u64::from(audit.action == "status taken from the card");
                *self.audits.entry(audit.action.into_owned()).or_default() += 1;
            }
            // Nothing that a simulated party reads.
            Change::AddNotice(_)
            | Change::RemoveNotice(..)
            | Change::AddSession(_)
            | Change::RemoveSession(_)
            | Change::AddSyncRun(_)
            | Change::Happened(_)
            | Change::UseIv { .. }
            | Change::Desk(_) => {}
        }
    }

    fn due(&mut self, id: Id) -> impl Iterator<Item = &mut Call> {
        let due = move |c: &&mut Call| c.id == id && c.state == CallState::Due;
        self.calls.iter_mut().filter(due)
    }

    fn fleet(&mut self, change: FleetChange) {
        match change {
            FleetChange::Enrol {
                eid,
                vin,
                certificate,
                at: _,
            } => {
                if let Some(vehicle) = self.vehicles.get_mut(&eid) {
                    vehicle.certificate = Some(certificate);
                    vehicle.vin = vin.or(vehicle.vin.take());
                }
            }
            FleetChange::Session(eid, book) => {
                if let Some(vehicle) = self.vehicles.get_mut(&eid) {
                    (vehicle.session, vehicle.mark) = (book.account, book.mark);
                }
            }
            FleetChange::Leave(eid, account) => {
                if let Some(vehicle) = self.vehicles.get_mut(&eid)
                    && vehicle.session == Some(account)
                {
                    vehicle.session = None;
                }
            }
            FleetChange::PutLoginCode(code) => {
                self.codes.insert(code.eid, code);
            }
            FleetChange::SetPreference(..) => {}
            // Of revision 4, which the simulated CMP does not speak.
            FleetChange::Certificate(_)
            | FleetChange::PutVerifier(_)
            | FleetChange::RemoveVerifier(..)
            | FleetChange::RevokeVerifiers { .. } => {}
        }
    }

    fn portal(&mut self, change: PortalChange) {
        match change {
            PortalChange::Pin(id, pin) => {
                for account in self.accounts.iter_mut().filter(|a| a.id == id) {
                    account.pin_mac.clone_from(&pin);
                }
            }
            PortalChange::DisplayName(id, name) => {
                for account in self.accounts.iter_mut().filter(|a| a.id == id) {
                    account.display_name.clone_from(&name);
                }
            }
            // Nothing that a simulated party reads.
            PortalChange::Password(..)
            | PortalChange::Began(..)
            | PortalChange::EndSessions(..)
            | PortalChange::EndSession(..)
            | PortalChange::NameCar(..)
            | PortalChange::AddIdentity(_)
            | PortalChange::RemoveIdentity(..) => {}
        }
    }

    fn link(&mut self, change: LinkChange) {
        match change {
            LinkChange::Doubt(doubt) => {
                self.doubts.insert(doubt.federation, doubt);
            }
            LinkChange::Settle(federation) => {
                self.doubts.remove(&federation);
            }
            LinkChange::Told(federation, iccid, status) => {
                self.told.insert((federation, iccid, status.as_str()));
            }
            LinkChange::Judge { .. } | LinkChange::Deviated { .. } => {}
        }
    }

    fn erase(&mut self, id: AccountRef) {
        for account in self.accounts.iter_mut().filter(|a| a.id == id) {
            account.name = format!("{ERASED}{}", uuid::Uuid::from_bytes(id.0));
            account.password = Secret::new(String::new());
            account.pin_mac = None;
        }
        self.logins.retain(|(_, account)| *account != id);
        self.preferences.retain(|(account, _), _| *account != id);
        self.codes.retain(|_, code| code.account != Some(id));
        for vehicle in self.vehicles.values_mut() {
            vehicle.session = vehicle.session.filter(|account| *account != id);
        }
    }

    fn purge(&mut self, id: Id) {
        let Some(federation) = self.federation(id).cloned() else {
            return;
        };
        let gone: BTreeSet<Iccid> = self.profiles_of(id).into_iter().map(|p| p.iccid).collect();
        let named = |r: &Report| r.iccid.as_ref().is_some_and(|i| gone.contains(i));
        self.reports.retain(|r| !named(r));
        self.calls
            .retain(|c| !(c.msp == federation.msp && c.token == federation.token));
        self.profiles.retain(|p| p.federation != id);
        self.requests.retain(|r| r.federation != id);
        self.holds.retain(|(link, _), _| *link != id);
        self.doubts.remove(&id);
        self.federations.retain(|f| f.id != id);
    }
}

/// Whether a call is due: what a wrong clock put off for longer than any pause is due, too.
fn is_due(call: &Call, now: u64) -> bool {
    call.next_at <= now || call.next_at > now.saturating_add(MAX_PAUSE)
}
