//! One case of a run, its steps and its evidence.

use crate::message::Message;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Why a case is not a pass, said so that it can be settled without running it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the requirement says should have been seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The command that repeats this one case with the same seed.
    pub repeat: String,
}

/// What was counted while a case ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Microseconds.
    pub us: u64,
    /// Command APDUs.
    pub apdus: u64,
    /// Payload bytes of the connections that were looked at, both directions.
    pub bytes: u64,
}

/// One step of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does or expects, one line.
    pub title: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Ids of the requirements that this step proves by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Set unless the step passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Begin, microseconds since the run began.
    pub at_us: u64,
    /// What was counted.
    #[serde(default)]
    pub counts: Counts,
}

/// One scenario, or one test of the judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Unique within the run: `provisioning/power-cut-at-install`, `R-7.3-8`.
    pub name: String,
    /// What it shows, one sentence.
    pub about: String,
    /// The clause: `AID.02 §7.3`, `SGP.22 §5.6.3`.
    pub clause: String,
    /// Ids of the requirements that it proves, beside those of its steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Test cases of SGP.23 that it corresponds to: `4.3.2.2.1 TC_ES9_InitiateAuthentication_Nominal`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sgp23: Vec<String>,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it was skipped, is inconclusive or a warning, one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Set if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// In the order they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The messages that were seen while it ran, in order of time; for a failure they prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Sums.
    #[serde(default)]
    pub counts: Counts,
}
