use super::*;
use crate::port::{Counts, Gone};
use aid_euicc::card::Terminal;

const HOST: Terminal = Terminal(1);

/// Repeats the command's data (after Lc) with 9000, or the answers that were put in.
#[derive(Default)]
struct Echo {
    seen: Vec<Vec<u8>>,
    resets: u32,
}

impl Port for Echo {
    fn reset(&mut self) -> Vec<u8> {
        self.resets += 1;
        vec![0x3B]
    }

    fn atr(&self) -> Vec<u8> {
        vec![0x3B]
    }

    fn leave(&mut self, _: Terminal) {}

    fn counts(&self) -> Counts {
        Counts::default()
    }

    fn transmit(&mut self, _: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        self.seen.push(apdu.to_vec());
        let mut answer = match apdu {
            [_, 0x70, 0, 0, ..] => vec![self.seen.iter().filter(|a| a[1] == 0x70).count() as u8],
            _ => apdu.get(5..).unwrap_or_default().to_vec(),
        };
        answer.extend_from_slice(&[0x90, 0]);
        Ok(answer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[track_caller]
fn exchange(port: &mut impl Port, apdu: &str, expected: &str) {
    assert_eq!(port.transmit(HOST, &hex(apdu)), Ok(hex(expected)), "{apdu}");
}

#[test]
fn names_and_arguments_are_checked() {
    let parse = |text: &[&str]| {
        let mut quirks = Quirks::default();
        text.iter().try_for_each(|t| quirks.add(t)).map(|()| quirks)
    };
    let quirks = parse(&["slow=5", "61xx", "power-cut=7:after", "stale-channel"]).unwrap();
    assert_eq!(quirks.slow, Some(Duration::from_millis(5)));
    assert_eq!(quirks.get_response, Some(When::CommandData));
    let (write, after) = (7, true);
    assert_eq!(quirks.power_cut, Some(Cut { write, after }));
    assert_eq!(quirks.stale_channels, 1);
    for known in &KNOWN {
        let text = match known.arg {
            "=N[:after]" => format!("{}=1", known.name),
            _ => known.name.to_owned(),
        };
        assert_ne!(parse(&[&text]), Ok(Quirks::default()), "{text}");
        assert!(list().contains(known.name));
    }
    for wrong in [
        "power-cut",
        "power-cut=0",
        "power-cut=1:before",
        "slow=",
        "slow=x",
        "stale-channel=20",
        "small-segments=256",
        "61xx=some",
        "refresh-drops-tty=1",
    ] {
        let error = parse(&[wrong]).unwrap_err();
        assert!(
            error.contains("wrong argument") && error.contains(wrong),
            "{error}"
        );
    }
    let error = parse(&["61"]).unwrap_err();
    assert!(
        error.contains("cat-busy"),
        "the sentence lists what there is: {error}"
    );
}

#[test]
fn answers_come_in_pieces() {
    let mut port = Pieces::new(Echo::default(), 3, None);
    exchange(&mut port, "00a40000050102030405", "0102036102");
    exchange(&mut port, "00c0000001", "046101");
    exchange(&mut port, "00c0000005", "6c01");
    exchange(&mut port, "00c0000000", "059000");
    // Another command drops what was not fetched, each channel keeps its own.
    exchange(&mut port, "00a40000050102030405", "0102036102");
    exchange(&mut port, "01a400000411121314", "1112136101");
    exchange(&mut port, "01c0000001", "149000");
    exchange(&mut port, "00c0000002", "04059000");
    let mut port = Pieces::new(Echo::default(), 256, Some(When::CommandData));
    exchange(&mut port, "00a40000021234", "6102");
    exchange(&mut port, "00c0000002", "12349000");
    exchange(&mut port, "0070000001", "019000");
    let mut port = Pieces::new(Echo::default(), 256, Some(When::Always));
    exchange(&mut port, "0070000001", "6101");
    exchange(&mut port, "00c0000001", "019000");
}

#[test]
fn cat_is_busy_for_a_while() {
    let mut port = CatBusy::new(Echo::default(), 2);
    exchange(&mut port, "81e2910003bf2d00", "bf2d009000");
    exchange(&mut port, "81e2910003bf3100", "bf31038001059000");
    // In two blocks; only the last one counts.
    exchange(&mut port, "81e2110003bf3202", "bf32029000");
    exchange(&mut port, "81e29101028001", "bf32038001059000");
    exchange(&mut port, "81e2910003bf3100", "bf31009000");
}

#[test]
fn channels_are_lost_or_taken() {
    let mut port = LostChannel::new(Echo::default(), 2);
    for _ in 0..2 {
        exchange(&mut port, "01a40000023f00", "3f009000");
        exchange(&mut port, "00a40000023f00", "3f009000");
    }
    exchange(&mut port, "01a40000023f00", "6881");
    assert_eq!(port.port.seen.last().unwrap(), &hex("00708001"));
    let mut port = StaleChannel::new(Echo::default(), 2);
    assert_eq!(port.port.seen.len(), 4);
    assert_eq!(port.port.seen[1][..5], hex("01a4040c10"));
    exchange(&mut port, "0070000001", "039000");
    port.reset();
    assert_eq!((port.port.resets, port.port.seen.len()), (1, 9));
}

#[test]
fn bits_are_wrong_now_and_then_and_a_seed_repeats_them() {
    let run = |seed| {
        let rng = Seeded::new(seed, "bit-errors");
        let mut port = BitErrors::new(Echo::default(), 4, rng);
        let answers = (0..400).map(|_| port.transmit(HOST, &hex("00a40000021234")).unwrap());
        let answers: Vec<_> = answers.collect();
        let wrong = answers.iter().filter(|a| **a != hex("12349000")).count();
        assert!((100..250).contains(&wrong), "{wrong}");
        answers
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn slow_waits_before_each_answer() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static WAITED: AtomicU64 = AtomicU64::new(0);
    let sleep = |time: Duration| {
        assert!(time <= Duration::from_secs(1));
        WAITED.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    };
    let rng = Seeded::new(1, "slow");
    let mut port = Slow::new(Echo::default(), Duration::from_secs(1), rng, sleep);
    for _ in 0..20 {
        exchange(&mut port, "00a40000021234", "12349000");
    }
    assert!(WAITED.load(Ordering::Relaxed) > 1_000_000);
}

#[test]
fn layers_combine() {
    let mut quirks = Quirks::default();
    for quirk in ["61xx", "small-segments=2", "cat-busy", "stale-channel=1"] {
        quirks.add(quirk).unwrap();
    }
    let mut port = quirks.wrap(Box::new(Echo::default()), 1);
    exchange(&mut port, "0070000001", "029000");
    exchange(&mut port, "82e2910003bf3100", "6106");
    exchange(&mut port, "02c0000006", "bf316104");
    exchange(&mut port, "02c0000004", "03806102");
    exchange(&mut port, "02c0000002", "01059000");
}
