//! What the judges of cards, SM-DP+ servers and LPAs share: test keys, the parties that the judge plays, recorded
//! APDUs, and findings. SGP.22 v2.4.

pub(crate) mod dp;
pub(crate) mod euicc;
pub(crate) mod findings;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod profile;
pub(crate) mod recorder;
pub(crate) mod seeded;

/// Defines `tests()`, the table of one module: for each test its name, clause, level, what it applies to, the function
/// that runs it, and what it shows; requirement ids and sections of SGP.23 where there are some.
macro_rules! table {
    ($rig:ty; $($name:literal [$($id:literal),*] [$($sgp23:literal),*] $clause:literal $level:ident, $applies:expr, $run:expr, $about:literal;)+) => {
        /// The tests of this module.
        pub(super) fn tests() -> Vec<$crate::Test<$rig>> {
            vec![$($crate::Test {
                name: $name,
                requirements: &[$($id),*],
                clause: $clause,
                about: $about,
                level: $crate::Level::$level,
                sgp23: &[$($sgp23),*],
                applies: $applies,
                run: |rig, evidence| rig.case(evidence, $applies, $run),
            }),+]
        }
    };
}
pub(crate) use table;
