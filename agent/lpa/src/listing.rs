//! Lists of the card, with the ways around what some cards refuse: GetProfilesInfo, ListNotification,
//! RetrieveNotificationsList; and what the chip says about itself. SGP.22 §5.7.3, §5.7.8 to §5.7.10, §5.7.15, §5.7.22.

use crate::card::Card;
use crate::error::CardError;
use crate::read::{self, Addresses, ChipInfo, ListedNotification, ListedProfile};
use crate::{Apdu, Unread};
use aid_rsp::es10::{
    DataObject as _, EuiccConfiguredAddressesRequest, GetEuiccInfo2Request,
    ListNotificationRequest, NotificationEvent, NotificationSearch, ProfileInfoListRequest,
    RetrieveNotificationsListRequest, eid_digits,
};
use aid_rsp::tlv::TlvError;

/// Tags that the list of profiles is asked for: no icons, which cost dozens of APDUs.
const PROFILE_TAGS: [u8; 9] = [0x5A, 0x4F, 0x9F, 0x70, 0x90, 0x91, 0x92, 0x95, 0x99];

const PROFILES: &str = "GetProfilesInfo";
const LIST: &str = "ListNotification";
const RETRIEVE: &str = "RetrieveNotificationsList";

/// A list, or why there is none: reader of an answer that yields the code of a refusal.
type Reader<T> = fn(&[u8]) -> Result<Result<Vec<T>, u64>, TlvError>;

impl<A: Apdu> Card<A> {
    /// Asks in one form after another until the card does not refuse. A card that can't be reached, or whose answer
    /// can't be read, is not asked again.
    fn list_of<T>(
        &mut self,
        what: &'static str,
        forms: &[Vec<u8>],
        read: Reader<T>,
    ) -> Result<Vec<T>, CardError> {
        let mut refused = None;
        for form in forms {
            let error = match self.request(what, form) {
                Ok(answer) => {
                    match read(&answer).map_err(|source| CardError::Answer { what, source })? {
                        Ok(list) => return Ok(list),
                        Err(code) => refusal(what, code),
                    }
                }
                // What is not about the request itself: a channel, a missing application.
                Err(error @ CardError::Status { sw, .. }) if about_request(sw) => error,
                Err(error) => return Err(error),
            };
            tracing::debug!(%error, what, "the card refuses this form of the request");
            refused.get_or_insert(error);
        }
        Err(refused.unwrap_or(CardError::Refused {
            what,
            code: 127,
            name: "undefinedError",
        }))
    }

    /// ES10c.GetProfilesInfo, without icons; without a tag list where the card refuses that.
    pub(crate) fn profile_list(&mut self) -> Result<Vec<ListedProfile>, CardError> {
        let tagged = ProfileInfoListRequest {
            search: None,
            tag_list: Some(PROFILE_TAGS.to_vec()),
        };
        let plain = ProfileInfoListRequest::default();
        let forms = [tagged.to_vec(), plain.to_vec()];
        self.list_of(PROFILES, &forms, read::profiles)
    }

    /// ES10b.ListNotification, ascending.
    pub(crate) fn notification_list(&mut self) -> Result<Vec<ListedNotification>, CardError> {
        let all = ListNotificationRequest {
            events: Some(NotificationEvent::ALL),
        };
        let forms = [ListNotificationRequest::default().to_vec(), all.to_vec()];
        self.list_of(LIST, &forms, read::listed)
    }

    /// ES10b.RetrieveNotificationsList: the notification with this number as it came; `None` when it is gone. A card
    /// that refuses to search is asked for all.
    pub(crate) fn notification_bytes(
        &mut self,
        seq_number: u64,
    ) -> Result<Option<Vec<u8>>, CardError> {
        let one = RetrieveNotificationsListRequest {
            search: Some(NotificationSearch::SeqNumber(seq_number)),
        };
        let all = RetrieveNotificationsListRequest::default();
        let list = match self.list_of(RETRIEVE, &[one.to_vec()], read::pending) {
            Ok(list) => list,
            // noResultAvailable
            Err(CardError::Refused { code: 1, .. }) => return Ok(None),
            Err(CardError::Status { sw, .. }) if about_request(sw) => {
                self.list_of(RETRIEVE, &[all.to_vec()], read::pending)?
            }
            Err(error @ CardError::Refused { .. }) => {
                let all = self.list_of(RETRIEVE, &[all.to_vec()], read::pending);
                all.map_err(|_| error)?
            }
            Err(error) => return Err(error),
        };
        // The only one that answers the question is the one, even where its number can't be read.
        if let [only] = &list[..]
            && read::pending_sequence(only).is_none()
        {
            return Ok(Some(only.clone()));
        }
        let is = |n: &Vec<u8>| read::pending_sequence(n) == Some(seq_number);
        Ok(list.into_iter().find(is))
    }

    /// ES10a.GetEuiccConfiguredAddresses: default SM-DP+ and root SM-DS.
    pub(crate) fn configured_addresses(&mut self) -> Result<Addresses, CardError> {
        const WHAT: &str = "GetEuiccConfiguredAddresses";
        let answer = self.request(WHAT, &EuiccConfiguredAddressesRequest.to_vec())?;
        read::addresses(&answer).map_err(|source| CardError::Answer { what: WHAT, source })
    }

    /// EID, EUICCInfo2, addresses and Rules Authorisation Table. What a card refuses of the last three is named.
    pub(crate) fn chip_info(&mut self) -> Result<ChipInfo, CardError> {
        const WHAT: &str = "GetEUICCInfo2";
        let eid = eid_digits(&self.eid()?);
        let answer = self.request(WHAT, &GetEuiccInfo2Request.to_vec())?;
        let (info, mut unread) =
            read::euicc_info(&answer).map_err(|source| CardError::Answer { what: WHAT, source })?;
        let addresses = match self.configured_addresses() {
            Ok(mut addresses) => {
                unread.append(&mut addresses.unread);
                addresses
            }
            Err(error @ CardError::Transport(_)) => return Err(error),
            Err(error) => {
                unread.push(Unread::new("EuiccConfiguredAddresses", error));
                Addresses::default()
            }
        };
        let rules = match self.rules() {
            Ok(rules) => Some(rules),
            Err(error @ CardError::Transport(_)) => return Err(error),
            Err(error) => {
                unread.push(Unread::new("RulesAuthorisationTable", error));
                None
            }
        };
        Ok(ChipInfo {
            eid,
            info,
            default_smdp: addresses.default_smdp,
            root_smds: addresses.root_smds,
            rules,
            unread,
        })
    }
}

/// A status word that says that the request, not the card, is the trouble: wrong length, conditions, data, parameters,
/// referenced data, instruction.
const fn about_request(sw: u16) -> bool {
    matches!(
        sw,
        0x6700 | 0x6985 | 0x6A80 | 0x6A82 | 0x6A86 | 0x6A88 | 0x6D00 | 0x6F00
    )
}

fn refusal(what: &'static str, code: u64) -> CardError {
    let (code, name) = match (what, code) {
        (PROFILES, 1) => (1, "incorrectInputValues"),
        (RETRIEVE, 1) => (1, "noResultAvailable"),
        (_, code) => (u8::try_from(code).unwrap_or(127), "undefinedError"),
    };
    CardError::Refused { what, code, name }
}
