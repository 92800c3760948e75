//! What the portal asks for: sign-in, the user's subscriptions, onboarding, unlinking, deletion
//! (AID6; §4.1, §4.2, §4.4.1, §4.5).
//! Called by the portal's handlers.

use super::attempts::{Denied, count};
use super::{Service, fresh, now};
use crate::password::Busy;
use crate::store::{Store, Stored};
use aid_aid1::account_id::{self, AccountId};
use aid_aid1::redirect::to_msp_touchpoint;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{deletion, onboarding, withdraw};
use aid_cmp_core::model::{Account, Federation, Onboarding, PortalSession, Profile};
use aid_id::{Eid, Iccid, Id, Secret};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Life of a portal session, ms.
const SESSION_MS: u64 = 12 * 3600 * 1000;

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

impl<S: Store> Service<S> {
    /// Signs a user in to the portal.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_in(&self, name: &str, password: &Secret) -> Stored<SignIn> {
        let name = name.trim().to_lowercase();
        let account = self.store.account_named(&name).await?;
        let account = match self.prove(account.as_ref(), &name, password).await? {
            Ok(proven) => proven.account,
            Err(Denied::Wrong) => return Ok(SignIn::Wrong),
            Err(Denied::Locked(minutes)) => return Ok(SignIn::Locked(minutes)),
            Err(Denied::Busy(busy)) => return Ok(SignIn::Busy(busy)),
        };
        let Some(turn) = self.still(&account).await? else {
            return Ok(SignIn::Wrong);
        };
        let cookie = hex::encode([fresh(), fresh()].concat());
        let session = Change::AddSession(PortalSession {
            token_hash: cookie_hash(&cookie),
            account: account.id,
            expires_at: now() + SESSION_MS,
        });
        let changes = vec![session, Self::refund(&account)];
        self.store.commit_in(turn, changes).await?;
        count("portal", "accepted");
        Ok(SignIn::Welcome(Secret::new(cookie)))
    }

    /// Whose session a cookie is.
    ///
    /// # Errors
    /// The store failed.
    pub async fn signed_in(&self, cookie: &str) -> Stored<Option<Account>> {
        let session = self.store.session(&cookie_hash(cookie)).await?;
        match session.filter(|s| session_lives(s.expires_at, now())) {
            Some(session) => self.store.account(session.account).await,
            None => Ok(None),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_out(&self, cookie: &str) -> Stored<()> {
        let change = Change::RemoveSession(cookie_hash(cookie));
        self.store.commit(vec![change]).await
    }

    /// The account page.
    ///
    /// # Errors
    /// The store failed.
    pub async fn overview(&self, account: &Account) -> Stored<Overview> {
        let mut subscriptions = Vec::new();
        for federation in self.store.federations(Some(account.id)).await? {
            subscriptions.push(Subscription {
                masked: self.masked(&federation),
                profiles: self.store.profiles(Some(federation.id)).await?,
                federation,
            });
        }
        let mut vins = BTreeMap::new();
        let cars = self.store.sessions(account.id).await?;
        let profiles = subscriptions.iter().flat_map(|s| &s.profiles);
        for eid in profiles.map(|p| p.eid).chain(cars.iter().copied()) {
            let vehicle = self.store.vehicle(eid).await?;
            if let Some(vin) = vehicle.and_then(|v| v.vin) {
                vins.insert(eid, vin);
            }
        }
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
        let state = hex::encode(fresh());
        let separator = if msp.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        let back = format!("{}{separator}state={state}", msp.redirect_uri);
        let id = self.issue(account, &msp.name, sid, state, ver).await?;
        Ok(id.map(|id| to_msp_touchpoint(&msp.touchpoint, &id, &back)))
    }

    /// Issues an account id for a user and an MSP (§5.2). It carries what the user says about himself (`ver`, R-5.2-4,
    /// R-5.2-11): where that was agreed with the MSP there is none without it, elsewhere it is left out. None also where
    /// `ver` has no acceptable form.
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
        let changes = vec![Change::AddOnboarding(onboarding), audit];
        self.store.commit(changes).await?;
        Ok(id.ok())
    }

    /// The onboarding that a return URL belongs to.
    ///
    /// # Errors
    /// The store failed.
    pub async fn returned(&self, state: &str) -> Stored<Option<Onboarding>> {
        self.store.onboarding_returning(state).await
    }

    /// The user ends a subscription of his own (§4.4.1). False if it is not his.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unlink(&self, account: &Account, federation: Id) -> Stored<bool> {
        let turn = self.store.turn().await?;
        let found = self.store.federation_by_id(federation).await?;
        let Some(federation) = found.filter(|f| f.account == account.id) else {
            return Ok(false);
        };
        let context = self.context();
        let (by, reason) = (withdraw::By::User, Some("by the user".to_owned()));
        let mut decision = self.withdrawal(&context, &federation, by, reason).await?;
        decision.belongs_to(fresh());
        self.carry_out(turn, decision).await?;
        Ok(true)
    }

    /// The user deletes a profile of his own (§4.5, R-4.5-3). False if it is not his.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_profile(&self, account: &Account, iccid: &Iccid) -> Stored<bool> {
        let turn = self.store.turn().await?;
        let mut own = None;
        for profile in self.store.profiles_with(iccid).await? {
            let owner = self.store.federation_by_id(profile.federation).await?;
            if owner.is_some_and(|f| f.account == account.id) {
                own = Some(profile);
                break;
            }
        }
        let Some(profile) = own else {
            return Ok(false);
        };
        let orders = self.store.orders(Some(profile.eid), true).await?;
        let open = orders.iter().any(|o| o.deletes(&profile.iccid));
        let (context, by) = (self.context(), deletion::Trigger::User);
        let decision = deletion::delete(&context, &profile, open, by, None);
        self.carry_out(turn, decision).await?;
        Ok(true)
    }
}
