//! ES6.UpdateMetadata: the operator changes what its enabled profile shows, and gives up policy rules.
//! SGP.22 §5.4.1.

use crate::apdu::sw;
use crate::card::Card;
use crate::nvm::{Key, Nvm, Write};
use aid_rsp::es10::{DataObject, UpdateMetadataRequest, ppr};

impl<N: Nvm> Card<N> {
    /// Executes an UpdateMetadataRequest (BF2A) that came to the enabled profile's MNO-SD. What it
    /// doesn't name stays; an empty icon takes the icon away; of the policy rules those stay that are
    /// set here and in the request, so that they can be given up, never set.
    ///
    /// # Errors
    /// The status word: 6985 without an enabled profile; 6A80 for a request that is none, an icon
    /// without its type, or pprUpdateControl, which is for later versions; 6A84 when it doesn't fit; 6581
    /// when the memory fails.
    pub fn update_metadata(&mut self, request: &[u8]) -> Result<(), u16> {
        let request = UpdateMetadataRequest::from_slice(request).map_err(|_| sw::WRONG_DATA)?;
        let enabled = self.store.state().enabled().ok_or(sw::CONDITIONS)?;
        let (slot, size) = (enabled.slot, enabled.size);
        let mut metadata = self.stored_metadata(slot)?;
        let before = metadata.to_vec().len();
        if let Some(name) = request.service_provider_name {
            metadata.service_provider_name = name;
        }
        if let Some(name) = request.profile_name {
            metadata.profile_name = name;
        }
        match (request.icon, request.icon_type) {
            (Some(icon), _) if icon.is_empty() => {
                metadata.icon = None;
                metadata.icon_type = None;
            }
            (Some(icon), Some(kind)) => {
                metadata.icon = Some(icon);
                metadata.icon_type = Some(kind);
            }
            (None, None) => {}
            _ => return Err(sw::WRONG_DATA),
        }
        if let Some(rules) = request.policy_rules {
            // 0 is the only way of updating rules that there is: keep those that both have.
            if rules & ppr::UPDATE_CONTROL != 0 {
                return Err(sw::WRONG_DATA);
            }
            let held = metadata.policy_rules.unwrap_or(0);
            let kept = held & rules & (ppr::PPR1 | ppr::PPR2);
            metadata.policy_rules = (kept != 0).then_some(kept);
        }
        let record = metadata.to_vec();
        let grown = record.len().saturating_sub(before) as u32;
        if grown > self.free_memory() {
            return Err(sw::NO_MEMORY);
        }
        let shown = metadata.without_icon();
        let mut next = self.store.state().clone();
        for profile in next.profiles.iter_mut().filter(|p| p.slot == slot) {
            profile.size = size.saturating_sub(before as u32) + record.len() as u32;
            profile.metadata = Some(shown.clone());
        }
        self.commit(next, &[Write::Put(Key::Metadata(slot), &record)])
    }
}
