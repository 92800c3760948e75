//! What a car that is connected still has to get: answers to its requests and orders that it has not journalled
//! (R-4.3.1-18). Read and sent; nothing is decided.

use super::cars::takes_part;
use super::connections::{Source, Told};
use super::upkeep::PAGE;
use super::{Service, fresh, now};
use crate::store::{Bar, Stored, Tx};
use crate::views;
use aid_cmp_core::decide::{Outgoing, code, offline};
use aid_id::Eid;
use aid_wire::Down;
use std::sync::Arc;

/// How often what is outstanding is read again because a decision spoke meanwhile.
const TRIES: usize = 3;

impl Service {
    /// Cuts off the cars that were retired since this time, and connections whose certificate was replaced since then: a
    /// session whose queue has no sender ends.
    ///
    /// # Errors
    /// The store failed.
    pub async fn cut_off(self: &Arc<Self>, since: u64) -> Stored<()> {
        for bar in [Bar::Retired, Bar::Bound] {
            let mut after = None;
            loop {
                let barred = self.look(async move |_, tx| tx.barred(bar, since, after, PAGE).await);
                let barred = barred.await?;
                after = barred.last().copied();
                for (_, eid) in barred {
                    self.cut_off_if_barred(eid).await?;
                }
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn cut_off_if_barred(self: &Arc<Self>, eid: Eid) -> Stored<()> {
        let Some(shown) = self.connections.certificate_of(eid) else {
            return Ok(());
        };
        let vehicle = self.look(async move |_, tx| tx.vehicle(eid).await).await?;
        if !vehicle.is_some_and(|v| takes_part(&v, shown.as_ref())) {
            tracing::info!(%eid, "a car that does not take part any more, or with another certificate, is cut off");
            self.gone(eid);
        }
        Ok(())
    }

    /// Sends a car that has just connected what it has not journalled yet.
    ///
    /// # Errors
    /// The store failed.
    pub async fn greet(self: &Arc<Self>, eid: Eid) -> Stored<()> {
        self.tell_seen(eid, async move |_: &Self, tx: &Tx<'_>| {
            outstanding(tx, eid).await
        })
        .await
    }

    /// Sends again what cars that are connected have not journalled, and orders that an operator gave
    /// since `since`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remind(self: &Arc<Self>, since: u64) -> Stored<()> {
        for eid in self.connections.due_again(now()) {
            if self.is_online(eid) {
                let sent = self.greet(eid).await;
                self.or_again(eid, sent);
            }
        }
        let news = self.remind_of_news(since).await;
        let revoked = self.remind_of_revocations(since).await;
        self.remind_of_orders(since).await.and(news).and(revoked)
    }

    /// Says to cars that are connected here which verifiers were revoked since `since`. Others hear of it when they connect.
    async fn remind_of_revocations(self: &Arc<Self>, since: u64) -> Stored<()> {
        let mut after = None;
        loop {
            let look = async move |service: &Self, tx: &Tx<'_>| {
                let page = tx.verifiers_revoked(since, after, PAGE).await?;
                let mut messages = Vec::new();
                for verifier in page.iter().filter(|v| service.is_online(v.eid)) {
                    let vehicle = tx.vehicle(verifier.eid).await?;
                    if vehicle.is_some_and(|v| views::knows_fleet(&v)) {
                        let (eid, account) = (verifier.eid, verifier.account);
                        messages.push(offline::revocation(eid, account, verifier.id));
                    }
                }
                Ok((page.last().copied(), messages))
            };
            let (last, messages) = self.look(look).await?;
            for message in &messages {
                self.tell(message);
            }
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    /// Sends the orders that were given since `since`, by an operator or another instance, to cars that are connected here.
    async fn remind_of_orders(self: &Arc<Self>, since: u64) -> Stored<()> {
        let mut after = None;
        loop {
            let look = async move |service: &Self, tx: &Tx<'_>| {
                let page = tx.unsent(since, after, PAGE).await?;
                let last = page.last().map(|(position, o)| (o.created_at, *position));
                let mut messages = Vec::new();
                for (_, order) in page.iter().filter(|(_, o)| service.is_online(o.eid)) {
                    messages.extend(views::order_message(tx, order).await?);
                }
                Ok((last, messages))
            };
            let (last, messages) = self.look(look).await?;
            if last.is_none() {
                return Ok(());
            }
            after = last;
            let sent = messages.iter().filter(|message| self.tell(message));
            self.sent(sent.map(|message| message.message_id).collect())
                .await?;
        }
    }

    /// Sends the answers that another instance decided since `since` for cars that are connected here.
    async fn remind_of_news(self: &Arc<Self>, since: u64) -> Stored<()> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let news = self.look(async move |_, tx| tx.news(since, after, PAGE).await);
            let news = news.await?;
            let Some(last) = news.last() else {
                return Ok(());
            };
            after = Some((last.changed_at, last.id));
            let mut cars: Vec<Eid> = news.into_iter().map(|request| request.eid).collect();
            cars.sort_unstable();
            cars.dedup();
            for eid in cars {
                if self.is_online(eid) && !self.connections.is_waiting(eid) {
                    let look = async move |_: &Self, tx: &Tx<'_>| answers(tx, eid).await;
                    let sent = self.tell_seen(eid, look).await;
                    self.or_again(eid, sent);
                }
            }
        }
    }

    /// Logs a failure to send to a car, and sends again later. The decision behind it is on disk, so it has not failed,
    /// and the other cars must not wait.
    pub(super) fn or_again(&self, eid: Eid, sent: Stored<()>) {
        if let Err(error) = sent {
            tracing::error!(%eid, %error, "a message was not sent; it is sent again");
            self.connections.again(eid);
        }
    }

    /// Sends a car what `look` finds for it. Where a decision answers a request of the car meanwhile, what was read may be
    /// old, such as a code that was recalled: then it is read again.
    pub(super) async fn tell_seen(
        self: &Arc<Self>,
        eid: Eid,
        look: impl for<'t> AsyncFn(&'t Self, &'t Tx<'t>) -> Stored<Vec<Outgoing>>
        + Clone
        + Send
        + 'static,
    ) -> Stored<()> {
        for _ in 0..TRIES {
            let before = Source::Read(self.connections.answers(eid));
            let again = look.clone();
            let read = async move |service: &Self, tx: &Tx<'_>| again(service, tx).await;
            let (mut sent, mut overtaken) = (Vec::new(), false);
            for message in &self.look(read).await? {
                match (self.connections.tell(message, before), &message.body) {
                    (Told::Sent, Down::Order { order_id, .. }) => sent.push(*order_id),
                    (Told::Overtaken, _) => overtaken = true,
                    _ => {}
                }
            }
            if let Err(error) = self.sent(sent).await {
                tracing::error!(%eid, %error, "the time when orders were sent was not stored");
            }
            if !overtaken {
                return Ok(());
            }
        }
        self.connections.again(eid);
        Ok(())
    }
}

/// The answers that a car has not journalled: an activation code only if its user is logged in there (R-2-10).
async fn answers(tx: &Tx<'_>, eid: Eid) -> Stored<Vec<Outgoing>> {
    let requests = tx.undelivered(eid).await?;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let session = tx.vehicle(eid).await?.and_then(|v| v.session);
    let messages = requests.iter().map(|r| code::message(r, fresh));
    let may_go = |m: &Outgoing| code::holder(m).is_none_or(|who| session == Some(who));
    Ok(messages.filter(may_go).collect())
}

/// All that a car has not journalled. Orders come first: a profile that a code brings again is deleted before.
async fn outstanding(tx: &Tx<'_>, eid: Eid) -> Stored<Vec<Outgoing>> {
    let orders = tx.open_orders(eid).await?;
    let mut messages = Vec::with_capacity(orders.len());
    for order in &orders {
        messages.extend(views::order_message(tx, order).await?);
    }
    let revoked = tx.revoked_verifiers(eid).await?;
    if !revoked.is_empty()
        && tx
            .vehicle(eid)
            .await?
            .is_some_and(|v| views::knows_fleet(&v))
    {
        let revoked = revoked.iter();
        messages.extend(revoked.map(|v| offline::revocation(eid, v.account, v.id)));
    }
    messages.extend(answers(tx, eid).await?);
    Ok(messages)
}
