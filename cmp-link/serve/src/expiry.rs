//! Shows in the metrics of a server when its certificates expire.

use crate::metrics::Gauge;
use aid_cli::validity::{Certificates, Dated};
use std::path::PathBuf;

static EXPIRY: Gauge = Gauge::new(
    "aid_certificate_expiry_seconds",
    "Seconds until the first certificate of a file expires; negative once it has",
);

/// The certificates of a running server: each look at them refreshes `aid_certificate_expiry_seconds` too.
#[must_use]
pub fn certificates(files: Vec<PathBuf>) -> Certificates {
    Certificates::observed(files, show)
}

/// Shows in the metric how long each file's certificates last, instead of what was shown before.
fn show(before: &[Dated], seen: &[Dated], now: i64) {
    let label = |certificate: &Dated| certificate.file.display().to_string();
    for gone in before {
        if seen.iter().all(|kept| kept.file != gone.file) {
            EXPIRY.remove(&[("file", &label(gone))]);
        }
    }
    for certificate in seen {
        let of_file = seen.iter().filter(|other| other.file == certificate.file);
        let first = of_file.map(|other| other.dates.not_after).min();
        let left = first.map_or(0, |first| first.saturating_sub(now));
        EXPIRY.set(&[("file", &label(certificate))], left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::time::Duration;

    const NOW: i64 = 1_795_996_800;
    const DAY: i64 = 86_400;

    fn minted(from: i64, to: i64) -> String {
        let at = |seconds: i64| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs())
        };
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("params");
        (params.not_before, params.not_after) = (at(from), at(to));
        let key = KeyPair::generate().expect("key");
        params.self_signed(&key).expect("certificate").pem()
    }

    #[test]
    fn the_metric_has_the_seconds_until_the_first_of_a_file_expires() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("metric.pem");
        let text = minted(NOW - DAY, NOW + 50 * DAY) + &minted(NOW - DAY, NOW + 40 * DAY);
        std::fs::write(&file, text).expect("write");
        let line = |seconds: i64| {
            let file = file.display();
            format!("aid_certificate_expiry_seconds{{file=\"{file}\"}} {seconds}")
        };
        let watched = certificates(vec![file.clone()]);
        for now in [NOW, NOW + 3600, NOW + 41 * DAY] {
            watched.look(now);
            let text = crate::metrics::render();
            assert!(text.contains(&line(NOW + 40 * DAY - now)), "{text}");
        }
        watched.renew(Vec::new(), NOW);
        assert!(!crate::metrics::render().contains("metric.pem"));
    }
}
