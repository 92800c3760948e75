//! What a hostile modem and a hostile helper program may not do to the card's port: the body of the fuzz
//! target `port`.
//!
//! The first byte says which parser gets the rest: the AT machine (tasks, and what the modem says in pieces,
//! with time passing in between), the JSON lines of a helper, or the address that a configuration has.
//! Promises: no panic, an end in bounded time and writes, lines to the modem that are one line of ASCII,
//! R-APDUs of 2 to 65,538 bytes, an APDU that is sent again only after the modem was busy, and an address
//! that is read as it was written.

use aid_port::at::{Modem, Reply, Step, Task};
use aid_port::exec::{Answer, Request};
use aid_port::{Address, MAX_CHANNEL, MAX_RESPONSE, Timing};

/// Parsers; the first byte of an input, modulo their number.
const PARSERS: u8 = 3;
/// Steps of one task before it counts as endless: a modem that is busy for 20 s is asked some 15 times.
const MAX_STEPS: usize = 20_000;
/// Writes of one task: what comes before it, and an init for each restart.
const MAX_WRITES: usize = 200;

/// The target.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let Some((parser, rest)) = data.split_first() else {
        return;
    };
    match parser % PARSERS {
        0 => modem(rest),
        1 => helper(rest),
        _ => address(rest),
    }
}

/// What is left of an input, taken from the front.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn modem(data: &[u8]) {
    let (mut modem, mut source) = (Modem::new(Timing::default()), Source(data));
    let (mut now, mut channel) = (0, 1);
    while let Some(task) = source.byte() {
        let task = match task % 5 {
            0 => Task::Open(vec![0xA0, 0, 0, 5, 0x59]),
            1 => Task::Apdu(vec![0x80 | channel, 0xE2, 0x91, task, 1, 2]),
            2 => Task::Close(channel),
            3 => Task::Apdu(vec![0, 0x70, 0, 0, 1]),
            _ => Task::Reset,
        };
        modem.begin(task.clone());
        if let Some(Reply::Channel(Some(opened))) = finish(&mut modem, &mut source, &mut now, &task)
        {
            assert!((1..=MAX_CHANNEL).contains(&opened));
            channel = opened & 3;
        }
        if modem.take_refreshed() {
            assert!(!modem.take_refreshed());
        }
    }
}

/// Drives a task to its end.
fn finish(modem: &mut Modem, source: &mut Source<'_>, now: &mut u64, task: &Task) -> Option<Reply> {
    let (began, mut writes, mut apdus) = (*now, 0, 0);
    for _ in 0..MAX_STEPS {
        match modem.step(*now) {
            Step::Write(bytes) => {
                let (end, line) = bytes.split_last().expect("a line");
                assert!(*end == b'\r' && line.starts_with(b"AT"), "{bytes:?}");
                assert!(line.iter().all(|b| (b' '..=b'~').contains(b)), "{bytes:?}");
                writes += 1;
                assert!(writes < MAX_WRITES, "commands without end");
                let text = String::from_utf8_lossy(line);
                apdus += usize::from(text.contains("+CGLA=") || text.contains("+CSIM="));
                assert!(apdus <= 40, "an APDU that is sent for ever");
            }
            Step::Wait(until) => match source.byte() {
                // Nothing comes.
                None | Some(0) => *now = until,
                Some(length) => {
                    *now += 1;
                    let chunk = source.bytes(length.into());
                    modem.received(chunk, *now);
                }
            },
            Step::Done(result) => {
                // Call, commands before, busy, and the answer: a few minutes of the modem's time.
                assert!(
                    *now - began < 3_600_000,
                    "{task:?} took {} ms",
                    *now - began
                );
                if let Ok(Reply::Apdu(answer)) = &result {
                    assert!(matches!(task, Task::Apdu(_)), "{task:?}");
                    assert!((2..=MAX_RESPONSE).contains(&answer.len()));
                }
                return result.ok();
            }
        }
    }
    // A modem that never stops talking holds a task up to its time limit: only then is there no end yet.
    assert!(source.0.is_empty(), "a task without end");
    None
}

fn helper(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        for request in [
            Request::Connect,
            Request::Open(&[0xA0]),
            Request::Transmit(&[0, 1, 2, 3]),
            Request::Close(1),
            Request::Disconnect,
        ] {
            match (request, request.answer(line)) {
                (Request::Transmit(_), Ok(Some(Answer::Apdu(answer)))) => {
                    assert!((2..=MAX_RESPONSE).contains(&answer.len()));
                }
                (Request::Open(_), Ok(Some(Answer::Channel(channel)))) => {
                    assert!((1..=MAX_CHANNEL).contains(&channel));
                }
                (Request::Transmit(_) | Request::Open(_), Ok(Some(Answer::Done)))
                | (_, Ok(Some(Answer::Apdu(_) | Answer::Channel(_)))) => {
                    panic!("{line} is no answer to {}", request.name());
                }
                _ => {}
            }
        }
    }
}

fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Address>() {
        Ok(address) => assert_eq!(address.to_string().parse(), Ok(address)),
        Err(error) => assert!(error.to_string().len() < 4096),
    }
}

/// Valid inputs: a session over a modem with and without +CCHO, a helper's lines, one address of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ok: &[&str] = &["\r\nOK\r\n"];
    let start = [ok, &[""], ok, ok, &["\r\n+CPIN: READY\r\n\r\nOK\r\n"]].concat();
    let open = &["\r\n+CCHO: 1\r\n\r\nOK\r\n"][..];
    let answer = &["\r\n+CGLA: 4,\"9000\"\r\n\r\nOK\r\n"][..];
    let session = |says: &[&str], tasks: &[(u8, &[&str])]| {
        let mut input = vec![0];
        for (number, (task, lines)) in tasks.iter().enumerate() {
            input.push(*task);
            let before = if number == 0 { says } else { &[] };
            for line in before.iter().chain(*lines) {
                input.push(line.len() as u8);
                input.extend_from_slice(line.as_bytes());
            }
        }
        input
    };
    let refused = &["\r\n+CME ERROR: 14\r\n", "", "\r\nERROR\r\n"][..];
    let basic = &["RING\r\n+CSIM: 6,\"019000\"\r\nOK\r\n"][..];
    let gone = &["\r\n+CME ERROR: 50\r\n"][..];
    let restarts = &["\r\nRDY\r\n+CPIN: NOT READY\r\n"][..];
    let mut seeds = vec![
        session(&start, &[(0, open), (1, answer), (1, answer), (2, ok)]),
        session(&start, &[(0, refused), (3, basic)]),
        session(&start, &[(0, open), (1, gone), (0, restarts)]),
        session(
            &start,
            &[(
                4,
                &["\r\nOK\r\n", "\r\nOK\r\n", "\r\n+CPIN: SIM PIN\r\nOK\r\n"],
            )],
        ),
    ];
    let lines = "{\"type\":\"apdu\",\"payload\":{\"ecode\":0}}\n\
         {\"type\":\"progress\",\"payload\":{\"message\":\"x\"}}\n\
         {\"type\":\"apdu\",\"payload\":{\"ecode\":3}}\n\
         {\"type\":\"apdu\",\"payload\":{\"ecode\":0,\"data\":\"61AA9000\"}}\n\
         {\"type\":\"apdu\",\"payload\":{\"ecode\":-1,\"data\":null}}\n";
    seeds.push([&[1], lines.as_bytes()].concat());
    for address in [
        "socket:127.0.0.1:7816",
        "at:/dev/ttyUSB2:9600",
        "pcsc:Alcor",
        "spi:/dev/spidev0.0,500000",
        "i2c:/dev/i2c-1,0x48",
        "exec:qmi --device \"/dev/cdc wdm0\"",
    ] {
        seeds.push([&[2], address.as_bytes()].concat());
    }
    seeds
}
