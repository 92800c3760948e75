//! Why an AT command fails. 3GPP TS 27.007 §9.2.1: codes and texts of +CME ERROR.

/// A +CME ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cme {
    /// 3
    NotAllowed,
    /// 4
    NotSupported,
    /// 10
    NoSim,
    /// 11
    PinRequired,
    /// 12
    PukRequired,
    /// 13
    SimFailure,
    /// 16
    WrongPassword,
    /// 20
    MemoryFull,
    /// 22
    NotFound,
    /// 50
    WrongParameters,
}

impl Cme {
    /// Number and text.
    pub(super) const fn code(self) -> (u16, &'static str) {
        match self {
            Self::NotAllowed => (3, "operation not allowed"),
            Self::NotSupported => (4, "operation not supported"),
            Self::NoSim => (10, "SIM not inserted"),
            Self::PinRequired => (11, "SIM PIN required"),
            Self::PukRequired => (12, "SIM PUK required"),
            Self::SimFailure => (13, "SIM failure"),
            Self::WrongPassword => (16, "incorrect password"),
            Self::MemoryFull => (20, "memory full"),
            Self::NotFound => (22, "not found"),
            Self::WrongParameters => (50, "Incorrect parameters"),
        }
    }
}
