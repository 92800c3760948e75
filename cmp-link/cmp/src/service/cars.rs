//! Messages of cars, and what a car gets when it connects (AID2).
//! Called by the gateway and the workers.

use super::{Service, attempts, fresh, now};
use crate::store::{Store, Stored, Turn};
use crate::views;
use aid_aid1::span::{Kind, Span};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::{Context, Decision, Outgoing, code, deletion, login, order, tries};
use aid_cmp_core::model::{
    Account, Answered, CallKind, CallState, CodeRequest, Order, OrderState, Profile, Report,
    Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id};
use aid_wire::{Down, Envelope, LoginOutcome, OrderKind, OrderOutcome, ProfileState, Up};
use uuid::Uuid;

/// What became of a car's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is applied and on disk.
    Done,
    /// The car does not take part.
    Foreign,
}

/// The hops to and from a car that a decision ends, each as a span in the trace of its transaction: a
/// request of the car, a report of it, an activation code that it has.
fn hops(eid: Eid, decision: &Decision, now: u64) -> Vec<Option<Span>> {
    let span = |name, kind, correlation: Id| {
        Span::begin(
            name,
            kind,
            Uuid::from_bytes(correlation),
            None,
            eid.as_str(),
        )
    };
    let hop = |change: &Change| match change {
        Change::AddCall(call) if call.kind == CallKind::Status => {
            span("AID2 Status", Kind::Consumer, call.correlation)
        }
        Change::AddCall(call) if call.kind == CallKind::Code => span(
            "AID2 RequestActivationCode",
            Kind::Consumer,
            call.correlation,
        ),
        Change::PutRequest(request) if request.delivered_at == Some(now) => {
            let span = span("AID2 ActivationCode", Kind::Producer, request.correlation);
            span.map(|span| span.since(request.changed_at))
        }
        _ => None,
    };
    decision.changes.iter().map(hop).collect()
}

/// Longest user name that is looked up, bytes.
const MAX_NAME: usize = 128;

impl<S: Store> Service<S> {
    /// Whether the car takes part, and with a certificate of this SHA-256.
    ///
    /// # Errors
    /// The store failed.
    pub async fn admits(&self, eid: Eid, fingerprint: &[u8; 32]) -> Stored<bool> {
        let vehicle = self.store.vehicle(eid).await?;
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
        &self,
        eid: Eid,
        certificate: Option<&[u8; 32]>,
        envelope: Envelope<Up>,
    ) -> Stored<Taken> {
        let turn = self.store.turn().await?;
        let vehicle = self.store.vehicle(eid).await?;
        if !vehicle.is_some_and(|v| takes_part(&v, certificate)) {
            return Ok(Taken::Foreign);
        }
        self.take(turn, eid, envelope).await.map(|()| Taken::Done)
    }

    async fn take(&self, turn: Turn, eid: Eid, envelope: Envelope<Up>) -> Stored<()> {
        let context = self.context();
        let message_id = envelope.message_id;
        if envelope
            .expires_at
            .is_some_and(|end| end.saturating_mul(1000) <= context.now)
        {
            return Ok(());
        }
        let ack = Outgoing {
            eid,
            correlation: None,
            message_id: fresh(),
            body: Down::Ack { message_id },
        };
        let decision = match envelope.body {
            Up::Hello { software, profiles } => {
                let changes = vec![Change::Seen {
                    eid,
                    at: context.now,
                    software: software.chars().take(128).collect(),
                    card: card_json(&profiles),
                }];
                let down = vec![ack];
                Decision { changes, down }
            }
            Up::Login {
                login_id,
                user,
                pin,
            } => {
                self.login(&context, eid, login_id, &user, pin.expose())
                    .await?
            }
            Up::LoginByCode { login_id } => {
                return self.begin_code_login(turn, eid, login_id).await;
            }
            Up::Logout { account } => {
                let changes = self.logout(&context, eid, message_id, account).await?;
                let down = vec![ack];
                Decision { changes, down }
            }
            Up::RequestActivationCode {
                request_id,
                account,
            } => self.code(&context, eid, request_id, account, false).await?,
            Up::RequestAgain {
                request_id,
                account,
            } => self.code(&context, eid, request_id, account, true).await?,
            Up::CardFull {
                request_id,
                account,
            } => self.make_space(&context, eid, request_id, account).await?,
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
                self.status(&context, report).await?
            }
            Up::OrderResult { order_id, outcome } => {
                self.order_result(&context, eid, order_id, outcome).await?
            }
            Up::Ack { message_id } => {
                let request = self.store.request_of_car(eid, message_id).await?;
                code::delivered(&context, request)
            }
        };
        let hops = hops(eid, &decision, context.now);
        let mut decision = decision;
        for message in &mut decision.down {
            message.correlation.get_or_insert(envelope.correlation_id);
        }
        let entered = decision.down.iter().find_map(entered);
        self.carry_out(turn, decision).await?;
        hops.into_iter().flatten().for_each(|hop| hop.end(None));
        if let Some(account) = entered
            && let Some(account) = self.store.account(account).await?
        {
            self.entered(eid, &account).await?;
        }
        Ok(())
    }

    /// Sends a user who has just logged in to a car what waited for that: the AID User Profile, and the codes that came
    /// while the user was not there. Nothing, if the session has ended meanwhile.
    pub(super) async fn entered(&self, eid: Eid, account: &Account) -> Stored<()> {
        if !self.is_in(eid, account.id).await? {
            return Ok(());
        }
        self.send_user_profile(eid, account).await?;
        for request in self.store.undelivered(eid).await? {
            let message = code::message(&request, fresh);
            if code::holder(&message) == Some(account.id) {
                self.tell(&message);
            }
        }
        Ok(())
    }

    async fn login(
        &self,
        context: &Context,
        eid: Eid,
        login_id: Id,
        user: &str,
        pin: &str,
    ) -> Stored<Decision> {
        let name = user.trim().to_lowercase();
        let account = if name.len() <= MAX_NAME {
            self.store.account_named(&name).await?
        } else {
            None
        };
        let key = &self.config.pin_key;
        // The same is looked up whether or not anybody has the name, so that the time tells nothing.
        let keys = tries::Keys::new(&tries::prefix(key, &name), eid);
        let mut tries = tries::Tries::default();
        for (attempts, key) in tries.0.iter_mut().zip(&keys.0) {
            *attempts = self.store.attempts(key).await?;
        }
        let id = account.as_ref().map_or(AccountRef([0; 16]), |a| a.id);
        let mut view = login::View {
            known_here: self.store.has_logged_in(eid, id).await?,
            account,
            tries,
            aup: self.aup("", None),
            profiles: Vec::new(),
        };
        let verdict = login::judge(&view, login_id, pin, key, context.now);
        attempts::note_car(eid, view.account.as_ref(), verdict);
        if verdict == login::Verdict::Accepted {
            let tries = view.tries;
            view = self.login_view(view.account, eid).await?;
            view.tries = tries;
        }
        let mut decision = login::login(context, view, &keys, eid, login_id, pin, key);
        if decision
            .down
            .iter()
            .any(|message| entered(message).is_some())
        {
            let car = format!("login {eid}");
            if self.store.answered(&car, login_id).await?.is_some() {
                // It had its session, which may have ended since: a repetition begins none.
                decision.keep_session();
            } else {
                decision.changes.push(once(context, car, login_id));
            }
        }
        Ok(decision)
    }

    /// The session of an account in a car ends. Said again after the user came back, it is not the new session's end; nor
    /// is that of a user who was there before the present one.
    async fn logout(
        &self,
        context: &Context,
        eid: Eid,
        message_id: Id,
        account: AccountRef,
    ) -> Stored<Vec<Change>> {
        let car = format!("logout {eid}");
        if self.store.answered(&car, message_id).await?.is_some() {
            return Ok(Vec::new());
        }
        tracing::info!(%eid, account = hex::encode(account.0), "logout");
        Ok(vec![
            Change::Fleet(FleetChange::Leave(eid, account)),
            once(context, car, message_id),
        ])
    }

    /// What is known of a user who may enter a car, failed attempts aside.
    pub(super) async fn login_view(
        &self,
        account: Option<Account>,
        eid: Eid,
    ) -> Stored<login::View> {
        let (mut known_here, mut profiles) = (false, Vec::new());
        let mut aup = self.aup("", None);
        if let Some(account) = &account {
            known_here = self.store.has_logged_in(eid, account.id).await?;
            // R-2-11, R-4.3-5: the profiles of the subscription that serves the user here.
            let federation = self.serving(account.id, Some(eid)).await?;
            aup = self.aup(&account.display_name, federation.as_ref());
            if let Some(federation) = federation {
                profiles = self.store.profiles(Some(federation.id)).await?;
            }
        }
        Ok(login::View {
            account,
            tries: tries::Tries::default(),
            known_here,
            aup,
            profiles,
        })
    }

    async fn code(
        &self,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
        again: bool,
    ) -> Stored<Decision> {
        let mut view = code::View {
            existing: self.store.request_of_car(eid, car_request).await?,
            ..code::View::default()
        };
        // R-2-10: who was here once may be anywhere now.
        view.logged_in = self.is_in(eid, account).await?;
        if let Some(existing) = &view.existing {
            let owner = self.store.federation_by_id(existing.federation).await?;
            view.existing_ended = owner.is_none_or(|f| f.ended_at.is_some());
        } else {
            view.federation = self.serving(account, Some(eid)).await?;
            if let Some(federation) = &view.federation {
                view.requests = self.store.requests(federation.id).await?;
                view.profiles = self.store.profiles(Some(federation.id)).await?;
                view.held = self.store.hold(federation.id, eid).await?;
                view.again = again;
                view.deleting = self.deleting(&view.profiles).await?;
            } else {
                let all = self.store.federations(Some(account)).await?;
                view.ended = all.into_iter().max_by_key(|f| f.ended_at);
            }
        }
        Ok(code::request(context, view, eid, car_request, account))
    }

    /// The card is full: the profile that was not used for the longest time makes space (A.4).
    async fn make_space(
        &self,
        context: &Context,
        eid: Eid,
        car_request: Id,
        account: AccountRef,
    ) -> Stored<Decision> {
        let request = self.store.request_of_car(eid, car_request).await?;
        let asked = request.filter(|r| r.account == account);
        let vehicle = self.store.vehicle(eid).await?;
        let (mut decision, granted) = match (asked, vehicle) {
            (Some(request), Some(vehicle)) => {
                let car = views::car(&self.store, vehicle, |m| self.wants_deletions(m)).await?;
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

    /// Which of these profiles are to be deleted.
    async fn deleting(&self, profiles: &[Profile]) -> Stored<Vec<Iccid>> {
        let mut list = Vec::new();
        for profile in profiles.iter().filter(|p| p.status.may_be_on_card()) {
            let orders = self.store.orders(Some(profile.eid), true).await?;
            if orders.iter().any(|o| o.deletes(&profile.iccid)) {
                list.push(profile.iccid.clone());
            }
        }
        Ok(list)
    }

    async fn order_result(
        &self,
        context: &Context,
        eid: Eid,
        order_id: Id,
        outcome: OrderOutcome,
    ) -> Stored<Decision> {
        let order = self.store.order(order_id).await?;
        let profile = match order.as_ref().map(|o| &o.kind) {
            Some(OrderKind::Delete { iccid }) => self.profile_in(iccid, eid).await?,
            _ => None,
        };
        // The hop to the car, from the first sending to its word.
        if let Some(order) = order.as_ref().filter(|o| o.state == OrderState::Open)
            && let transaction = Uuid::from_bytes(order.correlation)
            && let Some(span) = Span::begin(
                "AID2 Order",
                Kind::Producer,
                transaction,
                None,
                eid.as_str(),
            )
        {
            span.since(order.sent_at.unwrap_or(order.created_at))
                .end(None);
        }
        Ok(order::result(
            context, order, profile, eid, order_id, outcome,
        ))
    }

    /// Whether anything waits for a car.
    pub(crate) async fn has_work(&self, eid: Eid) -> Stored<bool> {
        Ok(!self.store.orders(Some(eid), true).await?.is_empty()
            || !self.store.undelivered(eid).await?.is_empty())
    }

    /// Cuts off the cars that were retired since this time, and connections whose certificate was replaced since then: a
    /// session whose queue has no sender ends.
    ///
    /// # Errors
    /// The store failed.
    pub async fn cut_off(&self, since: u64) -> Stored<()> {
        for eid in self.store.barred_since(since).await? {
            let Some(shown) = self.certificate_of(eid) else {
                continue;
            };
            let vehicle = self.store.vehicle(eid).await?;
            if !vehicle.is_some_and(|v| takes_part(&v, shown.as_ref())) {
                tracing::info!(%eid, "a car that does not take part any more, or with another certificate, is cut off");
                self.gone(eid);
            }
        }
        Ok(())
    }

    /// Sends a car that has just connected what it has not journalled yet.
    ///
    /// # Errors
    /// The store failed.
    pub async fn greet(&self, eid: Eid) -> Stored<()> {
        let _turn = self.store.turn().await?;
        self.outstanding(eid).await
    }

    async fn outstanding(&self, eid: Eid) -> Stored<()> {
        for request in self.store.undelivered(eid).await? {
            let message = code::message(&request, fresh);
            if self.is_for_who_is_in(&message).await? {
                self.tell(&message);
            }
        }
        let orders = self.store.orders(Some(eid), true).await?;
        self.send_orders(&orders).await
    }

    /// Sends again what cars that are connected have not journalled, and orders that an operator gave
    /// since `since`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remind(&self, since: u64) -> Stored<()> {
        let _turn = self.store.turn().await?;
        for eid in self.due_again(now()) {
            if self.is_online(eid) {
                self.outstanding(eid).await?;
            }
        }
        if self.store.shared() {
            // Another instance may have decided for a car that is connected here.
            for request in self.store.news(since).await? {
                if self.is_online(request.eid) && !self.is_waiting(request.eid) {
                    let message = code::message(&request, fresh);
                    if self.is_for_who_is_in(&message).await? {
                        self.tell(&message);
                    }
                }
            }
        }
        let mut new = self.store.unsent(since).await?;
        new.retain(|o| self.is_online(o.eid));
        self.send_orders(&new).await
    }

    async fn send_orders(&self, orders: &[Order]) -> Stored<()> {
        let mut sent = Vec::new();
        for order in orders {
            if self.tell(&order::message(order)) {
                sent.push(Change::OrderSent(order.id, now()));
            }
        }
        self.store.commit(sent).await
    }

    /// Removes what is of no more use: old repetitions, sessions, reports, unfinished onboardings.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prune(&self) -> Stored<()> {
        self.store.commit(vec![Change::Prune(now())]).await
    }

    /// Ends requests whose code did not come in time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn expire(&self) -> Stored<()> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let mut all = Decision::default();
        for request in self.store.overdue(context.now).await? {
            if request.expires_at > context.now {
                // Its end was set under a wrong clock: it is set anew.
                let bounded = CodeRequest {
                    expires_at: context.now.saturating_add(code::WAIT_MS),
                    ..request
                };
                all.changes.push(Change::PutRequest(bounded));
                continue;
            }
            let decision = code::expired(&context, &request);
            all.down.extend(decision.down);
            all.changes.extend(decision.changes);
            let dropped = Change::CloseCall(request.id, CallState::Dropped, context.now);
            all.changes.push(dropped);
        }
        self.carry_out(turn, all).await
    }
}

/// Whether a car takes part with the certificate that it has shown; none: a broker has judged that.
fn takes_part(vehicle: &Vehicle, shown: Option<&[u8; 32]>) -> bool {
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

/// What is on a card, for support.
fn card_json(profiles: &[ProfileState]) -> String {
    let list: Vec<_> = profiles
        .iter()
        .take(64)
        .map(|p| {
            let state = aid_cmp_core::model::ProfileStatus::from(p.state).as_str();
            serde_json::json!({"iccid": p.iccid.as_str(), "state": state})
        })
        .collect();
    serde_json::Value::from(list).to_string()
}
