//! What a tick, a login and a call of AID1 look at does not depend on how many vehicles, users, links and profiles there
//! are. Counted in steps of SQLite's virtual machine, which are the same on every machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{Body as _, ProfileType, SendActivationCode, SubscriptionType};
use aid_aid1::headers::Headers;
use aid_aid1::operation::CmpOperation;
use aid_aid1::server::Caller;
use aid_cmp::service::{Purged, Service, fresh, now};
use aid_cmp::store::{Kept, Store, Tx};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::WAIT_MS;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::{Account, Call, CodeRequest, Federation, RequestState, Vehicle};
use aid_id::{AccountRef, Eid, MspToken, Secret};
use aid_wire::{Envelope, Up, WIRE_VERSION};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use world::book::Book;
use world::{PIN, PIN_KEY, World};

/// Of each kind of work so much is due.
const DUE: u32 = 20;

/// Steps of one piece of work after the other.
struct Meter {
    store: Store,
    steps: Vec<(&'static str, u64)>,
}

impl Meter {
    async fn of<T>(&mut self, what: &'static str, work: impl Future<Output = T>) -> T {
        let before = self.store.steps();
        let done = work.await;
        self.steps.push((what, self.store.steps() - before));
        done
    }
}

/// So many users with a car, a link and a profile each, of whom nothing is due.
fn fill(file: &Path, count: u32) {
    let text = include_str!("crowd.sql");
    let text = text.replace("{count}", &count.to_string());
    let text = text.replace("{now}", &now().to_string());
    let text = text.replace("{remainder}", "93");
    let connection = rusqlite::Connection::open(file).unwrap();
    let fast = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN;";
    connection.execute_batch(fast).unwrap();
    connection.execute_batch(&text).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

/// A user whose link is asked for something.
struct Person {
    eid: Eid,
    account: AccountRef,
    federation: Federation,
    request: CodeRequest,
}

fn person(world: &World, n: u32) -> Person {
    let (eid, account) = (world::eid(1000 + n), AccountRef(fresh()));
    let federation = Federation {
        id: fresh(),
        msp: "Mobile One".into(),
        token: MspToken::from_bytes(fresh()),
        account,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: now(),
        ended_at: None,
        ended_reason: None,
    };
    let request = CodeRequest {
        id: fresh(),
        car_request: fresh(),
        eid,
        account,
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
    Person {
        eid,
        account,
        federation,
        request,
    }
}

impl Person {
    fn changes(&self, n: u32) -> Vec<Change> {
        vec![
            Change::AddVehicle(Vehicle::new(self.eid, now())),
            Change::AddAccount(Account {
                id: self.account,
                name: format!("person-{n}"),
                display_name: "Person".into(),
                password: Secret::new("none".into()),
                pin_mac: Some(pin_mac(&PIN_KEY, self.account, PIN)),
                created_at: now(),
            }),
            Change::AddFederation(self.federation.clone()),
            Change::PutRequest(self.request.clone()),
        ]
    }

    fn login(n: u32) -> Envelope<Up> {
        Envelope {
            version: WIRE_VERSION,
            message_id: fresh(),
            correlation_id: fresh(),
            sequence: 1,
            expires_at: None,
            body: Up::Login {
                login_id: fresh(),
                user: format!("person-{n}"),
                pin: Secret::new(PIN.into()),
            },
        }
    }

    async fn code(&self, cmp: &Arc<Service>, n: u32) {
        let body = SendActivationCode::Code {
            request_id: Uuid::from_bytes(self.request.id),
            activation_code: format!("1$smdp.example$N{n}").parse().unwrap(),
            profile_type: ProfileType::Personal,
            iccid: format!("8988{n:015}").parse().unwrap(),
            swapped_iccid: None,
        };
        let caller = Caller {
            headers: Headers {
                request_id: Uuid::new_v4(),
                correlation_id: Uuid::from_bytes(self.request.correlation),
                client_id: "mspone".parse().unwrap(),
                target_id: "theCmp".parse().unwrap(),
            },
            party: 0,
        };
        let operation = CmpOperation::SendActivationCode;
        let (token, bytes) = (self.federation.token.to_string(), body.to_bytes());
        cmp.operate(&caller, operation, &token, &bytes)
            .await
            .unwrap();
    }
}

/// What the workers of `serve` do at each look.
async fn tick(meter: &mut Meter, cmp: &Arc<Service>, names: [&'static str; 6]) {
    let since = now() - 60_000;
    let look = async |tx: &Tx<'_>| tx.due_lanes(now()).await;
    meter.of(names[0], cmp.cut_off(since)).await.unwrap();
    meter.of(names[1], cmp.remind(since)).await.unwrap();
    meter.of(names[2], cmp.expire()).await.unwrap();
    meter.of(names[3], cmp.synchronise()).await.unwrap();
    meter.of(names[4], cmp.store.read(look)).await.unwrap();
    let remove = async {
        let (mut kept, mut purged) = (Kept::default(), Purged::default());
        while cmp.prune(&mut kept).await.unwrap() {}
        while cmp.purge(&mut purged).await.unwrap() {}
    };
    meter.of(names[5], remove).await;
}

/// Steps of each kind of work among so many users.
async fn steps(world: &World, count: u32) -> Vec<(&'static str, u64)> {
    let file = world.folder.path().join(format!("{count}.sqlite"));
    Store::open(&file).await.unwrap().close().await;
    fill(&file, count);
    let store = Store::open(&file).await.unwrap();
    let mut config = aid_cmp::config::check(&world.config()).unwrap();
    config.fixed.file.policy.sync_hours = 24;
    let cmp = Arc::new(Service::new(store.clone(), config));
    let mut meter = Meter {
        store: store.clone(),
        steps: Vec::new(),
    };
    let quiet = [
        "cut off",
        "remind",
        "expire",
        "synchronise",
        "outbox",
        "remove",
    ];
    tick(&mut meter, &cmp, quiet).await;

    let book = Book::of(store.clone());
    for n in 0..2 {
        let person = person(world, n);
        book.commit(person.changes(n)).await.unwrap();
        // The first time statements are prepared.
        let (login, code) = match n {
            0 => ("first login", "first code"),
            _ => ("login", "code"),
        };
        meter
            .of(login, cmp.up(person.eid, None, Person::login(n)))
            .await
            .unwrap();
        meter.of(code, person.code(&cmp, n)).await;
    }

    // Some of each kind of work is due.
    for n in 10..10 + DUE {
        let person = person(world, n);
        let mut changes = person.changes(n);
        changes.push(Change::PutRequest(CodeRequest {
            expires_at: now() - 1,
            ..person.request.clone()
        }));
        let ended = Federation {
            id: fresh(),
            token: MspToken::from_bytes(fresh()),
            ended_at: Some(1),
            ..person.federation.clone()
        };
        changes.extend([
            Change::AddFederation(ended.clone()),
            Change::UpdateFederation(ended),
        ]);
        book.commit(changes).await.unwrap();
    }
    let due = [
        "due: cut off",
        "due: remind",
        "due: expire",
        "due: synchronise",
        "due: outbox",
        "due: remove",
    ];
    tick(&mut meter, &cmp, due).await;
    let claimed: Vec<Call> = meter
        .of("claim", book.claim("me", now(), now() + 1000, DUE))
        .await
        .unwrap();
    assert_eq!(
        claimed.len(),
        DUE as usize,
        "a question about each new link"
    );
    assert!(book.overdue(now(), None, 9).await.unwrap().is_empty());
    assert!(book.purge_due(1, None, 9).await.unwrap().is_empty());
    meter.steps
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_costs_more_among_many() {
    let mut world = World::new().await;
    world.halt().await;
    let (few, many) = (steps(&world, 1_000).await, steps(&world, 100_000).await);
    assert!(
        few.iter()
            .all(|(what, steps)| *steps > 0 || *what == "remind")
    );
    assert_eq!(few, many, "steps among 1,000 and among 100,000");
}
