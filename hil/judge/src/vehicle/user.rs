//! What people do to the vehicle: log in and out, delete a profile, switch ignition and power.

use super::rig::Rig;
use super::target::Switch;
use crate::aid1::Hook;
use crate::rsp::findings::Checked;
use crate::test::Finding;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest time of one call of the vehicle's API.
const CALL: Duration = Duration::from_secs(10);

/// What a user does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed<'a> {
    Login { user: &'a str, pin: &'a str },
    LoginByCode,
    Logout,
    Delete { iccid: &'a str },
}

impl Rig {
    /// A user does something; what comes of it shows on AID2. A command may end with a failure where the vehicle refuses.
    pub(super) fn user(&mut self, deed: Deed<'_>) -> Checked {
        let user = &self.target.user;
        let (title, hook, call, values) = match deed {
            Deed::Login { user: name, pin } => (
                format!("{name} logs in"),
                &user.login,
                ("/v1/login".to_owned(), json!({"user": name, "pin": pin})),
                vec![("user", name), ("pin", pin)],
            ),
            Deed::LoginByCode => (
                "a user logs in by code".to_owned(),
                &user.login_by_code,
                ("/v1/login-code".to_owned(), json!({})),
                vec![],
            ),
            Deed::Logout => (
                "the user logs out".to_owned(),
                &user.logout,
                ("/v1/logout".to_owned(), json!({})),
                vec![],
            ),
            Deed::Delete { iccid } => (
                format!("the user deletes {iccid}"),
                &user.delete,
                (format!("/v1/profiles/{iccid}/delete"), json!({})),
                vec![("iccid", iccid)],
            ),
        };
        let (hook, has_api) = (hook.clone(), user.api.is_some());
        self.shared.deed("driver", &title);
        match hook {
            Some(hook) => self.command(hook, &values),
            None if has_api => self.api("POST", &call.0, &call.1).map(drop),
            None => Err(Finding::Lacking(format!(
                "the target file has no api and no such command in [vehicle.user]: {title}"
            ))),
        }
    }

    /// Runs a command beside the test: one that waits for the result of a login must not hold the judge up.
    fn command(&mut self, hook: Hook, values: &[(&'static str, &str)]) -> Checked {
        let folder = self.folder.clone();
        let values: Vec<(&'static str, String)> = values
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.commands.push(std::thread::spawn(move || {
            let values: Vec<(&str, &str)> = values
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            hook.run(&folder, &values).err()
        }));
        Ok(())
    }

    /// Why a command could not be run or failed, of those that have ended.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let (ended, open) = std::mem::take(&mut self.commands)
            .into_iter()
            .partition::<Vec<_>, _>(std::thread::JoinHandle::is_finished);
        self.commands = open;
        ended
            .into_iter()
            .filter_map(|thread| thread.join().ok().flatten())
            .collect()
    }

    /// A call of the vehicle's API; the answer's JSON.
    pub(super) fn api(&mut self, method: &str, path: &str, body: &Value) -> Checked<Value> {
        let hidden = |what: &dyn std::fmt::Display| {
            Finding::Hidden(format!("the vehicle's API, {method} {path}: {what}"))
        };
        let Some(socket) = self.target.user.api.clone() else {
            return Err(Finding::Lacking(
                "the target file has no api in [vehicle.user]".to_owned(),
            ));
        };
        let client = reqwest::blocking::Client::builder()
            .unix_socket(socket)
            .timeout(CALL)
            .build()
            .map_err(|e| hidden(&e))?;
        let url = format!("http://vehicle{path}");
        let request = match method {
            "GET" => client.get(url),
            "PUT" => client.put(url).json(body),
            _ => client.post(url).json(body),
        };
        let answer = request.send().map_err(|e| hidden(&e))?;
        let status = answer.status();
        let text = answer.text().map_err(|e| hidden(&e))?;
        if !status.is_success() {
            return Err(hidden(&format!("{status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Does the target file say how the power is cut?
    pub(super) const fn has_power_switch(&self) -> bool {
        !matches!(self.target.power, Switch::None)
    }

    /// The vehicle loses its power at once.
    pub(super) fn cut_power(&mut self) -> Checked {
        self.shared.deed("car", "power cut");
        match self.target.power.clone() {
            Switch::Simulated => self.programs.kill(),
            Switch::Command { off, .. } => self.switch(&off)?,
            Switch::None => {
                return Err(Finding::Lacking("no [vehicle.power]".to_owned()));
            }
        }
        self.is_powered = false;
        let gone = self
            .shared
            .until(self.patience(), |state| !state.is_linked());
        // Over a mobile network nobody says that a vehicle has gone: the judge ends its side.
        if !gone {
            self.shared.disturb(super::shared::Out::Cut);
        }
        Ok(())
    }

    /// The power is back.
    pub(super) fn restore_power(&mut self) -> Checked {
        if self.is_powered {
            return Ok(());
        }
        self.shared.deed("car", "power on");
        match self.target.power.clone() {
            Switch::Simulated => self.programs.restart().map_err(Finding::Hidden)?,
            Switch::Command { on, .. } => self.switch(&on)?,
            Switch::None => {}
        }
        self.is_powered = true;
        self.lost_links = 0;
        Ok(())
    }

    /// Switches the ignition.
    pub(super) fn ignition(&mut self, on: bool) -> Checked {
        let word = if on { "on" } else { "off" };
        self.shared.deed("car", &format!("ignition {word}"));
        match self.target.ignition.clone() {
            Switch::Simulated => {
                let state = if on { "ON" } else { "OFF" };
                let path = "/v1/signals/Vehicle.LowVoltageSystemState";
                self.api("PUT", path, &json!({"value": state})).map(drop)
            }
            Switch::Command { on: up, off } => self.switch(if on { &up } else { &off }),
            Switch::None => Err(Finding::Lacking("no [vehicle.ignition]".to_owned())),
        }
    }

    fn switch(&self, words: &[String]) -> Checked {
        let hook = Hook(words.to_vec());
        hook.run(&self.folder, &[])
            .map(drop)
            .map_err(Finding::Hidden)
    }
}
