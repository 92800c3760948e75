//! `profile download`: what the server offers is shown, the user is asked, and asked for the Confirmation Code.

use super::Port;
use super::args::Args;
use super::ask::{self, Consent};
use super::fault::{Class, Fault};
use super::progress::Progress;
use crate::download::Offer;
use crate::report;
use crate::{Downloaded, LpaError};
use aid_cli::cli::line_to_stderr;
use aid_id::ActivationCode;
use aid_rsp::es10::CancelSessionReason;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

/// Times that a Confirmation Code is asked for.
const TRIES: u32 = 3;

/// What was asked for.
pub(super) struct Wish<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) smdp: Option<&'a str>,
    pub(super) matching_id: Option<&'a str>,
    pub(super) confirmation_code: Option<&'a str>,
    pub(super) preview: bool,
    /// Longest wait for the user.
    pub(super) wait: Duration,
}

/// What came of it.
pub(super) enum Done {
    Previewed(Value),
    Installed(Box<Downloaded>),
}

impl Wish<'_> {
    fn code(&self) -> Result<Option<ActivationCode>, Fault> {
        let text = match (self.code, self.smdp) {
            (Some(code), _) => code.to_owned(),
            (None, Some(smdp)) => format!("1${smdp}${}", self.matching_id.unwrap_or_default()),
            (None, None) => return Ok(None),
        };
        match ActivationCode::from_pasted(&text) {
            Ok(code) => Ok(Some(code)),
            Err(error) => Err(LpaError::Code(error).into()),
        }
    }
}

pub(super) fn download(lpa: &mut Port, wish: &Wish<'_>, args: &Args) -> Result<Done, Fault> {
    let code = wish.code()?;
    let mut progress = Progress::of(args);
    let may_ask = ask::is_terminal() && !args.yes;
    let mut typed: Option<Zeroizing<String>> = None;
    // What the user agreed to: another offer is another question.
    let mut agreed = None;
    let mut tries = 0;
    loop {
        let offer = lpa.offer(code.as_ref(), &mut |stage| progress.show(stage))?;
        if wish.preview {
            let value = report::offer(&offer);
            lpa.postpone(offer);
            return Ok(Done::Previewed(value));
        }
        let terms = (
            offer.iccid.clone(),
            offer.metadata.clone(),
            offer.rules_need_consent,
        );
        let offer = match agreed.as_ref() == Some(&terms) {
            true => offer,
            false => agree(lpa, offer, may_ask, args, wish.wait)?,
        };
        agreed = Some(terms);
        let given = wish.confirmation_code.map(str::trim);
        if offer.confirmation_code_required() && given.is_none() && ask::is_terminal() {
            let question = "Confirmation Code (nothing is shown; Enter alone means later): ";
            typed = ask::confirmation_code(question);
            tries += 1;
        }
        let confirmation_code = given.or(typed.as_ref().map(|code| code.as_str()));
        let result = lpa.accept(offer, confirmation_code, &mut |stage| progress.show(stage));
        match result.map_err(Fault::from) {
            Ok(done) => return Ok(Done::Installed(Box::new(done))),
            // The server refused the code that was typed.
            Err(fault)
                if fault.class == Class::ConfirmationCode && typed.is_some() && tries < TRIES =>
            {
                line_to_stderr(&fault.message);
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Shows the offer and asks, where somebody can be asked. Without a terminal the command itself is the consent, except to
/// Profile Policy Rules for which the card demands it.
fn agree(
    lpa: &mut Port,
    offer: Offer,
    may_ask: bool,
    args: &Args,
    wait: Duration,
) -> Result<Offer, Fault> {
    if args.yes || !may_ask && !offer.rules_need_consent {
        return Ok(offer);
    }
    if !may_ask {
        let rules = report::rules(offer.metadata.policy_rules.unwrap_or(0)).join(", ");
        refuse(lpa, offer, CancelSessionReason::Postponed);
        let text =
            format!("the profile has Profile Policy Rules ({rules}) that need the user's consent");
        return Err(Fault::new(Class::Declined, text).hint("Give --yes to agree"));
    }
    for line in report::text(&report::offer(&offer)).lines() {
        line_to_stderr(line);
    }
    let question = match offer.rules_need_consent {
        true => "Install this profile, and agree to its rules? [yes/no/later]",
        false => "Install this profile? [yes/no/later]",
    };
    let (reason, text) = match ask::consent(question, wait) {
        Consent::Yes => return Ok(offer),
        Consent::No => (
            CancelSessionReason::EndUserRejection,
            "the profile was rejected",
        ),
        Consent::Later => (CancelSessionReason::Postponed, "the profile was postponed"),
        Consent::Timeout => (CancelSessionReason::Timeout, "nobody answered in time"),
    };
    refuse(lpa, offer, reason);
    Err(Fault::new(Class::Declined, text))
}

fn refuse(lpa: &mut Port, offer: Offer, reason: CancelSessionReason) {
    if let Err(error) = lpa.reject(offer, reason) {
        tracing::warn!(%error, "the session could not be cancelled");
    }
}
