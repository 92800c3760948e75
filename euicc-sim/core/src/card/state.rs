//! What the card remembers: profiles, states, sequence numbers, pending notifications.
//! SGP.22 §2.4, §3.5. Read at power-on, replaced as a whole in one NVM batch by every function that
//! changes something.

use crate::fs::{Change, ProfileImage};
use crate::nvm::{Durability, Key, Nvm, NvmError, Write};
use aid_rsp::es10::{DataObject, ProfileClass, ProfileIdentifier, StoreMetadataRequest, ppr};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Version of the records in NVM.
const VERSION: u8 = 3;

/// Most profiles on one card.
pub(crate) const MAX_PROFILES: usize = 64;

/// Most changes of a profile that are kept beside its image before the image is written anew.
const MAX_CHANGES: u16 = 256;

/// Why a card can't be made from its memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The memory failed.
    #[error(transparent)]
    Nvm(#[from] NvmError),
    /// A record is damaged, or of another version.
    #[error("the card's memory has a damaged record {key:?}, or one of another version")]
    Record {
        /// The record that is damaged.
        key: Key,
    },
    /// The memory is of another card.
    #[error("the memory is that of the card with EID {found}, not {expected}")]
    OtherCard {
        /// The EID in memory.
        found: String,
        /// The EID of this card's certificate.
        expected: String,
    },
}

/// One installed profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Number of the ISD-P; names its records and makes its AID.
    pub(crate) slot: u16,
    pub(crate) enabled: bool,
    pub(crate) nickname: Option<String>,
    /// Bytes of the image and the metadata.
    pub(crate) size: u32,
    /// Contents of DpProprietaryData.
    pub(crate) dp_proprietary: Option<Vec<u8>>,
    /// Key identifier of the CI under which the card signed at its download, and signs its
    /// notifications (§3.5).
    pub(crate) ci: Vec<u8>,
    /// From its own record, without the icon.
    #[serde(skip)]
    pub(crate) metadata: Option<StoreMetadataRequest>,
}

impl Profile {
    /// AID of the ISD-P (SGP.02 annex H: PIX 1010 … 89 00 001n 00).
    pub(crate) fn aid(&self) -> [u8; 16] {
        let mut aid = super::ISDR_AID;
        let [high, low] = self.slot.wrapping_add(0x10).to_be_bytes();
        aid[13] = high;
        aid[14] = low;
        aid
    }

    pub(crate) fn iccid(&self) -> [u8; 10] {
        self.metadata.as_ref().map_or([0xFF; 10], |m| m.iccid)
    }

    pub(crate) fn class(&self) -> ProfileClass {
        self.metadata
            .as_ref()
            .map_or(ProfileClass::Operational, |m| m.profile_class)
    }

    /// Is a Profile Policy Rule set?
    pub(crate) fn has_rule(&self, rule: u32) -> bool {
        let rules = self.metadata.as_ref().and_then(|m| m.policy_rules);
        rules.unwrap_or(0) & rule != 0
    }
}

/// The card's own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) eid: [u8; 16],
    pub(crate) next_sequence: u32,
    pub(crate) next_slot: u16,
    pub(crate) default_dp: String,
    pub(crate) profiles: Vec<Profile>,
    /// Sequence numbers of pending notifications, ascending.
    pub(crate) notifications: Vec<u32>,
    /// A switch that waits for REFRESH or reset.
    pub(crate) switch: Option<super::Switch>,
    /// Slot of the profile that was enabled before a test profile, and will be again (SGP.21
    /// TPRO10).
    pub(crate) suspended: Option<u16>,
    /// Bytes of the record with revocation lists.
    pub(crate) revocation_bytes: u32,
}

impl State {
    fn new(eid: [u8; 16], next_sequence: u32) -> Self {
        Self {
            eid,
            next_sequence,
            next_slot: 0,
            default_dp: String::new(),
            profiles: Vec::new(),
            notifications: Vec::new(),
            switch: None,
            suspended: None,
            revocation_bytes: 0,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, alloc::vec![VERSION]).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then(|| postcard::from_bytes(rest).ok())?
    }

    pub(crate) fn position(&self, id: &ProfileIdentifier) -> Option<usize> {
        self.profiles.iter().position(|p| match id {
            ProfileIdentifier::IsdpAid(aid) => p.aid() == aid[..],
            ProfileIdentifier::Iccid(iccid) => p.iccid() == *iccid,
        })
    }

    pub(crate) fn enabled(&self) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.enabled)
    }

    /// Is a test profile enabled?
    pub(crate) fn testing(&self) -> bool {
        self.enabled()
            .is_some_and(|p| p.class() == ProfileClass::Test)
    }

    /// Is there a profile whose PPR1 forbids disabling it?
    pub(crate) fn undisableable(&self) -> bool {
        self.enabled().is_some_and(|p| p.has_rule(ppr::PPR1))
    }

    /// A slot that no profile uses.
    pub(crate) fn free_slot(&self) -> Option<u16> {
        if self.profiles.len() >= MAX_PROFILES {
            return None;
        }
        (0..=u16::MAX - 0x10)
            .map(|n| self.next_slot.wrapping_add(n) % (u16::MAX - 0x10))
            .find(|slot| self.profiles.iter().all(|p| p.slot != *slot))
    }
}

/// NVM and what it holds.
#[derive(Debug)]
pub(crate) struct Store<N> {
    pub(crate) nvm: N,
    state: State,
    first_notification: u32,
    /// The enabled profile, or the bare file system without one.
    pub(crate) image: ProfileImage,
    slot: Option<u16>,
    changes: u16,
}

impl<N: Nvm> Store<N> {
    /// The memory of the card with this EID; the first notification of a new one has the number
    /// `first_notification`.
    pub(crate) fn open(
        nvm: N,
        eid: [u8; 16],
        first_notification: u32,
    ) -> Result<Self, RestoreError> {
        let mut store = Self {
            nvm,
            state: State::new(eid, first_notification),
            first_notification,
            image: ProfileImage::bare(),
            slot: None,
            changes: 0,
        };
        store.load()?;
        if store.state.eid != eid {
            return Err(RestoreError::OtherCard {
                found: aid_rsp::es10::eid_digits(&store.state.eid),
                expected: aid_rsp::es10::eid_digits(&eid),
            });
        }
        Ok(store)
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Reads everything again.
    pub(crate) fn load(&mut self) -> Result<(), RestoreError> {
        let mut state = match self.nvm.get(Key::Card)? {
            Some(bytes) => {
                State::from_bytes(&bytes).ok_or(RestoreError::Record { key: Key::Card })?
            }
            None => State::new(self.state.eid, self.first_notification),
        };
        for profile in &mut state.profiles {
            let key = Key::Metadata(profile.slot);
            let bytes = self.nvm.get(key)?;
            let metadata = bytes.and_then(|b| StoreMetadataRequest::from_slice(&b).ok());
            let metadata = metadata.ok_or(RestoreError::Record { key })?;
            // Icons stay in NVM: they are large, and seldom asked for.
            profile.metadata = Some(metadata.without_icon());
        }
        self.state = state;
        self.load_image()
    }

    fn load_image(&mut self) -> Result<(), RestoreError> {
        self.slot = self.state.enabled().map(|p| p.slot);
        self.changes = 0;
        let Some(slot) = self.slot else {
            self.image = ProfileImage::bare();
            return Ok(());
        };
        let key = Key::Image(slot);
        let bytes = self.nvm.get(key)?;
        let image = bytes.and_then(|b| ProfileImage::from_bytes(&b));
        let mut image = image.ok_or(RestoreError::Record { key })?;
        while let Some(bytes) = self.nvm.get(Key::Change(slot, self.changes))? {
            let key = Key::Change(slot, self.changes);
            let change = Change::from_bytes(&bytes).ok_or(RestoreError::Record { key })?;
            image.apply(&change);
            self.changes += 1;
        }
        self.image = image;
        Ok(())
    }

    /// Replaces the state together with other writes, atomically.
    pub(crate) fn commit(&mut self, next: State, writes: &[Write<'_>]) -> Result<(), NvmError> {
        let bytes = next.to_bytes();
        let mut batch = Vec::with_capacity(writes.len() + 1);
        batch.push(Write::Put(Key::Card, &bytes));
        batch.extend_from_slice(writes);
        self.nvm.commit(&batch, Durability::Flushed)?;
        let switched = next.enabled().map(|p| p.slot) != self.slot;
        self.state = next;
        if switched {
            self.load_image().map_err(|e| NvmError {
                reason: alloc::format!("{e}"),
            })?;
        }
        Ok(())
    }

    /// Stores a change that the enabled profile made in memory.
    pub(crate) fn commit_change(&mut self, change: &Change) -> Result<(), NvmError> {
        let Some(slot) = self.slot else {
            return Ok(());
        };
        if self.changes < MAX_CHANGES {
            let bytes = change.to_bytes();
            let write = Write::Put(Key::Change(slot, self.changes), &bytes);
            self.nvm.commit(&[write], Durability::Flushed)?;
            self.changes += 1;
            return Ok(());
        }
        let bytes = self.image.to_bytes();
        let mut batch = alloc::vec![Write::Put(Key::Image(slot), &bytes)];
        batch.extend((0..self.changes).map(|n| Write::Delete(Key::Change(slot, n))));
        self.nvm.commit(&batch, Durability::Flushed)?;
        self.changes = 0;
        Ok(())
    }

    /// The writes that remove a profile's records.
    pub(crate) fn removal(&mut self, slot: u16) -> Result<Vec<Write<'static>>, NvmError> {
        let mut writes = alloc::vec![
            Write::Delete(Key::Metadata(slot)),
            Write::Delete(Key::Image(slot)),
        ];
        for n in 0..MAX_CHANGES {
            if self.nvm.get(Key::Change(slot, n))?.is_none() {
                break;
            }
            writes.push(Write::Delete(Key::Change(slot, n)));
        }
        Ok(writes)
    }
}
