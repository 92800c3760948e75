//! Messages of cars (AID2).

use super::car_login::Begun;
use super::reports::locked_profile_in;
use super::{Service, attempts, fresh};
use crate::store::{StoreError, Stored, Tx};
use crate::views;
use aid_aid1::span::{Kind, Span};
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_cmp_core::decide::removal;
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{
    Context, Decision, Outgoing, car_login, code, deletion, login, order, tries,
};
use aid_cmp_core::model::{Account, Answered, CallKind, OrderState, Profile, Report, Vehicle};
use aid_id::{AccountRef, Eid, Iccid, Id, Secret};
use aid_wire::{
    Down, Envelope, LoginOutcome, LoginWay, OrderKind, OrderOutcome, REVISION, SESSION_REVISION,
    Up, announced,
};
use std::sync::Arc;
use uuid::Uuid;

/// What became of a car's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is applied and on disk.
    Done,
    /// The car does not take part.
    Foreign,
}

/// A hop to or from a car that a decision ends, as a span in the trace of its transaction.
#[derive(Debug)]
struct Hop {
    name: &'static str,
    kind: Kind,
    correlation: Id,
    /// When it began, Unix milliseconds.
    since: u64,
}

impl Hop {
    fn end(self, eid: Eid) {
        let transaction = Uuid::from_bytes(self.correlation);
        if let Some(span) = Span::begin(self.name, self.kind, transaction, None, eid.as_str()) {
            span.since(self.since).end(None);
        }
    }
}

/// The hops that a decision ends: a request of the car, a report of it, an activation code that it has.
fn hops(decision: &Decision, now: u64) -> impl Iterator<Item = Hop> {
    let hop = move |change: &Change| {
        let (name, kind, correlation, since) = match change {
            Change::AddCall(call) if call.kind == CallKind::Status => {
                ("AID2 Status", Kind::Consumer, call.correlation, now)
            }
            Change::AddCall(call) if call.kind == CallKind::Code => (
                "AID2 RequestActivationCode",
                Kind::Consumer,
                call.correlation,
                now,
            ),
            Change::PutRequest(request) if request.delivered_at == Some(now) => (
                "AID2 ActivationCode",
                Kind::Producer,
                request.correlation,
                request.changed_at,
            ),
            _ => return None,
        };
        Some(Hop {
            name,
            kind,
            correlation,
            since,
        })
    };
    decision.changes.iter().filter_map(hop)
}

/// What is left to do when the decision about a message is on disk.
#[derive(Debug)]
enum Follow {
    Nothing,
    /// The car does not take part.
    Foreign,
    /// A login was judged.
    Login(Option<AccountRef>, login::Verdict),
    /// A user logged out.
    Logout(AccountRef),
    /// A login by code began, or goes on.
    Code(Begun),
    /// The car said what became of an order.
    Order(Option<Hop>),
}

/// A login with a PIN.
#[derive(Debug)]
struct Login {
    login_id: Id,
    user: String,
    pin: Secret,
}

/// Longest user name that is looked up, bytes.
const MAX_NAME: usize = 128;

impl Service {
    /// Whether the car takes part, and with a certificate of this SHA-256.
    ///
    /// # Errors
    /// The store failed.
    pub async fn admits(self: &Arc<Self>, eid: Eid, fingerprint: &[u8; 32]) -> Stored<bool> {
        let vehicle = self.look(async move |_, tx| tx.vehicle(eid).await).await?;
        Ok(vehicle.is_some_and(|v| takes_part(&v, Some(fingerprint))))
    }

    /// Takes a message. `certificate` is the SHA-256 of the certificate that the connection has shown; none behind a
    /// broker, which judges certificates. When this returns without error the message is on disk, and may be
    /// acknowledged; `Taken::Foreign`: the car does not take part any more, or with another certificate, and nothing was
    /// done.
    ///
    /// # Errors
    /// The store failed; the car sends it again.
    pub async fn up(
        self: &Arc<Self>,
        eid: Eid,
        certificate: Option<&[u8; 32]>,
        envelope: Envelope<Up>,
    ) -> Stored<Taken> {
        let certificate = certificate.copied();
        let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
            let vehicle = tx.locked_vehicle(eid).await?;
            let takes_part = |v: &Vehicle| takes_part(v, certificate.as_ref());
            let Some(vehicle) = vehicle.filter(takes_part) else {
                return Ok((Decision::default(), (Follow::Foreign, Vec::new(), None)));
            };
            let over = |end: u64| end.saturating_mul(1000) <= context.now;
            if envelope.expires_at.is_some_and(over) {
                return Ok((Decision::default(), (Follow::Nothing, Vec::new(), None)));
            }
            let heard = service.heard(tx, context, &vehicle, &envelope).await?;
            let (mut decision, follow) = heard;
            if !matches!(follow, Follow::Code(_)) {
                for message in &mut decision.down {
                    message.correlation.get_or_insert(envelope.correlation_id);
                }
            }
            let hops: Vec<Hop> = hops(&decision, context.now).collect();
            let enters = decision.down.iter().find_map(entered);
            Ok::<_, StoreError>((decision, (follow, hops, enters)))
        };
        let (follow, hops, enters) = self.decide(decide).await?;
        hops.into_iter().for_each(|hop| hop.end(eid));
        match follow {
            Follow::Nothing => {}
            Follow::Foreign => return Ok(Taken::Foreign),
            Follow::Login(account, verdict) => attempts::note_car(eid, account, verdict),
            Follow::Logout(account) => {
                tracing::info!(%eid, account = hex::encode(account.0), "logout");
            }
            Follow::Code(begun) => {
                self.begun(eid, begun).await;
                return Ok(Taken::Done);
            }
            Follow::Order(hop) => hop.into_iter().for_each(|hop| hop.end(eid)),
        }
        if let Some(account) = enters {
            let sent = self.entered(eid, account).await;
            self.or_again(eid, sent);
        }
        Ok(Taken::Done)
    }

    /// Decides about a message of a car that takes part. The car is locked.
    async fn heard(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        vehicle: &Vehicle,
        envelope: &Envelope<Up>,
    ) -> Stored<(Decision, Follow)> {
        let (eid, book) = (vehicle.eid, Book::of(vehicle));
        let message_id = envelope.message_id;
        let ack = Outgoing {
            eid,
            correlation: None,
            message_id: fresh(),
            body: Down::Ack { message_id },
        };
        let decision = match envelope.body.clone() {
            Up::Hello { software, profiles } => {
                let revision = announced(&software).min(REVISION);
                let mut decision = self.hello(tx, context, eid, software, &profiles).await?;
                if revision >= SESSION_REVISION {
                    let book = book.connected();
                    let change = FleetChange::Session(eid, book);
                    decision.changes.push(Change::Fleet(change));
                    decision
                        .down
                        .push(welcome(&ack, message_id, revision, &book));
                } else {
                    decision.down.push(ack);
                }
                decision
            }
            Up::Login {
                login_id,
                user,
                pin,
            } => {
                let login = Login {
                    login_id,
                    user,
                    pin,
                };
                return self.login(tx, context, eid, login, &book, Some(book)).await;
            }
            Up::LoginByCode { login_id } => {
                let (decision, begun) = self.begin_code_login(tx, context, eid, login_id).await?;
                return Ok((decision, Follow::Code(begun)));
            }
            Up::NumberedLogin { number, .. } | Up::Session { number, .. }
                if number < book.number() =>
            {
                let down = vec![welcome(&ack, message_id, REVISION, &book)];
                let changes = Vec::new();
                return Ok((Decision { changes, down }, Follow::Nothing));
            }
            Up::NumberedLogin {
                number,
                account,
                login_id,
                way,
            } => {
                let now = alive(tx, &book, book.state(number, account)).await?;
                return self
                    .numbered_login(tx, context, eid, login_id, way, (&book, now))
                    .await;
            }
            Up::Session { number, account } => {
                let (mut decision, mut follow) = (Decision::default(), Follow::Nothing);
                if let Some(now) = alive(tx, &book, book.state(number, account)).await? {
                    let change = FleetChange::Session(eid, now);
                    decision.changes.push(Change::Fleet(change));
                    let code = tx.login_code_of(eid).await?;
                    let over = code.and_then(car_login::given_up);
                    decision.changes.extend(over);
                    if let Some(left) = book.account.filter(|a| now.account != Some(*a)) {
                        follow = Follow::Logout(left);
                    }
                }
                decision.down.push(ack);
                return Ok((decision, follow));
            }
            Up::Logout { account } => {
                let changes = logout(tx, context, eid, message_id, account).await?;
                let follow = match changes.is_empty() {
                    true => Follow::Nothing,
                    false => Follow::Logout(account),
                };
                let down = vec![ack];
                return Ok((Decision { changes, down }, follow));
            }
            Up::RequestActivationCode {
                request_id,
                account,
            } => {
                self.code(tx, context, eid, request_id, account, false)
                    .await?
            }
            Up::RequestAgain {
                request_id,
                account,
            } => {
                self.code(tx, context, eid, request_id, account, true)
                    .await?
            }
            Up::CardFull {
                request_id,
                account,
            } => {
                self.make_space(tx, context, eid, request_id, account)
                    .await?
            }
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
                self.status(tx, context, report).await?
            }
            Up::OrderResult { order_id, outcome } => {
                let (decision, hop) = order_result(tx, context, eid, order_id, outcome).await?;
                return Ok((decision, Follow::Order(hop)));
            }
            Up::Ack { message_id } => {
                let mut request = tx.request_of_car(eid, message_id).await?;
                if let Some(found) = &request {
                    tx.lock(Lock::Account(found.account)).await?;
                    request = tx.request_of_car(eid, message_id).await?;
                }
                code::delivered(context, request)
            }
        };
        Ok((decision, Follow::Nothing))
    }

    /// Sends a user who has just logged in to a car what waited for that: the AID User Profile, and the codes that came
    /// while the user was not there. Nothing, if the session has ended meanwhile.
    pub(super) async fn entered(self: &Arc<Self>, eid: Eid, account: AccountRef) -> Stored<()> {
        let look = async move |service: &Self, tx: &Tx<'_>| {
            let mut messages = Vec::new();
            let Some(user) = tx.account(account).await? else {
                return Ok(messages);
            };
            if !service.is_in(tx, eid, account).await? {
                return Ok(messages);
            }
            messages.push(service.user_profile_message(tx, eid, &user).await?);
            for request in tx.undelivered(eid).await? {
                let message = code::message(&request, fresh);
                if code::holder(&message) == Some(account) {
                    messages.push(message);
                }
            }
            Ok(messages)
        };
        self.tell_seen(eid, look).await
    }

    /// A login of a car that numbers its sessions: `before` is the book of its session, `now` what the car says of it;
    /// none: it has said that already.
    async fn numbered_login(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        login_id: Id,
        way: LoginWay,
        (before, now): (&Book, Option<Book>),
    ) -> Stored<(Decision, Follow)> {
        let (mut decision, follow) = match way {
            LoginWay::Pin { user, pin } => {
                let login = Login {
                    login_id,
                    user,
                    pin,
                };
                let judged = self.login(tx, context, eid, login, before, now);
                let (mut decision, follow) = judged.await?;
                let code = tx.login_code_of(eid).await?;
                let over = code.filter(|_| now.is_some());
                decision.changes.extend(over.and_then(car_login::given_up));
                (decision, follow)
            }
            LoginWay::Code => {
                let begun = self.begin_code_login(tx, context, eid, login_id).await?;
                let (mut decision, begun) = begun;
                if let (Some(now), Begun::Entered(account)) = (now, begun) {
                    decision.changes.extend(stays(eid, account, before, &now));
                }
                (decision, Follow::Code(begun))
            }
        };
        if let Some(now) = now {
            let change = Change::Fleet(FleetChange::Session(eid, now));
            decision.changes.insert(0, change);
        }
        Ok((decision, follow))
    }

    async fn login(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        login: Login,
        before: &Book,
        now: Option<Book>,
    ) -> Stored<(Decision, Follow)> {
        let (login_id, pin) = (login.login_id, login.pin.expose());
        let name = login.user.trim().to_lowercase();
        let mut account = None;
        if name.len() <= MAX_NAME
            && let Some(found) = tx.account_named(&name).await?
        {
            let locked = tx.locked_account(found.id).await?;
            account = locked.filter(|a| a.name == name);
        }
        let id = account.as_ref().map(|a| a.id);
        let known = id.unwrap_or(AccountRef([0; 16]));
        if id.is_none() {
            // The same is looked up whether or not anybody has the name, so that the time tells nothing.
            tx.locked_account(known).await?;
        }
        let key = &self.config.pin_key;
        let keys = tries::Keys::new(&tries::prefix(key, &name), eid);
        for key in keys.in_lock_order() {
            tx.lock(Lock::Attempts(key.clone())).await?;
        }
        let mut tries = tries::Tries::default();
        for (attempts, key) in tries.0.iter_mut().zip(&keys.0) {
            *attempts = tx.attempts(key).await?;
        }
        let mut view = login::View {
            known_here: tx.has_logged_in(eid, known).await?,
            account,
            tries,
            aup: self.aup("", None),
            profiles: Vec::new(),
            book: None,
        };
        let verdict = login::judge(&view, login_id, pin, key, context.now);
        if verdict == login::Verdict::Accepted {
            let tries = view.tries;
            view = self.login_view(tx, view.account, eid).await?;
            view.tries = tries;
            view.book = now;
        }
        let mut decision = login::login(context, view, &keys, eid, login_id, pin, key);
        if let Some(account) = decision.down.iter().find_map(entered) {
            let car = format!("login {eid}");
            if tx.answered(&car, login_id).await?.is_some() {
                // It had its session, which may have ended since: a repetition begins none.
                decision.keep_session();
                let stays = now.and_then(|now| stays(eid, account, before, &now));
                decision.changes.extend(stays);
            } else {
                decision.changes.push(once(context, car, login_id));
            }
        }
        Ok((decision, Follow::Login(id, verdict)))
    }

    /// What is known of a user who may enter a car, failed attempts aside.
    pub(super) async fn login_view(
        &self,
        tx: &Tx<'_>,
        account: Option<Account>,
        eid: Eid,
    ) -> Stored<login::View> {
        let (mut known_here, mut profiles) = (false, Vec::new());
        let mut aup = self.aup("", None);
        if let Some(account) = &account {
            known_here = tx.has_logged_in(eid, account.id).await?;
            // R-2-11, R-4.3-5: the profiles of the subscription that serves the user here.
            let federation = self.serving(tx, account.id, Some(eid)).await?;
            aup = self.aup(&account.display_name, federation.as_ref());
            if let Some(federation) = federation {
                profiles = tx.profiles(federation.id).await?;
            }
        }
        Ok(login::View {
            account,
            tries: tries::Tries::default(),
            known_here,
            aup,
            profiles,
            book: None,
        })
    }

    /// A car asks for a code.
    async fn code(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
        again: bool,
    ) -> Stored<Decision> {
        tx.lock(Lock::Account(account)).await?;
        let mut view = code::View {
            existing: tx.request_of_car(eid, car_request).await?,
            ..code::View::default()
        };
        // R-2-10: who was here once may be anywhere now.
        view.logged_in = self.is_in(tx, eid, account).await?;
        if let Some(existing) = &view.existing {
            let owner = tx.federation_by_id(existing.federation).await?;
            view.existing_ended = owner.is_none_or(|f| f.ended_at.is_some());
        } else {
            view.federation = self.serving(tx, account, Some(eid)).await?;
            if let Some(federation) = &view.federation {
                view.requests = tx.requests(federation.id).await?;
                view.profiles = tx.profiles(federation.id).await?;
                view.held = tx.hold(federation.id, eid).await?;
                view.again = again;
                view.doubt = tx.doubt(federation.id).await?;
                view.without_imei = self.msp(&federation.msp).is_some_and(|m| m.without_imei);
                view.deleting = deleting(tx, &view.profiles).await?;
            } else {
                let all = tx.federations(account).await?;
                view.ended = all.into_iter().max_by_key(|f| f.ended_at);
            }
        }
        Ok(code::request(context, view, eid, car_request, account))
    }

    /// The card is full: the profile that was not used for the longest time makes space (A.4).
    async fn make_space(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
    ) -> Stored<Decision> {
        let request = tx.request_of_car(eid, car_request).await?;
        let asked = request.filter(|r| r.account == account);
        let vehicle = tx.vehicle(eid).await?;
        let (mut decision, granted) = match (asked, vehicle) {
            (Some(request), Some(vehicle)) => {
                let car = views::car(tx, vehicle, |m| self.wants_deletions(m)).await?;
                let (mut decision, granted) =
                    deletion::make_space(context, &car, request.federation);
                decision.belongs_to(request.correlation);
                (decision, granted)
            }
            _ => (Decision::default(), false),
        };
        decision.down.push(Outgoing {
            eid,
            correlation: None,
            message_id: fresh(),
            body: Down::Space {
                request_id: car_request,
                granted,
            },
        });
        Ok(decision)
    }
}

/// A session that a login has begun goes on when the car repeats the login, unless it has ended since.
fn stays(eid: Eid, account: AccountRef, before: &Book, now: &Book) -> Option<Change> {
    let goes_on = before.account == Some(account);
    goes_on.then(|| Change::Fleet(FleetChange::Session(eid, now.entered(account))))
}

/// A state of a session without a user who was erased since: whom a login replaced is noted without a reference.
async fn alive(tx: &Tx<'_>, book: &Book, now: Option<Book>) -> Stored<Option<Book>> {
    let Some(mut now) = now else {
        return Ok(None);
    };
    if let Some(back) = now.account.filter(|a| book.account != Some(*a)) {
        let known = tx.account(back).await?;
        if known.is_none_or(|account| removal::is_erased(&account)) {
            now.account = None;
        }
    }
    Ok(Some(now))
}

/// In the place of the acknowledgement of a message: the number that the book has.
fn welcome(ack: &Outgoing, message_id: Id, revision: u8, book: &Book) -> Outgoing {
    let body = Down::Welcome {
        message_id,
        revision,
        session: book.number(),
    };
    Outgoing {
        eid: ack.eid,
        message_id: ack.message_id,
        correlation: ack.correlation,
        body,
    }
}

/// The session of an account in a car ends. Said again after the user came back, it is not the new session's end; nor
/// is that of a user who was there before the present one.
async fn logout(
    tx: &Tx<'_>,
    context: &Context,
    eid: Eid,
    message_id: Id,
    account: AccountRef,
) -> Stored<Vec<Change>> {
    let car = format!("logout {eid}");
    if tx.answered(&car, message_id).await?.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![
        Change::Fleet(FleetChange::Leave(eid, account)),
        once(context, car, message_id),
    ])
}

/// Which of these profiles are to be deleted.
async fn deleting(tx: &Tx<'_>, profiles: &[Profile]) -> Stored<Vec<Iccid>> {
    let mut list = Vec::new();
    for profile in profiles.iter().filter(|p| p.status.may_be_on_card()) {
        let orders = tx.open_orders(profile.eid).await?;
        if orders.iter().any(|o| o.deletes(&profile.iccid)) {
            list.push(profile.iccid.clone());
        }
    }
    Ok(list)
}

/// Decides about the result of an order, and yields the hop to the car, from the first sending to its word.
async fn order_result(
    tx: &Tx<'_>,
    context: &Context,
    eid: Eid,
    order_id: Id,
    outcome: OrderOutcome,
) -> Stored<(Decision, Option<Hop>)> {
    let order = tx.order(order_id).await?;
    let profile = match order.as_ref().map(|o| &o.kind) {
        Some(OrderKind::Delete { iccid }) => locked_profile_in(tx, iccid, eid).await?,
        _ => None,
    };
    let open = order.as_ref().filter(|o| o.state == OrderState::Open);
    let hop = open.map(|order| Hop {
        name: "AID2 Order",
        kind: Kind::Producer,
        correlation: order.correlation,
        since: order.sent_at.unwrap_or(order.created_at),
    });
    let decision = order::result(context, order, profile, eid, order_id, outcome);
    Ok((decision, hop))
}

/// Whether a car takes part with the certificate that it has shown; none: a broker has judged that.
pub(super) fn takes_part(vehicle: &Vehicle, shown: Option<&[u8; 32]>) -> bool {
    let fits = match (&vehicle.certificate, shown) {
        (Some(bound), Some(shown)) => *bound == hex::encode(shown),
        _ => true,
    };
    vehicle.retired_at.is_none() && fits
}

/// Notes that a car's message was taken, so that its repetition can be told from a new one.
fn once(context: &Context, client: String, request_id: Id) -> Change {
    Change::Remember(Answered {
        client,
        request_id,
        digest: String::new(),
        status: 0,
        body: String::new(),
        at: context.now,
    })
}

/// Who enters a car by this message.
fn entered(message: &Outgoing) -> Option<AccountRef> {
    match &message.body {
        Down::LoginResult {
            outcome: LoginOutcome::Accepted { account, .. },
            ..
        } => Some(*account),
        _ => None,
    }
}
