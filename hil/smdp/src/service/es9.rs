//! ES9+ over sessions and the store. SGP.22 §5.6.
//! A session is stored before its offer is answered. A failed step ends it, except where the specification lets the LPA
//! try again (wrong Confirmation Code, lost answer).

use super::{Service, internal, rng};
use crate::core::{
    Binding, Change, Decided, Euicc, Offered, OfferedOrder, Order, OrderState, Outcome, Prepared,
    Profile, Refusal, SESSIONS_PER_EUICC, Step, StoredSession, has_time,
};
use aid_cli::cli::TRACE;
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, CancelSessionRequest,
    GetBoundProfilePackageOk, GetBoundProfilePackageRequest, HandleNotificationRequest,
    InitiateAuthenticationOk, InitiateAuthenticationRequest,
};
use aid_rsp::es10::{PendingNotification, TransactionId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of an unreadable notification that the log gets.
const LOGGED: usize = 256;

fn unknown() -> Refusal {
    Refusal::transaction_unknown(
        "no session has this transactionId; begin with InitiateAuthentication",
    )
}

impl Service {
    /// ES9+.InitiateAuthentication. Nothing is kept of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn initiate_authentication(
        &self,
        request: &InitiateAuthenticationRequest,
        now: u64,
    ) -> Result<InitiateAuthenticationOk, Refusal> {
        let begun = self.dp.initiate(request, &self.tickets, &mut rng(), now);
        begun.map(|(_, answer)| answer)
    }

    /// The session that was offered a profile.
    async fn offered(&self, id: &[u8], now: u64) -> Result<(Offered, OfferedOrder), Refusal> {
        let id = TransactionId::new(id).ok_or_else(unknown)?;
        match self.store.session(&id, now).await {
            Ok(Some(StoredSession::Offered(session, order))) => Ok((*session, order)),
            Ok(Some(StoredSession::Over) | None) => Err(unknown()),
            Err(error) => Err(internal(&error)),
        }
    }

    /// ES9+.AuthenticateClient.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn authenticate_client(
        &self,
        request: &AuthenticateClientRequest,
        now: u64,
    ) -> Result<AuthenticateClientOk, Refusal> {
        let id = TransactionId::new(request.transaction_id.as_bytes()).ok_or_else(unknown)?;
        let began = self.tickets.began(&id, now);
        if !began.is_some_and(|began| has_time(began, now)) {
            return Err(unknown());
        }
        let response = request.authenticate_server_response.as_bytes();
        let session = self.dp.resume(id, &self.tickets, response);
        let card = self.dp.authenticate(&session, response, now)?;
        tracing::trace!(
            target: TRACE,
            "   eUICC {} SVN {} SAIP {} matchingId <{} characters>",
            card.euicc.eid, card.info.svn, card.info.profile_version,
            card.matching_id.as_deref().unwrap_or_default().len()
        );
        let wanted = card.matching_id.as_deref().unwrap_or_default();
        // What is offered is checked again when the card asks for it.
        let order = self.order_for(wanted, &card.euicc, now).await?;
        let profile = self.profile(&order.iccid, order.package.as_deref()).await?;
        let (offered, answer) = self.dp.offer(&card, &order, &profile, &self.limits, now)?;
        self.begin(offered, order, now).await?;
        Ok(answer)
    }

    /// Stores that a card was offered a profile. A session begins once, and one too many ends the card's own oldest.
    async fn begin(&self, session: Offered, mut order: Order, now: u64) -> Result<(), Refusal> {
        self.check_room()?;
        let offered = OfferedOrder::of(&order);
        order.eid = Some(session.euicc.eid.clone());
        let told = Self::tell(self.told.as_ref(), &order, Step::Eligible, now);
        let begun = self.decide(async move |books| {
            if books.session(&session.transaction_id, now).await?.is_some() {
                return Ok(Decided::unchanged(Err(unknown())));
            }
            let own = books.sessions_of(&session.euicc.eid).await?.into_iter();
            let mut changes: Vec<Change> = own
                .skip(SESSIONS_PER_EUICC - 1)
                .map(Change::SessionOver)
                .collect();
            let session = Box::new(session.clone());
            changes.push(Change::Session(session, offered.clone(), now));
            changes.extend(told.clone());
            Ok(Decided {
                changes,
                result: Ok(()),
            })
        });
        begun.await?;
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Stores what a refusal does to a session: it is over, or may be tried again and is remembered as refused. Where
    /// that fails the session stays as it was, until its time is over. A session that is over meanwhile stays so.
    async fn refused(&self, mut session: Offered, order: OfferedOrder, may_retry: bool, now: u64) {
        if may_retry && session.refused {
            return;
        }
        session.refused = true;
        let kept = self.decide(async move |books| {
            let stored = books.session(&session.transaction_id, now).await?;
            if !matches!(stored, Some(StoredSession::Offered(..))) {
                return Ok(Decided::unchanged(Ok(())));
            }
            let change = match may_retry {
                true => Change::Session(Box::new(session.clone()), order.clone(), now),
                false => Change::SessionOver(session.transaction_id),
            };
            Ok(Decided {
                changes: vec![change],
                result: Ok(()),
            })
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "the refusal is not stored with its session");
        }
    }

    /// The order of a MatchingID, or the one that waits for this eUICC.
    async fn order_for(&self, matching_id: &str, card: &Euicc, now: u64) -> Result<Order, Refusal> {
        if !matching_id.is_empty() {
            let found = self.store.order_matching(matching_id).await;
            return found.map_err(|e| internal(&e))?.ok_or_else(|| {
                Refusal::matching_id_refused(format!("no order has MatchingID {matching_id:?}"))
            });
        }
        let orders = self.store.orders_of(&card.eid).await;
        Order::waiting_for(card, orders.map_err(|e| internal(&e))?, &self.limits, now)
    }

    async fn profile(&self, iccid: &str, package: Option<&str>) -> Result<Arc<Profile>, Refusal> {
        // First: a file of the inventory with the same ICCID is another profile, with other keys.
        let made = self.store.made(iccid).await.map_err(|e| internal(&e))?;
        let Some(made) = made else {
            let inventory = self.inventory();
            let profile = inventory.get(iccid, package).map(Arc::clone);
            return profile.ok_or_else(|| {
                Refusal::bpp_unavailable(format!("profile {iccid} is no longer in the inventory"))
            });
        };
        let profile = made.profile(&self.templates);
        profile.map(Arc::new).map_err(|why| {
            Refusal::bpp_unavailable(format!("profile {iccid} can't be delivered: {why}"))
        })
    }

    /// ES9+.GetBoundProfilePackage.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn get_bound_profile_package(
        &self,
        request: &GetBoundProfilePackageRequest,
        now: u64,
    ) -> Result<GetBoundProfilePackageOk, Refusal> {
        let (session, order) = self.offered(request.transaction_id.as_bytes(), now).await?;
        let answer = self.bind(&session, &order, request, now).await;
        match &answer {
            // Not this session's: it is over already, or the answer names another one, which anybody can send.
            Err(refusal) if refusal.subject == unknown().subject => {}
            Err(refusal) => {
                self.refused(session, order, may_retry(refusal), now).await;
            }
            Ok(_) => {}
        }
        answer
    }

    async fn bind(
        &self,
        session: &Offered,
        offered: &OfferedOrder,
        request: &GetBoundProfilePackageRequest,
        now: u64,
    ) -> Result<GetBoundProfilePackageOk, Refusal> {
        let profile = self
            .profile(&session.iccid, session.package.as_deref())
            .await?;
        let response = request.prepare_download_response.as_bytes();
        let prepared = self
            .dp
            .prepare(session, profile.protection, response, &mut rng())?;
        if prepared.has_empty_hash {
            tracing::warn!(eid = %session.euicc.eid, "hashCc is empty: taken as absent");
        }
        let binding = self.give_out(session, offered, prepared, now).await?;
        self.dp.package(session, &profile, &binding)
    }

    /// Stores that the card gets its BPP; yields the keys for it.
    async fn give_out(
        &self,
        session: &Offered,
        offered: &OfferedOrder,
        prepared: Prepared,
        now: u64,
    ) -> Result<Binding, Refusal> {
        let (session, offered) = (session.clone(), offered.clone());
        let limits = self.limits;
        let told = self.told.clone();
        let bound = self.decide(async move |books| {
            let is_live = matches!(
                books.session(&session.transaction_id, now).await?,
                Some(StoredSession::Offered(..))
            );
            let order = match books.order(&session.iccid).await? {
                Some(order) if is_live => offered.check(&order).map(|()| order),
                _ => Err(unknown()),
            };
            let order = match order {
                Ok(order) => order,
                Err(refusal) => return Ok(Decided::unchanged(Err(refusal))),
            };
            let mut after = order.clone();
            let mut decided = Decided::about(order, |order| {
                let bound = order.bind(&session, &prepared, &limits, now);
                after.clone_from(order);
                bound
            });
            let step = match &decided.result {
                Ok(_) => Some(Step::GivenOut),
                Err(why) if why.subject == "8.2.7" => Some(Step::CodeRefused(why.clone())),
                Err(_) => None,
            };
            let told = step.and_then(|step| Self::tell(told.as_ref(), &after, step, now));
            decided.changes.extend(told);
            if decided.result.is_ok() {
                decided.changes.push(Change::Binding {
                    transaction_id: session.transaction_id,
                    iccid: session.iccid.clone(),
                    euicc: session.euicc.clone(),
                    created_at: now,
                });
            }
            Ok(decided)
        });
        bound.await
    }

    /// ES9+.CancelSession.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn cancel_session(
        &self,
        request: &CancelSessionRequest,
        now: u64,
    ) -> Result<(), Refusal> {
        let (session, offered) = self.offered(request.transaction_id.as_bytes(), now).await?;
        let response = request.cancel_session_response.as_bytes();
        // A forged cancellation must not end somebody's session, and what was not stored can be sent again.
        self.cancel(&session, &offered, response, now).await
    }

    async fn cancel(
        &self,
        session: &Offered,
        offered: &OfferedOrder,
        response: &[u8],
        now: u64,
    ) -> Result<(), Refusal> {
        let reason = self.dp.cancel(session, response)?;
        tracing::info!(iccid = %session.iccid, eid = %session.euicc.eid, %reason, "session cancelled");
        let (session, offered) = (session.clone(), offered.clone());
        let limits = self.limits;
        let cancelled = self.decide(async move |books| {
            let id = session.transaction_id;
            let stored = books.session(&id, now).await?;
            if !matches!(stored, Some(StoredSession::Offered(..))) {
                return Ok(Decided::unchanged(Err(unknown())));
            }
            let mut decided = match books.order(&session.iccid).await? {
                Some(order) => Decided::about(order, |order| {
                    order.cancelled_by_card(&session, &offered, reason, &limits, now);
                    Ok(())
                }),
                None => Decided::unchanged(Ok(())),
            };
            decided.changes.push(Change::SessionOver(id));
            Ok(decided)
        });
        cancelled.await
    }

    /// ES9+.HandleNotification. What can't be read or does not verify is logged and acknowledged all the same: it would
    /// be so the next time too, and the LPA would repeat it for ever.
    ///
    /// # Errors
    /// The store fails (the card keeps it, the LPA tries again).
    pub async fn handle_notification(
        &self,
        request: &HandleNotificationRequest,
        now: u64,
    ) -> Result<(), Refusal> {
        let der = request.pending_notification.as_bytes();
        let notification = match PendingNotification::from_slice(der) {
            Ok(notification) => notification,
            Err(error) => {
                let begin = hex::encode_upper(&der[..der.len().min(LOGGED)]);
                tracing::warn!(%error, bytes = der.len(), %begin, "unreadable notification dropped");
                return Ok(());
            }
        };
        let bound_to = match &notification {
            // Never changes once it is stored, which was before the card got its BPP. So the signature is verified
            // before the transaction, and holds up no other.
            PendingNotification::Installation(result) => {
                let id = &result.data.value().transaction_id;
                self.store.bound_to(id).await.map_err(|e| internal(&e))?
            }
            PendingNotification::Other(_) => None,
        };
        let notice = match self.dp.notice(&notification, bound_to.as_ref(), now) {
            Ok(notice) => notice,
            Err(reason) => {
                tracing::warn!(%reason, "notification does not count");
                return Ok(());
            }
        };
        let result = match &notification {
            PendingNotification::Installation(result) => result.data.bytes().to_vec(),
            PendingNotification::Other(_) => Vec::new(),
        };
        let told_to = self.told.clone();
        let (decided, der) = (notice.clone(), der.to_vec());
        let received = self.decide(async move |books| {
            let is_known = books.is_known(&decided).await?;
            let order = match &decided.iccid {
                Some(iccid) => books.order(iccid).await?,
                None => None,
            };
            let step = match &decided.outcome {
                Outcome::Installed => Some(Step::Installed(result.clone())),
                Outcome::Failed { text, .. } => {
                    Some(Step::NotInstalled(text.clone(), result.clone()))
                }
                _ => None,
            };
            // Of the order that the report is about, and once: neither of an earlier order of the profile nor again.
            let of_it = order
                .as_ref()
                .filter(|order| order.is_about(&decided) && !is_known);
            let told = of_it.zip(step);
            let told = told.and_then(|(o, step)| Self::tell(told_to.as_ref(), o, step, now));
            let mut made = decided.clone().received(is_known, order, der.clone(), now);
            made.changes.extend(told);
            Ok(made)
        });
        let received = received.await?;
        tracing::info!(
            eid = %notice.eid, iccid = ?notice.iccid, outcome = %notice.outcome.text(),
            is_new = received.is_new, state = received.state.map(OrderState::as_str), "notification"
        );
        Ok(())
    }
}

/// Refusals after which the LPA may ask again in the same session.
fn may_retry(refusal: &Refusal) -> bool {
    matches!(
        (refusal.subject, refusal.reason),
        ("8.2.7", "2.2" | "3.8") | ("1.2", "4.2") | ("8.1", "6.1") | ("1.6", "2.1")
    )
}
