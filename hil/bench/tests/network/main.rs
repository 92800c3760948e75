//! Three MSPs and three CMPs behind one hub: two of each are aid-msp and aid-cmp as processes, the third is made from the
//! contract with names and habits of its own. All nine pairs link an account, get a profile, report it, compare, change
//! and end the link (AID.02 §4.1, §4.3 to §4.8), through one aid-hub. Each real CMP has a real car.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "../../../../cmp-link/hub/tests/hub/contract.rs"]
mod contract;
mod mock;
mod rest;
mod set_up;
mod user;

use aid_aid1::account_id::{self, Secret};
use aid_aid1::phone::PhoneKey;
use aid_serve::http;
use contract::Contract;
use mock::Mock;
use serde_json::{Value, json};
use set_up::{CMPS, MOCK, MSPS, Network, PIN, account_id_secret, phone_key};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use user::Browser;
use uuid::Uuid;

/// Longest wait for what others have to bring about.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that is there.
async fn wait<T>(what: &str, there: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = there().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn true_then(is_so: bool) -> Option<()> {
    is_so.then_some(())
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// The last entry of a list that fits.
fn last(list: &Value, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let list = list.as_array()?;
    list.iter().rev().find(|entry| fits(entry)).cloned()
}

/// Everything that runs.
struct Play {
    network: Network,
    msp: Mock,
    cmp: Mock,
}

/// An MSP and a CMP that are linked for a user.
#[derive(Clone)]
struct Link {
    m: usize,
    c: usize,
    token: String,
    /// The CMP's name for it; empty at the mock.
    federation: String,
    eid: String,
    iccid: String,
}

impl Play {
    fn cmp_list(&self, c: usize, noun: &str) -> Value {
        let file = format!("cmp-{c}.toml");
        self.network.json("aid-cmp", &file, &[noun, "list"])
    }

    fn msp_run(&self, m: usize, args: &[&str]) {
        let file = format!("msp-{m}.toml");
        self.network.run("aid-msp", &file, args, "");
    }

    fn customer(&self) -> (String, String) {
        let known = &self.network.known;
        (text(known, "msp_user"), text(known, "msp_password"))
    }

    /// What Send MSP Token of the mock says beside the example.
    fn token_body(&self, token: Uuid, c: usize) -> Value {
        let key = PhoneKey::new(phone_key(MOCK, c));
        let iv = token.as_bytes()[..12].try_into().unwrap();
        let phone = key.encrypt(&"4917012345".parse().unwrap(), iv).unwrap();
        json!({"msp_token": token, "error": null, "phoneNumber": phone.phone_number, "iv": phone.iv})
    }

    /// The mock of an MSP sends a token for this account id.
    async fn mock_token(&self, c: usize, account: &str) -> Uuid {
        let token = Uuid::new_v4();
        let with = self.token_body(token, c);
        let (status, answer) = self.msp.call("sendMspToken", CMPS[c], account, with).await;
        assert_eq!(status, 201, "{answer}");
        token
    }

    /// §4.1 at a real CMP: from its portal to the MSP's touchpoint and back.
    async fn link_at_cmp(&self, m: usize, c: usize) -> Link {
        let network = &self.network;
        let (browser, portal) = (Browser::new(network), &network.portals[c]);
        let user = set_up::user(m);
        let arrival = browser.ask_for_link(portal, &user, MSPS[m].title).await;
        let back = if m == MOCK {
            // The mock has no pages: it takes the account id out of the address, as its page would.
            assert!(arrival.starts_with(&network.touchpoints[m]), "{arrival}");
            let query: BTreeMap = reqwest::Url::parse(&arrival)
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect();
            self.mock_token(c, &query["id"]).await;
            query["redirect_uri"].clone()
        } else {
            let (user, password) = self.customer();
            let customer = (user.as_str(), password.as_str());
            let touchpoint = &network.touchpoints[m];
            browser.agree(touchpoint, &arrival, customer).await
        };
        assert!(back.starts_with(&format!("{portal}/linked")), "{back}");
        assert!(!back.contains("error="), "{back}");
        browser.page(portal, &back).await;
        let federation = wait("the link in the CMP's books", async || {
            last(&self.cmp_list(c, "federation"), |f| {
                f["user"] == user.as_str()
            })
        });
        let federation = federation.await;
        assert_eq!(federation["msp"], MSPS[m].title);
        Link {
            m,
            c,
            token: text(&federation, "msp_token"),
            federation: text(&federation, "federation"),
            eid: network.eids[c].clone(),
            iccid: String::new(),
        }
    }

    /// The same at the mock of a CMP, which has no pages: the browser begins at the MSP's touchpoint.
    async fn link_at_mock(&self, m: usize) -> Link {
        let network = &self.network;
        let secret: Secret = account_id_secret(m, MOCK).parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let account = account_id::issue(&secret, Uuid::new_v4(), None, now.as_secs(), 600).unwrap();
        let account = account.as_str();
        if m == MOCK {
            self.mock_token(MOCK, account).await;
        } else {
            let (user, password) = self.customer();
            let (touchpoint, portal) = (&network.touchpoints[m], &network.portals[MOCK]);
            let arrival = format!(
                "{touchpoint}/authorize?id={account}&redirect_uri={portal}/linked%3Fstate%3D1"
            );
            let customer = (user.as_str(), password.as_str());
            let browser = Browser::new(network);
            let back = browser.agree(touchpoint, &arrival, customer).await;
            assert_eq!(back, format!("{portal}/linked?state=1"));
        }
        let got = self.cmp.got("POST", account).pop().expect("a token");
        assert_eq!(got.client_id, MSPS[m].known_as);
        Link {
            m,
            c: MOCK,
            token: text(&got.body, "msp_token"),
            federation: String::new(),
            eid: network.eids[0].clone(),
            iccid: String::new(),
        }
    }

    /// The last status that an MSP has of a profile.
    fn status_at_msp(&self, link: &Link) -> Option<String> {
        if link.m == MOCK {
            return self.msp.status(&link.token, &link.iccid);
        }
        let file = format!("msp-{}.toml", link.m);
        let list = self.network.json("aid-msp", &file, &["status", "list"]);
        let row = last(&list, |row| {
            row["iccid"] == link.iccid.as_str() && row["msp_token"] == link.token.as_str()
        })?;
        assert_eq!(row["client_id"], CMPS[link.c].known_as);
        Some(text(&row, "status"))
    }

    async fn msp_hears(&self, link: &Link, status: &str) {
        let what = format!("{status} of {} at {}", link.iccid, MSPS[link.m].id);
        wait(&what, async || {
            true_then(self.status_at_msp(link).as_deref() == Some(status))
        })
        .await;
    }

    /// §4.3 with a car: login, code, download, enable; logout.
    async fn provision(&self, link: &mut Link) {
        let agent = ["agent.toml", "agent-2.toml"][link.c];
        let pin = format!("{PIN}\n");
        let login = ["login", &set_up::user(link.m)];
        self.network.run("aidctl", agent, &login, &pin);
        let what = format!("a profile of {} at {}", MSPS[link.m].id, CMPS[link.c].id);
        let profile = wait(&what, async || {
            last(&self.cmp_list(link.c, "profile"), |p| {
                p["federation"] == link.federation.as_str() && p["status"] == "enabled"
            })
        });
        link.iccid = text(&profile.await, "iccid");
        self.msp_hears(link, "enabled").await;
        self.network.run("aidctl", agent, &["logout"], "");
        self.msp_hears(link, "disabled").await;
        // §4.6
        let file = format!("cmp-{}.toml", link.c);
        let sync = ["sync", "run", "--federation", &link.federation];
        let compared = self.network.json("aid-cmp", &file, &sync);
        assert_eq!(compared[0]["outcome"], "agreed", "{compared}");
    }

    /// §4.3 without one: the mock of a CMP asks, gets its code at once or later, and reports.
    async fn provision_mock(&self, link: &mut Link) {
        let (msp, token) = (MSPS[link.m], link.token.clone());
        let request = Uuid::new_v4();
        let with =
            json!({"activationCodeRequestID": request, "eid": link.eid, "replaceIccid": null});
        let (status, mut answer) = self
            .cmp
            .call("requestActivationCode", msp, &token, with)
            .await;
        if link.m == 1 {
            assert_eq!(status, 201, "{answer}");
            let path = format!("/activation-codes/{token}");
            let got = wait("a later code", async || self.cmp.got("POST", &path).pop());
            answer = got.await.body;
            assert_eq!(answer["activationCodeRequestID"], request.to_string());
        } else {
            assert_eq!(status, 200, "{answer}");
        }
        assert!(
            text(&answer, "activationCode").starts_with("1$"),
            "{answer}"
        );
        link.iccid = text(&answer, "iccid");
        if link.m < MOCK {
            let file = format!("msp-{}.toml", link.m);
            let orders = self.network.json("aid-msp", &file, &["order", "list"]);
            let order = last(&orders, |o| o["msp_token"] == token.as_str()).unwrap();
            link.iccid = text(&order, "iccid");
        }
        for status in ["installed", "enabled"] {
            let with = json!({"iccid": link.iccid, "eid": link.eid, "status": status});
            let (answered, body) = self.cmp.call("sendCsimStatus", msp, &token, with).await;
            assert_eq!(answered, 201, "{body}");
        }
        self.msp_hears(link, "enabled").await;
        let (status, body) = self
            .cmp
            .call("requestProfileStatus", msp, &token, json!({}))
            .await;
        let profile = &body["profiles"][0]["iccid"];
        assert_eq!((status, profile), (200, &json!(link.iccid)), "{body}");
    }
}

type BTreeMap = std::collections::BTreeMap<String, String>;

// R-1.1-1, R-1.1-2: each of six parties has one interface, and reaches all three of the other side.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_msps_and_three_cmps_play_every_procedure_through_one_hub() {
    let contracts = (
        Contract::read("msp-cesim-cmp.openapi.json"),
        Contract::read("cmp-cesim-msp.openapi.json"),
    );
    let (Some(of_msp), Some(of_cmp)) = contracts else {
        return;
    };
    let (at_msp, at_cmp) = (
        http::bind("127.0.0.1:0").await.unwrap(),
        http::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = |listener: &tokio::net::TcpListener| listener.local_addr().unwrap().port();
    let mut network = Network::new(port(&at_msp), port(&at_cmp));
    let both = (of_msp.clone(), of_cmp.clone());
    let (msp, _msp_serves) = Mock::start(&network, MSPS[MOCK], both, at_msp);
    let (cmp, _cmp_serves) = Mock::start(&network, CMPS[MOCK], (of_cmp, of_msp), at_cmp);
    network.start();
    for (n, eid) in network.eids.iter().enumerate() {
        msp.has_code(eid, network.order(&format!("spare-{}", n + 1), eid));
    }
    let play = Play { network, msp, cmp };
    let mut links = Vec::new();
    for m in 0..3 {
        for c in 0..3 {
            let mut link = match c {
                MOCK => play.link_at_mock(m).await,
                _ => play.link_at_cmp(m, c).await,
            };
            match c {
                MOCK => play.provision_mock(&mut link).await,
                _ => play.provision(&mut link).await,
            }
            links.push(link);
        }
    }
    // A token opens nothing at another MSP, and nothing for another CMP.
    let foreign = &links[0].token;
    for msp in MSPS {
        let (status, answer) = play
            .cmp
            .call("requestProfileStatus", msp, foreign, json!({}))
            .await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("20")));
    }
    // What a party refuses comes in its own words.
    let own = links.iter().find(|l| l.m == MOCK && l.c == MOCK).unwrap();
    let with = json!({"iccid": own.iccid, "eid": own.eid, "status": "installation_failed"});
    let refused = play
        .cmp
        .call("sendCsimStatus", MSPS[MOCK], &own.token, with);
    let words = json!({"title": "Which profile?", "code": 61});
    assert_eq!(refused.await, (404, words));
    play.update(&links).await;
    for link in &links {
        play.inform(link).await;
    }
    for link in &links {
        play.withdraw(link).await;
    }
    play.books().await;
    assert_eq!(play.msp.complaints(), Vec::<String>::new());
    assert_eq!(play.cmp.complaints(), Vec::<String>::new());
}
