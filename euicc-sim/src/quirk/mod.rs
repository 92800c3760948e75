//! How a card or modem misbehaves on demand: quirks by name, each a layer that can be combined with
//! the others. Their randomness comes from `--seed`.

mod faults;
mod pieces;
mod switches;

pub(crate) use faults::{BitErrors, Slow};
pub(crate) use pieces::{Pieces, When};
pub(crate) use switches::{CatBusy, LostChannel, StaleChannel};

use crate::nvm::Cut;
use crate::port::Port;
use crate::seeded::Seeded;
use std::time::Duration;

/// A quirk as the command line names it.
struct Known {
    name: &'static str,
    /// What stands for its argument, and which one is taken when there is none.
    arg: &'static str,
    about: &'static str,
}

const KNOWN: [Known; 14] = [
    known(
        "stale-channel",
        "[=N]",
        "N logical channels (default 1) are open already, with the ISD-R selected, as a program leaves them that crashed; a reset brings them back",
    ),
    known(
        "lost-channel",
        "[=N]",
        "a logical channel is gone after N commands (default 8): 6881",
    ),
    known(
        "cat-busy",
        "[=N]",
        "the first N EnableProfile, DisableProfile or eUICCMemoryReset (default 1) fail with catBusy",
    ),
    known(
        "slow",
        "[=MS]",
        "an answer takes up to MS milliseconds (default 200), at random",
    ),
    known(
        "61xx",
        "[=all]",
        "the answer to a command with data is always 61xx, to be fetched by GET RESPONSE, as in T=0; all: every answer with data",
    ),
    known(
        "small-segments",
        "[=N]",
        "at most N bytes of data in an answer (default 32), the rest by GET RESPONSE",
    ),
    known(
        "refresh-drops-tty",
        "",
        "the AT modem's tty disappears at a REFRESH and comes back as another one",
    ),
    known(
        "urc-noise",
        "[=N]",
        "the AT modem says something unsolicited before every Nth line (default 2)",
    ),
    known(
        "mute-refresh",
        "",
        "the AT modem does not tell its host about a REFRESH",
    ),
    known(
        "enable-lost",
        "[=N]",
        "the first N enablings (default 1) do not survive a reset",
    ),
    known(
        "bit-errors",
        "[=N]",
        "one bit is wrong in one of N commands and one of N answers (default 50), at random",
    ),
    known(
        "power-cut",
        "=N[:after]",
        "power is cut at the Nth write to the memory: it is not stored, or stored but never answered",
    ),
    known(
        "no-terminal-profile",
        "",
        "the AT modem knows no toolkit: no TERMINAL PROFILE, no FETCH",
    ),
    known(
        "first-notification",
        "[=N]",
        "a new card numbers its notifications from N (default 0) instead of 1; older LPAs skip number 0",
    ),
];

const fn known(name: &'static str, arg: &'static str, about: &'static str) -> Known {
    Known { name, arg, about }
}

/// The list for people.
pub(crate) fn list() -> String {
    let mut out =
        String::from("Quirks, for --quirk NAME[=ARG] (repeatable) or quirks = [\"NAME=ARG\"]:\n");
    for Known { name, arg, about } in &KNOWN {
        out.push_str(&format!("  {:24} {about}\n", format!("{name}{arg}")));
    }
    out
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quirks {
    pub(crate) stale_channels: u8,
    pub(crate) lost_channel: Option<u32>,
    pub(crate) cat_busy: u32,
    pub(crate) slow: Option<Duration>,
    pub(crate) get_response: Option<When>,
    pub(crate) segments: Option<usize>,
    pub(crate) refresh_drops_tty: bool,
    pub(crate) urc_noise: Option<u32>,
    pub(crate) mute_refresh: bool,
    pub(crate) enable_lost: u32,
    pub(crate) bit_errors: Option<u64>,
    pub(crate) power_cut: Option<Cut>,
    pub(crate) no_terminal_profile: bool,
    pub(crate) first_notification: Option<u32>,
}

impl Quirks {
    /// Adds `NAME` or `NAME=ARG`.
    ///
    /// # Errors
    /// A sentence that names the quirk and what it takes.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        let (name, arg) = text
            .split_once('=')
            .map_or((text, None), |(n, a)| (n, Some(a)));
        let Some(known) = KNOWN.iter().find(|k| k.name == name) else {
            let names: Vec<_> = KNOWN.iter().map(|k| k.name).collect();
            let names = names.join(", ");
            return Err(format!("there is no quirk {name:?}; there are {names}"));
        };
        let wrong = || {
            let usage = format!("{}{}", known.name, known.arg);
            format!(
                "quirk {text:?} has a wrong argument; it is used as {usage}, see euicc-sim quirks"
            )
        };
        if known.arg.is_empty() != arg.is_none()
            && (known.arg.is_empty() || known.arg.starts_with('='))
        {
            return Err(wrong());
        }
        let number = |default: u32, range: std::ops::RangeInclusive<u32>| match arg {
            None => Ok(default),
            Some(arg) => arg
                .parse()
                .ok()
                .filter(|n| range.contains(n))
                .ok_or_else(wrong),
        };
        const ANY: std::ops::RangeInclusive<u32> = 1..=u32::MAX;
        match name {
            "stale-channel" => self.stale_channels = number(1, 1..=19)? as u8,
            "lost-channel" => self.lost_channel = Some(number(8, ANY)?),
            "cat-busy" => self.cat_busy = number(1, ANY)?,
            "slow" => self.slow = Some(Duration::from_millis(number(200, 1..=60_000)?.into())),
            "61xx" => {
                self.get_response = Some(match arg {
                    None => When::CommandData,
                    Some("all") => When::Always,
                    Some(_) => return Err(wrong()),
                });
            }
            "small-segments" => self.segments = Some(number(32, 1..=255)? as usize),
            "refresh-drops-tty" => self.refresh_drops_tty = true,
            "urc-noise" => self.urc_noise = Some(number(2, ANY)?),
            "mute-refresh" => self.mute_refresh = true,
            "enable-lost" => self.enable_lost = number(1, ANY)?,
            "bit-errors" => self.bit_errors = Some(number(50, ANY)?.into()),
            "no-terminal-profile" => self.no_terminal_profile = true,
            "first-notification" => self.first_notification = Some(number(0, 0..=u32::MAX)?),
            _ => {
                let (write, after) = match arg.and_then(|a| a.split_once(':')) {
                    Some((write, "after")) => (write, true),
                    Some(_) => return Err(wrong()),
                    None => (arg.unwrap_or_default(), false),
                };
                let write = write.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
                self.power_cut = Some(Cut { write, after });
            }
        }
        Ok(())
    }

    /// Puts the layers around the card, the one nearest to the wire last.
    pub(crate) fn wrap(&self, card: Box<dyn Port>, seed: u64) -> Box<dyn Port> {
        let mut port = card;
        if self.cat_busy > 0 {
            port = Box::new(CatBusy::new(port, self.cat_busy));
        }
        if let Some(commands) = self.lost_channel {
            port = Box::new(LostChannel::new(port, commands));
        }
        if self.get_response.is_some() || self.segments.is_some() {
            let limit = self.segments.unwrap_or(256);
            port = Box::new(Pieces::new(port, limit, self.get_response));
        }
        if self.stale_channels > 0 {
            port = Box::new(StaleChannel::new(port, self.stale_channels));
        }
        if let Some(one_in) = self.bit_errors {
            port = Box::new(BitErrors::new(
                port,
                one_in,
                Seeded::new(seed, "bit-errors"),
            ));
        }
        if let Some(longest) = self.slow {
            let rng = Seeded::new(seed, "slow");
            port = Box::new(Slow::new(port, longest, rng, std::thread::park_timeout));
        }
        port
    }
}

#[cfg(test)]
mod tests;
