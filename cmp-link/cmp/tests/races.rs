//! Calls of AID1 at the same moment on PostgreSQL, which decides about different users side by side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::account_id;
use aid_aid1::body::{Body as _, ProfileType, SendActivationCode, SubscriptionType};
use aid_aid1::headers::Headers;
use aid_aid1::operation::CmpOperation;
use aid_aid1::server::Caller;
use aid_cmp::service::{Service, fresh, now};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::WAIT_MS;
use aid_cmp_core::model::{
    Account, CodeRequest, Federation, Onboarding, OnboardingState, RequestState,
};
use aid_id::{AccountRef, Iccid, MspToken, Secret};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use world::World;
use world::book::Book;
use world::postgres::Postgres;

const MSP: &str = "Mobile One";
/// Pairs of calls: each is one more chance to meet.
const PAIRS: u32 = 20;

/// One CMP of several on the same database.
async fn instance(world: &World) -> Arc<Service> {
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let store = Store::open(config.fixed.file.database.clone()).await;
    Arc::new(Service::new(store.unwrap(), config))
}

struct Stage {
    world: World,
    cmp: Arc<Service>,
    server: Postgres,
}

impl Stage {
    /// None where there is no PostgreSQL; the log says so.
    async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    /// On a server with these settings.
    async fn with(settings: &'static [&'static str]) -> Option<Self> {
        let server = Postgres::start_with(settings)?;
        let mut world = World::on(Some(&server.url())).await;
        world.halt().await;
        let cmp = instance(&world).await;
        Some(Self { world, cmp, server })
    }

    fn book(&self) -> Book {
        Book::of(self.cmp.store.clone())
    }

    /// A user with a subscription, whose request the MSP has answered with 201.
    async fn waiting(&self) -> (MspToken, CodeRequest) {
        let user = Account {
            id: AccountRef(fresh()),
            name: Uuid::new_v4().to_string(),
            display_name: "N".into(),
            password: Secret::new("none".into()),
            pin_mac: None,
            created_at: 1,
        };
        let federation = Federation {
            id: fresh(),
            msp: MSP.into(),
            token: MspToken::from_bytes(fresh()),
            account: user.id,
            phone: self.world.phone(),
            kind: SubscriptionType::Private,
            customer_group: None,
            since: 1,
            ended_at: None,
            ended_reason: None,
        };
        let request = CodeRequest {
            id: fresh(),
            car_request: fresh(),
            eid: self.world.eid,
            account: user.id,
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
            Change::AddAccount(user),
            Change::AddFederation(federation),
            Change::PutRequest(request.clone()),
        ];
        self.book().commit(changes).await.unwrap();
        (token, request)
    }

    /// The code of a profile for a request.
    fn send_code(
        &self,
        waiting: &(MspToken, CodeRequest),
        iccid: &Iccid,
    ) -> tokio::task::JoinHandle<u16> {
        self.send_code_to(&self.cmp, waiting, iccid)
    }

    fn send_code_to(
        &self,
        cmp: &Arc<Service>,
        (token, request): &(MspToken, CodeRequest),
        iccid: &Iccid,
    ) -> tokio::task::JoinHandle<u16> {
        let body = SendActivationCode::Code {
            request_id: Uuid::from_bytes(request.id),
            activation_code: "1$smdp.example$N1".parse().unwrap(),
            profile_type: ProfileType::Personal,
            iccid: iccid.clone(),
            swapped_iccid: None,
        };
        let ids = (Uuid::new_v4(), Uuid::from_bytes(request.correlation));
        let operation = CmpOperation::SendActivationCode;
        call(cmp, operation, &token.to_string(), ids, &body.to_bytes())
    }
}

/// A call in a task of its own; yields its status, or the code of its refusal.
fn call(
    cmp: &Arc<Service>,
    operation: CmpOperation,
    variable: &str,
    ids: (Uuid, Uuid),
    body: &[u8],
) -> tokio::task::JoinHandle<u16> {
    let caller = Caller {
        headers: Headers {
            request_id: ids.0,
            correlation_id: ids.1,
            client_id: "mspone".parse().unwrap(),
            target_id: "theCmp".parse().unwrap(),
        },
        party: 0,
    };
    let (cmp, variable, body) = (Arc::clone(cmp), variable.to_owned(), body.to_vec());
    tokio::spawn(async move {
        let done = cmp.operate(&caller, operation, &variable, &body).await;
        done.unwrap_or_else(|error| error.code.number())
    })
}

// Invariant 10: a profile belongs to one subscription, also when two users' codes name it at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn one_profile_goes_to_one_of_two_users() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    for n in 0..PAIRS {
        let (one, other) = (stage.waiting().await, stage.waiting().await);
        let iccid: Iccid = format!("8988{n:015}").parse().unwrap();
        let (first, second) = (
            stage.send_code(&one, &iccid),
            stage.send_code(&other, &iccid),
        );
        let mut outcomes = [first.await.unwrap(), second.await.unwrap()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, [49, 200]);
        let holders = stage.book().profiles_with(&iccid).await.unwrap();
        assert_eq!(holders.len(), 1, "{holders:?}");
    }
}

// R-7.3-16: a repetition that comes while the first call is decided gets its answer, not a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_sent_twice_at_once_is_accepted_twice() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    for _ in 0..PAIRS {
        let sid = Uuid::new_v4();
        let secret = world::SECRET.parse().unwrap();
        let id = account_id::issue(&secret, sid, None, now() / 1000, 600).unwrap();
        let onboarding = Onboarding {
            sid: sid.into_bytes(),
            msp: MSP.into(),
            account: world::EVA,
            state: OnboardingState::Open,
            return_state: Uuid::new_v4().to_string(),
            token: None,
            error: None,
            created_at: now(),
            expires_at: now() + 600_000,
        };
        let begun = vec![Change::AddOnboarding(onboarding)];
        stage.book().commit(begun).await.unwrap();
        let phone = stage.world.phone();
        let body = json!({
            "msp_token": Uuid::new_v4(),
            "phoneNumber": phone.phone_number,
            "iv": phone.iv,
            "subscriptionType": "private",
            "error": null,
            "customerGroup": "group",
        });
        let (ids, bytes) = ((Uuid::new_v4(), Uuid::new_v4()), body.to_string());
        let send = || {
            let operation = CmpOperation::SendMspToken;
            call(&stage.cmp, operation, id.as_ref(), ids, bytes.as_bytes())
        };
        let (first, second) = (send(), send());
        let outcomes = [first.await.unwrap(), second.await.unwrap()];
        assert_eq!(outcomes, [201, 201]);
    }
}

/// How often a transaction has waited for another one for more than a moment, as the server noted.
fn waits(server: &Postgres) -> usize {
    let of_a_transaction = |line: &&str| {
        line.contains("still waiting for")
            && ["on transaction", "on tuple"]
                .iter()
                .any(|what| line.contains(what))
    };
    server.log().lines().filter(of_a_transaction).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_wait_for_each_other_about_the_same_user_only() {
    // SERIALIZABLE repeats decisions instead of letting them wait, and may put calls off.
    if world::postgres::refuses() {
        return;
    }
    let settings = &["log_lock_waits=on", "deadlock_timeout=1ms"];
    let Some(stage) = Stage::with(settings).await else {
        return;
    };
    let other = instance(&stage.world).await;
    let both = [&stage.cmp, &other];
    let mut users = Vec::new();
    for _ in 0..200 {
        users.push(stage.waiting().await);
    }
    let before = waits(&stage.server);
    let calls = users.iter().zip(both.iter().cycle()).zip(0_u32..);
    let calls: Vec<_> = calls
        .map(|((user, cmp), n)| {
            let iccid = format!("8988{n:015}").parse().unwrap();
            stage.send_code_to(cmp, user, &iccid)
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let log = stage.server.log();
    assert_eq!(
        waits(&stage.server),
        before,
        "different users waited: {log}"
    );
    // The same measure finds those that do wait.
    let user = stage.waiting().await;
    let iccid: Iccid = "8988000000000001000".parse().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while waits(&stage.server) == before {
        assert!(std::time::Instant::now() < deadline, "nobody waited");
        let calls = both.iter().cycle().take(40);
        let calls: Vec<_> = calls
            .map(|cmp| stage.send_code_to(cmp, &user, &iccid))
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
    }
}
