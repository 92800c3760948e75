//! Scenarios: procedures of AID.02 and SGP.22 as files (docs/scenarios.md), played from end to end with the real programs,
//! as users, operators and workshops would go through them.

mod args;
mod broker;
mod catalog;
mod control;
mod engine;
mod file;
mod forms;
mod given;
mod kind;
mod library;
mod members;
mod needs;
mod reader;
mod run;
mod schema;
mod shipped;
mod stage;
mod steps;
mod trace;

pub(crate) use file::{Step, read};
pub(crate) use library::{ListArgs, list};
pub(crate) use run::{RunArgs, ScenarioArgs, run, scenario};
