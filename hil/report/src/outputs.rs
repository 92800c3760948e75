//! Options of a command that publishes a report.

use crate::report::{Laboratory, Report};
use crate::table::{Colours, table};
use crate::{MAX_DOCUMENT, page};
use aid_cli::cli::{self, Failure};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Largest file with laboratory fields, bytes.
const MAX_LABORATORY: u64 = 64 * 1024;

/// Where a report goes: flattened into the commands that make one.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Outputs {
    /// Write the report as one JSON document (docs/report.md), which compare and replay read.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub report: Option<PathBuf>,
    /// Write the report as JUnit XML.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub junit: Option<PathBuf>,
    /// Write the report as one self-contained HTML page of at most 1 MB.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,
    /// Print the report as one JSON document on stdout in place of the table.
    #[arg(long, help_heading = "Report")]
    pub json: bool,
    /// Take the cover of the report from this TOML file: name, operator, device, versions, remarks.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub lab: Option<PathBuf>,
}

impl Outputs {
    /// The cover of the report; empty without `--lab`. Read it before the run, so that a mistake shows at once.
    ///
    /// # Errors
    /// The file can't be read, or is not TOML with these fields.
    pub fn laboratory(&self) -> Result<Laboratory, Failure> {
        let Some(file) = &self.lab else {
            return Ok(Laboratory::default());
        };
        let wrong = |why: String| Failure::usage(format!("--lab {}: {why}", file.display()));
        let bytes = read(file, MAX_LABORATORY).map_err(wrong)?;
        let text = String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
        toml::from_str(&text).map_err(|e| wrong(e.to_string()))
    }

    /// Writes the files that were asked for, and prints the table, or with `--json` the document. It says nothing of the
    /// verdict: see [`Report::verdict`].
    ///
    /// # Errors
    /// A file can't be written, or stdout is closed.
    pub fn publish(&self, report: &Report) -> Result<(), Failure> {
        self.write(report)?;
        if self.json {
            return cli::print(&report.to_json()?);
        }
        show(&table(report, Colours::of_stdout()))
    }

    /// Writes the files that were asked for, and prints nothing.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, report: &Report) -> Result<(), Failure> {
        if let Some(file) = &self.report {
            write(file, &report.to_json()?)?;
        }
        if let Some(file) = &self.junit {
            write(file, &report.to_junit()?)?;
        }
        if let Some(file) = &self.html {
            write(file, &page(report))?;
        }
        Ok(())
    }
}

impl Report {
    /// The failure that a command ends with when a case failed; with `strict` also when one was a warning or inconclusive.
    ///
    /// # Errors
    /// Such a case exists; the text names the first.
    pub fn verdict(&self, strict: bool) -> Result<(), Failure> {
        let tally = self.tally();
        let mut bad = tally.fail;
        if strict {
            bad += tally.warning + tally.inconclusive;
        }
        if bad == 0 {
            return Ok(());
        }
        let is_bad = |case: &&crate::Case| {
            case.verdict == crate::Verdict::Fail
                || strict
                    && matches!(
                        case.verdict,
                        crate::Verdict::Warning | crate::Verdict::Inconclusive
                    )
        };
        let first = self.cases.iter().find(is_bad);
        let first = first.map_or("", |case| case.name.as_str());
        Err(Failure::new(format!(
            "{bad} of {} cases did not pass, {first} first; --html FILE shows their messages",
            self.cases.len()
        )))
    }
}

/// Prints a text to stdout that has colours and whose other parts are printable already, such as a table.
///
/// # Errors
/// Stdout is closed.
pub fn show(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::new(format!("cannot write to stdout: {e}")))
}

/// The summary line: number of cases, time, number per verdict.
#[must_use]
pub fn summary(report: &Report) -> String {
    crate::table::summary(report)
}

/// Reads a report from the file that `--report` wrote.
///
/// # Errors
/// The file can't be read, has a newer format, or is no report.
pub fn open(file: &Path) -> Result<Report, Failure> {
    let wrong = |why: String| Failure::new(format!("{}: {why}", file.display()));
    let bytes = read(file, MAX_DOCUMENT as u64).map_err(wrong)?;
    Report::read(&bytes).map_err(|e| wrong(e.to_string()))
}

fn read(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let open = std::fs::File::open(file).map_err(|e| format!("cannot read it: {e}"))?;
    let mut bytes = Vec::new();
    let read = open.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("cannot read it: {e}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("it has more than {most} bytes"));
    }
    Ok(bytes)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    aid_cli::private::write(file, text.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write {}: {e}", file.display())))
}
