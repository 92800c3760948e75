//! SGP.22 Local Profile Assistant (LPAd) over an APDU port and an HTTP port.
//!
//! ```text
//! Lpa::new(Card::new(SocketCard::new("127.0.0.1:7816"), meter), HttpsClient::new(..)?)
//!     .download(&request, &mut |stage| ..)?
//! ```
//! Blocking, without threads of its own: the agent calls it on the card's thread, `aid-lpa` (the
//! program, [`run`]) from the command line. Other transports implement [`Apdu`].
#![forbid(unsafe_code)]

mod bearer;
mod card;
mod checks;
mod config;
mod delivery;
mod discover;
mod download;
mod error;
mod es10;
mod es9;
mod http;
mod lasting;
mod listing;
mod lpa;
mod meter;
mod pcap;
mod policy;
mod program;
mod read;
mod report;
mod revocation;
mod session;
mod settle;
mod tcp;
mod trace;
mod trust;

pub use aid_port::{Apdu, CardPort, MAX_COMMAND, MAX_RESPONSE, SocketCard, TransportError};
pub use bearer::{Bearer, Bearers};
pub use card::{BLOCK, Card, ISDR_AID, MAX_ANSWER, blocks};
pub use config::device_info;
pub use delivery::Delivered;
pub use discover::Event;
pub use download::{DownloadRequest, Downloaded, Offer, Stage};
pub use error::{CardError, LpaError, ServerError};
pub use es9::{Http, HttpAnswer, HttpError};
pub use http::HttpsClient;
pub use lpa::{Lpa, default_device};
pub use meter::{Meter, Tally};
pub use pcap::Pcap;
pub use program::run;
pub use read::{ChipInfo, EuiccInfo, ListedNotification, ListedProfile, Unread};
pub use revocation::Loaded;
pub use trust::{KnownIssuer, LIVE, TEST, Trust, TrustedIssuers};
