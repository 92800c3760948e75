//! Send Activation Code when many calls come at once (§7.7.2.1): each is decided as if it were alone. On SQLite, and on
//! PostgreSQL where its binaries are on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{Body as _, ProfileType, SendActivationCode, SubscriptionType};
use aid_aid1::headers::Headers;
use aid_aid1::operation::CmpOperation;
use aid_aid1::server::Caller;
use aid_cmp::service::{Service, fresh, now};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::WAIT_MS;
use aid_cmp_core::model::{CodeRequest, Federation, Profile, RequestState};
use aid_id::{Iccid, MspToken};
use std::sync::Arc;
use uuid::Uuid;
use world::World;
use world::book::Book;
use world::postgres::Postgres;

type Cmp = Arc<Service>;

fn book(cmp: &Cmp) -> Book {
    Book::of(cmp.store.clone())
}

/// A call that an MSP makes.
#[derive(Clone)]
struct Sent {
    caller: Caller,
    token: MspToken,
    request: CodeRequest,
    iccid: Iccid,
    code: String,
}

impl Sent {
    /// The outcome: 200, or the number of the refusal's code.
    async fn make(self, cmp: Cmp) -> u16 {
        let body = SendActivationCode::Code {
            request_id: Uuid::from_bytes(self.request.id),
            activation_code: self.code.parse().unwrap(),
            profile_type: ProfileType::Personal,
            iccid: self.iccid,
            swapped_iccid: None,
        };
        let (operation, token) = (CmpOperation::SendActivationCode, self.token.to_string());
        let bytes = body.to_bytes();
        let done = cmp.operate(&self.caller, operation, &token, &bytes);
        done.await.unwrap_or_else(|error| error.code.number())
    }

    /// The same under another CMP-request-id.
    fn again(&self) -> Self {
        let mut again = self.clone();
        again.caller.headers.request_id = Uuid::new_v4();
        again
    }

    async fn stored(&self, cmp: &Cmp) -> CodeRequest {
        book(cmp).request(self.request.id).await.unwrap().unwrap()
    }

    async fn profiles(&self, cmp: &Cmp) -> Vec<Profile> {
        let of = self.request.federation;
        book(cmp).profiles(of).await.unwrap()
    }
}

/// A subscription with a request that the MSP has answered with 201.
async fn waiting(cmp: &Cmp, world: &World, n: u32) -> Sent {
    let federation = Federation {
        id: fresh(),
        msp: "Mobile One".into(),
        token: MspToken::from_bytes(fresh()),
        account: world::EVA,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let request = CodeRequest {
        id: fresh(),
        car_request: fresh(),
        eid: world.eid,
        account: world::EVA,
        federation: federation.id,
        correlation: fresh(),
        replace_iccid: None,
        state: RequestState::Accepted,
        code: None,
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: now(),
        expires_at: now() + WAIT_MS,
        delivered_at: None,
        changed_at: now(),
    };
    let token = federation.token;
    let changes = vec![
        Change::AddFederation(federation),
        Change::PutRequest(request.clone()),
    ];
    book(cmp).commit(changes).await.unwrap();
    Sent {
        caller: Caller {
            headers: Headers {
                request_id: Uuid::new_v4(),
                correlation_id: Uuid::from_bytes(request.correlation),
                client_id: "mspone".parse().unwrap(),
                target_id: "theCmp".parse().unwrap(),
            },
            party: 0,
        },
        token,
        request,
        iccid: format!("8988{n:015}").parse().unwrap(),
        code: format!("1$smdp.example$N{n}"),
    }
}

/// Makes the calls side by side.
async fn at_once(cmp: &Cmp, calls: &[Sent]) -> Vec<u16> {
    let make = |call: &Sent| tokio::spawn(call.clone().make(Arc::clone(cmp)));
    let tasks: Vec<_> = calls.iter().map(make).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

async fn service(world: &mut World) -> Cmp {
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    Arc::new(Service::new(
        Store::open(config.fixed.file.database.clone())
            .await
            .unwrap(),
        config,
    ))
}

// R-7.7.2.1-6, R-7.3-16
async fn many_at_once(world: &mut World) {
    let cmp = service(world).await;
    let mut calls = Vec::new();
    for n in 0..70 {
        calls.push(waiting(&cmp, world, n).await);
    }
    // Among them a repetition, the same code under another id, and a call of nobody.
    let mut more = vec![calls[3].clone(), calls[4].again(), calls[5].again()];
    more[2].token = MspToken::from_bytes(fresh());
    let all: Vec<Sent> = calls.iter().chain(&more).cloned().collect();
    let outcomes = at_once(&cmp, &all).await;
    assert!(outcomes[..72].iter().all(|o| *o == 200), "{outcomes:?}");
    assert_eq!(outcomes[72], 20, "an unknown token");
    for call in &calls {
        let request = call.stored(&cmp).await;
        assert_eq!(request.state, RequestState::Answered);
        assert_eq!(request.code.unwrap().expose(), call.code);
        let profiles = call.profiles(&cmp).await;
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[0].iccid, call.iccid);
        let id = call.caller.headers.request_id.into_bytes();
        let remembered = book(&cmp).answered("mspone", id).await.unwrap();
        assert_eq!(remembered.map(|a| a.status), Some(200));
    }
    // Once more, alone: the same answer, and nothing changes.
    assert_eq!(calls[0].clone().make(Arc::clone(&cmp)).await, 200);
}

async fn what_touches_the_same_is_decided_one_after_the_other(world: &mut World) {
    let cmp = service(world).await;
    let (a, b, c) = (
        waiting(&cmp, world, 1).await,
        waiting(&cmp, world, 2).await,
        waiting(&cmp, world, 3).await,
    );
    // Two codes for one request: one is taken, the other refused.
    let mut other = a.again();
    other.code = "1$smdp.example$OTHER".into();
    // One profile for two subscriptions: the second gets none.
    let mut thief = c.clone();
    thief.iccid = b.iccid.clone();
    let outcomes = at_once(&cmp, &[a.clone(), other, b.clone(), thief]).await;
    let mut of_a = outcomes[..2].to_vec();
    of_a.sort_unstable();
    assert_eq!(
        of_a.iter().filter(|o| **o == 200).count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(a.profiles(&cmp).await.len(), 1);
    // Which of them came first is chance; the other is refused, so that its MSP can send a right one.
    let mut of_one_profile = outcomes[2..].to_vec();
    of_one_profile.sort_unstable();
    assert_eq!(of_one_profile, [49, 200]);
    let states = [b.stored(&cmp).await.state, c.stored(&cmp).await.state];
    let mut states = states.map(RequestState::as_str);
    states.sort_unstable();
    assert_eq!(states, ["accepted", "answered"]);
    let held = book(&cmp).profiles_with(&b.iccid).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_decided_each_by_itself() {
    many_at_once(&mut World::new().await).await;
    what_touches_the_same_is_decided_one_after_the_other(&mut World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_decided_each_by_itself_on_postgresql() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    many_at_once(&mut world).await;
    world.store.close().await;
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    what_touches_the_same_is_decided_one_after_the_other(&mut world).await;
    world.store.close().await;
}

// A call that can't be stored is refused; those that came with it are stored all the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_can_not_be_stored_takes_no_other_along() {
    let mut world = World::new().await;
    let cmp = service(&mut world).await;
    let mut calls = Vec::new();
    for n in 0..5 {
        calls.push(waiting(&cmp, &world, n).await);
    }
    let id = hex::encode(calls[2].request.id);
    let trigger = format!(
        "CREATE TRIGGER stuck BEFORE UPDATE ON code_request WHEN NEW.id = x'{id}' \
         BEGIN SELECT RAISE(ABORT, 'stuck'); END"
    );
    let file = rusqlite::Connection::open(world.folder.path().join("cmp.sqlite")).unwrap();
    file.execute_batch(&trigger).unwrap();
    drop(file);
    let outcomes = at_once(&cmp, &calls).await;
    assert_eq!(outcomes, [200, 200, 90, 200, 200]);
    for (n, call) in calls.iter().enumerate() {
        let state = call.stored(&cmp).await.state;
        let wanted = if n == 2 {
            RequestState::Accepted
        } else {
            RequestState::Answered
        };
        assert_eq!(state, wanted);
        assert_eq!(call.profiles(&cmp).await.len(), usize::from(n != 2));
    }
}

// An MSP under somebody else's control must not make cars connect to what is in their reach.
#[tokio::test(flavor = "multi_thread")]
async fn codes_that_point_into_private_networks_are_refused() {
    let mut world = World::new().await;
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp: Cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let sent = waiting(&cmp, &world, 1).await;
    for address in [
        "localhost",
        "smdp.example:8443",
        "router",
        "a.0x7f000001",
        "x.local",
    ] {
        let mut bad = sent.again();
        bad.code = format!("1${address}$X");
        assert_eq!(bad.make(Arc::clone(&cmp)).await, 47, "{address}");
    }
    // The request waits on, for the right one.
    assert_eq!(sent.stored(&cmp).await.state, RequestState::Accepted);
    assert_eq!(sent.make(Arc::clone(&cmp)).await, 200);
    // On a bench they pass.
    let text = std::fs::read_to_string(world.config()).unwrap();
    let bench = text.replacen("[aid1]", "[policy]\nprivate_smdp = true\n[aid1]", 1);
    std::fs::write(world.config(), bench).unwrap();
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp: Cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let mut sent = waiting(&cmp, &world, 2).await;
    sent.code = "1$localhost:8443$X".into();
    assert_eq!(sent.make(cmp).await, 200);
}
