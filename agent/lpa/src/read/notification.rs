//! Notifications that wait on the card: their list (SGP.22 §5.7.9) and themselves (§5.7.10).

use super::{Unread, bits, entries, iccid, keep, text};
use aid_rsp::es10::{NotificationEvent, NotificationMetadata};
use aid_rsp::tlv::{Tlv, TlvError};

/// Tags of PendingNotification: ProfileInstallationResult, OtherSignedNotification.
const PENDING: [u32; 2] = [0xBF37, 0x30];

/// An entry of the card's list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedNotification {
    /// Counts the card's notifications; the first may be 0.
    pub seq_number: Option<u64>,
    /// What happened.
    pub event: Option<NotificationEvent>,
    /// FQDN that wants to know; somebody else's word.
    pub address: Option<String>,
    /// The profile, swapped BCD.
    pub iccid: Option<[u8; 10]>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

impl From<&NotificationMetadata> for ListedNotification {
    fn from(metadata: &NotificationMetadata) -> Self {
        Self {
            seq_number: Some(metadata.seq_number),
            event: Some(metadata.event),
            address: Some(metadata.address.clone()),
            iccid: metadata.iccid,
            unread: Vec::new(),
        }
    }
}

impl ListedNotification {
    /// Reads NotificationMetadata.
    pub(crate) fn read(object: &Tlv<'_>) -> Self {
        let mut entry = Self::default();
        let mut unread = Vec::new();
        for field in object.children() {
            let field = match field {
                Ok(field) => field,
                Err(error) => {
                    unread.push(Unread::new("NotificationMetadata", error));
                    break;
                }
            };
            match field.tag {
                0x80 => entry.seq_number = keep(field.uint(), "seqNumber", &mut unread),
                0x81 => {
                    let event = bits(&field).and_then(|bits| {
                        NotificationEvent::from_bits(bits).ok_or(TlvError::Value {
                            tag: 0x81,
                            reason: "not exactly one event",
                        })
                    });
                    entry.event = keep(event, "profileManagementOperation", &mut unread);
                }
                // Some cards give it the tag of its place.
                0x0C | 0x82 => {
                    entry.address = Some(text(&field, "notificationAddress", &mut unread));
                }
                0x5A => entry.iccid = keep(iccid(&field), "iccid", &mut unread),
                _ => {}
            }
        }
        for (missing, name) in [
            (entry.seq_number.is_none(), "seqNumber"),
            (entry.address.is_none(), "notificationAddress"),
        ] {
            if missing && !Unread::names(&unread, &[name]) {
                unread.push(Unread::new(name, "missing"));
            }
        }
        entry.unread = unread;
        entry
    }
}

/// The list of ListNotificationResponse, ascending, or the code of its error.
pub(crate) fn listed(answer: &[u8]) -> Result<Result<Vec<ListedNotification>, u64>, TlvError> {
    let answer = Tlv::parse_tag(answer, 0xBF28)?;
    let list = entries(&answer, &[0xBF2F])?;
    Ok(list.map(|list| {
        let mut list: Vec<_> = list.iter().map(ListedNotification::read).collect();
        list.sort_by_key(|n| n.seq_number);
        list
    }))
}

/// The notifications of RetrieveNotificationsListResponse as they came, or the code of its error.
pub(crate) fn pending(answer: &[u8]) -> Result<Result<Vec<Vec<u8>>, u64>, TlvError> {
    let answer = Tlv::parse_tag(answer, 0xBF2B)?;
    let list = entries(&answer, &PENDING)?;
    Ok(list.map(|list| list.iter().map(|n| n.raw.to_vec()).collect()))
}

/// The sequence number inside a PendingNotification.
pub(crate) fn pending_sequence(notification: &[u8]) -> Option<u64> {
    metadata_of(notification)?.seq_number
}

/// The metadata inside a PendingNotification.
pub(super) fn metadata_of(notification: &[u8]) -> Option<ListedNotification> {
    let object = Tlv::parse(notification).ok()?;
    let mut inside = object.children();
    if object.tag == 0xBF37 {
        inside = inside.find(0xBF27).ok()??.children();
    }
    let metadata = inside.find(0xBF2F).ok()??;
    Some(ListedNotification::read(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[u8]) -> Vec<u8> {
        [&[0xBF, 0x2F, fields.len() as u8][..], fields].concat()
    }

    #[test]
    fn one_unreadable_entry_does_not_fail_the_list() {
        let good = entry(&[
            0x80, 1, 0, 0x81, 2, 4, 0x10, 0x0C, 1, b'a', 0x5A, 10, 0x98, 0x94, 0x10, 0, 0, 0, 0, 0,
            0, 0xF1,
        ]);
        let bad = [
            entry(&[]),
            entry(&[0x80, 0]),
            entry(&[0x80, 1, 9, 0x81, 2, 4, 0xF0, 0x0C, 1, 0xFF]),
            entry(&[0x80, 200]),
            entry(&[0x80, 1, 3, 0x5A, 1, 1]),
        ];
        for bad in bad {
            let list = [good.clone(), bad.clone(), good.clone()].concat();
            let list = [&[0xA0, list.len() as u8][..], &list].concat();
            let answer = [&[0xBF, 0x28, list.len() as u8][..], &list].concat();
            let list = listed(&answer).expect("form").expect("list");
            let readable = list.iter().filter(|n| n.unread.is_empty());
            assert_eq!((list.len(), readable.count()), (3, 2), "{bad:02X?}");
            assert!(list.iter().any(|n| n.seq_number == Some(0)));
        }
    }

    #[test]
    fn bits_without_the_octet_that_counts_them_are_read() {
        let read = |value: &[u8]| {
            let fields = [
                &[0x80, 1, 1, 0x81, value.len() as u8][..],
                value,
                &[0x0C, 1, b'a'],
            ];
            let bytes = entry(&fields.concat());
            ListedNotification::read(&Tlv::parse(&bytes).expect("object")).event
        };
        assert_eq!(read(&[0x04, 0x10]), Some(NotificationEvent::Delete));
        assert_eq!(read(&[0x10]), Some(NotificationEvent::Delete));
        assert_eq!(read(&[0x80]), Some(NotificationEvent::Install));
        assert_eq!(read(&[0x04, 0x30]), None);
    }
}
