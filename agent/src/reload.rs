//! What a changed configuration changes without a restart: the link to the CMP, with its address, certificate and key.
//! Also what the agent reports to the supervisor.

use crate::boot_clock;
use crate::config::{BearerList, Config};
use crate::daemon::{Daemon, check_eid};
use crate::dialer::Dialer;
use aid_agent_core::Event;
use std::sync::Arc;

impl Daemon {
    /// Takes a new configuration over. What needs a restart is named in the log; a `[cmp]` that can't be used leaves the
    /// present link alone.
    pub(crate) async fn reload(&mut self, config: &mut Config, new: Config) {
        self.supervisor.reloading();
        match self.replace_link(&new, &config.bearer).await {
            Ok(()) => {
                for name in needs_restart(config, &new) {
                    tracing::warn!(
                        "{name} has changed in the configuration: restart the agent for it"
                    );
                }
                self.config.cmp = new.cmp.clone();
                config.cmp = new.cmp;
                tracing::info!("configuration read again");
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration can't be used; the earlier one stays");
            }
        }
        self.supervisor.ready();
    }

    /// Connects anew, also when the names of the files are the same: their content may not be. The bearers stay, as those
    /// of the LPA do.
    async fn replace_link(&mut self, new: &Config, bearers: &BearerList) -> Result<(), String> {
        if let Some(eid) = &self.eid {
            check_eid(eid, new).map_err(|e| e.to_string())?;
        }
        let dialer = Dialer::new(&new.cmp, bearers.bearers())?;
        dialer.load().map_err(|e| e.to_string())?;
        self.dialer = Some(Arc::new(dialer));
        self.renew_credentials(new);
        // After a factory reset the car has keys again.
        self.event(Event::SetUp);
        match self.link {
            Some(_) => self.restart_link().await,
            None if self.agent.profiles().is_some() => self.start_link(),
            None => {}
        }
        Ok(())
    }

    /// Feeds the watchdog when it is time, and says in one line how the agent is.
    pub(crate) fn tell_supervisor(&mut self) {
        let figures = self.counters.read();
        if self.watchdog.due(boot_clock::now(), figures) {
            self.supervisor.alive();
        }
        let link = if self.link_up { "up" } else { "down" };
        let card = match (&self.card_trouble, self.agent.profiles()) {
            (Some(trouble), _) => trouble.text.as_str(),
            (None, Some(_)) => "present",
            (None, None) => "not read yet",
        };
        let journal = self.store.failure().map_or("works", |f| f.text.as_str());
        let line = format!("link {link}; card {card}; journal {journal}");
        if line != self.status {
            self.supervisor.status(&line);
            self.status = line;
        }
    }
}

/// Tables and keys of the configuration that are looked at when the agent starts only.
fn needs_restart<'a>(old: &Config, new: &Config) -> Vec<&'a str> {
    let changed = [
        ("journal", old.journal != new.journal),
        ("api", old.api != new.api),
        ("api_uids", old.api_uids != new.api_uids),
        ("dbus", old.dbus != new.dbus),
        ("[euicc]", old.euicc != new.euicc),
        ("[device]", old.device != new.device),
        ("[rsp]", old.rsp != new.rsp),
        ("[bearer]", old.bearer != new.bearer),
        ("op_interface", old.op_interface != new.op_interface),
        ("[session]", old.session != new.session),
    ];
    let names = changed.into_iter().filter(|(_, is)| *is);
    names.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_that_needs_a_restart_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let load = |text: &str| {
            let file = folder.path().join("agent.toml");
            std::fs::write(&file, text).expect("write");
            Config::load(&file).expect("valid")
        };
        let example = crate::config::EXAMPLE;
        let old = load(example);
        assert!(needs_restart(&old, &old).is_empty());
        let cmp = load(&example.replace("localhost:8883", "localhost:8884"));
        assert!(needs_restart(&old, &cmp).is_empty());
        for (name, from, to) in [
            ("journal", "journal = \"journal\"", "journal = \"other\""),
            ("api", "api = \"agent.sock\"", "api = \"a.sock\""),
            ("api_uids", "# api_uids", "api_uids"),
            ("[rsp]", "private_smdp = false", "private_smdp = true"),
            ("[session]", "grace_s = 600", "grace_s = 5"),
            ("[bearer]", "source = \"\"", "source = \"127.0.0.1\""),
        ] {
            let new = load(&example.replace(from, to));
            assert_eq!(needs_restart(&old, &new), [name]);
        }
    }
}
