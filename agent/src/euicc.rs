//! The card's port over the LPA: operational profiles only, results that are the goal already count
//! as done, errors with SGP.22's codes. AID.02 §3.2 (AID3), §4.3 steps 7 to 10.
//! Made by `program`; runs on the card's thread.

use crate::card::{Counters, Euicc};
use crate::config::Config;
use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use aid_cli::cli::Failure;
use aid_id::{ActivationCode, Iccid};
use aid_lpa::{
    Apdu, Card, CardError, CardPort, DownloadRequest, Http, HttpsClient, Lpa, LpaError, Meter,
    device_info,
};
use aid_rsp::es10::{ProfileClass, ProfileState};
use std::sync::Arc;

/// An eUICC behind an LPA.
#[derive(Debug)]
pub struct LpaEuicc<A, H> {
    lpa: Lpa<A, H>,
}

impl LpaEuicc<CardPort, HttpsClient> {
    /// The card and the trust that the configuration names; nothing is connected yet.
    ///
    /// # Errors
    /// A certificate issuer of `rsp.ci` is unreadable, or there is none.
    pub fn open(config: &Config, counters: &Arc<Counters>) -> Result<Self, Failure> {
        let meter: Arc<dyn Meter> = Arc::<Counters>::clone(counters);
        let rsp = &config.rsp;
        let bearers = config.bearer.bearers();
        let https = HttpsClient::new(&rsp.ci, bearers, rsp.private_smdp, Arc::clone(&meter))
            .map_err(|f| Failure::new(format!("rsp.ci: {f}")))?;
        let wrong = |text: String| Failure::new(format!("euicc: {text}"));
        let settings = config.euicc.settings().map_err(|e| wrong(e.to_string()))?;
        let port = CardPort::open(&settings).map_err(|e| wrong(e.to_string()))?;
        let mut card = Card::new(port, meter);
        let isdr = config.euicc.isdr().map_err(|e| wrong(e.to_string()))?;
        if let Some(aid) = isdr {
            card = card.with_isdr(&aid);
        }
        let device = device_info(&config.device).map_err(|e| wrong(e.to_string()))?;
        Ok(Self {
            lpa: Lpa::new(card, https).with_device(device),
        })
    }
}

impl<A, H> LpaEuicc<A, H> {
    /// Over an LPA that exists already.
    pub const fn new(lpa: Lpa<A, H>) -> Self {
        Self { lpa }
    }
}

/// Results of SGP.22 §5.7.16 to §5.7.18 that mean: it is so already.
const ALREADY: [(&str, u8); 3] = [
    ("EnableProfile", 2),
    ("DisableProfile", 2),
    ("DeleteProfile", 1),
];

fn done_or(result: Result<(), CardError>) -> Result<(), LpaError> {
    match result {
        Err(CardError::Refused { what, code, .. }) if ALREADY.contains(&(what, code)) => Ok(()),
        result => Ok(result?),
    }
}

fn error(error: &LpaError) -> EuiccError {
    EuiccError {
        code: error.code(),
        permanent: error.permanent(),
        full: error.card_full(),
        text: error.to_string(),
    }
}

impl<A: Apdu + Send, H: Http + Send> Euicc for LpaEuicc<A, H> {
    fn eid(&mut self) -> Result<String, EuiccError> {
        self.lpa.eid().map_err(|e| error(&e.into()))
    }

    fn list(&mut self) -> Result<Vec<CardProfile>, EuiccError> {
        let profiles = self.lpa.profiles().map_err(|e| error(&e.into()))?;
        let operational = profiles.into_iter().filter(|p| {
            !matches!(
                p.profile_class,
                Some(ProfileClass::Test | ProfileClass::Provisioning)
            )
        });
        let known = operational.filter_map(|p| {
            let iccid = p.iccid.and_then(|bytes| Iccid::from_bcd(&bytes).ok());
            if iccid.is_none() {
                tracing::warn!("a profile on the card has no readable ICCID; it is left alone");
            }
            Some(CardProfile {
                iccid: iccid?,
                enabled: p.state == Some(ProfileState::Enabled),
            })
        });
        Ok(known.collect())
    }

    fn execute(
        &mut self,
        what: &EuiccOp,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), EuiccError> {
        let result = match what {
            EuiccOp::List => Ok(()),
            EuiccOp::Download { code } => self.download(code.expose(), progress),
            EuiccOp::Enable { iccid } => done_or(self.lpa.enable(iccid)),
            EuiccOp::Disable { iccid } => done_or(self.lpa.disable(iccid)),
            EuiccOp::Delete { iccid } => done_or(self.lpa.delete(iccid)),
            EuiccOp::Notifications => match self.lpa.deliver(None) {
                Ok(delivered) => delivered.error.map_or(Ok(()), Err),
                Err(error) => Err(error.into()),
            },
        };
        result.map_err(|e| error(&e))
    }

    fn release(&mut self) {
        self.lpa.release();
    }
}

impl<A: Apdu, H: Http> LpaEuicc<A, H> {
    fn download(&mut self, code: &str, progress: &mut dyn FnMut(&str)) -> Result<(), LpaError> {
        let code = ActivationCode::from_pasted(code)?;
        // Nobody is there to type a confirmation code; the LPA says so when one is wanted.
        let request = DownloadRequest {
            code: Some(code),
            confirmation_code: None,
        };
        let mut last = "";
        let done = self.lpa.download(&request, &mut |stage| {
            if stage.name() != last {
                last = stage.name();
                progress(last);
            }
        })?;
        tracing::info!(iccid = %done.iccid, "profile installed");
        Ok(())
    }
}
