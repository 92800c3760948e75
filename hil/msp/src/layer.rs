//! Where a layer may stand around what the MSP answers, calls, and sends browsers to. In production there is none.

use std::fmt::Debug;
use std::pin::Pin;

use aid_aid1::headers::PartyId;
use aid_aid1::redirect::RedirectUri;
use axum::response::Response;

use crate::api::Call;
use crate::config::CmpParty;
use crate::core::model::Job;
use crate::core::outbox::Attempt;
use crate::msp::Msp;

/// Something that a layer does.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Stands around every call of a CMP, every call to one, and every way back of a browser.
pub(crate) trait Layer: Debug + Send + Sync {
    /// Answers a call that was let in; [`crate::api::answer`] is what stands inside.
    fn answer<'a>(&'a self, msp: &'a Msp, call: &'a Call) -> Doing<'a, Response>;

    /// Makes the call of a job once; [`crate::outbox::send`] is what stands inside.
    fn send<'a>(&'a self, msp: &'a Msp, cmp: &'a CmpParty, job: &'a Job) -> Doing<'a, Attempt>;

    /// Where a browser goes after onboarding; `right` is where it should.
    fn way_back<'a>(
        &'a self,
        msp: &'a Msp,
        cmp: &'a PartyId,
        back: &'a RedirectUri,
        right: String,
    ) -> Doing<'a, String>;
}
