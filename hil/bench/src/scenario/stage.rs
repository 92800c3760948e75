//! A set-up with all parts running, links between them, and what people do with it: users enter and leave cars, cars lose
//! power and coverage, operators look into their books.

mod books;
mod cars;
mod faults;
mod parts;

use super::broker::Broker;
use super::control::Control;
use super::given::Given;
use super::trace::Watch;
use crate::dut::Dut;
use crate::link::{Link, Reserved};
use crate::process::Part;
use crate::site::{Dial, Driver, Options, Site};
use crate::story::books as told;
use aid_cli::cli::{Failure, LogArgs};
use aid_needs::shim::Shim;
use cars::Log;
pub(super) use cars::is_empty;
pub(super) use parts::LINKS;
use std::collections::BTreeMap;
use std::path::Path;

/// A set-up while a scenario is played on it.
pub(super) struct Stage {
    pub(super) site: Site,
    parts: BTreeMap<String, Part>,
    links: BTreeMap<String, Link>,
    shims: BTreeMap<String, Shim>,
    control: Option<Control>,
    /// What each car's HMI showed.
    hmi: Vec<Log>,
    /// What passed between the parts.
    pub(super) watch: Watch,
    log: String,
    trace: bool,
    /// The last event of the MSP before it was asked to misbehave.
    pub(super) before: i64,
    seed: u64,
    dut: Dut,
    /// Where cars and CMP meet, if that is not the CMP itself. The last to end.
    _broker: Option<Broker>,
}

/// How a scenario is played.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) logs: &'a LogArgs,
    pub(super) seed: u64,
    pub(super) hostile: bool,
    pub(super) dut: &'a Dut,
}

impl Stage {
    /// Makes the set-up and starts every part; all cars are online then.
    pub(super) fn open(
        dir: &Path,
        given: &Given,
        manner: Manner<'_>,
        watch: Watch,
    ) -> Result<Self, Failure> {
        let mut reserved = BTreeMap::new();
        let mut port = |name: String| -> Result<u16, Failure> {
            let free = Reserved::new()?;
            let port = free.port()?;
            reserved.insert(name, free);
            Ok(port)
        };
        let dial = Dial {
            es9: port("car-smdp".into())?,
            es2: port("msp-smdp".into())?,
            msp_aid1: port("cmp-msp".into())?,
            cmp_aid1: port("msp-cmp".into())?,
            gateway: (1..=given.cars)
                .map(|n| port(parts::link_name("car-cmp", n)))
                .collect::<Result<_, _>>()?,
        };
        let options = Options {
            async_ac: given.codes == "later",
            more: given.more(),
            dial: Some(&dial),
            ..Options::default()
        };
        let site = Site::create(dir, options)?;
        site.make_logs()?;
        let mut links = BTreeMap::new();
        let hostile = manner.hostile && given.hostile;
        for (name, free) in reserved {
            let target = parts::link_target(&site, &name);
            links.insert(name, Link::open(free, target, hostile, manner.seed)?);
        }
        told::enrol(&site)?;
        let broker = match given.mosquitto {
            true => Some(Broker::start(&site)?),
            false => None,
        };
        let mut stage = Self {
            hmi: site.cars.iter().map(|_| Log::default()).collect(),
            site,
            parts: BTreeMap::new(),
            links,
            shims: BTreeMap::new(),
            control: None,
            watch,
            log: manner.logs.log.clone(),
            trace: manner.logs.trace,
            before: 0,
            seed: manner.seed,
            dut: manner.dut.clone(),
            _broker: broker,
        };
        stage.prepare(given)?;
        for server in ["smdp", "msp", "cmp"] {
            stage.start(server)?;
        }
        for n in 0..given.cars {
            stage.start(&format!("card-{}", n + 1))?;
            stage.plug(n)?;
        }
        for user in &given.linked {
            let index = super::kind::USERS
                .iter()
                .position(|u| u == user)
                .unwrap_or(0);
            stage.link_account(index)?;
        }
        Ok(stage)
    }

    /// Stops every part; the bytes that passed between them.
    pub(super) fn close(mut self) -> u64 {
        // Agents first: nobody is left calling a part that has gone.
        let mut names: Vec<String> = self.parts.keys().cloned().collect();
        names.sort_by_key(|n| !n.starts_with("car-"));
        for name in names {
            if let Some(mut part) = self.parts.remove(&name) {
                part.stop();
            }
        }
        self.links.values().map(Link::bytes).sum()
    }

    /// Faults of links that a scenario asked for and that never happened.
    pub(super) fn missed(&self) -> Vec<String> {
        let of = |(name, link): (&String, &Link)| -> Vec<String> {
            link.missed()
                .iter()
                .map(|fault| format!("{fault} on {name}"))
                .collect()
        };
        self.links.iter().flat_map(of).collect()
    }

    /// A part that has ended by itself, in its own words.
    pub(super) fn dead(&mut self) -> Option<String> {
        let dead = self.parts.values_mut().find_map(Part::ended)?;
        Some(dead.text)
    }

    /// A user of the set-up.
    pub(super) fn driver(&self, user: &str) -> Result<Driver, Failure> {
        let found = self.site.drivers.iter().find(|d| d.name == user);
        found.cloned().ok_or_else(|| {
            Failure::new(format!(
                "there is no user {user:?}; [given] users says how many there are"
            ))
        })
    }

    /// The control API of the MSP.
    pub(super) fn control(&self) -> Result<&Control, Failure> {
        let missing = || Failure::new("the MSP does not run; start it first");
        self.control.as_ref().ok_or_else(missing)
    }
}
