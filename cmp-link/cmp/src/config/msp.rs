//! `[[msp]]`: what is agreed with an MSP, as it is written and ready to use (AID.02 §5).

use super::values;
use aid_aid1::account_id::Secret;
use aid_aid1::agreed::{self, Several};
use aid_aid1::body::{CsimStatus, Iccids};
use aid_aid1::client::{MspClient, Settings};
use aid_aid1::deviation::Deviations;
use aid_aid1::headers::PartyId;
use aid_aid1::operation::CmpOperation;
use aid_aid1::phone::PhoneKey;
use aid_aid1::redirect::{AllowList, Pattern};
use aid_aid1::server::Party;
use aid_cli::tls;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// An MSP as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MspFile {
    /// Shown to users; names the MSP in the database.
    pub name: String,
    /// What the MSP calls itself on AID1.
    pub client_id: PartyId,
    /// What we call ourselves towards it.
    pub own_client_id: PartyId,
    /// Base URL of its AID1.
    pub url: String,
    /// Its login page for onboarding.
    pub touchpoint: String,
    /// CA of its server.
    pub ca: PathBuf,
    /// Our client certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The API key that we send.
    pub api_key_out: Option<String>,
    /// `user:password` that we send instead.
    pub basic_out: Option<String>,
    /// The API keys that we accept.
    #[serde(default)]
    pub api_key_in: Several,
    /// `user:password` that we accept.
    #[serde(default)]
    pub basic_in: Several,
    /// At least 32 bytes each; the first signs account ids, all verify.
    pub account_id_secret: Several,
    /// Life of an account id, seconds.
    #[serde(default = "account_id_life")]
    pub account_id_life: u64,
    /// What the user is asked for as secret knowledge (`ver`), such as "the last four digits of your phone
    /// number"; absent: nothing.
    pub account_id_ver: Option<String>,
    /// 64 hexadecimal digits each, decrypts phone numbers.
    pub phone_key: Several,
    /// Where the MSP sends the user back to.
    pub redirect_uri: String,
    /// Common names of its client certificates.
    #[serde(default)]
    pub common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub certificate_sha256: Several,
    /// It is reached through an aggregation layer, whose certificate other MSPs behind it share (AID.02 §1.1).
    #[serde(default)]
    pub hub: bool,
    /// Statuses that it wants to hear of; absent: installed, installation_failed and deleted (§7.8, §7.10).
    pub statuses: Option<Vec<String>>,
    /// Whether it hears of enabled and disabled each time, instead of once per profile.
    #[serde(default)]
    pub every_use: bool,
    /// Whether `imei` is left out of Request Activation Code instead of being empty.
    #[serde(default)]
    pub without_imei: bool,
    /// Whether it may name profiles whose ICCID has 18 digits; AID.02 §5.4 has 19 to 22.
    #[serde(default)]
    pub short_iccids: bool,
    /// How long its answers are waited for, seconds.
    #[serde(default = "answer_within")]
    pub answer_within: u64,
    /// `operationId`s of our API that it may call; absent: all.
    pub operations: Option<Vec<String>>,
    /// Where onboarding that began at the MSP may return to.
    #[serde(default)]
    pub return_uris: Vec<Pattern>,
    /// Where its icon is, for the car's HMI (AID User Profile).
    #[serde(default)]
    pub icon: String,
}

/// More than the three seconds of §7.7.1: an answer that is late is better than none.
fn answer_within() -> u64 {
    30
}

/// Statuses that an MSP hears of where nothing else was agreed.
const STATUSES: [CsimStatus; 3] = [
    CsimStatus::Installed,
    CsimStatus::InstallationFailed,
    CsimStatus::Deleted,
];

fn account_id_life() -> u64 {
    aid_cmp_core::decide::onboarding::LIFETIME_S
}

/// An MSP, checked.
#[derive(Debug, Clone)]
pub struct Msp {
    /// Shown to users; names the MSP in the database.
    pub name: String,
    /// What the MSP calls itself on AID1.
    pub client_id: PartyId,
    /// It is reached through an aggregation layer, whose certificate other MSPs behind it share.
    pub hub: bool,
    /// Its login page for onboarding.
    pub touchpoint: String,
    /// Where it sends the user back to.
    pub redirect_uri: String,
    /// The first signs account ids, all verify.
    pub secrets: Vec<Secret>,
    /// Life of an account id, seconds.
    pub account_id_life: u64,
    /// What the user is asked for as `ver`, if that was agreed.
    pub account_id_ver: Option<String>,
    /// Decrypts phone numbers.
    pub phone_key: PhoneKey,
    /// Calls it.
    pub client: MspClient,
    /// What was seen of it that is tolerated.
    pub deviations: Deviations,
    /// Statuses that it wants to hear of.
    pub statuses: Vec<CsimStatus>,
    /// Whether it hears of enabled and disabled each time, instead of once per profile (R-7.10-7).
    pub every_use: bool,
    /// Whether `imei` is left out of Request Activation Code.
    pub without_imei: bool,
    /// Which ICCIDs it may name.
    pub iccids: Iccids,
    /// Where onboarding that began at the MSP may return to.
    pub return_uris: AllowList,
    /// Where its icon is; empty where there is none.
    pub icon: String,
}

impl Msp {
    /// Signs account ids.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        // There is always one: a list in the configuration has at least one text.
        &self.secrets[0]
    }
}

/// An MSP with its keys and certificates, and who may call as it. `before` are those that the file names before it.
///
/// # Errors
/// What is wrong with a value or a file of it, in one sentence.
pub(super) fn check(msp: &MspFile, before: &[MspFile]) -> Result<(Msp, Party), String> {
    let same = |other: &MspFile| other.name == msp.name || other.client_id == msp.client_id;
    if before.iter().any(same) {
        return Err("another [[msp]] has this name or client_id; choose one that differs".into());
    }
    if !(60..=86_400).contains(&msp.account_id_life) {
        let life = msp.account_id_life;
        return Err(format!(
            "account_id_life {life} must be 60 to 86400 seconds"
        ));
    }
    values::shown(msp)?;
    for other in before {
        values::apart(msp, other)?;
    }
    if !(4..=100).contains(&msp.answer_within) {
        let within = msp.answer_within;
        return Err(format!("answer_within {within} must be 4 to 100 seconds"));
    }
    let iccids = match msp.short_iccids {
        true => Iccids::Short,
        false => Iccids::Standard,
    };
    let deviations = Deviations::default();
    let client_tls = tls::client_config(&msp.ca, Some((&msp.cert, &msp.key)));
    let client = MspClient::new(Settings {
        base_url: msp.url.clone(),
        tls: (*client_tls.map_err(|e| e.to_string())?).clone(),
        own_id: msp.own_client_id.clone(),
        target_id: msp.client_id.clone(),
        credentials: agreed::credentials_out(msp.api_key_out.as_deref(), msp.basic_out.as_deref())?,
        timeout: Duration::from_secs(msp.answer_within),
        deviations: deviations.clone(),
        iccids,
    })
    .map_err(|e| e.to_string())?;
    let parse = |w: &String| {
        let word = w.parse::<CsimStatus>();
        word.map_err(|e| format!("statuses: {w:?} {e}"))
    };
    let statuses = match &msp.statuses {
        Some(words) => words.iter().map(parse).collect::<Result<_, _>>()?,
        None => STATUSES.to_vec(),
    };
    let checked = Msp {
        name: msp.name.clone(),
        client_id: msp.client_id.clone(),
        touchpoint: msp.touchpoint.clone(),
        redirect_uri: msp.redirect_uri.clone(),
        secrets: agreed::secrets(&msp.account_id_secret)?,
        account_id_life: msp.account_id_life,
        account_id_ver: msp.account_id_ver.clone(),
        phone_key: agreed::phone_key(&msp.phone_key)?,
        client,
        deviations,
        statuses,
        every_use: msp.every_use,
        without_imei: msp.without_imei,
        iccids,
        return_uris: AllowList::new(msp.return_uris.clone()),
        icon: msp.icon.clone(),
        hub: msp.hub,
    };
    let party = Party {
        client_id: msp.client_id.clone(),
        credentials: agreed::credentials_in(&msp.api_key_in, &msp.basic_in)?,
        certificates: agreed::certificates(&msp.common_name, &msp.certificate_sha256)?,
        target_id: Some(msp.own_client_id.clone()),
        operations: agreed::operations::<CmpOperation>(msp.operations.as_deref())?,
    };
    Ok((checked, party))
}
