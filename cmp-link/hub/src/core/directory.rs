//! The directory: all parties and pairs, indexed for the two questions of every call: who calls, and whom is it for.

use std::collections::BTreeMap;

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::{Headers, PartyId, credentials};
use aid_aid1::server::Shown;
use aid_id::partner::{admits, in_common};
use http::{HeaderMap, StatusCode};

use super::operation::Operation;
use super::pair::{Pair, PairId, PairState};
use super::party::{Party, PartyRecord, Role};

/// All parties and pairs. It is replaced as a whole when something changes.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    parties: Vec<Party>,
    pairs: Vec<Pair>,
    by_pair: BTreeMap<PairId, usize>,
    /// Position of the party that each client-id belongs to.
    by_client_id: BTreeMap<PartyId, usize>,
    /// For each party: the names under which it knows others, with the position of the pair.
    known: Vec<BTreeMap<PartyId, usize>>,
}

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its headers; `client_id` is proven.
    pub(crate) headers: Headers,
    /// Position of the party.
    pub(crate) party: usize,
}

/// Where a call goes on, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The pair whose call it is.
    pub(crate) pair: PairId,
    /// Whether it goes to the sandbox addresses.
    pub(crate) sandbox: bool,
    /// Whether the hub accepts it where the target is away.
    pub(crate) keep: bool,
    /// The calling party.
    pub(crate) from: PartyId,
    /// The called party.
    pub(crate) to: PartyId,
    /// `client-id` as the called party knows the caller.
    pub(crate) client_id: PartyId,
    /// `target-id` as the called party calls itself.
    pub(crate) target_id: PartyId,
}

fn refused(text: &'static str) -> ApiError {
    ApiError::because(ErrorCode::Unauthorized, text).with_status(StatusCode::FORBIDDEN)
}

impl Directory {
    /// Checks everything together, and indexes it.
    ///
    /// # Errors
    /// What is ambiguous or missing, in one sentence.
    pub(crate) fn new(parties: Vec<PartyRecord>, pairs: Vec<Pair>) -> Result<Self, String> {
        let parties = parties.into_iter().map(Party::new);
        let parties: Vec<Party> = parties.collect::<Result<_, _>>()?;
        let mut by_client_id = BTreeMap::new();
        let mut domains: BTreeMap<&str, &PartyId> = BTreeMap::new();
        for (at, party) in parties.iter().enumerate() {
            for id in party.client_ids() {
                if by_client_id.insert(id.clone(), at).is_some() {
                    return Err(format!(
                        "client-id {id} is there twice; each names one party"
                    ));
                }
            }
            for domain in &party.record.redirect_domains {
                let owner = domains.insert(domain, party.id());
                if let Some(other) = owner.filter(|other| *other != party.id()) {
                    return Err(format!(
                        "the redirect domain {domain} is that of {other} and of {}; browsers must reach one party by it",
                        party.id()
                    ));
                }
            }
            for other in &parties[..at] {
                if let Some(what) = in_common(&party.certificates, &other.certificates) {
                    return Err(format!(
                        "{what} is there for {} and for {}; each has its own certificate (AID.02 §5.1)",
                        other.id(),
                        party.id()
                    ));
                }
            }
        }
        let mut directory = Self {
            known: vec![BTreeMap::new(); parties.len()],
            parties,
            pairs: Vec::new(),
            by_pair: BTreeMap::new(),
            by_client_id,
        };
        for pair in pairs {
            directory.add(pair)?;
        }
        Ok(directory)
    }

    fn add(&mut self, pair: Pair) -> Result<(), String> {
        pair.check()?;
        let id = pair.id();
        let msp = self.of_role(&pair.msp, Role::Msp)?;
        let cmp = self.of_role(&pair.cmp, Role::Cmp)?;
        let at = self.pairs.len();
        if self.by_pair.insert(id.clone(), at).is_some() {
            return Err(format!("the pair {id} is there twice"));
        }
        for (who, other, alias) in [(msp, cmp, &pair.cmp_as), (cmp, msp, &pair.msp_as)] {
            let names: Vec<PartyId> = match alias {
                Some(alias) => vec![alias.clone()],
                None => self.parties[other].client_ids().cloned().collect(),
            };
            for name in names {
                if self.known[who].insert(name.clone(), at).is_some() {
                    return Err(format!(
                        "{} would know two parties as {name}; give one of them another name with --msp-as or --cmp-as",
                        self.parties[who].id()
                    ));
                }
            }
        }
        self.pairs.push(pair);
        Ok(())
    }

    fn of_role(&self, id: &PartyId, role: Role) -> Result<usize, String> {
        let found = self.by_client_id.get(id).copied();
        let found = found.filter(|at| self.parties[*at].id() == id);
        let found = found.ok_or_else(|| format!("there is no party {id}; add it first"))?;
        match self.parties[found].record.role == role {
            true => Ok(found),
            false => Err(format!("{id} is not of the role {}", role.as_str())),
        }
    }

    /// All parties.
    #[must_use]
    pub(crate) fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// All pairs.
    #[must_use]
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The party with this client-id.
    #[must_use]
    pub(crate) fn party(&self, id: &PartyId) -> Option<&Party> {
        self.by_client_id.get(id).map(|at| &self.parties[*at])
    }

    /// The pair of this name.
    #[must_use]
    pub(crate) fn pair(&self, id: &PairId) -> Option<&Pair> {
        self.by_pair.get(id).map(|at| &self.pairs[*at])
    }

    /// Whether a kept call of this pair may be carried on now.
    #[must_use]
    pub(crate) fn is_open(&self, id: &PairId) -> bool {
        self.pair(id).is_some_and(|pair| self.is_active(pair))
    }

    fn is_active(&self, pair: &Pair) -> bool {
        let active = |id| {
            self.party(id)
                .is_some_and(|party| party.record.suspended.is_none())
        };
        pair.state != PairState::Suspended && active(&pair.msp) && active(&pair.cmp)
    }

    /// Decides who a request is of.
    ///
    /// # Errors
    /// 401 with 104 (credentials or certificate) or 93 (unknown caller), 403 with 104 (suspended), 422 with 91 (header).
    pub(crate) fn admit(&self, map: &HeaderMap, shown: Shown<'_>) -> Result<Caller, ApiError> {
        let given = credentials(map)?;
        let headers = Headers::parse(map)?;
        let Some(party) = self.by_client_id.get(&headers.client_id).copied() else {
            return Err(ApiError::naming(
                ErrorCode::PartyNotFound,
                &[&headers.client_id],
            ));
        };
        let known = &self.parties[party];
        let proven = known.is_proven(&given);
        // One party's credentials or certificate never open the door for another (R-5.1-5).
        if !proven || !admits(&known.certificates, shown) {
            return Err(ApiError::new(ErrorCode::Unauthorized));
        }
        if known.record.suspended.is_some() {
            return Err(refused("this party is suspended at the hub"));
        }
        Ok(Caller { headers, party })
    }

    /// Decides where a call goes. Whether a party exists that the caller has no pair with is not told apart from one that
    /// does not exist.
    ///
    /// # Errors
    /// 403 with 104 for a target that the caller does not know, as parties that are connected directly answer a wrong
    /// `target-id`; for an operation of the caller's own side; and for a pair or a target that is suspended. The
    /// operation's contract may have another status for them.
    pub(crate) fn route(&self, caller: &Caller, operation: Operation) -> Result<Route, ApiError> {
        let from = &self.parties[caller.party];
        if from.record.role != operation.caller() {
            return Err(refused("this operation is one of the caller's own side"));
        }
        let name = &caller.headers.target_id;
        let Some(at) = self.known[caller.party].get(name) else {
            return Err(refused("the target-id names no party of this caller"));
        };
        let pair = &self.pairs[*at];
        let (to, caller_as, target_as) = match from.record.role {
            Role::Msp => (&pair.cmp, &pair.msp_as, &pair.cmp_as),
            Role::Cmp => (&pair.msp, &pair.cmp_as, &pair.msp_as),
        };
        if !self.is_active(pair) {
            return Err(refused("this pair is suspended at the hub"));
        }
        let own = &caller.headers.client_id;
        Ok(Route {
            pair: pair.id(),
            sandbox: pair.state == PairState::Sandbox,
            keep: pair.keep,
            from: from.id().clone(),
            to: to.clone(),
            client_id: caller_as.as_ref().unwrap_or(own).clone(),
            target_id: target_as.as_ref().map_or(name, |_| to).clone(),
        })
    }

    /// The parties that one may call, by the names under which it knows them.
    pub(crate) fn partners(&self, party: usize) -> impl Iterator<Item = (&PartyId, &Party, &Pair)> {
        let own = self.parties[party].record.role;
        self.known[party].iter().filter_map(move |(name, at)| {
            let pair = &self.pairs[*at];
            let other = match own {
                Role::Msp => &pair.cmp,
                Role::Cmp => &pair.msp,
            };
            Some((name, self.party(other)?, pair))
        })
    }
}
