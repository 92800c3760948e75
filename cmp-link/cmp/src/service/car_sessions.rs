//! Who is logged in to a car: what cars say of their sessions (AID2 rule 1), and logins with a PIN.

use super::car_login::Begun;
use super::cars::Follow;
use super::{Service, fresh};
use crate::names::sign_in_name;
use crate::store::{Stored, Tx};
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{Context, Decision, Outgoing, car_login, code, login, removal, tries};
use aid_cmp_core::model::{Account, Answered};
use aid_id::{AccountRef, Eid, Id, Secret};
use aid_wire::{Down, Envelope, LoginOutcome, LoginWay, SESSION_REVISION, Up};
use std::sync::Arc;

/// A login with a PIN.
#[derive(Debug)]
struct Login {
    login_id: Id,
    user: String,
    pin: Secret,
}

/// What is known of a car that says something of its session.
#[derive(Debug)]
pub(super) struct Known {
    /// Who is in.
    pub(super) book: Book,
    /// The newest revision of AID2 that both know.
    pub(super) revision: u8,
}

/// A `Hello` of this revision begins a connection of the car: the answer to it says so.
pub(super) fn connected(
    decision: &mut Decision,
    ack: &Outgoing,
    hello: Id,
    revision: u8,
    book: &Book,
) {
    if revision < SESSION_REVISION {
        decision.down.push(ack.clone());
        return;
    }
    let book = book.connected(hello);
    let change = FleetChange::Session(ack.eid, book);
    decision.changes.push(Change::Fleet(change));
    decision.down.push(welcome(ack, hello, revision, &book));
}

impl Service {
    /// Decides about what a car says of its session: a login, its end, or its present state. `ack` acknowledges the
    /// message. The car is locked.
    pub(super) async fn session(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        known: &Known,
        ack: Outgoing,
        envelope: &Envelope<Up>,
    ) -> Stored<(Decision, Follow)> {
        let (eid, message_id) = (ack.eid, envelope.message_id);
        let Known { book, revision } = known;
        let welcome = || welcome(&ack, message_id, *revision, book);
        let mut decision = Decision::default();
        match envelope.body.clone() {
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
                self.login(tx, context, eid, login, book, Some(*book)).await
            }
            Up::LoginByCode { login_id } => {
                let (decision, begun) = self.begin_code_login(tx, context, eid, login_id).await?;
                Ok((decision, Follow::Code(begun)))
            }
            Up::NumberedLogin { number, .. }
            | Up::Session { number, .. }
            | Up::OfflineSession { number, .. }
                if number < book.number() =>
            {
                decision.down.push(welcome());
                Ok((decision, Follow::Nothing))
            }
            Up::NumberedLogin {
                number, login_id, ..
            } if !book.allows(number) => {
                tracing::warn!(%eid, number, known = book.number(), "a car numbers a login far beyond its connections; it is refused");
                let outcome = login::not_booked();
                decision.down.push(Outgoing {
                    message_id: login_id,
                    body: Down::LoginResult { login_id, outcome },
                    ..ack
                });
                Ok((decision, Follow::Nothing))
            }
            Up::Session { number, .. } | Up::OfflineSession { number, .. }
                if !book.allows(number) =>
            {
                tracing::warn!(%eid, number, known = book.number(), "a car numbers its session far beyond its connections; it changes nothing");
                decision.down.push(welcome());
                Ok((decision, Follow::Nothing))
            }
            Up::NumberedLogin {
                number,
                account,
                login_id,
                way,
            } => {
                let now = alive(tx, book, book.state(number, account)).await?;
                self.numbered_login(tx, context, eid, login_id, way, (book, now))
                    .await
            }
            Up::Session { number, account } => {
                let mut follow = Follow::Nothing;
                if let Some(now) = alive(tx, book, book.state(number, account)).await? {
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
                Ok((decision, follow))
            }
            Up::OfflineSession {
                number,
                account,
                verifier,
            } => {
                let said = (number, account, verifier);
                self.offline_session(tx, context, book, ack, said).await
            }
            Up::Logout { account } => {
                decision.changes = logout(tx, context, eid, message_id, account).await?;
                decision.down.push(ack);
                let follow = match decision.changes.is_empty() {
                    true => Follow::Nothing,
                    false => Follow::Logout(account),
                };
                Ok((decision, follow))
            }
            // Not about a session.
            _ => Ok((decision, Follow::Nothing)),
        }
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
        // One that no user can have is looked up by none.
        if let Some(name) = sign_in_name(&login.user)
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

/// Notes that a car's message was taken, so that its repetition can be told from a new one.
pub(super) fn once(context: &Context, client: String, request_id: Id) -> Change {
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
pub(super) fn entered(message: &Outgoing) -> Option<AccountRef> {
    match &message.body {
        Down::LoginResult {
            outcome: LoginOutcome::Accepted { account, .. },
            ..
        } => Some(*account),
        _ => None,
    }
}
