//! The real program, killed without warning while operators order and cards download: what it acknowledged is in the
//! database.

use crate::bench::{EID, package};
use crate::card::{Card, ok_response};
use crate::disk::iccid;
use crate::program::{client, site, start};
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::es2::{ConfirmOrderRequest, DownloadOrderRequest};
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, Base64, Function,
    GetBoundProfilePackageRequest, HandleNotificationRequest, Hex, Response, Text,
};
use aid_rsp::es10::{TransactionId, eid_digits};
use aid_rsp::pki::{DAY, Identity, MintParams, RspPki};
use aid_smdp::core::{OrderState, StoredSession};
use aid_smdp::store::{Store, StoredNotice};
use getrandom::SysRng;
use getrandom::rand_core::{Rng as _, UnwrapErr};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// How often it is killed.
const ROUNDS: usize = 10;
/// Cards at once.
const CARDS: usize = 4;
/// Profiles that a card downloads in a round, at most.
const PROFILES: usize = 8;
/// Answers after which it is killed: from here on, and fewer than so many more.
const ANSWERS: (usize, usize) = (20, 40);
/// An installation result is counted by its session; this is only what the card says.
const ANY_ICCID: [u8; 10] = [0x98; 10];

/// What the program has acknowledged.
#[derive(Debug, Clone)]
enum Acknowledged {
    Ordered(String, [u8; 16]),
    Confirmed(String, String),
    /// A session in which the card had been offered the profile.
    Offered(String, [u8; 16], Box<AuthenticateClientOk>),
    Bound(String, [u8; 16], TransactionId),
    Notified(String, [u8; 16], u64),
}

/// What the callers share.
struct Heard {
    list: Mutex<Vec<Acknowledged>>,
    /// Of the list, when it is to be killed.
    enough: usize,
    is_enough: Notify,
}

impl Heard {
    fn push(&self, what: Acknowledged) {
        let mut list = self.list.lock().unwrap();
        list.push(what);
        if list.len() >= self.enough {
            self.is_enough.notify_one();
        }
    }
}

/// The operator's and the card's side of one card.
struct Caller {
    card: Card,
    operator: reqwest::Client,
    lpa: reqwest::Client,
    es9: String,
    es2: String,
    heard: Arc<Heard>,
}

/// The output, or nothing where the program was killed before the answer had arrived.
async fn call<F: Function>(client: &reqwest::Client, host: &str, request: &F) -> Option<F::Output> {
    let url = format!("https://{host}{}", F::PATH);
    let response = client.post(url).json(request).send().await.ok()?;
    let answer: Response<F::Output> = response.json().await.ok()?;
    let status = answer.header.function_execution_status.to_string();
    Some(answer.output.expect(&status))
}

/// Whether the notification was acknowledged.
async fn notified(lpa: &reqwest::Client, es9: &str, der: Vec<u8>) -> bool {
    let request = HandleNotificationRequest {
        pending_notification: Base64::new(der).unwrap(),
    };
    let url = format!("https://{es9}{}", HandleNotificationRequest::PATH);
    match lpa.post(url).json(&request).send().await {
        Ok(response) => {
            assert_eq!(response.status(), 204);
            true
        }
        Err(_) => false,
    }
}

impl Caller {
    /// Orders a profile, downloads it and reports it; nothing where the program was killed meanwhile.
    async fn provision(&mut self, profile: &str, seq: u64) -> Option<()> {
        let eid = self.card.eid;
        let download = DownloadOrderRequest {
            eid: Text::new(eid_digits(&eid)),
            iccid: Text::new(profile),
            ..Default::default()
        };
        call(&self.operator, &self.es2, &download).await?;
        self.heard
            .push(Acknowledged::Ordered(profile.to_owned(), eid));
        let confirm = ConfirmOrderRequest {
            iccid: Text::new(profile).unwrap(),
            release_flag: true,
            ..Default::default()
        };
        let confirmed = call(&self.operator, &self.es2, &confirm).await?;
        let matching_id = confirmed.matching_id.as_str();
        self.heard.push(Acknowledged::Confirmed(
            profile.to_owned(),
            matching_id.to_owned(),
        ));

        let initiate = self.card.initiate(&self.es9);
        let ok = call(&self.lpa, &self.es9, &initiate).await?;
        let id = ok.transaction_id.as_bytes().to_vec();
        let response = self.card.authenticate(&ok, Some(matching_id));
        let request = AuthenticateClientRequest {
            transaction_id: Hex::new(&id).unwrap(),
            authenticate_server_response: Base64::new(ok_response(response)).unwrap(),
        };
        let offer = call(&self.lpa, &self.es9, &request).await?;
        self.heard.push(Acknowledged::Offered(
            profile.to_owned(),
            eid,
            Box::new(offer.clone()),
        ));
        self.card.otk = None;
        let request = GetBoundProfilePackageRequest {
            transaction_id: Hex::new(&id).unwrap(),
            prepare_download_response: Base64::new(self.card.prepare(&offer, None)).unwrap(),
        };
        call(&self.lpa, &self.es9, &request).await?;
        let id = TransactionId::new(&id).unwrap();
        self.heard
            .push(Acknowledged::Bound(profile.to_owned(), eid, id));
        let der = self.card.installed(id, seq, ANY_ICCID);
        if notified(&self.lpa, &self.es9, der).await {
            let profile = profile.to_owned();
            self.heard.push(Acknowledged::Notified(profile, eid, seq));
        }
        Some(())
    }
}

/// EID and certificate of a card.
fn mint(pki: &RspPki, n: usize) -> ([u8; 16], Identity) {
    let now = aid_smdp::web::now();
    let mut eid = EID;
    eid[15] = 0x10 + u8::try_from(n).unwrap();
    let params = MintParams::loopback(&eid, now - DAY, now + 30 * DAY);
    let identity = pki.mint_euicc(&params, &SoftwareCrypto::new(), &mut UnwrapErr(SysRng));
    (eid, identity.unwrap())
}

/// The number of a profile in the inventory.
const fn number(round: usize, card: usize, n: usize) -> usize {
    (round * CARDS + card) * PROFILES + n
}

/// All that was acknowledged is in the database.
async fn is_stored(dir: &Path, all: &[Acknowledged]) {
    let store = Store::open(&dir.join("smdp.db")).await.unwrap();
    let notices = store.notifications().await.unwrap();
    for what in all {
        let (Acknowledged::Ordered(iccid, _)
        | Acknowledged::Confirmed(iccid, _)
        | Acknowledged::Offered(iccid, ..)
        | Acknowledged::Bound(iccid, ..)
        | Acknowledged::Notified(iccid, ..)) = what;
        let order = store.order(iccid).await.unwrap().unwrap();
        match what {
            Acknowledged::Ordered(_, eid) => {
                assert_ne!(order.state, OrderState::Available, "{what:?}");
                assert_eq!(order.eid.as_deref(), Some(&*eid_digits(eid)), "{what:?}");
            }
            Acknowledged::Confirmed(_, id) => assert_eq!(order.matching_id.as_ref(), Some(id)),
            // A card has a few sessions at once: its newest is judged, in `sessions_are_stored`.
            Acknowledged::Offered(..) => {}
            Acknowledged::Bound(iccid, eid, id) => {
                let bound_to = store.bound_to(id).await.unwrap().expect("the binding");
                assert_eq!(&bound_to.iccid, iccid);
                assert_eq!(bound_to.eid, eid_digits(eid));
                let states = [OrderState::Downloaded, OrderState::Installed];
                assert!(states.contains(&order.state), "{what:?}: {}", order.state);
            }
            Acknowledged::Notified(_, eid, seq) => {
                assert_eq!(order.state, OrderState::Installed, "{what:?}");
                let eid = eid_digits(eid).to_string();
                let is_it = |n: &&StoredNotice| n.eid == eid && n.seq_number == *seq;
                assert_eq!(notices.iter().filter(is_it).count(), 1, "{what:?}");
            }
        }
    }
    store.close().await;
}

/// The newest offer of each card in what was acknowledged in one round.
fn newest_offers(round: &[Acknowledged]) -> BTreeMap<[u8; 16], (String, AuthenticateClientOk)> {
    let offers = round.iter().filter_map(|what| match what {
        Acknowledged::Offered(iccid, eid, offer) => {
            Some((*eid, (iccid.clone(), (**offer).clone())))
        }
        _ => None,
    });
    offers.collect()
}

/// A card that was offered a profile can go on.
async fn sessions_are_stored(dir: &Path, round: &[Acknowledged]) {
    let store = Store::open(&dir.join("smdp.db")).await.unwrap();
    for (eid, (iccid, offer)) in newest_offers(round) {
        let id = TransactionId::new(offer.transaction_id.as_bytes()).unwrap();
        let session = store.session(&id, aid_smdp::web::now()).await.unwrap();
        let Some(StoredSession::Offered(session, _)) = session else {
            panic!("the session of {iccid} is lost");
        };
        assert_eq!((&session.iccid, session.euicc.eid_bytes), (&iccid, eid));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let pki = site(dir);
    for n in 0..number(ROUNDS, 0, 0) {
        std::fs::write(dir.join(format!("profiles/{n}.der")), package(&iccid(n))).unwrap();
    }
    let ca = dir.join("ca.pem");
    let (cert, key) = (dir.join("client.pem"), dir.join("client.key"));
    let operator = client(&ca, Some((&cert, &key)));
    let lpa = client(&dir.join("CertificateIssuer/CERT_CI_ECDSA_NIST.der"), None);
    let cards: Vec<_> = (0..CARDS).map(|n| mint(&pki, n)).collect();

    let mut all = Vec::new();
    let mut offers = BTreeMap::new();
    for round in 0..ROUNDS {
        let (running, es9, es2) = start(dir);
        let random = usize::try_from(UnwrapErr(SysRng).next_u32()).unwrap();
        let heard = Arc::new(Heard {
            list: Mutex::default(),
            enough: ANSWERS.0 + random % ANSWERS.1,
            is_enough: Notify::new(),
        });
        let mut callers = Vec::new();
        for (n, (eid, identity)) in cards.iter().enumerate() {
            let mut caller = Caller {
                card: Card::new(&pki, *eid, identity.clone()),
                operator: operator.clone(),
                lpa: lpa.clone(),
                es9: es9.clone(),
                es2: es2.clone(),
                heard: Arc::clone(&heard),
            };
            callers.push(tokio::spawn(async move {
                for profile in 0..PROFILES {
                    let number = number(round, n, profile);
                    let seq = u64::try_from(number).unwrap();
                    if caller.provision(&iccid(number), seq).await.is_none() {
                        return; // It was killed.
                    }
                }
            }));
        }
        heard.is_enough.notified().await;
        // SIGKILL: nothing in the program hears of it.
        drop(running);
        for caller in callers {
            caller.await.unwrap();
        }
        let list = heard.list.lock().unwrap().clone();
        assert!(list.len() >= ANSWERS.0);
        sessions_are_stored(dir, &list).await;
        offers = newest_offers(&list);
        all.extend(list);
        is_stored(dir, &all).await;
    }

    // A card that got its profile, and no answer to its report, reports again.
    let (running, es9, _) = start(dir);
    let mut open = Vec::new();
    for what in &all {
        match what {
            Acknowledged::Bound(iccid, eid, id) => open.push((iccid.clone(), *eid, *id)),
            Acknowledged::Notified(iccid, ..) => open.retain(|(other, ..)| other != iccid),
            Acknowledged::Ordered(..) | Acknowledged::Confirmed(..) | Acknowledged::Offered(..) => {
            }
        }
    }
    // One that was offered a profile, and killed before it had the package, gets it now.
    let mut resumed = 0;
    for (eid, (iccid, offer)) in offers {
        let of_it =
            |a: &Acknowledged| matches!(a, Acknowledged::Bound(other, ..) if *other == iccid);
        if all.iter().any(of_it) {
            continue;
        }
        let (_, identity) = cards.iter().find(|(own, _)| *own == eid).unwrap();
        let mut card = Card::new(&pki, eid, identity.clone());
        let id = offer.transaction_id.as_bytes();
        let request = GetBoundProfilePackageRequest {
            transaction_id: Hex::new(id).unwrap(),
            prepare_download_response: Base64::new(card.prepare(&offer, None)).unwrap(),
        };
        call(&lpa, &es9, &request).await.expect("it is not killed");
        let id = TransactionId::new(id).unwrap();
        all.push(Acknowledged::Bound(iccid.clone(), eid, id));
        open.push((iccid, eid, id));
        resumed += 1;
    }
    println!("{resumed} downloads went on after a kill");
    for (iccid, eid, id) in open {
        let (_, identity) = cards.iter().find(|(own, _)| *own == eid).unwrap();
        let card = Card::new(&pki, eid, identity.clone());
        let seq = 10_000 + all.len() as u64;
        let der = card.installed(id, seq, ANY_ICCID);
        assert!(notified(&lpa, &es9, der).await);
        all.push(Acknowledged::Notified(iccid, eid, seq));
    }
    drop(running);
    is_stored(dir, &all).await;
}
