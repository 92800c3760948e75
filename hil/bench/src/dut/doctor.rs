//! `aid-hil doctor`: what a device under test needs of this machine, what of it is missing, and how to get it.

use super::pin::Driver;
use super::{Agent, Dut};
use aid_cli::cli::{self, Failure};
use aid_port::Address;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `aid-hil doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The device's file; default: the simulated device.
    dut: Option<PathBuf>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// The part of the device that was looked at.
    name: String,
    ok: bool,
    /// Without it nothing runs; otherwise some scenarios are skipped.
    required: bool,
    /// What there is, or how to get it.
    text: String,
}

/// Looks at everything.
///
/// # Errors
/// Something that is required is missing.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    let dut = Dut::load(args.dut.as_deref())?;
    let findings = findings(&dut);
    let bad = findings.iter().filter(|f| f.required && !f.ok).count();
    if args.json {
        let json = serde_json::json!({"name": dut.name, "ok": bad == 0, "findings": findings});
        cli::print(&format!("{json}\n"))?;
    } else {
        let line = |f: &Finding| {
            let word = match (f.ok, f.required) {
                (true, _) => "ok",
                (false, true) => "MISSING",
                (false, false) => "absent",
            };
            format!("{word:<8} {:<22} {}\n", f.name, f.text)
        };
        cli::print(&findings.iter().map(line).collect::<String>())?;
    }
    match bad {
        0 => Ok(()),
        bad => Err(Failure::new(format!(
            "{}: {bad} things are missing; each line says how to get it",
            dut.name
        ))),
    }
}

/// A program on the PATH, or where Debian keeps those of root.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn file(name: &str, file: &str, how: &str) -> Finding {
    let ok = Path::new(file).exists();
    Finding {
        name: name.into(),
        ok,
        required: true,
        text: match ok {
            true => file.to_owned(),
            false => format!("there is no {file}; {how}"),
        },
    }
}

fn tool(name: &str, required: bool, how: &str) -> Finding {
    let found = program(name);
    Finding {
        name: format!("program {name}"),
        ok: found.is_some(),
        required,
        text: found.map_or_else(|| how.to_owned(), |p| p.display().to_string()),
    }
}

fn findings(dut: &Dut) -> Vec<Finding> {
    let mut list = Vec::new();
    match &dut.agent {
        Agent::Here => list.push(Finding {
            name: "agent".into(),
            ok: true,
            required: true,
            text: "aid-agent is in this program, and is started here".into(),
        }),
        Agent::Ssh { host } => list.push(tool(
            "ssh",
            true,
            &format!("needed to reach {host}; apt-get install openssh-client"),
        )),
        Agent::Console { device } => list.push(file(
            "console",
            device,
            "plug the adapter in; `dmesg` says which tty it is",
        )),
    }
    if dut.is_simulated_card() {
        list.push(Finding {
            name: "euicc".into(),
            ok: true,
            required: true,
            text: "euicc-sim is in this program, and is started here".into(),
        });
    } else {
        list.push(card(&dut.euicc.port));
    }
    for (name, driver) in [
        ("power", Some(&dut.power)),
        ("ignition", dut.ignition.as_ref()),
        ("reset", dut.reset.as_ref()),
    ] {
        if let Some(driver) = driver {
            list.push(line(name, driver));
        }
    }
    if !dut.bearer.interface.is_empty() {
        let place = format!("/sys/class/net/{}", dut.bearer.interface);
        list.push(file("bearer", &place, "`ip link` lists the interfaces"));
    }
    if let Some(why) = dut.missing() {
        list.push(Finding {
            name: "scenarios".into(),
            ok: false,
            required: true,
            text: why,
        });
    }
    list.push(tool(
        "mosquitto",
        false,
        "scenarios at a broker are skipped; apt-get install mosquitto",
    ));
    list.push(tool(
        "cc",
        false,
        "scenarios that move clocks or fill disks are skipped; apt-get install gcc",
    ));
    list
}

fn card(port: &str) -> Finding {
    let how = "plug it in; docs/euicc.md says which device takes commands";
    match port.parse::<Address>() {
        Ok(
            Address::At { tty: device, .. }
            | Address::Spi { device, .. }
            | Address::I2c { device, .. },
        ) => file("euicc", &device.display().to_string(), how),
        Ok(_) => Finding {
            name: "euicc".into(),
            ok: true,
            required: true,
            text: format!("{port}; `aid-lpa --euicc {port} chip info` asks it who it is"),
        },
        Err(e) => Finding {
            name: "euicc".into(),
            ok: false,
            required: true,
            text: e.to_string(),
        },
    }
}

fn line(name: &str, driver: &Driver) -> Finding {
    match driver {
        Driver::None => Finding {
            name: name.into(),
            ok: false,
            required: false,
            text: format!(
                "nothing drives it, so scenarios that need it are skipped; [{name}] by = \"simulated\", \"gpio\" or \"command\""
            ),
        },
        Driver::Simulated => Finding {
            name: name.into(),
            ok: true,
            required: true,
            text: "a simulated pin: SIGKILL, and a new start".into(),
        },
        Driver::Gpio { chip, line, .. } if cfg!(feature = "gpio") => {
            let mut found = file(
                name,
                chip,
                "`gpiodetect` of the package gpiod lists the chips",
            );
            found.text = format!("line {line} of {}", found.text);
            found
        }
        Driver::Gpio { chip, line, .. } => Finding {
            name: name.into(),
            ok: false,
            required: true,
            text: format!("line {line} of {chip} needs an aid-hil built with --features gpio"),
        },
        Driver::Command { on, .. } => tool(
            on.first().map_or("", String::as_str),
            true,
            &format!("the program that [{name}] names is not on the PATH; install it"),
        ),
    }
}
