//! ISD-R: the functions of ES10a, ES10b and ES10c, one STORE DATA chain each.
//! SGP.22 §5.7. Called by [`crate::card::Card`] for channels where the ISD-R is selected.

mod authenticate;
mod info;
mod install;
mod listing;
mod load;
mod metadata;
mod notification;
mod prepare;
mod profiles;
mod revocation;

use crate::apdu::sw;
use crate::card::{Answer, Card};
use crate::nvm::Nvm;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::KeyPair;
use aid_rsp::es10::{DataObject, Signature, TransactionId};
use aid_rsp::tlv::parse_header;
use alloc::{boxed::Box, string::String, vec::Vec};

/// What the card holds between the functions of one RSP session. Volatile.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Of GetEUICCChallenge; good for one AuthenticateServer.
    pub(crate) challenge: Option<[u8; 16]>,
    pub(crate) context: Option<Box<Context>>,
    load: Option<Box<load::Load>>,
}

impl Session {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// After AuthenticateServer: SGP.22 §5.7.13.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    transaction_id: TransactionId,
    /// Where the server is: the address of the installation notification.
    server_address: String,
    server: Certificate,
    /// Position of its CI among the card's trust anchors.
    anchor: usize,
    /// Key identifier of the CI under which the card signs in this session.
    signing_ci: Vec<u8>,
    pub(crate) euicc_signature1: Signature,
    prepared: Option<Prepared>,
}

/// After PrepareDownload: SGP.22 §5.7.5.
#[derive(Debug, Clone)]
struct Prepared {
    dppb: Certificate,
    one_time: KeyPair,
}

impl<N: Nvm> Card<N> {
    /// Executes one function; its request is a whole data object, or a piece of a BPP.
    pub(crate) fn es10(&mut self, request: &[u8]) -> Result<Answer, u16> {
        let continues = match self.session.load.as_ref() {
            Some(load) => load.goes_on_with(request),
            None => false,
        };
        if continues {
            return self.load_segment(request);
        }
        let header = parse_header(request).map_err(|_| sw::WRONG_DATA);
        let tag = header.and_then(|h| h.ok_or(sw::WRONG_DATA)).map(|h| h.tag);
        // Whoever calls another function has given up the BPP. CancelSession tells the reason itself.
        if tag == Ok(0xBF41) {
            self.session.load = None;
        }
        self.interrupt_load();
        if request.starts_with(&[0xBF, 0x36]) {
            return self.load_segment(request);
        }
        let tag = tag?;
        let data = match tag {
            0xBF20 => parse(request).map(|r| self.euicc_info1(r)),
            0xBF22 => parse(request).map(|r| self.get_euicc_info2(r)),
            0xBF3E => parse(request).map(|r| self.eid(r)),
            0xBF3C => parse(request).map(|r| self.configured_addresses(r)),
            0xBF3F => self.set_default_dp_address(&parse(request)?),
            0xBF43 => parse(request).map(|r| self.rat(r)),
            0xBF2E => parse(request).map(|r| self.challenge(r)),
            0xBF38 => self.authenticate_server(request),
            0xBF21 => self.prepare_download(&parse(request)?),
            0xBF41 => self.cancel_session(&parse(request)?),
            0xBF28 => self.list_notification(&parse(request)?),
            0xBF2B => self.retrieve_notifications(&parse(request)?),
            0xBF35 => self.load_crl(request),
            0xBF30 => self.remove_notification(&parse(request)?),
            0xBF2D => self.profiles_info(request),
            0xBF31 => self.enable_profile(&parse(request)?),
            0xBF32 => self.disable_profile(&parse(request)?),
            0xBF33 => self.delete_profile(&parse(request)?),
            0xBF34 => self.memory_reset(&parse(request)?),
            0xBF29 => self.set_nickname(&parse(request)?),
            _ => Err(sw::NOT_FOUND),
        }?;
        Ok((data, sw::OK))
    }
}

/// The request, or 6A80.
fn parse<T: DataObject>(request: &[u8]) -> Result<T, u16> {
    T::from_slice(request).map_err(|_| sw::WRONG_DATA)
}

/// Response data, or a status word.
type Outcome = Result<Vec<u8>, u16>;
