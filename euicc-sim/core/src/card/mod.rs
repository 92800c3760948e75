//! The card: [`Card::transmit`] executes one command APDU and gives the response APDU.
//! ISO/IEC 7816-4, ETSI TS 102 221 §10, §11; SGP.22 §2.4, §5.7.
//!
//! # Power cuts
//! Whatever the card answers 9000 to is in [`Nvm`] before the answer leaves. Each function writes one
//! atomic batch, so after a cut at any moment the card is in its old state or its new one.
//!
//! # REFRESH
//! EnableProfile and DisableProfile with refreshFlag wait for the terminal's answer to REFRESH, or for
//! a reset, when the terminal's TERMINAL PROFILE has announced REFRESH; see `cat`. A host that never
//! sends a TERMINAL PROFILE has no toolkit and would never fetch the command: for it, and without
//! refreshFlag, they take effect at once. Every logical channel stays open then, an ISD-R stays
//! selected, and every position in the file system is back at the MF of the profile that is enabled
//! now. A host must read the card again, as after a REFRESH (UICC Reset).

mod cat;
mod clock;
mod identity;
mod state;

pub(crate) use cat::Switch;
pub use cat::Terminal;
pub use clock::{Clock, NoClock};
pub use identity::{Chain, Credentials, Identity, IdentityError};
pub use state::RestoreError;
pub(crate) use state::{Profile, State, Store};

use crate::apdu::{Class, Command, sw};
use crate::channel::{Channel, Channels, Selected};
use crate::fs::MF;
use crate::isdr::Session;
use crate::nvm::{Nvm, NvmError};
use crate::pin::Verified;
use crate::usim;
use aid_rsp::crypto::Crypto;
use aid_rsp::es10::{GetRatResponse, OperatorId, ppr};
use aid_rsp::tlv::Writer;
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::fmt;
use rand_core::CryptoRng;

/// AID of the ISD-R (SGP.02 annex H).
pub const ISDR_AID: [u8; 16] = [
    0xA0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x01, 0,
];

/// AID of the ECASD (SGP.02 annex H).
pub const ECASD_AID: [u8; 16] = [
    0xA0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x02, 0,
];

/// SGP.22 version that the card reports.
pub const SVN: [u8; 3] = [2, 4, 0];

/// Answer to reset without its check byte: T=0, eUICC functions in the global interface byte (ETSI
/// TS 102 221 §6.3.3), eight or more logical channels whose numbers the card or the terminal assigns
/// (ISO/IEC 7816-4 §12.1.1.9), 15 historical bytes.
const ATR: [u8; 22] = [
    0x3B, 0x9F, 0x96, 0x80, 0x3F, 0xC7, 0x82, 0x80, 0x31, 0xE0, 0x73, 0xFE, 0x21, 0x1F, 0x67, b'A',
    b'I', b'D', b'e', b'S', b'I', b'M',
];

/// What can be chosen about a card.
#[derive(Debug, Clone)]
pub struct Options {
    /// Non-volatile memory for profiles, bytes.
    pub memory: u32,
    /// Root SM-DS address.
    pub root_ds: String,
    /// Rules Authorisation Table.
    pub rules: GetRatResponse,
    /// Take profiles of class test, with test keys only (SGP.21 TPRO1, SGP.22 §5.5.3).
    pub test_profiles: bool,
    /// Sequence number of a new card's first notification. 0 is legal (SGP.22 §3.5), but older LPAs
    /// skip such a notification without a word.
    pub first_notification: u32,
}

impl Default for Options {
    /// 1 MiB; no SM-DS; every operator may set PPR1 and PPR2 when the user consents; no test
    /// profiles.
    fn default() -> Self {
        let any = OperatorId {
            mcc_mnc: [0xEE; 3],
            gid1: None,
            gid2: None,
        };
        Self {
            memory: 1024 * 1024,
            root_ds: String::new(),
            rules: GetRatResponse {
                rules: alloc::vec![(ppr::PPR1 | ppr::PPR2, alloc::vec![any], true)],
            },
            test_profiles: false,
            first_notification: 1,
        }
    }
}

/// Most notifications that wait on the card. One more takes the place of the oldest that reports an
/// enabling or disabling, or of the oldest of all where none does: installations and deletions, which
/// change what the SM-DP+ holds, stay longest. No operation is refused for want of room, as a profile
/// must be disabled whether or not its SM-DP+ can be reached.
pub const MAX_NOTIFICATIONS: usize = 256;

/// Data and status word.
pub(crate) type Answer = (Vec<u8>, u16);

/// A software eUICC.
pub struct Card<N> {
    pub(crate) store: Store<N>,
    pub(crate) crypto: Arc<dyn Crypto>,
    pub(crate) rng: Box<dyn CryptoRng + Send>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) options: Options,
    pub(crate) session: Session,
    pub(crate) clock: Box<dyn Clock>,
    channels: Channels,
    cat: cat::Cat,
    verified: Verified,
    /// The memory failed and could not be read again: only a reset helps.
    broken: bool,
    switches: u64,
    pub(crate) lost_notifications: u64,
}

impl<N: Nvm> Card<N> {
    /// Makes the card that `nvm` describes, a new one when it is empty.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn new(
        nvm: N,
        crypto: Arc<dyn Crypto>,
        rng: Box<dyn CryptoRng + Send>,
        identity: Arc<Identity>,
        options: Options,
    ) -> Result<Self, RestoreError> {
        let mut card = Self {
            store: Store::open(nvm, identity.eid, options.first_notification)?,
            crypto,
            rng,
            identity,
            options,
            session: Session::default(),
            clock: Box::new(NoClock),
            channels: Channels::new(),
            cat: cat::Cat::default(),
            verified: Verified::default(),
            broken: false,
            switches: 0,
            lost_notifications: 0,
        };
        // The power was cut between the answer to EnableProfile and the REFRESH.
        card.broken = card.settle_switch().is_err();
        Ok(card)
    }

    /// Tells the card where it finds the time; without that it does not judge the validity of
    /// certificates.
    pub fn set_clock(&mut self, clock: Box<dyn Clock>) {
        self.clock = clock;
    }

    /// Resets the card; the answer to reset. A package that is being loaded is given up.
    pub fn reset(&mut self) -> Vec<u8> {
        self.interrupt_load();
        self.session.reset();
        self.channels = Channels::new();
        self.cat = cat::Cat::default();
        self.verified.clear();
        self.broken = self.store.load().is_err() || self.settle_switch().is_err();
        self.atr()
    }

    /// The answer to reset, without a reset.
    #[must_use]
    pub fn atr(&self) -> Vec<u8> {
        let mut atr = ATR.to_vec();
        atr.push(ATR[1..].iter().fold(0, |check, b| check ^ b));
        atr
    }

    /// Executes one command APDU; always answers at least a status word.
    pub fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.transmit_from(Terminal::default(), apdu)
    }

    /// Executes one command APDU of one of several terminals that share the card. They share its
    /// channels and everything that is selected there; a proactive command belongs to the terminal
    /// whose command caused it, and what a TERMINAL PROFILE says holds for the terminal that sent it.
    pub fn transmit_from(&mut self, terminal: Terminal, apdu: &[u8]) -> Vec<u8> {
        self.cat.serve(terminal);
        let parsed = Command::parse(apdu);
        if !parsed.is_ok_and(|c| is_get_response(&c)) {
            let cla = apdu.first().copied().unwrap_or_default();
            self.channels.drop_pending(Class::channel_of(cla));
        }
        let answer = parsed.and_then(|command| self.execute(&command));
        let (mut data, mut status) = answer.unwrap_or_else(|sw| (Vec::new(), sw));
        if let Some(length) = self.cat.waiting().filter(|_| status == sw::OK) {
            status = 0x9100 | u16::from(length);
        }
        data.extend_from_slice(&status.to_be_bytes());
        data
    }

    /// A terminal is gone. What its TERMINAL PROFILE said is forgotten; when it owed the answer to a
    /// proactive command, the switch of profiles that waits for it happens now, as after a reset.
    pub fn terminal_left(&mut self, terminal: Terminal) {
        if self.cat.forget(terminal) && self.settle_switch().is_err() {
            // The switch stays in memory, and happens at the next reset.
            self.channels.profile_switched();
        }
    }

    /// How often another profile was enabled, or none, since this object was made.
    #[must_use]
    pub const fn profile_switches(&self) -> u64 {
        self.switches
    }

    /// How many notifications were given up since this object was made because [`MAX_NOTIFICATIONS`]
    /// others waited.
    #[must_use]
    pub const fn lost_notifications(&self) -> u64 {
        self.lost_notifications
    }

    /// The memory, for whoever looks at the card from outside.
    pub const fn nvm(&mut self) -> &mut N {
        &mut self.store.nvm
    }

    /// Takes the memory out: what is left when the card is gone.
    pub fn into_nvm(self) -> N {
        self.store.nvm
    }

    fn execute(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        if self.broken {
            return Err(sw::UNKNOWN);
        }
        let class = Class::decode(c.cla)?;
        let channel = self.channels.get(class.channel)?;
        if c.ins == 0xC0 {
            // Class 8X only where STORE DATA has it, because there LPAs, lpac among them, go on in the
            // class of the command (ETSI TS 102 221 table 10.5 has 0X, 4X, 6X).
            if class.proprietary && channel.selected == Selected::Uicc {
                channel.pending.clear();
                return Err(sw::CLASS);
            }
            return get_response(&mut channel.pending, c);
        }
        if c.ins == 0xA4 {
            // A selection begins anew: no block of STORE DATA reaches over it.
            channel.drop_chain();
        }
        if class_is_wrong(class, c.ins) {
            return Err(sw::CLASS);
        }
        if class.proprietary
            && let Some(answer) = self.cat_command(c)
        {
            return answer;
        }
        let (mut data, status) = match (class.proprietary, c.ins) {
            (false, 0x70) => self.manage_channel(class.channel, c),
            (false, 0x84) => self.get_challenge(c),
            (false, 0xA4) if c.p1 == 0x04 => self.select_application(class.channel, c),
            _ => self.dispatch(class, c),
        }?;
        self.end_load_without_isdr();
        let limit = c.ne.unwrap_or(256).min(256);
        if data.len() <= limit {
            return Ok((data, status));
        }
        let pending = data.split_off(limit);
        let more = 0x6100 | pending.len().min(256) as u16 & 0xFF;
        self.channels.get(class.channel)?.pending = pending;
        Ok((data, more))
    }

    fn manage_channel(&mut self, from: u8, c: &Command<'_>) -> Result<Answer, u16> {
        if !c.data.is_empty() {
            return Err(sw::WRONG_LENGTH);
        }
        match (c.p1, c.p2) {
            // The answer is one byte, the number of the channel.
            (0x00, 0x00) => match c.ne {
                Some(1 | 256) => Ok((alloc::vec![self.channels.open(from)?], sw::OK)),
                _ => Err(sw::WRONG_LENGTH),
            },
            // The terminal has chosen the number: no answer. Le is there in T=0 only.
            (0x00, number) => {
                self.channels.open_numbered(from, number)?;
                Ok((Vec::new(), sw::OK))
            }
            (0x80, number) => {
                self.channels.close(number)?;
                Ok((Vec::new(), sw::OK))
            }
            _ => Err(sw::WRONG_P1P2),
        }
    }

    /// GET CHALLENGE: random bytes, as many as are expected (ETSI TS 102 221 §11.1.23).
    fn get_challenge(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        if c.p1 != 0 || c.p2 != 0 {
            return Err(sw::WRONG_P1P2);
        }
        match (c.data, c.ne) {
            ([], Some(n)) => {
                let mut challenge = alloc::vec![0; n.min(256)];
                self.rng.fill_bytes(&mut challenge);
                Ok((challenge, sw::OK))
            }
            _ => Err(sw::WRONG_LENGTH),
        }
    }

    /// SELECT by AID, whole or its beginning: the profile's applications in the order of installation,
    /// then ISD-R and ECASD. P2 says which occurrence (ETSI TS 102 221 §11.1.1, table 11.2).
    fn select_application(&mut self, number: u8, c: &Command<'_>) -> Result<Answer, u16> {
        if c.data.is_empty() || c.data.len() > 16 {
            return Err(sw::WRONG_LENGTH);
        }
        if p2_is_reserved(c.p2) {
            return Err(sw::WRONG_P1P2);
        }
        let image = &self.store.image;
        let mut found: Vec<(Selected, u16)> = image
            .applications
            .iter()
            .filter(|(_, aid)| aid.starts_with(c.data))
            .map(|(adf, _)| (Selected::Uicc, *adf))
            .collect();
        for (aid, domain) in [(ISDR_AID, Selected::Isdr), (ECASD_AID, Selected::Ecasd)] {
            if aid.starts_with(c.data) {
                found.push((domain, MF));
            }
        }
        let channel = self.channels.get(number)?;
        let current = match channel.selected {
            Selected::Uicc => channel.uicc.application.map(|adf| (Selected::Uicc, adf)),
            domain => Some((domain, MF)),
        };
        let at = current.and_then(|c| found.iter().position(|f| *f == c));
        let wanted = match (c.p2 & 3, at) {
            // The whole AID, or the first that fits.
            (0, _) => Some(0),
            (1, _) => found.len().checked_sub(1),
            (2, at) => Some(at.map_or(0, |at| at + 1)),
            (_, at) => at.map_or(found.len(), |at| at).checked_sub(1),
        };
        let (selected, adf) = wanted
            .and_then(|at| found.get(at).copied())
            .ok_or(sw::FILE_NOT_FOUND)?;
        let ends = c.p2 & SESSION_CONTROL == END_OF_SESSION;
        if selected == Selected::Uicc {
            channel.selected = Selected::Uicc;
            let r = usim::select_application(image, &mut channel.uicc, adf, c.p2);
            // The PINs that are local to it must be verified anew once its last session has ended.
            let used = |channel: &Channel| channel.uicc.application == Some(adf);
            if ends && !self.channels.iter().any(used) {
                self.verified
                    .retain(|directory| directory == MF || image.root_of(directory) != adf);
            }
            return Ok((r.data, r.sw));
        }
        channel.selected = if ends { Selected::Uicc } else { selected };
        channel.uicc = usim::ChannelState::default();
        let answer = match c.p2 & 0x0C {
            0x0C => Vec::new(),
            _ => fci(selected),
        };
        Ok((answer, sw::OK))
    }

    /// STATUS where a security domain is selected: what its SELECT answered, or its AID (ETSI TS 102 221
    /// §11.1.2).
    fn domain_status(domain: Selected, c: &Command<'_>) -> Result<Answer, u16> {
        if c.p1 > 2 {
            return Err(sw::WRONG_P1P2);
        }
        let data = match c.p2 {
            0x00 => fci(domain),
            0x01 => {
                let mut w = Writer::new();
                w.primitive(0x84, domain_aid(domain));
                w.into_vec()
            }
            0x0C => Vec::new(),
            _ => return Err(sw::WRONG_P1P2),
        };
        match c.ne {
            Some(n) if n < data.len() => Err(0x6C00 | (data.len() & 0xFF) as u16),
            _ => Ok((data, sw::OK)),
        }
    }

    fn dispatch(&mut self, class: Class, c: &Command<'_>) -> Result<Answer, u16> {
        let channel = self.channels.get(class.channel)?;
        match (channel.selected, c.ins) {
            (Selected::Isdr, 0xE2) => {
                if !class.proprietary {
                    return Err(sw::CLASS);
                }
                match channel.block(c.p1, c.p2, c.data)? {
                    Some(request) => self.es10(class.channel, &request),
                    None => Ok((Vec::new(), sw::OK)),
                }
            }
            (Selected::Ecasd, 0xCA) => match (c.p1, c.p2) {
                // GET DATA: the EID.
                (0x00, 0x5A) => {
                    let mut w = Writer::new();
                    w.primitive(0x5A, &self.identity.eid);
                    Ok((w.into_vec(), sw::OK))
                }
                _ => Err(sw::NOT_FOUND),
            },
            (domain @ (Selected::Isdr | Selected::Ecasd), 0xF2) if class.proprietary => {
                Self::domain_status(domain, c)
            }
            // SELECT by file leaves the application.
            (Selected::Uicc, _) | (_, 0xA4 | 0xF2) => self.uicc(class.channel, c),
            _ => Err(sw::INSTRUCTION),
        }
    }

    /// The enabled profile, or the bare file system, gets the command.
    fn uicc(&mut self, number: u8, c: &Command<'_>) -> Result<Answer, u16> {
        let channel = self.channels.get(number)?;
        let r = usim::handle(
            &mut self.store.image,
            &mut channel.uicc,
            &mut self.verified,
            c,
            &mut *self.rng,
        );
        if c.ins == 0xA4 && r.sw == sw::OK {
            channel.selected = Selected::Uicc;
        }
        if let Some(change) = &r.persist
            && let Err(error) = self.store.commit_change(change)
        {
            return Err(self.memory_failed(&error));
        }
        Ok((r.data, r.sw))
    }

    /// A memory that failed, but can still be read, is a function's undefinedError.
    ///
    /// # Errors
    /// Any other status word, and 6581 when the card can't go on.
    pub(crate) fn or_undefined<T>(&self, result: Result<T, u16>, undefined: T) -> Result<T, u16> {
        match result {
            Err(sw::MEMORY_FAILURE) if !self.broken => Ok(undefined),
            other => other,
        }
    }

    /// After a failed write the memory decides what the state is.
    pub(crate) fn memory_failed(&mut self, _error: &NvmError) -> u16 {
        self.verified.clear();
        self.channels.profile_switched();
        self.broken = self.store.load().is_err();
        sw::MEMORY_FAILURE
    }

    /// Replaces the state atomically. When that switches profiles, the channels start anew.
    pub(crate) fn commit(
        &mut self,
        next: State,
        writes: &[crate::nvm::Write<'_>],
    ) -> Result<(), u16> {
        let before = self.store.state().enabled().map(|p| p.slot);
        if let Err(error) = self.store.commit(next, writes) {
            return Err(self.memory_failed(&error));
        }
        if self.store.state().enabled().map(|p| p.slot) != before {
            self.verified.clear();
            self.channels.profile_switched();
            self.switches += 1;
        }
        Ok(())
    }

    /// Ends a package whose channel is closed, or has no ISD-R selected any more (see
    /// [`Session`]).
    fn end_load_without_isdr(&mut self) {
        let Some(number) = self.session.loading_on() else {
            return;
        };
        let selected = self.channels.get(number).map(|channel| channel.selected);
        if selected != Ok(Selected::Isdr) {
            self.interrupt_load();
        }
    }
}

/// Bits 7 and 6 of SELECT's P2, application session control, and their value for its end.
const SESSION_CONTROL: u8 = 0x60;
const END_OF_SESSION: u8 = 0x40;

/// Values of P2 that ETSI TS 102 221 table 11.2 reserves for SELECT by AID: bits 8 and 5, a session
/// control other than activation and termination, and bits 4 and 3 that name neither the FCI (which
/// GlobalPlatform has), nor the FCP, nor no data.
const fn p2_is_reserved(p2: u8) -> bool {
    p2 & 0x90 != 0 || !matches!(p2 & SESSION_CONTROL, 0 | END_OF_SESSION) || p2 & 0x0C == 0x08
}

/// Is it GET RESPONSE, whatever its class?
const fn is_get_response(c: &Command<'_>) -> bool {
    c.ins == 0xC0
}

const fn domain_aid(domain: Selected) -> &'static [u8; 16] {
    match domain {
        Selected::Ecasd => &ECASD_AID,
        Selected::Isdr | Selected::Uicc => &ISDR_AID,
    }
}

/// The card's own instructions are known in one class only (ETSI TS 102 221 table 10.5). Those of the
/// applications judge it themselves.
const fn class_is_wrong(class: Class, ins: u8) -> bool {
    match ins {
        // MANAGE CHANNEL, GET CHALLENGE.
        0x70 | 0x84 => class.proprietary,
        // TERMINAL PROFILE, FETCH, TERMINAL RESPONSE, ENVELOPE, TERMINAL CAPABILITY.
        0x10 | 0x12 | 0x14 | 0xC2 | 0xAA => !class.proprietary,
        _ => false,
    }
}

fn get_response(pending: &mut Vec<u8>, c: &Command<'_>) -> Result<Answer, u16> {
    if pending.is_empty() {
        return Err(sw::CONDITIONS);
    }
    if c.p1 != 0 || c.p2 != 0 {
        return Err(sw::WRONG_P1P2);
    }
    let want = c.ne.ok_or(sw::WRONG_LENGTH)?;
    if want > pending.len() && want != 256 {
        return Err(0x6C00 | pending.len() as u16);
    }
    let rest = pending.split_off(want.min(pending.len()));
    let data = core::mem::replace(pending, rest);
    let status = match pending.len() {
        0 => sw::OK,
        n => 0x6100 | n.min(256) as u16 & 0xFF,
    };
    Ok((data, status))
}

/// File control information of a security domain; ISD-R adds its version (SGP.22 §5.7.1, tag E0).
fn fci(selected: Selected) -> Vec<u8> {
    let mut w = Writer::new();
    w.constructed(0x6F, |w| {
        w.primitive(0x84, domain_aid(selected));
        w.constructed(0xA5, |w| {
            w.primitive(0x9F65, &[0xFF]);
        });
        if selected == Selected::Isdr {
            w.constructed(0xE0, |w| {
                w.primitive(0x82, &SVN);
            });
        }
    });
    w.into_vec()
}

impl<N> fmt::Debug for Card<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card")
            .field("eid", &aid_rsp::es10::eid_digits(&self.identity.eid))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
