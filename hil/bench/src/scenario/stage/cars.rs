//! Cars of a set-up: their power, their HMI, their cards.

use super::Stage;
use crate::story::agent::Agent;
use crate::story::{books, browser};
use aid_cli::cli::Failure;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What a car's HMI showed, and how far a scenario has looked.
#[derive(Default)]
pub(super) struct Log {
    events: Arc<Mutex<Vec<Value>>>,
    seen: usize,
}

impl Stage {
    fn car_name(car: usize) -> String {
        format!("car-{}", car + 1)
    }

    /// The local API of a car's agent.
    pub(in super::super) fn car(&self, car: usize) -> Result<Agent, Failure> {
        let place = self
            .site
            .cars
            .get(car)
            .ok_or_else(|| Failure::new(format!("there is no car {}", car + 1)))?;
        Agent::connect(&self.site.path(&format!("agent{}.sock", place.suffix)))
    }

    /// Starts a car's agent and follows what its HMI shows.
    pub(in super::super) fn ignite(&mut self, car: usize) -> Result<(), Failure> {
        self.dut.power_on()?;
        self.start(&Self::car_name(car))?;
        let events = self.car(car)?.events()?;
        let kept = Arc::clone(&self.hmi[car].events);
        let watch = self.watch.clone();
        let name = Self::car_name(car);
        std::thread::Builder::new()
            .name("hmi".into())
            .spawn(move || {
                events.follow(|event| {
                    watch.event(&name, &event);
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(event);
                });
            })?;
        Ok(())
    }

    /// The same, and waits for its link.
    pub(in super::super) fn plug(&mut self, car: usize) -> Result<(), Failure> {
        self.ignite(car)?;
        self.car(car)?.wait_for_link()
    }

    /// The car's unit loses power: its pin goes low, which a simulated one answers with SIGKILL.
    pub(in super::super) fn cut_power(&mut self, car: usize) -> Result<(), Failure> {
        let name = Self::car_name(car);
        let process = self.parts.get(&name).map(crate::process::Part::id);
        self.dut.power_off(process)?;
        self.kill(&name);
        Ok(())
    }

    /// From here on only what an HMI shows now is looked at.
    pub(in super::super) fn forget_events(&mut self) {
        for log in &mut self.hmi {
            log.seen = log
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .len();
        }
    }

    /// The next event with one of these names that fits, if it was shown; the names of those that were.
    pub(in super::super) fn next_event(
        &mut self,
        car: usize,
        fits: impl Fn(&Value) -> bool,
    ) -> (Option<Value>, Vec<String>) {
        let log = &mut self.hmi[car];
        let events = log.events.lock().unwrap_or_else(PoisonError::into_inner);
        let new = events.get(log.seen..).unwrap_or_default();
        let names = new
            .iter()
            .filter_map(|e| e["event"].as_str().map(str::to_owned))
            .collect();
        let found = new.iter().position(fits);
        let event = found.map(|n| new[n].clone());
        let seen = found.map(|n| log.seen + n + 1);
        drop(events);
        log.seen = seen.unwrap_or(log.seen);
        (event, names)
    }

    /// The ICCIDs on a car's card, as its agent says.
    pub(in super::super) fn card(&self, car: usize) -> Result<Vec<String>, Failure> {
        let status = self.car(car)?.status()?;
        let list = status["profiles"].as_array().into_iter().flatten();
        Ok(list
            .filter_map(|p| p["iccid"].as_str().map(str::to_owned))
            .collect())
    }

    /// Waits until a profile is enabled in a car; its ICCID.
    pub(in super::super) fn wait_active(&self, car: usize) -> Result<String, Failure> {
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

    /// Waits until nobody is logged in and nothing is enabled.
    pub(in super::super) fn wait_nobody(&self, car: usize) -> Result<(), Failure> {
        self.car(car)?.wait_status("an empty car", is_empty)
    }

    /// A user links their subscription on the pages of both sides.
    pub(in super::super) fn link_account(&mut self, driver: usize) -> Result<(), Failure> {
        let who = self.site.drivers[driver].clone();
        let before = self.active(who.name)?;
        browser::onboard(&self.site, &who)?;
        books::poll("another federation in the CMP's books", || {
            Ok(self.active(who.name)? > before)
        })
    }

    /// Federations of a user that have not ended.
    pub(in super::super) fn active(&self, user: &str) -> Result<usize, Failure> {
        let list = self.cmp_list("federation")?;
        let is = |f: &&Value| f["user"] == user && f["ended_at"].is_null();
        Ok(list.iter().filter(is).count())
    }
}

/// Nobody is logged in, and no profile is enabled.
pub(in super::super) fn is_empty(status: &Value) -> bool {
    let list = status["profiles"].as_array().into_iter().flatten();
    status["session"].is_null()
        && status["phase"] == "guest"
        && list.clone().all(|p| p["state"] != "enabled")
}
