//! `aidctl signal`: what a test bench or a script says of the vehicle; the vehicle itself uses the API.

use serde_json::{Value, json};

/// What `--help` says about names.
pub(super) const NAMES: &str = "Signals: ignition (Vehicle.LowVoltageSystemState: LOCK, OFF, ACC, ON, START), \
     speed (Vehicle.Speed), moving (Vehicle.IsMoving), call (Vehicle.Connectivity.IsCallActive).";

/// Path and body of the request.
pub(super) fn request(name: &str, value: &str) -> (String, String) {
    let name = match name {
        "ignition" => "Vehicle.LowVoltageSystemState",
        "speed" => "Vehicle.Speed",
        "moving" => "Vehicle.IsMoving",
        "call" => "Vehicle.Connectivity.IsCallActive",
        other => other,
    };
    let value = match (name, value) {
        ("Vehicle.LowVoltageSystemState", state) => json!(state.to_uppercase()),
        (_, "on" | "yes") => json!(true),
        (_, "off" | "no") => json!(false),
        (_, value) => serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
    };
    // The rest of what may be typed here is not in a name; the agent says which there are.
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    (
        format!("/v1/signals/{safe}"),
        json!({"value": value}).to_string(),
    )
}
