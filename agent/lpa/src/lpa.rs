//! The LPA: what users and agents ask for, over a card and an HTTP port.
//! SGP.22 §3.2 (local management), §3.5 (notifications). Called by the agent and `aid-lpa`.

use crate::card::Card;
use crate::error::{CardError, LpaError, ServerError};
use crate::es9::{self, Http};
use aid_id::Iccid;
use aid_port::Apdu;
use aid_rsp::es9::{Base64, HandleNotificationRequest};
use aid_rsp::es10::{
    DeviceCapabilities, DeviceInfo, EuiccConfiguredAddressesResponse, EuiccInfo2,
    NotificationMetadata, PendingNotification, ProfileInfo, eid_digits,
};

/// A device that supports LTE, release 15, and has no TAC of its own: the GSMA's test TAC.
#[must_use]
pub fn default_device() -> DeviceInfo {
    let mut releases = [None; 11];
    for number in [0, 1, 5] {
        releases[number] = Some([15, 0, 0]);
    }
    DeviceInfo {
        // 00101010 in swapped BCD.
        tac: [0x00, 0x01, 0x01, 0x01],
        capabilities: DeviceCapabilities(releases),
        imei: None,
    }
}

/// What a chip says about itself.
#[derive(Debug, Clone)]
pub struct ChipInfo {
    /// 32 digits.
    pub eid: String,
    /// EUICCInfo2.
    pub info2: EuiccInfo2,
    /// Default SM-DP+ and root SM-DS.
    pub addresses: EuiccConfiguredAddressesResponse,
}

/// What became of the pending notifications.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Sequence numbers that a server accepted and the card removed.
    pub accepted: Vec<u64>,
    /// Sequence numbers that stay on the card, and why. A server's later notifications wait for
    /// its earlier ones.
    pub waiting: Vec<(u64, String)>,
    /// The first failure of all.
    pub error: Option<LpaError>,
}

/// A Local Profile Assistant.
#[derive(Debug)]
pub struct Lpa<A, H> {
    pub(crate) card: Card<A>,
    pub(crate) http: H,
    pub(crate) device: DeviceInfo,
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// An LPA over these ports.
    pub fn new(card: Card<A>, http: H) -> Self {
        Self {
            card,
            http,
            device: default_device(),
        }
    }

    /// Says what the device is (SGP.22 §4.2).
    #[must_use]
    pub fn with_device(mut self, device: DeviceInfo) -> Self {
        self.device = device;
        self
    }

    /// Gives the logical channel back. The next operation opens one again.
    pub fn release(&mut self) {
        self.card.close();
    }

    /// The card, for what the LPA itself has no function for.
    pub fn card(&mut self) -> &mut Card<A> {
        &mut self.card
    }

    /// The EID, 32 digits.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn eid(&mut self) -> Result<String, CardError> {
        Ok(eid_digits(&self.card.eid()?))
    }

    /// What the chip says about itself.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn chip_info(&mut self) -> Result<ChipInfo, CardError> {
        Ok(ChipInfo {
            eid: self.eid()?,
            info2: self.card.info2()?,
            addresses: self.card.addresses()?,
        })
    }

    /// All profiles on the card, without icons.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn profiles(&mut self) -> Result<Vec<ProfileInfo>, CardError> {
        self.card.profiles()
    }

    /// Enables a profile; the one that was enabled is disabled by that.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.16.
    pub fn enable(&mut self, iccid: &Iccid) -> Result<(), CardError> {
        let iccid = bcd(iccid, "EnableProfile")?;
        self.card.enable(iccid)
    }

    /// Disables a profile.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.17.
    pub fn disable(&mut self, iccid: &Iccid) -> Result<(), CardError> {
        let iccid = bcd(iccid, "DisableProfile")?;
        self.card.disable(iccid)
    }

    /// Deletes a profile, which must be disabled.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.18.
    pub fn delete(&mut self, iccid: &Iccid) -> Result<(), CardError> {
        let iccid = bcd(iccid, "DeleteProfile")?;
        self.card.delete(iccid)
    }

    /// Gives a profile a nickname of up to 64 bytes; empty takes it away.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.21.
    pub fn set_nickname(&mut self, iccid: &Iccid, name: &str) -> Result<(), CardError> {
        let iccid = bcd(iccid, "SetNickname")?;
        self.card.set_nickname(iccid, name)
    }

    /// Pending notifications, ascending sequence numbers.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn notifications(&mut self) -> Result<Vec<NotificationMetadata>, CardError> {
        self.card.notifications()
    }

    /// Removes a notification that nobody has got. Its server will not know what happened.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn remove_notification(&mut self, seq_number: u64) -> Result<(), CardError> {
        self.card.remove_notification(seq_number)
    }

    /// Delivers all pending notifications, or the one with this number, in sequence order, and
    /// removes each after its server has accepted it (SGP.22 §3.5). A server that fails gets no
    /// later ones; other servers get theirs.
    ///
    /// # Errors
    /// The card fails; failures of servers are in [`Delivered`].
    pub fn deliver(&mut self, only: Option<u64>) -> Result<Delivered, CardError> {
        let mut result = Delivered::default();
        let mut failed: Vec<String> = Vec::new();
        for metadata in self.card.notifications()? {
            let number = metadata.seq_number;
            if only.is_some_and(|only| only != number) {
                continue;
            }
            if failed.contains(&metadata.address) {
                let why = format!("{} has not accepted an earlier one", metadata.address);
                result.waiting.push((number, why));
                continue;
            }
            let Some(notification) = self.card.notification(number)? else {
                continue;
            };
            match self.deliver_one(&notification.to_vec(), &notification) {
                Ok(()) => result.accepted.push(number),
                Err(LpaError::Card(error)) => return Err(error),
                Err(error) => {
                    failed.push(metadata.address);
                    result.waiting.push((number, error.to_string()));
                    result.error.get_or_insert(error);
                }
            }
        }
        Ok(result)
    }

    /// Delivers a notification with these bytes, then removes it.
    pub(crate) fn deliver_one(
        &mut self,
        bytes: &[u8],
        notification: &PendingNotification,
    ) -> Result<(), LpaError> {
        let metadata = notification.metadata();
        let server = &metadata.address;
        let pending = Base64::new(bytes.to_vec()).ok_or_else(|| ServerError::Json {
            server: server.clone(),
            function: "handleNotification",
            what: format!("the card's notification has {} bytes", bytes.len()),
        })?;
        if !is_authority(server) {
            return Err(ServerError::Json {
                server: server.clone(),
                function: "handleNotification",
                what: "the notification's address is no host name".into(),
            }
            .into());
        }
        let request = HandleNotificationRequest {
            pending_notification: pending,
        };
        es9::notify(&mut self.http, server, &request)?;
        tracing::info!(number = metadata.seq_number, %server, "notification accepted");
        self.card.remove_notification(metadata.seq_number)?;
        Ok(())
    }
}

/// A card can't hold the 21 or 22 digits that AID.02 allows, so it does not have such a profile.
fn bcd(iccid: &Iccid, what: &'static str) -> Result<[u8; 10], CardError> {
    iccid.to_bcd().ok_or(CardError::Refused {
        what,
        code: 1,
        name: "iccidOrAidNotFound",
    })
}

/// Host name or address with an optional port, so that nothing else gets into a URL.
pub(crate) fn is_authority(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    // A number may be written with a sign, a port may not.
    let port_ok =
        port.bytes().all(|b| b.is_ascii_digit()) && matches!(port.parse::<u16>(), Ok(1..));
    (1..=253).contains(&host.len()) && host.bytes().all(allowed) && port_ok
}

#[cfg(test)]
mod tests {
    use super::is_authority;

    #[test]
    fn an_authority_is_a_host_and_a_port_in_digits() {
        for good in ["smdp.example.com", "smdp.example.com:8443", "127.0.0.1:1"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":443", "a:", "a:+443", "a:-1", "a:0", "a:65536", "a:4 3", "a:1:2", "a/b", "u@a",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
