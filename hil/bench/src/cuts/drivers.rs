//! The drivers: they log in one after the other, delete their profile now and then and take another, and log out. They
//! look at the car's status only, so that a car that has lost everything but its journal finds them as they would be.

use super::pause;
use crate::fleet::Random;
use crate::site::Driver;
use crate::story::agent::Agent;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Profiles that a driver deletes: the CMP asks an MSP for ten in an hour for one car and subscription.
const DELETIONS: u32 = 8;
/// Between two looks at the car.
const LOOK: Duration = Duration::from_millis(3);
/// Longest time that a driver drives before they do the next thing, ms.
const DRIVE: u64 = 40;

/// Drivers at work on a thread of their own.
#[derive(Debug)]
pub(super) struct Drivers {
    over: Arc<AtomicBool>,
    logins: Arc<AtomicU64>,
    /// How often a driver was found with their profile enabled.
    drives: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Drivers {
    /// Begins with the car whose API is at this socket.
    pub(super) fn start(socket: PathBuf, drivers: Vec<Driver>, random: Random) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let logins = Arc::new(AtomicU64::new(0));
        let drives = Arc::new(AtomicU64::new(0));
        let (stop, count) = (Arc::clone(&over), Arc::clone(&logins));
        let driven = Arc::clone(&drives);
        let thread = std::thread::spawn(move || {
            let mut crowd = Crowd {
                agent: Agent::at(&socket),
                deletions: vec![0; drivers.len()],
                drivers,
                random,
                who: 0,
                driven,
            };
            while !stop.load(Ordering::Relaxed) {
                if crowd.step() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                pause(LOOK);
            }
        });
        Self {
            over,
            logins,
            drives,
            thread,
        }
    }

    /// Waits until a driver is in the car with their profile enabled, at most so long.
    pub(super) fn wait_for_drive(&self, patience: Duration) {
        let (before, end) = (
            self.drives.load(Ordering::Relaxed),
            Instant::now() + patience,
        );
        while self.drives.load(Ordering::Relaxed) == before && Instant::now() < end {
            pause(LOOK);
        }
    }

    /// Ends the work; yields the number of logins that were begun.
    pub(super) fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.join();
        self.logins.load(Ordering::Relaxed)
    }
}

struct Crowd {
    agent: Agent,
    drivers: Vec<Driver>,
    deletions: Vec<u32>,
    random: Random,
    /// Who is in the car, or was last.
    who: usize,
    driven: Arc<AtomicU64>,
}

impl Crowd {
    /// Does what the status lets a driver do; true where that was a login. The car may be gone at any moment: then the
    /// next step finds out.
    fn step(&mut self) -> bool {
        let Ok(status) = self.agent.status() else {
            return false;
        };
        let session = &status["session"];
        match status["phase"].as_str().unwrap_or_default() {
            "guest" if session.is_null() => {
                self.who = self.random.below(self.drivers.len() as u64) as usize;
                let driver = &self.drivers[self.who];
                return self.agent.login(driver.name, &driver.pin).is_ok();
            }
            "active" => {
                self.driven.fetch_add(1, Ordering::Relaxed);
                pause(Duration::from_millis(self.random.below(DRIVE)));
                self.leave(&status);
            }
            "no_profile" if session["asking"] == true => drop(self.agent.provision()),
            "no_profile" => drop(self.agent.logout()),
            _ => {}
        }
        false
    }

    /// Logs out, or deletes the profile first.
    fn leave(&mut self, status: &Value) {
        let profiles = status["profiles"].as_array();
        let enabled = profiles
            .into_iter()
            .flatten()
            .find(|p| p["state"] == "enabled");
        let iccid = enabled.and_then(|p| p["iccid"].as_str());
        match iccid {
            Some(iccid) if self.deletions[self.who] < DELETIONS && self.random.below(2) == 0 => {
                self.deletions[self.who] += 1;
                let _ = self.agent.delete(iccid);
            }
            _ => drop(self.agent.logout()),
        }
    }
}
