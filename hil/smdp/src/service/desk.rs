//! The orders of the books, as ES2+ and the command line change them. Each change is one decision on one transaction,
//! so that a command may work beside a running server.

use super::rng;
use crate::core::{
    BY_HAND, Change, Confirmation, Decided, Limits, Order, OrderState, Refusal, plain_iccid,
};
use crate::store::{Books, Store, Stored};
use crate::template::{Made, Template};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
};
use std::sync::Arc;

/// Who changes an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The operator of this name, over ES2+: its own orders only.
    Operator(String),
    /// Whoever runs the server, by command: any order. A new one is kept under this operator's name; without one no
    /// operator may touch it.
    Hand(Option<String>),
}

impl By {
    /// Whose a new order is.
    fn owner(&self) -> &str {
        match self {
            Self::Operator(name) | Self::Hand(Some(name)) => name,
            Self::Hand(None) => BY_HAND,
        }
    }

    fn check(&self, order: &Order) -> Result<(), Refusal> {
        match self {
            Self::Operator(name) => order.check_operator(name),
            Self::Hand(_) => Ok(()),
        }
    }
}

/// An order that is placed by one command: DownloadOrder and, where `confirm` is given, ConfirmOrder.
#[derive(Debug, Clone)]
pub struct Placing {
    /// Which profile, for whom.
    pub download: DownloadOrderRequest,
    /// This package of the ICCID, where several have it.
    pub package: Option<String>,
    /// Its ICCID is filled in.
    pub confirm: Option<ConfirmOrderRequest>,
    /// When it expires, unix seconds; `None`: as the configuration says.
    pub expires_at: Option<u64>,
}

/// The order of a profile, if it may be touched.
async fn find(books: Books<'_>, iccid: &str, by: &By) -> Stored<Result<Order, Refusal>> {
    let iccid = plain_iccid(iccid);
    let unknown = || Refusal::iccid_unknown(format!("no profile has ICCID {iccid}"));
    let found = books.order(iccid).await?.ok_or_else(unknown);
    Ok(found.and_then(|order| by.check(&order).map(|()| order)))
}

/// Is the MatchingID that is wished for another order's?
async fn is_taken(books: Books<'_>, request: &ConfirmOrderRequest, iccid: &str) -> Stored<bool> {
    let taken = match request.matching_id.as_ref().map_or("", |m| m.as_str()) {
        "" => None,
        wanted => books.order_matching(wanted).await?,
    };
    Ok(taken.is_some_and(|other| other.iccid != iccid))
}

/// What there is to choose from: where no profile is available, one that a template makes now, with the change that
/// stores it.
async fn candidates(
    books: Books<'_>,
    request: &DownloadOrderRequest,
    templates: &[Template],
    now: u64,
) -> Stored<(Vec<Order>, Option<Made>)> {
    let mut orders = books.candidates(request).await?;
    let is_available = |order: &Order| order.state == OrderState::Available;
    let made = match orders.iter().any(is_available) {
        true => None,
        false => books.make(templates, request, &mut rng()).await?,
    };
    if let Some(made) = &made {
        let (iccid, profile_type) = (made.stock.iccid.clone(), made.stock.profile_type.clone());
        orders.push(Order::available(iccid, profile_type, now));
    }
    Ok((orders, made))
}

/// The change that stores a profile which was made, where it was chosen.
fn making(made: Option<Made>, iccid: &str, now: u64) -> impl Iterator<Item = Change> {
    let chosen = made.filter(|made| made.stock.iccid == iccid);
    chosen
        .into_iter()
        .map(move |made| Change::Made(Box::new(made), now))
}

/// Orders of a store.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    store: &'a Store,
    limits: Limits,
    templates: &'a Arc<[Template]>,
}

impl<'a> Desk<'a> {
    /// Changes the orders of this store.
    #[must_use]
    pub const fn new(store: &'a Store, limits: Limits, templates: &'a Arc<[Template]>) -> Self {
        Self {
            store,
            limits,
            templates,
        }
    }

    /// DownloadOrder; yields the order. SGP.22 §5.3.1.
    ///
    /// # Errors
    /// The database.
    pub async fn download(
        self,
        request: &DownloadOrderRequest,
        by: &By,
        now: u64,
    ) -> Stored<Decided<String>> {
        let (request, owner) = (request.clone(), by.owner().to_owned());
        let expires_at = self.limits.expiry(now);
        let templates = Arc::clone(self.templates);
        let decided = self.store.decide(async move |books| {
            let (orders, made) = candidates(books, &request, &templates, now).await?;
            let mut decided = Order::download(&orders, &request, &owner, expires_at, now);
            if let Ok(iccid) = &decided.result {
                // The profile is stored before its order.
                decided.changes = making(made, iccid, now).chain(decided.changes).collect();
            }
            Ok(decided)
        });
        decided.await
    }

    /// ConfirmOrder; yields EID and MatchingID. SGP.22 §5.3.2.
    ///
    /// # Errors
    /// The database.
    pub async fn confirm(
        self,
        request: &ConfirmOrderRequest,
        by: &By,
        now: u64,
    ) -> Stored<Decided<(Option<String>, Option<String>)>> {
        let (request, by) = (request.clone(), by.clone());
        let underscore = self.limits.matching_id_underscore;
        let decided = self.store.decide(async move |books| {
            let order = match find(books, request.iccid.as_str(), &by).await? {
                Ok(order) => order,
                Err(refusal) => return Ok(Decided::unchanged(Err(refusal))),
            };
            let is_taken = is_taken(books, &request, &order.iccid).await?;
            let confirmation = Confirmation {
                request: &request,
                underscore,
                now,
            };
            Ok(Decided::about(order, |order| {
                order.confirm(confirmation, is_taken, &mut rng())?;
                Ok((order.eid.clone(), order.matching_id.clone()))
            }))
        });
        decided.await
    }

    /// Both in one decision: an order that can't be confirmed is not placed either. Yields the order.
    ///
    /// # Errors
    /// The database.
    pub async fn place(self, placing: &Placing, by: &By, now: u64) -> Stored<Decided<Order>> {
        let (placing, owner) = (placing.clone(), by.owner().to_owned());
        let underscore = self.limits.matching_id_underscore;
        let expires_at = placing.expires_at.or_else(|| self.limits.expiry(now));
        let templates = Arc::clone(self.templates);
        let decided = self.store.decide(async move |books| {
            let (orders, made) = match &placing.package {
                Some(file) => (books.package(file, &placing.download).await?, None),
                None => candidates(books, &placing.download, &templates, now).await?,
            };
            let download = &placing.download;
            let placed = Order::ordered(&orders, download, &owner, now).map(|(order, _)| order);
            let mut order = match placed {
                Ok(order) => order,
                Err(refusal) => return Ok(Decided::unchanged(Err(refusal))),
            };
            order.expires_at = expires_at;
            if let Some(request) = &placing.confirm {
                let is_taken = is_taken(books, request, &order.iccid).await?;
                let confirmation = Confirmation {
                    request,
                    underscore,
                    now,
                };
                if let Err(refusal) = order.confirm(confirmation, is_taken, &mut rng()) {
                    return Ok(Decided::unchanged(Err(refusal)));
                }
            }
            Ok(Decided {
                changes: making(made, &order.iccid, now)
                    .chain([Change::Order(Box::new(order.clone()))])
                    .collect(),
                result: Ok(order),
            })
        });
        decided.await
    }

    /// ReleaseProfile. SGP.22 §5.3.4.
    ///
    /// # Errors
    /// The database.
    pub async fn release(self, iccid: &str, by: &By, now: u64) -> Stored<Decided<()>> {
        self.change(iccid, by, move |order| order.release(now))
            .await
    }

    /// CancelOrder. SGP.22 §5.3.3.
    ///
    /// # Errors
    /// The database.
    pub async fn cancel(
        self,
        request: &CancelOrderRequest,
        by: &By,
        now: u64,
    ) -> Stored<Decided<()>> {
        let (iccid, request) = (request.iccid.as_str(), request.clone());
        self.change(iccid, by, move |order| order.cancel(&request, now))
            .await
    }

    /// Gives an order to another operator of the configuration.
    ///
    /// # Errors
    /// The database.
    pub async fn set_operator(self, iccid: &str, operator: &str, now: u64) -> Stored<Decided<()>> {
        let operator = operator.to_owned();
        let change = move |order: &mut Order| order.set_operator(&operator, now);
        self.change(iccid, &By::Hand(None), change).await
    }

    /// Takes a profile back whatever its state, for a card that will never report again.
    ///
    /// # Errors
    /// The database.
    pub async fn put_back(
        self,
        iccid: &str,
        to: FinalProfileStatus,
        now: u64,
    ) -> Stored<Decided<()>> {
        let change = move |order: &mut Order| {
            order.put_back(to, now);
            Ok(())
        };
        self.change(iccid, &By::Hand(None), change).await
    }

    /// Changes one order.
    async fn change(
        self,
        iccid: &str,
        by: &By,
        change: impl Fn(&mut Order) -> Result<(), Refusal> + Send + 'static,
    ) -> Stored<Decided<()>> {
        let (iccid, by) = (iccid.to_owned(), by.clone());
        let changed = self.store.decide(async move |books| {
            Ok(match find(books, &iccid, &by).await? {
                Ok(order) => Decided::about(order, &change),
                Err(refusal) => Decided::unchanged(Err(refusal)),
            })
        });
        changed.await
    }
}
