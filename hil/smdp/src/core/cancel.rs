//! ES9+.CancelSession: SGP.22 §3.1.3 (3.0.2), §5.6.5. The card signs that the session is over.

use super::{Dp, Limits, Offered, OfferedOrder, Order, OrderState, Refusal};
use aid_rsp::es10::{CancelSessionReason, CancelSessionResponse, DataObject};

impl Dp {
    /// Checks the card's word. Success ends the session; the caller then lets the order know by
    /// [`Order::cancelled_by_card`].
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.5.
    pub fn cancel(
        &self,
        session: &Offered,
        response: &[u8],
    ) -> Result<CancelSessionReason, Refusal> {
        let response = CancelSessionResponse::from_slice(response)
            .map_err(|e| Refusal::invalid_input(format!("cancelSessionResponse: {e}")))?;
        let (signed, signature) = match response {
            CancelSessionResponse::Ok { signed, signature } => (signed, signature),
            CancelSessionResponse::Error(code) => {
                return Err(Refusal::euicc_error(format!("CancelSession: {code}")));
            }
        };
        if signed.value().transaction_id != session.transaction_id {
            return Err(Refusal::transaction_unknown(
                "euiccCancelSessionSigned is of another session",
            ));
        }
        self.crypto
            .verify(
                &session.euicc.public_key,
                &[signed.bytes()],
                signature.as_bytes(),
            )
            .map_err(|e| Refusal::euicc_signature(format!("euiccCancelSessionSignature: {e}")))?;
        if signed.value().smdp_oid != self.oid() {
            return Err(Refusal::dp_association(
                "euiccCancelSessionSigned names another SM-DP+",
            ));
        }
        // lpac says "the user rejected" after a mistyped Confirmation Code: that the user may type
        // it again is decided by the count of wrong codes, not by the LPA.
        Ok(match signed.value().reason {
            CancelSessionReason::EndUserRejection if session.refused => {
                CancelSessionReason::Postponed
            }
            reason => reason,
        })
    }
}

impl Order {
    /// The card's user said no, or the card could not go on: only "later" leaves the order open
    /// (SGP.22 §5.6.5). Whether the order changed: a session that was offered an earlier order of
    /// the profile, or that another session's BPP has overtaken, changes nothing.
    pub fn cancelled_by_card(
        &mut self,
        session: &Offered,
        offered: &OfferedOrder,
        reason: CancelSessionReason,
        limits: &Limits,
        now: u64,
    ) -> bool {
        if !matches!(self.state, OrderState::Released | OrderState::Downloaded)
            || offered.check(self).is_err()
            || self.check_download(&session.euicc, limits, now).is_err()
            || offered.is_overtaken(self, &session.transaction_id)
        {
            return false;
        }
        // A user who was to type a Confirmation Code and did not, or mistyped it, has not said no to the profile, though
        // LPAs say so: the order is open for whoever has the code, until it expires or too many are wrong.
        let lacks_code =
            self.confirmation_code.is_some() && !self.knows_session(&session.transaction_id);
        match reason {
            CancelSessionReason::EndUserRejection | CancelSessionReason::UndefinedReason
                if lacks_code =>
            {
                self.enter(OrderState::Released, now);
            }
            CancelSessionReason::Postponed | CancelSessionReason::Timeout => {
                self.enter(OrderState::Released, now);
            }
            _ => self.fail(format!("cancelled by the eUICC: {reason}"), now),
        }
        true
    }
}
