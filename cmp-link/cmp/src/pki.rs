//! The operator's PKI as vehicles' requests reach it: a CA whose key is in a file, or a command that speaks to whatever the
//! operator has (EST, CMPv2, a web service, an HSM). A command gets the request on stdin (PEM), the EID and the name of the
//! request in its environment, and writes the chain to stdout. Its time and its output are bounded.

use crate::config::VehicleCa;
use crate::operator::{id_text, issue};
use aid_cli::certificate::{public_key, request_key};
use aid_cli::tls;
use aid_cli::validity::Dates;
use aid_cmp_core::model::Issued;
use aid_id::{Eid, Id};
use aid_serve::peer::{common_name, fingerprint};
use aid_wire::MAX_CHAIN;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Most bytes of a chain, PEM.
const MAX_PEM: u64 = 24 * 1024;
/// Most bytes of what a command says on stderr that are logged.
const MAX_SAID: u64 = 1024;
/// Exit status of a command that refuses the request for good (EX_DATAERR of sysexits.h).
const REFUSED: i32 = 65;

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotIssued {
    /// The PKI refuses the request; another try would be refused, too.
    Refused(String),
    /// It does not work now.
    Later(String),
}

/// Certificates as PEM.
fn pem(chain: &[CertificateDer<'_>]) -> String {
    let mut out = String::new();
    for certificate in chain {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        wrapped(&mut out, certificate);
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

fn wrapped(out: &mut String, der: &[u8]) {
    // 48 bytes are 64 characters, the line of RFC 7468.
    for line in der.chunks(48) {
        // A String takes everything.
        let _ = writeln!(out, "{}", STANDARD.encode(line));
    }
}

/// The certificates of a stored chain, DER.
pub(crate) fn chain(pem: &str) -> Vec<Vec<u8>> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    certificates.flatten().map(|c| c.to_vec()).collect()
}

/// Has a request certified, which was judged before.
pub(crate) async fn certify(
    ca: &VehicleCa,
    eid: Eid,
    request_id: Id,
    request: &[u8],
    now: u64,
) -> Result<Issued, NotIssued> {
    let chain = match (&ca.cert, &ca.key) {
        (Some(cert), Some(key)) => {
            let failed = |e: String| NotIssued::Later(format!("[vehicle_ca]: {e}"));
            let issuers = tls::certificates(cert).map_err(|e| failed(e.text))?;
            let first = issuers
                .first()
                .ok_or_else(|| failed("no CA certificate".into()))?;
            let key = std::fs::read_to_string(key).map_err(|e| failed(e.to_string()))?;
            let own = issue(request, first, &key, eid, ca.days).map_err(failed)?;
            let own = CertificateDer::from_pem_slice(own.as_bytes())
                .map_err(|e| failed(e.to_string()))?;
            let mut chain = vec![own];
            chain.extend(issuers);
            chain
        }
        _ => run(ca, eid, request_id, request).await?,
    };
    checked(&chain, eid, request, now)
}

/// What came from the PKI is for this car and this key, or it is not used.
fn checked(
    chain: &[CertificateDer<'_>],
    eid: Eid,
    request: &[u8],
    now: u64,
) -> Result<Issued, NotIssued> {
    let wrong = |what: String| Err(NotIssued::Later(format!("the PKI's answer {what}")));
    let Some(own) = chain.first() else {
        return wrong("has no certificate".into());
    };
    if chain.len() > MAX_CHAIN {
        return wrong(format!("has more than {MAX_CHAIN} certificates"));
    }
    let name = common_name(own).unwrap_or_default();
    if name != eid.as_str() {
        return wrong(format!("names {name:?}, not {eid}"));
    }
    if public_key(own).is_none() || public_key(own) != request_key(request) {
        return wrong("is for another key than that of the request".into());
    }
    let Some(dates) = Dates::of(own) else {
        return wrong("has no dates that can be read".into());
    };
    let seconds = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    if dates.judge(seconds).is_refused() {
        return wrong("is not valid now".into());
    }
    Ok(Issued {
        chain: pem(chain),
        certificate: hex::encode(fingerprint(own)),
        not_after: u64::try_from(dates.not_after).unwrap_or_default() * 1000,
        at: now,
    })
}

/// Runs the command.
async fn run(
    ca: &VehicleCa,
    eid: Eid,
    request_id: Id,
    request: &[u8],
) -> Result<Vec<CertificateDer<'static>>, NotIssued> {
    let later = |what: String| NotIssued::Later(format!("vehicle_ca.command {what}"));
    let [program, args @ ..] = ca.command.as_slice() else {
        return Err(later("is empty".into()));
    };
    let child = Command::new(program)
        .args(args)
        .env("AID_EID", eid.as_str())
        .env("AID_REQUEST_ID", id_text(request_id))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|e| later(format!("can't be started: {e}")))?;
    let mut text = "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned();
    wrapped(&mut text, request);
    text.push_str("-----END CERTIFICATE REQUEST-----\n");
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A command that needs no request closes it.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let read = async {
            match stdout {
                Some(stdout) => stdout.take(MAX_PEM + 1).read_to_end(&mut out).await,
                None => Ok(0),
            }
        };
        let hear = async {
            match stderr {
                Some(stderr) => stderr.take(MAX_SAID).read_to_end(&mut said).await,
                None => Ok(0),
            }
        };
        let ((), read, _) = tokio::join!(write, read, hear);
        read?;
        Ok::<_, std::io::Error>((child.wait().await?, out, said))
    };
    let limit = Duration::from_secs(u64::from(ca.command_s));
    let done = tokio::time::timeout(limit, work).await;
    let done = done.map_err(|_| later(format!("took longer than {limit:?}")))?;
    let (status, out, said) = done.map_err(|e| later(format!("failed: {e}")))?;
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    if status.code() == Some(REFUSED) {
        return Err(NotIssued::Refused(format!("the PKI refuses it: {said}")));
    }
    if !status.success() {
        return Err(later(format!("ended with {status}: {said}")));
    }
    if out.len() as u64 > MAX_PEM {
        return Err(later(format!("wrote more than {MAX_PEM} bytes")));
    }
    CertificateDer::pem_slice_iter(&out)
        .collect::<Result<_, _>>()
        .map_err(|e| later(format!("wrote damaged PEM: {e}")))
}
