//! A message between two parties, as it was seen on the wire.

use serde::{Deserialize, Serialize};

/// How a message travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// AID1, REST between CMP and MSP (AID.02 §5.2).
    Aid1,
    /// AID2, the link between vehicle and CMP.
    Aid2,
    /// AID4, the car's local API.
    Aid4,
    /// A page that a person sees: AID5 (touchpoint) or AID6 (portal).
    Page,
    /// ES2+, between operator and SM-DP+ (SGP.22 §5.3).
    Es2,
    /// ES9+, between LPA and SM-DP+ (SGP.22 §5.6).
    Es9,
    /// An APDU and its answer (SGP.22 §5.7, ISO 7816-4).
    Apdu,
    /// What a person or the bench did to a party: ignition, power, clock, a key pressed.
    Deed,
}

/// One decoded field of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name in the specification's spelling; nested fields are joined with dots.
    pub name: String,
    /// Its value as text; a secret is masked already.
    pub value: String,
}

/// A message, or an event at one party (then `from` equals `to`).
///
/// Secrets (PINs, passwords, tokens, keys, activation codes' matchingIDs) are masked before a `Message` is made:
/// no report holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// The party that sent it: `car-1`, `cmp`, `msp`, `smdp`, `card-1`, `driver`, `judge`.
    pub from: String,
    /// The party that received it.
    pub to: String,
    /// How it travelled.
    pub protocol: Protocol,
    /// One line: `POST activation-code-requests`, `201`, `ES10b.GetEUICCInfo`.
    pub title: String,
    /// Its decoded content, in the order of the wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The bytes, secrets masked, at most 4,096 of them: text where it is text, hexadecimal otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Length on the wire, bytes.
    pub length: u64,
    /// Binds the messages of one transaction: correlation-id, transactionId, message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
}
