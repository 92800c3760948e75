//! Sequences of commands on a card with two profiles: channels, files, PINs, ES10, sessions, power cuts.
//! Structure of an input: steps, each a kind and its fields. After them the card that is made from the
//! memory is the one that was switched off.

use super::world;
use crate::source::Source;
use crate::world::{Plain, two_profiles};
use crate::{Reader, one_time_key};
use aid_euicc::card::{ISDR_AID, Options};
use aid_euicc::nvm::{Cut, Memory};
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, GetEuiccChallengeResponse, PrepareDownloadResponse,
};
use std::sync::OnceLock;

/// Most steps of one input.
const MAX_STEPS: usize = 64;

/// Kinds of steps, as the seeds write them.
pub(crate) mod step {
    /// Any bytes as an APDU.
    pub(crate) const RAW: u8 = 0;
    /// Class, instruction, P1, P2, data, Le.
    pub(crate) const COMMAND: u8 = 1;
    /// A function of ES10 on the ISD-R's channel.
    pub(crate) const ES10: u8 = 2;
    /// GET RESPONSE as long as there is some.
    pub(crate) const WHOLE: u8 = 3;
    /// Reset.
    pub(crate) const RESET: u8 = 4;
    /// A server that the card trusts opens a session.
    pub(crate) const AUTHENTICATE: u8 = 5;
    /// And prepares the download.
    pub(crate) const PREPARE: u8 = 6;
    /// So many pieces of the package of profile 3.
    pub(crate) const LOAD: u8 = 7;
    /// Power is cut at this commit, and comes back at once.
    pub(crate) const CUT: u8 = 8;
    /// SELECT by AID: ISD-R, USIM or what follows.
    pub(crate) const APPLICATION: u8 = 9;
    /// Number of kinds.
    pub(crate) const COUNT: u8 = 10;
}

fn memory() -> Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(|| two_profiles(world())).clone()
}

/// The target.
pub(crate) fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let mut table = Table {
        reader: Reader::new(world().card(memory(), 2, Options::default())),
        authenticated: None,
        package: Vec::new(),
    };
    for _ in 0..MAX_STEPS {
        if source.is_empty() {
            break;
        }
        table.step(&mut source);
    }
    table.switch_off();
}

struct Table {
    reader: Reader<Memory>,
    authenticated: Option<AuthenticateServerResponse>,
    package: Vec<u8>,
}

impl Table {
    fn step(&mut self, source: &mut Source<'_>) {
        match source.byte() % step::COUNT {
            step::RAW => {
                self.reader.transmit(source.short());
            }
            step::COMMAND => {
                let apdu = command(source);
                self.reader.transmit(&apdu);
            }
            step::WHOLE => {
                let apdu = command(source);
                self.reader.command(&apdu);
            }
            step::ES10 => {
                let _ = self.reader.es10(source.long());
            }
            step::RESET => self.reader.power_on(),
            step::AUTHENTICATE => self.authenticate(),
            step::PREPARE => self.prepare(),
            step::LOAD => {
                let count = usize::from(source.byte());
                let package = core::mem::take(&mut self.package);
                if let Ok(pieces) = segments(&package) {
                    let _ = self.reader.load(&pieces[..count.min(pieces.len())]);
                }
                self.package = package;
            }
            step::CUT => {
                let n = u32::from(source.byte() % 4);
                let cut = if source.byte() & 1 == 0 {
                    Cut::Before
                } else {
                    Cut::After
                };
                self.reader.card().nvm().cut_at(n, cut);
                for apdu in [command(source), command(source)] {
                    self.reader.transmit(&apdu);
                }
                self.power_cycle();
            }
            _ => {
                let channel = source.byte() & 3;
                let aid = match source.byte() % 3 {
                    0 => &ISDR_AID[..],
                    1 => &[0xA0, 0, 0, 0, 0x87, 0x10, 0x02],
                    _ => source.short(),
                };
                let mut apdu = vec![channel, 0xA4, 4, 4, aid.len() as u8];
                apdu.extend_from_slice(aid);
                self.reader.transmit(&apdu);
            }
        }
    }

    /// The power goes and comes back: whatever a card has written makes a card again.
    fn power_cycle(&mut self) {
        let nvm = self.reader.card().nvm().clone().power_on();
        self.reader = Reader::new(world().card(nvm, 3, Options::default()));
        self.authenticated = None;
    }

    fn authenticate(&mut self) {
        let Ok(challenge) = self.reader.es10(&[0xBF, 0x2E, 0x00]) else {
            return;
        };
        let Ok(challenge) = GetEuiccChallengeResponse::from_slice(&challenge) else {
            return;
        };
        let request = world().authenticate_server(challenge.challenge);
        let answer = self.reader.es10(&request.to_vec());
        self.authenticated = answer
            .ok()
            .and_then(|a| AuthenticateServerResponse::from_slice(&a).ok());
    }

    fn prepare(&mut self) {
        let Some(AuthenticateServerResponse::Ok(ok)) = &self.authenticated else {
            return;
        };
        let request = world().prepare_download(ok);
        let answer = self.reader.es10(&request.to_vec());
        let response = answer.map(|a| PrepareDownloadResponse::from_slice(&a));
        if let Ok(Ok(response @ PrepareDownloadResponse::Ok { .. })) = response {
            let key = one_time_key(world());
            self.package = world().bind(&response, &key, &Plain::of(3));
        }
    }

    /// What the card says about itself is what its memory says.
    fn switch_off(mut self) {
        self.reader.power_on();
        let before = self.view();
        self.power_cycle();
        assert_eq!(
            self.view(),
            before,
            "a card that was switched off came back another"
        );
    }

    fn view(&mut self) -> [Vec<u8>; 3] {
        [[0xBF, 0x2D, 0x00], [0xBF, 0x28, 0x00], [0xBF, 0x3C, 0x00]].map(|request| {
            self.reader
                .es10(&request)
                .expect("a request that always works")
        })
    }
}

/// A command APDU out of its fields.
fn command(source: &mut Source<'_>) -> Vec<u8> {
    let mut apdu: Vec<u8> = (0..4).map(|_| source.byte()).collect();
    let data = source.short();
    if !data.is_empty() {
        apdu.push(data.len() as u8);
        apdu.extend_from_slice(data);
    }
    match source.byte() {
        0 => {}
        1 => apdu.push(0),
        le => apdu.push(le),
    }
    apdu
}
