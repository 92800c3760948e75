//! What each command does, and its result.

use super::args::{Action, Args, Chip, Notification, Profile};
use super::download::{Done, Wish, download};
use super::fault::{Class, Fault};
use super::progress::Progress;
use super::{Port, Servers, ask};
use crate::es9::Http;
use crate::meter::Tally;
use crate::{Delivered, Loaded, LpaError, report};
use aid_cli::config;
use aid_id::Iccid;
use aid_rsp::es9::Base64;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Largest file that `notification replay` reads, bytes.
const MAX_DUMP: u64 = 64 * 1024;
/// Largest file with a revocation list, bytes.
const MAX_CRL: u64 = 64 * 1024;
/// Longest nickname, bytes (SGP.22 §5.7.21).
const MAX_NICKNAME: usize = 64;
/// Longest SM-DP+ address, bytes.
const MAX_ADDRESS: usize = 255;

pub(super) fn on_card(lpa: &mut Port, args: &Args, tally: &Tally) -> Result<Value, Fault> {
    match &args.action {
        Action::Chip(chip) => on_chip(lpa, chip, args),
        Action::Discover { smdp, smds } => discover(lpa, smdp.as_deref(), smds.as_deref(), args),
        Action::Profile(profile) => on_profile(lpa, profile, args, tally),
        Action::Notification(notification) => on_notification(lpa, notification),
        Action::ExampleConfig | Action::CheckConfig => Ok(Value::Null),
    }
}

fn on_chip(lpa: &mut Port, chip: &Chip, args: &Args) -> Result<Value, Fault> {
    match chip {
        Chip::Info => Ok(report::chip(&lpa.chip_info()?)),
        Chip::Purge => {
            let profiles = lpa.profile_list()?.len();
            let question = format!(
                "Delete the profiles of this card ({profiles} in all) and its default SM-DP+ address? [yes/no]"
            );
            confirm(args, &question)?;
            let deleted = lpa.purge()?;
            Ok(json!({"purged": deleted, "profiles_before": profiles}))
        }
        Chip::LoadCrl { file } => {
            let list = config::read(file, MAX_CRL, "revocation list")?;
            if !list.starts_with(&[0x30]) {
                let text = format!("{} is not a revocation list in DER", file.display());
                return Err(Fault::usage(text)
                    .hint("openssl crl -in FILE -outform der -out LIST makes one of a PEM file"));
            }
            let (known, missing) = match lpa.load_crl(&list)? {
                Loaded::Known => (true, Vec::new()),
                Loaded::Stored(missing) => (false, missing),
            };
            Ok(json!({"already_known": known, "missing_parts": missing}))
        }
        Chip::DefaultSmdp { address, clear } => {
            let new = match (address, clear) {
                (_, true) => "",
                (Some(address), _) => address.trim(),
                (None, false) => {
                    let info = lpa.chip_info()?;
                    return Ok(json!({"default_smdp": info.default_smdp}));
                }
            };
            if new.len() > MAX_ADDRESS || !(new.is_empty() || crate::lpa::is_authority(new)) {
                let text = format!(
                    "{new:?} is not an SM-DP+ address; give a host name of up to 255 bytes"
                );
                return Err(Fault::usage(text));
            }
            lpa.set_default_smdp(new)?;
            let shown = Some(new).filter(|a| !a.is_empty());
            Ok(json!({"default_smdp": shown}))
        }
    }
}

/// What can't be undone needs a yes, at the terminal or with `--yes`.
fn confirm(args: &Args, question: &str) -> Result<(), Fault> {
    if args.yes {
        return Ok(());
    }
    if !ask::is_terminal() {
        let fault = Fault::new(
            Class::Declined,
            "this can't be undone, and nobody can be asked",
        );
        return Err(fault.hint("Give --yes"));
    }
    match ask::agreed(question) {
        true => Ok(()),
        false => Err(Fault::new(Class::Declined, "nothing was done")),
    }
}

/// Each server that could be asked, with what waits there; fails when none could.
fn discover(
    lpa: &mut Port,
    smdp: Option<&str>,
    smds: Option<&str>,
    args: &Args,
) -> Result<Value, Fault> {
    let mut progress = Progress::of(args);
    let named = smdp.is_some() || smds.is_some();
    let (default, root) = match named {
        true => (None, None),
        false => {
            let info = lpa.chip_info()?;
            (info.default_smdp, info.root_smds)
        }
    };
    let mut found = Vec::new();
    let mut failed = Vec::new();
    let mut first = None;
    let mut asked = 0;
    if let Some(server) = smdp.or(default.as_deref()) {
        asked += 1;
        match lpa.discover_smdp(Some(server), &mut |stage| progress.show(stage)) {
            Ok(None) => {}
            Ok(Some(offer)) => {
                let mut entry = report::offer(&offer);
                entry["source"] = json!("smdp");
                entry["matching_id"] = json!("");
                found.push(entry);
                lpa.postpone(offer);
            }
            Err(error) => note(server, error, &mut failed, &mut first),
        }
    }
    if let Some(server) = smds.or(root.as_deref()) {
        asked += 1;
        match lpa.discover_smds(server, &mut |stage| progress.show(stage)) {
            Ok(events) => found.extend(events.iter().map(|event| {
                json!({"source": "smds", "server": event.server, "matching_id": event.event_id})
            })),
            Err(error) => note(server, error, &mut failed, &mut first),
        }
    }
    match first {
        _ if asked == 0 => Err(LpaError::NoAddress.into()),
        Some(fault) if failed.len() == asked => Err(fault),
        _ => Ok(json!({"found": found, "failed": failed})),
    }
}

fn note(server: &str, error: LpaError, failed: &mut Vec<Value>, first: &mut Option<Fault>) {
    failed.push(json!({"server": server, "error": error.to_string()}));
    first.get_or_insert(error.into());
}

fn on_profile(
    lpa: &mut Port,
    profile: &Profile,
    args: &Args,
    tally: &Tally,
) -> Result<Value, Fault> {
    match profile {
        Profile::List => Ok(report::profiles(&lpa.profile_list()?)),
        Profile::Download {
            code,
            smdp,
            matching_id,
            confirmation_code,
            preview,
            enable,
            wait,
        } => {
            let wish = Wish {
                code: code.as_deref(),
                smdp: smdp.as_deref(),
                matching_id: matching_id.as_deref(),
                confirmation_code: confirmation_code.as_deref(),
                preview: *preview,
                wait: Duration::from_secs(*wait),
            };
            match download(lpa, &wish, args)? {
                Done::Previewed(offer) => Ok(offer),
                Done::Installed(done) => {
                    if *enable {
                        lpa.enable(&done.iccid)?;
                    }
                    Ok(report::download(&done, *enable, tally))
                }
            }
        }
        Profile::Enable { profile, .. } => {
            let iccid = iccid_of(lpa, profile)?;
            lpa.enable(&iccid)?;
            Ok(json!({"iccid": iccid.as_str(), "state": "enabled"}))
        }
        Profile::Disable { profile, .. } => {
            let iccid = iccid_of(lpa, profile)?;
            lpa.disable(&iccid)?;
            Ok(json!({"iccid": iccid.as_str(), "state": "disabled"}))
        }
        Profile::Delete { profile } => {
            let iccid = iccid_of(lpa, profile)?;
            lpa.delete(&iccid)?;
            Ok(json!({"iccid": iccid.as_str(), "state": "deleted"}))
        }
        Profile::Nickname { profile, name } => {
            if name.len() > MAX_NICKNAME {
                let got = name.len();
                return Err(Fault::usage(format!(
                    "a nickname has up to {MAX_NICKNAME} bytes, got {got}"
                )));
            }
            let iccid = iccid_of(lpa, profile)?;
            lpa.set_nickname(&iccid, name)?;
            Ok(json!({"iccid": iccid.as_str(), "nickname": name}))
        }
    }
}

fn on_notification(lpa: &mut Port, notification: &Notification) -> Result<Value, Fault> {
    match notification {
        Notification::List => Ok(report::notifications(&lpa.notifications()?)),
        Notification::Process { sequence } => {
            if let Some(sequence) = sequence {
                pending(lpa, *sequence)?;
            }
            delivered(lpa.deliver(*sequence)?)
        }
        Notification::Remove { sequence, .. } => {
            let numbers = match sequence {
                Some(sequence) => {
                    pending(lpa, *sequence)?;
                    vec![*sequence]
                }
                None => {
                    let all = lpa.notifications()?;
                    all.iter().filter_map(|n| n.seq_number).collect()
                }
            };
            for number in &numbers {
                lpa.remove_notification(*number)?;
            }
            Ok(json!({"removed": numbers}))
        }
        Notification::Dump { sequence } => {
            let mut all = lpa.notifications()?.into_iter();
            let entry = all.find(|n| n.seq_number == Some(*sequence));
            let entry = entry.ok_or_else(|| absent(*sequence))?;
            let bytes = lpa
                .notification(*sequence)?
                .ok_or_else(|| absent(*sequence))?;
            let mut value = report::notification(&entry);
            value["notification"] = json!(Base64::<MAX_NOTIFICATION>::new(bytes));
            Ok(value)
        }
        // Done without the card.
        Notification::Replay { .. } => Ok(Value::Null),
    }
}

/// Longest notification that is dumped and replayed, bytes: what a server takes.
const MAX_NOTIFICATION: usize = 16 * 1024;

fn delivered(delivered: Delivered) -> Result<Value, Fault> {
    let Delivered {
        accepted,
        waiting,
        unreadable,
        error,
    } = delivered;
    if waiting.is_empty() && unreadable.is_empty() {
        return Ok(json!({"accepted": accepted}));
    }
    let why = match (&error, waiting.first(), unreadable.first()) {
        (Some(error), ..) => error.to_string(),
        (None, Some((number, why)), _) => format!("{number}: {why}"),
        (None, None, why) => why.cloned().unwrap_or_default(),
    };
    let count = waiting.len() + unreadable.len();
    let text = format!(
        "{} accepted, {count} wait on the card: {why}",
        accepted.len()
    );
    let mut fault = Fault::new(Class::Undelivered, text);
    if let Some(error) = error {
        let cause = Fault::from(error);
        (fault.subject, fault.reason) = (cause.subject, cause.reason);
    }
    Err(fault.hint("Run `notification process` again later; `notification remove` gives one up"))
}

/// A number that is mistyped must not look like a notification that was delivered or removed.
fn pending(lpa: &mut Port, sequence: u64) -> Result<(), Fault> {
    let mut all = lpa.notifications()?.into_iter();
    match all.any(|n| n.seq_number == Some(sequence)) {
        true => Ok(()),
        false => Err(absent(sequence)),
    }
}

fn absent(sequence: u64) -> Fault {
    let text = format!("no notification {sequence} is pending on the card");
    Fault::new(Class::NotFound, text).hint("`notification list` shows those that are")
}

/// Sends a notification that was dumped: our own form, with or without its envelope, and lpac's.
pub(super) fn replay(servers: &mut Servers, file: &Path) -> Result<Value, Fault> {
    let bytes = match file.as_os_str() == "-" {
        true => standard_input()?,
        false => config::read(file, MAX_DUMP, "notification")?,
    };
    let wrong = |what: &str| {
        let text = format!(
            "{}: {what}; give what `notification dump --json` printed",
            file.display()
        );
        Fault::usage(text)
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(&e.to_string()))?;
    let inside = [
        &value["result"],
        &value["payload"]["data"],
        &value["payload"],
    ];
    let object = inside.into_iter().find(|v| v.is_object()).unwrap_or(&value);
    let member = |names: [&str; 2]| names.into_iter().find_map(|name| object.get(name));
    let server = member(["server", "notificationAddress"]).and_then(Value::as_str);
    let server = server.ok_or_else(|| wrong("no server is named"))?;
    let base64 = member(["notification", "pendingNotification"]).cloned();
    let base64 = base64.ok_or_else(|| wrong("no notification is in it"))?;
    let bytes: Base64<MAX_NOTIFICATION> =
        serde_json::from_value(base64).map_err(|e| wrong(&format!("notification: {e}")))?;
    let http: &mut dyn Http = servers;
    crate::delivery::send(http, server, bytes.as_bytes()).map_err(LpaError::from)?;
    Ok(json!({"server": server, "accepted": true}))
}

fn standard_input() -> Result<Vec<u8>, Fault> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().take(MAX_DUMP);
    let read = input.read_to_end(&mut bytes);
    read.map_err(|e| Fault::new(Class::Other, format!("cannot read standard input: {e}")))?;
    Ok(bytes)
}

/// The profile that was meant: an ICCID as it is printed or written on cards, or the AID of its ISD-P.
fn iccid_of(lpa: &mut Port, text: &str) -> Result<Iccid, Fault> {
    match profile_in(text)? {
        Named::Iccid(iccid) => Ok(iccid),
        Named::Aid(aid) => {
            let list = lpa.profile_list()?;
            let found = list
                .iter()
                .find(|p| p.info.isdp_aid.as_deref() == Some(&aid));
            let iccid = found.and_then(|p| p.info.iccid);
            let iccid = iccid.and_then(|bytes| Iccid::from_bcd(&bytes).ok());
            iccid.ok_or_else(|| {
                let text = "no profile with this AID and a readable ICCID is on the card";
                Fault::new(Class::NotFound, text)
                    .hint("`profile list` shows the profiles on the card")
            })
        }
    }
}

/// How a profile was named.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Iccid(Iccid),
    Aid(Vec<u8>),
}

fn profile_in(text: &str) -> Result<Named, Fault> {
    let separators = |c: &char| !c.is_whitespace() && *c != '-';
    let plain: String = text.chars().filter(separators).collect();
    let plain = plain.to_ascii_uppercase();
    // Registered application providers begin with A.
    if plain.starts_with('A') && (10..=32).contains(&plain.len()) && plain.len().is_multiple_of(2) {
        let digit = |c: char| c.to_digit(16).map(|d| d as u8);
        let digits: Option<Vec<u8>> = plain.chars().map(digit).collect();
        if let Some(digits) = digits {
            let aid = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
            return Ok(Named::Aid(aid.collect()));
        }
    }
    // The filler of cards, where somebody copied their bytes.
    let digits = plain.trim_end_matches('F');
    if let Some((place, letter)) = digits.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        return Err(Fault::usage(format!(
            "{text:?} is not an ICCID: an ICCID has digits only, and there is {letter:?} at place {}",
            place + 1
        )));
    }
    let wrong = |e| Fault::usage(format!("{text:?} is not an ICCID: {e}"));
    digits.parse().map(Named::Iccid).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_by_iccid_or_aid() {
        let iccid = |text: &str| Ok(Named::Iccid(text.parse().expect("ICCID")));
        for text in [
            "8949010000000000001",
            " 8949010000000000001\n",
            "8949 0100 0000 0000 001",
            "8949-0100-0000-0000-001",
            "8949010000000000001F",
            "8949010000000000001f",
        ] {
            assert_eq!(profile_in(text), iccid("8949010000000000001"), "{text:?}");
        }
        assert_eq!(
            profile_in("894901000000000001"),
            iccid("894901000000000001")
        );
        let aid = profile_in("a0000005591010ffffffff8900001000").expect("AID");
        assert!(matches!(aid, Named::Aid(aid) if aid.len() == 16));
    }

    #[test]
    fn letters_in_an_iccid_are_named() {
        for (text, letter, place) in [
            ("89490100O0000000001", 'O', 9),
            ("89490100000000000x1", 'X', 18),
            ("894901F000000000001", 'F', 7),
            ("8949\u{1b}010000000000", '\u{1b}', 5),
            ("abc", 'A', 1),
        ] {
            let fault = profile_in(text).expect_err(text);
            assert_eq!(fault.class, Class::Usage);
            let expected = format!("digits only, and there is {letter:?} at place {place}");
            assert!(fault.message.contains(&expected), "{}", fault.message);
        }
        for text in ["", "8949", "F", "123456789012345678901234"] {
            let fault = profile_in(text).expect_err(text);
            assert!(
                fault.message.contains("18 to 22 digits"),
                "{}",
                fault.message
            );
        }
    }
}
