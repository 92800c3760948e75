//! `aid-hub party`: the life of a party.

use std::path::Path;

use aid_aid1::headers::{Credentials, PartyId};
use aid_cli::certificate;
use aid_cli::cli::Failure;
use aid_cli::irreversible::Irreversible;
use aid_id::partner::MAX_VALUES;
use serde_json::{Value, json};

use super::args::PartyAction;
use super::by_operator;
use crate::core::pair::Pair;
use crate::core::party::{PartyRecord, Role};
use crate::core::proof::Proof;
use crate::onboarding::{Description, Onboarded, Pairs, new_key, sha256_of};
use crate::shown;
use crate::store::{Book, Edit, Store};

pub(super) async fn act(
    store: &Store,
    action: PartyAction,
    irreversible: Irreversible,
) -> Result<Vec<Value>, Failure> {
    let one = match action {
        PartyAction::List => {
            let book = store.book().await?;
            return Ok(book.parties.values().map(shown::party).collect());
        }
        PartyAction::Show { id } => shown::party(&existing(store, &id).await?),
        PartyAction::Add { file, replace } => {
            let action = if replace {
                "party replaced"
            } else {
                "party added"
            };
            // All are read before the first is added.
            let all = file.iter().map(|file| Description::read(file));
            let mut added = Vec::new();
            for onboarded in all.collect::<Result<Vec<_>, _>>()? {
                let edit = by_operator(action, onboarded.record.id.to_string(), None);
                added.push(add(store, onboarded, replace, edit).await?);
            }
            return Ok(added);
        }
        PartyAction::Suspend { id, why } => {
            suspend(store, id, Some(why.reason.clone()), why.reason).await?
        }
        PartyAction::Resume { id, why } => suspend(store, id, None, why.reason).await?,
        PartyAction::Rotate {
            id,
            certificate,
            sha256,
            common_name,
            only,
        } => {
            let new = NewCertificate::read(certificate.as_deref(), sha256, common_name)?;
            existing(store, &id).await?;
            let what = format!("End all certificates of {id} but the newest");
            if only && let Some(row) = irreversible.confirm(&what)? {
                return Ok(vec![row]);
            }
            rotate(store, id, new, only).await?
        }
        PartyAction::RotateKey { id, only, out } => {
            existing(store, &id).await?;
            let what = match out {
                true => format!("Call {id} with the new key from now on"),
                false => format!("End all API keys of {id} but the newest"),
            };
            if only && let Some(row) = irreversible.confirm(&what)? {
                return Ok(vec![row]);
            }
            rotate_key(store, id, only, out).await?
        }
        PartyAction::Remove { id, why } => {
            removable(&store.book().await?, &id).map_err(Failure::new)?;
            let what = format!("Remove the party {id} with its keys");
            if let Some(row) = irreversible.confirm(&what)? {
                return Ok(vec![row]);
            }
            let edit = by_operator("party removed", id.to_string(), Some(why.reason));
            let removed = store.edit(edit, move |book: &mut Book| {
                removable(book, &id)?;
                book.parties.remove(&id).ok_or_else(|| absent(&id))
            });
            json!({"removed": removed.await?.id})
        }
    };
    Ok(vec![one])
}

fn absent(id: &PartyId) -> String {
    format!("there is no party {id}; `party list` shows them")
}

async fn existing(store: &Store, id: &PartyId) -> Result<PartyRecord, Failure> {
    let party = store.book().await?.parties.remove(id);
    party.ok_or_else(|| Failure::new(absent(id)))
}

/// Whether a party may be removed.
fn removable(book: &Book, id: &PartyId) -> Result<(), String> {
    let mut pairs = book.pairs.values();
    if pairs.any(|pair| pair.msp == *id || pair.cmp == *id) {
        return Err(format!("{id} has pairs; remove them first"));
    }
    match book.parties.contains_key(id) {
        true => Ok(()),
        false => Err(absent(id)),
    }
}

fn found<'b>(book: &'b mut Book, id: &PartyId) -> Result<&'b mut PartyRecord, String> {
    book.parties.get_mut(id).ok_or_else(|| absent(id))
}

/// What a rotation says of the new client certificate.
struct NewCertificate {
    /// From the certificate itself: of it the party's record gets what it has of the present one.
    whole: bool,
    hash: Option<String>,
    common_name: Option<String>,
}

impl NewCertificate {
    fn read(
        file: Option<&Path>,
        sha256: Option<String>,
        common_name: Option<String>,
    ) -> Result<Self, Failure> {
        let hash = sha256.map(|text| text.replace(':', "").to_ascii_lowercase());
        let Some(file) = file else {
            return Ok(Self {
                whole: false,
                hash,
                common_name,
            });
        };
        let chain = aid_cli::tls::certificates(file)?;
        let own_name = chain.first().and_then(|c| certificate::common_name(c));
        Ok(Self {
            whole: true,
            hash: Some(sha256_of(file)?),
            common_name: common_name.or(own_name),
        })
    }

    /// Leaves what admits the new certificate beside the present one. Names beside hashes demand both.
    fn beside(&self, party: &PartyRecord) -> Result<(Option<&String>, Option<&String>), String> {
        let id = &party.id;
        let (hash, name) = (self.hash.as_ref(), self.common_name.as_ref());
        let (by_hash, by_name) = (
            !party.certificate_sha256.is_empty(),
            !party.common_name.is_empty(),
        );
        if self.whole {
            if by_name && name.is_none() {
                return Err(format!(
                    "{id} is known by common name, and the new certificate has none"
                ));
            }
            return Ok((hash.filter(|_| by_hash), name.filter(|_| by_name)));
        }
        if hash.is_some() && !by_hash {
            return Err(format!(
                "{id} is known by common name, and a hash would end the present certificate; give --common-name or --certificate"
            ));
        }
        if name.is_some() && !by_name {
            return Err(format!(
                "{id} is known by hash, and a common name would end the present certificate; give --sha256 or --certificate"
            ));
        }
        Ok((hash, name))
    }
}

/// Adds a party, with its pairs.
///
/// # Errors
/// It is there already, contradicts what is there, or the database failed.
pub(crate) async fn add(
    store: &Store,
    onboarded: Onboarded,
    replace: bool,
    edit: Edit,
) -> Result<Value, Failure> {
    let Onboarded {
        record,
        pairs,
        made_in,
        made_out,
    } = onboarded;
    let kept_in = made_in.is_some() && replace;
    let kept_out = made_out.is_some() && replace;
    let stored = store.edit(edit, move |book: &mut Book| {
        let mut record = record.clone();
        let id = record.id.clone();
        if let Some(before) = book.parties.get(&id) {
            if !replace {
                return Err(format!("{id} is there already; --replace replaces it"));
            }
            if before.role != record.role {
                return Err(format!("{id} has another role; remove it first"));
            }
            // Keys that were made because the description has none are not needed: the party has some.
            if kept_in {
                record.proofs = before.proofs.clone();
            }
            if kept_out {
                record.api_key_out = before.api_key_out.clone();
                record.basic_out = before.basic_out.clone();
            }
            record.api_key_next = before.api_key_next.clone();
            record.suspended = before.suspended.clone();
        }
        let role = record.role;
        book.parties.insert(id.clone(), record.clone());
        let others: Vec<PartyId> = match &pairs {
            Pairs::None => Vec::new(),
            Pairs::These(list) => list.clone(),
            Pairs::All(_) => {
                let other = book.parties.values().filter(|party| party.role != role);
                other.map(|party| party.id.clone()).collect()
            }
        };
        for other in others {
            let pair = match role {
                Role::Msp => Pair::new(id.clone(), other),
                Role::Cmp => Pair::new(other, id.clone()),
            };
            book.pairs.entry(pair.id()).or_insert(pair);
        }
        Ok(record)
    });
    let record = stored.await?;
    let mut shown = shown::party(&record);
    // Shown once: what is stored of the first is a hash.
    if let Some(key) = made_in.filter(|key| is_of(&record, key)) {
        shown["api_key_in"] = json!(key);
    }
    if let Some(key) = made_out.filter(|key| record.api_key_out.as_ref() == Some(key)) {
        shown["api_key_out"] = json!(key);
    }
    Ok(shown)
}

fn is_of(record: &PartyRecord, key: &str) -> bool {
    let proof = Credentials::api_key(key).map(|key| Proof::of(&key).to_string());
    proof.is_ok_and(|proof| record.proofs.contains(&proof))
}

/// Suspends a party for a reason, or resumes it.
pub(crate) async fn suspend(
    store: &Store,
    id: PartyId,
    suspended: Option<String>,
    reason: String,
) -> Result<Value, Failure> {
    let action = match suspended {
        Some(_) => "party suspended",
        None => "party resumed",
    };
    let edit = by_operator(action, id.to_string(), Some(reason));
    let changed = store.edit(edit, move |book: &mut Book| {
        let party = found(book, &id)?;
        if suspended.is_none() && party.suspended.is_none() {
            return Err(format!("{id} is not suspended"));
        }
        party.suspended.clone_from(&suspended);
        Ok(party.clone())
    });
    Ok(shown::party(&changed.await?))
}

/// Puts a value before the others, or in their place.
fn newest(list: &mut Vec<String>, new: Option<&String>, only: bool) -> Result<(), String> {
    if let Some(new) = new {
        list.retain(|old| old != new);
        list.insert(0, new.clone());
    }
    if only {
        list.truncate(1);
    }
    match list.len() <= MAX_VALUES {
        true => Ok(()),
        false => Err(format!(
            "that would be more than {MAX_VALUES}; end the older ones with --only first"
        )),
    }
}

async fn rotate(
    store: &Store,
    id: PartyId,
    new: NewCertificate,
    only: bool,
) -> Result<Value, Failure> {
    if new.hash.is_none() && new.common_name.is_none() && !only {
        let text =
            "say what is new: --certificate FILE, --sha256 HASH or --common-name NAME; or --only";
        return Err(Failure::usage(text));
    }
    let action = if only {
        "party certificates ended"
    } else {
        "party certificate added"
    };
    let edit = by_operator(action, id.to_string(), None);
    let changed = store.edit(edit, move |book: &mut Book| {
        let party = found(book, &id)?;
        let (hash, name) = new.beside(party)?;
        newest(&mut party.certificate_sha256, hash, only)?;
        newest(&mut party.common_name, name, only)?;
        Ok(party.clone())
    });
    Ok(shown::party(&changed.await?))
}

async fn rotate_key(store: &Store, id: PartyId, only: bool, out: bool) -> Result<Value, Failure> {
    let key = new_key()?;
    let proof = Proof::of(&Credentials::api_key(&key)?).to_string();
    let action = match (out, only) {
        (false, false) => "party key added",
        (false, true) => "party keys ended",
        (true, false) => "key of the hub made",
        (true, true) => "key of the hub replaced",
    };
    let edit = by_operator(action, id.to_string(), None);
    let made = key.clone();
    let changed = store.edit(edit, move |book: &mut Book| {
        let party = found(book, &id)?;
        match (out, only) {
            (false, _) => newest(&mut party.proofs, Some(&proof).filter(|_| !only), only)?,
            // The party has to accept it first.
            (true, false) => party.api_key_next = Some(made.clone()),
            (true, true) => {
                let next = party.api_key_next.take();
                let absent = || {
                    format!(
                        "the hub has no new key at {id}; `party rotate-key {id} --out` makes one"
                    )
                };
                party.api_key_out = Some(next.ok_or_else(absent)?);
                party.basic_out = None;
            }
        }
        Ok(party.clone())
    });
    let mut shown = shown::party(&changed.await?);
    match (out, only) {
        (_, true) => {}
        (true, false) => shown["api_key_out"] = json!(key),
        (false, false) => shown["api_key_in"] = json!(key),
    }
    Ok(shown)
}
