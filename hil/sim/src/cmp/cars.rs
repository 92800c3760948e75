//! Messages of cars (AID2): what each needs of the rows, and the decision about it.

use super::{Actor, Cmp, Committed, PIN_KEY};
use crate::ids;
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{
    Context, Decision, Outgoing, car_login, code, deletion, hello, login, order, status, tries,
};
use aid_cmp_core::model::{
    Account, Answered, CodeRequest, LoginCodeState, Order, Profile, Report, RequestState,
};
use aid_id::{AccountRef, Eid, Iccid, Id};
use aid_wire::{
    ACCOUNT_REVISION, Aup, Down, LoginOutcome, LoginWay, OrderKind, ProfileState, SESSION_REVISION,
    Status, Up, UserProfile, announced,
};

impl Cmp {
    /// Takes a message of a car.
    pub fn up(&mut self, now: u64, eid: Eid, message_id: Id, body: Up) -> Committed {
        let context = self.context(now);
        let Some(vehicle) = self.store.vehicles.get(&eid) else {
            return Committed::default();
        };
        let before = vehicle.session;
        let mut decision = self.heard(&context, eid, message_id, body);
        login::follow_book(&mut decision, before);
        let enters = decision.down.iter().find_map(entered);
        let mut committed = self.commit(now, Actor::Car(eid), decision);
        if let Some(account) = enters
            && !committed.cut
        {
            committed.down.extend(self.entered(now, eid, account));
        }
        committed
    }

    /// What a user who is in gets: their profile, and codes that waited for them.
    pub(super) fn entered(&mut self, now: u64, eid: Eid, account: AccountRef) -> Vec<Outgoing> {
        if !self.is_in(eid, account) {
            return Vec::new();
        }
        let user = self.store.accounts.iter().find(|a| a.id == account);
        let display_name = user.map_or_else(String::new, |a| a.display_name.clone());
        let mut down = vec![Outgoing {
            eid,
            message_id: ids::fresh(),
            correlation: None,
            body: Down::UserProfile {
                account,
                profile: UserProfile {
                    display_name,
                    subscriptions: Vec::new(),
                    preferences: Vec::new(),
                },
            },
        }];
        let waiting = self.store.undelivered(eid);
        let waiting = waiting.map(|r| code::message(r, ids::fresh));
        down.extend(waiting.filter(|m| code::holder(m) == Some(account)));
        self.sent(now, &down);
        down
    }

    fn heard(&mut self, context: &Context, eid: Eid, message_id: Id, body: Up) -> Decision {
        let vehicle = &self.store.vehicles[&eid];
        let book = Book::of(vehicle);
        let software = vehicle.software.clone().unwrap_or_default();
        let ack = Outgoing {
            eid,
            correlation: None,
            message_id: ids::fresh(),
            body: Down::Ack { message_id },
        };
        let mut decision = Decision::default();
        match body {
            Up::Hello { software, profiles } => {
                let revision = announced(&software).min(ACCOUNT_REVISION);
                decision = self.hello(context, eid, software, &profiles);
                if revision < SESSION_REVISION {
                    decision.down.push(ack);
                } else {
                    let book = book.connected(message_id);
                    let change = FleetChange::Session(eid, book);
                    decision.changes.push(Change::Fleet(change));
                    decision
                        .down
                        .push(welcome(&ack, message_id, revision, &book));
                }
            }
            Up::NumberedLogin { number, .. } | Up::Session { number, .. }
                if number < book.number() =>
            {
                let revision = announced(&software).min(ACCOUNT_REVISION);
                decision
                    .down
                    .push(welcome(&ack, message_id, revision, &book));
            }
            Up::NumberedLogin {
                number, login_id, ..
            } if !book.allows(number) => {
                let outcome = login::not_booked();
                decision.down.push(Outgoing {
                    message_id: login_id,
                    body: Down::LoginResult { login_id, outcome },
                    ..ack
                });
            }
            Up::NumberedLogin {
                number,
                account,
                login_id,
                way,
            } => {
                let now = book.state(number, account);
                decision = self.numbered_login(context, eid, login_id, way, &book, now);
            }
            Up::Session { number, account } => {
                if let Some(now) = book.state(number, account) {
                    let change = FleetChange::Session(eid, now);
                    decision.changes.push(Change::Fleet(change));
                    let code = self.store.codes.get(&eid).cloned();
                    decision.changes.extend(code.and_then(car_login::given_up));
                }
                decision.down.push(ack);
            }
            // Cars of revision 1 say these; the simulated ones announce the present revision.
            Up::Login { .. } | Up::LoginByCode { .. } => {}
            // The simulated CMP knows revision 3, and gives no verifiers.
            Up::RenewCertificate { .. } | Up::OfflineSession { .. } | Up::FactoryReset { .. } => {}
            Up::Logout { account } => {
                let once = (format!("logout {eid}"), message_id);
                if !self.store.answered.contains(&once) {
                    let leave = FleetChange::Leave(eid, account);
                    decision.changes.push(Change::Fleet(leave));
                    decision.changes.push(remember(context, once.0, once.1));
                }
                decision.down.push(ack);
            }
            Up::RequestActivationCode {
                request_id,
                account,
            } => decision = self.code(context, eid, request_id, account, false),
            Up::RequestAgain {
                request_id,
                account,
            } => decision = self.code(context, eid, request_id, account, true),
            Up::CardFull {
                request_id,
                account,
            } => decision = self.make_space(context, eid, request_id, account),
            Up::Status {
                report_seq,
                iccid,
                account,
                status,
                code,
            } => {
                let report = Report {
                    eid,
                    seq: report_seq,
                    iccid,
                    account,
                    status,
                    code,
                    received_at: context.now,
                };
                decision = self.status(context, &report);
            }
            Up::OrderResult { order_id, outcome } => {
                let found = self.store.orders.iter().find(|o| o.id == order_id).cloned();
                let profile = match found.as_ref().map(|o| &o.kind) {
                    Some(OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. }) => {
                        self.store.profile_in(iccid, eid)
                    }
                    _ => None,
                };
                decision = order::result(context, found, profile, eid, order_id, outcome);
            }
            Up::Ack { message_id } => {
                let request = self.store.request_of_car(eid, message_id);
                decision = code::delivered(context, request);
            }
        }
        decision
    }

    fn numbered_login(
        &mut self,
        context: &Context,
        eid: Eid,
        login_id: Id,
        way: LoginWay,
        before: &Book,
        now: Option<Book>,
    ) -> Decision {
        let mut decision = match way {
            LoginWay::Pin { user, pin } => {
                let login = (login_id, user.as_str(), pin.expose());
                let mut decision = self.login(context, eid, login, before, now);
                let code = self.store.codes.get(&eid).cloned();
                let over = code.filter(|_| now.is_some());
                decision.changes.extend(over.and_then(car_login::given_up));
                decision
            }
            LoginWay::Code => {
                let (mut decision, entered) = self.begin_code_login(context, eid, login_id);
                if let (Some(now), Some(account)) = (now, entered) {
                    decision.changes.extend(stays(eid, account, before, &now));
                }
                decision
            }
        };
        if let Some(now) = now {
            let change = Change::Fleet(FleetChange::Session(eid, now));
            decision.changes.insert(0, change);
        }
        decision
    }

    fn login(
        &mut self,
        context: &Context,
        eid: Eid,
        (login_id, user, pin): (Id, &str, &str),
        before: &Book,
        now: Option<Book>,
    ) -> Decision {
        let name = user.trim().to_lowercase();
        let account = self.store.accounts.iter().find(|a| a.name == name).cloned();
        let known = account.as_ref().map_or(AccountRef([0; 16]), |a| a.id);
        let keys = tries::Keys::new(&tries::prefix(&PIN_KEY, &name), eid);
        let mut tried = tries::Tries::default();
        for (attempts, key) in tried.0.iter_mut().zip(&keys.0) {
            *attempts = self.store.attempts.get(key).cloned();
        }
        let mut view = login::View {
            known_here: self.store.logins.contains(&(eid, known)),
            account,
            tries: tried,
            aup: aup(None),
            profiles: Vec::new(),
            book: None,
        };
        let verdict = login::judge(&view, login_id, pin, &PIN_KEY, context.now);
        if verdict == login::Verdict::Accepted {
            let tries = view.tries;
            view = self.login_view(view.account, eid);
            (view.tries, view.book) = (tries, now);
        }
        let mut decision = login::login(context, view, &keys, eid, login_id, pin, &PIN_KEY);
        if let Some(account) = decision.down.iter().find_map(entered) {
            let once = (format!("login {eid}"), login_id);
            if self.store.answered.contains(&once) {
                // It had its session, which may have ended since: a repetition begins none.
                decision.keep_session();
                let stays = now.and_then(|now| stays(eid, account, before, &now));
                decision.changes.extend(stays);
            } else {
                decision.changes.push(remember(context, once.0, once.1));
            }
        }
        decision
    }

    fn login_view(&self, account: Option<Account>, eid: Eid) -> login::View {
        let id = account.as_ref().map_or(AccountRef([0; 16]), |a| a.id);
        let federation = self.serving(id, eid);
        login::View {
            known_here: self.store.logins.contains(&(eid, id)),
            aup: aup(account.as_ref()),
            account,
            tries: tries::Tries::default(),
            profiles: federation.map_or_else(Vec::new, |f| self.store.profiles_of(f.id)),
            book: None,
        }
    }

    /// A car begins a login by code, or asks again how it stands; yields who is in.
    fn begin_code_login(
        &mut self,
        context: &Context,
        eid: Eid,
        login_id: Id,
    ) -> (Decision, Option<AccountRef>) {
        let found = self.store.codes.get(&eid).cloned();
        let approved = found
            .as_ref()
            .filter(|c| c.login_id == login_id && c.state == LoginCodeState::Approved);
        if let Some(code) = approved {
            let account = self
                .store
                .accounts
                .iter()
                .find(|a| Some(a.id) == code.account);
            let account = account.cloned();
            let session = self.store.vehicles.get(&eid).and_then(|v| v.session);
            let enters = account.as_ref().map(|a| a.id);
            let enters =
                enters.filter(|a| car_login::lives(code, context.now) && session == Some(*a));
            let view = self.login_view(account, eid);
            let mut decision = car_login::approved(context, view, code);
            decision.keep_session();
            login::follow_book(&mut decision, session);
            return (decision, enters);
        }
        let url = "https://cmp.example/car".to_owned();
        (car_login::begin(context, found, eid, login_id, url), None)
    }

    /// The user approves the code that the car shows.
    pub fn approve(&mut self, now: u64, eid: Eid, account: AccountRef) -> Committed {
        let context = self.context(now);
        let user = self
            .store
            .accounts
            .iter()
            .find(|a| a.id == account)
            .cloned();
        let code = self.store.codes.get(&eid).cloned();
        let open =
            code.filter(|c| c.state == LoginCodeState::Open && car_login::lives(c, context.now));
        let (Some(user), Some(code)) = (user, open) else {
            return Committed::default();
        };
        let mut decision = car_login::judge(&context, code.clone(), &user, true);
        let mut view = self.login_view(Some(user), eid);
        view.book = self.store.vehicles.get(&eid).map(Book::of);
        decision.merge(car_login::approved(&context, view, &code));
        let mut committed = self.commit(now, Actor::Inside, decision);
        if !committed.cut {
            committed.down.extend(self.entered(now, eid, account));
        }
        committed
    }

    fn code(
        &mut self,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
        again: bool,
    ) -> Decision {
        let mut view = code::View {
            existing: self.store.request_of_car(eid, car_request),
            logged_in: self.is_in(eid, account),
            ..code::View::default()
        };
        if let Some(existing) = &view.existing {
            let owner = self.store.federation(existing.federation);
            view.existing_ended = owner.is_none_or(|f| f.ended_at.is_some());
        } else {
            view.federation = self.serving(account, eid);
            if let Some(federation) = &view.federation {
                view.requests = self.store.requests_of(federation.id);
                view.profiles = self.store.profiles_of(federation.id);
                view.held = self.store.holds.get(&(federation.id, eid)).cloned();
                view.again = again;
                view.doubt = self.store.doubts.get(&federation.id).copied();
                view.deleting = self.deleting(&view.profiles);
            } else {
                let all = self.store.federations_of(account);
                view.ended = all.into_iter().max_by_key(|f| f.ended_at);
            }
        }
        code::request(context, view, eid, car_request, account)
    }

    fn deleting(&self, profiles: &[Profile]) -> Vec<Iccid> {
        let here = profiles.iter().filter(|p| p.status.may_be_on_card());
        let ordered = |p: &&Profile| {
            let orders = self.store.open_orders(p.eid);
            orders.iter().any(|o| o.deletes(&p.iccid))
        };
        here.filter(ordered).map(|p| p.iccid.clone()).collect()
    }

    /// Everything of a car.
    pub(super) fn car(&self, eid: Eid) -> Option<deletion::Car> {
        let vehicle = self.store.vehicles.get(&eid)?.clone();
        let profiles = self.store.profiles_in(eid);
        let logins = self.store.logins.iter();
        let users: Vec<AccountRef> = logins.filter(|l| l.0 == eid).map(|l| l.1).collect();
        let own = |f: &&aid_cmp_core::model::Federation| {
            users.contains(&f.account) || profiles.iter().any(|p| p.federation == f.id)
        };
        let federations: Vec<_> = self.store.federations.iter().filter(own).cloned().collect();
        let pending = |r: &&CodeRequest| {
            r.eid == eid && (r.state.is_open() || r.state == RequestState::Answered)
        };
        Some(deletion::Car {
            wanted: federations.iter().map(|f| f.id).collect(),
            orders: self.store.open_orders(eid),
            requests: self
                .store
                .requests
                .iter()
                .filter(pending)
                .cloned()
                .collect(),
            federations,
            vehicle,
            profiles,
            users,
        })
    }

    fn make_space(
        &mut self,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
    ) -> Decision {
        let request = self.store.request_of_car(eid, car_request);
        let asked = request.filter(|r| r.account == account);
        let (mut decision, granted) = match (asked, self.car(eid)) {
            (Some(request), Some(car)) => {
                let made = deletion::make_space(context, &car, request.federation);
                let (mut decision, granted) = made;
                decision.belongs_to(request.correlation);
                (decision, granted)
            }
            _ => (Decision::default(), false),
        };
        decision.down.push(Outgoing {
            eid,
            correlation: None,
            message_id: ids::fresh(),
            body: Down::Space {
                request_id: car_request,
                granted,
            },
        });
        decision
    }

    fn status(&self, context: &Context, report: &Report) -> Decision {
        let same = |r: &&Report| {
            let (a, b) = (r, report);
            a.eid == b.eid
                && a.seq == b.seq
                && (&a.iccid, a.account, a.status, a.code)
                    == (&b.iccid, b.account, b.status, b.code)
        };
        if report.seq != 0 && self.store.reports.iter().any(|r| same(&r)) {
            let view = status::View {
                known: true,
                ..status::View::default()
            };
            return status::report(context, view, report);
        }
        let profile = report
            .iccid
            .as_ref()
            .and_then(|i| self.store.profile_in(i, report.eid));
        let request = self.request_behind(report, profile.as_ref());
        let owner = profile.as_ref().map(|p| p.federation);
        let owner = owner.or_else(|| request.as_ref().map(|r| r.federation));
        let named = request.as_ref().and_then(|r| r.iccid.as_ref());
        let is_given = profile.is_some() || named.is_some_and(|n| Some(n) == report.iccid.as_ref());
        let elsewhere = report.iccid.as_ref().is_some_and(|i| {
            let others = self.store.profiles_with(i);
            others.iter().any(|p| p.status.may_be_on_card())
        });
        let federation = match owner {
            Some(id) if is_given || !elsewhere => self.store.federation(id).cloned(),
            _ => None,
        };
        let orders = match report.status {
            Status::Enabled | Status::InstallationFailed => Vec::new(),
            _ => self.store.open_orders(report.eid),
        };
        let ordered = order_behind(&orders, report);
        let last = report.seq | u64::from(u32::MAX);
        let later = |r: &&Report| {
            r.eid == report.eid && r.iccid == report.iccid && r.seq > report.seq && r.seq <= last
        };
        let has_later = report.iccid.is_some() && report.seq != 0;
        let view = status::View {
            known: false,
            overtaken: has_later && self.store.reports.iter().any(|r| later(&r)),
            profile,
            request,
            wanted: federation.is_some(),
            federation,
            once: false,
            ordered,
            orders,
        };
        status::report(context, view, report)
    }

    fn request_behind(&self, report: &Report, profile: Option<&Profile>) -> Option<CodeRequest> {
        let federation = match (profile, report.account) {
            (Some(profile), _) => profile.federation,
            (None, Some(account)) => self.serving(account, report.eid)?.id,
            (None, None) => return None,
        };
        let ends = matches!(
            report.status,
            Status::Installed | Status::InstallationFailed
        );
        let fits = |r: &&CodeRequest| {
            let same = match (&r.iccid, &report.iccid) {
                (Some(a), Some(b)) => a == b,
                _ => ends,
            };
            r.eid == report.eid && r.code.is_some() && same
        };
        let unused = |r: &&CodeRequest| {
            ends && profile.is_none() && r.eid == report.eid && r.state == RequestState::Answered
        };
        let list = self.store.requests_of(federation);
        let found = list.iter().find(fits);
        found.or_else(|| list.iter().find(unused)).cloned()
    }

    fn hello(
        &self,
        context: &Context,
        eid: Eid,
        software: String,
        listed: &[ProfileState],
    ) -> Decision {
        let vehicle = self.store.vehicles.get(&eid);
        let earlier = vehicle.and_then(|v| Some((v.last_seen?, v.card.clone()?)));
        let earlier = earlier.filter(|(seen, _)| hello::is_settled(*seen, context.now));
        let before = earlier.map(|(seen, card)| {
            let reported = |i: &Iccid| {
                let of = |r: &Report| r.eid == eid && r.iccid.as_ref() == Some(i);
                let mut since = self.store.reports.iter();
                since.any(|r| of(r) && hello::since(seen, context.now).contains(&r.received_at))
            };
            let reported: Vec<Iccid> = hello::differing(&card)
                .into_iter()
                .filter(reported)
                .collect();
            hello::without(&card, &reported)
        });
        let profiles = self.store.profiles_in(eid);
        let orders = self.store.open_orders(eid);
        let found = hello::compare(listed, before.as_deref(), &profiles, &orders);
        let mut decision = Decision::default();
        decision.changes.push(Change::Seen {
            eid,
            at: context.now,
            software,
            card: found.card,
        });
        for lost in found.lost {
            let detail = format!("{} in {eid}", lost.iccid);
            let report = Report {
                eid,
                seq: 0,
                iccid: Some(lost.iccid),
                account: lost.account,
                status: lost.status,
                code: 0,
                received_at: context.now,
            };
            let mut made_up = self.status(context, &report);
            made_up
                .changes
                .retain(|c| !matches!(c, Change::AddReport(_)));
            made_up
                .down
                .retain(|m| !matches!(m.body, Down::StatusAck { .. }));
            let known = |c: &Change| matches!(c, Change::PutProfile(_));
            if made_up.changes.iter().any(known) {
                decision.merge(made_up);
                let audit = context.audit("cmp", "status taken from the card", detail);
                decision.changes.push(audit);
            }
        }
        for iccid in found.missing {
            let detail = format!("{iccid} in {eid}");
            let audit = context.audit("cmp", "profile not on its card", detail);
            decision.changes.push(audit);
        }
        decision
    }
}

/// The transaction of the open order that a report is about.
fn order_behind(orders: &[Order], report: &Report) -> Option<Id> {
    if !matches!(report.status, Status::Deleted | Status::Disabled) {
        return None;
    }
    let obeyed = |o: &&Order| match (&o.kind, report.status) {
        (OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. }, _) => {
            report.iccid.as_ref() == Some(iccid)
        }
        (OrderKind::Disable { iccid }, Status::Disabled) => report.iccid.as_ref() == Some(iccid),
        (OrderKind::Erase { account }, _) => report.account == Some(*account),
        (OrderKind::DeleteAll, _) => true,
        _ => false,
    };
    orders.iter().find(obeyed).map(|o| o.correlation)
}

fn entered(message: &Outgoing) -> Option<AccountRef> {
    match &message.body {
        Down::LoginResult {
            outcome: LoginOutcome::Accepted { account, .. },
            ..
        } => Some(*account),
        _ => None,
    }
}

fn stays(eid: Eid, account: AccountRef, before: &Book, now: &Book) -> Option<Change> {
    let goes_on = before.account == Some(account);
    goes_on.then(|| Change::Fleet(FleetChange::Session(eid, now.entered(account))))
}

fn remember(context: &Context, client: String, request_id: Id) -> Change {
    Change::Remember(Answered {
        client,
        request_id,
        digest: String::new(),
        status: 0,
        body: String::new(),
        at: context.now,
    })
}

fn welcome(ack: &Outgoing, message_id: Id, revision: u8, book: &Book) -> Outgoing {
    let body = Down::Welcome {
        message_id,
        revision,
        session: book.number(),
    };
    Outgoing {
        body,
        ..ack.clone()
    }
}

fn aup(account: Option<&Account>) -> Aup {
    Aup {
        display_name: account.map_or_else(String::new, |a| a.display_name.clone()),
        msp_name: String::new(),
        masked_number: String::new(),
    }
}
