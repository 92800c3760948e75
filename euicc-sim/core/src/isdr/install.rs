//! LoadBoundProfilePackage: opens the segments, installs the profile, signs the result.
//! SGP.22 §2.5.6, §5.5, §5.7.6.

use super::load::{Failure, Load, Part};
use super::notification::Notice;
use crate::apdu::sw;
use crate::card::{Answer, Card, Profile};
use crate::fs::{Content, MF, ProfileImage};
use crate::install::{PeStatus, ProfileInstaller, code};
use crate::nvm::{Key, Nvm, Write};
use aid_rsp::bsp::{Bsp, BspError, KEY_LEN, KEY_TYPE_AES, KeyAgreementParams, SessionKeys};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es8::{
    ConfigureIsdpRequest, REMOTE_OP_INSTALL_BPP, ReceivedInitialise, ReplaceSessionKeysRequest,
    tags,
};
use aid_rsp::es10::{
    BppCommandId, DataObject, ErrorReason, FinalResult, NotificationEvent, NotificationMetadata,
    OperatorId, ProfileClass, ProfileInstallationResult, ProfileInstallationResultData, Signed,
    StoreMetadataRequest, ppr,
};
use aid_rsp::saip::PeSplitter;
use aid_rsp::tlv::{Tlv, Writer, universal};
use alloc::{boxed::Box, vec::Vec};

/// Longest ConfigureISDP, StoreMetadata or ReplaceSessionKeys, bytes.
const MAX_COMMAND: usize = 4096;

/// A package on its way.
#[derive(Debug)]
pub(super) struct Loading {
    /// The channel on which it began, and goes on.
    pub(super) channel: u8,
    pub(super) load: Load,
    installation: Installation,
}

/// What the package has brought so far.
#[derive(Debug, Default)]
struct Installation {
    bsp: Option<Bsp>,
    /// Plaintext of the sequence that is open (profile elements go to the splitter).
    plain: Vec<u8>,
    configure: ConfigureIsdpRequest,
    metadata: Option<StoreMetadataRequest>,
    splitter: PeSplitter,
    installer: ProfileInstaller,
    /// Bytes of profile elements.
    received: u32,
}

impl<N: Nvm> Card<N> {
    /// Takes a piece of the package that came on a channel. An answer with data is the
    /// ProfileInstallationResult.
    pub(super) fn load_segment(&mut self, channel: u8, piece: &[u8]) -> Result<Answer, u16> {
        let prepared = self
            .session
            .context
            .as_ref()
            .is_some_and(|c| c.prepared.is_some());
        if !prepared {
            self.session.load = None;
            return Err(sw::CONDITIONS);
        }
        let mut loading = match self.session.load.take() {
            Some(loading) => *loading,
            None => Loading {
                channel,
                load: Load::default(),
                installation: Installation::default(),
            },
        };
        loading.load.push(piece);
        match self.run(&mut loading) {
            Ok(false) => {
                self.session.load = Some(Box::new(loading));
                Ok((Vec::new(), sw::OK))
            }
            Ok(true) => self.finish(loading.installation),
            Err(failure) => self.refuse(&loading.installation, &failure),
        }
    }

    /// Works through what is there; `Ok(true)` when the package is complete.
    fn run(&self, loading: &mut Loading) -> Result<bool, Failure> {
        let Loading {
            load, installation, ..
        } = loading;
        loop {
            let command = load.command();
            let more = load.next(|part| match part {
                Part::Initialise(request) => self.initialise(installation, &request),
                Part::Segment(sequence, segment) => {
                    self.segment(installation, sequence, &segment, command)
                }
                Part::End(sequence) => self.end(installation, sequence),
            })?;
            if load.is_complete() {
                return Ok(true);
            }
            if !more {
                return Ok(false);
            }
        }
    }

    /// InitialiseSecureChannel (§5.5.1).
    fn initialise(&self, to: &mut Installation, request: &Tlv<'_>) -> Result<(), Failure> {
        let fail = |reason| Failure::new(BppCommandId::InitialiseSecureChannel, reason);
        let context = self.session.context.as_ref();
        let prepared = context.and_then(|c| c.prepared.as_ref());
        let (Some(context), Some(prepared)) = (context, prepared) else {
            return Err(fail(ErrorReason::UnknownError));
        };
        let received = ReceivedInitialise::read(request)
            .map_err(|_| fail(ErrorReason::IncorrectInputValues))?;
        let request = &received.request;
        if request.remote_op_id != REMOTE_OP_INSTALL_BPP {
            return Err(fail(ErrorReason::UnsupportedRemoteOperationType));
        }
        if request.transaction_id != context.transaction_id {
            return Err(fail(ErrorReason::InvalidTransactionId));
        }
        let crt = &request.control_ref_template;
        if (crt.key_type, crt.key_len) != (KEY_TYPE_AES, KEY_LEN) {
            return Err(fail(ErrorReason::UnsupportedCrtValues));
        }
        let signed = received.signed_part(prepared.one_time.public.as_bytes());
        self.crypto
            .verify(
                prepared.dppb.public_key(),
                &[&signed],
                request.smdp_sign.as_bytes(),
            )
            .map_err(|_| fail(ErrorReason::InvalidSignature))?;
        let curve = prepared.one_time.public.curve();
        let public = PublicKey::from_bytes(curve, &request.smdp_otpk)
            .map_err(|_| fail(ErrorReason::IncorrectInputValues))?;
        // With two keys that are keys of the curve only the card itself can fail.
        let secret = self
            .crypto
            .ecdh(&prepared.one_time.private, &public)
            .map_err(|_| fail(ErrorReason::UnknownError))?;
        let params = KeyAgreementParams {
            host_id: &crt.host_id,
            eid: &self.identity.eid,
        };
        to.bsp = Some(Bsp::new(&SessionKeys::derive(&secret, params)));
        Ok(())
    }

    /// One segment: checked, decrypted, and for profile elements installed at once.
    fn segment(
        &self,
        to: &mut Installation,
        sequence: u32,
        segment: &Tlv<'_>,
        command: BppCommandId,
    ) -> Result<(), Failure> {
        let fail = |reason| Failure::new(command, reason);
        let bsp = to.bsp.as_mut();
        let bsp = bsp.ok_or_else(|| fail(ErrorReason::UnknownError))?;
        let security = |error: BspError| match error {
            BspError::Structure { .. } => fail(ErrorReason::Scp03tStructureError),
            _ => fail(ErrorReason::Scp03tSecurityError),
        };
        if sequence == tags::SEQUENCE_OF_88 {
            let plain = bsp.verify(segment).map_err(security)?;
            to.plain.extend_from_slice(plain);
        } else {
            bsp.open(segment, &mut to.plain).map_err(security)?;
        }
        if sequence != tags::SEQUENCE_OF_86 {
            if to.plain.len() > MAX_COMMAND {
                return Err(fail(ErrorReason::IncorrectInputValues));
            }
            return Ok(());
        }
        to.received = to.received.saturating_add(to.plain.len() as u32);
        if to.received > self.free_memory() {
            return Err(fail(ErrorReason::InsufficientMemory));
        }
        to.splitter.push(&to.plain);
        to.plain.clear();
        loop {
            let pe = to.splitter.next_pe().map_err(|_| pe_failure(&MALFORMED))?;
            let Some(pe) = pe else { return Ok(()) };
            to.installer.push(&pe).map_err(|s| pe_failure(&s))?;
            let header = to.installer.header();
            let iccid = to.metadata.as_ref().map(|m| m.iccid);
            if header.is_some_and(|h| Some(h.iccid_swapped()) != iccid) {
                return Err(fail(ErrorReason::DataMismatch));
            }
        }
    }

    /// The commands that a sequence carried.
    fn end(&self, to: &mut Installation, sequence: u32) -> Result<(), Failure> {
        let plain = core::mem::take(&mut to.plain);
        match sequence {
            tags::FIRST_87 => {
                let fail = |reason| Failure::new(BppCommandId::ConfigureIsdp, reason);
                to.configure = ConfigureIsdpRequest::from_slice(&plain)
                    .map_err(|_| fail(ErrorReason::IncorrectInputValues))?;
                // Here the ISD-P is made.
                if self.store.state().free_slot().is_none() || self.free_memory() == 0 {
                    return Err(fail(ErrorReason::InsufficientMemory));
                }
            }
            tags::SEQUENCE_OF_88 => {
                let fail = |reason| Failure::new(BppCommandId::StoreMetadata, reason);
                let metadata = StoreMetadataRequest::from_slice(&plain)
                    .map_err(|_| fail(ErrorReason::IncorrectInputValues))?;
                self.check_metadata(&metadata).map_err(fail)?;
                to.metadata = Some(metadata);
            }
            tags::SECOND_87 => {
                let fail = || {
                    let reason = ErrorReason::IncorrectInputValues;
                    Failure::new(BppCommandId::ReplaceSessionKeys, reason)
                };
                let request = ReplaceSessionKeysRequest::from_slice(&plain).map_err(|_| fail())?;
                to.bsp
                    .as_mut()
                    .ok_or_else(fail)?
                    .replace_keys(&request.keys);
            }
            _ => {}
        }
        Ok(())
    }

    /// StoreMetadata (§5.5.3) and the Profile Policy Rules (§2.9.2, §2.9.3.1).
    fn check_metadata(&self, metadata: &StoreMetadataRequest) -> Result<(), ErrorReason> {
        let profiles = &self.store.state().profiles;
        if profiles.iter().any(|p| p.iccid() == metadata.iccid) {
            return Err(ErrorReason::IccidAlreadyExists);
        }
        if metadata.profile_class == ProfileClass::Test && !self.options.test_profiles {
            return Err(ErrorReason::UnsupportedProfileClass);
        }
        if metadata.icon.is_some() && metadata.icon_type.is_none() {
            return Err(ErrorReason::IncorrectInputValues);
        }
        // Wildcards are for the Rules Authorisation Table; an owner is one operator.
        let owner = metadata.profile_owner.as_ref();
        let wildcard = |b: u8| b >> 4 == 0x0E || b & 15 == 0x0E;
        if owner.is_some_and(|o| o.mcc_mnc.into_iter().any(wildcard)) {
            return Err(ErrorReason::IncorrectInputValues);
        }
        let rules = metadata.policy_rules.unwrap_or(0);
        for rule in [ppr::PPR1, ppr::PPR2] {
            if rules & rule != 0 && !self.authorised(rule, metadata.profile_owner.as_ref()) {
                return Err(ErrorReason::PprNotAllowed);
            }
        }
        let operational = |p: &Profile| p.class() == ProfileClass::Operational;
        if rules & ppr::PPR1 != 0 && profiles.iter().any(operational) {
            return Err(ErrorReason::PprNotAllowed);
        }
        Ok(())
    }

    /// Does the Rules Authorisation Table let this operator set the rule?
    fn authorised(&self, rule: u32, owner: Option<&OperatorId>) -> bool {
        let Some(owner) = owner else { return false };
        let nibbles = |bytes: [u8; 3]| bytes.into_iter().flat_map(|b| [b >> 4, b & 15]);
        let mut rules = self.options.rules.rules.iter();
        rules.any(|(pprs, operators, _)| {
            pprs & rule != 0
                && operators.iter().any(|allowed| {
                    nibbles(allowed.mcc_mnc)
                        .zip(nibbles(owner.mcc_mnc))
                        .all(|(allowed, own)| allowed == 0x0E || allowed == own)
                        && (allowed.gid1.is_none() || allowed.gid1 == owner.gid1)
                        && (allowed.gid2.is_none() || allowed.gid2 == owner.gid2)
                })
        })
    }

    /// The package is complete: the profile, its metadata and the notifications in one batch.
    fn finish(&mut self, mut done: Installation) -> Result<Answer, u16> {
        let fail = |reason| Failure::new(BppCommandId::LoadProfileElements, reason);
        let image = match core::mem::take(&mut done.installer).finish() {
            Ok(image) if done.splitter.is_complete() => image,
            Ok(_) => return self.refuse(&done, &pe_failure(&MALFORMED)),
            Err(status) => return self.refuse(&done, &pe_failure(&status)),
        };
        let Some(metadata) = done.metadata.take() else {
            return self.refuse(&done, &fail(ErrorReason::UnknownError));
        };
        if let Err(reason) = check_content(&metadata, &image) {
            done.metadata = Some(metadata);
            return self.refuse(&done, &fail(reason));
        }
        let (image, metadata_bytes) = (ProfileImage::to_bytes(&image), metadata.to_vec());
        let size = (image.len() + metadata_bytes.len()) as u32;
        let slot = self.store.state().free_slot();
        let slot = slot.filter(|_| size <= self.free_memory());
        let Some(slot) = slot else {
            done.metadata = Some(metadata);
            return self.refuse(&done, &fail(ErrorReason::InsufficientMemory));
        };
        let context = self.session.context.as_ref().ok_or(sw::CONDITIONS)?;
        let ci = context.signing_ci.clone();
        let mut next = self.store.state().clone();
        next.next_slot = slot.wrapping_add(1);
        let profile = Profile {
            slot,
            enabled: false,
            nickname: None,
            size,
            dp_proprietary: done.configure.dp_proprietary_data.take(),
            ci: ci.clone(),
            metadata: Some(metadata.clone().without_icon()),
        };
        let aid = profile.aid();
        next.profiles.push(profile);
        let result = FinalResult::Success {
            aid: aid.to_vec(),
            sima_response: sima_response(None),
        };
        let mut notices = Vec::new();
        let (result, notice) = self.installation_result(&mut next, Some(metadata.iccid), result)?;
        // The SM-DP+ of the session learns it from the result; others as the profile says.
        let event = NotificationEvent::Install;
        for info in &metadata.notifications {
            if info.events & event.bit() != 0 && info.address != notice.address() {
                notices.push(self.notice(
                    &mut next,
                    event,
                    &info.address,
                    (metadata.iccid, &ci),
                )?);
            }
        }
        notices.push(notice);
        let writes = [
            Write::Put(Key::Metadata(slot), &metadata_bytes),
            Write::Put(Key::Image(slot), &image),
            Write::Delete(Key::OneTimeKey),
        ];
        match self.commit_with(next, &notices, &writes) {
            Ok(()) => {
                self.session.reset();
                Ok((result, sw::OK))
            }
            Err(status) => {
                done.metadata = Some(metadata);
                let refusal = self.refuse(&done, &pe_failure(&MEMORY_FAILURE));
                refusal.map_err(|_| status)
            }
        }
    }

    /// Gives up a package that is being loaded, because of a reset, because its channel has gone, or
    /// because an LPA calls another function in the middle (see [`super::Session`]): the SM-DP+ learns it from the result, and can try again.
    pub(crate) fn interrupt_load(&mut self) {
        let Some(loading) = self.session.load.take() else {
            return;
        };
        // Without a secure channel there is nothing to interrupt, and the session goes on.
        if loading.installation.bsp.is_some() {
            let failure = Failure::new(loading.load.command(), ErrorReason::Interruption);
            // A failure to store the result leaves the card as if the package had never come.
            let _ = self.refuse(&loading.installation, &failure);
        }
    }

    /// Nothing is installed; the result says why, and is a notification like any other.
    fn refuse(&mut self, at: &Installation, failure: &Failure) -> Result<Answer, u16> {
        let mut next = self.store.state().clone();
        let result = FinalResult::Error {
            command: failure.command,
            reason: failure.reason,
            sima_response: failure.sima_response.clone(),
        };
        let iccid = at.metadata.as_ref().map(|m| m.iccid);
        let (result, notice) = self.installation_result(&mut next, iccid, result)?;
        self.session.reset();
        self.commit_with(next, &[notice], &[Write::Delete(Key::OneTimeKey)])?;
        Ok((result, sw::OK))
    }

    fn installation_result(
        &self,
        next: &mut crate::card::State,
        iccid: Option<[u8; 10]>,
        result: FinalResult,
    ) -> Result<(Vec<u8>, Notice), u16> {
        let context = self.session.context.as_ref().ok_or(sw::CONDITIONS)?;
        let prepared = context.prepared.as_ref().ok_or(sw::CONDITIONS)?;
        let sequence = next.take_sequence();
        let data = Signed::new(ProfileInstallationResultData {
            transaction_id: context.transaction_id,
            notification: NotificationMetadata {
                seq_number: sequence.into(),
                event: NotificationEvent::Install,
                address: context.server_address.clone(),
                iccid,
            },
            smdp_oid: prepared.dppb.registered_id().unwrap_or_default().to_vec(),
            result,
        });
        let signature = self.sign(&context.signing_ci, &[data.bytes()])?;
        let result = ProfileInstallationResult { data, signature };
        Ok((result.to_vec(), Notice::installation(sequence, result)))
    }
}

/// What metadata and content must have in common (§5.5.3, §5.5.5).
fn check_content(metadata: &StoreMetadataRequest, image: &ProfileImage) -> Result<(), ErrorReason> {
    if metadata.profile_class == ProfileClass::Test
        && !image.keys.iter().all(|key| key.algorithm.is_for_tests())
    {
        return Err(ErrorReason::TestProfileInvalidNaaKey);
    }
    let owner = metadata.profile_owner.as_ref();
    if owner.is_some_and(|owner| !is_of_operator(image, owner)) || !is_numbered(metadata, image) {
        return Err(ErrorReason::DataMismatch);
    }
    Ok(())
}

/// Is the content of EF.ICCID, where the package fills it, the ICCID of the metadata?
fn is_numbered(metadata: &StoreMetadataRequest, image: &ProfileImage) -> bool {
    let content = image.child(MF, 0x2FE2).and_then(|file| image.content(file));
    let content = content.map(Content::to_vec).unwrap_or_default();
    content == metadata.iccid || content.iter().all(|b| *b == 0xFF)
}

/// Do EF.IMSI, EF.GID1 and EF.GID2 of the first USIM say what profileOwner says?
fn is_of_operator(image: &ProfileImage, owner: &OperatorId) -> bool {
    let [a, b, c] = owner.mcc_mnc;
    let digits = [a & 15, a >> 4, b & 15, c & 15, c >> 4, b >> 4];
    let expected = digits.iter().filter(|d| **d < 10).map(|d| b'0' + d);
    let imsi = image.imsi().unwrap_or_default();
    let group = |fid, wanted: Option<&Vec<u8>>| {
        wanted.is_none_or(|wanted| image.usim_file(fid).is_some_and(|data| data == *wanted))
    };
    imsi.bytes().take(expected.clone().count()).eq(expected)
        && group(0x6F3E, owner.gid1.as_ref())
        && group(0x6F3F, owner.gid2.as_ref())
}

const MALFORMED: PeStatus = PeStatus {
    status: code::INVALID_FORMAT,
    identification: None,
};

/// The elements are in order, the memory is not.
const MEMORY_FAILURE: PeStatus = PeStatus {
    status: code::MEMORY_FAILURE,
    identification: None,
};

/// The ErrorReason for a PEStatus: one has its own (§2.5.6.1).
fn pe_failure(status: &PeStatus) -> Failure {
    let reason = match status.status {
        code::NOT_ENOUGH_MEMORY => ErrorReason::InsufficientMemory,
        _ => ErrorReason::PeProcessingError,
    };
    Failure {
        command: BppCommandId::LoadProfileElements,
        reason,
        sima_response: Some(sima_response(Some(status))),
    }
}

/// EUICCResponse: one PEStatus, and profileInstallationAborted after an error.
fn sima_response(error: Option<&PeStatus>) -> Vec<u8> {
    let mut w = Writer::new();
    w.constructed(universal::SEQUENCE, |w| {
        w.constructed(0xA0, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.uint(0x80, error.map_or(0, |s| s.status.into()));
                if let Some(identification) = error.and_then(|s| s.identification) {
                    w.uint(0x81, identification.into());
                }
            });
        });
        if error.is_some() {
            w.primitive(0x81, &[]);
        }
    });
    w.into_vec()
}
