//! Everything that can change in the CMP's state. A decision yields a list of changes, which is stored in one transaction.

use crate::decide::session::Book;
use crate::decide::tries;
use crate::model::{
    Account, Answered, ApiKey, Attempts, Audit, Call, CallState, CodeRequest, Doubt, Federation,
    Happening, Hold, Identity, Issued, LoginCode, Member, Onboarding, OnboardingState, Order,
    OrderState, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle, VehicleCertificate,
    Verifier, Webhook,
};
use aid_aid1::body::CsimStatus;
use aid_aid1::deviation::Deviation;
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken, Secret};

/// One change. A list of them is one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A car takes part.
    AddVehicle(Vehicle),
    /// A car connected.
    Seen {
        /// The car.
        eid: Eid,
        /// When it happened, Unix milliseconds.
        at: u64,
        /// Its agent.
        software: String,
        /// What it said is on its card, JSON.
        card: String,
    },
    /// Something about cars and their users.
    Fleet(FleetChange),
    /// A user changes something about their account.
    Portal(PortalChange),
    /// A car may not connect any more: when, why, and the eUICC that took its place.
    RetireVehicle(Eid, u64, String, Option<Eid>),
    /// Nobody has logged in to this car.
    ForgetLogins(Eid),
    /// A user.
    AddAccount(Account),
    /// A user's name, password, PIN, sessions and logins go; the reference stays while it is needed.
    EraseAccount(AccountRef),
    /// An erased user without federations goes.
    RemoveAccount(AccountRef),
    /// Which subscription serves the user, in this car or with none in all others; none: no choice.
    Prefer(AccountRef, Option<Eid>, Option<Id>),
    /// The user should know.
    AddNotice(UserNotice),
    /// The user knows; only their own notice goes.
    RemoveNotice(AccountRef, Id),
    /// Failed attempts at `key`; none clears them.
    SetAttempts(String, Option<Attempts>),
    /// All attempts at the PIN under a name are forgotten, by their prefix (`decide::tries::prefix`).
    ForgetAttempts(String),
    /// A user logged in to a car for the first time.
    LoggedIn(Eid, AccountRef, u64),
    /// A portal login.
    AddSession(PortalSession),
    /// A portal logout, by the hash of the cookie.
    RemoveSession(String),
    /// An onboarding begins.
    AddOnboarding(Onboarding),
    /// An onboarding ends.
    CloseOnboarding(Id, OnboardingState, Option<MspToken>, Option<String>),
    /// A federation begins.
    AddFederation(Federation),
    /// A federation has this content now.
    UpdateFederation(Federation),
    /// All that is personal of an ended federation goes: token, phone number, profiles, requests,
    /// calls and reports (R-4.4.1-14, R-A.3-4).
    PurgeFederation(Id),
    /// No profile comes to this car before the user says so.
    SetHold(Hold),
    /// The user said so.
    ClearHold(Id, Eid),
    /// A synchronisation was made.
    AddSyncRun(SyncRun),
    /// A subscription gets a profile that it has not had before.
    AddProfile(Profile),
    /// A profile has this content now.
    PutProfile(Profile),
    /// A request has this content now.
    PutRequest(CodeRequest),
    /// A report came.
    AddReport(Report),
    /// A car has to do something.
    AddOrder(Order),
    /// An order was sent.
    OrderSent(Id, u64),
    /// An order has its result.
    CloseOrder(Id, OrderState, Option<u16>, u64),
    /// A call is due.
    AddCall(Call),
    /// A call failed.
    RetryCall {
        /// The call.
        id: Id,
        /// Tries so far.
        attempts: u32,
        /// When it failed.
        at: u64,
        /// When it is made again.
        next_at: u64,
        /// What was said.
        error: String,
    },
    /// A call is given up, at this time.
    GiveUpCall(Id, u64, String),
    /// An operator wants a call that was given up to be made at this time.
    ReviveCall(Id, u64),
    /// A call that is not closed yet ends: answered or dropped, at this time.
    CloseCall(Id, CallState, u64),
    /// Something more to know about an order or a call.
    Happened(Happening),
    /// An initialisation vector was used.
    UseIv {
        /// The MSP.
        msp: String,
        /// The key's id.
        key_id: String,
        /// The vector, Base64.
        iv: String,
        /// Of what was encrypted.
        digest: String,
        /// When it happened, Unix milliseconds.
        at: u64,
    },
    /// An answer of AID1 that a repetition gets again.
    Remember(Answered),
    /// Something about a link and its MSP.
    Link(LinkChange),
    /// Something about who works at the operator's desk.
    Desk(DeskChange),
    /// Somebody did something.
    Audit(Audit),
}

/// A change of what an MSP says and hears about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// The MSP does not know the token: no codes are requested until that is settled.
    Doubt(Doubt),
    /// The MSP knows the token.
    Settle(Id),
    /// What the MSP says of a profile from now on: when it came, and why.
    Judge {
        /// The link.
        federation: Id,
        /// The profile.
        iccid: Iccid,
        /// When it came, Unix milliseconds.
        since: u64,
        /// Why, in the MSP's words.
        reason: Option<String>,
    },
    /// The MSP hears of this status of a profile, and need not hear of it again.
    Told(Id, Iccid, CsimStatus),
    /// An MSP did something otherwise than AID.02 has it, so many times until now, and it was tolerated.
    Deviated {
        /// The MSP.
        msp: String,
        /// What it did.
        kind: Deviation,
        /// How often since the last time this was noted.
        count: u64,
        /// Unix milliseconds.
        at: u64,
    },
}

/// A change of vehicles and what their users do with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetChange {
    /// The only certificate that is accepted from a car from now on, and its VIN where it is known.
    Enrol {
        /// Its eUICC.
        eid: Eid,
        /// The car.
        vin: Option<String>,
        /// SHA-256 of the certificate, hexadecimal.
        certificate: String,
        /// When, Unix milliseconds.
        at: u64,
    },
    /// A certificate that the car asked for over AID2.
    Certificate(CertificateChange),
    /// Who is logged in to a car.
    Session(Eid, Book),
    /// The session of this account ends, if the car has no other.
    Leave(Eid, AccountRef),
    /// The car may let this user in without a connection.
    PutVerifier(Verifier),
    /// It may not any more: those of a car, of a user, or of a user in a car, from this time on, Unix milliseconds.
    RevokeVerifiers {
        /// The car; none: all cars.
        eid: Option<Eid>,
        /// The user; none: all users.
        account: Option<AccountRef>,
        /// Time, milliseconds since 1970.
        at: u64,
    },
    /// The car has forgotten this verifier.
    RemoveVerifier(Eid, Id),
    /// The car shows this code now, and no other.
    PutLoginCode(LoginCode),
    /// A user's preference; none removes it.
    SetPreference(AccountRef, String, Option<String>),
}

/// A change of the certificates that a car asks for over AID2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateChange {
    /// It asks for one.
    Ask(VehicleCertificate),
    /// Its request has this certificate.
    Issue(Eid, Id, Issued),
    /// This certificate, by its SHA-256, is accepted beside the one that is bound.
    Next(Eid, String),
    /// This certificate and no other is accepted from now on: by its SHA-256, and when, Unix milliseconds.
    Bind(Eid, String, u64),
    /// The car connected with this certificate: by its SHA-256, and when, Unix milliseconds. Only the first time counts.
    Used(Eid, String, u64),
}

impl CertificateChange {
    /// Whose it is.
    #[must_use]
    pub fn eid(&self) -> Eid {
        match self {
            Self::Ask(asked) => asked.eid,
            Self::Issue(eid, ..)
            | Self::Next(eid, _)
            | Self::Bind(eid, ..)
            | Self::Used(eid, ..) => *eid,
        }
    }
}

/// A change of who works at the operator's desk, and of what is called back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskChange {
    /// A key of the admin API.
    AddKey(ApiKey),
    /// The key does not open anything any more, from this time on.
    RevokeKey(Id, u64),
    /// Somebody signs in at the console from now on, with what is said here and nothing else.
    PutMember(Member),
    /// Nobody of this name signs in any more; all their sessions end.
    RemoveMember(String),
    /// A session of the console: the hash of its cookie, whose, and until when.
    AddSession(String, String, u64),
    /// The session ends.
    EndSession(String),
    /// An address hears of orders and alarms from now on.
    AddWebhook(Webhook),
    /// It does not any more; what it has not heard is dropped.
    RemoveWebhook(Id),
    /// An event has reached the address: the webhook and the event.
    Heard(Id, Id),
    /// An event has not reached the address, and is sent again.
    NotHeard {
        /// The webhook.
        webhook: Id,
        /// The event.
        event: Id,
        /// Tries so far.
        attempts: u32,
        /// When it is sent again, Unix milliseconds.
        next_at: u64,
        /// What went wrong.
        error: String,
    },
}

/// A change that a user makes about their account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalChange {
    /// The account has this password hash now.
    Password(AccountRef, Secret),
    /// The account has this PIN now (its HMAC), or none.
    Pin(AccountRef, Option<String>),
    /// When a session began and what the browser calls itself, by the hash of its cookie.
    Began(String, u64, String),
    /// The sessions of the account end, except the one with this hash.
    EndSessions(AccountRef, String),
    /// One session of the account ends, by the hash of its cookie; nobody else's.
    EndSession(AccountRef, String),
    /// What cars and pages call the user.
    DisplayName(AccountRef, String),
    /// What the user calls a car; none: nothing.
    NameCar(AccountRef, Eid, Option<String>),
    /// The user signs in with this identity, too.
    AddIdentity(Identity),
    /// The user does so no longer, by issuer and subject.
    RemoveIdentity(AccountRef, String, String),
}

/// What has to be locked before a decision reads what it changes, where the database makes decisions side by side. A
/// user's subscriptions, profiles and requests are behind the user; a car's session and reports are behind the car.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// A user and everything that is theirs.
    Account(AccountRef),
    /// A car.
    Vehicle(Eid),
    /// Which subscription has the profile with this ICCID. Taken after the user's lock by whoever asks for others that
    /// have it.
    Profile(Iccid),
    /// The count of attempts under this key.
    Attempts(String),
}

/// Whose lock a change needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// Nobody's: a row of its own, or a statement that says itself what it expects.
    Nothing,
    /// This lock.
    Lock(Lock),
    /// The lock of the user of this federation.
    Federation(Id),
    /// The lock of the user of this onboarding, by its `sid`.
    Onboarding(Id),
}

impl Change {
    /// Whose lock it needs. A decision that changes something without its lock is refused by the store.
    #[must_use]
    pub fn behind(&self) -> Behind {
        let account = |account: &AccountRef| Behind::Lock(Lock::Account(*account));
        let vehicle = |eid: &Eid| Behind::Lock(Lock::Vehicle(*eid));
        match self {
            Self::AddVehicle(_)
            | Self::AddAccount(_)
            | Self::AddNotice(_)
            | Self::RemoveNotice(..)
            | Self::AddSession(_)
            | Self::RemoveSession(_)
            | Self::AddOnboarding(_)
            | Self::AddSyncRun(_)
            | Self::AddOrder(_)
            | Self::OrderSent(..)
            | Self::CloseOrder(..)
            | Self::AddCall(_)
            | Self::RetryCall { .. }
            | Self::GiveUpCall(..)
            | Self::ReviveCall(..)
            | Self::CloseCall(..)
            | Self::Happened(_)
            | Self::UseIv { .. }
            | Self::Remember(_)
            | Self::Desk(_)
            | Self::Audit(_) => Behind::Nothing,
            Self::Seen { eid, .. } | Self::RetireVehicle(eid, ..) | Self::ForgetLogins(eid) => {
                vehicle(eid)
            }
            Self::EraseAccount(id)
            | Self::RemoveAccount(id)
            | Self::Prefer(id, ..)
            | Self::LoggedIn(_, id, _) => account(id),
            Self::SetAttempts(key, _) => Behind::Lock(Lock::Attempts(key.clone())),
            // Every login under this name locks that one first.
            Self::ForgetAttempts(prefix) => Behind::Lock(Lock::Attempts(tries::everywhere(prefix))),
            Self::CloseOnboarding(sid, ..) => Behind::Onboarding(*sid),
            Self::AddFederation(f) | Self::UpdateFederation(f) => account(&f.account),
            Self::PurgeFederation(id) | Self::ClearHold(id, _) => Behind::Federation(*id),
            Self::SetHold(hold) => Behind::Federation(hold.federation),
            Self::AddProfile(profile) | Self::PutProfile(profile) => {
                Behind::Federation(profile.federation)
            }
            Self::PutRequest(request) => account(&request.account),
            Self::AddReport(report) => vehicle(&report.eid),
            Self::Fleet(change) => match change {
                FleetChange::Enrol { eid, .. }
                | FleetChange::Session(eid, _)
                | FleetChange::Leave(eid, _) => vehicle(eid),
                FleetChange::Certificate(change) => vehicle(&change.eid()),
                FleetChange::PutLoginCode(code) => vehicle(&code.eid),
                // A grant has both locks.
                FleetChange::PutVerifier(verifier) => vehicle(&verifier.eid),
                FleetChange::RemoveVerifier(eid, _) => vehicle(eid),
                FleetChange::RevokeVerifiers {
                    eid, account: user, ..
                } => match (eid, user) {
                    (Some(eid), _) => vehicle(eid),
                    (None, Some(user)) => account(user),
                    // Of nobody in no car.
                    (None, None) => Behind::Nothing,
                },
                FleetChange::SetPreference(id, ..) => account(id),
            },
            Self::Portal(change) => match change {
                PortalChange::Password(id, _)
                | PortalChange::Pin(id, _)
                | PortalChange::DisplayName(id, _)
                | PortalChange::NameCar(id, ..)
                | PortalChange::RemoveIdentity(id, ..) => account(id),
                PortalChange::AddIdentity(identity) => account(&identity.account),
                PortalChange::Began(..)
                | PortalChange::EndSessions(..)
                | PortalChange::EndSession(..) => Behind::Nothing,
            },
            Self::Link(change) => match change {
                LinkChange::Doubt(Doubt { federation, .. })
                | LinkChange::Settle(federation)
                | LinkChange::Judge { federation, .. }
                | LinkChange::Told(federation, ..) => Behind::Federation(*federation),
                LinkChange::Deviated { .. } => Behind::Nothing,
            },
        }
    }
}
