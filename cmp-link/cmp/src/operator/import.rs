//! Many vehicles at once, from a file of comma-separated values (RFC 4180) with a heading: `eid`, and `vin`,
//! `certificate_sha256` or `certificate` (its DER in Base64) where they are known. Nothing is stored while a line is wrong,
//! and all wrong lines are named. Then it is stored a part at a time; the same file again goes on where it was cut short.

use super::enrolment::bind;
use super::fleet::vin;
use super::{Binding, Operator, Refusal, changes};
use crate::store::{Stored, Tx};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::Context;
use aid_cmp_core::model::Vehicle;
use aid_id::Eid;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use csv::{ReaderBuilder, StringRecord};
use std::collections::BTreeMap;

/// Lines that are stored in one transaction.
const BATCH: usize = 200;
/// Wrong lines that are named at most.
const MOST_WRONG: usize = 1000;
/// Lines of one file at most.
pub const MOST_LINES: usize = 100_000;

/// A line of the file that can't be carried out: its number, counted from 1 with the heading, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLine {
    /// Counted from 1, the heading included.
    pub line: u64,
    /// What is wrong, and what to do.
    pub text: String,
}

/// What a line asks for.
#[derive(Debug, Clone)]
struct Entry {
    line: u64,
    eid: Eid,
    vin: Option<String>,
    certificate: Option<String>,
}

/// Where the columns are.
struct Columns {
    eid: usize,
    vin: Option<usize>,
    sha256: Option<usize>,
    certificate: Option<usize>,
}

impl Columns {
    fn of(heading: &StringRecord) -> Result<Self, String> {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, name) in heading.iter().enumerate() {
            let known = ["eid", "vin", "certificate_sha256", "certificate"];
            if !known.contains(&name) {
                return Err(format!("{name:?} is no column; use {}", known.join(", ")));
            }
            if found.insert(name, at).is_some() {
                return Err(format!("the column {name} is there twice"));
            }
        }
        let eid = found.get("eid").copied();
        Ok(Self {
            eid: eid.ok_or("the column eid is missing")?,
            vin: found.get("vin").copied(),
            sha256: found.get("certificate_sha256").copied(),
            certificate: found.get("certificate").copied(),
        })
    }

    fn entry(&self, line: u64, record: &StringRecord) -> Result<Entry, String> {
        let text = |at: Option<usize>| {
            let field = at.and_then(|at| record.get(at)).map(str::trim);
            field.filter(|text| !text.is_empty())
        };
        let eid = text(Some(self.eid)).ok_or("the EID is missing")?;
        let eid: Eid = eid.parse().map_err(|e| format!("{eid:?} is no EID: {e}"))?;
        let vin = text(self.vin).map(vin).transpose();
        let vin = vin.map_err(|e| aid_cli::cli::Failure::from(e).text)?;
        let certificate = match (text(self.sha256), text(self.certificate)) {
            (Some(_), Some(_)) => {
                return Err("give certificate_sha256 or certificate, not both".into());
            }
            (Some(hash), None) => {
                let hash = hash.replace(':', "").to_lowercase();
                let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
                Some(is_hash.then_some(hash).ok_or(
                    "certificate_sha256 has 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` writes them",
                )?)
            }
            (None, Some(der)) => {
                let der = STANDARD.decode(der);
                let der = der.map_err(|_| "certificate is no Base64 of a DER certificate")?;
                let binding = Binding::of(eid, None, &der);
                Some(
                    binding
                        .map_err(|e| format!("the certificate {e}"))?
                        .certificate,
                )
            }
            (None, None) => None,
        };
        Ok(Entry {
            line,
            eid,
            vin,
            certificate,
        })
    }
}

/// Reads the file.
fn read(text: &[u8]) -> Result<Vec<Entry>, Vec<WrongLine>> {
    let wrong = |line: u64, text: String| WrongLine { line, text };
    let mut reader = ReaderBuilder::new().from_reader(text);
    let columns = reader
        .headers()
        .map_err(|e| e.to_string())
        .and_then(Columns::of)
        .map_err(|e| vec![wrong(1, e)])?;
    let (mut entries, mut wrongs) = (Vec::new(), Vec::new());
    let (mut eids, mut vins) = (BTreeMap::new(), BTreeMap::new());
    for record in reader.records() {
        if wrongs.len() >= MOST_WRONG || entries.len() >= MOST_LINES {
            break;
        }
        let at = |p: Option<&csv::Position>| p.map_or(0, csv::Position::line);
        let (line, entry) = match &record {
            Ok(record) => {
                let line = at(record.position());
                (line, columns.entry(line, record))
            }
            Err(error) => (at(error.position()), Err(error.to_string())),
        };
        match entry {
            Ok(entry) => {
                if let Some(before) = eids.insert(entry.eid, line) {
                    wrongs.push(wrong(line, format!("this EID is on line {before}, too")));
                }
                if let Some(vin) = &entry.vin
                    && let Some(before) = vins.insert(vin.clone(), line)
                {
                    wrongs.push(wrong(line, format!("this VIN is on line {before}, too")));
                }
                entries.push(entry);
            }
            Err(text) => wrongs.push(wrong(line, text)),
        }
    }
    if entries.len() >= MOST_LINES {
        let text = format!("a file has fewer than {MOST_LINES} lines; split it");
        wrongs.push(wrong(entries.last().map_or(1, |e| e.line), text));
    }
    match wrongs.is_empty() {
        true => Ok(entries),
        false => Err(wrongs),
    }
}

/// What a line says that is not so of its vehicle, which takes part already, and that the line can't change.
fn clash(known: &Vehicle, entry: &Entry, only_new: bool) -> Option<String> {
    let other_vin = entry.vin.is_some() && entry.vin != known.vin;
    if entry.certificate.is_none() {
        return other_vin.then(|| {
            format!(
                "{} takes part already, with {}; a line with its certificate sets the VIN",
                entry.eid,
                known.vin.as_deref().unwrap_or("no VIN")
            )
        });
    }
    let is_bound = known.certificate.is_some();
    let is_other = other_vin || entry.certificate != known.certificate;
    (only_new && is_bound && is_other).then(|| {
        format!(
            "{} is bound already; another certificate or VIN needs the role admin",
            entry.eid
        )
    })
}

/// What is in the way of these lines.
async fn obstacles(tx: &Tx<'_>, entries: &[Entry], only_new: bool) -> Stored<Vec<WrongLine>> {
    let mut wrongs = Vec::new();
    for entry in entries {
        let line = entry.line;
        let known = tx.vehicle(entry.eid).await?;
        if known.as_ref().is_some_and(|v| v.retired_at.is_some()) {
            let text = format!("{} was retired; its eUICC takes part no more", entry.eid);
            wrongs.push(WrongLine { line, text });
        }
        if let Some(text) = known.as_ref().and_then(|v| clash(v, entry, only_new)) {
            wrongs.push(WrongLine { line, text });
        }
        if let Some(vin) = &entry.vin
            && let Some(old) = tx.vehicle_with_vin(vin, entry.eid).await?
        {
            let text = format!(
                "the vehicle with this VIN has EID {}; `vehicle exchange` it first",
                old.eid
            );
            wrongs.push(WrongLine { line, text });
        }
    }
    Ok(wrongs)
}

impl Operator<'_> {
    /// Lets the vehicles of a file take part; those that do already, as the file says, stay as they are. Yields how many
    /// lines it has. A dry run stores nothing; with `only_new` no vehicle that is bound already is bound otherwise.
    ///
    /// # Errors
    /// [`Refusal::Lines`] with all wrong lines, and nothing is stored; or the database failed in between, and the same file
    /// goes on.
    pub async fn import_vehicles(
        &self,
        text: &[u8],
        dry_run: bool,
        only_new: bool,
    ) -> Result<usize, Refusal> {
        let entries = read(text).map_err(Refusal::Lines)?;
        let mut wrongs = Vec::new();
        for batch in entries.chunks(BATCH) {
            let batch = batch.to_vec();
            let look = async move |tx: &Tx<'_>| obstacles(tx, &batch, only_new).await;
            wrongs.extend(self.store.read(look).await?);
            if wrongs.len() >= MOST_WRONG {
                break;
            }
        }
        if !wrongs.is_empty() {
            return Err(Refusal::Lines(wrongs));
        }
        if dry_run {
            return Ok(entries.len());
        }
        let wanting = self.wanting();
        for batch in entries.chunks(BATCH) {
            let (batch, wanting) = (batch.to_vec(), wanting.clone());
            let store = async move |tx: &Tx<'_>, context: &Context| {
                let mut all = Vec::new();
                for entry in &batch {
                    match &entry.certificate {
                        Some(certificate) => {
                            let binding = Binding {
                                eid: entry.eid,
                                vin: entry.vin.clone(),
                                certificate: certificate.clone(),
                                exchange: None,
                                only_new,
                            };
                            all.extend(bind(tx, context, &binding, &wanting).await?);
                        }
                        None => {
                            if let Some(known) = tx.vehicle(entry.eid).await? {
                                if let Some(text) = clash(&known, entry, only_new) {
                                    return Err(Refusal::conflict(text));
                                }
                                continue;
                            }
                            let added = Vehicle {
                                vin: entry.vin.clone(),
                                ..Vehicle::new(entry.eid, context.now)
                            };
                            let detail = entry.eid.to_string();
                            all.push(Change::AddVehicle(added));
                            all.push(context.audit("operator", "vehicle added", detail));
                        }
                    }
                }
                Ok((changes(all), ()))
            };
            self.decide(store).await?;
        }
        Ok(entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "89049032000001000000000831934057";

    fn wrong(text: &str) -> Vec<(u64, String)> {
        let wrongs = read(text.as_bytes()).expect_err("wrong");
        wrongs.into_iter().map(|w| (w.line, w.text)).collect()
    }

    #[test]
    fn every_wrong_line_is_named() {
        let hash = "AB:".repeat(31) + "CD";
        let good = format!("eid,vin,certificate_sha256\n{A},WVWZZZ1KZAW000001,{hash}\n");
        let entries = read(good.as_bytes()).unwrap();
        assert_eq!(
            entries[0].certificate.as_deref(),
            Some(&*("ab".repeat(31) + "cd"))
        );
        let text = format!(
            "eid,vin,certificate_sha256\n{A},,\n123,,\n{A},WVWZZZ1KZAW000001,zz\n{A},OOO,\n\"{A}\",,,\n"
        );
        let lines: Vec<u64> = wrong(&text).iter().map(|w| w.0).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        let twice = format!("eid,vin\n{A},WVWZZZ1KZAW000001\n{A},WVWZZZ1KZAW000001\n");
        assert_eq!(wrong(&twice).len(), 2);
        for (heading, says) in [
            ("vin\nx\n", "eid is missing"),
            ("eid,eid\n", "twice"),
            ("eid,colour\n", "colour"),
            ("", "eid is missing"),
        ] {
            let found = wrong(heading);
            assert!(found[0].0 == 1 && found[0].1.contains(says), "{found:?}");
        }
    }
}
