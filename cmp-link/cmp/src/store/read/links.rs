//! What MSPs say and hear about links: doubts, judgements of profiles, statuses that were told, deviations.

use crate::store::row::{self, select_deviation, select_doubt, select_judgement};
use crate::store::{Stored, Tx};
use aid_aid1::body::CsimStatus;
use aid_cmp_core::model::{Deviated, Doubt, Judgement};
use aid_id::{Iccid, Id};
use aid_store::params;

impl Tx<'_> {
    /// The doubt about a link, if there is one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn doubt(&self, federation: Id) -> Stored<Option<Doubt>> {
        let sql = select_doubt!("WHERE federation = $1");
        self.tx.first(sql, params![federation], row::doubt).await
    }

    /// Since when the MSP says of the profiles of a link what it says.
    ///
    /// # Errors
    /// The database failed.
    pub async fn judgements(&self, federation: Id) -> Stored<Vec<Judgement>> {
        let sql = select_judgement!("WHERE federation = $1 ORDER BY iccid");
        self.tx.all(sql, params![federation], row::judgement).await
    }

    /// Whether the MSP has heard of this status of a profile, where it hears of it once.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_told(&self, federation: Id, iccid: &Iccid, status: CsimStatus) -> Stored<bool> {
        let sql = "SELECT 1 FROM status_told WHERE federation = $1 AND iccid = $2 AND status = $3";
        let values = params![federation, iccid.as_str(), status.as_str()];
        self.tx.exists(sql, values).await
    }

    /// What MSPs did otherwise than AID.02 has it, and was tolerated.
    ///
    /// # Errors
    /// The database failed.
    pub async fn deviations(&self) -> Stored<Vec<Deviated>> {
        let sql = select_deviation!(
            "/* reads all: a row for each MSP and kind of deviation */ ORDER BY msp, kind"
        );
        self.tx.all(sql, &[], row::deviated).await
    }
}
