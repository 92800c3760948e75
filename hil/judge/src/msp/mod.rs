//! An MSP under test: the judge is its CMP, and a customer with a browser.

mod calls;
mod headers;
mod onboarding;
mod orders;
mod reports;
mod rig;
mod variants;
mod words;

use crate::aid1::variant::HABITS;
use crate::aid1::{
    Hook, Link, LinkTarget, NumberKey, PortalTarget, Programs, Server, ServerTarget, StartTarget,
    Stranger,
};
use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// When the MSP sends activation codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// 200 with the code.
    Sync,
    /// 201, then Send Activation Code.
    Async,
    /// Either.
    Mixed,
}

/// `[msp]` of a target file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MspTarget {
    /// Base URL of its AID1.
    url: String,
    /// CA of its servers.
    ca: PathBuf,
    /// The CMP that the judge plays.
    judge: LinkTarget,
    /// Another CMP of it.
    second: Option<LinkTarget>,
    /// Secret of account ids, as it was agreed with the CMP that the judge plays.
    account_id_secret: Option<String>,
    /// Key of phone numbers, 64 hexadecimal digits: AES-256-GCM.
    phone_key: Option<String>,
    /// A token that is linked already, where onboarding can't be begun by the judge.
    msp_token: Option<String>,
    /// When it sends activation codes.
    mode: Mode,
    /// First digits of EIDs that get a profile.
    #[serde(default = "eid_prefix")]
    eid_prefix: String,
    /// How many activation codes a run may order; tests that need more are skipped.
    #[serde(default)]
    codes: u32,
    /// Longest wait for an answer, seconds.
    #[serde(default = "patience")]
    patience: u64,
    /// Longest wait for a call that the MSP makes again after a failure, seconds.
    #[serde(default = "repeats_within")]
    repeats_within: u64,
    /// Its touchpoint: `touchpoint` is its address, `arrive` the login and consent of a customer.
    portal: Option<PortalTarget>,
    /// The CMP's return URL, as it was agreed (§7.1).
    cmp_return: Option<String>,
    /// Where it finds the CMP's AID1: the judge.
    server: Option<ServerTarget>,
    /// Commands that begin procedures: `update`, `suspend`, `withdraw`.
    #[serde(default)]
    hooks: BTreeMap<String, Hook>,
    /// Commands to run before the tests.
    #[serde(default)]
    start: Vec<StartTarget>,
}

fn patience() -> u64 {
    30
}

fn repeats_within() -> u64 {
    180
}

fn eid_prefix() -> String {
    "89049032".to_owned()
}

/// An MSP under test, and the parties around it.
pub(crate) struct Msp {
    link: Link,
    second: Option<Link>,
    stranger: Stranger,
    secret: Option<Vec<u8>>,
    number_key: Option<NumberKey>,
    given_token: Option<String>,
    mode: Mode,
    eid_prefix: String,
    /// Codes that may still be ordered.
    codes: u32,
    repeats_within: Duration,
    portal: Option<PortalTarget>,
    ca: PathBuf,
    cmp_return: Option<String>,
    server: Option<Server>,
    hooks: BTreeMap<String, Hook>,
    folder: PathBuf,
    /// The token that is linked at present.
    token: Option<String>,
    /// Send MSP Token of that token.
    onboarded: Option<crate::aid1::Got>,
    /// A customer was linked once in this run: that visits can link at all.
    has_linked: bool,
    /// Why no customer can be linked, once it failed.
    no_token: Option<String>,
    /// The profile of that token.
    order: Option<rig::Order>,
    _programs: Programs,
}

impl Subject for Msp {
    const KIND: &'static str = "msp";
    type Target = MspTarget;

    fn tests() -> Vec<Test<Self>> {
        [
            headers::TESTS,
            words::TESTS,
            onboarding::TESTS,
            orders::TESTS,
            reports::TESTS,
            calls::TESTS,
        ]
        .into_iter()
        .flatten()
        .map(|test| Test { ..*test })
        .collect()
    }

    fn open(target: MspTarget, setting: &Setting) -> Result<Self, Failure> {
        let patience = Duration::from_secs(target.patience.clamp(1, 600));
        let (url, ca) = (&target.url, &target.ca);
        let link = Link::new(url, ca, &target.judge, setting, ("cmp", "msp"), patience)?;
        let second = target
            .second
            .as_ref()
            .map(|party| Link::new(url, ca, party, setting, ("cmp-2", "msp"), patience))
            .transpose()?;
        let number_key = match &target.phone_key {
            None => None,
            Some(text) => Some(NumberKey::parse(text).ok_or_else(|| {
                Failure::usage("phone_key of the target file has not 64 hexadecimal digits")
            })?),
        };
        let digits = target.eid_prefix.bytes().all(|b| b.is_ascii_digit());
        if !digits || target.eid_prefix.len() > 24 {
            return Err(Failure::usage(
                "eid_prefix of the target file has not at most 24 digits",
            ));
        }
        let stranger = Stranger::new(&target.judge.client_id, &link.ca, "localhost")?;
        let (server, programs) = if setting.dry_run {
            (None, Programs::default())
        } else {
            let server = target
                .server
                .as_ref()
                .map(|server| Server::start(server, setting, ("cmp", "msp")))
                .transpose()?;
            (server, Programs::start(&target.start, setting)?)
        };
        let ca = target
            .portal
            .as_ref()
            .map(|portal| setting.beside(&portal.ca));
        Ok(Self {
            ca: ca.unwrap_or_default(),
            portal: target.portal.filter(|_| target.server.is_some()),
            link,
            second,
            stranger,
            secret: target.account_id_secret.map(String::into_bytes),
            number_key,
            given_token: target.msp_token,
            mode: target.mode,
            eid_prefix: target.eid_prefix,
            codes: target.codes,
            repeats_within: Duration::from_secs(target.repeats_within.clamp(1, 3600)),
            cmp_return: target.cmp_return,
            server,
            hooks: target.hooks,
            folder: crate::aid1::folder(setting),
            token: None,
            onboarded: None,
            has_linked: false,
            no_token: None,
            order: None,
            _programs: programs,
        })
    }

    fn variants() -> Vec<(&'static str, &'static str, &'static str)> {
        let all = std::iter::once(&HABITS).chain(variants::VARIANTS);
        all.map(|v| (v.name, v.finds, v.about)).collect()
    }

    fn disguise(&mut self, variant: Option<usize>) {
        let variant = variant.and_then(|n| match n.checked_sub(1) {
            None => Some(&HABITS),
            Some(n) => variants::VARIANTS.get(n),
        });
        self.link.variant = variant;
        if let Some(server) = &mut self.server {
            server.variant = variant;
        }
    }

    fn close(mut self) {
        self.unlink();
    }
}
