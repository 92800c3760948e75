//! From a driver's login to the activation code in the car: a light vehicle, the real CMP, and an MSP in
//! this process that has the code at once and says how long it took itself.

use super::Spread;
use super::people::{Driver, PIN, first};
use crate::figures::vehicle::{Connected, Dialer};
use crate::site::{Fleet, Site};
use aid_aid1::body::{ActivationCodeResponse, Body as _, ProfileType, RequestActivationCode};
use aid_aid1::error_code::ApiError;
use aid_aid1::server::{Caller, Gate, Party, Shown, check_content_type};
use aid_aid1::{agreed, headers::PartyId};
use aid_cli::cli::Failure;
use aid_cli::{signal, tls};
use aid_cmp::config::File;
use aid_cmp::service::fresh;
use aid_id::{ActivationCode, Secret};
use aid_serve::http::{self, Peer};
use aid_wire::{CodeOutcome, Down, LoginOutcome, Up};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Logins {
    runs: usize,
    /// From the login's publication to its result in the car.
    login: Spread,
    /// From the request's publication to the code in the car, without the MSP.
    code: Spread,
    /// Both together.
    login_to_code: Spread,
    /// Time of the MSP's handler.
    msp: Spread,
}

impl Logins {
    pub(super) fn text(&self) -> String {
        let of = |s: Spread| format!("{:.2} ms, 99 % within {:.2} ms", s.median_ms, s.p99_ms);
        format!(
            "login to activation code inside the CMP, {} drivers one after the other: median {}\n  \
             login to its result: {}\n  \
             request to code, without the MSP's own {:.2} ms: {}\n",
            self.runs,
            of(self.login_to_code),
            of(self.login),
            self.msp.median_ms,
            of(self.code),
        )
    }
}

/// The MSP: who may call it, and how long it took over its last answer, nanoseconds.
struct Desk {
    gate: Gate,
    own: AtomicU64,
}

impl Desk {
    fn new(config: &File) -> Result<Self, Failure> {
        let msp = first(config)?;
        let out = agreed::credentials_out(msp.api_key_out.as_deref(), msp.basic_out.as_deref());
        let cmp: PartyId = msp.own_client_id.clone();
        let party = Party {
            client_id: cmp,
            credentials: vec![out.map_err(Failure::new)?],
            certificates: vec![aid_aid1::server::Certificate::CommonName("cmp".into())],
            target_id: Some(msp.client_id.clone()),
            operations: None,
        };
        Ok(Self {
            gate: Gate::new(vec![party]),
            own: AtomicU64::new(0),
        })
    }

    fn answer(&self, peer: &Peer, map: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        let shown = Shown {
            common_name: peer.common_name.as_deref(),
            sha256: peer.fingerprint,
        };
        let _: Caller = self.gate.admit(map, shown)?;
        check_content_type(map, body.is_empty())?;
        let asked = RequestActivationCode::parse(body)?;
        let matching_id = asked.request_id.simple().to_string().to_uppercase();
        let code = ActivationCode::new("smdp.example", &matching_id, None, false);
        // The eUICC's own digits make a profile that nobody else has.
        let iccid = format!("8987{}", &asked.eid.as_str()[17..]);
        let internal = || ApiError::new(aid_aid1::error_code::ErrorCode::Internal);
        let answer = ActivationCodeResponse {
            iccid: Some(iccid.parse().map_err(|_| internal())?),
            activation_code: code.map_err(|_| internal())?,
            profile_type: ProfileType::Personal,
            swapped_iccid: None,
        };
        Ok(answer.to_bytes())
    }
}

async fn handle(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    map: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let begin = Instant::now();
    let answer = match desk.answer(&peer, &map, &body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => {
            let body = serde_json::to_vec(&error.body());
            (error.status, body.unwrap_or_default())
        }
    };
    let own = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    desk.own.store(own, Ordering::Relaxed);
    answer
}

/// Lets every driver log in to their car and ask for a code.
pub(super) async fn measure(
    site: &Site,
    fleet: &Fleet,
    config: &File,
    drivers: &[Driver],
) -> Result<Logins, Failure> {
    let pki = |name: &str| site.path("pki/aid").join(name);
    let tls = tls::server_config(
        &pki("msp-server.pem"),
        &pki("msp-server.key"),
        Some(&pki("partners-ca.pem")),
    )?;
    let desk = Arc::new(Desk::new(config)?);
    let router = Router::new().fallback(handle).with_state(Arc::clone(&desk));
    let listener = http::bind(&format!("127.0.0.1:{}", site.ports.msp_aid1)).await?;
    let (trigger, stop) = signal::manual();
    let serving = tokio::spawn(http::serve(listener, Some(tls), router, stop));
    let dialer = Dialer::new(fleet, site.ports.gateway)?;
    let (mut logins, mut codes, mut both, mut msp) = (vec![], vec![], vec![], vec![]);
    for (n, driver) in drivers.iter().enumerate() {
        let mut car = dialer.connect(n).await.map_err(Failure::new)?;
        let run = tokio::time::timeout(PATIENCE, drive(&mut car, driver));
        let late = |_| Failure::new(format!("{} waits for too long", driver.name));
        let (login, code) = run.await.map_err(late)?.map_err(Failure::new)?;
        car.leave().await;
        let own = Duration::from_nanos(desk.own.swap(0, Ordering::Relaxed));
        let code = code.saturating_sub(own);
        logins.push(login);
        codes.push(code);
        both.push(login + code);
        msp.push(own);
    }
    trigger.stop();
    let _ = serving.await;
    Ok(Logins {
        runs: both.len(),
        login: Spread::of(logins),
        code: Spread::of(codes),
        login_to_code: Spread::of(both),
        msp: Spread::of(msp),
    })
}

/// One driver: how long the login and the code took.
async fn drive(car: &mut Connected, driver: &Driver) -> Result<(Duration, Duration), String> {
    let (login_id, request_id) = (fresh(), fresh());
    let begin = Instant::now();
    let login = Up::Login {
        login_id,
        user: driver.name.clone(),
        pin: Secret::new(PIN.into()),
    };
    car.publish(login_id, login).await?;
    loop {
        match car.message().await? {
            Down::LoginResult {
                outcome: LoginOutcome::Accepted { .. },
                ..
            } => break,
            Down::LoginResult { outcome, .. } => return Err(format!("a login ended: {outcome:?}")),
            _ => {}
        }
    }
    let login = begin.elapsed();
    let begin = Instant::now();
    let account = driver.account;
    let ask = Up::RequestActivationCode {
        request_id,
        account,
    };
    car.publish(request_id, ask).await?;
    loop {
        match car.message().await? {
            Down::ActivationCode {
                outcome: CodeOutcome::Code { .. },
                ..
            } => return Ok((login, begin.elapsed())),
            Down::ActivationCode {
                outcome: CodeOutcome::Pending,
                ..
            } => {}
            Down::ActivationCode { outcome, .. } => return Err(format!("no code: {outcome:?}")),
            _ => {}
        }
    }
}
