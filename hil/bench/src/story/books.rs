//! What the parts have in their books, asked through their own command lines.

use super::PATIENCE;
use crate::process::{command, spawn_at_gate};
use crate::site::Site;
use aid_cli::cli::Failure;
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Runs a part's command to its end and gives its stdout.
pub(crate) fn output(
    site: &Site,
    program: &str,
    args: &[&str],
    stdin: &str,
) -> Result<String, Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("cannot run {program}: {e}"));
    let mut command = command(program, args, &site.dir)?;
    command
        .env("AID_LOG", "warn")
        .env("AID_TRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn_at_gate(&mut command).map_err(wrong)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that wants no input may have closed it.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    let output = child.wait_with_output().map_err(wrong)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // The first two words name the command; what follows may be a PIN.
    let words = args.get(..2).unwrap_or(args).join(" ");
    Err(Failure::new(format!("{program} {words}: {}", said.trim())))
}

pub(crate) fn list(
    site: &Site,
    program: &str,
    config: &str,
    what: &str,
) -> Result<Vec<Value>, Failure> {
    let args = [what, "list", "--json", "--config", config];
    let text = output(site, program, &args, "")?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| Failure::new(format!("{program} {what} list --json gave {text:?}: {e}")))?;
    match value {
        Value::Array(list) => Ok(list),
        other => Err(Failure::new(format!(
            "{program} {what} list --json gave no list: {other}"
        ))),
    }
}

/// Asks again and again until it is so, at first quickly.
pub(crate) fn poll(
    what: &str,
    mut there: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let (_keep, never) = mpsc::channel::<()>();
    let mut pause = Duration::from_millis(1);
    while !there()? {
        if start.elapsed() > PATIENCE {
            return Err(Failure::new(format!("waited 60 s in vain for {what}")));
        }
        let _ = never.recv_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    Ok(())
}

/// Makes the CMP and the MSP known to the hub, where there is one.
pub(crate) fn connect(site: &Site) -> Result<(), Failure> {
    if !site.has_hub() {
        return Ok(());
    }
    for file in ["hub-msp.toml", "hub-cmp.toml"] {
        let args = [
            "party",
            "add",
            "--replace",
            "--file",
            file,
            "--config",
            "hub.toml",
        ];
        output(site, "aid-hub", &args, "")?;
    }
    Ok(())
}

/// Makes the drivers and the cars known to the CMP.
pub(crate) fn enrol(site: &Site) -> Result<(), Failure> {
    for driver in &site.drivers {
        let user = [
            "user",
            "add",
            driver.name,
            "--password-stdin",
            "--pin-stdin",
            "--config",
            "cmp.toml",
        ];
        output(
            site,
            "aid-cmp",
            &user,
            &format!("{}\n{}\n", driver.password, driver.pin),
        )?;
    }
    for car in &site.cars {
        let vehicle = ["vehicle", "add", &car.eid, "--config", "cmp.toml"];
        output(site, "aid-cmp", &vehicle, "")?;
    }
    Ok(())
}

/// Waits until the CMP has an MSP token for the driver.
pub(super) fn wait_federated(site: &Site) -> Result<(), Failure> {
    poll("the federation of the accounts in the CMP's books", || {
        Ok(!list(site, "aid-cmp", "cmp.toml", "federation")?.is_empty())
    })
}

/// Is this the state of the profile in the last entry about it?
fn last_is(list: &[Value], iccid: &str, state: &str) -> bool {
    let last = list.iter().rev().find(|entry| entry["iccid"] == iccid);
    last.is_some_and(|entry| entry["status"] == state)
}

/// Waits until CMP and MSP have the profile in this state.
pub(super) fn wait_status(site: &Site, state: &str) -> Result<(), Failure> {
    let iccid = &site.subject.iccid;
    poll(
        &format!("profile {iccid} {state} in the CMP's books"),
        || {
            let list = list(site, "aid-cmp", "cmp.toml", "profile")?;
            Ok(last_is(&list, iccid, state))
        },
    )?;
    poll(
        &format!("profile {iccid} {state} in the MSP's books"),
        || {
            let list = list(site, "aid-msp", "msp.toml", "status")?;
            Ok(last_is(&list, iccid, state))
        },
    )
}

/// Waits until the SM-DP+ has the card's notification of the installation.
pub(super) fn wait_notified(site: &Site) -> Result<(), Failure> {
    let iccid = &site.subject.iccid;
    poll(
        &format!("the notification of {iccid} at the SM-DP+"),
        || {
            let list = list(site, "aid-smdp", "smdp.toml", "notification")?;
            Ok(list.iter().any(|n| n["iccid"] == iccid.as_str()))
        },
    )
}
