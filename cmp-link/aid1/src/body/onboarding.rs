//! Bodies about the token and the subscription behind it: Send MSP Token (§7.3), Notify MSP Token Invalid (§7.4), Update
//! Subscription Info (§7.6). All three go from the MSP to the CMP.

use aid_id::MspToken;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Schema;

use super::members::{Members, refuse, sent_error, sent_text, words};
use super::{Body, MAX_TEXT};
use crate::contract::schema;
use crate::error_code::{ApiError, ErrorCode};
use crate::phone::EncryptedPhone;

words! {
    /// What kind of subscription is behind a token; shown to the customer (AID.02 §7.3).
    SubscriptionType {
        /// A private contract.
        Private = "private",
        /// A business contract.
        Business = "business",
        /// The MSP does not say.
        Unknown = "unknown",
    }
}

/// Members of Send MSP Token that a receiver demands; we send `error` too. Where it is absent, it means what null means.
const TOKEN_MEMBERS: [&str; 4] = ["msp_token", "phoneNumber", "subscriptionType", "iv"];

/// Members of Update Subscription Info that are always there.
const UPDATE_MEMBERS: [&str; 3] = ["iv", "phoneNumber", "subscriptionType"];

/// Send MSP Token (AID.02 §7.3): the token, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendMspToken {
    /// Onboarding succeeded at the MSP.
    Token {
        /// The customer at this MSP.
        msp_token: MspToken,
        /// The number the customer knows, encrypted.
        phone: EncryptedPhone,
        /// Kind of subscription.
        subscription_type: SubscriptionType,
        /// Reporting group, if agreed.
        customer_group: Option<String>,
    },
    /// No token; everything else in the body is ignored.
    Failed {
        /// Why, such as `1000: Customer not eligible`; at most
        /// [`MAX_ERROR_TEXT`](crate::error_code::MAX_ERROR_TEXT) characters.
        error: String,
    },
}

impl Body for SendMspToken {
    const NAME: &'static str = "SendMspTokenBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        members.require(&TOKEN_MEMBERS)?;
        if let Some(error) = members.error()? {
            return Ok(Self::Failed { error });
        }
        Ok(Self::Token {
            msp_token: members.parsed("msp_token", ErrorCode::TokenOther)?,
            phone: phone(members)?,
            subscription_type: subscription_type(members)?,
            customer_group: members.optional_text("customerGroup")?,
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Token {
                msp_token,
                phone,
                subscription_type,
                customer_group,
            } => {
                let mut map = subscription(phone, *subscription_type, customer_group.as_deref());
                map.insert("msp_token".into(), json!(msp_token.to_string()));
                map.insert("error".into(), Value::Null);
                Value::Object(map)
            }
            Self::Failed { error } => json!({
                "msp_token": null, "phoneNumber": null, "subscriptionType": null, "iv": null,
                "error": sent_error(error, ErrorCode::AccountIdOther),
            }),
        }
    }

    fn schema() -> Schema {
        let or_null = |about| schema::or_null(schema::text(about));
        let kinds = SubscriptionType::WORDS;
        let members = [
            (
                "msp_token",
                or_null("The token (§5.3); null beside an error."),
            ),
            (
                "phoneNumber",
                or_null("Base64 of the encrypted number; null beside an error."),
            ),
            (
                "subscriptionType",
                schema::word_or_null("Shown to the user; null beside an error.", kinds),
            ),
            (
                "error",
                or_null("Why there is no token, at most 512 characters; else null."),
            ),
            ("customerGroup", or_null("For reporting.")),
            (
                "iv",
                or_null("Base64 of the initialisation vector; null beside an error."),
            ),
        ];
        schema::object(members, &TOKEN_MEMBERS).into()
    }
}

/// Update Subscription Info (AID.02 §7.6). A group that is absent, null or empty leaves the
/// group unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateSubscriptionInfo {
    /// The number the customer knows, encrypted.
    pub phone: EncryptedPhone,
    /// Kind of subscription.
    pub subscription_type: SubscriptionType,
    /// Reporting group, if agreed.
    pub customer_group: Option<String>,
}

impl Body for UpdateSubscriptionInfo {
    const NAME: &'static str = "UpdateSubscriptionInfoBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        members.require(&UPDATE_MEMBERS)?;
        Ok(Self {
            phone: phone(members)?,
            subscription_type: subscription_type(members)?,
            customer_group: members.optional_text("customerGroup")?,
        })
    }

    fn schema() -> Schema {
        let kinds = SubscriptionType::WORDS;
        let members = [
            (
                "phoneNumber",
                schema::text("Base64 of the encrypted number."),
            ),
            (
                "subscriptionType",
                schema::word("Shown to the user.", kinds),
            ),
            (
                "customerGroup",
                schema::or_null(schema::text(
                    "For reporting; unchanged where it is absent, null or empty.",
                )),
            ),
            ("iv", schema::text("Base64 of the initialisation vector.")),
        ];
        schema::object(members, &UPDATE_MEMBERS).into()
    }

    fn to_json(&self) -> Value {
        Value::Object(subscription(
            &self.phone,
            self.subscription_type,
            self.customer_group.as_deref(),
        ))
    }
}

/// Notify MSP Token Invalid (AID.02 §7.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyTokenInvalid {
    /// For customer care.
    pub reason: Option<String>,
}

impl Body for NotifyTokenInvalid {
    const NAME: &'static str = "NotifyTokenInvalidBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            reason: members.optional_text("reason")?,
        })
    }

    fn to_json(&self) -> Value {
        match sent_text(self.reason.as_deref()) {
            None => json!({}),
            Some(reason) => json!({ "reason": reason }),
        }
    }

    fn schema() -> Schema {
        let reason = schema::or_null(schema::text("For customer care."));
        schema::object([("reason", reason)], &[]).into()
    }
}

fn phone(members: &Members) -> Result<EncryptedPhone, ApiError> {
    let text = |name| {
        let text = members.text(name, ErrorCode::Syntax)?;
        if text.len() > MAX_TEXT {
            Err(refuse(ErrorCode::Syntax, name, "is too long"))
        } else {
            Ok(text.to_owned())
        }
    };
    Ok(EncryptedPhone {
        phone_number: text("phoneNumber")?,
        iv: text("iv")?,
    })
}

fn subscription_type(members: &Members) -> Result<SubscriptionType, ApiError> {
    members.parsed("subscriptionType", ErrorCode::Syntax)
}

fn subscription(
    phone: &EncryptedPhone,
    kind: SubscriptionType,
    group: Option<&str>,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("phoneNumber".into(), json!(phone.phone_number));
    map.insert("iv".into(), json!(phone.iv));
    map.insert("subscriptionType".into(), json!(kind.as_str()));
    if let Some(group) = sent_text(group) {
        map.insert("customerGroup".into(), json!(group));
    }
    map
}
