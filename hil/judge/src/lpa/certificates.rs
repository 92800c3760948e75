//! Certificates of the parties that the judge plays for an LPA, right ones and wrong ones.

use super::rig::Rig;
use crate::rsp::findings::Checked;
use crate::rsp::keys::{self, Folder};
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::pki::{DAY, Identity, MintParams, RspPki};
use std::path::PathBuf;
use std::time::SystemTime;

/// Which TLS certificate the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The right one.
    Right,
    /// One of another CI.
    ForeignCi,
    /// One of another host.
    OtherHost,
    /// One whose time is over.
    Expired,
}

impl Rig {
    /// Files of a TLS certificate and its key.
    pub(super) fn certified(&mut self, shown: Shown) -> Checked<(PathBuf, PathBuf)> {
        let hidden = |e: &dyn std::fmt::Display| {
            Finding::Hidden(format!("no TLS certificate could be made: {e}"))
        };
        let crypto = SoftwareCrypto::new();
        let host = self.target.host.clone();
        let (own, other) = ([host.as_str()], ["other.smdp.example"]);
        let minted = match shown {
            Shown::Right => return Ok(self.tls.clone()),
            Shown::ForeignCi => {
                let params = params(&self.eid, &own, (DAY, DAY));
                RspPki::mint(&params, &crypto, &mut self.rng).map(|pki| pki.dp_tls)
            }
            Shown::OtherHost => {
                let params = MintParams {
                    tls_addresses: &[],
                    ..params(&self.eid, &other, (DAY, DAY))
                };
                self.pki.mint_dp_tls(&params, &crypto, &mut self.rng)
            }
            Shown::Expired => {
                let mut params = params(&self.eid, &own, (20 * DAY, 0));
                params.not_after = params.not_before + 10 * DAY;
                self.pki.mint_dp_tls(&params, &crypto, &mut self.rng)
            }
        };
        let minted = minted.map_err(|e| hidden(&e))?;
        write_tls(&self.files, "bad", &minted).map_err(|e| hidden(&e))
    }
}

/// Parameters of certificates that are valid from so long ago, for so long.
pub(super) fn params<'a>(
    eid: &'a [u8; 16],
    names: &'a [&'a str],
    (ago, ahead): (u64, u64),
) -> MintParams<'a> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    MintParams {
        tls_names: names,
        ..MintParams::loopback(eid, now.saturating_sub(ago), now + ahead)
    }
}

pub(crate) fn write_tls(
    files: &tempfile::TempDir,
    name: &str,
    identity: &Identity,
) -> Result<(PathBuf, PathBuf), Failure> {
    let (cert, key) = (
        files.path().join(format!("{name}.pem")),
        files.path().join(format!("{name}.key")),
    );
    identity
        .write_to(&cert, &key)
        .map_err(|e| Failure::new(format!("cannot write certificates: {e}")))?;
    Ok((cert, key))
}

/// The certificates of a folder; the key of its CI may be missing.
pub(crate) fn read_pki(folder: &Folder) -> Result<(RspPki, bool, [u8; 16]), String> {
    let euicc = folder.euicc()?;
    let certificate = Certificate::from_der(&euicc.certificate).map_err(|e| e.to_string())?;
    let eid = certificate.eid().map_err(|e| e.to_string())?;
    let ci = folder.ci()?;
    let own = folder.ci_identity().ok();
    let certifies = own.is_some();
    let (cert, key) = folder.dp_tls();
    let without_key = |certificate: &Certificate| Identity {
        certificate: certificate.as_der().to_vec(),
        key: euicc.key.clone(),
    };
    let pki = RspPki {
        ci: own.unwrap_or_else(|| without_key(&ci)),
        eum: without_key(&folder.eum()?),
        dp_auth: folder.dp_auth()?,
        dp_pb: folder.dp_pb()?,
        dp_tls: keys::identity(&cert, &key)?,
        euicc,
    };
    Ok((pki, certifies, eid))
}
