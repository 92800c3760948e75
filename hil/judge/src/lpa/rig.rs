//! The parties around an LPA under test: a card, an SM-DP+, and their certificates.

use super::card::{JudgeCard, Who};
use super::certificates::{Shown, params, read_pki, write_tls};
use super::command::{fill, filled, run};
use super::events::Events;
use super::outcome::Run;
use super::server::{Script, Server, router};
use super::target::Target;
use crate::evidence::Evidence;
use crate::rsp::dp::Dp;
use crate::rsp::findings::{Checked, must};
use crate::rsp::keys::Folder;
use crate::rsp::profile::Profile;
use crate::rsp::seeded::Seeded;
use crate::subject::Setting;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_cli::signal::{self, Trigger};
use aid_cli::tls;
use aid_euicc::card::Options;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{SoftwareCrypto, pem_block};
use aid_rsp::es10::{
    DataObject, ListNotificationRequest, ListNotificationResponse, NotificationMetadata,
    ProfileInfo, ProfileInfoListRequest, ProfileInfoListResponse,
};
use aid_rsp::pki::{DAY, RspPki};
use aid_serve::http;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The Confirmation Code of the judge's orders.
pub(super) const CODE: &str = "4711";
/// EID of the judge's card, where it mints its own certificates.
const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

/// What an LPA does in a test: the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Download,
    DownloadWithCode,
    Notifications,
}

/// An LPA under test, and the parties around it.
#[derive(Debug)]
pub struct Rig {
    pub(super) target: Target,
    folder: PathBuf,
    pub(super) files: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    dp: Dp,
    pub(super) pki: RspPki,
    /// The CI's key is there.
    certifies: bool,
    pub(super) tls: (PathBuf, PathBuf),
    ci_file: PathBuf,
    pub(super) eid: [u8; 16],
    pub(super) rng: Seeded,
    pub(super) events: Events,
    card: Option<JudgeCard>,
    /// Options of the next card.
    pub(super) options: Options,
    serial: u32,
    profile: Option<Profile>,
    /// Port of the judge's SM-DP+ in this test: a notification is delivered where the profile came from.
    port: Option<u16>,
}

fn mistake(text: impl Into<String>) -> Failure {
    Failure::usage(format!("[lpa]: {}", text.into()))
}

impl Rig {
    /// The LPA of a target file. Nothing is started yet.
    ///
    /// # Errors
    /// The target file names no command, or keys that cannot be read.
    pub(super) fn at(target: Target, setting: &Setting) -> Result<Self, Failure> {
        if target.download.is_empty() {
            return Err(mistake("download is empty; give the command word by word"));
        }
        if !(1..=600).contains(&target.timeout_s) {
            return Err(mistake("timeout_s must be 1 to 600 seconds"));
        }
        let files = tempfile::tempdir()
            .map_err(|e| Failure::new(format!("no temporary folder: {e}; set TMPDIR")))?;
        let mut rng = Seeded::new(setting.seed);
        let (pki, certifies, eid) = match &target.pki {
            Some(dir) => {
                read_pki(&Folder::new(&setting.beside(dir), target.curve)).map_err(mistake)?
            }
            None => {
                let names = [target.host.as_str()];
                let params = params(&EID, &names, (DAY, 30 * DAY));
                let pki = RspPki::mint(&params, &SoftwareCrypto::new(), &mut rng)?;
                (pki, true, EID)
            }
        };
        let wrong = |e: std::io::Error| Failure::new(format!("cannot write certificates: {e}"));
        let place = |name: &str| files.path().join(name);
        std::fs::write(place("ci.der"), &pki.ci.certificate).map_err(wrong)?;
        let pem = pem_block("CERTIFICATE", &pki.ci.certificate);
        std::fs::write(place("ci.pem"), pem).map_err(wrong)?;
        let tls = write_tls(&files, "tls", &pki.dp_tls)?;
        let ci = Certificate::from_der(&pki.ci.certificate).map_err(|e| mistake(e.to_string()))?;
        let dp = Dp::new(pki.dp_auth.clone(), pki.dp_pb.clone(), &ci).map_err(mistake)?;
        let folder = setting.file.parent().map(PathBuf::from).unwrap_or_default();
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        Ok(Self {
            target,
            folder,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
            dp,
            pki,
            certifies,
            tls,
            ci_file: place("ci.der"),
            files,
            eid,
            rng,
            events: Events::default(),
            card: None,
            options: Options::default(),
            serial: 0,
            profile: None,
            port: None,
        })
    }

    pub(super) fn can_certify(&self) -> Result<(), String> {
        match self.certifies {
            true => Ok(()),
            false => Err(
                "the folder of pki has no key of the CI: no other TLS certificates can be made"
                    .to_owned(),
            ),
        }
    }

    /// Runs one test that needs something with a new card, and hands over what was seen.
    pub(super) fn case(
        &mut self,
        evidence: &mut Evidence,
        needs: fn(&Self) -> Result<(), String>,
        run: fn(&mut Self) -> Checked,
    ) -> Checked {
        self.forget();
        self.port = None;
        self.options = Options::default();
        let result = needs(self)
            .map_err(Finding::Lacking)
            .and_then(|()| run(self));
        self.card = None;
        self.events.drain(evidence);
        result
    }

    /// The card of this test.
    fn card(&mut self) -> Checked<JudgeCard> {
        if let Some(card) = &self.card {
            return Ok(card.clone());
        }
        let read =
            |der: &[u8]| Certificate::from_der(der).map_err(|e| Finding::Hidden(e.to_string()));
        let who = Who {
            eid: self.eid,
            euicc: self.pki.euicc.clone(),
            eum: read(&self.pki.eum.certificate)?,
            ci: read(&self.pki.ci.certificate)?,
            options: self.options.clone(),
            seed: u64::from_be_bytes(self.rng.bytes()),
        };
        let card = JudgeCard::new(who, self.events.clone()).map_err(Finding::Hidden)?;
        Ok(self.card.insert(card).clone())
    }

    /// Goes on with a new card and another profile.
    pub(super) fn forget(&mut self) {
        self.card = None;
        self.profile = None;
    }

    /// The profile of this test.
    pub(super) fn profile(&mut self) -> Checked<Profile> {
        if self.profile.is_none() {
            self.serial += 1;
            let host = self.target.host.clone();
            let made = Profile::new(&mut self.rng, self.serial, &host);
            self.profile = Some(made.map_err(Finding::Hidden)?);
        }
        self.profile
            .clone()
            .ok_or_else(|| Finding::Hidden("no profile".to_owned()))
    }

    /// Plays a download of a right server.
    pub(super) fn download(&mut self) -> Checked<Run> {
        self.play(Script::default(), Shown::Right, Order::Download)
    }

    /// Runs a command of the LPA against a server with this script and TLS certificate.
    pub(super) fn play(&mut self, script: Script, shown: Shown, order: Order) -> Checked<Run> {
        let card = self.card()?;
        let mut profile = self.profile()?;
        let words = match order {
            Order::Download => &self.target.download,
            Order::DownloadWithCode => &self.target.download_with_code,
            Order::Notifications => &self.target.notifications,
        }
        .clone();
        let listener = self
            .runtime
            .block_on(http::bind(&self.listen()))
            .map_err(|e| Finding::Hidden(format!("the judge's SM-DP+: {e}")))?;
        let port = listener
            .local_addr()
            .map_err(|e| Finding::Hidden(e.to_string()))?
            .port();
        self.port = Some(port);
        let server = match self.target.without_port {
            true => self.target.host.clone(),
            false => format!("{}:{port}", self.target.host),
        };
        for info in &mut profile.metadata.notifications {
            info.address.clone_from(&server);
        }
        let (cert, key) = self.certified(shown)?;
        let config = tls::server_config(&cert, &key, None)
            .map_err(|e| Finding::Hidden(format!("the judge's SM-DP+: {e}")))?;
        let rng = Seeded::new(u64::from_be_bytes(self.rng.bytes()));
        let events = self.events.clone();
        let played = Server::new(self.dp.clone(), script, profile, self.eid, rng, events);
        let router = router(Arc::new(Mutex::new(played)));
        let (trigger, stop): (Trigger, _) = signal::manual();
        let serving = self
            .runtime
            .spawn(http::serve(listener, Some(config), router, stop));

        let stop_card = Arc::new(AtomicBool::new(false));
        let socket =
            TcpListener::bind("127.0.0.1:0").map_err(|e| Finding::Hidden(e.to_string()))?;
        let place = socket
            .local_addr()
            .map_err(|e| Finding::Hidden(e.to_string()))?;
        card.serve(socket, Arc::clone(&stop_card));

        let matching_id = "JUDGE-1".to_owned();
        let ci = self.ci_file.display().to_string();
        let values = BTreeMap::from([
            ("code", format!("LPA:1${server}${matching_id}")),
            ("server", server),
            ("matching_id", matching_id),
            ("confirmation_code", CODE.to_owned()),
            ("card", place.to_string()),
            ("ci_pem", ci.replace("ci.der", "ci.pem")),
            ("ci", ci),
        ]);
        let words = fill(&words, &values);
        let env = self.target.env.iter();
        let env = env
            .map(|(name, value)| (name.clone(), filled(value, &values)))
            .collect();
        self.events.deed(words.join(" "));
        let from = self.events.all().len();
        let ended = run(
            &words,
            &env,
            &self.folder,
            self.target.card,
            &card,
            Duration::from_secs(self.target.timeout_s),
        );
        stop_card.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees that it is over.
        drop(std::net::TcpStream::connect(place));
        drop(trigger);
        // What is still on its way is the LPA's loss.
        let _ = self.runtime.block_on(serving);
        let ended = ended.map_err(Finding::Hidden)?;
        let run = Run {
            ended,
            events: self.events.all().split_off(from),
        };
        self.events.deed(run.end());
        Ok(run)
    }

    /// Where the judge's SM-DP+ listens.
    fn listen(&self) -> String {
        let listen = &self.target.listen;
        match (self.port, listen.rsplit_once(':')) {
            (Some(port), Some((host, _))) => format!("{host}:{port}"),
            _ => listen.clone(),
        }
    }

    /// Profiles on the judge's card.
    pub(super) fn profiles(&mut self) -> Checked<Vec<ProfileInfo>> {
        let answer = self
            .card()?
            .ask(&ProfileInfoListRequest::default().to_vec());
        match ProfileInfoListResponse::from_slice(&answer) {
            Ok(ProfileInfoListResponse::Ok(list)) => Ok(list),
            other => Err(Finding::Hidden(format!("the judge's card: {other:?}"))),
        }
    }

    /// Notifications on the judge's card.
    pub(super) fn waiting(&mut self) -> Checked<Vec<NotificationMetadata>> {
        let answer = self
            .card()?
            .ask(&ListNotificationRequest::default().to_vec());
        match ListNotificationResponse::from_slice(&answer) {
            Ok(ListNotificationResponse::Ok(list)) => Ok(list),
            other => Err(Finding::Hidden(format!("the judge's card: {other:?}"))),
        }
    }

    /// The profile must be on the card, or must not.
    pub(super) fn must_have(&mut self, installed: bool, run: &Run) -> Checked {
        let iccid = self.profile()?.iccid;
        let is_there = self.profiles()?.iter().any(|p| p.iccid == Some(iccid));
        let expected = match installed {
            true => "the profile installed on the card",
            false => "no profile installed on the card",
        };
        must(is_there == installed, expected, || {
            format!("the opposite; the LPA did {} and {}", run.did(), run.end())
        })
    }
}
