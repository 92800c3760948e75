//! A set-up with all parts running, and what people do with it: drivers enter and leave cars, cars lose
//! power and coverage, operators look into their books.
//! Used by the scenarios.

use super::Needs;
use super::broker::Broker;
use super::control::Control;
use super::forms::Portal;
use crate::process::{Part, Spawn};
use crate::site::{Driver, Options, Site};
use crate::story::agent::Agent;
use crate::story::{books, browser};
use aid_cli::cli::{Failure, LogArgs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) struct Stage {
    pub(super) site: Site,
    parts: BTreeMap<String, Part>,
    control: Option<Control>,
    log: String,
    trace: bool,
    steps: Vec<String>,
    /// Where cars and CMP meet, if that is not the CMP itself. The last to end.
    _broker: Option<Broker>,
}

/// Servers in the order in which they start.
const SERVERS: [(&str, &str); 3] = [
    ("aid-smdp", "smdp.toml"),
    ("aid-msp", "msp.toml"),
    ("aid-cmp", "cmp.toml"),
];

impl Stage {
    /// Makes the set-up and starts every part; all cars are online then.
    pub(super) fn open(dir: &Path, needs: Needs, logs: &LogArgs) -> Result<Self, Failure> {
        let options = Options {
            async_ac: needs.async_ac,
            hub: needs.hub,
            more: needs.more,
            ..Options::default()
        };
        let site = Site::create(dir, options)?;
        site.make_logs()?;
        if needs.controlled {
            let file = site.path("msp.toml");
            let control = "\n[control]\nlisten = \"127.0.0.1:0\"\n";
            let text = std::fs::read_to_string(&file)? + control;
            aid_cli::private::write(&file, text.as_bytes())?;
        }
        books::enrol(&site)?;
        books::connect(&site)?;
        let broker = match needs.more.broker {
            true => Some(Broker::start(&site)?),
            false => None,
        };
        let mut stage = Self {
            site,
            parts: BTreeMap::new(),
            control: None,
            log: logs.log.clone(),
            trace: logs.trace,
            steps: Vec::new(),
            _broker: broker,
        };
        if stage.site.has_hub() {
            stage.start("aid-hub", "", &["serve", "--config", "hub.toml"])?;
        }
        for (program, config) in SERVERS {
            stage.start(program, "", &["serve", "--config", config])?;
        }
        for n in 0..stage.site.cars.len() {
            let suffix = stage.site.cars[n].suffix.clone();
            let config = format!("euicc{suffix}.toml");
            stage.start("euicc-sim", &suffix, &["serve", "--config", &config])?;
            stage.plug(n)?;
        }
        Ok(stage)
    }

    /// Stops every part and gives what happened.
    pub(super) fn close(mut self) -> Vec<String> {
        // Agents first: nobody is left calling a part that has gone.
        let mut names: Vec<String> = self.parts.keys().cloned().collect();
        names.sort_by_key(|n| !n.starts_with("aid-agent"));
        for name in names {
            if let Some(mut part) = self.parts.remove(&name) {
                part.stop();
            }
        }
        std::mem::take(&mut self.steps)
    }

    /// A failure, and the part that died of it where one did.
    pub(super) fn explain(&mut self, failure: &Failure) -> Failure {
        let dead = self.parts.values_mut().find_map(Part::ended);
        let after = self.steps.last().map_or("the start", String::as_str);
        Failure::new(match dead {
            Some(dead) => format!("after {after:?}: {failure}; {dead}"),
            None => format!("after {after:?}: {failure}"),
        })
    }

    /// Says what has just happened.
    pub(super) fn step(&mut self, text: impl Into<String>) {
        self.steps.push(text.into());
    }

    fn start(&mut self, program: &'static str, suffix: &str, args: &[&str]) -> Result<(), Failure> {
        let part = Part::start(Spawn {
            program,
            suffix,
            args,
            dir: &self.site.dir,
            log: &self.log,
            trace: self.trace,
            counted: false,
        })?;
        if let Some(address) = part.address("control") {
            self.control = Some(Control::new(&self.site, address)?);
        }
        self.parts.insert(format!("{program}{suffix}"), part);
        Ok(())
    }

    // ---- cars --------------------------------------------------------------------------------

    fn agent_name(&self, car: usize) -> String {
        format!("aid-agent{}", self.site.cars[car].suffix)
    }

    /// The local API of a car's agent.
    pub(super) fn car(&self, car: usize) -> Result<Agent, Failure> {
        let suffix = &self.site.cars[car].suffix;
        Agent::connect(&self.site.path(&format!("agent{suffix}.sock")))
    }

    /// Starts a car's agent and waits for its link.
    pub(super) fn plug(&mut self, car: usize) -> Result<(), Failure> {
        let suffix = self.site.cars[car].suffix.clone();
        let config = format!("agent{suffix}.toml");
        self.start("aid-agent", &suffix, &["run", "--config", &config])?;
        self.car(car)?.wait_for_link()
    }

    /// The car is out of reach from now on.
    pub(super) fn unplug(&mut self, car: usize) {
        if let Some(mut part) = self.parts.remove(&self.agent_name(car)) {
            part.stop();
        }
    }

    /// The car's unit loses power (SIGKILL).
    pub(super) fn cut_power(&mut self, car: usize) {
        if let Some(mut part) = self.parts.remove(&self.agent_name(car)) {
            part.kill();
        }
    }

    /// A server dies (SIGKILL) and is started again.
    pub(super) fn crash(&mut self, server: &str) -> Result<(), Failure> {
        let known = SERVERS.iter().find(|(program, _)| *program == server);
        let Some((program, config)) = known else {
            return Err(Failure::new(format!("there is no server {server}")));
        };
        self.halt(program);
        self.start(program, "", &["serve", "--config", config])
    }

    /// A server dies (SIGKILL); [`Self::crash`] starts it again.
    pub(super) fn halt(&mut self, server: &str) {
        if let Some(mut part) = self.parts.remove(server) {
            part.kill();
        }
    }

    /// The journal of a car that is unplugged is lost.
    pub(super) fn lose_journal(&self, car: usize) -> Result<(), Failure> {
        let suffix = &self.site.cars[car].suffix;
        let folder = self.site.path(&format!("state/journal{suffix}"));
        std::fs::remove_dir_all(&folder)
            .map_err(|e| Failure::new(format!("cannot remove {}: {e}", folder.display())))
    }

    /// The ICCIDs on a car's card, as its agent says.
    pub(super) fn card(&self, car: usize) -> Result<Vec<String>, Failure> {
        let status = self.car(car)?.status()?;
        let list = status["profiles"].as_array().into_iter().flatten();
        Ok(list
            .filter_map(|p| p["iccid"].as_str().map(str::to_owned))
            .collect())
    }

    /// Waits until a profile is not on a car's card any more.
    pub(super) fn wait_gone(&self, car: usize, iccid: &str) -> Result<(), Failure> {
        let what = format!("profile {iccid} to leave the card of car {}", car + 1);
        books::poll(&what, || Ok(!self.card(car)?.iter().any(|i| i == iccid)))
    }

    // ---- drivers -----------------------------------------------------------------------------

    pub(super) fn driver(&self, driver: usize) -> Driver {
        self.site.drivers[driver].clone()
    }

    /// A driver links his subscription on the pages of both sides.
    pub(super) fn link(&mut self, driver: usize) -> Result<(), Failure> {
        let who = self.driver(driver);
        let before = self.active(who.name)?;
        browser::onboard(&self.site, &who)?;
        books::poll("another federation in the CMP's books", || {
            Ok(self.active(who.name)? > before)
        })?;
        self.step(format!("{} linked a subscription", who.name));
        Ok(())
    }

    /// Federations of a user that have not ended.
    pub(super) fn active(&self, user: &str) -> Result<usize, Failure> {
        let list = self.cmp_list("federation")?;
        let is = |f: &&Value| f["user"] == user && f["ended_at"].is_null();
        Ok(list.iter().filter(is).count())
    }

    /// A driver logs in; the profile that is enabled then.
    pub(super) fn enter(&mut self, car: usize, driver: usize) -> Result<String, Failure> {
        let who = self.driver(driver);
        let agent = self.car(car)?;
        agent.login(who.name, &who.pin)?;
        let iccid = self.wait_active(car)?;
        agent.wait_until_told()?;
        self.step(format!("{} entered car {}: {iccid}", who.name, car + 1));
        Ok(iccid)
    }

    /// Waits until a profile is enabled in a car.
    pub(super) fn wait_active(&self, car: usize) -> Result<String, Failure> {
        let agent = self.car(car)?;
        agent.wait_status("an enabled profile", |status| status["phase"] == "active")?;
        let status = agent.status()?;
        let list = status["profiles"].as_array().into_iter().flatten();
        let enabled = list.filter(|p| p["state"] == "enabled");
        let iccid = enabled.filter_map(|p| p["iccid"].as_str()).next();
        iccid
            .map(str::to_owned)
            .ok_or_else(|| Failure::new("the car is active without an enabled profile"))
    }

    /// The driver logs out; nothing is enabled then.
    pub(super) fn leave(&mut self, car: usize) -> Result<(), Failure> {
        let agent = self.car(car)?;
        agent.logout()?;
        self.wait_nobody(car)?;
        agent.wait_until_told()?;
        self.step(format!("the driver left car {}", car + 1));
        Ok(())
    }

    /// Waits until nobody is logged in and nothing is enabled.
    pub(super) fn wait_nobody(&self, car: usize) -> Result<(), Failure> {
        self.car(car)?.wait_status("an empty car", |status| {
            let list = status["profiles"].as_array().into_iter().flatten();
            status["session"].is_null()
                && status["phase"] == "guest"
                && list.clone().all(|p| p["state"] != "enabled")
        })
    }

    /// The CMP's pages as a driver uses them.
    pub(super) fn portal(&self, driver: usize) -> Result<Portal, Failure> {
        Portal::sign_in(&self.site, &self.driver(driver))
    }

    /// The control API of the MSP, in scenarios that need it.
    pub(super) fn control(&self) -> Result<&Control, Failure> {
        let missing = || Failure::new("the scenario has to say that the MSP is controlled");
        self.control.as_ref().ok_or_else(missing)
    }

    // ---- books -------------------------------------------------------------------------------

    /// A list of the CMP.
    pub(super) fn cmp_list(&self, what: &str) -> Result<Vec<Value>, Failure> {
        books::list(&self.site, "aid-cmp", "cmp.toml", what)
    }

    /// A list of the MSP.
    pub(super) fn msp_list(&self, what: &str) -> Result<Vec<Value>, Failure> {
        books::list(&self.site, "aid-msp", "msp.toml", what)
    }

    /// A command of the CMP's operator.
    pub(super) fn cmp(&self, args: &[&str]) -> Result<String, Failure> {
        let args = [args, &["--config", "cmp.toml"]].concat();
        books::output(&self.site, "aid-cmp", &args, "")
    }

    /// A command of the MSP's operator.
    pub(super) fn msp(&self, args: &[&str]) -> Result<String, Failure> {
        let args = [args, &["--config", "msp.toml"]].concat();
        books::output(&self.site, "aid-msp", &args, "")
    }

    /// The last entry about a profile in a list.
    fn last(list: &[Value], iccid: &str) -> Option<Value> {
        list.iter().rev().find(|e| e["iccid"] == iccid).cloned()
    }

    /// Waits until the CMP has the profile in this state.
    pub(super) fn wait_at_cmp(&self, iccid: &str, state: &str) -> Result<(), Failure> {
        books::poll(&format!("{iccid} {state} at the CMP"), || {
            let last = Self::last(&self.cmp_list("profile")?, iccid);
            Ok(last.is_some_and(|p| p["status"] == state))
        })
    }

    /// Waits until the MSP was last told this state of the profile.
    pub(super) fn wait_told(&self, iccid: &str, state: &str) -> Result<(), Failure> {
        books::poll(&format!("the MSP to hear that {iccid} is {state}"), || {
            let last = Self::last(&self.msp_list("status")?, iccid);
            Ok(last.is_some_and(|p| p["status"] == state))
        })
    }

    /// The profile went: from the card, in the CMP's books, and the MSP heard so, once.
    pub(super) fn wait_deleted(&mut self, car: usize, iccid: &str) -> Result<(), Failure> {
        self.wait_gone(car, iccid)?;
        self.car(car)?.wait_until_told()?;
        self.wait_at_cmp(iccid, "deleted")?;
        self.wait_told(iccid, "deleted")?;
        let told = self.msp_list("status")?;
        let is = |s: &&Value| s["iccid"] == iccid && s["status"] == "deleted";
        let count = told.iter().filter(is).count();
        if count != 1 {
            return Err(Failure::new(format!(
                "the MSP heard {count} times that {iccid} was deleted"
            )));
        }
        self.step(format!("{iccid} left car {}, all sides know", car + 1));
        Ok(())
    }

    /// Waits until no order is open.
    pub(super) fn wait_no_orders(&self) -> Result<(), Failure> {
        books::poll("every order to be closed", || {
            let open = |o: &Value| o["state"] == "open";
            Ok(!self.cmp_list("order")?.iter().any(open))
        })
    }

    /// The statuses that the MSP was told of a profile, in order.
    pub(super) fn told(&self, iccid: &str) -> Result<Vec<String>, Failure> {
        let list = self.msp_list("status")?;
        let about = list.iter().filter(|s| s["iccid"] == iccid);
        Ok(about
            .filter_map(|s| s["status"].as_str().map(str::to_owned))
            .collect())
    }
}

/// A claim about what was seen.
pub(super) fn expect(is: bool, what: impl Into<String>) -> Result<(), Failure> {
    if is { Ok(()) } else { Err(Failure::new(what)) }
}
