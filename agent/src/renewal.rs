//! The car's certificate is renewed over AID2 while it is valid, and with a bootstrap certificate when it is not any more.
//! `plan` decides, `credentials` has the files; here the daemon does what they say.

pub(crate) mod credentials;
pub(crate) mod plan;

use crate::boot_clock;
use crate::config::{Cmp, Config};
use crate::daemon::Daemon;
use crate::dialer::Refusal;
use crate::health::{self, Trouble};
use crate::keys::{KeyStore, RealDisk, Slot};
use crate::link;
use aid_agent_core::{BootMs, CertificateOutcome, Down, Event, FLEET_REVISION, Id, Up, announce};
use aid_cli::validity;
use credentials::{Credentials, Pending};
use plan::{Act, Facts, Mode, Refused, Standing};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Longest pause between two looks at the dates, ms: clocks are set.
const LOOK_MS: u64 = 3600 * 1000;
/// When a request without an answer is sent again, ms.
const RESEND_MS: u64 = 5 * 60 * 1000;
/// When what failed is tried again, ms: the first time, and at most.
const RETRY_MS: u64 = 30_000;
const RETRY_MAX_MS: u64 = 3600 * 1000;
/// When another request is made after one was refused, ms.
const REFUSED_MS: u64 = 24 * 3600 * 1000;
/// Refusals of a new certificate after which it is given up.
const PROBES: u32 = 5;

/// How the new certificate fared.
#[derive(Debug)]
pub(crate) enum Probed {
    /// The CMP let the car in.
    Admitted,
    /// It did not.
    Refused(String),
    /// It was not reached.
    Unreached(String),
}

/// The renewal of this car's certificate.
pub(crate) struct Renewal {
    own: Credentials,
    bootstrap: Option<Credentials>,
    /// `[cmp] renew`.
    enabled: bool,
    pending: Pending,
    pub(crate) mode: Mode,
    /// Newest revision of AID2 that the CMP behind the link knows.
    revision: u8,
    /// Not before then.
    next: BootMs,
    refused: Refused,
    /// The CMP said that the certificate of `[cmp]` has expired.
    told_expired: bool,
    probing: bool,
    /// Refusals of the new certificate in a row.
    probes: u32,
    /// Failures in a row.
    failures: u32,
    pub(crate) trouble: Option<Trouble>,
    /// The CMP has given a certificate at this Unix time; for `status`.
    renewed_at: Option<i64>,
}

/// The certificate and key of `[cmp]`.
pub(crate) fn own(cmp: &Cmp) -> Credentials {
    Credentials::new(&cmp.cert, KeyStore::new(cmp.key.clone()))
}

/// Those of `[cmp.bootstrap]`.
pub(crate) fn bootstrap(cmp: &Cmp) -> Option<Credentials> {
    let bootstrap = cmp.bootstrap.as_ref()?;
    let keys = KeyStore::new(bootstrap.key.clone());
    Some(Credentials::new(&bootstrap.cert, keys))
}

impl Renewal {
    /// The renewal as the files have it.
    pub(crate) fn new(cmp: &Cmp) -> Self {
        let mut renewal = Self {
            own: own(cmp),
            bootstrap: bootstrap(cmp),
            enabled: cmp.renew,
            pending: Pending::None,
            mode: Mode::Operational,
            revision: 0,
            next: BootMs::default(),
            refused: Refused::default(),
            told_expired: false,
            probing: false,
            probes: 0,
            failures: 0,
            trouble: None,
            renewed_at: None,
        };
        renewal.settle();
        renewal
    }

    fn settle(&mut self) {
        if !self.enabled {
            return;
        }
        match self.own.settle(&mut RealDisk) {
            Ok(pending) => self.pending = pending,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "the certificate is not renewed; it is tried again");
        let now = boot_clock::now();
        health::failed(&mut self.trouble, now, error.to_string());
        let pause = RETRY_MS << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.next = now.plus(pause.min(RETRY_MAX_MS));
    }

    /// Certificate and keys of a mode.
    pub(crate) fn identity(&self, mode: Mode) -> (Credentials, Slot) {
        match (mode, &self.bootstrap) {
            (Mode::Bootstrap, Some(bootstrap)) => (bootstrap.clone(), Slot::Current),
            (Mode::Previous, _) => (self.own.clone(), Slot::Previous),
            _ => (self.own.clone(), Slot::Current),
        }
    }

    fn standing(&self) -> Standing {
        let dates = self.own.dates(Slot::Current);
        dates.map_or(Standing::Fresh, |d| plan::standing(d, validity::now()))
    }

    /// When the daemon has to look again.
    pub(crate) fn next_look(&self) -> Option<BootMs> {
        self.enabled.then_some(self.next)
    }

    /// The connection ended; the CMP may have refused the certificate.
    pub(crate) fn link_down(&mut self, refusal: Option<Refusal>) {
        self.revision = 0;
        match refusal {
            Some(Refusal::Expired) => self.refused.expired += 1,
            Some(Refusal::Certificate | Refusal::NotAdmitted) => self.refused.otherwise += 1,
            None => {}
        }
        if refusal.is_some() {
            self.next = boot_clock::now();
        }
    }

    /// The CMP let the car in.
    pub(crate) fn link_up(&mut self) {
        self.refused = Refused::default();
    }

    /// The CMP said what it knows.
    pub(crate) fn welcomed(&mut self, revision: u8) {
        self.revision = revision;
        let asked = matches!(self.pending, Pending::Requested { .. });
        // A pause after a failure goes on; the pause between two looks at the dates does not.
        if asked || self.failures == 0 || self.mode != Mode::Operational {
            self.next = boot_clock::now();
        }
    }

    fn facts(&self, link_up: bool) -> Facts<'_> {
        let now = validity::now();
        let previous = self.own.dates(Slot::Previous);
        Facts {
            standing: self.standing(),
            pending: &self.pending,
            mode: self.mode,
            can_ask: self.enabled && link_up && self.revision >= FLEET_REVISION,
            is_time: self.next <= boot_clock::now(),
            probing: self.probing,
            has_bootstrap: self.enabled && self.bootstrap.is_some(),
            has_previous: previous.is_some_and(|d| !d.judge(now).is_refused()),
            refused: self.refused,
            told_expired: self.told_expired,
        }
    }

    /// `certificate` of `GET /v1/status`.
    pub(crate) fn shown(&self) -> Value {
        let dates = self.own.dates(Slot::Current);
        let now = validity::now();
        let state = match self.standing() {
            _ if dates.is_none() => "unreadable",
            Standing::Fresh => "valid",
            Standing::Due => "due",
            Standing::Expired => "expired",
            Standing::NotYetValid => "not_yet_valid",
        };
        let renewal = match self.pending {
            _ if !self.enabled => "off",
            Pending::None => "none",
            Pending::Requested { .. } => "requested",
            Pending::Issued => "issued",
        };
        let days = dates.map(|d| d.not_after.saturating_sub(now).div_euclid(86_400));
        let stamp = |at: i64| jiff::Timestamp::from_second(at).ok().map(|t| t.to_string());
        json!({
            "state": state, "in_use": self.mode.name(), "renewal": renewal, "days_left": days,
            "not_after": dates.and_then(|d| stamp(d.not_after)),
            "renew_from": dates.and_then(|d| stamp(plan::due(d))),
            "renewed_at": self.renewed_at.and_then(stamp),
            "error": self.trouble.as_ref().map(|t| &t.text),
        })
    }
}

impl Daemon {
    /// When the certificate has to be looked at again.
    pub(crate) fn next_renewal(&self) -> Option<BootMs> {
        self.dialer.as_ref().and_then(|_| self.renewal.next_look())
    }

    /// Does what is next about the certificate.
    pub(crate) async fn tend_certificate(&mut self) {
        // A car that was reset has no certificate, and gets none before it is set up.
        if self.dialer.is_none() {
            return;
        }
        loop {
            let act = plan::next(&self.renewal.facts(self.wire_up));
            match act {
                Act::Nothing => break,
                Act::Switch(mode) => self.switch(mode).await,
                Act::Begin => self.begin_renewal(),
                Act::Send => self.send_request(),
                Act::Probe => self.probe(),
            }
        }
        let renewal = &mut self.renewal;
        let now = boot_clock::now();
        if renewal.next <= now {
            renewal.next = now.plus(LOOK_MS);
        }
    }

    fn begin_renewal(&mut self) {
        let Some(eid) = self.eid.clone() else {
            self.renewal.next = boot_clock::now().plus(RETRY_MS);
            return;
        };
        let id = uuid::Uuid::new_v4().into_bytes();
        let others: Vec<PathBuf> = self
            .renewal
            .bootstrap
            .iter()
            .map(|b| b.cert.clone())
            .collect();
        let own = self.renewal.own.clone();
        match own.begin(&mut RealDisk, (&eid, id), &others) {
            Ok(pending) => {
                tracing::info!("a certificate is requested for a new key");
                self.renewal.pending = pending;
                self.renewal.failures = 0;
            }
            Err(error) => self.renewal.failed(&error),
        }
    }

    fn send_request(&mut self) {
        if let Pending::Requested { id, request } = self.renewal.pending.clone() {
            let body = Up::RenewCertificate {
                request_id: id,
                request,
            };
            self.send(Some(id), body);
            self.renewal.next = boot_clock::now().plus(RESEND_MS);
        }
    }

    /// The CMP answered a request for a certificate.
    pub(crate) fn certificate(&mut self, request_id: Id, outcome: CertificateOutcome) {
        let Pending::Requested { id, request } = self.renewal.pending.clone() else {
            return;
        };
        if id != request_id {
            return;
        }
        let now = boot_clock::now();
        let renewal = &mut self.renewal;
        match outcome {
            CertificateOutcome::Issued { chain } => {
                let eid = self.eid.clone().unwrap_or_default();
                let at = validity::now();
                let taken = renewal
                    .own
                    .accept(&mut RealDisk, (&eid, &request), &chain, at);
                match taken {
                    Ok(()) => {
                        tracing::info!("a new certificate came; it is tried");
                        renewal.pending = Pending::Issued;
                        renewal.trouble = None;
                        renewal.probes = 0;
                        renewal.next = now;
                    }
                    // The CMP gives the same to the same request: the next one has another name.
                    Err(error) => self.give_up(&error, REFUSED_MS),
                }
            }
            CertificateOutcome::Later { seconds } => {
                tracing::warn!(
                    seconds,
                    "the CMP issues no certificate now; it is asked again"
                );
                let text =
                    format!("the CMP issues no certificate now; it is asked again in {seconds} s");
                health::failed(&mut renewal.trouble, now, text);
                let pause = u64::from(seconds).clamp(1, 7 * 86_400) * 1000;
                renewal.next = now.plus(pause);
            }
            CertificateOutcome::Refused { reason } => {
                let text = format!("the CMP refuses a new certificate: {reason}");
                self.give_up(&text, REFUSED_MS);
            }
        }
    }

    /// Ends a renewal that came to nothing; the next one begins after this time.
    fn give_up(&mut self, error: &dyn std::fmt::Display, pause: u64) {
        let renewal = &mut self.renewal;
        renewal.failed(error);
        match renewal.own.discard(&mut RealDisk) {
            Ok(()) => renewal.pending = Pending::None,
            Err(error) => renewal.failed(&error),
        }
        // Without a certificate that is good for anything a car can't wait for long.
        let soon = renewal.mode != Mode::Operational;
        let pause = if soon { RETRY_MAX_MS } else { pause };
        renewal.next = boot_clock::now().plus(pause);
    }

    /// Tries the new certificate on a connection of its own: the present one goes on.
    fn probe(&mut self) {
        let (Some(eid), Some(dialer)) = (self.eid.clone(), &self.dialer) else {
            self.renewal.next = boot_clock::now().plus(RETRY_MS);
            return;
        };
        let dialer = dialer.with(self.renewal.own.clone(), Slot::Next);
        match dialer.load() {
            Ok(_) => {
                self.renewal.probing = true;
                let (inputs, counters) = (self.probes(), Arc::clone(&self.counters));
                tokio::spawn(async move {
                    let probed = link::probe(&eid, &Arc::new(dialer), &counters).await;
                    inputs(probed);
                });
            }
            Err(error) => self.give_up(&error, REFUSED_MS),
        }
    }

    /// The new certificate was tried.
    pub(crate) async fn probed(&mut self, probed: Probed) {
        self.renewal.probing = false;
        if self.renewal.pending != Pending::Issued {
            return;
        }
        match probed {
            Probed::Admitted => {
                let own = self.renewal.own.clone();
                match own.promote(&mut RealDisk) {
                    Ok(()) => {
                        tracing::info!("the new certificate is in use");
                        let renewal = &mut self.renewal;
                        renewal.pending = Pending::None;
                        renewal.trouble = None;
                        renewal.failures = 0;
                        renewal.renewed_at = Some(validity::now());
                        self.publish(json!({"event": "certificate_renewed"}));
                        self.switch(Mode::Operational).await;
                    }
                    Err(error) => {
                        self.renewal.failed(&error);
                        let settled = own.settle(&mut RealDisk);
                        self.renewal.pending = settled.unwrap_or(Pending::Issued);
                    }
                }
            }
            Probed::Refused(error) => {
                self.renewal.probes += 1;
                let text = format!("the CMP refuses the new certificate: {error}");
                match self.renewal.probes >= PROBES {
                    true => self.give_up(&text, REFUSED_MS),
                    false => self.renewal.failed(&text),
                }
            }
            Probed::Unreached(error) => {
                let text = format!("the new certificate could not be tried: {error}");
                self.renewal.failed(&text);
            }
        }
    }

    /// Makes the link with another certificate.
    async fn switch(&mut self, mode: Mode) {
        tracing::info!(
            certificate = mode.name(),
            "the link uses another certificate"
        );
        let (credentials, slot) = self.renewal.identity(mode);
        self.renewal.told_expired =
            mode == Mode::Bootstrap && self.renewal.refused.expired >= plan::REFUSALS;
        self.renewal.mode = mode;
        self.renewal.refused = Refused::default();
        self.renewal.next = boot_clock::now();
        if let Some(dialer) = &self.dialer {
            self.dialer = Some(Arc::new(dialer.with(credentials, slot)));
        }
        self.restart_link().await;
    }

    /// Ends the present link and begins another one.
    pub(crate) async fn restart_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.close().await;
            self.wire_up = false;
            if std::mem::take(&mut self.link_up) {
                self.event(Event::LinkDown);
            }
            self.start_link();
        }
    }

    /// The link stands with the bootstrap certificate: the core hears nothing of it, since nothing but renewal is served.
    pub(crate) fn bootstrap_up(&mut self) {
        let software = announce(concat!("aid-agent ", env!("CARGO_PKG_VERSION")));
        let profiles = Vec::new();
        self.send(None, Up::Hello { software, profiles });
    }

    /// Takes what is about certificates from a message of the CMP; what is left is the core's.
    pub(crate) fn heard(&mut self, body: Down) -> Option<Down> {
        match body {
            Down::Certificate {
                request_id,
                outcome,
            } => {
                self.certificate(request_id, outcome);
                None
            }
            Down::Welcome { revision, .. } => {
                self.renewal.welcomed(revision);
                (self.renewal.mode != Mode::Bootstrap).then_some(body)
            }
            other => (self.renewal.mode != Mode::Bootstrap).then_some(other),
        }
    }

    /// The configuration was read again: whatever the files are now.
    pub(crate) fn renew_credentials(&mut self, config: &Config) {
        let mut renewal = Renewal::new(&config.cmp);
        renewal.probing = self.renewal.probing;
        self.renewal = renewal;
    }
}
