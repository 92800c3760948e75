//! A session that a server has opened (SGP.22 §3.1.2), and the errors that name its server.

use crate::error::{CardError, LpaError, ServerError};
use aid_rsp::es9::{Base64, Hex};
use aid_rsp::es10::TransactionId;
use aid_rsp::tlv::TlvError;
use std::fmt;

/// Most bytes of the card's answers that a server accepts.
pub(crate) const MAX_SIGNED: usize = 16 * 1024;

/// A session that the server has opened.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) server: String,
    pub(crate) id: TransactionId,
    pub(crate) hex: Hex<16>,
    /// Where revocation lists were asked for.
    pub(crate) lists: Vec<String>,
}

impl Session {
    pub(crate) fn mismatch(&self, what: &'static str) -> LpaError {
        LpaError::Mismatch {
            server: self.server.clone(),
            what,
        }
    }

    pub(crate) fn unreadable(
        &self,
        function: &'static str,
        what: &dyn fmt::Display,
    ) -> ServerError {
        ServerError::Json {
            server: self.server.clone(),
            function,
            what: what.to_string(),
        }
    }

    /// Reads a DER object of a field of an answer.
    pub(crate) fn object<T>(
        &self,
        function: &'static str,
        field: &str,
        parsed: Result<T, TlvError>,
    ) -> Result<T, ServerError> {
        parsed.map_err(|e| self.unreadable(function, &format_args!("{field}: {e}")))
    }

    pub(crate) fn refused(&self, what: &'static str, code: u8, name: &'static str) -> LpaError {
        LpaError::ServerRefused {
            server: self.server.clone(),
            what,
            code,
            name,
        }
    }
}

/// A field of a request that holds an answer of the card.
pub(crate) fn signed(what: &'static str, answer: Vec<u8>) -> Result<Base64<MAX_SIGNED>, CardError> {
    let max = MAX_SIGNED;
    Base64::new(answer).ok_or(CardError::TooLong { what, max })
}
