//! What holds between this MSP and the others: keys, secrets and certificates of the CMPs, and of the SM-DP+. All of it
//! is replaced at once while the program runs (AID.02 §5.2, §6).

use std::sync::Arc;

use aid_aid1::agreed;
use aid_aid1::headers::PartyId;
use aid_cli::cli::Failure;

use crate::config::{CmpParty, Config};
use crate::es2::Es2;

/// The agreement. Whoever holds one keeps to it to the end of the call or request.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// Our `target-id`; any is accepted if there is none.
    pub(crate) own_id: Option<PartyId>,
    /// The CMPs.
    pub(crate) cmps: Vec<Arc<CmpParty>>,
    /// The SM-DP+.
    pub(crate) es2: Es2,
}

impl Agreed {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// A file or a value is not usable.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        let own_id = config.aid1.own_id.as_ref();
        let cmps = config.cmp.iter();
        let cmps = cmps.map(|cmp| CmpParty::new(cmp, own_id).map(Arc::new));
        Ok(Self {
            own_id: config.aid1.own_id.clone(),
            cmps: cmps.collect::<Result<_, _>>()?,
            es2: Es2::new(&config.smdp)?,
        })
    }

    /// Whether each CMP has certificates of its own.
    ///
    /// # Errors
    /// Two CMPs, and the certificate that they share.
    pub(crate) fn certificates_apart(&self) -> Result<(), String> {
        let parties = self.cmps.iter();
        let parties = parties.map(|c| (c.client_id.as_str(), c.certificates.as_slice(), c.hub));
        agreed::certificates_apart(parties).map_err(|e| format!("[[cmp]]: {e}"))
    }

    /// The CMP with this name.
    #[must_use]
    pub(crate) fn cmp(&self, client: &PartyId) -> Option<&Arc<CmpParty>> {
        self.cmps.iter().find(|cmp| cmp.client_id == *client)
    }
}
