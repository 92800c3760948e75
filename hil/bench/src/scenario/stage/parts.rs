//! The parts of a set-up by the names that scenarios use, and the links between them.

use super::super::control::Control;
use super::super::given::Given;
use super::super::trace::Watch;
use super::Stage;
use crate::process::{Extras, Part, Spawn};
use crate::site::Site;
use aid_cli::cli::Failure;
use aid_needs::shim::Shim;
use std::path::Path;

/// Links by name; cars have one each to the CMP.
pub(crate) const LINKS: [&str; 5] = ["car-cmp", "car-smdp", "msp-smdp", "cmp-msp", "msp-cmp"];

/// The name of a link, which is a car's own where it is to the CMP.
pub(super) fn link_name(link: &str, car: usize) -> String {
    match link {
        "car-cmp" => format!("car-{car}-cmp"),
        other => other.to_owned(),
    }
}

/// Where a link leads to.
pub(super) fn link_target(site: &Site, name: &str) -> u16 {
    match name {
        "car-smdp" => site.ports.es9,
        "msp-smdp" => site.ports.es2,
        "cmp-msp" => site.ports.msp_aid1,
        "msp-cmp" => site.ports.cmp_aid1,
        _ => site.ports.gateway,
    }
}

/// Program and suffix of a part.
fn program(name: &str) -> Result<(&'static str, String), Failure> {
    let program = match name.split('-').next().unwrap_or_default() {
        "cmp" => "aid-cmp",
        "msp" => "aid-msp",
        "smdp" => "aid-smdp",
        "car" => "aid-agent",
        "card" => "euicc-sim",
        _ => return Err(Failure::new(format!("there is no part {name:?}"))),
    };
    let suffix = match name.rsplit_once('-').map(|(_, n)| n) {
        None | Some("1") => String::new(),
        Some(number) => format!("-{number}"),
    };
    Ok((program, suffix))
}

fn edit(file: &Path, change: impl FnOnce(&str) -> String) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
    Ok(aid_cli::private::write(file, change(&text).as_bytes())?)
}

/// A configuration of a card with these quirks.
fn with_quirks(text: &str, quirks: &[String], seed: u64) -> String {
    let list: Vec<String> = quirks
        .iter()
        .map(|q| toml::Value::from(q.as_str()).to_string())
        .collect();
    // Positive, as TOML numbers are.
    let seed = seed & 0x7fff_ffff;
    let card = format!("[card]\nquirks = [{}]\nseed = {seed}\n", list.join(", "));
    let kept: Vec<&str> = text
        .lines()
        .filter(|l| !l.starts_with("quirks = ") && !l.starts_with("seed = "))
        .collect();
    let text = kept.join("\n") + "\n";
    match text.contains("[card]\n") {
        true => text.replace("[card]\n", &card),
        false => format!("{text}\n{card}"),
    }
}

impl Stage {
    /// Changes the configurations as the scenario wants them, before any part runs.
    pub(super) fn prepare(&mut self, given: &Given) -> Result<(), Failure> {
        edit(&self.site.path("msp.toml"), |text| {
            format!("{text}\n[control]\nlisten = \"127.0.0.1:0\"\n")
        })?;
        if given.at {
            let modem = self.site.path("modem").display().to_string();
            let address = toml::Value::from(format!("at:{modem}")).to_string();
            edit(&self.site.path("euicc.toml"), |text| {
                text.replacen("\nlisten = ", "\nat = \"modem\"\nlisten = ", 1)
            })?;
            let socket = format!("socket = \"127.0.0.1:{}\"", self.site.ports.euicc);
            edit(&self.site.path("agent.toml"), |text| {
                text.replace(&socket, &format!("port = {address}"))
            })?;
        }
        if !given.quirks.is_empty() {
            self.set_quirks(0, &given.quirks)?;
        }
        for part in &given.shims {
            if let Some(shim) = Shim::new() {
                self.shims.insert(part.clone(), shim);
            }
        }
        Ok(())
    }

    /// How a card misbehaves from its next start on.
    pub(super) fn set_quirks(&self, car: usize, quirks: &[String]) -> Result<(), Failure> {
        let (_, suffix) = program(&format!("card-{}", car + 1))?;
        let seed = self.seed;
        edit(&self.site.path(&format!("euicc{suffix}.toml")), |text| {
            with_quirks(text, quirks, seed)
        })
    }

    /// Starts a part and waits until it is ready.
    pub(in super::super) fn start(&mut self, name: &str) -> Result<(), Failure> {
        let (program, suffix) = program(name)?;
        let config = match program {
            "aid-agent" => format!("agent{suffix}.toml"),
            "euicc-sim" => format!("euicc{suffix}.toml"),
            _ => format!("{name}.toml"),
        };
        let verb = if program == "aid-agent" {
            "run"
        } else {
            "serve"
        };
        let watch: Watch = self.watch.clone();
        let owned = name.to_owned();
        let environment = self
            .shims
            .get(name)
            .map(Shim::environment)
            .unwrap_or_default();
        let extras = Extras {
            environment: environment
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v))
                .collect(),
            tap: Some(Box::new(move |line| watch.line(&owned, line))),
        };
        let spawn = Spawn {
            program,
            suffix: &suffix,
            args: &[verb, "--config", &config],
            dir: &self.site.dir,
            log: &self.log,
            trace: self.trace,
            counted: false,
        };
        let part = Part::start_with(spawn, extras)?;
        if let Some(address) = part.address("control") {
            self.control = Some(Control::new(&self.site, address)?);
        }
        self.parts.insert(name.to_owned(), part);
        Ok(())
    }

    /// Kills a part (SIGKILL); nothing where it does not run.
    pub(in super::super) fn kill(&mut self, name: &str) {
        if let Some(mut part) = self.parts.remove(name) {
            part.kill();
        }
    }

    /// Asks a part to end, and waits for it.
    pub(in super::super) fn stop(&mut self, name: &str) {
        if let Some(mut part) = self.parts.remove(name) {
            part.stop();
        }
    }

    /// Whether a part runs.
    pub(in super::super) fn runs(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_replace_those_before_and_leave_the_rest() {
        let text = "nvm = \"a\"\n\n[card]\nmemory = 5000\n";
        let once = with_quirks(text, &["slow=5".to_owned()], 7);
        let twice = with_quirks(&once, &["cat-busy".to_owned(), "61xx".to_owned()], 7);
        let value: toml::Value = toml::from_str(&twice).unwrap();
        assert_eq!(value["card"]["memory"].as_integer(), Some(5000));
        assert_eq!(value["card"]["quirks"].as_array().map(Vec::len), Some(2));
        let value: toml::Value = toml::from_str(&with_quirks("nvm = \"a\"\n", &[], 7)).unwrap();
        assert_eq!(value["card"]["quirks"].as_array().map(Vec::len), Some(0));
    }

    #[test]
    fn parts_have_their_programs() {
        assert_eq!(program("car-2").unwrap(), ("aid-agent", "-2".to_owned()));
        assert_eq!(program("card-1").unwrap(), ("euicc-sim", String::new()));
        assert!(program("boat").is_err());
    }
}
