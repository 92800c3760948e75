//! Misbehaviour on purpose: each breaks one invariant, so that a test sees the invariant's check find it. No life of a soak
//! has one.

/// A party that misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The card says of each disabling that it is busy, for ever (1).
    StaysEnabled,
    /// Two profiles are enabled on the card behind everybody's back (2).
    TwoEnabled,
    /// The CMP acknowledges reports that it does not keep (3).
    AckUnheard,
    /// A profile is put on the card behind everybody's back, and the shell hides it from the CMP (4).
    HiddenProfile,
    /// The CMP sends the code again when the link ends (5).
    CodeAfterEnd,
    /// The shell does not tell the agent of orders and closes them at the CMP (6).
    OrderIgnored,
    /// An order deletes a profile of another link (6).
    OrderAstray,
    /// The card delivers the newest notification first (7).
    NotificationsReversed,
    /// The card removes notifications that nobody accepted (7).
    NotificationsDropped,
    /// The disk says that it has written, and has not (8).
    LyingDisk,
    /// The shell runs card operations before their record is on disk (8).
    EagerShell,
    /// The shell sends through the interface of the enabled profile (9).
    OwnBearer,
    /// The CMP takes a token from whichever MSP names it (10).
    ForeignMsp,
    /// A party panics (11).
    Panic,
    /// A party answers each message with the same message (11).
    Echo,
    /// The disk never works again after it failed (12).
    DeadDisk,
    /// The CMP gives a call up for good when its MSP is away (3).
    FinalAnswer,
    /// The car's `Hello` lists nothing (14).
    EmptyHello,
}
