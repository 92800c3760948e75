//! The keys of the SM-DP+ that the judge plays for a card.

use super::target::Server;
use crate::rsp::dp::Dp;
use crate::rsp::keys::{self, Folder};
use crate::subject::Setting;
use aid_rsp::cert::Certificate;
use aid_rsp::pki::Identity;
use std::path::Path;

/// Reads the keys of the SM-DP+ that the judge plays; `Err(None)` where the target file names none.
pub(super) fn load_server(
    server: &Server,
    setting: &Setting,
) -> Result<(Dp, Certificate), Option<String>> {
    let at = |file: &Path| setting.beside(file);
    let pki = server
        .pki
        .as_ref()
        .map(|dir| Folder::new(&at(dir), server.curve));
    let named = server.ci.is_some() || server.dpauth.is_some() || server.dppb.is_some();
    if pki.is_none() && !named {
        return Err(None);
    }
    let missing = |what: &str| {
        Some(format!(
            "it names no {what}; name it, or a folder in the layout of SGP.26 with pki = \"DIR\""
        ))
    };
    let ci = match (&server.ci, &pki) {
        (Some(file), _) => keys::certificate(&at(file)),
        (None, Some(pki)) => pki.ci(),
        (None, None) => return Err(missing("ci")),
    };
    let one = |file: &Option<keys::CertifiedKey>,
               of: fn(&Folder) -> Result<Identity, String>,
               what: &str| match (file, &pki) {
        (Some(pair), _) => keys::identity(&at(&pair.cert), &at(&pair.key)).map_err(Some),
        (None, Some(pki)) => of(pki).map_err(Some),
        (None, None) => Err(missing(what)),
    };
    let auth = one(&server.dpauth, Folder::dp_auth, "dpauth")?;
    let binding = one(&server.dppb, Folder::dp_pb, "dppb")?;
    let ci = ci.map_err(Some)?;
    let dp = Dp::new(auth, binding, &ci).map_err(Some)?;
    Ok((dp, ci))
}
