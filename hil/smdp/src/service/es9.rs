//! ES9+ over sessions and the store. SGP.22 §5.6.
//! A session is taken out while a request works with it; a failed step ends it, except where the
//! specification lets the LPA try again (wrong Confirmation Code, lost answer).

use super::{Service, TRIES, internal, rng};
use crate::core::{Euicc, Offered, OfferedOrder, OrderState, Profile, Refusal, Session};
use crate::store::{StoreError, Versioned};
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, CancelSessionRequest,
    GetBoundProfilePackageOk, GetBoundProfilePackageRequest, HandleNotificationRequest,
    InitiateAuthenticationOk, InitiateAuthenticationRequest,
};
use aid_rsp::es10::{PendingNotification, TransactionId};
use aid_shell::cli::TRACE;

fn unknown() -> Refusal {
    Refusal::transaction_unknown(
        "no session has this transactionId; begin with InitiateAuthentication",
    )
}

impl Service {
    /// ES9+.InitiateAuthentication.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn initiate_authentication(
        &self,
        request: &InitiateAuthenticationRequest,
        now: u64,
    ) -> Result<InitiateAuthenticationOk, Refusal> {
        let (session, answer) = self.dp.initiate(request, &mut rng())?;
        let id = session.transaction_id;
        self.sessions().put(id, Session::Initiated(session), now);
        Ok(answer)
    }

    fn take(&self, id: &[u8], now: u64) -> Result<Session, Refusal> {
        let id = TransactionId::new(id).ok_or_else(unknown)?;
        self.sessions().take(&id, now).ok_or_else(unknown)
    }

    fn take_offered(&self, id: &[u8], now: u64) -> Result<(Offered, OfferedOrder), Refusal> {
        match self.take(id, now)? {
            Session::Offered(session, order) => Ok((session, order)),
            Session::Initiated(_) => Err(unknown()),
        }
    }

    fn keep(&self, session: Offered, order: OfferedOrder, now: u64) {
        let id = session.transaction_id;
        self.sessions()
            .put(id, Session::Offered(session, order), now);
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
        let Session::Initiated(session) = self.take(request.transaction_id.as_bytes(), now)? else {
            return Err(unknown());
        };
        let response = request.authenticate_server_response.as_bytes();
        let card = self.dp.authenticate(&session, response, now)?;
        tracing::trace!(
            target: TRACE,
            "   eUICC {} SVN {} SAIP {} matchingId <{} characters>",
            card.euicc.eid, card.info.svn, card.info.profile_version,
            card.matching_id.as_deref().unwrap_or_default().len()
        );
        let wanted = card.matching_id.as_deref().unwrap_or_default();
        let versioned = self.order_for(wanted, &card.euicc).await?;
        let profile = self.profile(&versioned)?;
        let (offered, answer) = self.dp.offer(&card, &versioned.order, profile)?;
        self.keep(offered, OfferedOrder::of(&versioned.order), now);
        Ok(answer)
    }

    /// The order of a MatchingID, or the one that waits for this eUICC.
    async fn order_for(&self, matching_id: &str, card: &Euicc) -> Result<Versioned, Refusal> {
        if !matching_id.is_empty() {
            let found = self.store.order_matching(matching_id).await;
            return found.map_err(|e| internal(&e))?.ok_or_else(|| {
                Refusal::matching_id_refused(format!("no order has MatchingID {matching_id:?}"))
            });
        }
        let orders = self.store.orders_of(&card.eid).await;
        orders
            .map_err(|e| internal(&e))?
            .into_iter()
            .filter(|v| v.order.check_download(card).is_ok())
            // An order that was confirmed for the EID alone comes first.
            .min_by_key(|v| v.order.matching_id.as_deref() != Some(""))
            .ok_or_else(|| Refusal::eid_refused(format!("no order waits for eUICC {}", card.eid)))
    }

    fn profile(&self, versioned: &Versioned) -> Result<&Profile, Refusal> {
        let iccid = &versioned.order.iccid;
        self.inventory.get(iccid).ok_or_else(|| {
            Refusal::bpp_unavailable(format!("profile {iccid} is no longer in the inventory"))
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
        let (mut session, order) = self.take_offered(request.transaction_id.as_bytes(), now)?;
        let answer = self.bind(&session, &order, request, now).await;
        session.refused |= answer.is_err();
        if answer.as_ref().map_or_else(may_retry, |_| true) {
            self.keep(session, order, now);
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
        let response = request.prepare_download_response.as_bytes();
        for _ in 0..TRIES {
            let stored = self.store.order(&session.iccid).await;
            let mut versioned = stored.map_err(|e| internal(&e))?.ok_or_else(unknown)?;
            offered.check(&versioned.order)?;
            let before = versioned.order.clone();
            let profile = self.profile(&versioned)?;
            let (order, mut rng) = (&mut versioned.order, rng());
            let answer = self
                .dp
                .bind(session, order, profile, response, (now, &mut rng));
            if versioned.order == before {
                return answer;
            }
            let saved = match answer {
                Ok(_) => {
                    let id = &session.transaction_id;
                    self.store.save_bound(&versioned, id, &session.euicc).await
                }
                Err(_) => self.store.save(&versioned).await,
            };
            match saved {
                Ok(()) => {
                    let order = &versioned.order;
                    tracing::info!(iccid = %order.iccid, state = %order.state, eid = %session.euicc.eid, "order");
                    return answer;
                }
                Err(StoreError::Conflict(_)) => {}
                Err(e) => return Err(internal(&e)),
            }
        }
        Err(Refusal::internal(
            "the order is being changed by others, try again",
        ))
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
        let (session, offered) = self.take_offered(request.transaction_id.as_bytes(), now)?;
        let response = request.cancel_session_response.as_bytes();
        let reason = match self.dp.cancel(&session, response) {
            Ok(reason) => reason,
            Err(refusal) => {
                // A forged cancellation must not end somebody's session.
                self.keep(session, offered, now);
                return Err(refusal);
            }
        };
        tracing::info!(iccid = %session.iccid, eid = %session.euicc.eid, %reason, "session cancelled");
        for _ in 0..TRIES {
            let stored = self.store.order(&session.iccid).await;
            let Some(mut versioned) = stored.map_err(|e| internal(&e))? else {
                return Ok(());
            };
            if !versioned
                .order
                .cancelled_by_card(&session, &offered, reason, now)
            {
                return Ok(());
            }
            match self.store.save(&versioned).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(e) => return Err(internal(&e)),
            }
        }
        Err(Refusal::internal(
            "the order is being changed by others, try again",
        ))
    }

    /// ES9+.HandleNotification. What does not verify is logged and acknowledged all the same.
    ///
    /// # Errors
    /// Not a notification, or the store fails (the card keeps it, the LPA tries again).
    pub async fn handle_notification(
        &self,
        request: &HandleNotificationRequest,
        now: u64,
    ) -> Result<(), Refusal> {
        let der = request.pending_notification.as_bytes();
        let notification = PendingNotification::from_slice(der)
            .map_err(|e| Refusal::invalid_input(format!("pendingNotification: {e}")))?;
        let bound_to = match &notification {
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
        for _ in 0..TRIES {
            let order = match &notice.iccid {
                Some(iccid) => self.store.order(iccid).await.map_err(|e| internal(&e))?,
                None => None,
            };
            let changed = order.and_then(|mut versioned| {
                versioned.order.noticed(&notice, now).then_some(versioned)
            });
            match self
                .store
                .save_notice(&notice, der, changed.as_ref(), now)
                .await
            {
                Ok(is_new) => {
                    let state = changed.map(|v| v.order.state);
                    tracing::info!(
                        eid = %notice.eid, iccid = ?notice.iccid, outcome = %notice.outcome.text(),
                        is_new, state = state.map(OrderState::as_str), "notification"
                    );
                    return Ok(());
                }
                Err(StoreError::Conflict(_)) => {}
                Err(e) => return Err(internal(&e)),
            }
        }
        Err(Refusal::internal(
            "the order is being changed by others, try again",
        ))
    }
}

/// Refusals after which the LPA may ask again in the same session.
fn may_retry(refusal: &Refusal) -> bool {
    matches!(
        (refusal.subject, refusal.reason),
        ("8.2.7", "2.2" | "3.8")
            | ("1.2", "4.2")
            | ("8.1", "6.1")
            | ("1.6", "2.1")
            | ("8.10.1", "3.9")
    )
}
