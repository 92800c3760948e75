//! What a decision may read: only on the transaction that stores what it decides.

use super::{StoreError, Stored, made, sessions};
use crate::core::{Known, Notice, Order, OrderState, Stock, StoredSession, call_of, plain_iccid};
use crate::template::{Made, Template};
use aid_rsp::es2::DownloadOrderRequest;
use aid_rsp::es10::TransactionId;
use aid_store::{Fields, Tx, Value, params};
use rand_core::CryptoRng;
use std::collections::BTreeSet;

/// The books as they are at the moment of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Books<'t>(&'t Tx<'t>);

/// Reads an order of a row that has its body, and the profile's type as the inventory has it now.
pub(super) fn order(row: &mut Fields<'_>) -> Stored<Order> {
    let body = row.text()?;
    let profile_type = row.text()?;
    let mut order: Order = serde_json::from_str(&body)
        .map_err(|e| StoreError::Unreadable(format!("an odd order: {e}")))?;
    // An order keeps the type that was ordered.
    if order.state == OrderState::Available {
        order.profile_type = profile_type;
    }
    Ok(order)
}

/// The same of a row that also has the file of a package, which an order of it keeps.
fn with_file(row: &mut Fields<'_>) -> Stored<Order> {
    let mut order = order(row)?;
    let file = row.text()?;
    if order.state == OrderState::Available {
        order.package = Some(file);
    }
    Ok(order)
}

/// Sequence numbers: the database knows signed numbers only, the bits stay the same.
pub(super) const fn seq_number(n: u64) -> Value<'static> {
    Value::Int(n.cast_signed())
}

const BY_ICCID: &str = "SELECT body, profile_type FROM orders WHERE iccid = $1";
const BY_MATCHING_ID: &str = "SELECT body, profile_type FROM orders WHERE matching_id = $1";
const IN_INVENTORY: &str =
    "SELECT body, profile_type, file FROM orders WHERE iccid = $1 AND in_inventory = 1";
const BY_CALL: &str = "SELECT body, profile_type, file FROM orders WHERE call = $1 AND eid IS $2 AND in_inventory = 1";
const FIRST: &str = "SELECT body, profile_type, file FROM orders WHERE in_inventory = 1 AND state = 'available' \
     ORDER BY iccid LIMIT 1";
const FIRST_OF_TYPE: &str = "SELECT body, profile_type, file FROM orders WHERE in_inventory = 1 AND state = 'available' \
     AND profile_type = $1 ORDER BY iccid LIMIT 1";
const ANY_OF_TYPE: &str = "SELECT body, profile_type, file FROM orders WHERE in_inventory = 1 AND profile_type = $1 LIMIT 1";
const FURTHER_OF_TYPE: &str = "SELECT o.body, f.profile_type, f.file FROM further f JOIN orders o ON o.iccid = f.iccid \
     WHERE f.profile_type = $1 AND o.state = 'available' ORDER BY f.iccid LIMIT 1";
const ANY_FURTHER_OF_TYPE: &str = "SELECT o.body, f.profile_type, f.file FROM further f JOIN orders o ON o.iccid = f.iccid \
     WHERE f.profile_type = $1 LIMIT 1";
const FURTHER_OF_ICCID: &str = "SELECT o.body, f.profile_type, f.file FROM further f JOIN orders o ON o.iccid = f.iccid \
     WHERE f.iccid = $1 AND f.profile_type = $2 ORDER BY f.file LIMIT 1";
const OF_FILE: &str =
    "SELECT body, profile_type, file FROM orders WHERE file = $1 AND in_inventory = 1 LIMIT 2";
const FURTHER_OF_FILE: &str = "SELECT o.body, f.profile_type, f.file FROM further f JOIN orders o ON o.iccid = f.iccid \
     WHERE f.file = $1 LIMIT 2";
const KNOWN_FURTHER: &str = "/* reads all: the inventory, when it is read */ SELECT iccid, file, profile_type, name FROM further";
const KNOWN: &str = "/* reads all: the inventory, when it is read */ SELECT iccid, file, profile_type, name, in_inventory FROM orders o \
     WHERE NOT EXISTS (SELECT 1 FROM made m WHERE m.iccid = o.iccid)";
const MADE: &str = "/* reads all: the inventory, when it is read */ SELECT iccid FROM made";
const TAKEN: &str = "/* reads all: the range of a template, once each time its next number is taken */ \
     SELECT iccid FROM orders WHERE iccid >= $1 AND iccid <= $2";
const NOTICE: &str =
    "SELECT 1 FROM notifications WHERE eid = $1 AND seq_number = $2 AND digest = $3";

impl<'t> Books<'t> {
    pub(super) const fn new(tx: &'t Tx<'t>) -> Self {
        Self(tx)
    }

    pub(super) const fn tx(self) -> &'t Tx<'t> {
        self.0
    }

    /// The order of a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(self, iccid: &str) -> Stored<Option<Order>> {
        self.0.first(BY_ICCID, params![iccid], order).await
    }

    /// The order with this MatchingID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_matching(self, matching_id: &str) -> Stored<Option<Order>> {
        let values = params![matching_id];
        self.0.first(BY_MATCHING_ID, values, order).await
    }

    /// The orders that count for a DownloadOrder, by ICCID: the same decision is made on them as on all of them. What
    /// was taken out of the inventory can't be delivered, so it does not count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn candidates(self, request: &DownloadOrderRequest) -> Stored<Vec<Order>> {
        let mut found = Vec::new();
        if let Some(call) = call_of(&request.header) {
            let eid: Option<&str> = request.eid.as_ref().map(AsRef::as_ref);
            found = self.0.all(BY_CALL, params![&call, eid], with_file).await?;
        }
        let kind: Option<&str> = request.profile_type.as_ref().map(AsRef::as_ref);
        match (&request.iccid, kind) {
            (Some(iccid), kind) => {
                let iccid = plain_iccid(iccid.as_ref());
                let first = self
                    .0
                    .first(IN_INVENTORY, params![iccid], with_file)
                    .await?;
                let fits = first
                    .as_ref()
                    .is_some_and(|order| kind.is_none_or(|kind| kind == order.profile_type));
                if let (false, Some(kind)) = (fits, kind) {
                    let values = params![iccid, kind];
                    let further = self.0.first(FURTHER_OF_ICCID, values, with_file);
                    // Instead of the first: an ICCID is ordered once.
                    found.extend(further.await?.or(first));
                } else {
                    found.extend(first);
                }
            }
            (None, None) => found.extend(self.0.first(FIRST, &[], with_file).await?),
            (None, Some(kind)) => {
                found.extend(
                    self.0
                        .first(FIRST_OF_TYPE, params![kind], with_file)
                        .await?,
                );
                // Tells a type of which none is left from one that never was.
                found.extend(self.0.first(ANY_OF_TYPE, params![kind], with_file).await?);
                if found
                    .iter()
                    .all(|order| order.state != OrderState::Available)
                {
                    for sql in [FURTHER_OF_TYPE, ANY_FURTHER_OF_TYPE] {
                        found.extend(self.0.first(sql, params![kind], with_file).await?);
                    }
                }
            }
        }
        found.sort_by(|a, b| (&a.iccid, &a.package).cmp(&(&b.iccid, &b.package)));
        found.dedup_by(|a, b| a.iccid == b.iccid && a.package == b.package);
        Ok(found)
    }

    /// The order for the package of this file, as far as the request's ICCID and type allow.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn package(self, file: &str, request: &DownloadOrderRequest) -> Stored<Vec<Order>> {
        let first = self.0.all(OF_FILE, params![file], with_file).await?;
        let further = self
            .0
            .all(FURTHER_OF_FILE, params![file], with_file)
            .await?;
        let iccid = request.iccid.as_ref().map(|i| plain_iccid(i.as_ref()));
        let found = first.into_iter().chain(further);
        Ok(found
            .filter(|order| iccid.is_none_or(|i| i == order.iccid))
            .collect())
    }

    /// A new profile for an order that finds none: the next of the template of the type that is wished, or of the first
    /// template where none is. `None`: there is no such template, or all of its profiles are made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make(
        self,
        templates: &[Template],
        request: &DownloadOrderRequest,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Stored<Option<Made>> {
        let kind: Option<&str> = request.profile_type.as_ref().map(AsRef::as_ref);
        let fits = |template: &&Template| kind.is_none_or(|kind| kind == template.profile_type());
        if request.iccid.is_some() {
            return Ok(None);
        }
        for template in templates.iter().filter(fits) {
            let next = made::next(self.0, template.name()).await?;
            let number = self.free_number(template, next).await?;
            if let Some(made) = number.and_then(|number| template.make(number, rng).ok()) {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// The first number of a template from this one on whose ICCID no file of the inventory has.
    async fn free_number(self, template: &Template, next: u32) -> Stored<Option<u32>> {
        let Some(first) = template.iccid(next) else {
            return Ok(None);
        };
        if self.order(&first).await?.is_none() {
            return Ok(Some(next));
        }
        let Some(last) = template.iccid(template.count() - 1) else {
            return Ok(None);
        };
        let values = params![&first, &last];
        let taken = self.0.all(TAKEN, values, |row| row.text()).await?;
        let taken: BTreeSet<String> = taken.into_iter().collect();
        let mut numbers = next..template.count();
        Ok(numbers.find(|n| {
            template
                .iccid(*n)
                .is_some_and(|iccid| !taken.contains(&iccid))
        }))
    }

    /// All profiles that were ever in the inventory, and the ICCIDs of those that were made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known(self) -> Stored<Known> {
        let stock = |row: &mut Fields<'_>| {
            Ok(Stock {
                iccid: row.text()?,
                file: row.text()?,
                profile_type: row.text()?,
                name: row.text()?,
            })
        };
        let first = self.0.all(KNOWN, &[], |row| {
            let stock = stock(row)?;
            Ok((stock.iccid.clone(), (stock, row.number::<i64>()? != 0)))
        });
        let first = first.await?.into_iter().collect();
        let further = self.0.all(KNOWN_FURTHER, &[], stock).await?;
        let made = self.0.all(MADE, &[], |row| row.text()).await?;
        Ok(Known {
            first,
            further: further.into_iter().collect(),
            made: made.into_iter().collect(),
        })
    }

    /// What is stored of a session, where it has still time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session(self, id: &TransactionId, now: u64) -> Stored<Option<StoredSession>> {
        sessions::session(self.0, id, now).await
    }

    /// The sessions of an eUICC that are not over, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions_of(self, eid: &str) -> Stored<Vec<TransactionId>> {
        sessions::of_euicc(self.0, eid).await
    }

    /// Whether a notification is stored already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_known(self, notice: &Notice) -> Stored<bool> {
        let values = [
            Value::from(&notice.eid),
            seq_number(notice.seq_number),
            Value::from(&notice.digest[..]),
        ];
        self.0.exists(NOTICE, &values).await
    }
}
