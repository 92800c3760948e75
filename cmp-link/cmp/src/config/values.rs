//! Values of the configuration that no type can judge alone: addresses, texts that users see, and what two MSPs
//! may not share.

use super::{File, MspFile};
use crate::store::Database;
use aid_aid1::agreed;
use aid_serve::http::check_address;

/// Where things are: listeners, database, the portal as browsers see it.
pub(super) fn places(file: &File) -> Result<(), String> {
    let own = file.gateway.listen.as_ref();
    for (key, address) in [
        ("aid1.listen", Some(&file.aid1.listen)),
        ("portal.listen", Some(&file.portal.listen)),
        ("gateway.listen", own),
        ("admin.listen", Some(&file.admin.listen)),
    ] {
        if let Some(address) = address {
            check_address(key, address).map_err(|e| e.to_string())?;
        }
    }
    if let Database::Sqlite(file) = &file.database {
        if file.is_dir() {
            return Err(format!(
                "database {file:?} is a directory; name a file in it"
            ));
        }
        let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(format!(
                "database {file:?}: its directory is not there; make it"
            ));
        }
    }
    let base = &file.portal.base_url;
    let after = base.strip_prefix("https://").unwrap_or("/");
    if after.contains(['/', '?']) || agreed::page("portal.base_url", base).is_err() {
        return Err(format!(
            "portal.base_url {base:?} must be https://HOST[:PORT] without a slash at the end"
        ));
    }
    Ok(())
}

/// What users and browsers see of an MSP.
pub(super) fn shown(msp: &MspFile) -> Result<(), String> {
    let says = crate::names::is_plain;
    if !says(&msp.name) || msp.name.chars().count() > 128 {
        return Err("name must be 1 to 128 printable characters".into());
    }
    if msp.account_id_ver.as_deref().is_some_and(|ver| !says(ver)) {
        return Err(
            "account_id_ver must say what the user is asked for; leave it out for nothing".into(),
        );
    }
    agreed::page("touchpoint", &msp.touchpoint)?;
    agreed::page("redirect_uri", &msp.redirect_uri)?;
    match msp.icon.as_str() {
        "" => Ok(()),
        icon => agreed::page("icon", icon),
    }
}

/// What two MSPs must not have in common: each account id belongs to one of them by its secret (AID.02 §5.2), and a
/// return URL says alone whose it is (§4.2 [3]).
pub(super) fn apart(a: &MspFile, b: &MspFile) -> Result<(), String> {
    if a.account_id_secret
        .iter()
        .any(|s| b.account_id_secret.iter().any(|t| s == t))
    {
        return Err(format!(
            "account_id_secret is that of {:?} too; each MSP has its own (AID.02 §5.2)",
            b.name
        ));
    }
    let texts = |m: &MspFile| {
        m.return_uris
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let theirs = texts(b);
    match texts(a).into_iter().find(|uri| theirs.contains(uri)) {
        None => Ok(()),
        Some(uri) => Err(format!(
            "return_uris: {uri:?} is there for {:?} too; nothing else says which of the two sent a user",
            b.name
        )),
    }
}
