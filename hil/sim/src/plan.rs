//! What happens in a life from outside: what users and operators do, and faults; each at its time, as a line of text that
//! can be read back.

use std::fmt;
use std::str::FromStr;

/// An enum with a word for each variant.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("unknown word {text:?}")),
                }
            }
        }
    };
}

words! {
    /// Where a car's agent stands (its `Phase`).
    State {
        /// The card was not read yet.
        Starting = "starting",
        /// Nobody is logged in.
        Guest = "guest",
        /// The CMP is asked about a login.
        LoggingIn = "logging-in",
        /// A code is awaited.
        AwaitingCode = "awaiting-code",
        /// A profile is downloaded.
        Downloading = "downloading",
        /// A profile is enabled or disabled.
        Switching = "switching",
        /// The user's profile is enabled.
        Active = "active",
        /// The user gets no profile.
        NoProfile = "no-profile",
        /// The journal does not work.
        Stopped = "stopped",
    }
}

words! {
    /// What goes wrong, or comes at the worst moment.
    Fault {
        /// The next message takes half a minute.
        Delay = "delay",
        /// The next message is lost.
        Loss = "loss",
        /// The next message comes twice.
        Duplicate = "duplicate",
        /// The next message comes after those that follow it, on a later connection too.
        Reorder = "reorder",
        /// The link breaks; the CMP does not notice.
        LinkCut = "link-cut",
        /// The car's power is cut before the card has done what runs.
        CutBefore = "cut-before",
        /// The car's power is cut after the card has done what runs, and before anybody heard of it.
        CutAfter = "cut-after",
        /// The car's power is cut in the next write of the journal, which may be on disk or not.
        CutInWrite = "cut-in-write",
        /// The car's power is cut, and again within the start.
        CutInStart = "cut-in-start",
        /// The car's disk is full for a while.
        DiskFull = "disk-full",
        /// The next write fails.
        DiskFails = "disk-fails",
        /// The next write fails, and is on disk all the same.
        DiskTorn = "disk-torn",
        /// The journal can't be read after a cut, for a while.
        DiskUnreadable = "disk-unreadable",
        /// The journal is lost.
        JournalLost = "journal-lost",
        /// The CMP's power is cut before its next commit.
        CmpCutBefore = "cmp-cut-before",
        /// The CMP's power is cut after its next commit, before it sent anything.
        CmpCutAfter = "cmp-cut-after",
        /// The CMP is down for a while.
        CmpAway = "cmp-away",
        /// The CMP's database is replaced by a copy of the last midnight.
        CmpRestored = "cmp-restored",
        /// The CMP's clock is ahead for a while.
        ClockAhead = "clock-ahead",
        /// The CMP's clock is behind for a while.
        ClockBehind = "clock-behind",
        /// The car sleeps for hours, and its boot clock goes on.
        Sleep = "sleep",
        /// The card does not answer for a while.
        CardAway = "card-away",
        /// The card is busy for some operations.
        CardBusy = "card-busy",
        /// The card has no room for another profile.
        CardFull = "card-full",
        /// The SM-DP+ can't be reached for a while.
        SmdpAway = "smdp-away",
        /// The SM-DP+ refuses the next package for good.
        SmdpRefuses = "smdp-refuses",
        /// The MSPs can't be reached for a while.
        MspAway = "msp-away",
        /// The MSPs send codes later, for a while.
        MspLate = "msp-late",
        /// The MSP ends the subscription of the user who logged in last.
        Withdrawal = "withdrawal",
        /// That user unlinks it in the portal.
        Unlink = "unlink",
        /// That user logs in to the other car: a swap.
        Swap = "swap",
        /// The MSP declares the user's profile dead.
        ProfileDead = "profile-dead",
        /// An operator deletes the user's profile in this car.
        Deletion = "deletion",
        /// The car is cleared: the end of a rental.
        Cleared = "cleared",
        /// Another user logs in.
        Takeover = "takeover",
        /// A call begins; it ends after a while.
        Call = "call",
    }
}

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The car is woken: its link comes up.
    Wake,
    /// The car is parked: its link goes down.
    Park,
    /// A user logs in with their PIN.
    Login(u8),
    /// A user logs in with a code, which they approve.
    LoginByCode(u8),
    /// Whoever is logged in logs out.
    Logout,
    /// The ignition is switched off; the session ends after the grace time.
    IgnitionOff,
    /// The ignition is switched on.
    IgnitionOn,
    /// Whoever is logged in deletes their profile at the HMI.
    DeleteOwn,
    /// Whoever is logged in wants a profile again.
    Provision,
    /// The user's profile in this car is deleted by an operator, so that the next login downloads.
    Forget(u8),
    /// The user links a subscription again, where none is active.
    Relink(u8),
    /// The CMP's database is copied.
    Backup,
    /// A fault comes as soon as the car is in this state.
    Arm(State, Fault),
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, ms.
    pub at: u64,
    /// The car.
    pub car: u8,
    /// What happens.
    pub deed: Deed,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.at, self.car)?;
        match self.deed {
            Deed::Wake => f.write_str("wake"),
            Deed::Park => f.write_str("park"),
            Deed::Login(user) => write!(f, "login {user}"),
            Deed::LoginByCode(user) => write!(f, "login-by-code {user}"),
            Deed::Logout => f.write_str("logout"),
            Deed::IgnitionOff => f.write_str("ignition-off"),
            Deed::IgnitionOn => f.write_str("ignition-on"),
            Deed::DeleteOwn => f.write_str("delete-own"),
            Deed::Provision => f.write_str("provision"),
            Deed::Forget(user) => write!(f, "forget {user}"),
            Deed::Relink(user) => write!(f, "relink {user}"),
            Deed::Backup => f.write_str("backup"),
            Deed::Arm(state, fault) => write!(f, "arm {} {}", state.word(), fault.word()),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or_else(|| format!("{line:?} is too short"));
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| format!("{text:?} is not a number"))
        };
        let at = number(word()?)?;
        let car = small(number(word()?)?, line)?;
        let deed = match word()? {
            "wake" => Deed::Wake,
            "park" => Deed::Park,
            "login" => Deed::Login(small(number(word()?)?, line)?),
            "login-by-code" => Deed::LoginByCode(small(number(word()?)?, line)?),
            "logout" => Deed::Logout,
            "ignition-off" => Deed::IgnitionOff,
            "ignition-on" => Deed::IgnitionOn,
            "delete-own" => Deed::DeleteOwn,
            "provision" => Deed::Provision,
            "forget" => Deed::Forget(small(number(word()?)?, line)?),
            "relink" => Deed::Relink(small(number(word()?)?, line)?),
            "backup" => Deed::Backup,
            "arm" => Deed::Arm(word()?.parse()?, word()?.parse()?),
            other => return Err(format!("unknown deed {other:?}")),
        };
        match words.next() {
            None => Ok(Self { at, car, deed }),
            Some(more) => Err(format!("{more:?} is too much in {line:?}")),
        }
    }
}

/// A number of a car or user.
fn small(number: u64, line: &str) -> Result<u8, String> {
    let few = u8::try_from(number).ok().filter(|n| *n < 8);
    few.ok_or_else(|| format!("a number in {line:?} is too large"))
}
