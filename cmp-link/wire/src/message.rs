//! AID2 messages between car and CMP; the enums are append-only (R-3.2-3, R-3.2-4).
//! Built and read by the agent's core and the CMP, which carry the bytes over MQTT 5.

use crate::user_profile::UserProfile;
use aid_id::{AccountRef, Iccid, Id, Secret};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Code of a `Deleted` report: the user deleted their OP at the HMI.
pub const DELETED_BY_USER: u16 = 1;
/// Longest request for a certificate, bytes.
pub const MAX_REQUEST: usize = 2048;
/// Most certificates of a chain.
pub const MAX_CHAIN: usize = 4;

/// A profile as the car sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileState {
    /// The profile.
    pub iccid: Iccid,
    /// Its state on the card.
    pub state: Status,
    /// Whose it is, where the car knows.
    pub owner: Option<AccountRef>,
}

/// State of a profile, or a change of it (§7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// On the card, not enabled.
    Installed,
    /// Enabled.
    Enabled,
    /// Disabled.
    Disabled,
    /// Gone from the card.
    Deleted,
    /// Could not be installed.
    InstallationFailed,
}

/// Car to CMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    /// First message of a connection.
    Hello {
        /// Name and version of the agent.
        software: String,
        /// What is on the card.
        profiles: Vec<ProfileState>,
    },
    /// A user wants to log in.
    Login {
        /// Names the attempt.
        login_id: Id,
        /// User name.
        user: String,
        /// PIN for the car.
        pin: Secret,
    },
    /// The session of this account ended.
    Logout {
        /// The account.
        account: AccountRef,
    },
    /// This user has no OP here (§4.3 step 2).
    RequestActivationCode {
        /// Names the request; repetitions carry the same.
        request_id: Id,
        /// The account.
        account: AccountRef,
    },
    /// A profile changed (§4.3 step 11); repeated until `StatusAck`.
    Status {
        /// Numbers the reports of this car. The lower 32 bits count without a gap; the upper ones are
        /// the epoch of the car's journal, drawn when it is made: a car whose journal was lost counts
        /// from the start in another epoch. 0 is that of cars that know no epochs.
        report_seq: u64,
        /// The profile, where it is known (a failed installation may have none).
        iccid: Option<Iccid>,
        /// Its owner.
        account: Option<AccountRef>,
        /// What happened.
        status: Status,
        /// 0, why an installation failed, or `DELETED_BY_USER`.
        code: u16,
    },
    /// What became of an order; repeated until `Ack` of a message whose id is the order's.
    OrderResult {
        /// The order.
        order_id: Id,
        /// What became of it.
        outcome: OrderOutcome,
    },
    /// The message is in the car's journal.
    Ack {
        /// The message.
        message_id: Id,
    },
    /// A user wants to log in without typing: the CMP answers with a code to show (`LoginCode`), and
    /// with `LoginResult` once the user approved it on a page (as RFC 8628 does it).
    LoginByCode {
        /// Names the attempt; repetitions carry the same.
        login_id: Id,
    },
    /// The profile of this request does not fit on the card any more (A.4); repeated until `Space`.
    CardFull {
        /// The request whose code can't be used yet.
        request_id: Id,
        /// The account.
        account: AccountRef,
    },
    /// As `RequestActivationCode`, and the user asked for the OP that they had deleted here
    /// again (R-4.5-10).
    RequestAgain {
        /// Names the request; repetitions carry the same.
        request_id: Id,
        /// The account.
        account: AccountRef,
    },
    /// Who is logged in to the car (revision 2): sent in each connection after `Welcome`, and at each change except
    /// one that `LoginResult` has made; repeated until `Ack`.
    Session {
        /// Numbers the states of the car's session. The car counts each login that is begun, given up or ended, from
        /// the number in `Welcome` on. The highest number is the present state.
        number: u64,
        /// The account; none where nobody is logged in.
        account: Option<AccountRef>,
    },
    /// As `Login` or `LoginByCode` (revision 2). It begins a session only while the CMP has no higher number.
    NumberedLogin {
        /// The number of the session that it begins, see `Session`.
        number: u64,
        /// Who is logged in until then.
        account: Option<AccountRef>,
        /// Names the attempt; repetitions carry the same.
        login_id: Id,
        /// How the user proves who they are.
        way: LoginWay,
    },
    /// The car asks for a certificate in place of the one that it has (revision 4); repeated until `Certificate`.
    RenewCertificate {
        /// Names the request; repetitions carry the same, and get the same certificate.
        request_id: Id,
        /// PKCS#10 request (RFC 2986), DER, signed with the new key; at most [`MAX_REQUEST`] bytes.
        request: Vec<u8>,
    },
    /// As `Session`, of a session that began without the CMP, with a verifier (revision 4): repeated until `Ack`. A CMP
    /// that does not let the user in says `Revoke` before.
    OfflineSession {
        /// Numbers the states of the car's session, see `Session`.
        number: u64,
        /// The account.
        account: AccountRef,
        /// The verifier that the user's PIN fitted, see `Down::Verifier`.
        verifier: Id,
    },
    /// The users, profiles and codes of the car were wiped at the car itself, without an order (revision 4): repeated
    /// until `Ack` of a message whose id is `reset_id`. Its keys are removed then.
    FactoryReset {
        /// Names the reset; repetitions carry the same.
        reset_id: Id,
        /// What became of it.
        outcome: OrderOutcome,
    },
}

/// How a user proves who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginWay {
    /// With a PIN at the HMI.
    Pin {
        /// User name.
        user: String,
        /// PIN for the car.
        pin: Secret,
    },
    /// On a page, with a code that the HMI shows.
    Code,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderOutcome {
    /// Executed.
    Done,
    /// There was nothing to do: no such profile here.
    NotFound,
    /// Can't be done.
    Failed {
        /// The card's or the agent's code.
        code: u16,
    },
}

/// CMP to car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    /// Answer to `Login`.
    LoginResult {
        /// The attempt.
        login_id: Id,
        /// Its result.
        outcome: LoginOutcome,
    },
    /// Answer to `RequestActivationCode` (§4.3 step 6).
    ActivationCode {
        /// The request.
        request_id: Id,
        /// The account.
        account: AccountRef,
        /// Code, later, or never.
        outcome: CodeOutcome,
    },
    /// Something to do.
    Order {
        /// Names the order; repetitions carry the same.
        order_id: Id,
        /// What the car is to do.
        kind: OrderKind,
    },
    /// The CMP has the report.
    StatusAck {
        /// The report.
        report_seq: u64,
    },
    /// The CMP has the message.
    Ack {
        /// The message.
        message_id: Id,
    },
    /// Answer to `LoginByCode`: what the HMI shows.
    LoginCode {
        /// The attempt.
        login_id: Id,
        /// The code, such as `BDFH-JKLM`.
        code: String,
        /// The page where the user enters it.
        url: String,
        /// Life of the code, seconds.
        expires_in: u32,
    },
    /// The AID User Profile of the account, after a login and whenever it changes (R-2-9).
    UserProfile {
        /// The account.
        account: AccountRef,
        /// All of it.
        profile: UserProfile,
    },
    /// Answer to `CardFull`.
    Space {
        /// The request.
        request_id: Id,
        /// True: the deletion of another OP is ordered; false: there is none that may go.
        granted: bool,
    },
    /// Answer to a `Hello` that announces revision 2 or newer, in place of `Ack`; and to a `Session` or
    /// `NumberedLogin` with a number lower than the CMP's, which changes nothing (revision 2).
    Welcome {
        /// The message that it answers.
        message_id: Id,
        /// The newest revision that both know.
        revision: u8,
        /// The number that the CMP has of the car's session. Each `Hello` raises it above all that was said before.
        session: u64,
    },
    /// Answer to `RenewCertificate` (revision 4).
    Certificate {
        /// The request.
        request_id: Id,
        /// The certificate, later, or never.
        outcome: CertificateOutcome,
    },
    /// After a login with a PIN: the car may keep a hash of that PIN under this name, to let the user in while it has no
    /// connection (revision 4). It replaces what the car has of the account, and is sent once.
    Verifier {
        /// The account.
        account: AccountRef,
        /// Names the verifier.
        verifier: Id,
        /// Salt of the hash, random.
        salt: Id,
        /// The present, Unix seconds, by the CMP's clock.
        now: u64,
        /// Life of the verifier from then on, seconds.
        valid_s: u32,
        /// Wrong PINs after which it is used up.
        attempts: u8,
    },
    /// This verifier is void (revision 4): the car forgets what it has of the account, and ends a session that began with
    /// it and that the CMP has not acknowledged. Sent again until the car's `Ack` of this message.
    Revoke {
        /// The account.
        account: AccountRef,
        /// The verifier.
        verifier: Id,
    },
}

/// Answer to a request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateOutcome {
    /// The certificate was issued.
    Issued {
        /// X.509 certificates, DER: the car's own first, then those of its issuers; at most [`MAX_CHAIN`].
        chain: Vec<Vec<u8>>,
    },
    /// The same request is to be sent again, because the PKI can't issue now or the car asks too often.
    Later {
        /// After so many seconds.
        seconds: u32,
    },
    /// This request gets none.
    Refused {
        /// Why, for the car's log.
        reason: String,
    },
}

/// Result of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginOutcome {
    /// The user is logged in.
    Accepted {
        /// The account.
        account: AccountRef,
        /// Its AID User Profile.
        aup: Aup,
        /// This user's OPs on this EID.
        profiles: Vec<Iccid>,
    },
    /// The user is not logged in.
    Refused {
        /// Why, for the HMI.
        reason: String,
    },
}

/// What the HMI shows at once; the whole AID User Profile follows as `Down::UserProfile` (R-2-9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aup {
    /// The user's name.
    pub display_name: String,
    /// The operator's name.
    pub msp_name: String,
    /// Phone number with digits masked.
    pub masked_number: String,
}

/// Answer to a request for a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeOutcome {
    /// The activation code.
    Code {
        /// SGP.22 §4.1 text.
        code: Secret,
        /// The profile behind it, where the MSP said so.
        iccid: Option<Iccid>,
    },
    /// The code comes later, in another `ActivationCode`.
    Pending,
    /// It does not come.
    Failed {
        /// Code of §5.5.
        code: u16,
        /// The reason, for the HMI and the log.
        reason: String,
    },
    /// The user deleted their OP here: ask whether they want another, then `RequestAgain` (R-4.5-10).
    Ask,
}

/// What the CMP orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// Delete a profile (§4.4, §4.5).
    Delete {
        /// The profile.
        iccid: Iccid,
    },
    /// Disable a profile, for the rest of the session.
    Disable {
        /// The profile.
        iccid: Iccid,
    },
    /// End the session of this account.
    Logout {
        /// The account.
        account: AccountRef,
    },
    /// End of a rental, workshop, sale (A.4): end the session, delete every OP, forget every user.
    DeleteAll,
    /// The account is erased: end its session, delete its OPs, forget whose they were.
    Erase {
        /// The account.
        account: AccountRef,
    },
    /// As `Delete`, and says whose profile it is (AID.02 §4.4.1, step 8; revision 3).
    DeleteOf {
        /// The CMP's reference to the account; neither the MSP's token nor the account id of a redirection.
        account: AccountRef,
        /// The profile.
        iccid: Iccid,
    },
    /// As `DeleteAll`, and the car erases its journal, its keys and its certificate once the CMP has the result: it is
    /// sold (revision 4).
    FactoryReset,
}
