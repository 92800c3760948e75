//! The layers of a link against an echo.

use super::*;
use std::io::{Read as _, Write as _};
use std::time::Instant;

/// A server that sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut copy = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut copy);
            });
        }
    });
    port
}

fn link(hostile: bool, seed: u64) -> (Link, u16) {
    let reserved = Reserved::new().unwrap();
    let port = reserved.port().unwrap();
    (Link::open(reserved, echo(), hostile, seed).unwrap(), port)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn round(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

#[test]
fn a_hostile_link_changes_no_byte() {
    for seed in 0..8 {
        let (link, port) = link(true, seed);
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut stream = connect(port);
        assert_eq!(round(&mut stream, &bytes).unwrap(), bytes, "seed {seed}");
        assert_eq!(link.bytes(), 40_000);
    }
}

#[test]
fn each_layer_does_what_it_says_and_can_be_taken_away() {
    let (link, port) = link(false, 1);
    let mut stream = connect(port);
    assert_eq!(round(&mut stream, b"one").unwrap(), b"one");
    // Delay: there and back.
    link.fault(|r| r.delay = Duration::from_millis(60));
    let begin = Instant::now();
    assert_eq!(round(&mut stream, b"two").unwrap(), b"two");
    assert!(begin.elapsed() >= Duration::from_millis(120));
    link.mend();
    // A cut breaks what is open and refuses what is new.
    link.fault(|r| r.cut = true);
    link.break_all();
    assert!(round(&mut stream, b"three").is_err());
    assert!(round(&mut connect(port), b"four").is_err());
    link.mend();
    // Refusals are counted.
    link.fault(|r| r.refuse = 2);
    assert!(round(&mut connect(port), b"a").is_err());
    assert!(round(&mut connect(port), b"b").is_err());
    assert_eq!(round(&mut connect(port), b"c").unwrap(), b"c");
    // A connection breaks in the middle of a message.
    let mut stream = connect(port);
    link.fault(|r| r.cut_after = Some(5));
    assert!(round(&mut stream, b"0123456789").is_err());
    // In a black hole nobody hears anything.
    let mut stream = connect(port);
    assert_eq!(round(&mut stream, b"d").unwrap(), b"d");
    link.fault(|r| r.black_hole = true);
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = round(&mut stream, b"e").unwrap_err();
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{error}"
    );
    link.mend();
    assert_eq!(round(&mut connect(port), b"f").unwrap(), b"f");
    // Bandwidth: 2,000 bytes at 20 kB/s, twice.
    let mut stream = connect(port);
    link.fault(|r| r.bandwidth = Some(20_000));
    let begin = Instant::now();
    assert!(round(&mut stream, &[7; 2000]).is_ok());
    assert!(begin.elapsed() >= Duration::from_millis(150));
}
