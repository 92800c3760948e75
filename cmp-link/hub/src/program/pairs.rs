//! `aid-hub pair`: who may call whom, and under which terms.

use aid_aid1::headers::PartyId;
use aid_cli::cli::Failure;
use aid_cli::irreversible::Irreversible;
use serde_json::{Value, json};

use super::args::{PairAction, Terms};
use super::by_operator;
use crate::core::pair::{Pair, PairId, PairRate, PairState};
use crate::core::party::Role;
use crate::shown;
use crate::store::{Book, Store};

pub(super) async fn act(
    store: &Store,
    action: PairAction,
    irreversible: Irreversible,
) -> Result<Vec<Value>, Failure> {
    let one = match action {
        PairAction::List => {
            let book = store.book().await?;
            return Ok(book.pairs.values().map(shown::pair).collect());
        }
        PairAction::Show { msp, cmp } => {
            let id = PairId { msp, cmp };
            shown::pair(&existing(store, &id).await?)
        }
        PairAction::Add { msp, cmp, terms } => return add(store, msp, cmp, terms).await,
        PairAction::Set { msp, cmp, terms } => {
            let id = PairId { msp, cmp };
            let edit = by_operator("pair changed", id.to_string(), None);
            let changed = store.edit(edit, move |book: &mut Book| {
                let pair = found(book, &id)?;
                apply(pair, &terms);
                Ok(pair.clone())
            });
            shown::pair(&changed.await?)
        }
        PairAction::Suspend { msp, cmp, why } => {
            suspend(store, PairId { msp, cmp }, true, why.reason).await?
        }
        PairAction::Resume { msp, cmp, why } => {
            suspend(store, PairId { msp, cmp }, false, why.reason).await?
        }
        PairAction::Remove { msp, cmp, why } => {
            let id = PairId { msp, cmp };
            existing(store, &id).await?;
            let what = format!("Remove the pair {id} and the hub's knowledge of its tokens");
            if let Some(row) = irreversible.confirm(&what)? {
                return Ok(vec![row]);
            }
            let edit = by_operator("pair removed", id.to_string(), Some(why.reason));
            let removed = store.edit(edit, move |book: &mut Book| {
                book.pairs.remove(&id).ok_or_else(|| absent(&id))
            });
            json!({"removed": removed.await?.id().to_string()})
        }
    };
    Ok(vec![one])
}

fn absent(id: &PairId) -> String {
    format!("there is no pair {id}; `pair list` shows them")
}

async fn existing(store: &Store, id: &PairId) -> Result<Pair, Failure> {
    let pair = store.book().await?.pairs.remove(id);
    pair.ok_or_else(|| Failure::new(absent(id)))
}

fn found<'b>(book: &'b mut Book, id: &PairId) -> Result<&'b mut Pair, String> {
    book.pairs.get_mut(id).ok_or_else(|| absent(id))
}

fn apply(pair: &mut Pair, terms: &Terms) {
    let state = terms.state.or(terms.sandbox.then_some(PairState::Sandbox));
    if let Some(state) = state {
        pair.set_state(state);
    }
    if terms.msp_as.is_some() {
        pair.msp_as.clone_from(&terms.msp_as);
    }
    if terms.cmp_as.is_some() {
        pair.cmp_as.clone_from(&terms.cmp_as);
    }
    if let Some(per_second) = terms.rate {
        // What is beyond the range becomes its end; a rate that makes no sense is refused with the rest.
        let burst = terms
            .burst
            .unwrap_or((per_second * 2.0).clamp(1.0, 1e6) as u32);
        pair.rate = Some(PairRate { per_second, burst });
    }
    if let Some(keep) = terms.keep {
        pair.keep = keep;
    }
}

/// The parties that a word stands for.
fn named(book: &Book, word: &str, role: Role) -> Result<Vec<PartyId>, String> {
    if word == "all" {
        let of_role = book.parties.values().filter(|party| party.role == role);
        return Ok(of_role.map(|party| party.id.clone()).collect());
    }
    word.parse()
        .map(|id| vec![id])
        .map_err(|e| format!("{word:?}: {e}"))
}

async fn add(store: &Store, msp: String, cmp: String, terms: Terms) -> Result<Vec<Value>, Failure> {
    let edit = by_operator("pair added", format!("{msp}/{cmp}"), None);
    let added = store.edit(edit, move |book: &mut Book| {
        let (msps, cmps) = (named(book, &msp, Role::Msp)?, named(book, &cmp, Role::Cmp)?);
        let single = msp != "all" && cmp != "all";
        let mut added = Vec::new();
        for msp in &msps {
            for cmp in &cmps {
                let mut pair = Pair::new(msp.clone(), cmp.clone());
                let id = pair.id();
                if book.pairs.contains_key(&id) {
                    if single {
                        return Err(format!(
                            "the pair {id} is there already; `pair set` changes it"
                        ));
                    }
                    continue;
                }
                apply(&mut pair, &terms);
                book.pairs.insert(id, pair.clone());
                added.push(pair);
            }
        }
        Ok(added)
    });
    Ok(added.await?.iter().map(shown::pair).collect())
}

/// Suspends a pair, or resumes it in the state that it had.
pub(crate) async fn suspend(
    store: &Store,
    id: PairId,
    suspend: bool,
    reason: String,
) -> Result<Value, Failure> {
    let action = if suspend {
        "pair suspended"
    } else {
        "pair resumed"
    };
    let edit = by_operator(action, id.to_string(), Some(reason));
    let changed = store.edit(edit, move |book: &mut Book| {
        let pair = found(book, &id)?;
        if suspend {
            pair.set_state(PairState::Suspended);
        } else if !pair.resume() {
            return Err(format!("the pair {id} is not suspended"));
        }
        Ok(pair.clone())
    });
    Ok(shown::pair(&changed.await?))
}
