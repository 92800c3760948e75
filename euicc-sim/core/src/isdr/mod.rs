//! ISD-R: the functions of ES10a, ES10b and ES10c, one STORE DATA chain each.
//! SGP.22 §5.7.

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
use aid_rsp::es8::tags;
use aid_rsp::es10::{
    AuthenticateServerRequest, CancelSessionRequest, DataObject, DeleteProfileRequest,
    DisableProfileRequest, EnableProfileRequest, EuiccConfiguredAddressesRequest,
    EuiccMemoryResetRequest, GetEuiccChallengeRequest, GetEuiccDataRequest, GetEuiccInfo1Request,
    GetEuiccInfo2Request, GetRatRequest, ListNotificationRequest, LoadCrlRequest,
    NotificationSentRequest, PrepareDownloadRequest, ProfileInfoListRequest,
    RetrieveNotificationsListRequest, SetDefaultDpAddressRequest, SetNicknameRequest, Signature,
    TransactionId,
};
use aid_rsp::tlv::{Tag, parse_header};
use alloc::{boxed::Box, string::String, vec::Vec};

/// What the card holds between the functions of one RSP session. Volatile.
///
/// # Several channels
/// The card has one session, whoever uses it. A bound profile package belongs to the channel on which
/// it began: its pieces come there, and its result is answered there. On other channels functions that
/// have nothing to do with the session are executed meanwhile, and leave it alone. Whoever begins
/// another session there (GetEUICCChallenge, AuthenticateServer, PrepareDownload, CancelSession,
/// LoadBoundProfilePackage), calls any function between two pieces on the package's own channel, closes
/// that channel or selects something else on it, ends the package: the SM-DP+ learns it from the signed
/// result, which is a notification and nobody's answer.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Of GetEUICCChallenge; good for one AuthenticateServer.
    pub(crate) challenge: Option<[u8; 16]>,
    pub(crate) context: Option<Box<Context>>,
    load: Option<Box<install::Loading>>,
}

impl Session {
    /// The channel of the package that is being loaded.
    pub(crate) fn loading_on(&self) -> Option<u8> {
        self.load.as_ref().map(|loading| loading.channel)
    }

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
    /// Executes one function that came on a channel; its request is a whole data object, or a piece of
    /// a BPP.
    pub(crate) fn es10(&mut self, channel: u8, request: &[u8]) -> Result<Answer, u16> {
        let own = self.session.loading_on().is_none_or(|on| on == channel);
        let continues = match self.session.load.as_ref() {
            Some(loading) if own => loading.load.goes_on_with(request),
            _ => false,
        };
        if continues {
            return self.load_segment(channel, request);
        }
        let header = parse_header(request).map_err(|_| sw::WRONG_DATA);
        let tag = match header {
            // The first piece of a package may end within its header.
            _ if request.starts_with(&BPP) => Ok(tags::BPP),
            header => header.and_then(|h| h.ok_or(sw::WRONG_DATA)).map(|h| h.tag),
        };
        if own || tag.is_ok_and(is_of_the_session) {
            // CancelSession tells the reason itself.
            if tag == Ok(CancelSessionRequest::TAG) {
                self.session.load = None;
            }
            self.interrupt_load();
        }
        let tag = tag?;
        let data = match tag {
            tags::BPP => return self.load_segment(channel, request),
            GetEuiccInfo1Request::TAG => parse(request).map(|r| self.euicc_info1(r)),
            GetEuiccInfo2Request::TAG => parse(request).map(|r| self.get_euicc_info2(r)),
            GetEuiccDataRequest::TAG => parse(request).map(|r| self.eid(r)),
            EuiccConfiguredAddressesRequest::TAG => {
                parse(request).map(|r| self.configured_addresses(r))
            }
            SetDefaultDpAddressRequest::TAG => self.set_default_dp_address(&parse(request)?),
            GetRatRequest::TAG => parse(request).map(|r| self.rat(r)),
            GetEuiccChallengeRequest::TAG => parse(request).map(|r| self.challenge(r)),
            AuthenticateServerRequest::TAG => self.authenticate_server(request),
            PrepareDownloadRequest::TAG => self.prepare_download(&parse(request)?),
            CancelSessionRequest::TAG => self.cancel_session(&parse(request)?),
            ListNotificationRequest::TAG => self.list_notification(&parse(request)?),
            RetrieveNotificationsListRequest::TAG => self.retrieve_notifications(&parse(request)?),
            LoadCrlRequest::TAG => self.load_crl(request),
            NotificationSentRequest::TAG => self.remove_notification(&parse(request)?),
            ProfileInfoListRequest::TAG => self.profiles_info(request),
            EnableProfileRequest::TAG => self.enable_profile(&parse(request)?),
            DisableProfileRequest::TAG => self.disable_profile(&parse(request)?),
            DeleteProfileRequest::TAG => self.delete_profile(&parse(request)?),
            EuiccMemoryResetRequest::TAG => self.memory_reset(&parse(request)?),
            SetNicknameRequest::TAG => self.set_nickname(&parse(request)?),
            _ => Err(sw::NOT_FOUND),
        }?;
        Ok((data, sw::OK))
    }
}

/// The bytes of [`tags::BPP`].
const BPP: [u8; 2] = [0xBF, 0x36];

/// Does this function begin, continue or end an RSP session?
const fn is_of_the_session(tag: Tag) -> bool {
    matches!(
        tag,
        tags::BPP
            | GetEuiccChallengeRequest::TAG
            | AuthenticateServerRequest::TAG
            | PrepareDownloadRequest::TAG
            | CancelSessionRequest::TAG
    )
}

/// The request, or 6A80.
fn parse<T: DataObject>(request: &[u8]) -> Result<T, u16> {
    T::from_slice(request).map_err(|_| sw::WRONG_DATA)
}

/// Response data, or a status word.
type Outcome = Result<Vec<u8>, u16>;
