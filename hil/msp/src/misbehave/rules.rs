//! Rules: which misbehaviour acts where, how often, and what became of it. Decisions like those of `core`, stored by the
//! same combinator.

use aid_aid1::headers::PartyId;

use super::{CERTAIN, Name, NewRule, Parameters, Place};
use crate::core::Decision;
use crate::msp::{Msp, now_ms};
use crate::store::Stored;

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) id: i64,
    pub(crate) name: Name,
    pub(crate) operation: Option<Place>,
    pub(crate) cmp: Option<PartyId>,
    /// How often it still acts; no end if absent.
    pub(crate) remaining: Option<i64>,
    pub(crate) skip: i64,
    /// Millionths.
    pub(crate) probability: i64,
    pub(crate) seed: i64,
    pub(crate) seen: i64,
    pub(crate) fired: i64,
    pub(crate) parameters: Parameters,
}

/// Something that was done on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    /// ms since 1970
    pub(crate) at: i64,
    /// The rule; none for a call that was asked for directly.
    pub(crate) rule: Option<i64>,
    pub(crate) name: String,
    pub(crate) operation: String,
    pub(crate) client_id: String,
    /// The other side's HTTP status, where the MSP called.
    pub(crate) status: Option<i64>,
    pub(crate) code: Option<String>,
    pub(crate) note: String,
}

/// An event before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) rule: Option<i64>,
    pub(crate) name: Name,
    pub(crate) operation: Place,
    pub(crate) client_id: PartyId,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) note: String,
}

/// A change of the rules or their events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RuleChange {
    /// A rule was asked for.
    Added { rule: Rule, at: i64 },
    /// What a rule has seen and done has these values.
    Set(Rule),
    /// A rule was taken back.
    Removed(i64),
    /// Something was done on purpose.
    Event { event: NewEvent, at: i64 },
}

/// A misbehaviour that acts now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// The rule.
    pub(crate) rule: i64,
    /// What to do.
    pub(crate) name: Name,
    /// Its parameters.
    pub(crate) parameters: Parameters,
}

/// A moment at which rules may act.
#[derive(Clone, Debug)]
pub(crate) struct Opportunity {
    place: Place,
    client: PartyId,
    /// The misbehaviours that could act on what happens.
    names: Vec<Name>,
}

impl Opportunity {
    /// At this place, towards this CMP, for the misbehaviours that fit.
    pub(crate) fn new(place: Place, client: &PartyId, fits: impl Fn(Name) -> bool) -> Self {
        let names = Name::ALL.iter().copied().filter(|name| fits(*name));
        Self {
            place,
            client: client.clone(),
            names: names.collect(),
        }
    }

    fn is_of(&self, rule: &Rule) -> bool {
        rule.remaining.is_none_or(|n| n > 0)
            && rule.operation.map_or_else(
                || rule.name.places().contains(&self.place),
                |p| p == self.place,
            )
            && rule.cmp.as_ref().is_none_or(|c| *c == self.client)
            && self.names.contains(&rule.name)
    }
}

/// The rules that act at an opportunity. Each that could have acted has one opportunity less.
fn fire(rules: Vec<Rule>, at: &Opportunity, now: i64) -> Decision<Vec<Fired>, RuleChange> {
    let (mut changes, mut fired) = (Vec::new(), Vec::new());
    for rule in rules.into_iter().filter(|rule| at.is_of(rule)) {
        let acts = rule.seen >= rule.skip && chance(rule.seed, rule.seen, rule.probability);
        changes.push(RuleChange::Set(Rule {
            seen: rule.seen + 1,
            fired: rule.fired + i64::from(acts),
            remaining: rule.remaining.map(|n| n - i64::from(acts)),
            ..rule.clone()
        }));
        if acts {
            // What a call of the MSP was answered is noted when it was.
            let event = NewEvent {
                rule: Some(rule.id),
                name: rule.name,
                operation: at.place,
                client_id: at.client.clone(),
                status: None,
                code: None,
                note: String::new(),
            };
            changes.push(RuleChange::Event { event, at: now });
            fired.push(Fired {
                rule: rule.id,
                name: rule.name,
                parameters: rule.parameters,
            });
        }
    }
    Decision::of(changes, fired)
}

/// The misbehaviours that act now. A failure of the database makes the MSP behave.
pub(super) async fn fired(msp: &Msp, at: Opportunity) -> Vec<Fired> {
    let fired = fire_stored(msp, at).await.unwrap_or_else(|error| {
        tracing::error!(%error, "misbehaviours");
        Vec::new()
    });
    for one in &fired {
        tracing::warn!(name = one.name.as_str(), "misbehaves on purpose");
    }
    fired
}

async fn fire_stored(msp: &Msp, at: Opportunity) -> Stored<Vec<Fired>> {
    // Most of the time there is nothing, and no reason to wait for the one who writes.
    let rules = msp.store.read(async |tx| tx.rules().await).await?;
    if !rules.iter().any(|rule| at.is_of(rule)) {
        return Ok(Vec::new());
    }
    let fired = msp
        .store
        .decide(async move |tx| Ok(fire(tx.rules().await?, &at, now_ms())));
    fired.await
}

/// Adds a rule; yields it.
pub(crate) fn add(rules: &[Rule], new: NewRule, now: i64) -> Decision<Rule, RuleChange> {
    let rule = Rule {
        id: rules.iter().map(|r| r.id).max().unwrap_or_default() + 1,
        name: new.name,
        operation: new.operation,
        cmp: new.cmp,
        remaining: new.times.map(i64::from),
        skip: i64::from(new.skip),
        probability: new.probability,
        seed: i64::from(new.seed),
        seen: 0,
        fired: 0,
        parameters: new.parameters,
    };
    let added = RuleChange::Added {
        rule: rule.clone(),
        at: now,
    };
    Decision::of(vec![added], rule)
}

/// Takes back one rule or all; yields how many there were.
pub(crate) fn clear(rules: &[Rule], id: Option<i64>) -> Decision<usize, RuleChange> {
    let cleared = rules.iter().filter(|r| id.is_none_or(|id| r.id == id));
    let cleared: Vec<_> = cleared.map(|r| RuleChange::Removed(r.id)).collect();
    let count = cleared.len();
    Decision::of(cleared, count)
}

/// Whether chance lets a rule act at its opportunity number `seen`: a fixed function of the seed (SplitMix64).
#[must_use]
pub(crate) fn chance(seed: i64, seen: i64, probability: i64) -> bool {
    let mut z = seed.cast_unsigned().wrapping_add(
        seen.cast_unsigned()
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15),
    );
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z % CERTAIN.unsigned_abs()) < probability.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let hits = |seed| {
            (0..1000)
                .filter(|n| chance(seed, *n, 250_000))
                .collect::<Vec<_>>()
        };
        assert_eq!(hits(7), hits(7));
        assert_ne!(hits(7), hits(8));
        assert!((200..300).contains(&hits(7).len()), "{}", hits(7).len());
        assert!((0..1000).all(|n| chance(1, n, CERTAIN) && !chance(1, n, 0)));
    }
}
