//! The card alone, in this process, without sockets and files: what a download costs it beside the
//! cryptography in it, how much memory a card needs, how many fit, how fast they authenticate.

mod crowd;
mod download;

pub(super) use crowd::resident_kib;

use super::{BenchArgs, Figures};
use crate::site::Subject;
use aid_cli::cli::Failure;
use crowd::Crowd;
use download::Download;

/// Most processor time of a download, as a multiple of the cryptography in it.
const MAX_RATIO: f64 = 1.3;
/// Most memory of an idle card with one profile, KiB.
const MAX_KIB: f64 = 64.0;
/// Cards in one process.
const CARDS: u32 = 10_000;
/// Memory of a process with one card, KiB: onomondo-uicc, v-euicc, YggdraSIM.
const PEERS_KIB: [(&str, f64); 3] = [
    ("onomondo-uicc", 2.0 * 1024.0),
    ("v-euicc", 6.2 * 1024.0),
    ("YggdraSIM", 100.0 * 1024.0),
];

/// Measures the card.
pub(super) fn run(args: &BenchArgs) -> Result<Figures, Failure> {
    let subject = match &args.profile {
        Some(file) => Subject::from_file(file)?,
        None => Subject::build()?,
    };
    let download = Download::measure(&subject)?;
    let crowd = Crowd::measure(args.profile.as_deref(), args.cards)?;
    Ok(Figures {
        text: text(&subject, &download, &crowd),
        json: serde_json::json!({
            "profile_bytes": subject.package.len(),
            "algorithm": subject.aka.name(),
            "download": download,
            "cards": crowd,
            "limits": {"ratio": MAX_RATIO, "kib": MAX_KIB, "cards": CARDS},
        }),
    })
}

fn text(subject: &Subject, download: &Download, crowd: &Crowd) -> String {
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let peers: Vec<String> = PEERS_KIB
        .iter()
        .map(|(name, kib)| format!("{:.4} of {name}'s {:.1} MiB", crowd.kib / kib, kib / 1024.0))
        .collect();
    format!(
        "profile: {bytes} bytes, {algorithm}\n\
         one download: {card:.0} µs of processor time in the card for {apdus} APDUs; its cryptography alone {crypto:.0} µs = {counts}\n\
         card to cryptography: {ratio:.2} (limit {MAX_RATIO:.1}: {ratio_verdict})\n\
         {cards} cards in this process, each with its own EID, certificate, download and enabled profile: made in {made:.1} s, every one authenticated (limit {CARDS}: {cards_verdict})\n\
         memory of one: {kib:.1} KiB (limit {MAX_KIB:.0} KiB: {kib_verdict}; per process: {peers}); {stored:.1} KiB of it are its NVM\n\
         AUTHENTICATE: {authentications:.0} per second of processor time ({each:.1} µs each), sequence number stored\n",
        bytes = subject.package.len(),
        algorithm = subject.aka.name(),
        card = download.card_us,
        apdus = download.apdus,
        crypto = download.crypto_us,
        counts = download.operations,
        ratio = download.ratio,
        ratio_verdict = verdict(download.ratio <= MAX_RATIO),
        cards = crowd.cards,
        made = crowd.seconds,
        cards_verdict = verdict(crowd.cards >= CARDS),
        kib = crowd.kib,
        kib_verdict = verdict(crowd.kib <= MAX_KIB),
        peers = peers.join(", "),
        stored = crowd.nvm_kib,
        authentications = 1e6 / crowd.authenticate_us,
        each = crowd.authenticate_us,
    )
}

/// Processor time of this thread, microseconds.
fn processor_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
