//! Given the program with a card of its own, when it is reached in each of its ways, then it is the
//! same card behind all of them.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod served;

use served::{EID, GET_EID, ISDR, answer, at, exchange, frame, program, refused, serve, tty};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

#[test]
fn the_card_goes_to_a_vpcd_and_comes_back_when_that_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let vpcd = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = vpcd.local_addr().unwrap().to_string();
    let _card = serve(folder.path(), &["--vpcd", &address]);
    for _ in 0..2 {
        let (mut reader, _) = vpcd.accept().unwrap();
        frame(&mut reader, &[1]);
        assert!(exchange(&mut reader, "04").starts_with("3b9f"));
        // A reset has no answer, and closes every channel.
        assert_eq!(exchange(&mut reader, "0070000001"), "019000");
        frame(&mut reader, &[2]);
        assert_eq!(exchange(&mut reader, "0070000001"), "019000");
        frame(&mut reader, &[0]);
        assert!(exchange(&mut reader, "04").starts_with("3b9f"));
    }
}

#[test]
fn the_second_reader_of_a_vpcd_has_a_card_that_can_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // An address of its own, where no other test can have the next port.
    let served = serve(folder.path(), &["--vpcd-listen", "127.0.0.77:0"]);
    let first: std::net::SocketAddr = served.address("vpcd-listen").parse().unwrap();
    let second = std::net::SocketAddr::new(first.ip(), first.port() + 1);
    let mut reader = TcpStream::connect(first).unwrap();
    assert!(exchange(&mut reader, "04").starts_with("3b9f"));
    let mut reader = TcpStream::connect(second).unwrap();
    frame(&mut reader, &[1]);
    assert_eq!(exchange(&mut reader, "04"), "3b00");
    assert_eq!(exchange(&mut reader, "00a40000"), "6d00");
}

#[test]
fn sockets_lpac_and_a_modem_share_one_card() {
    let folder = tempfile::tempdir().unwrap();
    let ways = ["--socket", "./card.sock", "--vpcd-listen", "127.0.0.1:0"];
    let more = ["--lpac-stdio", "127.0.0.1:0", "--at", "modem"];
    let served = serve(folder.path(), &[&ways[..], &more[..]].concat());
    let mut vpcd = TcpStream::connect(served.address("vpcd-listen")).unwrap();
    assert!(exchange(&mut vpcd, "04").starts_with("3b9f"));
    // lpac opens a channel with the ISD-R on it.
    let lpac = TcpStream::connect(served.address("lpac-stdio")).unwrap();
    let mut lines = BufReader::new(lpac.try_clone().unwrap());
    let mut ask = |func: &str, param: &str| {
        let line = format!(
            "{{\"type\":\"apdu\",\"payload\":{{\"func\":\"{func}\",\"param\":{param}}}}}\n"
        );
        (&lpac).write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        lines.read_line(&mut answer).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["type"], "apdu");
        answer["payload"].clone()
    };
    assert_eq!(ask("connect", "null"), serde_json::json!({"ecode": 0}));
    let channel = ask("logic_channel_open", &format!("\"{ISDR}\""));
    assert_eq!(channel, serde_json::json!({"ecode": 1}));
    let eid = ask("transmit", "\"81E2910006BF3E035C015A\"");
    assert_eq!(eid, serde_json::json!({"ecode": 0, "data": EID}));
    // What is no command is not the card's to answer.
    for param in ["\"zz\"", "\"8\"", "\"\"", "null"] {
        assert_eq!(ask("transmit", param), serde_json::json!({"ecode": -1}));
    }
    // The socket sees the same channel.
    let socket = served.address("apdu").to_owned();
    let socket = folder.path().join(socket);
    let mut socket = std::os::unix::net::UnixStream::connect(socket).unwrap();
    assert_eq!(
        exchange(&mut socket, "81E2910006BF3E035C015A"),
        EID.to_lowercase()
    );
    // The modem has channels of its own.
    let mut modem = tty(&folder.path().join("modem"));
    assert_eq!(at(&mut modem, "ATE0"), ["OK"]);
    let open = at(&mut modem, &format!("AT+CCHO=\"{ISDR}\""));
    assert_eq!(open, ["+CCHO: 1", "OK"]);
    let command = format!("AT+CGLA=1,{},\"{GET_EID}\"", GET_EID.len());
    let expected = format!("+CGLA: {},\"{EID}\"", EID.len());
    assert_eq!(at(&mut modem, &command), [&expected, "OK"]);
    assert_eq!(
        exchange(&mut socket, "82E2910006BF3E035C015A"),
        EID.to_lowercase()
    );
    let failed = ask("transmit", "\"00\"");
    assert_eq!(failed["data"], "6700");
    assert_eq!(ask("logic_channel_open", "\"A0FF\"")["ecode"], -1);
    assert_eq!(ask("nonsense", "null")["ecode"], -1);
    // What lpac leaves open is closed when it goes.
    assert_eq!(ask("disconnect", "null")["ecode"], 0);
    assert_eq!(exchange(&mut socket, "81E2910006BF3E035C015A"), "6881");
    // Unless the card was reset meanwhile: then the channel with that number is somebody else's.
    let channel = ask("logic_channel_open", &format!("\"{ISDR}\""));
    assert_eq!(channel, serde_json::json!({"ecode": 1}));
    frame(&mut socket, &[0x02]);
    let opened = exchange(&mut socket, "0070000001");
    assert!(opened.ends_with("9000"), "{opened}");
    assert_eq!(ask("disconnect", "null")["ecode"], 0);
    let status = format!("0{}A4000C023F00", &opened[1..2]);
    assert_eq!(exchange(&mut socket, &status), "9000");
}

/// Who stalls, floods or talks rubbish harms nobody else.
#[test]
fn hostile_clients_do_not_get_in_others_way() {
    let folder = tempfile::tempdir().unwrap();
    let ways = ["--socket", "127.0.0.1:0", "--lpac-stdio", "127.0.0.1:0"];
    let served = serve(folder.path(), &[&ways[..], &["--at", "modem"]].concat());
    let connect = |way: &str| TcpStream::connect(served.address(way)).unwrap();
    // One sends half a frame, one half a line, one a command and never reads.
    let mut half = connect("apdu");
    half.write_all(&[0xFF]).unwrap();
    connect("lpac-stdio").write_all(b"{\"type\":").unwrap();
    let mut deaf = connect("apdu");
    for _ in 0..200 {
        frame(&mut deaf, &[0x04]);
    }
    // A line without an end is cut off; so is a frame without content.
    let mut endless = connect("lpac-stdio");
    let sent = (0..200).try_for_each(|_| endless.write_all(&[b'x'; 4096]));
    let read = endless.read(&mut [0; 1]);
    assert!(sent.is_err() || read.is_err() || read.is_ok_and(|n| n == 0));
    let mut empty = connect("apdu");
    frame(&mut empty, &[]);
    assert_eq!(empty.read(&mut [0; 1]).unwrap(), 0);
    // The longest frame is a command like any other.
    let mut good = connect("apdu");
    frame(&mut good, &[0xE2; 0xFFFF]);
    assert!(answer(&mut good).starts_with('6'));
    // The modem's host does not read either, while others reset the card all the time.
    let mut modem = tty(&folder.path().join("modem"));
    for _ in 0..2000 {
        frame(&mut good, &[0x02]);
    }
    for _ in 0..50 {
        modem.get_mut().write_all(b"AT+CPIN?\r").unwrap();
    }
    assert!(exchange(&mut good, "04").starts_with("3b9f"));
    // Lines come still, among many others.
    modem.get_mut().write_all(b"AT+CGMI\r").unwrap();
    let mut line = String::new();
    while line.trim() != "aid" {
        line.clear();
        assert_ne!(modem.read_line(&mut line).unwrap(), 0);
    }
    drop((half, deaf));
}

#[test]
fn a_power_cut_ends_the_connection_and_the_card_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--socket",
        "127.0.0.1:0",
        "--nvm",
        "nvm",
        "--quirk",
        "power-cut=2",
    ];
    let served = serve(folder.path(), &args);
    let connect = || TcpStream::connect(served.address("apdu")).unwrap();
    let select = format!("01a4040010{ISDR}");
    let set = "81e291000fbf3f0c800a64702e6578616d706c65";
    let get = "81e2910003bf3c00";
    let mut one = connect();
    for round in 0..2 {
        exchange(&mut one, "0070000001");
        assert!(exchange(&mut one, &select).ends_with("9000"));
        if round == 0 {
            assert_eq!(exchange(&mut one, set), "bf3f038001009000");
            // The second write is hit.
            frame(&mut one, &hex::decode("81e2910005bf3f028000").unwrap());
            assert_eq!(one.read(&mut [0; 8]).unwrap(), 0);
            one = connect();
            assert_eq!(exchange(&mut one, get), "6881");
        } else {
            let address = exchange(&mut one, get);
            assert!(address.contains("64702e6578616d706c65"), "{address}");
        }
    }
    drop(served);
    // A PKI was minted beside the memory, and is found again.
    assert!(folder.path().join("nvm.pki/DPtls").is_dir());
    serve(folder.path(), &["--socket", "127.0.0.1:0", "--nvm", "nvm"]);
}

/// Whatever moment `kill -9` comes at, what was acknowledged is there afterwards.
#[test]
fn a_card_that_is_killed_keeps_what_it_has_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--socket", "127.0.0.1:0", "--nvm", "nvm"];
    let mut acknowledged = None;
    for round in 0..6_u64 {
        let mut served = serve(folder.path(), &args);
        let mut client = TcpStream::connect(served.address("apdu")).unwrap();
        exchange(&mut client, "0070000001");
        exchange(&mut client, &format!("01a4040010{ISDR}"));
        let stored = exchange(&mut client, "81e2910003bf3c00");
        if let Some((last, next)) = &acknowledged {
            let known = [last, next].iter().any(|name| stored.contains(*name));
            assert!(known, "{stored} is neither {last} nor {next}");
        }
        // It is killed between two commands, or in the middle of one.
        let killed = 20 + round * 7;
        for number in 0..=killed {
            let name = hex::encode(format!("{round:02}-{number:04}.example"));
            let apdu = format!("81e2910014bf3f11800f{name}");
            let before = acknowledged.take().map(|(_, next)| next);
            let last = before.unwrap_or_else(|| name.clone());
            acknowledged = Some((last, name));
            frame(&mut client, &hex::decode(apdu).unwrap());
            if number == killed {
                served.0.kill().unwrap();
                served.0.wait().unwrap();
                break;
            }
            assert_eq!(answer(&mut client), "bf3f038001009000");
        }
    }
}

#[test]
fn wrong_wishes_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let text = refused(&["serve"]);
    assert!(text.contains("--vpcd-listen"), "{text}");
    let text = refused(&["serve", "--socket", "127.0.0.1:0", "--quirk", "dance"]);
    assert!(
        text.contains("dance") && text.contains("small-segments"),
        "{text}"
    );
    let text = refused(&["serve", "--socket", "127.0.0.1:0", "--pki", "/nowhere"]);
    assert!(
        text.contains("/nowhere") && text.contains("mint-pki"),
        "{text}"
    );
    let text = refused(&["serve", "--socket", "127.0.0.1:0", "--eid", "8904"]);
    assert!(
        text.contains("8904") && text.contains("32 digits"),
        "{text}"
    );
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let text = refused(&["serve", "--at", file.to_str().unwrap()]);
    assert!(text.contains("nothing else is"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let socket = file.to_str().unwrap();
    let text = refused(&["serve", "--socket", socket]);
    assert!(text.contains("else than a socket"), "{text}");
    // Only a socket may be a path; a port is never left out.
    for flag in ["--vpcd", "--vpcd-listen", "--lpac-stdio"] {
        for wrong in [
            "./path",
            "localhost",
            "localhost:",
            ":1",
            "1:2:3",
            "127.0.0.1:65536",
        ] {
            let text = refused(&["serve", flag, wrong]);
            let named = text.contains(wrong) && text.contains("HOST:PORT");
            assert!(named && text.contains(&flag[2..]), "{text}");
        }
    }
    let list = program().arg("quirks").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("power-cut=N[:after]"), "{list}");
}

#[test]
fn a_set_up_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = || {
        let names = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|n| n.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let fails = |nvm: &str, socket: &str| {
        let args = ["serve", "--log", "warn", "--nvm", nvm, "--socket", socket];
        let output = program().args(args).current_dir(folder.path()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        text
    };
    // A memory that is none, or whose folder is not there.
    std::fs::write(folder.path().join("mine"), "text").unwrap();
    assert!(fails("mine", "127.0.0.1:0").contains("mine"));
    assert!(fails("no/such/nvm", "127.0.0.1:0").contains("no/such/nvm"));
    // A port in use.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert!(fails("nvm", &taken).contains(&taken));
    assert_eq!(here(), ["mine"]);
    // A tty where something else is: the socket that was made before is taken away.
    let args = ["serve", "--socket", "./s", "--at", "mine"];
    let output = program().args(args).current_dir(folder.path()).output();
    assert!(!output.unwrap().status.success());
    assert_eq!(here(), ["mine"]);
    // A PKI that cannot be written, as on a full disk.
    std::fs::write(folder.path().join("nvm.pki.new"), "in the way").unwrap();
    let text = fails("nvm", "127.0.0.1:0");
    assert!(
        text.contains("nvm.pki") && text.contains("disk space"),
        "{text}"
    );
    assert_eq!(here(), ["mine", "nvm.pki.new"]);
    // What was written is a whole one, and mint-pki keeps to the same.
    let args = ["mint-pki", "--dir", "."];
    let output = program().args(args).current_dir(folder.path()).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert_eq!(here(), ["mine", "nvm.pki.new"]);
}

#[test]
fn a_minted_pki_serves_a_card_and_a_seed_repeats_it() {
    let folder = tempfile::tempdir().unwrap();
    let mint = |dir: &str| {
        let args = ["mint-pki", "--seed", "5", "--dir", dir];
        let output = program().args(args).current_dir(folder.path()).output();
        output.unwrap()
    };
    assert!(mint("a").status.success() && mint("b").status.success());
    let read = |dir: &str| {
        let file = "eUICC/CERT_EUICC_ECDSA_NIST.der";
        std::fs::read(folder.path().join(dir).join(file)).unwrap()
    };
    assert_eq!(read("a"), read("b"));
    assert!(!mint("a").status.success(), "it is not overwritten");
    let args = ["check-config", "--pki", "a"];
    let output = program().args(args).current_dir(folder.path()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("89049032123451234512345678901235"), "{text}");
    serve(folder.path(), &["--socket", "127.0.0.1:0", "--pki", "a"]);
}
