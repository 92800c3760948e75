//! What follows once an account is linked and has its profile: news about profile and subscription, the end of the link
//! (AID.02 §4.4, §4.7, §4.8), and what the hub has counted.

use crate::set_up::{CMPS, MOCK, MSPS};
use crate::{Link, Play, last, text, true_then, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Play {
    /// §4.7: the MSP blocks the profile for a time.
    pub(crate) async fn inform(&self, link: &Link) {
        if link.m == MOCK {
            let profile = json!({"iccid": link.iccid, "status": "suspended", "reason": null});
            let with = json!({"profiles": [profile]});
            let cmp = CMPS[link.c];
            let call = self
                .msp
                .call("sendProfileInformation", cmp, &link.token, with);
            assert_eq!(call.await.0, 200);
        } else {
            let inform = ["profile", "inform", "--status", "suspended", "--iccid"];
            self.msp_run(link.m, &[&inform[..], &[&link.iccid]].concat());
        }
        let what = format!("{} is suspended at {}", link.iccid, CMPS[link.c].id);
        wait(&what, async || {
            true_then(match link.c {
                MOCK => {
                    let got = self.cmp.got("POST", &format!("{}/profiles", link.token));
                    got.iter()
                        .any(|got| got.body["profiles"][0]["iccid"] == link.iccid.as_str())
                }
                c => last(&self.cmp_list(c, "profile"), |p| {
                    p["iccid"] == link.iccid.as_str()
                })
                .is_some_and(|p| p["msp_state"] == "suspended"),
            })
        })
        .await;
    }

    /// §4.8: the subscriptions of all MSPs change.
    pub(crate) async fn update(&self, links: &[Link]) {
        self.cmp.is_away("PATCH", 1);
        for m in 0..MOCK {
            let (user, _) = self.customer();
            let update = ["subscription", "update", &user, "--msisdn", "491700000777"];
            self.msp_run(m, &update);
        }
        for link in links {
            if link.m == MOCK {
                let phone = self.token_body(Uuid::new_v4(), link.c);
                let with = json!({"phoneNumber": phone["phoneNumber"], "iv": phone["iv"]});
                let cmp = CMPS[link.c];
                let call = self
                    .msp
                    .call("updateSubscriptionInfo", cmp, &link.token, with);
                assert_eq!(call.await.0, 201);
            }
            if link.c == MOCK {
                wait("an update at the mock", async || {
                    let got = self.cmp.got("PATCH", &link.token);
                    true_then(got.iter().any(|got| got.answered == 201))
                })
                .await;
            }
        }
        // What it did not accept once came again under the same id.
        let all = self.cmp.got("PATCH", "/");
        let away = all.iter().find(|got| got.answered == 503).unwrap();
        let same = all.iter().filter(|got| got.request_id == away.request_id);
        assert_eq!(same.count(), 2);
    }

    /// §4.4: the link ends, at the first CMP and the first MSP by the CMP, otherwise by the MSP; the profile goes, and the
    /// MSP hears it.
    pub(crate) async fn withdraw(&self, link: &Link) {
        let (msp, cmp) = (MSPS[link.m], CMPS[link.c]);
        let by_cmp = link.c == 0 || (link.c == MOCK && link.m == 0);
        if by_cmp && link.c == MOCK {
            let id = "requestInvalidateFederatedID";
            let (status, _) = self.cmp.call(id, msp, &link.token, json!({})).await;
            assert_eq!(status, 204);
        } else if by_cmp {
            let end = [
                "federation",
                "withdraw",
                &link.federation,
                "--reason",
                "sold",
                "--yes",
            ];
            self.network.run("aid-cmp", "cmp-0.toml", &end, "");
        } else if link.m == MOCK {
            let call = self
                .msp
                .call("notifyMspTokenInvalid", cmp, &link.token, json!({}));
            assert_eq!(call.await.0, 204);
        } else {
            let (user, _) = self.customer();
            let end = ["subscription", "withdraw", &user, "--cmp", cmp.known_as];
            self.msp_run(link.m, &end);
        }
        let what = format!("the end of the link of {} and {}", msp.id, cmp.id);
        wait(&what, async || {
            let ended_at_msp = match link.m {
                MOCK => !by_cmp || !self.msp.got("DELETE", &link.token).is_empty(),
                m => {
                    let file = format!("msp-{m}.toml");
                    let all = self.network.json("aid-msp", &file, &["customer", "list"]);
                    let links = all[0]["onboardings"].clone();
                    let own = |o: &Value| o["msp_token"] == link.token.as_str();
                    last(&links, own).is_some_and(|o| o["state"] != "active")
                }
            };
            let ended_at_cmp = match link.c {
                MOCK => by_cmp || !self.cmp.got("POST", "/invalidate").is_empty(),
                c => {
                    let own = |f: &Value| f["federation"] == link.federation.as_str();
                    last(&self.cmp_list(c, "federation"), own)
                        .is_some_and(|f| !f["ended_at"].is_null())
                }
            };
            true_then(ended_at_msp && ended_at_cmp)
        })
        .await;
        if link.c == MOCK {
            let with = json!({"iccid": link.iccid, "eid": link.eid, "status": "deleted"});
            let call = self.cmp.call("sendCsimStatus", msp, &link.token, with);
            assert_eq!(call.await.0, 201);
        }
        self.msp_hears(link, "deleted").await;
    }

    /// What the hub has counted: each pair made each kind of call, and everything that was accepted has arrived.
    pub(crate) async fn books(&self) {
        let meter = wait("all calls in the meter", async || {
            let meter = self.network.json("aid-hub", "hub.toml", &["meter"]);
            let rows = meter.as_array().unwrap();
            let of = |pair: &str| -> BTreeSet<String> {
                let rows = rows.iter().filter(|row| row["pair"] == pair);
                rows.map(|row| text(row, "operation")).collect()
            };
            let whole = MSPS.iter().all(|msp| {
                CMPS.iter().all(|cmp| {
                    let made = of(&format!("{}/{}", msp.id, cmp.id));
                    let all = [
                        "sendMspToken",
                        "requestActivationCode",
                        "sendCsimStatus",
                        "requestProfileStatus",
                        "sendProfileInformation",
                        "updateSubscriptionInfo",
                    ];
                    let ends = ["requestInvalidateFederatedID", "notifyMspTokenInvalid"];
                    all.iter().all(|id| made.contains(*id))
                        && ends.iter().any(|id| made.contains(*id))
                })
            });
            whole.then(|| meter.clone())
        })
        .await;
        let rows = meter.as_array().unwrap();
        let later = rows
            .iter()
            .find(|row| row["operation"] == "submitActivationCode");
        assert!(later.is_some(), "{meter}");
        for row in rows {
            assert_eq!(row["failed"], 0, "{row}");
        }
        for state in ["dead", "waiting", "queued", "open"] {
            let list = ["call", "list", "--state", state];
            let calls = self.network.json("aid-hub", "hub.toml", &list);
            assert_eq!(calls, json!([]), "{state}");
        }
    }
}
