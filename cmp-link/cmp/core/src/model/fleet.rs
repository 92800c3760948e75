//! Sessions of cars, and codes that cars show for a login (AID2). Read by `decide`, stored by `store`; times are
//! Unix milliseconds.

use aid_id::{AccountRef, Eid, Id};

text_enum! {
    /// How far a login by code is.
    LoginCodeState {
        /// The car shows it.
        Open = "open",
        /// The user said yes.
        Approved = "approved",
        /// The user said no.
        Denied = "denied",
    }
}

/// What is known of the numbers that a car gives to the states of its session (AID2 rule 1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionMark {
    /// The highest number; none: the car has said no Hello of revision 2 yet.
    pub number: Option<u64>,
    /// Whose session the last login has replaced, until the car confirms that login.
    pub before: Option<AccountRef>,
    /// The message id of the `Hello` that raised the number last.
    pub hello: Option<Id>,
}

/// A code that a car shows (the shape of RFC 8628).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginCode {
    /// Eight letters; shown as two groups of four.
    pub code: String,
    /// The car.
    pub eid: Eid,
    /// The car's attempt.
    pub login_id: Id,
    /// How far it is.
    pub state: LoginCodeState,
    /// Who approved or denied it.
    pub account: Option<AccountRef>,
    /// When it was made.
    pub created_at: u64,
    /// When it ends.
    pub expires_at: u64,
}
