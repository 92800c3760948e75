//! What every program with subcommands can print about itself: completions for shells, manual pages.
//! Both are made from the same description as `--help`, so that they say the same.

use crate::cli::{self, Arguments, Failure};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const COMPLETIONS: &str = "completions";
const MAN: &str = "man";

/// What a command line asks for.
pub(crate) enum Asked<A> {
    /// Something that the program itself does.
    Program(A),
    /// Something about the program.
    Manual(Box<Manual>),
}

/// A request for completions or manual pages.
pub(crate) struct Manual {
    command: Command,
    what: What,
}

enum What {
    Completions(Shell),
    Page,
    Pages(PathBuf),
}

/// Parses a command line. A program without subcommands has no `completions` and no `man` either.
pub(crate) fn parse<A: Arguments>(args: Vec<OsString>) -> Result<Asked<A>, clap::Error> {
    let command = describe(A::command());
    let matches = command.clone().try_get_matches_from(args)?;
    match matches.subcommand() {
        Some((COMPLETIONS, given)) if has_manual(&command) => {
            let shell = given.get_one::<Shell>("shell").copied();
            let what = What::Completions(shell.unwrap_or(Shell::Bash));
            Ok(Asked::Manual(Box::new(Manual { command, what })))
        }
        Some((MAN, given)) if has_manual(&command) => {
            let what = pages(given);
            Ok(Asked::Manual(Box::new(Manual { command, what })))
        }
        _ => A::from_arg_matches(&matches)
            .map(Asked::Program)
            .map_err(|error| error.format(&mut describe(A::command()))),
    }
}

fn pages(given: &ArgMatches) -> What {
    let folder = given.get_one::<PathBuf>("dir").cloned();
    folder.map_or(What::Page, What::Pages)
}

/// The program's own subcommands, and the two of this module.
fn describe(command: Command) -> Command {
    if !command.has_subcommands() {
        return command;
    }
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("Shell that the script is for");
    let dir = Arg::new("dir")
        .long("dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Write the page and one for each subcommand into this folder");
    command
        .subcommand(
            Command::new(COMPLETIONS)
                .about("Print the completion script for a shell")
                .arg(shell),
        )
        .subcommand(
            Command::new(MAN)
                .about("Print the manual page (roff; read it with `man -l -`)")
                .arg(dir),
        )
}

fn has_manual(command: &Command) -> bool {
    command.find_subcommand(MAN).is_some()
}

impl Manual {
    /// Prints or writes what was asked for.
    pub(crate) fn print(self) -> Result<(), Failure> {
        let mut command = self.command;
        let name = command.get_name().to_owned();
        let mut text = Vec::new();
        match self.what {
            What::Completions(shell) => {
                clap_complete::generate(shell, &mut command, name, &mut text);
            }
            What::Page => clap_mangen::Man::new(command)
                .render(&mut text)
                .map_err(|e| Failure::new(format!("cannot make the manual page: {e}")))?,
            What::Pages(folder) => return write_pages(command, &folder),
        }
        // Not `cli::print`: zsh's script and roff have characters of their own, and nothing of it is foreign.
        std::io::stdout()
            .lock()
            .write_all(&text)
            .map_err(|e| Failure::new(format!("cannot write to stdout: {e}")))
    }
}

fn write_pages(command: Command, folder: &Path) -> Result<(), Failure> {
    let wrong = |e| {
        Failure::new(format!(
            "cannot write manual pages to {}: {e}",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(wrong)?;
    clap_mangen::generate_to(command, folder).map_err(wrong)?;
    cli::print(&format!("manual pages are in {}\n", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::LogArgs;
    use clap::{Parser, Subcommand};

    #[derive(Parser)]
    #[command(name = "aid-sample")]
    struct Sample {
        #[command(flatten)]
        logs: LogArgs,
        #[command(subcommand)]
        action: Action,
    }

    #[derive(Subcommand)]
    enum Action {
        /// Start the engine.
        Start {
            /// Gear.
            #[arg(long)]
            gear: u8,
        },
    }

    impl Arguments for Sample {
        fn logs(&self) -> &LogArgs {
            &self.logs
        }
    }

    fn asked(args: &[&str]) -> Result<Asked<Sample>, clap::Error> {
        let args = std::iter::once("aid-sample").chain(args.iter().copied());
        parse(args.map(OsString::from).collect())
    }

    #[test]
    fn the_programs_own_commands_are_parsed_as_before() {
        let Ok(Asked::Program(sample)) = asked(&["start", "--gear", "2"]) else {
            panic!("parsed");
        };
        let Action::Start { gear } = sample.action;
        assert_eq!(gear, 2);
        assert!(asked(&["start", "--gear", "x"]).is_err());
        assert!(asked(&["completions", "fish2"]).is_err());
        assert!(asked(&[]).is_err());
    }

    #[test]
    fn completions_and_manual_pages_name_every_option() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let Ok(Asked::Manual(manual)) = asked(&["completions", shell]) else {
                panic!("{shell}");
            };
            let What::Completions(shell) = manual.what else {
                panic!("completions");
            };
            let (mut command, mut text) = (manual.command, Vec::new());
            clap_complete::generate(shell, &mut command, "aid-sample", &mut text);
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains("gear"), "{shell}: {text}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let dir = folder.path().join("man");
        let Ok(Asked::Manual(manual)) = asked(&["man", "--dir", &dir.display().to_string()]) else {
            panic!("man");
        };
        manual.print().expect("written");
        let page = std::fs::read_to_string(dir.join("aid-sample-start.1")).expect("page");
        assert!(page.contains("Gear"), "{page}");
        assert!(dir.join("aid-sample.1").exists());
    }
}
