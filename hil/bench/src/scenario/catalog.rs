//! Every step that a scenario may have, by name: what it takes, what it does. The parser, the JSON Schema, the
//! documentation and the engine all read this one table.

use super::args::Args;
use super::kind::Param;
use super::stage::Stage;
use aid_cli::cli::Failure;

/// What was seen when a party was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// As expected?
    pub(super) ok: bool,
    /// What was expected, in words.
    pub(super) expected: String,
    /// What is there.
    pub(super) seen: String,
    /// What `save` keeps.
    pub(super) value: Option<String>,
}

/// Does something; what `save` keeps.
pub(super) type Do = fn(&mut Stage, &Args) -> Result<Option<String>, Failure>;
/// Looks once; the engine looks again until the deadline.
pub(super) type See = fn(&mut Stage, &Args) -> Result<Seen, Failure>;

/// What a step runs.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// A party acts, or something happens to it.
    Do(Do),
    /// Somebody looks at a party.
    See(See),
}

/// A step by its name.
#[derive(Clone, Copy)]
pub(super) struct Action {
    /// Actor and deed: `car.login`.
    pub(super) name: &'static str,
    /// One line for the documentation.
    pub(super) about: &'static str,
    /// Its arguments.
    pub(super) params: &'static [Param],
    /// What is run.
    pub(super) run: Run,
}

impl Action {
    pub(super) const fn does(
        name: &'static str,
        about: &'static str,
        params: &'static [Param],
        run: Do,
    ) -> Self {
        Self {
            name,
            about,
            params,
            run: Run::Do(run),
        }
    }

    pub(super) const fn sees(
        name: &'static str,
        about: &'static str,
        params: &'static [Param],
        run: See,
    ) -> Self {
        Self {
            name,
            about,
            params,
            run: Run::See(run),
        }
    }

    /// `do` or `see`, as a scenario names it.
    pub(super) fn key(&self) -> &'static str {
        match self.run {
            Run::Do(_) => "do",
            Run::See(_) => "see",
        }
    }
}

/// All of them, by actor.
pub(super) fn all() -> impl Iterator<Item = &'static Action> {
    [
        super::steps::car::ACTIONS,
        super::steps::user::ACTIONS,
        super::steps::cmp::ACTIONS,
        super::steps::msp::ACTIONS,
        super::steps::smdp::ACTIONS,
        super::steps::rig::ACTIONS,
        super::steps::faults::ACTIONS,
        super::steps::values::ACTIONS,
    ]
    .into_iter()
    .flatten()
}

/// The step of this name under this key.
pub(super) fn find(key: &str, name: &str) -> Option<&'static Action> {
    all().find(|a| a.key() == key && a.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_say_their_actor() {
        let mut names = BTreeSet::new();
        for action in all() {
            assert!(names.insert((action.key(), action.name)), "{}", action.name);
            assert!(action.name.contains('.'), "{}", action.name);
            let params: BTreeSet<_> = action.params.iter().map(|p| p.name).collect();
            assert_eq!(params.len(), action.params.len(), "{}", action.name);
            for reserved in [
                "given", "when", "then", "do", "see", "each", "steps", "save", "take", "within",
                "refused", "proves",
            ] {
                assert!(!params.contains(reserved), "{}: {reserved}", action.name);
            }
        }
    }
}
