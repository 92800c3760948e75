//! A modem in memory, with manners that modems have.

use super::ISDR;
use std::collections::VecDeque;

/// How the modem behaves.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) echo: bool,
    /// Commands that are answered with "SIM busy" before each that is not.
    pub(super) busy: u8,
    /// It has no +CCHO.
    pub(super) basic: bool,
    /// Lines that it says between others, round and round.
    pub(super) noise: Vec<&'static str>,
    /// Sizes in which its bytes arrive, round and round.
    pub(super) cuts: Vec<usize>,
    /// The number of the command after which it restarts instead of answering.
    pub(super) restart_at: Option<u32>,
    /// The number of the command that is answered after the host gave up.
    pub(super) late_at: Option<u32>,
    /// It comes before the answer to the so manieth command after that one.
    pub(super) late_by: u32,
    /// First session.
    pub(super) session: u32,
    /// It counts bytes, or leaves quotation marks out.
    pub(super) odd: u8,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            echo: true,
            busy: 0,
            basic: false,
            noise: Vec::new(),
            cuts: vec![4096],
            restart_at: None,
            late_at: None,
            late_by: 1,
            session: 1,
            odd: 0,
        }
    }
}

/// A modem in memory.
pub(super) struct Fake {
    pub(super) manner: Manner,
    pub(super) out: VecDeque<u8>,
    /// What comes once the host has given up.
    pub(super) later: Vec<u8>,
    pub(super) session: Option<u32>,
    pub(super) commands: u32,
    pub(super) busy: u8,
    pub(super) said: usize,
    pub(super) cut: usize,
    pub(super) seen: Vec<String>,
    pub(super) executed: Vec<Vec<u8>>,
}

impl Fake {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            busy: manner.busy,
            manner,
            out: VecDeque::new(),
            later: Vec::new(),
            session: None,
            commands: 0,
            said: 0,
            cut: 0,
            seen: Vec::new(),
            executed: Vec::new(),
        }
    }

    /// A line, with noise before it.
    fn say(&mut self, line: &str) {
        if !self.manner.noise.is_empty() {
            let noise = self.manner.noise[self.said % self.manner.noise.len()];
            self.said += 1;
            self.out.extend(format!("\r\n{noise}\r\n").bytes());
        }
        self.out.extend(format!("\r\n{line}\r\n").bytes());
    }

    pub(super) fn input(&mut self, text: &str) {
        let line = text.strip_suffix('\r').expect("a line ends with CR");
        self.seen.push(line.to_owned());
        if self.manner.echo {
            self.out.extend(format!("{line}\r").bytes());
        }
        self.commands += 1;
        let due = self.manner.late_at.map(|at| at + self.manner.late_by);
        if due == Some(self.commands) {
            let later = std::mem::take(&mut self.later);
            self.out.extend(later);
        }
        if self.manner.restart_at == Some(self.commands) {
            self.session = None;
            self.manner.echo = true;
            self.say("RDY");
            return;
        }
        let before = self.out.len();
        self.answer(line);
        if self.manner.late_at == Some(self.commands) {
            self.later = self.out.drain(before..).collect();
        }
    }

    fn answer(&mut self, line: &str) {
        let card = line.contains("+CGLA") || line.contains("+CSIM") || line.contains("+CCHO");
        if card && self.busy > 0 {
            self.busy -= 1;
            return self.say("+CME ERROR: 14");
        }
        self.busy = self.manner.busy;
        if line == "ATE0V1" {
            self.manner.echo = false;
        }
        if let Some(rest) = line.strip_prefix("AT+CCHO=") {
            if self.manner.basic {
                return self.say("ERROR");
            }
            assert_eq!(rest, format!("\"{}\"", hex::encode_upper(ISDR)));
            self.session = Some(self.manner.session);
            self.say(&format!("+CCHO: {}", self.manner.session));
        } else if let Some(rest) = line.strip_prefix("AT+CGLA=") {
            let (session, rest) = rest.split_once(',').expect("session");
            if self.session.map(|s| s.to_string()).as_deref() != Some(session) {
                return self.say("+CME ERROR: 50");
            }
            self.apdu("+CGLA", rest);
        } else if let Some(rest) = line.strip_prefix("AT+CSIM=") {
            self.apdu("+CSIM", rest);
        } else if line.starts_with("AT+CCHC=") {
            self.session = None;
        } else if line == "AT+CPIN?" {
            self.say("+CPIN: READY");
        }
        self.say("OK");
    }

    fn apdu(&mut self, name: &str, rest: &str) {
        let (length, digits) = rest.split_once(',').expect("length");
        let digits = digits.trim_matches('"');
        assert_eq!(length.parse(), Ok(digits.len()));
        let command = hex::decode(digits).expect("hex");
        let digits = hex::encode_upper(answer_to(&command));
        self.executed.push(command);
        let line = match self.manner.odd {
            0 => format!("{name}: {},\"{digits}\"", digits.len()),
            1 => format!("{name}:{},{}", digits.len(), digits.to_lowercase()),
            2 => format!("{name}: {},\"{digits}\"", digits.len() / 2),
            // The answer goes on in the next line.
            _ => {
                let (a, rest) = digits.split_at(digits.len() / 3);
                let (b, c) = rest.split_at(rest.len() / 2);
                format!("{name}: {},\"{a}\r\n{b}\r\n{c}\"", digits.len())
            }
        };
        self.say(&line);
    }

    /// Some bytes of what it says.
    pub(super) fn chunk(&mut self) -> Vec<u8> {
        let size = self.manner.cuts[self.cut % self.manner.cuts.len()].max(1);
        self.cut += 1;
        self.out.drain(..size.min(self.out.len())).collect()
    }
}

/// What the card answers: different for every command.
pub(super) fn answer_to(command: &[u8]) -> Vec<u8> {
    let mut answer = command.to_vec();
    answer.reverse();
    answer.extend_from_slice(&[0x90, 0]);
    answer
}
