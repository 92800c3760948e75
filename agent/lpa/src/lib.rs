//! SGP.22 Local Profile Assistant (LPAd) over an APDU port and an HTTP port.
//!
//! ```text
//! Lpa::new(Card::new(SocketCard::new("127.0.0.1:7816"), meter), HttpsClient::new(..)?)
//!     .download(&request, &mut |stage| ..)?
//! ```
//! Blocking, without threads of its own: the agent calls it on the card's thread, `aid-lpa` (the
//! program, [`run`]) from the command line. Other transports implement [`Apdu`].
#![forbid(unsafe_code)]

mod card;
mod config;
mod download;
mod error;
mod es10;
mod es9;
mod http;
mod lasting;
mod lpa;
mod meter;
mod policy;
mod program;
mod report;
mod tcp;
mod trace;

pub use aid_port::{Apdu, CardPort, MAX_COMMAND, MAX_RESPONSE, SocketCard, TransportError};
pub use card::{BLOCK, Card, ISDR_AID, MAX_ANSWER, blocks};
pub use config::device_info;
pub use download::{DownloadRequest, Downloaded, Stage};
pub use error::{CardError, LpaError, ServerError};
pub use es9::{Http, HttpAnswer, HttpError};
pub use http::HttpsClient;
pub use lpa::{ChipInfo, Delivered, Lpa, default_device};
pub use meter::{Meter, Tally};
pub use program::run;
pub use tcp::Bearer;
