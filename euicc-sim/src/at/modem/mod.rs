//! The modem: lines in, lines out. Echo, result codes, errors in three forms, unsolicited codes.
//! ITU-T V.250 §5, §6.2; 3GPP TS 27.007 §8, §9.

mod pin;

use super::card::CardHandle;
use super::command::{Ask, Command, Params, commands};
use super::error::Cme;
use super::files::{self, Pin, Restricted};
use super::registers::Registers;
use super::sessions::Sessions;
use super::toolkit::{self, Asked};
use crate::quirk::Quirks;
use crate::served::Notice;

/// Longest line, bytes; +CGLA with a short APDU has about 550.
const MAX_LINE: usize = 8192;

/// What the modem says to its host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: Vec<u8>,
    /// The line hangs up after it, and comes back.
    pub(super) drop_tty: bool,
}

/// How much of the phone is on: +CFUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Functionality {
    /// 0: the card has no power.
    Minimum,
    /// 1
    Full,
    /// 4: no radio; the card stays on.
    Flight,
}

/// The modem's state.
pub(super) struct Modem {
    card: CardHandle,
    quirks: Quirks,
    line: Vec<u8>,
    last: Vec<u8>,
    too_long: bool,
    echo: bool,
    verbose: bool,
    /// Q1: no result codes.
    quiet: bool,
    registers: Registers,
    /// +CMEE: 0 none, 1 numbers, 2 texts.
    errors: u32,
    functionality: Functionality,
    sessions: Sessions,
    /// Lines since the last noise.
    lines: u32,
    /// What is said after the result code.
    after: Vec<String>,
    /// The card starts after the result code.
    restart: bool,
    /// Status word 91xx of the last command of a line.
    proactive: Option<u16>,
    out: Reply,
}

type Done = Result<(), Cme>;

impl Modem {
    pub(super) fn new(card: CardHandle, quirks: &Quirks) -> Self {
        Self {
            card,
            quirks: quirks.clone(),
            line: Vec::new(),
            last: Vec::new(),
            too_long: false,
            echo: true,
            verbose: true,
            quiet: false,
            registers: Registers::default(),
            errors: 0,
            functionality: Functionality::Full,
            sessions: Sessions::default(),
            lines: 0,
            after: Vec::new(),
            restart: false,
            proactive: None,
            out: Reply::default(),
        }
    }

    /// The modem gets power.
    pub(super) fn power_on(&mut self) -> Reply {
        self.start_card();
        std::mem::take(&mut self.out)
    }

    /// The tty is there again.
    pub(super) fn came_back(&mut self) -> Reply {
        self.line.clear();
        self.sim_state();
        std::mem::take(&mut self.out)
    }

    /// Somebody else did something to the card.
    pub(super) fn notice(&mut self, notice: Notice) -> Reply {
        if self.functionality != Functionality::Minimum {
            match notice {
                Notice::Switched => self.refreshed(false),
                Notice::Reset => {
                    self.sessions.forget();
                    self.urc("+CPIN: NOT READY");
                    self.start_card();
                }
            }
        }
        std::mem::take(&mut self.out)
    }

    /// What the host has typed.
    pub(super) fn input(&mut self, bytes: &[u8]) -> Reply {
        for byte in bytes {
            if self.echo {
                self.out.text.push(*byte);
            }
            match byte {
                end if *end == self.registers.terminator() => {
                    let line = std::mem::take(&mut self.line);
                    let long = std::mem::take(&mut self.too_long);
                    self.execute_line(&line, long);
                }
                back if *back == self.registers.editor() || *back == 0x7F => {
                    self.line.pop();
                }
                // Other control characters count for nothing (V.250 §5.2.2).
                0x00..=0x1F => {}
                _ if self.line.len() >= MAX_LINE => self.too_long = true,
                byte => {
                    self.line.push(*byte);
                    // A/ repeats the last line, without a carriage return.
                    if self.line.eq_ignore_ascii_case(b"A/") {
                        self.line.clear();
                        let last = self.last.clone();
                        self.execute_line(&last, false);
                    }
                }
            }
        }
        std::mem::take(&mut self.out)
    }

    fn execute_line(&mut self, line: &[u8], long: bool) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let text = std::str::from_utf8(line).ok().filter(|_| !long);
        let head = text.and_then(|t| t.get(..2));
        if !head.is_some_and(|h| h.eq_ignore_ascii_case("AT")) {
            // Not a command line: a modem does not answer, except to a line that was one.
            if long {
                self.finish(Err(Cme::WrongParameters));
            }
            return;
        }
        self.last = line.to_vec();
        let text = text.and_then(|t| t.get(2..)).unwrap_or_default().to_owned();
        for command in commands(&text) {
            if let Err(error) = self.execute(&command) {
                self.finish(Err(error));
                return;
            }
        }
        self.finish(Ok(()));
        if let Some(sw) = self.proactive.take() {
            self.fetch(sw);
        }
    }

    fn execute(&mut self, command: &Command<'_>) -> Done {
        let Command { name, ask } = command;
        match (name.as_str(), *ask) {
            ("E", ask) => self.echo = basic(ask, 1)? == 1,
            ("V", ask) => self.verbose = basic(ask, 1)? == 1,
            ("Q", ask) => self.quiet = basic(ask, 1)? == 1,
            // Of calls and lines that are not there: taken, without effect.
            ("X", ask) => drop(basic(ask, 4)?),
            ("L" | "M", ask) => drop(basic(ask, 3)?),
            ("&C" | "&D", ask) => drop(basic(ask, 2)?),
            ("&W" | "H" | "P" | "T", ask) => drop(basic(ask, 1)?),
            ("Z" | "&F", ask) => {
                basic(ask, 1)?;
                self.defaults();
            }
            (name, ask) if name.starts_with('S') => self.register(&name[1..], ask)?,
            ("I", ask) => {
                basic(ask, 9)?;
                self.info("aid euicc-sim");
                self.info(concat!("Revision: ", env!("CARGO_PKG_VERSION")));
            }
            ("+CGMI" | "+GMI", Ask::Run) => self.info("aid"),
            ("+CGMM" | "+GMM", Ask::Run) => self.info("euicc-sim"),
            ("+CGMR" | "+GMR", Ask::Run) => self.info(env!("CARGO_PKG_VERSION")),
            // All zeros: an IMEI for test equipment.
            ("+CGSN" | "+GSN", Ask::Run) => self.info("000000000000000"),
            ("+GCAP", Ask::Run) => self.info("+GCAP: +CGSM"),
            ("+CMEE", Ask::Set(text)) => self.errors = Params::new(text).number(0, 2)?,
            ("+CMEE", Ask::Read) => self.info(&format!("+CMEE: {}", self.errors)),
            ("+CMEE", Ask::Test) => self.info("+CMEE: (0-2)"),
            ("+CFUN", ask) => return self.cfun(ask),
            (
                "+CCHO" | "+CCHC" | "+CGLA" | "+CSIM" | "+CRSM" | "+CPWD" | "+CIMI" | "+CCID",
                Ask::Test,
            )
            | ("+ICCID" | "+CPIN" | "+CUAD" | "+CPINR" | "+CGMI" | "+CGMM" | "+CGMR", Ask::Test) => {
            }
            ("+CLCK", Ask::Test) => self.info("+CLCK: (\"SC\")"),
            _ if self.functionality == Functionality::Minimum => return Err(Cme::NotAllowed),
            ("+CPIN", ask) => return self.cpin(ask),
            ("+CPINR", Ask::Run) => self.cpinr()?,
            ("+CLCK", Ask::Set(text)) => return self.clck(&Params::new(text)),
            ("+CPWD", Ask::Set(text)) => return self.cpwd(&Params::new(text)),
            ("+CCID", Ask::Run | Ask::Read) => {
                let iccid = files::iccid(&self.card)?;
                self.info(&format!("+CCID: {iccid}"));
            }
            ("+ICCID", Ask::Run | Ask::Read) => {
                let iccid = files::iccid(&self.card)?;
                self.info(&format!("+ICCID: {iccid}"));
            }
            ("+CIMI", Ask::Run) => {
                let imsi = files::imsi(&self.card)?;
                self.info(&imsi);
            }
            ("+CUAD", Ask::Run) => {
                let applications = files::applications(&self.card)?;
                self.info(&format!("+CUAD: \"{}\"", hex::encode_upper(applications)));
            }
            ("+CRSM", Ask::Set(text)) => return self.crsm(&Params::new(text)),
            ("+CSIM", Ask::Set(text)) => {
                let answer = self.card.raw(&Params::new(text).apdu(0)?)?;
                self.answer("+CSIM", &answer);
            }
            ("+CCHO", Ask::Set(text)) => {
                let aid = Params::new(text).bytes(0)?;
                let number = self.sessions.open(&self.card, &aid)?;
                self.info(&format!("+CCHO: {number}"));
            }
            ("+CCHC", Ask::Set(text)) => {
                let number = Params::new(text).number(0, u32::MAX)?;
                self.sessions.close(&self.card, number)?;
                self.info("+CCHC");
            }
            ("+CGLA", Ask::Set(text)) => {
                let params = Params::new(text);
                let session = params.number(0, u32::MAX)?;
                let apdu = params.apdu(1)?;
                let answer = self.sessions.transmit(&self.card, session, &apdu)?;
                self.answer("+CGLA", &answer);
            }
            _ => return Err(Cme::NotSupported),
        }
        Ok(())
    }

    /// As after power on.
    fn defaults(&mut self) {
        (self.echo, self.verbose, self.quiet, self.errors) = (true, true, false, 0);
        self.registers = Registers::default();
    }

    /// An S-parameter: `S3?` answers three digits.
    fn register(&mut self, number: &str, ask: Ask<'_>) -> Done {
        let number: u32 = number.parse().map_err(|_| Cme::NotSupported)?;
        let value = self.registers.get(number).ok_or(Cme::NotSupported)?;
        match ask {
            Ask::Read => self.info(&format!("{value:03}")),
            Ask::Set(text) => {
                let value = Params::new(text).number(0, 255)?;
                let set = self.registers.set(number, value);
                set.ok_or(Cme::WrongParameters)?;
            }
            Ask::Run | Ask::Test => return Err(Cme::NotSupported),
        }
        Ok(())
    }

    fn cfun(&mut self, ask: Ask<'_>) -> Done {
        let text = match ask {
            Ask::Test => {
                self.info("+CFUN: (0,1,4),(0,1)");
                return Ok(());
            }
            Ask::Read => {
                let number = match self.functionality {
                    Functionality::Minimum => 0,
                    Functionality::Full => 1,
                    Functionality::Flight => 4,
                };
                self.info(&format!("+CFUN: {number}"));
                return Ok(());
            }
            Ask::Run => "1",
            Ask::Set(text) => text,
        };
        let params = Params::new(text);
        let wanted = match params.number(0, 4)? {
            0 => Functionality::Minimum,
            1 => Functionality::Full,
            4 => Functionality::Flight,
            _ => return Err(Cme::WrongParameters),
        };
        let reset = params.len() > 1 && params.number(1, 1)? == 1;
        let was_off = self.functionality == Functionality::Minimum;
        self.functionality = wanted;
        if wanted == Functionality::Minimum {
            self.sessions.forget();
            return self.card.reset();
        }
        if reset {
            self.defaults();
        }
        if reset || was_off {
            self.sessions.forget();
            self.card.reset()?;
            self.restart = true;
        }
        Ok(())
    }

    fn crsm(&mut self, params: &Params) -> Done {
        let byte = |at| -> Result<u8, Cme> {
            if params.optional(at).is_none() {
                return Ok(0);
            }
            Ok(params.number(at, 255)? as u8)
        };
        let ins = byte(0)?;
        // READ and UPDATE of both kinds, GET RESPONSE, STATUS, RETRIEVE DATA, SET DATA.
        if !matches!(ins, 0xB0 | 0xB2 | 0xC0 | 0xD6 | 0xDC | 0xF2 | 0xCB | 0xDB) {
            return Err(Cme::NotSupported);
        }
        let file = match params.optional(1) {
            Some(_) => params.number(1, 0xFFFF)? as u16,
            None => 0x3F00,
        };
        let path = match params.optional(6) {
            Some(_) => params.bytes(6)?,
            None => Vec::new(),
        };
        if path.len() % 2 != 0 || path.len() > 16 {
            return Err(Cme::WrongParameters);
        }
        let path = path
            .chunks(2)
            .map(|two| u16::from_be_bytes([two[0], two[1]]));
        let request = Restricted {
            ins,
            file,
            p1: byte(2)?,
            p2: byte(3)?,
            p3: byte(4)?,
            data: match params.optional(5) {
                Some(_) => params.bytes(5)?,
                None => Vec::new(),
            },
            path: path.filter(|file| *file != 0x3F00).collect(),
        };
        if request.data.len() > 255 {
            return Err(Cme::WrongParameters);
        }
        let (data, sw) = files::restricted(&self.card, &request)?;
        let [sw1, sw2] = sw.to_be_bytes();
        let mut line = format!("+CRSM: {sw1},{sw2}");
        if !data.is_empty() {
            line.push_str(&format!(",\"{}\"", hex::encode_upper(data)));
        }
        self.info(&line);
        Ok(())
    }

    fn answer(&mut self, name: &str, answer: &[u8]) {
        let digits = hex::encode_upper(answer);
        self.info(&format!("{name}: {},\"{digits}\"", digits.len()));
        if let [.., sw1 @ 0x91, sw2] = answer {
            self.proactive = Some(u16::from_be_bytes([*sw1, *sw2]));
        }
    }

    /// The card has power: the terminal introduces itself, the host is told what there is.
    fn start_card(&mut self) {
        if !self.quirks.no_terminal_profile {
            match toolkit::announce(&self.card) {
                Ok(sw) if sw >> 8 == 0x91 => self.fetch(sw),
                Ok(_) => {}
                Err(_) => tracing::warn!("the modem's card does not answer"),
            }
        }
        self.sim_state();
    }

    fn sim_state(&mut self) {
        let state = match files::pin(&self.card) {
            Ok(Pin::Ready) => "READY",
            Ok(Pin::Wanted(_)) => "SIM PIN",
            Ok(Pin::Blocked) => "SIM PUK",
            Ok(Pin::Absent) => "NOT INSERTED",
            Err(_) => "SIM FAILURE",
        };
        self.urc(&format!("+CPIN: {state}"));
    }

    /// A proactive command waits.
    fn fetch(&mut self, sw: u16) {
        if self.quirks.no_terminal_profile {
            return;
        }
        match toolkit::serve(&self.card, sw) {
            Ok(Asked::Nothing) | Err(_) => {}
            Ok(asked @ (Asked::Reset | Asked::Initialise)) => self.refreshed(asked == Asked::Reset),
        }
    }

    /// The card has another profile: the host is told, after a reset where the card wants one.
    fn refreshed(&mut self, reset: bool) {
        if !self.quirks.mute_refresh {
            self.urc("+SIM: REFRESH");
            self.urc("+CPIN: NOT READY");
        }
        if reset {
            self.sessions.forget();
            if self.card.reset().is_err() {
                tracing::warn!("the modem's card can't be reset");
            }
            if toolkit::announce(&self.card).is_err() {
                tracing::warn!("the modem's card does not answer");
            }
        }
        if self.quirks.refresh_drops_tty {
            self.out.drop_tty = true;
        } else if !self.quirks.mute_refresh {
            self.sim_state();
        }
    }

    /// A line of information.
    fn info(&mut self, text: &str) {
        self.noise();
        self.line_out(text);
    }

    /// An unsolicited result code.
    fn urc(&mut self, text: &str) {
        if !self.quiet {
            self.line_out(text);
        }
    }

    fn line_out(&mut self, text: &str) {
        let end = [self.registers.terminator(), self.registers.formatter()];
        if self.verbose {
            self.out.text.extend_from_slice(&end);
        }
        self.out.text.extend_from_slice(text.as_bytes());
        self.out.text.extend_from_slice(&end);
    }

    /// A result code in digits.
    fn number_out(&mut self, number: u8) {
        let end = self.registers.terminator();
        self.out.text.extend_from_slice(&[b'0' + number, end]);
    }

    /// The quirk that says something between two lines.
    fn noise(&mut self) {
        let Some(every) = self.quirks.urc_noise else {
            return;
        };
        self.lines += 1;
        if self.lines >= every {
            self.lines = 0;
            self.line_out("+CREG: 1");
        }
    }

    /// The final result code, and what comes after it.
    fn finish(&mut self, done: Done) {
        self.noise();
        match (done, self.errors, self.verbose) {
            _ if self.quiet => {}
            (Ok(()), _, true) => self.line_out("OK"),
            (Ok(()), _, false) => self.number_out(0),
            (Err(_), 0, true) => self.line_out("ERROR"),
            (Err(_), 0, false) => self.number_out(4),
            (Err(e), 1, _) => self.line_out(&format!("+CME ERROR: {}", e.code().0)),
            (Err(e), ..) => self.line_out(&format!("+CME ERROR: {}", e.code().1)),
        }
        for urc in std::mem::take(&mut self.after) {
            self.urc(&urc);
        }
        if std::mem::take(&mut self.restart) {
            self.start_card();
        }
    }
}

/// The number of a basic command; 0 when there is none.
fn basic(ask: Ask<'_>, max: u32) -> Result<u32, Cme> {
    match ask {
        Ask::Run => Ok(0),
        Ask::Set(text) => Params::new(text).number(0, max),
        Ask::Read | Ask::Test => Err(Cme::NotSupported),
    }
}
