//! Every procedure of AID.02 §4 between three MSPs and three CMPs through one hub. The parties are made from the effective
//! contract (Annex B): they refuse what does not fit it, and answer with its examples. One of each has names and habits of
//! its own.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::contract::Contract;
use crate::party::Got;
use crate::world::*;

/// Both contracts, and what parties found wrong.
struct Play {
    world: World,
    msp: Contract,
    cmp: Contract,
    complaints: Arc<Mutex<Vec<String>>>,
}

/// The two of a pair, by the names under which they know each other.
struct Two {
    msp: String,
    cmp: String,
    msp_as: String,
    cmp_as: String,
    token: Uuid,
}

impl Play {
    /// Parties answer by their contract. Those that have the number 2 refuse statuses of profiles that they do not know, each
    /// in its own words.
    fn follow_the_contract(&self, later: bool) {
        for (name, party) in &self.world.parties {
            let contract = match name.starts_with('m') {
                true => self.msp.clone(),
                false => self.cmp.clone(),
            };
            let (complaints, name) = (Arc::clone(&self.complaints), name.clone());
            party.answer(move |got| {
                let request = (got.method.as_str(), got.path.as_str(), got.body.as_slice());
                let ids = ["cmp-request-id", "correlation-id"].map(|name| got.header(name));
                match contract.answer(request, ids, (later, json!({}))) {
                    Ok(_) if is_unknown(got) => refusal(&name),
                    Ok((status, body)) => says(status, &body),
                    Err(complaint) => {
                        complaints
                            .lock()
                            .unwrap()
                            .push(format!("{name}: {complaint}"));
                        says(422, "{\"code\":\"91\",\"error\":\"not of the contract\"}")
                    }
                }
            });
        }
    }

    /// The MSP calls the CMP; yields the answer.
    async fn to_cmp(&self, two: &Two, id: &str, with: Value) -> Answered {
        let variable = match id {
            "sendMspToken" => "eyJh.eyJi.c2ln".to_owned(),
            _ => two.token.to_string(),
        };
        let (method, path, body) = self.cmp.request(id, &variable, with);
        let call = self.world.call(&two.msp, &two.cmp_as, method, path, &body);
        let answer = self.world.send(&call).await;
        let got = self.world.parties[&two.cmp].got().pop().unwrap();
        let names = (got.header("client-id"), got.header("target-id"));
        assert_eq!(names, (two.msp_as.as_str(), two.cmp.as_str()), "{id}");
        answer
    }

    /// The CMP calls the MSP.
    async fn to_msp(&self, two: &Two, id: &str, with: Value) -> Answered {
        let token = two.token.to_string();
        let (method, path, body) = self.msp.request(id, &token, with);
        let call = self.world.call(&two.cmp, &two.msp_as, method, path, &body);
        let answer = self.world.send(&call).await;
        let got = self.world.parties[&two.msp].got().pop().unwrap();
        let names = (got.header("client-id"), got.header("target-id"));
        assert_eq!(names, (two.cmp_as.as_str(), two.msp.as_str()), "{id}");
        answer
    }

    /// §4.1, §4.2: the accounts are linked.
    async fn onboarding(&self, two: &mut Two) {
        two.token = Uuid::new_v4();
        let with = json!({"msp_token": two.token, "error": null});
        let answer = self.to_cmp(two, "sendMspToken", with).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    async fn statuses(&self, two: &Two, all: &[&str]) {
        for status in all {
            let answer = self.to_msp(two, "sendCsimStatus", json!({"status": status}));
            assert_eq!(answer.await.status, 201, "{status}");
        }
    }

    /// §4.3: a profile comes to the car, its code at once or later.
    async fn provisioning(&self, two: &Two, later: bool) {
        let wanted = json!({"activationCodeRequestID": Uuid::new_v4()});
        let answer = self
            .to_msp(two, "requestActivationCode", wanted.clone())
            .await;
        if later {
            assert_eq!((answer.status, answer.body.len()), (201, 0));
            let with = json!({
                "activationCodeRequestID": wanted["activationCodeRequestID"], "error": null, "swappedIccid": null,
            });
            let answer = self.to_cmp(two, "submitActivationCode", with).await;
            assert_eq!(answer.status, 200);
        } else {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(answer.status, 200);
            assert!(body["activationCode"].as_str().unwrap().starts_with("1$"));
        }
        self.statuses(two, &["installed", "enabled", "disabled"])
            .await;
    }
}

/// A profile that no party knows, by its status.
fn is_unknown(got: &Got) -> bool {
    String::from_utf8_lossy(&got.body).contains("installation_failed")
}

/// Each refuses in words of its own, of which the hub makes nothing else.
fn refusal(name: &str) -> Says {
    match name {
        "m2" => Says {
            headers: vec![("content-type", "application/problem+json".into())],
            ..says(
                422,
                "{\"title\":\"No such profile\", \"status\":422,\"code\":62}",
            )
        },
        _ => says(404, "{ \"error\":\"no such profile\", \"code\":\"61\" }"),
    }
}

// R-1.1-1, R-1.1-2: the procedures of §4 in every pairing; each party has one interface.
#[tokio::test(flavor = "multi_thread")]
async fn every_procedure_of_chapter_4_passes_in_every_pairing() {
    let contracts = (
        Contract::read("msp-cesim-cmp.openapi.json"),
        Contract::read("cmp-cesim-msp.openapi.json"),
    );
    let (Some(msp), Some(cmp)) = contracts else {
        return;
    };
    let world = World::with(3, "", false).await;
    let mut pairs = Vec::new();
    for m in 0..3 {
        for c in 0..3 {
            let (msp, cmp) = (format!("m{m}"), format!("c{c}"));
            // Others know the third of each by another name.
            let name = |id: &str, other: &str| match id.ends_with('2') {
                true => other.to_owned(),
                false => id.to_owned(),
            };
            let (msp_as, cmp_as) = (name(&msp, "Mobile2"), name(&cmp, "Cars2"));
            let mut add = vec!["pair", "add", &msp, &cmp];
            if m == 2 {
                add.extend(["--msp-as", &msp_as]);
            }
            if c == 2 {
                add.extend(["--cmp-as", &cmp_as]);
            }
            world.cli(&add);
            pairs.push(Two {
                token: Uuid::nil(),
                msp_as,
                cmp_as,
                msp,
                cmp,
            });
        }
    }
    let play = Play {
        world,
        msp,
        cmp,
        complaints: Arc::default(),
    };
    play.follow_the_contract(false);
    let last = pairs.last().unwrap();
    let probe = play
        .world
        .token_call(&last.msp, &last.cmp_as, Uuid::new_v4());
    // It fits no contract: the CMP's refusal says that the pair is in force.
    play.world.until_answer("the pairs", &probe, 422).await;
    play.complaints.lock().unwrap().clear();
    for later in [false, true] {
        play.follow_the_contract(later);
        for two in &mut pairs {
            play.onboarding(two).await;
            play.provisioning(two, later).await;
            // §4.6 and §7.6.
            let answer = play.to_msp(two, "requestProfileStatus", json!({})).await;
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status, body["profiles"].is_array()), (200, true));
            let answer = play.to_cmp(two, "updateSubscriptionInfo", json!({}));
            assert_eq!(answer.await.status, 201);
            // What an MSP refuses, its CMP hears in its words.
            let unknown = json!({"status": "installation_failed"});
            let answer = play.to_msp(two, "sendCsimStatus", unknown).await;
            let says = refusal(&two.msp);
            assert_eq!((answer.status, answer.body), (says.status, says.body));
            // §4.5: the MSP ends a profile, and the car deletes it.
            let answer = play.to_cmp(two, "sendProfileInformation", json!({}));
            assert_eq!(answer.await.status, 200);
            play.statuses(two, &["deleted"]).await;
            // §4.4: the link ends from either side; what the car reports later still arrives.
            let answer = match later {
                false => {
                    play.to_msp(two, "requestInvalidateFederatedID", json!({}))
                        .await
                }
                true => play.to_cmp(two, "notifyMspTokenInvalid", json!({})).await,
            };
            assert_eq!(answer.status, 204);
            play.statuses(two, &["deleted"]).await;
        }
    }
    assert_eq!(*play.complaints.lock().unwrap(), Vec::<String>::new());
}
