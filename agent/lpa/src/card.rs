//! One logical channel to the ISD-R, and ES10 requests over it as chains of STORE DATA.
//! SGP.22 §5.7.1, §5.7.2; ISO/IEC 7816-4 §11.1.2; ETSI TS 102 221 §11.1.17, §11.1.19.

use crate::error::CardError;
use crate::meter::Meter;
use crate::pcap::Pcap;
use crate::trace;
use aid_port::{Apdu, MAX_CHANNEL, MAX_RESPONSE, Opened, TransportError};
use aid_rsp::es10::DataObject;
use std::sync::Arc;
use std::time::SystemTime;

/// AID of the ISD-R (SGP.22 §2.4.5, SGP.02 annex H).
pub const ISDR_AID: [u8; 16] = [
    0xA0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x01, 0,
];

/// Data of one STORE DATA block, bytes.
pub const BLOCK: usize = 255;
/// Longest response that is collected, bytes: some hundred profiles with icons.
pub const MAX_ANSWER: usize = 512 * 1024;

/// A card, with the channel to its ISD-R that is opened when needed.
///
/// The channel stays open over several requests until [`Card::close`]. Where somebody else took it
/// away meanwhile (a reset, a modem, a REFRESH) it is opened again, once, before a request begins.
pub struct Card<A> {
    port: A,
    meter: Arc<dyn Meter>,
    isdr: Vec<u8>,
    channel: Option<u8>,
    /// The transport opened the channel, and closes it.
    managed: bool,
    /// TERMINAL CAPABILITY was sent since the last reset or connection.
    greeted: bool,
    /// Where every APDU is recorded.
    pcap: Option<Pcap>,
    /// refreshFlag of EnableProfile and DisableProfile.
    pub(crate) refresh: bool,
}

impl<A> std::fmt::Debug for Card<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl<A: Apdu> Card<A> {
    /// A card behind a port; nothing is sent yet.
    pub fn new(port: A, meter: Arc<dyn Meter>) -> Self {
        Self {
            port,
            meter,
            isdr: ISDR_AID.to_vec(),
            channel: None,
            managed: false,
            greeted: false,
            pcap: None,
            refresh: true,
        }
    }

    /// Records every APDU in a file.
    #[must_use]
    pub fn with_pcap(mut self, pcap: Pcap) -> Self {
        self.pcap = Some(pcap);
        self
    }

    /// refreshFlag of EnableProfile and DisableProfile (SGP.22 §5.7.16, §5.7.17), true without this: does the card tell
    /// the device of a switch by a proactive REFRESH? Without it the card switches at once, and it is the caller's
    /// business that the device notices.
    #[must_use]
    pub fn with_refresh(mut self, refresh: bool) -> Self {
        self.refresh = refresh;
        self
    }

    /// Takes another AID of the ISD-R: some cards have odd ones.
    #[must_use]
    pub fn with_isdr(mut self, aid: &[u8]) -> Self {
        self.isdr = aid.to_vec();
        self
    }

    /// Resets the card; all logical channels are gone.
    ///
    /// # Errors
    /// The card does not answer.
    pub fn reset(&mut self) -> Result<(), CardError> {
        self.channel = None;
        self.greeted = false;
        self.port.reset()?;
        Ok(())
    }

    /// Closes the channel, when it is open. What the card says to that changes nothing.
    pub fn close(&mut self) {
        let Some(channel) = self.channel.take() else {
            return;
        };
        let closed = match self.managed {
            true => self.port.close_channel(channel).map_err(CardError::from),
            false => {
                let closed = self.exchange("MANAGE CHANNEL", &[0, 0x70, 0x80, channel]);
                closed.map(drop)
            }
        };
        if let Err(error) = closed {
            tracing::debug!(%error, channel, "closing the logical channel failed");
        }
    }

    /// Profiles were switched: resets the card where nothing else in the device performs the REFRESH
    /// that it asks for. The switch itself is done, so that a card that does not come back is only logged.
    pub(crate) fn settle(&mut self) {
        if self.port.reset_after_switch()
            && let Err(error) = self.reset()
        {
            tracing::warn!(%error, "the card could not be reset after profiles were switched");
        }
    }

    /// Opens the channel and selects the ISD-R, unless that is so already.
    ///
    /// # Errors
    /// The card has no free channel even after stale ones were closed, or no ISD-R.
    pub fn open(&mut self) -> Result<(), CardError> {
        if self.port.refreshed() {
            self.channel = None;
            self.greeted = false;
        }
        if self.channel.is_some() {
            return Ok(());
        }
        let opened = self.port.open_channel(&self.isdr).inspect_err(|_| {
            self.greeted = false;
        })?;
        self.managed = matches!(opened, Opened::Channel(_));
        if let Opened::Channel(channel) = opened {
            self.channel = Some(channel);
            return Ok(());
        }
        if !self.greeted {
            // LPA in the device (TS 102 221 §11.1.19.2.4); a UICC that does not know it says so.
            self.exchange(
                "TERMINAL CAPABILITY",
                &[0x80, 0xAA, 0, 0, 5, 0xA9, 3, 0x83, 1, 7],
            )?;
            self.greeted = true;
        }
        let (mut answer, mut sw) = self.exchange("MANAGE CHANNEL", &[0, 0x70, 0, 0, 1])?;
        if matches!(sw, 0x6A81 | 0x6881 | 0x6A84) {
            // Left open by an LPA that lost power; the lowest ones are those that LPAs get.
            for stale in 1..=3 {
                self.exchange("MANAGE CHANNEL", &[0, 0x70, 0x80, stale])?;
            }
            (answer, sw) = self.exchange("MANAGE CHANNEL", &[0, 0x70, 0, 0, 1])?;
        }
        check("MANAGE CHANNEL", sw)?;
        let channel = match answer[..] {
            [channel] if (1..=MAX_CHANNEL).contains(&channel) => channel,
            _ => {
                return Err(CardError::Status {
                    what: "MANAGE CHANNEL",
                    sw,
                });
            }
        };
        self.channel = Some(channel);
        let aid = self.isdr.clone();
        let mut select = vec![class(channel, 0x00), 0xA4, 0x04, 0x00, aid.len() as u8];
        select.extend_from_slice(&aid);
        select.push(0);
        let selected = self
            .exchange("SELECT ISD-R", &select)
            .and_then(|(_, sw)| check("SELECT ISD-R", sw));
        if selected.is_err() {
            self.close();
        }
        selected
    }

    /// Sends an ES10 request and reads its response.
    ///
    /// # Errors
    /// No response, a status word, or another response than that of this function.
    pub fn call<Q: DataObject, R: DataObject>(
        &mut self,
        what: &'static str,
        request: &Q,
    ) -> Result<R, CardError> {
        let answer = self.request(what, &request.to_vec())?;
        R::from_slice(&answer).map_err(|source| CardError::Answer { what, source })
    }

    /// Sends bytes as one chain of STORE DATA; returns the response as it came.
    ///
    /// # Errors
    /// No response or a status word.
    pub fn request(&mut self, what: &'static str, request: &[u8]) -> Result<Vec<u8>, CardError> {
        let kept = self.channel.is_some();
        self.open()?;
        match self.store_data(what, request) {
            Err(Refusal { error, first })
                if kept && (first && channel_is_gone(&error) || not_executed(&error)) =>
            {
                tracing::info!(%error, "the logical channel was gone; opening it again");
                self.channel = None;
                self.open()?;
                self.store_data(what, request).map_err(|r| r.error)
            }
            result => result.map_err(|r| r.error),
        }
    }

    /// Sends a piece of a Bound Profile Package: as [`Card::request`], but never twice and only on
    /// the channel where the piece before it went.
    ///
    /// # Errors
    /// No response or a status word.
    pub fn piece(&mut self, piece: &[u8]) -> Result<Vec<u8>, CardError> {
        const WHAT: &str = "LoadBoundProfilePackage";
        self.store_data(WHAT, piece).map_err(|r| r.error)
    }

    fn store_data(&mut self, what: &'static str, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Some(channel) = self.channel else {
            let error = CardError::Status { what, sw: 0x6881 };
            return Err(Refusal { error, first: true });
        };
        let mut first = true;
        let mut answer = Vec::new();
        for command in blocks(channel, request) {
            let refuse = |error| Refusal { error, first };
            let (data, sw) = self.exchange(what, &command).map_err(refuse)?;
            check(what, sw).map_err(refuse)?;
            answer = data;
            first = false;
        }
        Ok(answer)
    }

    /// One command with what belongs to it: GET RESPONSE after 61xx, the right Le after 6Cxx.
    /// Returns data and the final status.
    fn exchange(
        &mut self,
        what: &'static str,
        command: &[u8],
    ) -> Result<(Vec<u8>, u16), CardError> {
        let (mut data, mut sw) = self.transmit(what, command)?;
        if sw & 0xFF00 == 0x6C00 {
            let mut again = command.to_vec();
            match command.len() {
                4 => again.push(sw as u8),
                // Case 2 and 4 end with Le, case 3 gets one.
                5 => again[4] = sw as u8,
                n if n == 6 + usize::from(command[4]) => again[n - 1] = sw as u8,
                _ => again.push(sw as u8),
            }
            (data, sw) = self.transmit(what, &again)?;
        }
        // One correction of Le for each GET RESPONSE; a card that never agrees would be asked for ever.
        let mut corrected = false;
        while sw & 0xFF00 == 0x6100 {
            let get = [command[0] & 0x7F, 0xC0, 0, 0, sw as u8];
            let (more, next) = self.transmit("GET RESPONSE", &get)?;
            if more.is_empty() && next & 0xFF00 == 0x6100 || data.len() + more.len() > MAX_ANSWER {
                let max = MAX_ANSWER;
                return Err(CardError::TooLong { what, max });
            }
            data.extend_from_slice(&more);
            sw = match next & 0xFF00 {
                // The rest is shorter than it said.
                0x6C00 if !corrected => 0x6100 | next & 0xFF,
                _ => next,
            };
            corrected = next & 0xFF00 == 0x6C00;
        }
        Ok((data, sw))
    }

    fn transmit(
        &mut self,
        what: &'static str,
        command: &[u8],
    ) -> Result<(Vec<u8>, u16), CardError> {
        self.meter.apdu();
        trace::command(what, command);
        let result = self.port.transmit(command);
        let mut answer = result.inspect_err(|_| {
            // Whatever comes next comes over a new connection.
            self.channel = None;
            self.greeted = false;
        })?;
        self.record(command, &answer);
        let got = answer.len();
        let status = answer.split_off(got.saturating_sub(2));
        let (&[sw1, sw2], ..=MAX_RESPONSE) = (&status[..], got) else {
            let address = "the port".into();
            return Err(TransportError::Length { address, got }.into());
        };
        let sw = u16::from_be_bytes([sw1, sw2]);
        trace::answer(what, &answer, sw);
        Ok((answer, sw))
    }
}

impl<A> Card<A> {
    /// A file that can't be written ends the recording, not the work.
    fn record(&mut self, command: &[u8], answer: &[u8]) {
        let Some(pcap) = &mut self.pcap else {
            return;
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        if let Err(error) = pcap.record(command, answer, now.unwrap_or_default()) {
            tracing::warn!(%error, "APDUs are no longer recorded");
            self.pcap = None;
        }
    }
}

/// A failure, and whether it was at the first block: then nothing was executed.
struct Refusal {
    error: CardError,
    first: bool,
}

/// What a card says to STORE DATA on a channel that is not open or where the ISD-R is not selected.
fn channel_is_gone(error: &CardError) -> bool {
    matches!(
        error,
        CardError::Status {
            sw: 0x6881 | 0x6D00 | 0x6E00 | 0x6985 | 0x6999 | 0x6A86,
            ..
        }
    )
}

/// The transport lost the channel before the card got the command.
const fn not_executed(error: &CardError) -> bool {
    matches!(
        error,
        CardError::Transport(TransportError::ChannelGone { .. })
    )
}

/// 9000, or 91xx: done, and the toolkit has something to say to the modem.
fn check(what: &'static str, sw: u16) -> Result<(), CardError> {
    match sw {
        0x9000 | 0x9100..=0x91FF => Ok(()),
        sw => Err(CardError::Status { what, sw }),
    }
}

/// The class byte of a channel (ISO/IEC 7816-4 §5.4.1) with the bits of `base`, 00 or 80.
const fn class(channel: u8, base: u8) -> u8 {
    match channel {
        0..=3 => base | channel,
        _ => base | 0x40 | (channel - 4),
    }
}

/// Cuts a request into STORE DATA commands (GlobalPlatform §11.11, SGP.22 §5.7.2): blocks of
/// [`BLOCK`] bytes numbered from 0 modulo 256; only the last one wants a response.
pub fn blocks(channel: u8, request: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let count = request.len().div_ceil(BLOCK).max(1);
    (0..count).map(move |n| {
        let data = &request[n * BLOCK..request.len().min((n + 1) * BLOCK)];
        let last = n + 1 == count;
        let mut command = Vec::with_capacity(6 + data.len());
        let p1 = if last { 0x91 } else { 0x11 };
        command.extend_from_slice(&[class(channel, 0x80), 0xE2, p1, n as u8, data.len() as u8]);
        command.extend_from_slice(data);
        if last {
            command.push(0);
        }
        command
    })
}
