//! AID.02 chapters 5-7 and Annex B: the data elements, headers, error codes and nine operations of AID1.
//!
//! The CMP backend and the MSP backend both build on this crate: the server side of one is the [`client`] of the other.
//! Nothing here stores anything or reads a clock; time is an argument (seconds since 1970).
//!
//! | operation (clause) | type | at | client |
//! |---|---|---|---|
//! | Send MSP Token (§7.3) | [`body::SendMspToken`] | CMP | [`client::CmpClient::send_msp_token`] |
//! | Notify MSP Token Invalid (§7.4) | [`body::NotifyTokenInvalid`] | CMP | [`client::CmpClient::notify_token_invalid`] |
//! | Send Profile Information (§7.5) | [`body::SendProfileInformation`] | CMP | [`client::CmpClient::send_profile_information`] |
//! | Update Subscription Info (§7.6) | [`body::UpdateSubscriptionInfo`] | CMP | [`client::CmpClient::update_subscription_info`] |
//! | Request Activation Code (§7.7) | [`body::RequestActivationCode`] | MSP | [`client::MspClient::request_activation_code`] |
//! | Send Activation Code (§7.7.2.1) | [`body::SendActivationCode`] | CMP | [`client::CmpClient::send_activation_code`] |
//! | Send CSIM Status (§7.8) | [`body::SendCsimStatus`] | MSP | [`client::MspClient::send_csim_status`] |
//! | Request Invalidate MSP Token (§7.9) | [`operation::RequestInvalidate`] | MSP | [`client::MspClient::request_invalidate`] |
//! | Request Profile Status (§7.10) | [`operation::RequestProfileStatus`] | MSP | [`client::MspClient::request_profile_status`] |
//!
//! Each is stated once, as an [`operation::Operation`]; routes, calls, refusals, spans and OpenAPI documents derive from it.
#![forbid(unsafe_code)]

pub mod account_id;
pub mod agreed;
pub mod body;
pub mod check_code;
#[cfg(feature = "client")]
pub mod client;
pub mod contract;
pub mod deviation;
pub mod error_code;
pub mod headers;
pub mod operation;
pub mod phone;
pub mod received;
pub mod redirect;
pub mod server;
pub mod span;
pub mod strict_json;
pub mod trace;
