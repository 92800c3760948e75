//! A CMP under test: the judge is its MSP, its user with a browser, and where it speaks AID2 its vehicle.

mod account;
mod calls;
mod car;
mod codes;
mod headers;
mod life;
mod pages;
mod rig;
mod token;
mod variants;
mod words;

use crate::aid1::variant::HABITS;
use crate::aid1::{
    Browser, Hook, Link, LinkTarget, NumberKey, PortalTarget, Programs, Server, ServerTarget,
    StartTarget, Stranger,
};
use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;
use car::{Car, CarTarget};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `[cmp]` of a target file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CmpTarget {
    /// Base URL of its AID1.
    url: String,
    /// CA of its servers.
    ca: PathBuf,
    /// The MSP that the judge plays.
    judge: LinkTarget,
    /// Another MSP of it.
    second: Option<LinkTarget>,
    /// Secret of account ids, as it was agreed with the MSP that the judge plays.
    account_id_secret: Option<String>,
    /// Key of phone numbers, 64 hexadecimal digits: AES-256-GCM.
    phone_key: Option<String>,
    /// A token that is linked already, where onboarding can't be begun by the judge.
    msp_token: Option<String>,
    /// Longest wait for an answer, seconds.
    #[serde(default = "patience")]
    patience: u64,
    /// Longest wait for a call that the CMP makes again after a failure, seconds.
    #[serde(default = "repeats_within")]
    repeats_within: u64,
    /// Statuses that the MSP hears of (§7.8).
    #[serde(default)]
    statuses: Vec<String>,
    /// Its pages.
    portal: Option<PortalTarget>,
    /// Where the MSP's touchpoint is, without a query: where the CMP sends its users.
    msp_touchpoint: Option<String>,
    /// The MSP's return URL, as it was agreed (§7.1, second).
    msp_return: Option<String>,
    /// Where it finds the MSP's AID1: the judge.
    server: Option<ServerTarget>,
    /// A vehicle of it that the judge plays over AID2.
    vehicle: Option<CarTarget>,
    /// Commands that begin procedures: `synchronise`.
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

/// A CMP under test, and the parties around it.
pub(crate) struct Cmp {
    link: Link,
    second: Option<Link>,
    stranger: Stranger,
    secret: Option<Vec<u8>>,
    number_key: Option<NumberKey>,
    given_token: Option<String>,
    repeats_within: Duration,
    statuses: Vec<String>,
    portal: Option<PortalTarget>,
    browser: Option<Browser>,
    msp_touchpoint: Option<String>,
    msp_return: Option<String>,
    server: Option<Server>,
    car: Option<CarTarget>,
    connected: Option<Car>,
    hooks: BTreeMap<String, Hook>,
    folder: PathBuf,
    /// The token that is linked at present.
    token: Option<String>,
    /// Why no account can be linked, once it failed.
    no_token: Option<String>,
    /// The vehicle's request that waits for its code.
    requested: Option<rig::Requested>,
    /// The newest request of the vehicle, open or not: a CMP may allow a vehicle few of them in an hour.
    newest: Option<rig::Requested>,
    /// A request that was answered, and the body that answered it.
    answered: Option<(rig::Requested, serde_json::Value)>,
    /// ICCID of the profile in the vehicle.
    profile: Option<String>,
    _programs: Programs,
}

impl Subject for Cmp {
    const KIND: &'static str = "cmp";
    type Target = CmpTarget;

    fn tests() -> Vec<Test<Self>> {
        [
            headers::TESTS,
            words::TESTS,
            account::TESTS,
            pages::TESTS,
            token::TESTS,
            life::TESTS,
            calls::TESTS,
            codes::TESTS,
        ]
        .into_iter()
        .flatten()
        .map(|test| Test { ..*test })
        .collect()
    }

    fn open(target: CmpTarget, setting: &Setting) -> Result<Self, Failure> {
        let patience = Duration::from_secs(target.patience.clamp(1, 600));
        let (url, ca) = (&target.url, &target.ca);
        let link = Link::new(url, ca, &target.judge, setting, ("msp", "cmp"), patience)?;
        let second = target
            .second
            .as_ref()
            .map(|party| Link::new(url, ca, party, setting, ("msp-2", "cmp"), patience))
            .transpose()?;
        let number_key = match &target.phone_key {
            None => None,
            Some(text) => Some(NumberKey::parse(text).ok_or_else(|| {
                Failure::usage("phone_key of the target file has not 64 hexadecimal digits")
            })?),
        };
        let browser = target
            .portal
            .as_ref()
            .map(|portal| Browser::new(&setting.beside(&portal.ca), "cmp", patience))
            .transpose()?;
        let common_name = target.judge.client_id.clone();
        let stranger = Stranger::new(&common_name, &link.ca, "localhost")?;
        let mut car = target.vehicle;
        if let Some(car) = &mut car {
            car.prepare(setting)?;
        }
        let (server, programs) = if setting.dry_run {
            (None, Programs::default())
        } else {
            let server = target
                .server
                .as_ref()
                .map(|server| Server::start(server, setting, ("msp", "cmp")))
                .transpose()?;
            (server, Programs::start(&target.start, setting)?)
        };
        let has_server = target.server.is_some();
        Ok(Self {
            link,
            second,
            stranger,
            secret: target.account_id_secret.map(String::into_bytes),
            number_key,
            given_token: target.msp_token,
            repeats_within: Duration::from_secs(target.repeats_within.clamp(1, 3600)),
            statuses: target.statuses,
            portal: target.portal,
            browser,
            msp_touchpoint: target.msp_touchpoint,
            msp_return: target.msp_return,
            server,
            car: car.filter(|_| has_server),
            connected: None,
            hooks: target.hooks,
            folder: crate::aid1::folder(setting),
            token: None,
            no_token: None,
            requested: None,
            newest: None,
            answered: None,
            profile: None,
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
