//! `[[cmp]]`: what is agreed with a CMP, as it is written and ready to use (AID.02 §5).

use std::path::PathBuf;

use aid_aid1::account_id::{Policy, Secret};
use aid_aid1::agreed::{self, Several};
use aid_aid1::body::Iccids;
use aid_aid1::client::{CmpClient, DEFAULT_TIMEOUT, Settings};
use aid_aid1::deviation::Deviations;
use aid_aid1::headers::{Credentials, PartyId};
use aid_aid1::operation::MspOperation;
use aid_aid1::phone::PhoneKey;
use aid_aid1::redirect::{AllowList, Pattern};
use aid_aid1::server::Certificate;
use aid_cli::cli::Failure;
use aid_cli::tls;
use serde::Deserialize;

/// `[[cmp]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cmp {
    /// Its `client-id`.
    pub(crate) client_id: PartyId,
    /// Ours at it.
    pub(crate) own_client_id: Option<PartyId>,
    /// Shown to customers; the `client_id` if absent.
    pub(crate) name: Option<String>,
    /// Base of its AID1 operations.
    pub(crate) url: String,
    /// CA of its server certificate.
    pub(crate) ca: PathBuf,
    /// Our client certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// API key that we send.
    pub(crate) api_key_out: Option<String>,
    /// `user:password` that we send instead.
    pub(crate) basic_out: Option<String>,
    /// API keys that we accept.
    #[serde(default)]
    pub(crate) api_key_in: Several,
    /// `user:password` that we accept.
    #[serde(default)]
    pub(crate) basic_in: Several,
    /// Common names of its client certificates.
    #[serde(default)]
    pub(crate) common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub(crate) certificate_sha256: Several,
    /// It is reached through an aggregation layer, whose certificate other CMPs behind it share (AID.02 §1.1).
    #[serde(default)]
    pub(crate) hub: bool,
    /// Shared secrets of account ids.
    pub(crate) account_id_secret: Several,
    /// Accept times as strings, as the specification's own example has `exp`; by default they are numbers (RFC 7519).
    #[serde(default)]
    pub(crate) account_id_times_as_strings: bool,
    /// Whether account ids must carry `ver`.
    #[serde(default)]
    pub(crate) account_id_ver: bool,
    /// AES-256 keys, hexadecimal; the first encrypts.
    pub(crate) phone_key: Several,
    /// Allow-list.
    pub(crate) redirect_uris: Vec<Pattern>,
    /// Its touchpoint, for onboarding that begins here (§4.2).
    pub(crate) touchpoint: Option<String>,
    /// How activation codes are answered.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Whether profiles whose ICCID has 18 digits may be ordered for it and named by it; AID.02 §5.4 has 19 to 22.
    #[serde(default)]
    pub(crate) short_iccids: bool,
    /// `operationId`s of our API that it may call; absent: all.
    pub(crate) operations: Option<Vec<String>>,
}

/// How activation codes are answered (AID.02 §7.7).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// 200 with the code, unless the SM-DP+ takes too long.
    #[default]
    Sync,
    /// 201, then Send Activation Code.
    Async,
    /// The one or the other, by the parity of activationCodeRequestID.
    Mixed,
}

/// A CMP, ready to use.
#[derive(Debug, Clone)]
pub(crate) struct CmpParty {
    /// Its `client-id`.
    pub(crate) client_id: PartyId,
    /// Shown to customers.
    pub(crate) name: String,
    /// Calls it.
    pub(crate) client: CmpClient,
    /// What it proves itself with.
    pub(crate) credentials: Vec<Credentials>,
    /// Its client certificates.
    pub(crate) certificates: Vec<Certificate>,
    /// They are those of an aggregation layer.
    pub(crate) hub: bool,
    /// Secrets of account ids.
    pub(crate) secrets: Vec<Secret>,
    /// What was agreed about account ids.
    pub(crate) policy: Policy,
    /// Phone number cipher.
    pub(crate) phone_key: PhoneKey,
    /// Where browsers may be sent.
    pub(crate) redirects: AllowList,
    /// Its touchpoint, for onboarding that begins here.
    pub(crate) touchpoint: Option<String>,
    /// How activation codes are answered.
    pub(crate) mode: Mode,
    /// Which ICCIDs may be named between it and us.
    pub(crate) iccids: Iccids,
    /// `operationId`s of our API that it may call; none: all.
    pub(crate) operations: Option<Vec<String>>,
    /// How it is called.
    pub(crate) settings: Settings,
    /// The key of `phone_key`, for what its type would not encrypt.
    pub(crate) raw_phone_key: [u8; 32],
}

impl CmpParty {
    /// A CMP with its keys and certificates. `own_id` is our name where it has no other for us.
    ///
    /// # Errors
    /// A file or a value is not usable.
    pub(crate) fn new(cmp: &Cmp, own_id: Option<&PartyId>) -> Result<Self, Failure> {
        let id = &cmp.client_id;
        let wrong =
            |what: &str, e: &dyn std::fmt::Display| Failure::new(format!("cmp {id}, {what}: {e}"));
        let at = |e: String| Failure::new(format!("cmp {id}: {e}"));
        let own_id = match cmp.own_client_id.as_ref().or(own_id) {
            Some(own) => own.clone(),
            None => "msp".parse().map_err(|e| wrong("own_client_id", &e))?,
        };
        let iccids = match cmp.short_iccids {
            true => Iccids::Short,
            false => Iccids::Standard,
        };
        let settings = Settings {
            base_url: cmp.url.clone(),
            tls: tls::client_config(&cmp.ca, Some((&cmp.cert, &cmp.key)))?
                .as_ref()
                .clone(),
            own_id,
            target_id: cmp.client_id.clone(),
            credentials: agreed::credentials_out(
                cmp.api_key_out.as_deref(),
                cmp.basic_out.as_deref(),
            )
            .map_err(at)?,
            timeout: DEFAULT_TIMEOUT,
            deviations: Deviations::default(),
            iccids,
        };
        // `id:key` or the key alone.
        let newest = cmp.phone_key.iter().next().unwrap_or_default();
        let newest = newest.rsplit(':').next().unwrap_or_default();
        let mut raw_phone_key = [0; 32];
        for (byte, pair) in raw_phone_key.iter_mut().zip(newest.as_bytes().chunks(2)) {
            // That it is hexadecimal is said below.
            let hex = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
        }
        Ok(Self {
            settings: settings.clone(),
            raw_phone_key,
            client_id: cmp.client_id.clone(),
            name: cmp.name.clone().unwrap_or_else(|| id.to_string()),
            client: CmpClient::new(settings).map_err(|e| wrong("url", &e))?,
            credentials: agreed::credentials_in(&cmp.api_key_in, &cmp.basic_in).map_err(at)?,
            certificates: agreed::certificates(&cmp.common_name, &cmp.certificate_sha256)
                .map_err(at)?,
            hub: cmp.hub,
            secrets: agreed::secrets(&cmp.account_id_secret).map_err(at)?,
            touchpoint: cmp.touchpoint.clone(),
            policy: Policy {
                times_as_strings: cmp.account_id_times_as_strings,
                ver_required: cmp.account_id_ver,
                ..Policy::default()
            },
            phone_key: agreed::phone_key(&cmp.phone_key).map_err(at)?,
            redirects: AllowList::new(cmp.redirect_uris.clone()),
            mode: cmp.mode,
            iccids,
            operations: agreed::operations::<MspOperation>(cmp.operations.as_deref())
                .map_err(at)?,
        })
    }
}
