//! The comparison from outside: what MSPs and cars saw acknowledged beside the database, and beside what the MSP heard.

use super::books::{Done, Pages};
use super::msp::Heard;
use aid_cli::cli::Failure;
use aid_cmp::store::{Store, Stored, Tx};
use aid_cmp_core::model;
use aid_id::{Id, MspToken};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Reads in one transaction.
const BATCH: usize = 500;

/// Something that is not as it was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    /// When it was acknowledged.
    pub(super) at: Instant,
    pub(super) what: String,
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) lost: Vec<Wrong>,
    pub(super) doubled: Vec<Wrong>,
}

impl Verdict {
    fn lost(&mut self, at: Instant, what: String) {
        self.lost.push(Wrong { at, what });
    }

    fn doubled(&mut self, at: Instant, what: String) {
        self.doubled.push(Wrong { at, what });
    }
}

/// Looks each of these up; yields those that `look` does not find.
async fn missing<'p, T, K: Clone + Send + Sync + 'static>(
    store: &Store,
    list: &'p [Done<T>],
    key: impl Fn(&T) -> K,
    look: impl for<'t> AsyncFn(&'t Tx<'t>, K) -> Stored<bool> + Clone + Send + 'static,
) -> Result<Vec<&'p Done<T>>, Failure> {
    let mut all = Vec::new();
    for batch in list.chunks(BATCH) {
        let keys: Vec<K> = batch.iter().map(|done| key(&done.what)).collect();
        let look = look.clone();
        let read = async move |tx: &Tx<'_>| {
            let mut found = Vec::new();
            for key in keys {
                found.push(look(tx, key).await?);
            }
            Ok(found)
        };
        let found = store.read(read).await?;
        let gone = batch.iter().zip(found).filter(|(_, found)| !found);
        all.extend(gone.map(|(done, _)| done));
    }
    Ok(all)
}

/// Compares everything. `client` is the MSP's `client-id`, `msp` its name in the CMP's configuration.
pub(super) async fn compare(
    store: &Store,
    pages: &Pages,
    heard: &Heard,
    client: &str,
    msp: &str,
) -> Result<Verdict, Failure> {
    let mut verdict = Verdict::default();
    updates(store, pages, client, msp, &mut verdict).await?;
    reports(store, pages, heard, &mut verdict).await?;
    codes(store, pages, heard, &mut verdict).await?;
    Ok(verdict)
}

/// Each call of an MSP has its stored answer, and each subscription says what its last update said.
async fn updates(
    store: &Store,
    pages: &Pages,
    client: &str,
    msp: &str,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let own = client.to_owned();
    let answered = async move |tx: &Tx<'_>, id: Id| Ok(tx.answered(&own, id).await?.is_some());
    let id = |u: &super::books::Update| u.request_id.into_bytes();
    let mut gone: BTreeSet<MspToken> = BTreeSet::new();
    for done in missing(store, &pages.updates, id, answered.clone()).await? {
        gone.insert(done.what.token);
        let what = format!("update {} of {}", done.what.group, done.what.token);
        verdict.lost(done.end, what);
    }
    let id = |c: &super::books::SentCode| c.request_id.into_bytes();
    for done in missing(store, &pages.sent_codes, id, answered).await? {
        verdict.lost(done.end, format!("code sent by {}", done.what.request_id));
    }
    let mut last: BTreeMap<MspToken, &Done<super::books::Update>> = BTreeMap::new();
    for done in &pages.updates {
        last.insert(done.what.token, done);
    }
    for (token, done) in last {
        let name = msp.to_owned();
        let link = store
            .read(async move |tx: &Tx<'_>| tx.federation(&name, token).await)
            .await?;
        let holds = link.and_then(|link| link.customer_group);
        if holds.as_ref() != Some(&done.what.group) && !gone.contains(&token) {
            let what = format!("{token} has {holds:?}, not {:?}", done.what.group);
            verdict.doubled(done.end, what);
        }
    }
    Ok(())
}

/// Each report of a car is stored, and the MSP heard of it once and in its turn.
async fn reports(
    store: &Store,
    pages: &Pages,
    heard: &Heard,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let stored = async |tx: &Tx<'_>, report: model::Report| tx.has_report(&report).await;
    let key = |r: &super::books::Report| model::Report {
        eid: r.eid,
        seq: r.seq,
        iccid: Some(r.iccid.clone()),
        account: Some(r.account),
        status: r.status,
        code: 0,
        received_at: 0,
    };
    let mut gone: BTreeMap<String, usize> = BTreeMap::new();
    for done in missing(store, &pages.reports, key, stored).await? {
        *gone.entry(done.what.iccid.to_string()).or_default() += 1;
        let what = format!("report {} of {}", done.what.seq, done.what.eid);
        verdict.lost(done.end, what);
    }
    let mut acknowledged: BTreeMap<String, (Instant, Vec<String>)> = BTreeMap::new();
    for done in &pages.reports {
        let entry = acknowledged
            .entry(done.what.iccid.to_string())
            .or_insert_with(|| (done.end, Vec::new()));
        entry.0 = done.end;
        let word = aid_cmp_core::decide::status::word(done.what.status);
        entry.1.push(word.to_string());
    }
    for (iccid, (at, sent)) in acknowledged {
        let told = heard.statuses.get(&iccid).cloned().unwrap_or_default();
        if told == sent {
            continue;
        }
        let known = gone.get(&iccid).copied().unwrap_or_default();
        let what = format!(
            "the MSP heard {} statuses of {iccid}, the CMP acknowledged {}",
            told.len(),
            sent.len()
        );
        for _ in told.len() + known..sent.len() {
            verdict.lost(at, what.clone());
        }
        for _ in sent.len()..told.len() {
            verdict.doubled(at, what.clone());
        }
        if told.len() == sent.len() {
            verdict.doubled(at, format!("statuses of {iccid} came in another order"));
        }
    }
    Ok(())
}

/// Each code that a car got is stored for its request, and the MSP gave one for each request.
async fn codes(
    store: &Store,
    pages: &Pages,
    heard: &Heard,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let stored = async |tx: &Tx<'_>, code: super::books::Code| {
        let request = tx.request_of_car(code.eid, code.car_request).await?;
        let has = request.and_then(|r| r.code).map(|c| c.expose().to_owned());
        Ok(has.as_deref() == Some(code.code.as_str()))
    };
    for done in missing(store, &pages.codes, Clone::clone, stored).await? {
        verdict.lost(done.end, format!("a code of {}", done.what.eid));
    }
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for done in &pages.codes {
        last = Some(done.end);
        if !heard.codes.contains_key(&done.what.code) {
            verdict.lost(done.end, "the MSP does not know a code".into());
        }
        if !seen.insert(done.what.code.as_str()) {
            verdict.doubled(done.end, format!("{} got a code twice", done.what.eid));
        }
    }
    if let Some(at) = last {
        for _ in seen.len()..heard.codes.len() {
            verdict.doubled(at, "the MSP was asked for a code that no car got".into());
        }
    }
    Ok(())
}
