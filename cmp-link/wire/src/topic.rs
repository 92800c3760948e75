//! MQTT topics of AID2: `aid/v1/{eid}/up` and `aid/v1/{eid}/down`; a vehicle touches its own only.
//! Used by the agent's link and the CMP's gateway.

use aid_id::Eid;
use alloc::{format, string::String};

/// Which way a topic leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Car to CMP: the car publishes.
    Up,
    /// CMP to car: the car subscribes.
    Down,
}

/// Where this car publishes.
#[must_use]
pub fn topic_up(eid: &Eid) -> String {
    format!("aid/v1/{eid}/up")
}

/// Where this car listens.
#[must_use]
pub fn topic_down(eid: &Eid) -> String {
    format!("aid/v1/{eid}/down")
}

/// Reads a topic; `None` for any other, wildcards among them.
#[must_use]
pub fn parse_topic(topic: &str) -> Option<(Eid, Direction)> {
    let (eid, way) = topic.strip_prefix("aid/v1/")?.split_once('/')?;
    let way = match way {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => return None,
    };
    Some((eid.parse().ok()?, way))
}
