//! What drives a line of a device: its power, its ignition, its reset. Whatever it is, it is an `OutputPin` of embedded-hal.

use aid_cli::cli::Failure;
use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::process::Command;

/// What drives a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "lowercase")]
pub(crate) enum Driver {
    /// Nothing to drive.
    #[default]
    None,
    /// Low kills the agent's process (SIGKILL), as a power cut does; high lets the bench start it again.
    Simulated,
    /// A line of a GPIO chip; needs the feature `gpio`.
    Gpio {
        /// `/dev/gpiochip0`.
        chip: String,
        /// Number of the line on the chip.
        line: u32,
        /// The line is low when the device has power.
        #[serde(default)]
        inverted: bool,
    },
    /// A program, e.g. of a USB relay.
    Command {
        /// Program and arguments that switch it on.
        on: Vec<String>,
        /// Program and arguments that switch it off.
        off: Vec<String>,
    },
}

impl Driver {
    /// Whether there is something to drive.
    pub(super) fn is_there(&self) -> bool {
        *self != Self::None
    }
}

/// Why a pin could not be driven.
#[derive(Debug)]
pub(super) struct PinError(String);

impl Error for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// A pin whose low level kills a process.
struct Simulated(Option<u32>);

impl ErrorType for Simulated {
    type Error = PinError;
}

impl OutputPin for Simulated {
    fn set_low(&mut self) -> Result<(), PinError> {
        let pid = self.0.and_then(|id| Pid::from_raw(id.cast_signed()));
        match pid {
            Some(pid) => kill_process(pid, Signal::KILL)
                .map_err(|e| PinError(format!("the agent's process can't be killed: {e}"))),
            None => Ok(()),
        }
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        Ok(())
    }
}

/// A pin that is a program for each level.
struct Program<'a> {
    on: &'a [String],
    off: &'a [String],
}

impl Program<'_> {
    fn run(words: &[String]) -> Result<(), PinError> {
        let Some((program, args)) = words.split_first() else {
            return Err(PinError("the command has no program".into()));
        };
        let output = Command::new(program)
            .args(args)
            .output()
            .map_err(|e| PinError(format!("{program}: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(PinError(format!(
            "{program} failed ({}): {}",
            output.status,
            said.trim()
        )))
    }
}

impl ErrorType for Program<'_> {
    type Error = PinError;
}

impl OutputPin for Program<'_> {
    fn set_low(&mut self) -> Result<(), PinError> {
        Self::run(self.off)
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        Self::run(self.on)
    }
}

/// A line that can be driven.
pub(super) enum Line<'a> {
    /// There is none.
    None,
    /// Through embedded-hal.
    Pin(Box<dyn OutputPin<Error = PinError> + 'a>),
}

impl<'a> Line<'a> {
    /// Opens the line; `process` is the agent's, for a simulated one.
    pub(super) fn open(driver: &'a Driver, process: Option<u32>) -> Result<Self, Failure> {
        Ok(match driver {
            Driver::None => Self::None,
            Driver::Simulated => Self::Pin(Box::new(Simulated(process))),
            Driver::Command { on, off } => Self::Pin(Box::new(Program { on, off })),
            Driver::Gpio {
                chip,
                line,
                inverted,
            } => gpio(chip, *line, *inverted)?,
        })
    }

    /// Power or none.
    pub(super) fn set(&mut self, on: bool) -> Result<(), Failure> {
        let Self::Pin(pin) = self else {
            return match on {
                true => Ok(()),
                false => Err(Failure::new(
                    "nothing drives this line; give [power] by = … in the device's file",
                )),
            };
        };
        let done = if on { pin.set_high() } else { pin.set_low() };
        done.map_err(|e| Failure::new(format!("cannot drive the line: {}", e.0)))
    }
}

#[cfg(feature = "gpio")]
fn gpio(chip: &str, line: u32, inverted: bool) -> Result<Line<'static>, Failure> {
    use linux_embedded_hal::CdevPin;
    use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};

    struct Gpio {
        pin: CdevPin,
        inverted: bool,
    }
    impl ErrorType for Gpio {
        type Error = PinError;
    }
    impl OutputPin for Gpio {
        fn set_low(&mut self) -> Result<(), PinError> {
            let done = if self.inverted {
                self.pin.set_high()
            } else {
                self.pin.set_low()
            };
            done.map_err(|e| PinError(e.to_string()))
        }
        fn set_high(&mut self) -> Result<(), PinError> {
            let done = if self.inverted {
                self.pin.set_low()
            } else {
                self.pin.set_high()
            };
            done.map_err(|e| PinError(e.to_string()))
        }
    }
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::new(format!("cannot drive line {line} of {chip}: {e}"))
    };
    let mut chip = Chip::new(chip).map_err(|e| wrong(&e))?;
    let handle = chip
        .get_line(line)
        .and_then(|l| l.request(LineRequestFlags::OUTPUT, u8::from(!inverted), "aid-hil"))
        .map_err(|e| wrong(&e))?;
    let pin = CdevPin::new(handle).map_err(|e| wrong(&e))?;
    Ok(Line::Pin(Box::new(Gpio { pin, inverted })))
}

#[cfg(not(feature = "gpio"))]
fn gpio(chip: &str, line: u32, _: bool) -> Result<Line<'static>, Failure> {
    Err(Failure::new(format!(
        "line {line} of {chip}: this aid-hil was built without GPIO; build it with --features gpio"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_pin_cuts_power_and_a_command_is_run() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let driver = Driver::Simulated;
        Line::open(&driver, Some(child.id()))
            .unwrap()
            .set(false)
            .unwrap();
        assert!(!child.wait().unwrap().success());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay").display().to_string();
        let driver = Driver::Command {
            on: vec!["touch".into(), file.clone()],
            off: vec!["rm".into(), file.clone()],
        };
        let mut line = Line::open(&driver, None).unwrap();
        line.set(true).unwrap();
        assert!(std::path::Path::new(&file).exists());
        line.set(false).unwrap();
        let error = line.set(false).unwrap_err();
        assert!(error.text.contains("rm failed"), "{error}");
        assert!(Line::open(&Driver::None, None).unwrap().set(false).is_err());
    }
}
