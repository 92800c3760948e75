//! The connection to a card under test, the SM-DP+ that the judge plays, and the card's state as it was found.

use super::server_keys::load_server;
use super::target::Target;
use crate::evidence::Evidence;
use crate::rsp::dp::Dp;
use crate::rsp::findings::{Checked, hexed};
use crate::rsp::recorder::Recorder;
use crate::rsp::seeded::Seeded;
use crate::subject::Setting;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_lpa::{Card, CardError, Tally};
use aid_port::{Apdu, CardPort};
use aid_rsp::cert::Certificate;
use aid_rsp::es10::{
    DataObject, DeleteProfileRequest, DeleteProfileResponse, DisableProfileRequest,
    DisableProfileResponse, EnableProfileRequest, EnableProfileResponse,
    EuiccConfiguredAddressesRequest, EuiccConfiguredAddressesResponse, EuiccInfo1,
    GetEuiccDataRequest, GetEuiccDataResponse, GetEuiccInfo1Request, ListNotificationRequest,
    ListNotificationResponse, NotificationMetadata, NotificationSentRequest,
    NotificationSentResponse, ProfileIdentifier, ProfileInfo, ProfileInfoListRequest,
    ProfileInfoListResponse, ProfileState, SetDefaultDpAddressRequest, SetDefaultDpAddressResponse,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the judge's SM-DP+ says it is, unless the target file names another place.
const ADDRESS: &str = "smdp.judge.example";
/// How long a card may take to show what a switch of profiles did: a modem restarts it meanwhile.
const SWITCH: Duration = Duration::from_secs(20);

/// The card as it was found.
#[derive(Debug, Clone)]
struct Found {
    profiles: Vec<ProfileInfo>,
    default_dp: Option<String>,
    notifications: BTreeSet<u64>,
}

/// A card under test, and all that the judge plays around it.
#[derive(Debug)]
pub struct Rig {
    card: Card<Recorder>,
    pub(super) wire: Recorder,
    server: Result<Dp, String>,
    pub(super) ci: Option<Certificate>,
    pub(super) target: Target,
    pub(super) rng: Seeded,
    pub(super) address: String,
    /// The card's EID, once it was looked at.
    pub(super) eid: [u8; 16],
    /// The card as it was found; none before it was looked at.
    found: Option<Found>,
    /// Why the card could not be looked at.
    unreachable: Option<String>,
    /// What the judge has installed and not deleted.
    pub(super) installed: Vec<[u8; 10]>,
    /// Profiles made so far.
    pub(super) serial: u32,
}

impl Rig {
    /// The card of a target file. Nothing is sent yet.
    ///
    /// # Errors
    /// The target file names no card, or keys that cannot be read.
    pub(super) fn at(mut target: Target, setting: &Setting) -> Result<Self, Failure> {
        let folder = setting.file.parent().unwrap_or(Path::new(""));
        let mistake = |text: String| Failure::usage(format!("[card.euicc]: {text}"));
        target
            .euicc
            .check(folder)
            .map_err(|e| mistake(e.to_string()))?;
        let settings = target
            .euicc
            .settings()
            .map_err(|e| mistake(e.to_string()))?;
        let port = CardPort::open(&settings).map_err(|e| mistake(e.to_string()))?;
        Self::over(Box::new(port), target, setting)
    }

    /// The same over a port that is there already.
    ///
    /// # Errors
    /// As those of opening a target file's port.
    pub fn over(
        port: Box<dyn Apdu + Send>,
        target: Target,
        setting: &Setting,
    ) -> Result<Self, Failure> {
        let wire = Recorder::new(port);
        let mut card = Card::new(wire.clone(), Arc::new(Tally::default()));
        let isdr = target.euicc.isdr();
        if let Some(aid) = isdr.map_err(|e| Failure::usage(format!("[card.euicc]: {e}")))? {
            card = card.with_isdr(&aid);
        }
        let (server, ci) = match load_server(&target.server, setting) {
            Ok((dp, ci)) => (Ok(dp), Some(ci)),
            // A file that is named and cannot be read is a mistake, no keys at all a choice.
            Err(None) => {
                let why = "the target file names no keys in [card.server]; name those of an SM-DP+ that the card \
                           accepts (pki = \"DIR\", in the layout of SGP.26)";
                (Err(why.to_owned()), None)
            }
            Err(Some(why)) => return Err(Failure::usage(format!("[card.server]: {why}"))),
        };
        let address = target.server.address.clone();
        Ok(Self {
            card,
            wire,
            server,
            ci,
            target,
            rng: Seeded::new(setting.seed),
            address: address.unwrap_or_else(|| ADDRESS.to_owned()),
            eid: [0; 16],
            found: None,
            unreachable: None,
            installed: Vec::new(),
            serial: 0,
        })
    }

    /// Looks at the card, once.
    fn ready(&mut self) -> Checked {
        if self.found.is_some() {
            return Ok(());
        }
        if let Some(why) = &self.unreachable {
            return Err(Finding::Hidden(why.clone()));
        }
        let looked = self.look();
        if let Err(finding) = looked {
            let why = format!("the card cannot be looked at: {}", told(&finding));
            self.unreachable = Some(why.clone());
            return Err(Finding::Hidden(why));
        }
        Ok(())
    }

    fn look(&mut self) -> Checked {
        let data: GetEuiccDataResponse = self.call("GetEID", &GetEuiccDataRequest)?;
        self.eid = data.eid;
        let info: EuiccInfo1 = self.call("GetEUICCInfo1", &GetEuiccInfo1Request)?;
        if let Ok(dp) = &self.server
            && !info.ci_pkid_for_verification.contains(&dp.ci_key_id)
        {
            self.server = Err(format!(
                "the card does not accept the CI {} of [card.server]; name keys under a CI of its \
                 euiccCiPKIdListForVerification",
                hexed(&dp.ci_key_id)
            ));
        }
        self.found = Some(Found {
            profiles: self.profiles()?,
            default_dp: self.addresses()?.default_dp_address,
            notifications: self.notifications()?.iter().map(|n| n.seq_number).collect(),
        });
        Ok(())
    }

    pub(super) fn is_managed(&self) -> bool {
        self.wire.is_managed()
    }

    /// The SM-DP+ that the judge plays; `Err` holds the reason why it plays none.
    pub(super) fn server(&self) -> Result<&Dp, String> {
        self.server.as_ref().map_err(Clone::clone)
    }

    /// The same where a test has been selected by [`super::with_server`].
    pub(super) fn dp(&self) -> Checked<Dp> {
        self.server.clone().map_err(Finding::Lacking)
    }

    pub(super) fn may_empty(&self) -> Result<(), String> {
        if !self.target.memory_reset {
            return Err(
                "memory_reset is not set in the target file: the card is not emptied".to_owned(),
            );
        }
        match self.found.as_ref().map_or(0, |found| found.profiles.len()) {
            0 => Ok(()),
            n => Err(format!(
                "the card has {n} profiles that are not the judge's: it is not emptied"
            )),
        }
    }

    /// Runs one test that needs something, puts the card back, and hands over what went over the wire.
    pub(super) fn case(
        &mut self,
        evidence: &mut Evidence,
        needs: fn(&Self) -> Result<(), String>,
        run: fn(&mut Self) -> Checked,
    ) -> Checked {
        let ready = self.ready();
        // What was not known before the card was looked at.
        let able = ready.and_then(|()| needs(self).map_err(Finding::Lacking));
        let result = able.and_then(|()| {
            let result = run(self);
            let tidied = self.tidy();
            // A card that cannot be put back is reported where nothing else is.
            result.and(tidied)
        });
        self.wire.drain(evidence);
        result
    }

    /// A request of ES10 as bytes; the answer as it came.
    ///
    /// # Errors
    /// A finding: no answer, or a status word.
    pub(super) fn request(&mut self, what: &'static str, request: &[u8]) -> Checked<Vec<u8>> {
        self.card
            .request(what, request)
            .map_err(|e| finding(what, &e))
    }

    /// The same for one that may be refused by a status word, which is returned then.
    pub(super) fn try_request(
        &mut self,
        what: &'static str,
        request: &[u8],
    ) -> Checked<Result<Vec<u8>, u16>> {
        match self.card.request(what, request) {
            Ok(answer) => Ok(Ok(answer)),
            Err(CardError::Status { sw, .. }) => Ok(Err(sw)),
            Err(error) => Err(finding(what, &error)),
        }
    }

    /// A typed request.
    ///
    /// # Errors
    /// A finding.
    pub(super) fn call<Q: DataObject, R: DataObject>(
        &mut self,
        what: &'static str,
        request: &Q,
    ) -> Checked<R> {
        self.card.call(what, request).map_err(|e| finding(what, &e))
    }

    /// A piece of a package, on the channel where the one before it went.
    pub(super) fn piece(&mut self, piece: &[u8]) -> Checked<Result<Vec<u8>, u16>> {
        match self.card.piece(piece) {
            Ok(answer) => Ok(Ok(answer)),
            Err(CardError::Status { sw, .. }) => Ok(Err(sw)),
            Err(error) => Err(finding("LoadBoundProfilePackage", &error)),
        }
    }

    /// Opens the channel, if it is not open.
    pub(super) fn ensure_open(&mut self) -> Checked {
        self.card.open().map_err(|e| finding("SELECT ISD-R", &e))
    }

    /// Opens a channel of its own for single commands; its number.
    pub(super) fn open_channel(&mut self) -> Checked<u8> {
        self.card.close();
        self.ensure_open()?;
        self.wire
            .channel()
            .ok_or_else(|| Finding::Hidden("the port has no logical channel".to_owned()))
    }

    /// Resets the card.
    pub(super) fn reset(&mut self) -> Checked {
        self.card.reset().map_err(|e| finding("reset", &e))
    }

    /// A single command and its answer, data and status word apart.
    pub(super) fn command(&mut self, apdu: &[u8]) -> Checked<(Vec<u8>, u16)> {
        let answer = self.wire.transmit(apdu);
        let mut answer = answer.map_err(|e| Finding::Hidden(e.to_string()))?;
        let status = answer.split_off(answer.len().saturating_sub(2));
        match status[..] {
            [high, low] => Ok((answer, u16::from_be_bytes([high, low]))),
            _ => Err(Finding::broken(
                "an answer with a status word (ISO/IEC 7816-4 §5.1)",
                hexed(&status),
            )),
        }
    }

    /// All profiles, with the tags of the default list.
    pub(super) fn profiles(&mut self) -> Checked<Vec<ProfileInfo>> {
        match self.call("GetProfilesInfo", &ProfileInfoListRequest::default())? {
            ProfileInfoListResponse::Ok(list) => Ok(list),
            ProfileInfoListResponse::Error(code) => {
                Err(Finding::broken("a list of profiles", code.to_string()))
            }
        }
    }

    /// State of a profile; none when it is not on the card.
    pub(super) fn state(&mut self, iccid: [u8; 10]) -> Checked<Option<ProfileState>> {
        let list = self.profiles()?;
        let found = list.into_iter().find(|p| p.iccid == Some(iccid));
        Ok(found.map(|p| p.state.unwrap_or(ProfileState::Disabled)))
    }

    /// All notifications.
    pub(super) fn notifications(&mut self) -> Checked<Vec<NotificationMetadata>> {
        match self.call("ListNotification", &ListNotificationRequest::default())? {
            ListNotificationResponse::Ok(list) => Ok(list),
            ListNotificationResponse::Error(code) => Err(Finding::broken(
                "a list of notifications",
                format!("error {code}"),
            )),
        }
    }

    /// The notifications that were not there when the card was found.
    pub(super) fn new_notifications(&mut self) -> Checked<Vec<NotificationMetadata>> {
        let mut list = self.notifications()?;
        if let Some(found) = &self.found {
            list.retain(|n| !found.notifications.contains(&n.seq_number));
        }
        Ok(list)
    }

    pub(super) fn addresses(&mut self) -> Checked<EuiccConfiguredAddressesResponse> {
        self.call(
            "GetEuiccConfiguredAddresses",
            &EuiccConfiguredAddressesRequest,
        )
    }

    pub(super) fn set_default_dp(&mut self, address: &str) -> Checked<SetDefaultDpAddressResponse> {
        let address = address.to_owned();
        self.call(
            "SetDefaultDpAddress",
            &SetDefaultDpAddressRequest { address },
        )
    }

    /// EnableProfile with refreshFlag, as LPAs send it. What the card says about a proactive session that is going on is
    /// waited for.
    pub(super) fn enable(&mut self, profile: &ProfileIdentifier) -> Checked<EnableProfileResponse> {
        const BUSY: u8 = 5;
        let request = EnableProfileRequest {
            profile: profile.clone(),
            refresh: true,
        };
        for _ in 0..3 {
            let answer: EnableProfileResponse = self.call("EnableProfile", &request)?;
            if answer.result.code() != BUSY {
                self.settle();
                return Ok(answer);
            }
        }
        Err(busy("EnableProfile"))
    }

    /// DisableProfile, the same way.
    pub(super) fn disable(
        &mut self,
        profile: &ProfileIdentifier,
    ) -> Checked<DisableProfileResponse> {
        const BUSY: u8 = 5;
        let request = DisableProfileRequest {
            profile: profile.clone(),
            refresh: true,
        };
        for _ in 0..3 {
            let answer: DisableProfileResponse = self.call("DisableProfile", &request)?;
            if answer.result.code() != BUSY {
                self.settle();
                return Ok(answer);
            }
        }
        Err(busy("DisableProfile"))
    }

    pub(super) fn delete(&mut self, profile: &ProfileIdentifier) -> Checked<DeleteProfileResponse> {
        let profile = profile.clone();
        self.call("DeleteProfile", &DeleteProfileRequest { profile })
    }

    pub(super) fn remove_notification(
        &mut self,
        seq_number: u64,
    ) -> Checked<NotificationSentResponse> {
        self.call(
            "RemoveNotificationFromList",
            &NotificationSentRequest { seq_number },
        )
    }

    /// Performs the REFRESH that the card asks for where nothing else in the way does.
    fn settle(&mut self) {
        if self.wire.reset_after_switch() {
            // What a card does that does not come back shows in the next command.
            let _ = self.card.reset();
        }
    }

    /// Waits until a profile is in a state, as a modem that restarts the card takes its time.
    pub(super) fn await_state(
        &mut self,
        iccid: [u8; 10],
        wanted: Option<ProfileState>,
    ) -> Checked<bool> {
        let end = Instant::now() + SWITCH;
        let mut before = None;
        loop {
            match self.state(iccid) {
                Ok(state) if state == wanted => return Ok(true),
                // A card on a port without a modem has done it by now, or never does.
                Ok(_) if !self.is_managed() || Instant::now() > end => return Ok(false),
                Err(finding) if Instant::now() > end => return Err(finding),
                Err(Finding::Hidden(_)) if before.is_none() => before = Some(()),
                Err(finding) if !self.is_managed() => return Err(finding),
                Ok(_) | Err(_) => {}
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Puts the card back as it was found.
    fn tidy(&mut self) -> Checked {
        let restored = self.restore();
        restored.map_err(|found| {
            Finding::Hidden(format!(
                "the card could not be put back as it was: {}; look at it before the next run",
                told(&found)
            ))
        })
    }

    fn restore(&mut self) -> Checked {
        let Some(found) = self.found.clone() else {
            return Ok(());
        };
        for iccid in std::mem::take(&mut self.installed) {
            let profile = ProfileIdentifier::Iccid(iccid);
            match self.state(iccid)? {
                None => continue,
                Some(ProfileState::Enabled) => {
                    self.disable(&profile)?;
                    self.await_state(iccid, Some(ProfileState::Disabled))?;
                }
                Some(ProfileState::Disabled) => {}
            }
            self.delete(&profile)?;
        }
        let was_enabled = |p: &&ProfileInfo| p.state == Some(ProfileState::Enabled);
        let enabled = found.profiles.iter().find(was_enabled);
        if let Some(iccid) = enabled.and_then(|p| p.iccid)
            && self.state(iccid)? != Some(ProfileState::Enabled)
        {
            self.enable(&ProfileIdentifier::Iccid(iccid))?;
            self.await_state(iccid, Some(ProfileState::Enabled))?;
        }
        for new in self.new_notifications()? {
            self.remove_notification(new.seq_number)?;
        }
        if self.addresses()?.default_dp_address != found.default_dp {
            let address = found.default_dp.unwrap_or_default();
            self.set_default_dp(&address)?;
        }
        Ok(())
    }
}

fn busy(what: &str) -> Finding {
    Finding::Hidden(format!(
        "the card answers catBusy to {what} again and again: a proactive session is going on"
    ))
}

/// What a finding says, in one line.
fn told(finding: &Finding) -> String {
    match finding {
        Finding::Broken { expected, seen } => format!("expected {expected}; seen {seen}"),
        Finding::Odd(text) | Finding::Hidden(text) | Finding::Lacking(text) => text.clone(),
    }
}

/// What a failed call means for the card: a status word or an unreadable answer is its own, a broken connection is not.
pub(super) fn finding(what: &str, error: &CardError) -> Finding {
    match error {
        CardError::Transport(_) => Finding::Hidden(error.to_string()),
        CardError::Status { sw, .. } => Finding::broken(
            format!("{what}: its response, and status word 9000"),
            format!("status word {sw:04X}"),
        ),
        CardError::Answer { source, .. } => Finding::broken(
            format!("{what}: its response as RSPDefinitions has it"),
            format!("a response that cannot be read: {source}"),
        ),
        other => Finding::broken(format!("{what}: its response"), other.to_string()),
    }
}
