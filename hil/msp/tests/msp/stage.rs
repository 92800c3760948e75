//! The program between its peers, and what the tests ask of it. Used by all of them.

pub(crate) use crate::peers::{EID, Folder, PHONE_KEY, Peer, Program, SECRET, cmp, refused, smdp};
pub(crate) use aid_aid1::account_id::{AccountId, Secret, issue};
pub(crate) use aid_aid1::body::{
    ActivationCodeResponse, CsimStatus, ProfileState, ProfileType, RequestActivationCode,
    SendCsimStatus,
};
pub(crate) use aid_aid1::client::{Activation, Call, CallError, MspClient, Settings};
pub(crate) use aid_aid1::headers::Credentials;
pub(crate) use aid_aid1::phone::{EncryptedPhone, PhoneKey};
pub(crate) use aid_aid1::redirect::percent_encode;
pub(crate) use aid_id::MspToken;
pub(crate) use serde_json::{Value, json};
use std::time::Instant;
pub(crate) use std::time::{Duration, SystemTime, UNIX_EPOCH};
pub(crate) use uuid::Uuid;

/// Longest time that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub(crate) fn account_id(ver: Option<&str>) -> AccountId {
    account_id_by(SECRET, ver)
}

/// An account id that is signed with this secret.
pub(crate) fn account_id_by(secret: &str, ver: Option<&str>) -> AccountId {
    let secret = secret.parse::<Secret>().unwrap();
    issue(&secret, Uuid::new_v4(), ver, now(), 600).unwrap()
}

/// The program between its peers.
pub(crate) struct Stage {
    pub(crate) cmp: Peer,
    pub(crate) smdp: Peer,
    pub(crate) msp: Program,
    /// The last to go: what the others have there is read at their end.
    pub(crate) folder: Folder,
}

impl Stage {
    pub(crate) async fn new(more_cmp: &str, more_user: &str) -> Self {
        Self::with("", more_cmp, more_user).await
    }

    /// With more in `[touchpoint]`, `[[cmp]]` and after the customer.
    pub(crate) async fn with(more_touchpoint: &str, more_cmp: &str, more_user: &str) -> Self {
        Self::of([more_touchpoint, "", more_cmp, more_user]).await
    }

    /// With more in `[smdp]` and after the customer.
    pub(crate) async fn with_smdp(more_smdp: &str, more_user: &str) -> Self {
        Self::of(["", more_smdp, "", more_user]).await
    }

    async fn of(more: [&str; 4]) -> Self {
        let folder = Folder::new();
        let cmp = Peer::start(&folder, cmp).await;
        let smdp = Peer::start(&folder, |got, _| (200, smdp(got))).await;
        let config = Program::configure(&folder, &cmp.url, &smdp.url, more);
        let msp = Program::start(&config);
        Self {
            folder,
            cmp,
            smdp,
            msp,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings_as("cmp", "keyIn1")
    }

    /// With the certificate of this name, and this key.
    pub(crate) fn settings_as(&self, certificate: &str, key: &str) -> Settings {
        Settings {
            base_url: self.msp.aid1.clone(),
            tls: self.folder.client_tls(Some(certificate)),
            own_id: "CmpOne".parse().unwrap(),
            target_id: "MspOne".parse().unwrap(),
            credentials: Credentials::api_key(key).unwrap(),
            timeout: Duration::from_secs(10),
            deviations: aid_aid1::deviation::Deviations::default(),
            iccids: aid_aid1::body::Iccids::Standard,
        }
    }

    pub(crate) fn client(&self) -> MspClient {
        MspClient::new(self.settings()).unwrap()
    }

    pub(crate) fn browser(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.folder.client_tls(None))
            .redirect(reqwest::redirect::Policy::none())
            .cookie_store(true)
            .build()
            .unwrap()
    }

    pub(crate) fn browser_without_cookies(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.folder.client_tls(None))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
    }

    pub(crate) fn authorize(&self, id: &str, back: &str) -> String {
        format!(
            "{}/authorize?id={id}&redirect_uri={}",
            self.msp.touchpoint,
            percent_encode(back)
        )
    }

    /// Follows a link of a CMP's portal: the login page, or whatever else the browser is shown or sent to.
    pub(crate) async fn arrive(&self, browser: &reqwest::Client, url: String) -> reqwest::Response {
        let answer = browser.get(url).send().await.unwrap();
        if answer
            .headers()
            .get("location")
            .is_none_or(|l| l != "/login")
        {
            return answer;
        }
        let login = format!("{}/login", self.msp.touchpoint);
        browser.get(login).send().await.unwrap()
    }

    /// Onboards alice; yields her token.
    pub(crate) async fn onboard(&self) -> MspToken {
        self.onboard_with(None).await
    }

    /// Onboards alice with one of her subscriptions.
    pub(crate) async fn onboard_with(&self, subscription: Option<&str>) -> MspToken {
        let back = "https://cmp.example/return?state=x%20y";
        let id = account_id(None);
        let location = visit_with(self, &id, back, ("wonder & land", "allow"), subscription).await;
        assert_eq!(location, back);
        self.cmp.got().last().unwrap().body["msp_token"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }
}

pub(crate) async fn csrf(response: reqwest::Response) -> String {
    let html = response.text().await.unwrap();
    let at = html.find("name=\"csrf\" value=\"").expect("a form") + 19;
    html[at..].split('"').next().unwrap().to_owned()
}

/// A visit from the portal to the way back; yields where the browser is sent at the end.
pub(crate) async fn visit(
    stage: &Stage,
    id: &AccountId,
    back: &str,
    password: &str,
    decision: &str,
) -> String {
    visit_with(stage, id, back, (password, decision), None).await
}

/// As [`visit`], with a choice of the subscription.
pub(crate) async fn visit_with(
    stage: &Stage,
    id: &AccountId,
    back: &str,
    (password, decision): (&str, &str),
    subscription: Option<&str>,
) -> String {
    let (browser, base) = (stage.browser(), &stage.msp.touchpoint);
    let page = stage
        .arrive(&browser, stage.authorize(id.as_str(), back))
        .await;
    assert_eq!(page.status(), 200);
    let csrf_login = csrf(page).await;
    let form = [
        ("user", "alice"),
        ("password", password),
        ("csrf", &csrf_login),
    ];
    let answer = browser
        .post(format!("{base}/login"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["location"].to_str().unwrap()
        ),
        (303, "/consent")
    );
    let page = browser.get(format!("{base}/consent")).send().await.unwrap();
    let csrf_consent = csrf(page).await;
    let mut form = vec![("decision", decision), ("csrf", &csrf_consent)];
    form.extend(subscription.map(|id| ("subscription", id)));
    let answer = browser
        .post(format!("{base}/consent"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
    // The same form once more finds nothing.
    let again = browser
        .post(format!("{base}/consent"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 403);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

pub(crate) fn ac_request() -> RequestActivationCode {
    RequestActivationCode {
        profile_type: ProfileType::Personal,
        device_type: "tcu".into(),
        eid: EID.parse().unwrap(),
        request_id: Uuid::new_v4(),
        replace_iccid: None,
        imei: true,
    }
}

pub(crate) async fn order(
    client: &MspClient,
    token: MspToken,
    body: &RequestActivationCode,
) -> ActivationCodeResponse {
    match client
        .request_activation_code(Call::new(), token, body)
        .await
        .unwrap()
    {
        Activation::Now(code) => code,
        Activation::Later => panic!("201"),
    }
}

pub(crate) fn code_of<T: std::fmt::Debug>(result: Result<T, CallError>) -> (u16, String) {
    let error = result.unwrap_err();
    let (status, body) = error.refusal().unwrap_or_else(|| panic!("{error}"));
    (status.as_u16(), body.unwrap().code.clone())
}
