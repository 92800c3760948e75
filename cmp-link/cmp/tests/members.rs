//! Members that may be without a value: null, an empty text and absence mean the same in every body that the CMP
//! takes, on both sides, and what is answered with 2xx is in the database. Every operation, every such member, every
//! way of not giving it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::account_id;
use aid_aid1::body::SubscriptionType;
use aid_aid1::headers::Headers;
use aid_aid1::operation::CmpOperation;
use aid_aid1::server::Caller;
use aid_cmp::service::{Service, fresh, now};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::WAIT_MS;
use aid_cmp_core::model::{
    CodeRequest, Federation, MspVerdict, Onboarding, OnboardingState, Profile, ProfileStatus,
    RequestState,
};
use aid_id::MspToken;
use aid_wire::{CodeOutcome, Down};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use world::World;
use world::book::Book;
use world::car::Car;

const MSP: &str = "Mobile One";
const NEW: &str = "8944500805172032953";
const OLD: &str = "8944500805172032961";
const TAKEN: &str = "8944500805172032979";
const CODE: &str = "1$smdp.example$N1";

/// The ways of not giving a member.
const WAYS: [&str; 3] = ["absent", "null", "empty"];

fn without(body: &Value, member: &str, way: &str) -> Value {
    let mut body = body.clone();
    match way {
        "absent" => {
            body.as_object_mut().unwrap().remove(member);
        }
        "null" => body[member] = Value::Null,
        _ => body[member] = json!(""),
    }
    body
}

fn with(body: &Value, member: &str, value: &str) -> Value {
    let mut body = body.clone();
    body[member] = json!(value);
    body
}

/// An operation, and what stands in the variable segment of its path.
type Operation = (CmpOperation, String);

/// A CMP without sockets, and callers of the first MSP.
struct Stage {
    world: World,
    cmp: Arc<Service>,
}

/// A subscription with an open request, two profiles of its own and one that is another's.
struct Link {
    federation: Federation,
    request: CodeRequest,
}

impl Stage {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.halt().await;
        let config = aid_cmp::config::check(&world.config()).unwrap();
        let store = Store::open(config.fixed.file.database.clone())
            .await
            .unwrap();
        let cmp = Arc::new(Service::new(store, config));
        Self { world, cmp }
    }

    /// What a call is answered with: the status, or status and code of the refusal.
    async fn call(&self, ids: (Uuid, Uuid), operation: &Operation, body: &Value) -> (u16, u16) {
        let caller = Caller {
            headers: Headers {
                request_id: ids.0,
                correlation_id: ids.1,
                client_id: "mspone".parse().unwrap(),
                target_id: "theCmp".parse().unwrap(),
            },
            party: 0,
        };
        let bytes = body.to_string().into_bytes();
        let done = self
            .cmp
            .operate(&caller, operation.0, &operation.1, &bytes)
            .await;
        done.map_or_else(|e| (e.status.as_u16(), e.code.number()), |s| (s, 0))
    }

    async fn one(&self, operation: &Operation, body: &Value) -> (u16, u16) {
        let ids = (Uuid::new_v4(), Uuid::new_v4());
        self.call(ids, operation, body).await
    }

    fn book(&self) -> Book {
        Book::of(self.cmp.store.clone())
    }

    async fn commit(&self, changes: Vec<Change>) {
        self.book().commit(changes).await.unwrap();
    }

    async fn federation(&self, token: MspToken) -> Option<Federation> {
        self.book().federation(MSP, token).await.unwrap()
    }

    async fn request(&self, link: &Link) -> CodeRequest {
        let found = self.book().request(link.request.id).await;
        found.unwrap().unwrap()
    }

    /// Begins an onboarding; yields its id and the operation that ends it.
    async fn onboarding(&self) -> (aid_id::Id, Operation) {
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
        self.commit(vec![Change::AddOnboarding(onboarding)]).await;
        (
            sid.into_bytes(),
            (CmpOperation::SendMspToken, id.to_string()),
        )
    }

    async fn state(&self, sid: aid_id::Id) -> OnboardingState {
        let found = self.book().onboarding(sid).await.unwrap();
        found.unwrap().state
    }

    /// A new subscription whose profiles have ICCIDs of their own.
    async fn link(&self, n: u32) -> Link {
        let federation = Federation {
            id: fresh(),
            msp: MSP.into(),
            token: MspToken::from_bytes(fresh()),
            account: world::EVA,
            phone: self.world.phone(),
            kind: SubscriptionType::Private,
            customer_group: Some("before".into()),
            since: 1,
            ended_at: None,
            ended_reason: None,
        };
        let request = CodeRequest {
            id: fresh(),
            car_request: fresh(),
            eid: self.world.eid,
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
        let profile = Profile {
            iccid: old(n).parse().unwrap(),
            federation: federation.id,
            eid: self.world.eid,
            status: ProfileStatus::Installed,
            verdict: MspVerdict::Valid,
            last_used: 1,
            created_at: 1,
        };
        let changes = vec![
            Change::AddFederation(federation.clone()),
            Change::PutRequest(request.clone()),
            Change::PutProfile(profile),
        ];
        self.commit(changes).await;
        Link {
            federation,
            request,
        }
    }

    async fn verdict(&self, link: &Link, iccid: &str) -> Option<MspVerdict> {
        let own = self.book().profiles(link.federation.id).await;
        let own = own.unwrap();
        own.iter()
            .find(|p| p.iccid.as_str() == iccid)
            .map(|p| p.verdict)
    }

    fn token(&self, token: Uuid) -> Value {
        let phone = self.world.phone();
        json!({"msp_token": token, "phoneNumber": phone.phone_number, "iv": phone.iv,
            "subscriptionType": "private", "error": null, "customerGroup": "group"})
    }
}

fn old(n: u32) -> String {
    format!("8988{n:015}")
}

impl Link {
    fn token(&self) -> String {
        self.federation.token.to_string()
    }

    fn code(&self) -> Value {
        json!({"activationCode": CODE, "profileType": "personal", "error": null,
            "activationCodeRequestID": Uuid::from_bytes(self.request.id), "iccid": NEW, "swappedIccid": null})
    }

    /// Ids of a call about its request.
    fn ids(&self) -> (Uuid, Uuid) {
        (Uuid::new_v4(), Uuid::from_bytes(self.request.correlation))
    }
}

// R-7.3-4, R-7.3-5, R-7.3-13
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_an_error_makes_a_link() {
    let stage = Stage::new().await;
    for (member, group) in [("error", Some("group")), ("customerGroup", None)] {
        for way in WAYS {
            let (sid, operation) = stage.onboarding().await;
            let token = Uuid::new_v4();
            let body = without(&stage.token(token), member, way);
            let case = format!("{member} {way}");
            assert_eq!(stage.one(&operation, &body).await, (201, 0), "{case}");
            let found = stage.federation(MspToken::from_bytes(token.into_bytes()));
            let found = found.await.expect(&case);
            assert_eq!(found.customer_group.as_deref(), group, "{case}");
            assert_eq!(stage.state(sid).await, OnboardingState::Done, "{case}");
        }
    }
    // White space is refused; the corrected request is taken under the same id.
    let (sid, operation) = stage.onboarding().await;
    let (token, ids) = (Uuid::new_v4(), (Uuid::new_v4(), Uuid::new_v4()));
    let good = stage.token(token);
    let blank = with(&good, "error", " \t");
    assert_eq!(stage.call(ids, &operation, &blank).await, (422, 91));
    assert_eq!(stage.state(sid).await, OnboardingState::Open);
    assert_eq!(stage.call(ids, &operation, &good).await, (201, 0));
    let token = MspToken::from_bytes(token.into_bytes());
    assert!(stage.federation(token).await.is_some());
    // An error after the token changes nothing, and is not answered as if it did; nor is one beside another token.
    for body in [
        json!({"msp_token": null, "phoneNumber": null, "subscriptionType": null, "iv": null, "error": "1000: no"}),
        with(&stage.token(Uuid::new_v4()), "error", "1000: no"),
    ] {
        assert_eq!(stage.one(&operation, &body).await, (422, 24));
    }
    assert!(stage.federation(token).await.unwrap().ended_at.is_none());
    // An error is a failure, however often it is said; a token after it is refused.
    let (sid, operation) = stage.onboarding().await;
    let failed = with(&stage.token(Uuid::new_v4()), "error", "1000: no");
    for _ in 0..2 {
        assert_eq!(stage.one(&operation, &failed).await, (201, 0));
        assert_eq!(stage.state(sid).await, OnboardingState::Failed);
    }
    let late = stage.token(Uuid::new_v4());
    assert_eq!(stage.one(&operation, &late).await.0, 422);
}

// R-7.7.2.1-1, R-7.7.2.1-4, R-7.7.2.1-6
#[tokio::test(flavor = "multi_thread")]
async fn a_code_without_an_error_is_used() {
    let stage = Stage::new().await;
    for (n, (member, way)) in ["error", "swappedIccid"]
        .into_iter()
        .flat_map(|member| WAYS.map(|way| (member, way)))
        .enumerate()
    {
        let link = stage.link(u32::try_from(n).unwrap()).await;
        let iccid = old(100 + u32::try_from(n).unwrap());
        let operation = (CmpOperation::SendActivationCode, link.token());
        let body = without(&with(&link.code(), "iccid", &iccid), member, way);
        let case = format!("{member} {way}");
        assert_eq!(
            stage.call(link.ids(), &operation, &body).await,
            (200, 0),
            "{case}"
        );
        let request = stage.request(&link).await;
        assert_eq!(request.state, RequestState::Answered, "{case}");
        assert_eq!(request.code.unwrap().expose(), CODE, "{case}");
        assert_eq!(request.swapped, None, "{case}");
        // However it is said again, it is a repetition.
        for again in WAYS {
            let body = without(&body, member, again);
            assert_eq!(
                stage.call(link.ids(), &operation, &body).await,
                (200, 0),
                "{case}"
            );
        }
        assert_eq!(stage.verdict(&link, &iccid).await, Some(MspVerdict::Valid));
    }
}

// R-7.7.2.1-2, R-7.7.2.1-4, R-7.7.2.1-6
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_used_is_refused_and_its_correction_is_used() {
    let stage = Stage::new().await;
    let other = stage.link(1).await;
    let taken = Profile {
        iccid: TAKEN.parse().unwrap(),
        federation: other.federation.id,
        eid: world::eid(2),
        status: ProfileStatus::Enabled,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    stage.commit(vec![Change::PutProfile(taken)]).await;
    type Spoil = fn(&Value) -> Value;
    let spoilt: [(&str, Spoil, (u16, u16)); 13] = [
        ("error blank", |b| with(b, "error", " "), (422, 91)),
        ("swapped blank", |b| with(b, "swappedIccid", " "), (422, 91)),
        ("iccid blank", |b| with(b, "iccid", "\t"), (422, 91)),
        ("iccid absent", |b| without(b, "iccid", "absent"), (422, 60)),
        ("iccid null", |b| without(b, "iccid", "null"), (422, 60)),
        ("iccid empty", |b| without(b, "iccid", "empty"), (422, 60)),
        ("both", |b| with(b, "error", "49: none left"), (422, 60)),
        (
            "neither",
            |b| without(b, "activationCode", "null"),
            (422, 60),
        ),
        (
            "no code at all",
            |b| without(&without(b, "activationCode", "null"), "error", "absent"),
            (422, 60),
        ),
        (
            "a bad code",
            |b| with(b, "activationCode", "2$a$b"),
            (422, 47),
        ),
        (
            "a code with a bad field",
            |b| with(b, "activationCode", "1$smdp.example.com$small"),
            (422, 44),
        ),
        ("another's profile", |b| with(b, "iccid", TAKEN), (422, 49)),
        (
            "an unknown request",
            |b| with(b, "activationCodeRequestID", &Uuid::nil().to_string()),
            (422, 30),
        ),
    ];
    for (n, (case, spoil, refusal)) in spoilt.into_iter().enumerate() {
        let link = stage.link(10 + u32::try_from(n).unwrap()).await;
        let operation = (CmpOperation::SendActivationCode, link.token());
        let iccid = old(100 + u32::try_from(n).unwrap());
        let good = with(&link.code(), "iccid", &iccid);
        let ids = link.ids();
        let answer = stage.call(ids, &operation, &spoil(&good)).await;
        assert_eq!(answer, refusal, "{case}");
        let request = stage.request(&link).await;
        assert_eq!(request.state, RequestState::Accepted, "{case}");
        // Corrected, under the same id.
        assert_eq!(stage.call(ids, &operation, &good).await, (200, 0), "{case}");
        let request = stage.request(&link).await;
        assert_eq!(request.code.unwrap().expose(), CODE, "{case}");
    }
    // The same code with a swap that it did not have is another message: it would not be obeyed.
    let link = stage.link(50).await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    let code = |swapped: &str| with(&link.code(), "swappedIccid", swapped);
    let (first, second) = (code(""), code(&old(50)));
    assert_eq!(stage.call(link.ids(), &operation, &first).await, (200, 0));
    assert_eq!(stage.call(link.ids(), &operation, &second).await, (422, 48));
    assert_eq!(
        stage.verdict(&link, &old(50)).await,
        Some(MspVerdict::Valid)
    );
    // With the swap from the beginning it is obeyed, and repeating it is harmless.
    let link = stage.link(51).await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    let body = with(&with(&link.code(), "iccid", OLD), "swappedIccid", &old(51));
    for _ in 0..2 {
        assert_eq!(stage.call(link.ids(), &operation, &body).await, (200, 0));
    }
    assert_eq!(
        stage.verdict(&link, &old(51)).await,
        Some(MspVerdict::Swapped)
    );
}

// R-7.4-3, R-7.4-4, R-7.5-4, R-7.6-2
#[tokio::test(flavor = "multi_thread")]
async fn reasons_and_groups_may_be_left_out_in_every_way() {
    let stage = Stage::new().await;
    let phone = stage.world.phone();
    for (n, way) in (1..).zip(WAYS) {
        let link = stage.link(n).await;
        let number = json!({"phoneNumber": phone.phone_number, "iv": phone.iv,
            "subscriptionType": "business", "customerGroup": "after"});
        let operation = (CmpOperation::UpdateSubscriptionInfo, link.token());
        let body = without(&number, "customerGroup", way);
        assert_eq!(stage.one(&operation, &body).await, (201, 0), "{way}");
        let updated = stage.federation(link.federation.token).await.unwrap();
        assert_eq!(updated.kind, SubscriptionType::Business);
        assert_eq!(updated.customer_group.as_deref(), Some("before"), "{way}");

        let item = json!({"iccid": old(n), "status": "suspended", "reason": "unpaid"});
        let body = json!({"profiles": [without(&item, "reason", way)]});
        let operation = (CmpOperation::SendProfileInformation, link.token());
        assert_eq!(stage.one(&operation, &body).await, (200, 0), "{way}");
        let verdict = stage.verdict(&link, &old(n)).await;
        assert_eq!(verdict, Some(MspVerdict::Suspended), "{way}");

        let operation = (CmpOperation::NotifyTokenInvalid, link.token());
        let body = without(&json!({"reason": "over"}), "reason", way);
        assert_eq!(stage.one(&operation, &body).await, (204, 0), "{way}");
        let ended = stage.federation(link.federation.token).await.unwrap();
        assert!(ended.ended_at.is_some(), "{way}");
        assert_eq!(ended.ended_reason, None, "{way}");
    }
}

// R-7.5-2, R-7.5-6: what is said of one profile twice in one message is judged one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn items_about_one_profile_are_judged_in_their_order() {
    let stage = Stage::new().await;
    type Case = (&'static [&'static str], (u16, u16), MspVerdict, usize);
    let cases: [Case; 5] = [
        (&["invalid", "valid"], (422, 63), MspVerdict::Valid, 0),
        (&["valid", "invalid"], (200, 0), MspVerdict::Invalid, 1),
        (&["invalid", "invalid"], (200, 0), MspVerdict::Invalid, 1),
        (
            &["suspended", "valid", "suspended"],
            (200, 0),
            MspVerdict::Suspended,
            0,
        ),
        (
            &["suspended", "invalid", "suspended"],
            (422, 63),
            MspVerdict::Valid,
            0,
        ),
    ];
    for (n, (said, answer, verdict, orders)) in (1..).zip(cases) {
        let link = stage.link(n).await;
        let before = stage.book().orders(None, false).await.unwrap().len();
        let items: Vec<Value> = said
            .iter()
            .map(|status| json!({"iccid": old(n), "status": status}))
            .collect();
        let operation = (CmpOperation::SendProfileInformation, link.token());
        let body = json!({ "profiles": items });
        assert_eq!(stage.one(&operation, &body).await, answer, "{said:?}");
        assert_eq!(stage.verdict(&link, &old(n)).await, Some(verdict));
        let after = stage.book().orders(None, false).await.unwrap().len();
        assert_eq!(after - before, orders, "{said:?}");
    }
}

// R-7.7.1.1-1: an MSP's own answer is read in the same way; nothing in it costs the profile.
#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_code_is_used_however_its_optional_members_are_left_out() {
    for (member, way) in ["iccid", "swappedIccid"]
        .into_iter()
        .flat_map(|member| WAYS.map(|way| (member, way)))
    {
        let world = World::new().await;
        world.federate().await;
        let answer = json!({"iccid": NEW, "activationCode": CODE, "profileType": "personal",
            "swappedIccid": null});
        let answer = without(&answer, member, way);
        let path = "/v1/activation-code-requests/";
        world.msp.answer(path, 200, &answer.to_string());
        let mut car = Car::connect(&world).await;
        car.login([1; 16], world::PIN).await;
        car.ask([2; 16], world::EVA).await;
        let message = car.message().await;
        let Down::ActivationCode { outcome, .. } = message.body else {
            panic!("{:?}", message.body)
        };
        let CodeOutcome::Code { code, iccid } = outcome else {
            panic!("{member} {way}: {outcome:?}")
        };
        assert_eq!(code.expose(), CODE);
        assert_eq!(iccid.is_some(), member != "iccid", "{member} {way}");
    }
}

/// What was counted of the first MSP since the last time.
async fn counted(stage: &Stage) -> Vec<(String, u64)> {
    stage.cmp.note_deviations().await.unwrap();
    let all = stage.cmp.store.read(async |tx| tx.deviations().await);
    let own = all.await.unwrap().into_iter().filter(|d| d.msp == MSP);
    own.map(|d| (d.kind, d.count)).collect()
}

// R-7.7.2.1-2, R-5.1-2: the request's id says which request it is. Without it the correlation-id has to.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_a_known_request_is_taken_in_whatever_transaction() {
    let stage = Stage::new().await;
    let link = stage.link(1).await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    assert_eq!(stage.one(&operation, &link.code()).await, (200, 0));
    assert_eq!(stage.request(&link).await.code.unwrap().expose(), CODE);
    assert_eq!(counted(&stage).await, [("correlation-id".to_owned(), 1)]);

    let link = stage.link(2).await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    let failed = json!({"activationCode": null, "profileType": null, "activationCodeRequestID": null,
        "error": "49: none", "iccid": null, "swappedIccid": null});
    assert_eq!(stage.one(&operation, &failed).await, (422, 92));
    assert_eq!(stage.request(&link).await.state, RequestState::Accepted);
    assert_eq!(stage.call(link.ids(), &operation, &failed).await, (200, 0));
    assert_eq!(stage.request(&link).await.state, RequestState::Failed);
    assert_eq!(counted(&stage).await, [("correlation-id".to_owned(), 1)]);
}

// R-7.7.2.1-1: whatever profileType an MSP writes beside a code, the code is used, and an operator hears of it; so of every
// other way in which it does not write what the text has.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tolerated_is_counted_for_each_partner() {
    let stage = Stage::new().await;
    let types = ["operational", "work", "PERSONAL", "", "\u{1f697}"];
    for (n, other) in (1..).zip(types) {
        let link = stage.link(n).await;
        let operation = (CmpOperation::SendActivationCode, link.token());
        let body = with(
            &with(&link.code(), "profileType", other),
            "iccid",
            &old(100 + n),
        );
        assert_eq!(
            stage.call(link.ids(), &operation, &body).await,
            (200, 0),
            "{other}"
        );
        assert_eq!(
            stage.request(&link).await.state,
            RequestState::Answered,
            "{other}"
        );
        let counts = counted(&stage).await;
        assert_eq!(
            counts,
            [("profile-type".to_owned(), u64::from(n))],
            "{other}"
        );
    }
    // Refused, nothing is tolerated.
    let link = stage.link(20).await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    let refused = with(&with(&link.code(), "profileType", "x"), "iccid", "1");
    assert_eq!(stage.call(link.ids(), &operation, &refused).await.0, 422);
    assert_eq!(counted(&stage).await[0].1, 5);
    // Each way of each member, and nothing for the right one.
    let mut expected: std::collections::BTreeMap<String, u64> =
        [("profile-type".to_owned(), 5)].into();
    for (n, (member, right)) in (30..).zip([("error", "null"), ("swappedIccid", "null")]) {
        for (m, way) in WAYS.into_iter().enumerate() {
            let link = stage.link(n * 10 + u32::try_from(m).unwrap()).await;
            let operation = (CmpOperation::SendActivationCode, link.token());
            let iccid = old(500 + n * 10 + u32::try_from(m).unwrap());
            let body = without(&with(&link.code(), "iccid", &iccid), member, way);
            assert_eq!(stage.call(link.ids(), &operation, &body).await, (200, 0));
            if way != right {
                let kind = if way == "empty" {
                    "empty-text"
                } else {
                    "absent"
                };
                *expected.entry(kind.to_owned()).or_default() += 1;
            }
            let counts: std::collections::BTreeMap<_, _> =
                counted(&stage).await.into_iter().collect();
            assert_eq!(counts, expected, "{member} {way}");
        }
    }
}

// R-4.3.1-16: one number in two cars. The second is refused, so that the first stays known where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_one_car_is_not_given_to_another() {
    let stage = Stage::new().await;
    let link = stage.link(1).await;
    let elsewhere = Profile {
        iccid: NEW.parse().unwrap(),
        federation: link.federation.id,
        eid: world::eid(2),
        status: ProfileStatus::Installed,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    stage
        .commit(vec![Change::PutProfile(elsewhere.clone())])
        .await;
    let operation = (CmpOperation::SendActivationCode, link.token());
    let answer = stage.call(link.ids(), &operation, &link.code()).await;
    assert_eq!(answer, (422, 49));
    let own = stage.book().profiles(link.federation.id).await.unwrap();
    assert!(own.contains(&elsewhere), "{own:?}");
    // Another one is taken, in place of it.
    let other = with(&link.code(), "iccid", OLD);
    assert_eq!(stage.call(link.ids(), &operation, &other).await, (200, 0));
}
