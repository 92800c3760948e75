//! ES2+: DownloadOrder, ConfirmOrder, ReleaseProfile, CancelOrder. SGP.22 §3.1.1, §5.3.1-§5.3.4.
//! Each takes the order as stored and changes it, or refuses. A repetition of a call that was
//! executed gives the same answer, so that an operator may retry.

use super::{Change, Decided, Order, OrderState, Refusal};
use aid_rsp::crypto::sha256;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
};
use aid_rsp::es9::{RequestHeader, Secret};
use rand_core::CryptoRng;

/// What the caller of ConfirmOrder adds to the request.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    /// The request.
    pub request: &'a ConfirmOrderRequest,
    /// Also `_` may be in its MatchingID.
    pub underscore: bool,
    /// Unix seconds.
    pub now: u64,
}

/// May it be a MatchingID (SGP.22 §4.1.1: capital letters, digits, hyphen)?
#[must_use]
pub fn is_matching_id(text: &str) -> bool {
    text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
}

/// An EID of 32 digits, if given.
fn checked_eid(eid: Option<&str>) -> Result<Option<String>, Refusal> {
    match eid {
        Some(eid) if eid.len() == 32 && eid.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Some(eid.into()))
        }
        Some(eid) => Err(Refusal::eid_invalid(format!(
            "EID {eid:?} does not have 32 digits"
        ))),
        None => Ok(None),
    }
}

/// Operator of the orders that the command line places: no configured operator has an empty name, so that none may touch
/// them over ES2+.
pub const BY_HAND: &str = "";

/// What tells a call from others, where the caller says so; a repetition has the same.
pub(crate) fn call_of(header: &RequestHeader) -> Option<String> {
    let call = header.function_call_identifier.as_str();
    (!call.is_empty()).then(|| format!("{}/{call}", header.function_requester_identifier))
}

fn transition(order: &Order, wish: &str) -> Refusal {
    Refusal::iccid_transition(format!(
        "profile {} is {}, it cannot be {wish}",
        order.iccid, order.state
    ))
}

/// ICCID without the padding that the wire may carry.
pub(crate) fn plain_iccid(iccid: &str) -> &str {
    iccid.trim_end_matches(['F', 'f'])
}

impl Order {
    /// ES2+.DownloadOrder on all orders, in the order of their ICCIDs, or on those of them that count: the one of the
    /// ICCID, those of the same call, the first that is available, and one of the profile type. Yields the ICCID that
    /// the operator has now. `operator` is the name of the caller. Refusals are those of SGP.22 §5.3.1.
    pub fn download(
        orders: &[Self],
        request: &DownloadOrderRequest,
        operator: &str,
        expires_at: Option<u64>,
        now: u64,
    ) -> Decided<String> {
        match Self::ordered(orders, request, operator, now) {
            Ok((mut order, true)) => {
                order.expires_at = expires_at;
                Decided {
                    result: Ok(order.iccid.clone()),
                    changes: vec![Change::Order(Box::new(order))],
                }
            }
            Ok((order, false)) => Decided::unchanged(Ok(order.iccid)),
            Err(refusal) => Decided::unchanged(Err(refusal)),
        }
    }

    /// The order, and whether it is new: otherwise the call is a repetition.
    pub(crate) fn ordered(
        orders: &[Self],
        request: &DownloadOrderRequest,
        operator: &str,
        now: u64,
    ) -> Result<(Self, bool), Refusal> {
        let eid = checked_eid(request.eid.as_ref().map(AsRef::as_ref))?;
        let profile_type = request.profile_type.as_ref().map(AsRef::as_ref);
        let call = call_of(&request.header);
        let fits = |o: &&Self| profile_type.is_none_or(|t| t == o.profile_type);
        let iccid = request.iccid.as_ref().map(|i| plain_iccid(i.as_ref()));
        let is_again = |o: &&Self| {
            call.is_some()
                && o.call == call
                && o.eid == eid
                && o.operator.as_deref() == Some(operator)
                && matches!(
                    o.state,
                    OrderState::Allocated
                        | OrderState::Linked
                        | OrderState::Confirmed
                        | OrderState::Released
                )
                && iccid.is_none_or(|i| i == o.iccid)
        };
        if let Some(order) = orders.iter().filter(fits).find(is_again) {
            return Ok((order.clone(), false));
        }
        let chosen = match iccid {
            Some(iccid) => {
                let order = orders.iter().find(|o| o.iccid == iccid).ok_or_else(|| {
                    Refusal::iccid_unknown(format!("no profile has ICCID {iccid}"))
                })?;
                if !fits(&order) {
                    return Err(Refusal::type_association(format!(
                        "profile {iccid} is of type {:?}",
                        order.profile_type
                    )));
                }
                if order.state != OrderState::Available {
                    order.check_operator(operator)?;
                    return Err(Refusal::iccid_in_use(format!(
                        "profile {iccid} is {}",
                        order.state
                    )));
                }
                order
            }
            None => {
                let mut suitable = orders.iter().filter(fits).peekable();
                let wanted = profile_type.unwrap_or("any");
                if suitable.peek().is_none() && profile_type.is_some() {
                    return Err(Refusal::type_unknown(format!(
                        "no profile is of type {wanted:?}"
                    )));
                }
                suitable
                    .find(|o| o.state == OrderState::Available)
                    .ok_or_else(|| {
                        Refusal::type_unavailable(format!(
                            "no profile of type {wanted:?} is available"
                        ))
                    })?
            }
        };
        let mut order = chosen.anew(now);
        order.package.clone_from(&chosen.package);
        let state = match eid {
            Some(_) => OrderState::Linked,
            None => OrderState::Allocated,
        };
        order.is_linked = eid.is_some();
        order.eid = eid;
        order.operator = Some(operator.into());
        order.call = call;
        order.enter(state, now);
        Ok((order, true))
    }

    /// ES2+.ConfirmOrder. `is_taken`: another order has the MatchingID of the request. Without one in the request, a
    /// random one of 100 bits is made.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.3.2.
    pub fn confirm(
        &mut self,
        confirmation: Confirmation<'_>,
        is_taken: bool,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), Refusal> {
        let Confirmation {
            request,
            underscore,
            now,
        } = confirmation;
        let fits =
            |id: &str| is_matching_id(id) || underscore && is_matching_id(&id.replace('_', "-"));
        let eid = checked_eid(request.eid.as_ref().map(AsRef::as_ref))?;
        if let (Some(own), Some(given)) = (&self.eid, &eid)
            && own != given
        {
            return Err(Refusal::eid_association(format!(
                "profile {} is ordered for EID {own}, not {given}",
                self.iccid
            )));
        }
        let eid = eid.or_else(|| self.eid.clone());
        if request.smds_address.is_some() {
            return Err(match eid {
                None => Refusal::eid_missing("an event at an SM-DS needs an EID"),
                Some(_) => {
                    Refusal::smds_inaccessible("this SM-DP+ registers no events at an SM-DS")
                }
            });
        }
        let wanted = request.matching_id.as_ref().map(AsRef::<str>::as_ref);
        let code = request
            .confirmation_code
            .as_ref()
            .map(Secret::expose)
            .filter(|code| !code.is_empty())
            .map(|code| hex::encode_upper(sha256(&[code.as_bytes()])));
        let is_released = matches!(
            self.state,
            OrderState::Released | OrderState::Downloaded | OrderState::Installed
        );
        if (is_released || self.state == OrderState::Confirmed)
            && eid == self.eid
            && code == self.confirmation_code
            && wanted.is_none_or(|w| Some(w) == self.matching_id.as_deref())
            && request.release_flag == is_released
        {
            return Ok(());
        }
        if !matches!(self.state, OrderState::Allocated | OrderState::Linked) {
            return Err(transition(self, "confirmed"));
        }
        let matching_id = match wanted {
            Some("") if eid.is_none() => {
                return Err(Refusal::eid_missing(
                    "an order without MatchingID needs an EID",
                ));
            }
            Some(wanted) if !fits(wanted) => {
                let or = if underscore { ", underscore" } else { "" };
                return Err(Refusal::matching_id_invalid(format!(
                    "MatchingID {wanted:?} has other characters than A-Z, 0-9 and hyphen{or}"
                )));
            }
            Some(wanted) if is_taken => {
                return Err(Refusal::matching_id_in_use(format!(
                    "another order has MatchingID {wanted}"
                )));
            }
            Some(wanted) => wanted.to_owned(),
            None => random_matching_id(rng),
        };
        self.is_linked = eid.is_some();
        self.eid = eid;
        self.matching_id = Some(matching_id);
        self.confirmation_code = code;
        let state = if request.release_flag {
            OrderState::Released
        } else {
            OrderState::Confirmed
        };
        self.enter(state, now);
        Ok(())
    }

    /// ES2+.ReleaseProfile.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.3.4.
    pub fn release(&mut self, now: u64) -> Result<(), Refusal> {
        match self.state {
            OrderState::Released => Ok(()),
            OrderState::Confirmed => {
                self.enter(OrderState::Released, now);
                Ok(())
            }
            _ => Err(transition(self, "released")),
        }
    }

    /// Gives an order to another operator, who may change it over ES2+ from now on.
    ///
    /// # Errors
    /// There is no order of this profile.
    pub fn set_operator(&mut self, operator: &str, now: u64) -> Result<(), Refusal> {
        if matches!(self.state, OrderState::Available | OrderState::Unavailable) {
            return Err(transition(self, "given to an operator"));
        }
        self.operator = Some(operator.to_owned());
        self.changed_at = now;
        Ok(())
    }

    /// ES2+.CancelOrder.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.3.3.
    pub fn cancel(&mut self, request: &CancelOrderRequest, now: u64) -> Result<(), Refusal> {
        let eid = checked_eid(request.eid.as_ref().map(AsRef::as_ref))?;
        if eid.is_none() && self.is_linked {
            return Err(Refusal::eid_missing(format!(
                "profile {} is ordered for an EID, which must be named to cancel the order",
                self.iccid
            )));
        }
        if eid.is_some() && eid != self.eid {
            return Err(Refusal::eid_association(format!(
                "profile {} is not ordered for this EID",
                self.iccid
            )));
        }
        let matching_id = request.matching_id.as_ref().map(AsRef::<str>::as_ref);
        if matching_id.is_some() && matching_id != self.matching_id.as_deref() {
            return Err(Refusal::matching_id_association(format!(
                "profile {} has another MatchingID",
                self.iccid
            )));
        }
        match self.state {
            OrderState::Available | OrderState::Installed | OrderState::Unavailable => {
                Err(transition(self, "cancelled"))
            }
            _ => {
                self.put_back(request.final_profile_status_indicator, now);
                Ok(())
            }
        }
    }

    /// Ends the order, whatever its state: the profile can be ordered again, or never.
    pub fn put_back(&mut self, to: FinalProfileStatus, now: u64) {
        *self = self.anew(now);
        if to == FinalProfileStatus::Unavailable {
            self.enter(OrderState::Unavailable, now);
        }
    }
}

/// Four groups of five characters, 5 bits each, without those that look alike.
fn random_matching_id(rng: &mut dyn CryptoRng) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut random = [0u8; 20];
    rng.fill_bytes(&mut random);
    let mut out = String::with_capacity(23);
    for (i, byte) in random.iter().enumerate() {
        if i > 0 && i % 5 == 0 {
            out.push('-');
        }
        out.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    out
}
