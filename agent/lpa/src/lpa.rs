//! The LPA: local management of profiles over a card and an HTTP port. SGP.22 §3.2.

use crate::card::Card;
use crate::error::CardError;
use crate::es9::Http;
use crate::read::{ChipInfo, ListedProfile};
use aid_id::Iccid;
use aid_port::Apdu;
use aid_rsp::es10::{DeviceCapabilities, DeviceInfo, ProfileInfo, eid_digits, reset_options};

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

/// A Local Profile Assistant.
#[derive(Debug)]
pub struct Lpa<A, H> {
    pub(crate) card: Card<A>,
    pub(crate) http: H,
    pub(crate) device: DeviceInfo,
    /// On a bench: servers may have certificates of other names.
    pub(crate) bench: bool,
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// An LPA over these ports.
    pub fn new(card: Card<A>, http: H) -> Self {
        Self {
            card,
            http,
            device: default_device(),
            bench: false,
        }
    }

    /// Accepts SM-DP+ servers whose certificate CERT.DPauth names another host than the one that was asked (SGP.22
    /// §4.1): for a bench.
    #[must_use]
    pub fn with_bench(mut self, bench: bool) -> Self {
        self.bench = bench;
        self
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
        self.card.chip_info()
    }

    /// All profiles on the card, without icons, for a decision: what is enabled can be told from what is not.
    ///
    /// # Errors
    /// [`CardError`]; the state of a profile can't be read.
    pub fn profiles(&mut self) -> Result<Vec<ProfileInfo>, CardError> {
        self.card.profiles()
    }

    /// All profiles on the card for people: each with the fields that could not be read.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn profile_list(&mut self) -> Result<Vec<ListedProfile>, CardError> {
        self.card.profile_list()
    }

    /// Sets the default SM-DP+ address, up to 255 bytes; empty removes it.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.4.
    pub fn set_default_smdp(&mut self, address: &str) -> Result<(), CardError> {
        self.card.set_default_smdp(address)
    }

    /// Deletes all operational profiles and those test profiles that were loaded in the field, and removes the default
    /// SM-DP+ address (eUICCMemoryReset). `false` when there was nothing to delete.
    ///
    /// # Errors
    /// [`CardError::Refused`] with the result of SGP.22 §5.7.19.
    pub fn purge(&mut self) -> Result<bool, CardError> {
        self.card.memory_reset(
            reset_options::DELETE_OPERATIONAL_PROFILES
                | reset_options::DELETE_FIELD_LOADED_TEST_PROFILES
                | reset_options::RESET_DEFAULT_SMDP_ADDRESS,
        )
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
