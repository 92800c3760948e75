//! What the portal asks for: sign-in, the user's subscriptions, onboarding, unlinking, deletion
//! (AID6; §4.1, §4.2, §4.4.1, §4.5).

use super::attempts::{Denied, count, refund, still};
use super::{Service, fresh, now, random};
use crate::password::Busy;
use crate::store::{StoreError, Stored, Tx};
use crate::views;
use aid_aid1::account_id::{self, AccountId};
use aid_aid1::redirect::to_msp_touchpoint;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, Decision, deletion, onboarding, removal, withdraw};
use aid_cmp_core::model::{Account, Federation, Onboarding, PortalSession, Profile};
use aid_id::{Eid, Iccid, Id, Secret};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Life of a portal session, ms.
pub(super) const SESSION_MS: u64 = 12 * 3600 * 1000;

/// A subscription as its user sees it.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The federation.
    pub federation: Federation,
    /// The phone number with digits masked.
    pub masked: String,
    /// Its profiles.
    pub profiles: Vec<Profile>,
}

/// A user's account page.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Subscriptions, ended ones too.
    pub subscriptions: Vec<Subscription>,
    /// MSPs that can be linked.
    pub msps: Vec<String>,
    /// Vehicle identification numbers of the cars with profiles and of those in which the user is logged in, where they
    /// are known.
    pub vins: BTreeMap<Eid, String>,
    /// Cars in which the user is logged in.
    pub cars: Vec<Eid>,
}

/// How a sign-in ended.
#[derive(Debug)]
pub enum SignIn {
    /// The cookie's value.
    Welcome(Secret),
    /// Name or password is wrong.
    Wrong,
    /// Too many attempts; minutes to wait.
    Locked(u64),
    /// The password was not judged, and the attempt does not count: too many others wait.
    Busy(Busy),
}

/// What is stored of a session's cookie.
pub(super) fn cookie_hash(cookie: &str) -> String {
    hex::encode(Sha256::digest(cookie.as_bytes()))
}

/// Key of the attempts at a password in the store. Attempts at names that nobody has are counted as well, so that a limit
/// tells nothing about names.
pub(super) fn password_key(account: Option<&Account>, name: &str) -> String {
    account.map_or_else(
        || format!("password-of-nobody:{}", cookie_hash(name)),
        |account| format!("password:{}", hex::encode(account.id.0)),
    )
}

/// Whether a session that ends then has not ended at `now`. One that ends an hour later than any session does was begun
/// under a wrong clock.
pub(super) fn session_lives(expires_at: u64, now: u64) -> bool {
    now < expires_at && expires_at - now <= SESSION_MS + 3600 * 1000
}

impl Service {
    /// Signs a user in to the portal.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_in(self: &Arc<Self>, name: &str, password: &Secret) -> Stored<SignIn> {
        let name = name.trim().to_lowercase();
        let look = name.clone();
        let account = self.look(async move |_, tx| tx.account_named(&look).await);
        let account = account.await?;
        let account = match self.prove(account.as_ref(), &name, password).await? {
            Ok(proven) => proven.account,
            Err(Denied::Wrong) => return Ok(SignIn::Wrong),
            Err(Denied::Locked(minutes)) => return Ok(SignIn::Locked(minutes)),
            Err(Denied::Busy(busy)) => return Ok(SignIn::Busy(busy)),
        };
        let cookie = hex::encode([random(), random()].concat());
        let session = PortalSession {
            token_hash: cookie_hash(&cookie),
            account: account.id,
            expires_at: now() + SESSION_MS,
        };
        let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
            let mut decision = Decision::default();
            let still = still(tx, &account).await?;
            if still {
                let session = Change::AddSession(session.clone());
                decision.changes = vec![session, refund(tx, &account).await?];
            }
            Ok::<_, StoreError>((decision, still))
        };
        if !self.decide(decide).await? {
            return Ok(SignIn::Wrong);
        }
        count("portal", "accepted");
        Ok(SignIn::Welcome(Secret::new(cookie)))
    }

    /// Whose session a cookie is.
    ///
    /// # Errors
    /// The store failed.
    pub async fn signed_in(self: &Arc<Self>, cookie: &str) -> Stored<Option<Account>> {
        let hash = cookie_hash(cookie);
        let look = async move |_: &Self, tx: &Tx<'_>| {
            let session = tx.session(&hash).await?;
            match session.filter(|s| session_lives(s.expires_at, now())) {
                Some(session) => tx.account(session.account).await,
                None => Ok(None),
            }
        };
        self.look(look).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_out(&self, cookie: &str) -> Stored<()> {
        let change = Change::RemoveSession(cookie_hash(cookie));
        self.commit(vec![change]).await
    }

    /// The account page.
    ///
    /// # Errors
    /// The store failed.
    pub async fn overview(self: &Arc<Self>, account: &Account) -> Stored<Overview> {
        let id = account.id;
        let look = async move |service: &Self, tx: &Tx<'_>| {
            let mut subscriptions = Vec::new();
            for federation in tx.federations(id).await? {
                subscriptions.push(Subscription {
                    masked: service.masked(&federation),
                    profiles: tx.profiles(federation.id).await?,
                    federation,
                });
            }
            let mut vins = BTreeMap::new();
            let cars = tx.sessions(id).await?;
            let profiles = subscriptions.iter().flat_map(|s| &s.profiles);
            for eid in profiles.map(|p| p.eid).chain(cars.iter().copied()) {
                let vehicle = tx.vehicle(eid).await?;
                if let Some(vin) = vehicle.and_then(|v| v.vin) {
                    vins.insert(eid, vin);
                }
            }
            Ok((subscriptions, vins, cars))
        };
        let (subscriptions, vins, cars) = self.look(look).await?;
        let msps = self.agreed().msps.iter().map(|m| m.name.clone()).collect();
        Ok(Overview {
            subscriptions,
            msps,
            vins,
            cars,
        })
    }

    /// Begins an onboarding; yields the MSP's URL (§4.1 steps 3 to 5). None for an unknown MSP.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link(
        &self,
        account: &Account,
        msp: &str,
        sid: uuid::Uuid,
        ver: Option<&str>,
    ) -> Stored<Option<String>> {
        let Some(msp) = self.msp(msp) else {
            return Ok(None);
        };
        let state = hex::encode(random());
        let separator = if msp.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        let back = format!("{}{separator}state={state}", msp.redirect_uri);
        let id = self.issue(account, &msp.name, sid, state, ver).await?;
        Ok(id.map(|id| to_msp_touchpoint(&msp.touchpoint, &id, &back)))
    }

    /// Issues an account id for a user and an MSP (§5.2). It carries what the user says about themselves (`ver`, R-5.2-4,
    /// R-5.2-11): where that was agreed with the MSP there is none without it, elsewhere it is left out. None also where
    /// `ver` has no acceptable form, or the user was erased meanwhile.
    ///
    /// # Errors
    /// The store failed.
    pub async fn issue(
        &self,
        account: &Account,
        msp: &str,
        sid: uuid::Uuid,
        return_state: String,
        ver: Option<&str>,
    ) -> Stored<Option<AccountId>> {
        let Some(msp) = self.msp(msp) else {
            return Ok(None);
        };
        let ver = match &msp.account_id_ver {
            None => None,
            Some(_) if ver.is_none() => return Ok(None),
            Some(_) => ver,
        };
        let context = self.context();
        let begun = onboarding::begin(&context, &msp.name, account.id, return_state);
        let (now, life) = (context.now / 1000, msp.account_id_life);
        let onboarding = Onboarding {
            sid: sid.into_bytes(),
            expires_at: context.now.saturating_add(life * 1000),
            ..begun
        };
        let id = account_id::issue(msp.secret(), sid, ver, now, life);
        if id.is_err() {
            return Ok(None);
        }
        let audit = context.audit(
            format!("account {}", hex::encode(account.id.0)),
            "account id issued",
            format!("for {}", msp.name),
        );
        let user = account.id;
        let decide = async move |tx: &Tx<'_>| {
            // The user may have been erased meanwhile.
            let user = tx.locked_account(user).await?;
            if user.is_none_or(|user| removal::is_erased(&user)) {
                return Ok((Vec::new(), false));
            }
            let begun = Change::AddOnboarding(onboarding.clone());
            Ok::<_, StoreError>((vec![begun, audit.clone()], true))
        };
        let begun = self.store.decide(decide).await?;
        Ok(id.ok().filter(|_| begun))
    }

    /// The onboarding that a return URL belongs to.
    ///
    /// # Errors
    /// The store failed.
    pub async fn returned(self: &Arc<Self>, state: &str) -> Stored<Option<Onboarding>> {
        let state = state.to_owned();
        self.look(async move |_, tx| tx.onboarding_returning(&state).await)
            .await
    }

    /// The user ends a subscription of their own (§4.4.1). False if it is not theirs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unlink(self: &Arc<Self>, account: &Account, federation: Id) -> Stored<bool> {
        let account = account.id;
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Account(account)).await?;
            let found = tx.federation_by_id(federation).await?;
            let Some(federation) = found.filter(|f| f.account == account) else {
                return Ok((Decision::default(), false));
            };
            let (by, reason) = (withdraw::By::User, Some("by the user".to_owned()));
            let mut decision = views::withdrawal(tx, context, &federation, by, reason).await?;
            decision.belongs_to(fresh());
            Ok::<_, StoreError>((decision, true))
        };
        self.decide(decide).await
    }

    /// The user deletes a profile of their own (§4.5, R-4.5-3). False if it is not theirs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_profile(
        self: &Arc<Self>,
        account: &Account,
        iccid: &Iccid,
    ) -> Stored<bool> {
        let (account, iccid) = (account.id, iccid.clone());
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Account(account)).await?;
            for profile in tx.profiles_with(&iccid).await? {
                let owner = tx.federation_by_id(profile.federation).await?;
                if owner.is_none_or(|f| f.account != account) {
                    continue;
                }
                let orders = tx.open_orders(profile.eid).await?;
                let open = orders.iter().any(|o| o.deletes(&profile.iccid));
                let by = deletion::Trigger::User;
                let decision = deletion::delete(context, &profile, open, by, None);
                return Ok((decision, true));
            }
            Ok::<_, StoreError>((Decision::default(), false))
        };
        self.decide(decide).await
    }
}
