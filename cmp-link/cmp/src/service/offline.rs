//! Cars that let a user in without a connection, and say so at the next one (AID2 rule 13).

use super::Service;
use super::cars::Follow;
use crate::store::{Stored, Tx};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{Context, Decision, Outgoing, offline, removal};
use aid_id::{AccountRef, Id};

impl Service {
    /// Decides about a session that began without a connection: number, user, verifier. A user whom the CMP does not let in
    /// any more gets `Revoke` before the acknowledgement. The car is locked.
    pub(super) async fn offline_session(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        book: &Book,
        ack: Outgoing,
        (number, account, verifier): (u64, AccountRef, Id),
    ) -> Stored<(Decision, Follow)> {
        let (eid, mut decision) = (ack.eid, Decision::default());
        let mut follow = Follow::Nothing;
        let user = tx.locked_account(account).await?;
        let found = tx.verifier(eid, account).await?;
        let admitted = user.is_some_and(|user| !removal::is_erased(&user))
            && offline::admits(found.as_ref(), verifier, context.now);
        let session = |now| Change::Fleet(FleetChange::Session(eid, now));
        if number > book.number() && admitted {
            decision
                .changes
                .extend(book.entered_alone(number, account).map(session));
            if !tx.has_logged_in(eid, account).await? {
                let first = Change::LoggedIn(eid, account, context.now);
                decision.changes.push(first);
            }
            let detail = format!("{eid} account {}", hex::encode(account.0));
            let action = "login without a connection";
            decision.changes.push(context.audit("car", action, detail));
            follow = Follow::Entered(account);
        } else if number > book.number() || (!admitted && book.account != Some(account)) {
            // Whoever was in before is not in any more, either.
            decision
                .changes
                .extend(book.state(number, None).map(session));
            decision
                .down
                .push(offline::revocation(eid, account, verifier));
            if number > book.number() {
                let detail = format!("{eid} account {}", hex::encode(account.0));
                let action = "login without a connection refused";
                decision.changes.push(context.audit("car", action, detail));
            }
        }
        decision.down.push(ack);
        Ok((decision, follow))
    }
}
