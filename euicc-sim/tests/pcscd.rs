//! Given pcscd with vsmartcard's virtual reader, when a PC/SC client asks the reader, then our card answers. Daemon and
//! client have a mount namespace of their own, so that they meet no other pcscd; all traffic stays on loopback.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod served;

use aid_needs::{Need, missing};
use served::{EID, GET_EID, ISDR, serve};
use std::path::Path;
use std::process::Command;

const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// Starts the daemon, waits for its socket and for the card in the reader, and plays the commands of `script` to it.
/// A scriptor that finds no reader yet, or no card in it, is asked again.
const SESSION: &str = r#"
mkdir -p /run/pcscd && mount -t tmpfs tmpfs /run/pcscd || exit 77
PATH=$PATH:/usr/sbin
pcscd --foreground --config "$PWD/conf" >pcscd.log 2>&1 & daemon=$!
tries=0
until [ -S /run/pcscd/pcscd.comm ]; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || break; sleep 0.1
done
tries=0
until timeout 30 scriptor -r "aid test 00 00" <script >answers 2>&1 && grep -q RESET answers; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || break; sleep 0.2
done
kill $daemon; wait $daemon
cat answers; cat pcscd.log >&2
"#;

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .into_iter()
        .any(|folder| folder.join(program).exists())
}

#[test]
fn a_pcsc_client_reaches_the_card_through_pcscd_and_vpcd() {
    for program in ["pcscd", "scriptor"] {
        if !has(program) {
            return missing(Need::Pcscd, &format!("there is no {program}"));
        }
    }
    if !Path::new(DRIVER).exists() {
        return missing(Need::Pcscd, "vpcd's driver is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    // vpcd connects to the card: it would listen on all addresses otherwise.
    let served = serve(dir, &["--vpcd-listen", "127.0.0.78:0"]);
    let address: std::net::SocketAddr = served.address("vpcd-listen").parse().unwrap();
    let (ip, port) = (address.ip(), address.port());
    std::fs::create_dir(dir.join("conf")).unwrap();
    let reader = format!(
        "FRIENDLYNAME \"aid test\"\nDEVICENAME {ip}:0x{port:X}\nLIBPATH {DRIVER}\nCHANNELID 0x{port:X}\n"
    );
    std::fs::write(dir.join("conf/vpcd"), reader).unwrap();
    let commands = [
        "reset".to_owned(),
        "0070000001".to_owned(),
        format!("01A4040010{ISDR}"),
        GET_EID.replacen("80", "81", 1),
        "0070800100".to_owned(),
        GET_EID.replacen("80", "81", 1),
    ];
    std::fs::write(dir.join("script"), commands.join("\n") + "\n").unwrap();
    let session = Command::new("unshare")
        .args(["-m", "sh", "-c", SESSION])
        .current_dir(dir)
        .output();
    let Ok(session) = session else {
        return missing(Need::Mount, "there is no unshare");
    };
    let log = String::from_utf8_lossy(&session.stderr);
    if session.status.code() == Some(77) || log.contains("unshare failed") {
        return missing(Need::Mount, "no file system can be mounted");
    }
    // Lines begin with `> ` for a command and `< ` for an answer, which goes on over several lines.
    let text = String::from_utf8_lossy(&session.stdout);
    let answers: Vec<String> = text
        .split("\n< ")
        .skip(1)
        .map(|part| {
            let answer = part.split("\n>").next().unwrap_or_default();
            let answer = answer.split(" :").next().unwrap_or_default();
            answer.split_whitespace().collect()
        })
        .collect();
    let [atr, channel, isdr, eid, closed, gone] =
        <[String; 6]>::try_from(answers).unwrap_or_else(|other| panic!("{other:?}\n{text}\n{log}"));
    assert!(atr.starts_with("OK:3B9F"), "{atr}");
    assert_eq!(channel, "019000");
    assert!(isdr.starts_with("6F") && isdr.ends_with("9000"), "{isdr}");
    assert_eq!(eid, EID);
    assert_eq!(closed, "9000");
    // The channel is closed.
    assert_eq!(gone, "6881");
}
