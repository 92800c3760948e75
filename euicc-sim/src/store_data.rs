//! Which ES10 function a command completes: STORE DATA carries it in blocks.
//! SGP.22 §5.7.2, GlobalPlatform Card Specification §11.11.

/// Follows STORE DATA blocks (GlobalPlatform Card Specification §11.11) on each logical channel.
#[derive(Debug, Default)]
pub(crate) struct StoreData {
    /// Tag of the function whose blocks are coming, by class byte.
    tags: std::collections::BTreeMap<u8, u16>,
}

impl StoreData {
    /// The tag of the ES10 function whose last block this command is.
    pub(crate) fn complete(&mut self, apdu: &[u8]) -> Option<u16> {
        let [cla, 0xE2, p1, p2, lc, data @ ..] = apdu else {
            return None;
        };
        if cla & 0x80 == 0 || data.len() < usize::from(*lc) {
            return None;
        }
        if *p2 == 0 {
            self.tags.remove(cla);
            if let [high, low, ..] = data {
                self.tags.insert(*cla, u16::from_be_bytes([*high, *low]));
            }
        }
        let last = p1 & 0x80 != 0;
        if last { self.tags.remove(cla) } else { None }
    }
}
