//! The bodies of the nine operations (AID.02 chapter 7, Annex B), parsed once into types that cannot be wrong.
//!
//! Where the contract allows "either a result or an error" the type is an enum. Member names are spelt as the contract
//! spells them. Unknown members are ignored; a member that is missing, null without leave or of another form is refused
//! with the code of §5.5 that fits best and a text that names it.

mod activation;
mod members;
mod onboarding;
mod profile;

use serde_json::Value;
use utoipa::openapi::schema::Schema;

use crate::error_code::ApiError;
use crate::strict_json;

pub use activation::{
    ActivationCodeResponse, ProfileType, RequestActivationCode, SendActivationCode,
};
pub use members::{Iccids, Members};
pub use onboarding::{NotifyTokenInvalid, SendMspToken, SubscriptionType, UpdateSubscriptionInfo};
pub use profile::{
    CsimStatus, ProfileInformation, ProfileState, ProfileStatus, ProfileStatuses, ProfileValidity,
    ReportedEid, SendCsimStatus, SendProfileInformation,
};

/// Longest `reason` and `customerGroup` that is kept, in characters.
pub const MAX_TEXT: usize = 512;

/// A JSON body of AID1.
pub trait Body: Sized {
    /// Its name in Annex B.
    const NAME: &'static str;

    /// Reads the members of the JSON object.
    ///
    /// # Errors
    /// Status and code for the peer; the text names the member.
    fn from_members(members: &Members) -> Result<Self, ApiError>;

    /// The JSON that goes onto the wire.
    fn to_json(&self) -> Value;

    /// The body in the words of JSON Schema, as Annex B has it. The types may be narrower: an ICCID is any text there.
    fn schema() -> Schema;

    /// Reads a body as it came from the wire, at most [`strict_json::MAX_BODY`] bytes.
    ///
    /// # Errors
    /// As [`Body::from_members`]; 413 if it is too large.
    fn parse(text: &[u8]) -> Result<Self, ApiError> {
        Self::parse_with(text, Iccids::Standard)
    }

    /// The same, from somebody who may name these ICCIDs. What is stored of our own was checked when it was made: it is
    /// read with [`Iccids::Short`], whatever is agreed now.
    ///
    /// # Errors
    /// As [`Body::parse`].
    fn parse_with(text: &[u8], iccids: Iccids) -> Result<Self, ApiError> {
        let members = Members::new(strict_json::object(text)?);
        Self::from_members(&members.with_iccids(iccids))
    }

    /// The bytes that go onto the wire.
    fn to_bytes(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests;
