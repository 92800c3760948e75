//! Messages of cars (AID2).

use super::car_login::Begun;
use super::car_sessions::{Known, connected, entered, once};
use super::reports::locked_profile_in;
use super::{Service, attempts, fresh};
use crate::store::{StoreError, Stored, Tx};
use crate::views;
use aid_aid1::span::{Kind, Span};
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{
    Context, Decision, Outgoing, certificate, code, deletion, login, offline, order,
};
use aid_cmp_core::model::{CallKind, OrderState, Profile, Report, Vehicle};
use aid_id::{AccountRef, Eid, Iccid, Id};
use aid_wire::{Down, Envelope, LoginWay, OrderKind, OrderOutcome, REVISION, Up, announced};
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
pub(super) struct Hop {
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
pub(super) enum Follow {
    Nothing,
    /// The car does not take part.
    Foreign,
    /// A login was judged.
    Login(Option<AccountRef>, login::Verdict),
    /// A user had logged in without a connection, and is let in.
    Entered(AccountRef),
    /// A user logged out.
    Logout(AccountRef),
    /// A login by code began, or goes on.
    Code(Begun),
    /// The car said what became of an order.
    Order(Option<Hop>),
    /// The PKI is asked for the certificate of this request.
    Issue(Id),
}

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
            if let Some(shown) = certificate {
                let begins = matches!(envelope.body, Up::Hello { .. });
                let shown = hex::encode(shown);
                let changes = certificate::shown(context, &vehicle, &shown, begins);
                decision.changes.extend(changes);
            }
            login::follow_book(&mut decision, vehicle.session);
            if views::knows_fleet(&vehicle) {
                grant(context, &mut decision, &envelope);
            }
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
        if !matches!(follow, Follow::Foreign) {
            self.presence
                .heard(eid, super::now(), certificate.is_none());
        }
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
            Follow::Entered(account) => {
                tracing::info!(%eid, account = hex::encode(account.0), "login without a connection");
                let sent = self.entered(eid, account).await;
                self.or_again(eid, sent);
            }
            Follow::Order(hop) => hop.into_iter().for_each(|hop| hop.end(eid)),
            Follow::Issue(request_id) => {
                let service = Arc::clone(self);
                // The car hears when the PKI has answered; other messages of it are not kept waiting.
                tokio::spawn(async move { service.issue_and_tell(eid, request_id).await });
            }
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
                connected(&mut decision, &ack, message_id, revision, &book);
                decision
            }
            Up::Login { .. }
            | Up::LoginByCode { .. }
            | Up::NumberedLogin { .. }
            | Up::Session { .. }
            | Up::OfflineSession { .. }
            | Up::Logout { .. } => {
                let software = vehicle.software.as_deref().unwrap_or_default();
                let known = Known {
                    book,
                    revision: announced(software).min(REVISION),
                };
                return self.session(tx, context, &known, ack, envelope).await;
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
            Up::RenewCertificate {
                request_id,
                request,
            } => {
                let asked =
                    self.certificate_asked(tx, context, vehicle, request_id, &request, false);
                let (mut decision, asked) = asked.await?;
                match asked {
                    certificate::Asked::Issue => {
                        return Ok((decision, Follow::Issue(request_id)));
                    }
                    certificate::Asked::Answer(outcome) => decision.down.push(Outgoing {
                        body: Down::Certificate {
                            request_id,
                            outcome,
                        },
                        ..ack
                    }),
                }
                decision
            }
            Up::Ack { message_id } => {
                let mut request = tx.request_of_car(eid, message_id).await?;
                if let Some(found) = &request {
                    tx.lock(Lock::Account(found.account)).await?;
                    request = tx.request_of_car(eid, message_id).await?;
                }
                let mut decision = code::delivered(context, request);
                // Removed if it was revoked; the ids of messages are no verifiers' otherwise.
                let forgotten = FleetChange::RemoveVerifier(eid, message_id);
                decision.changes.push(Change::Fleet(forgotten));
                decision
            }
            Up::FactoryReset { reset_id, outcome } => {
                reset_in_car(tx, context, eid, reset_id, outcome).await?
            }
        };
        Ok((decision, Follow::Nothing))
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

/// Grants the user of a login with a PIN that was just accepted to log in without a connection, too. A login that is
/// repeated has its grant already.
fn grant(context: &Context, decision: &mut Decision, envelope: &Envelope<Up>) {
    let way = match &envelope.body {
        Up::NumberedLogin { way, .. } => way,
        _ => return,
    };
    let is_first = |c: &Change| matches!(c, Change::Remember(a) if a.client.starts_with("login "));
    if let LoginWay::Pin { .. } = way
        && decision.changes.iter().any(is_first)
        && let Some(message) = decision.down.iter().find(|m| entered(m).is_some())
        && let (eid, Some(account)) = (message.eid, entered(message))
    {
        decision.merge(offline::grant(context, eid, account));
    }
}

/// The car was reset to its factory state by whoever holds it. Its profiles it has reported one by one.
async fn reset_in_car(
    tx: &Tx<'_>,
    context: &Context,
    eid: Eid,
    reset_id: Id,
    outcome: OrderOutcome,
) -> Stored<Decision> {
    let mut decision = Decision::default();
    decision.down.push(Outgoing {
        eid,
        correlation: None,
        message_id: fresh(),
        body: Down::Ack {
            message_id: reset_id,
        },
    });
    let car = format!("reset {eid}");
    if tx.answered(&car, reset_id).await?.is_none() {
        let action = match outcome {
            OrderOutcome::Failed { .. } => "factory reset failed",
            OrderOutcome::Done | OrderOutcome::NotFound => "factory reset",
        };
        decision.changes = vec![
            once(context, car, reset_id),
            context.audit("car", action, eid.to_string()),
            context.revoke_verifiers_in(eid, None),
        ];
    }
    Ok(decision)
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
        Some(OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. }) => {
            locked_profile_in(tx, iccid, eid).await?
        }
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
        (Some(bound), Some(shown)) => {
            let shown = hex::encode(shown);
            *bound == shown || vehicle.next_certificate.as_ref() == Some(&shown)
        }
        _ => true,
    };
    vehicle.retired_at.is_none() && fits
}
