//! What the vehicle says of itself over the local API: ignition, motion, calls. Names are those of COVESA's Vehicle Signal
//! Specification where it has them.
//!
//! The ignition ends the session of a parked car (AID.02 §4.3 step 12), a call holds the switching of profiles, and the
//! motion is for the HMI, which lets nobody type while driving.

use aid_agent_core::Event;
use serde_json::{Value, json};

/// Ignition (VSS): `UNDEFINED`, `LOCK`, `OFF`, `ACC`, `ON` or `START`.
const IGNITION: &str = "Vehicle.LowVoltageSystemState";
/// Speed in km/h (VSS).
const SPEED: &str = "Vehicle.Speed";
/// Whether the vehicle moves (VSS).
const MOVING: &str = "Vehicle.IsMoving";
/// Whether the modem has a call, from the first ring or dialled digit on. VSS has no signal for it.
const CALL: &str = "Vehicle.Connectivity.IsCallActive";
/// All signals, with what their values are.
pub(crate) const SIGNALS: [(&str, &str); 4] = [
    (IGNITION, "one of UNDEFINED, LOCK, OFF, ACC, ON and START"),
    (SPEED, "a speed in km/h from -250 to 500"),
    (MOVING, "true or false"),
    (CALL, "true or false"),
];
/// Speed from which on the vehicle moves, km/h: below it sensors of a standing car differ from zero.
const CREEPING: f64 = 1.0;
/// Speeds that a sensor can mean, km/h.
const SPEEDS: std::ops::RangeInclusive<f64> = -250.0..=500.0;

/// Why a signal is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such signal.
    Unknown,
    /// Its value has to be this.
    Value(&'static str),
}

/// The last values of all signals.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// As written by VSS; `None` before it was reported.
    ignition: Option<&'static str>,
    speed: Option<f64>,
    moving: Option<bool>,
    call: Option<bool>,
}

/// What a new value leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// For the core.
    pub(crate) event: Option<Event>,
    /// The state of the vehicle, as the API shows it, is another one.
    pub(crate) visible: bool,
}

impl Signals {
    /// Takes a value.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<Change, Refused> {
        let Some((name, expected)) = SIGNALS.iter().find(|(own, _)| *own == name) else {
            return Err(Refused::Unknown);
        };
        let wrong = Refused::Value(expected);
        let before = self.shown();
        let mut event = None;
        match *name {
            IGNITION => {
                let states = ["UNDEFINED", "LOCK", "OFF", "ACC", "ON", "START"];
                let given = value
                    .as_str()
                    .and_then(|v| states.iter().find(|s| **s == v));
                self.ignition = Some(given.ok_or(wrong)?);
                // The accessories are on: somebody sits in the car. Undefined says nothing.
                event = self.ignition_on().map(|on| Event::Ignition { on });
                if self.ignition_on() == Some(false) {
                    (self.moving, self.speed) = (None, None);
                }
            }
            SPEED => {
                let speed = value.as_f64().filter(|speed| SPEEDS.contains(speed));
                self.speed = Some(speed.ok_or(wrong)?);
            }
            MOVING => self.moving = Some(value.as_bool().ok_or(wrong)?),
            _ => {
                let active = value.as_bool().ok_or(wrong)?;
                self.call = Some(active);
                // Said again it counts again: a call that nobody reports any more is over some day.
                event = Some(Event::Call { active });
            }
        }
        let visible = self.shown() != before;
        Ok(Change { event, visible })
    }

    fn ignition_on(&self) -> Option<bool> {
        match self.ignition? {
            "ACC" | "ON" | "START" => Some(true),
            "LOCK" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// Whether the vehicle moves, by either of its signals; false while nothing was reported.
    fn is_moving(&self) -> bool {
        let fast = self.speed.is_some_and(|speed| speed.abs() >= CREEPING);
        self.moving == Some(true) || fast
    }

    /// `vehicle` in the status, and the event of that name: what people and the HMI need.
    pub(crate) fn shown(&self) -> Value {
        let ignition = self.ignition_on().map(|on| if on { "on" } else { "off" });
        json!({"ignition": ignition, "moving": self.is_moving(), "call": self.call.unwrap_or(false)})
    }

    /// `GET /v1/signals`: the last values under their names; null where nothing was reported.
    pub(crate) fn values(&self) -> Value {
        json!({IGNITION: self.ignition, SPEED: self.speed, MOVING: self.moving, CALL: self.call})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_sensor_means_are_refused_and_change_nothing() {
        let mut signals = Signals::default();
        let before = signals.values();
        let bad = [
            (IGNITION, json!("on")),
            (IGNITION, json!(true)),
            (IGNITION, json!("")),
            (SPEED, json!("50")),
            (SPEED, json!(501)),
            (SPEED, json!(-251)),
            (SPEED, json!(1e300)),
            (SPEED, json!(null)),
            (MOVING, json!(1)),
            (MOVING, json!("true")),
            (CALL, json!(0)),
            (CALL, json!([true])),
        ];
        for (name, value) in bad {
            let refused = signals.set(name, &value);
            assert!(matches!(refused, Err(Refused::Value(_))), "{name} {value}");
        }
        for name in ["", "Vehicle", "vehicle.speed", "Vehicle.Speed "] {
            assert_eq!(signals.set(name, &json!(1)), Err(Refused::Unknown));
        }
        assert_eq!(signals.values(), before);
    }

    // R-4.3-14: what ends a session is the ignition, not a sensor that says nothing.
    #[test]
    fn each_state_of_the_ignition_is_on_or_off_or_says_nothing() {
        for (state, on) in [
            ("UNDEFINED", None),
            ("LOCK", Some(false)),
            ("OFF", Some(false)),
            ("ACC", Some(true)),
            ("ON", Some(true)),
            ("START", Some(true)),
        ] {
            let change = Signals::default().set(IGNITION, &json!(state));
            let event = on.map(|on| Event::Ignition { on });
            assert_eq!(change.expect("valid").event, event, "{state}");
        }
    }

    #[test]
    fn the_vehicle_moves_by_either_signal_and_not_when_it_is_switched_off() {
        let mut signals = Signals::default();
        let set = |signals: &mut Signals, name, value| signals.set(name, &value).expect("valid");
        assert_eq!(signals.shown()["moving"], false);
        assert!(!set(&mut signals, SPEED, json!(0.4)).visible);
        assert!(set(&mut signals, SPEED, json!(-3)).visible);
        // Each new speed is no news.
        assert!(!set(&mut signals, SPEED, json!(130)).visible);
        assert!(!set(&mut signals, MOVING, json!(true)).visible);
        assert!(!set(&mut signals, SPEED, json!(0)).visible);
        assert!(set(&mut signals, MOVING, json!(false)).visible);
        set(&mut signals, SPEED, json!(9));
        set(&mut signals, IGNITION, json!("OFF"));
        assert_eq!(signals.shown()["moving"], false);
    }
}
