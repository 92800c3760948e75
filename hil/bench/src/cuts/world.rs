//! The servers of one run, and three drivers who are linked to subscriptions.

use crate::fleet;
use crate::process::{Part, Spawn};
use crate::site::{More, Options, Site};
use crate::story::{books, browser};
use aid_cli::cli::{Failure, LogArgs};
use std::path::Path;

/// Profiles that the SM-DP+ can make: more than a run orders.
const PROFILES: u32 = 200;

/// A set-up with running servers.
#[derive(Debug)]
pub(super) struct World {
    pub(super) site: Site,
    /// In the order in which they were started.
    servers: Vec<Part>,
}

impl World {
    /// Starts SM-DP+, MSP and CMP in an empty directory.
    pub(super) fn start(dir: &Path, logs: &LogArgs) -> Result<Self, Failure> {
        let options = Options {
            more: More {
                drivers: 2,
                ..More::default()
            },
            ..Options::default()
        };
        let site = Site::create(dir, options)?;
        site.make_logs()?;
        fleet::configure(&site, PROFILES)?;
        books::enrol(&site)?;
        let mut servers = Vec::new();
        for (program, config) in [
            ("aid-smdp", "smdp.toml"),
            ("aid-msp", "msp.toml"),
            ("aid-cmp", "cmp.toml"),
        ] {
            servers.push(start(&site, program, &["serve", "--config", config], logs)?);
        }
        for driver in &site.drivers {
            browser::onboard(&site, driver)?;
        }
        books::poll("the federation of all accounts", || {
            let list = books::list(&site, "aid-cmp", "cmp.toml", "federation")?;
            Ok(list.len() >= site.drivers.len())
        })?;
        Ok(Self { site, servers })
    }

    /// Ends the servers, those that call first.
    pub(super) fn stop(mut self) {
        while let Some(mut server) = self.servers.pop() {
            server.stop();
        }
    }
}

/// Starts a part of the set-up.
pub(super) fn start(
    site: &Site,
    program: &'static str,
    args: &[&str],
    logs: &LogArgs,
) -> Result<Part, Failure> {
    Part::start(Spawn {
        program,
        suffix: "",
        args,
        dir: &site.dir,
        log: &logs.log,
        trace: logs.trace,
        counted: false,
    })
}
