//! The card reader and LPA of the targets: channels, STORE DATA chains, GET RESPONSE, a download.
//! ETSI TS 102 221 §11.1, SGP.22 §5.7.

use crate::Seeded;
use crate::world::{Plain, World, metadata};
use aid_euicc::apdu::Class;
use aid_euicc::card::{Card, ISDR_AID};
use aid_euicc::nvm::Nvm;
use aid_rsp::crypto::KeyPair;
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, EnableProfileRequest, EnableProfileResponse,
    EnableResult, FinalResult, GetEuiccChallengeRequest, GetEuiccChallengeResponse,
    PrepareDownloadResponse, ProfileIdentifier, ProfileInstallationResult,
};

/// A card in a reader.
#[derive(Debug)]
pub struct Reader<N> {
    card: Card<N>,
    /// Class byte of the channel on which the ISD-R is selected.
    cla: u8,
    /// Commands since [`Reader::record`].
    recording: Option<Vec<Vec<u8>>>,
}

impl<N: Nvm> Reader<N> {
    /// Resets the card, opens a channel and selects the ISD-R on it.
    ///
    /// # Panics
    /// When the card does not let it.
    pub fn new(card: Card<N>) -> Self {
        let mut reader = Self {
            card,
            cla: 0x80,
            recording: None,
        };
        reader.power_on();
        reader
    }

    /// Resets the card and selects the ISD-R again.
    ///
    /// # Panics
    /// When the card does not let it.
    pub fn power_on(&mut self) {
        self.card.reset();
        let opened = self.transmit(&[0x00, 0x70, 0x00, 0x00, 0x01]);
        assert_eq!(opened.get(1..), Some(&[0x90, 0x00][..]), "MANAGE CHANNEL");
        let cla = Class::interindustry(opened[0]);
        let mut select = vec![cla, 0xA4, 0x04, 0x00, 16];
        select.extend_from_slice(&ISDR_AID);
        select.push(0);
        let (_, status) = self.command(&select);
        assert_eq!(status, 0x9000, "SELECT ISD-R");
        self.cla = 0x80 | cla;
    }

    /// The card.
    pub const fn card(&mut self) -> &mut Card<N> {
        &mut self.card
    }

    /// Keeps every command from now on.
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// The commands since [`Reader::record`].
    pub fn recorded(&mut self) -> Vec<Vec<u8>> {
        self.recording.take().unwrap_or_default()
    }

    /// Takes the card out.
    pub fn into_card(self) -> Card<N> {
        self.card
    }

    /// One APDU. Whatever it was, the answer has the form of one.
    ///
    /// # Panics
    /// When it has not.
    pub fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        if let Some(recording) = &mut self.recording {
            recording.push(apdu.to_vec());
        }
        let answer = self.card.transmit(apdu);
        check_answer(apdu, &answer);
        answer
    }

    /// One command with all of its answer.
    pub fn command(&mut self, apdu: &[u8]) -> (Vec<u8>, u16) {
        let mut data = Vec::new();
        let mut next = apdu.to_vec();
        loop {
            let mut answer = self.transmit(&next);
            let status = answer.split_off(answer.len() - 2);
            data.extend_from_slice(&answer);
            if status[0] != 0x61 {
                return (data, u16::from_be_bytes([status[0], status[1]]));
            }
            next = vec![next[0] & 0x7F, 0xC0, 0, 0, status[1]];
        }
    }

    /// One function of ES10.
    ///
    /// # Errors
    /// The status word.
    pub fn es10(&mut self, request: &[u8]) -> Result<Vec<u8>, u16> {
        let mut blocks = request.chunks(255).enumerate().peekable();
        let mut answer = (Vec::new(), 0x6A80);
        while let Some((n, block)) = blocks.next() {
            let p1 = if blocks.peek().is_some() { 0x11 } else { 0x91 };
            let mut apdu = vec![self.cla, 0xE2, p1, n as u8, block.len() as u8];
            apdu.extend_from_slice(block);
            apdu.push(0);
            answer = self.command(&apdu);
            if answer.1 & 0xFF00 != 0x9000 && answer.1 & 0xFF00 != 0x9100 {
                return Err(answer.1);
            }
        }
        if request.is_empty() {
            return Err(answer.1);
        }
        Ok(answer.0)
    }

    /// One function of ES10, typed.
    ///
    /// # Panics
    /// When the answer is not of the type.
    pub fn call<Q: DataObject, R: DataObject>(&mut self, request: &Q) -> R {
        let answer = self
            .es10(&request.to_vec())
            .expect("a status word of success");
        R::from_slice(&answer).unwrap_or_else(|e| panic!("{e}: {answer:02X?}"))
    }

    /// Authenticates the server of this world and prepares the download.
    ///
    /// # Panics
    /// When the card refuses.
    pub fn open_session(&mut self, world: &World) -> PrepareDownloadResponse {
        let challenge: GetEuiccChallengeResponse = self.call(&GetEuiccChallengeRequest);
        let request = world.authenticate_server(challenge.challenge);
        let response: AuthenticateServerResponse = self.call(&request);
        let AuthenticateServerResponse::Ok(ok) = response else {
            panic!("{response:?}");
        };
        self.call(&world.prepare_download(&ok))
    }

    /// Loads a package piece by piece, until the card has its result. A piece that begins like another
    /// function is one, and its answer no result.
    ///
    /// # Errors
    /// The status word of a piece that the card did not take.
    ///
    /// # Panics
    /// When the result is not one.
    pub fn load(&mut self, pieces: &[&[u8]]) -> Result<Option<FinalResult>, u16> {
        for piece in pieces {
            let answer = self.es10(piece)?;
            if !answer.starts_with(&[0xBF, 0x37]) {
                continue;
            }
            let result = ProfileInstallationResult::from_slice(&answer);
            return Ok(Some(result.expect("a result").data.into_value().result));
        }
        Ok(None)
    }

    /// A whole download that must succeed.
    ///
    /// # Panics
    /// When the card refuses.
    pub fn download(&mut self, world: &World, plain: &Plain) {
        let prepared = self.open_session(world);
        let bpp = world.bind(&prepared, &one_time_key(world), plain);
        let pieces = segments(&bpp).expect("our own package");
        let result = self.load(&pieces);
        assert!(
            matches!(result, Ok(Some(FinalResult::Success { .. }))),
            "{result:?}"
        );
    }

    /// Enables profile number `n`, which must succeed.
    ///
    /// # Panics
    /// When the card refuses.
    pub fn enable(&mut self, n: u8) {
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(metadata(n).iccid),
            refresh: false,
        };
        let response: EnableProfileResponse = self.call(&request);
        assert_eq!(response.result, EnableResult::Ok);
    }
}

/// The SM-DP+'s one-time key: always the same, so that packages repeat.
#[must_use]
pub fn one_time_key(world: &World) -> KeyPair {
    world
        .crypto
        .generate(world.pki.dp_pb.key.public.curve(), &mut Seeded::new(77))
}

/// An answer has at most 256 bytes of data and a status word of ISO/IEC 7816-4 §5.1.3.
fn check_answer(apdu: &[u8], answer: &[u8]) {
    let length = answer.len();
    assert!((2..=258).contains(&length), "{length} bytes: {apdu:02X?}");
    let sw1 = answer[length - 2];
    assert!(
        matches!(sw1, 0x61..=0x6F | 0x90..=0x9F),
        "SW1 {sw1:02X}: {apdu:02X?}"
    );
    assert!(
        length == 2 || !matches!(sw1, 0x64..=0x6F),
        "data with an error: {apdu:02X?}"
    );
}
