//! What the tests of a CMP do again and again: link an account, build bodies, have the vehicle ask for a code.

use super::Cmp;
use super::car::Car;
use crate::aid1::{Answer, Call, Got, Outcome, Reply, Server, masked, query_of, seen, uuid};
use crate::evidence::Evidence;
use crate::test::Finding;
use aid_wire::{CodeOutcome, Down, LoginOutcome, Status, Up};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Path of the users' resource (Annex B.1).
pub(super) const USERS: &str = "/cesim/msp/v1/users";
/// Path of subscriptions.
pub(super) const SUBSCRIPTIONS: &str = "/cesim/msp/v1/subscriptions";
/// Path of activation codes.
pub(super) const CODES: &str = "/cesim/msp/v1/activation-codes";

/// A request for an activation code that the CMP made for the vehicle.
#[derive(Clone)]
pub(super) struct Requested {
    /// The call.
    pub(super) got: Got,
    /// The token in its path.
    pub(super) token: String,
    /// Its `activationCodeRequestID`.
    pub(super) id: String,
    /// Its `correlation-id`.
    pub(super) correlation: String,
    /// What the vehicle named the request.
    pub(super) car_request: [u8; 16],
}

/// A way of the user from the CMP's pages to the MSP's touchpoint.
pub(super) struct Way {
    /// The URL as the CMP wrote it.
    pub(super) url: String,
    /// Status of the redirect.
    pub(super) status: u16,
    /// `id`
    pub(super) id: String,
}

pub(super) type Done = Result<(), Finding>;

/// For [`crate::Test::applies`].
pub(super) fn needs_portal(cmp: &Cmp) -> Result<(), String> {
    let steps = cmp
        .portal
        .as_ref()
        .is_some_and(|portal| !portal.begin.is_empty());
    match steps && cmp.msp_touchpoint.is_some() {
        true => Ok(()),
        false => Err(
            "portal.begin and msp_touchpoint are not declared: the judge can't begin an onboarding"
                .into(),
        ),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_link(cmp: &Cmp) -> Result<(), String> {
    if cmp.given_token.is_some() {
        return Ok(());
    }
    needs_onboarding(cmp).map_err(|why| format!("no msp_token is declared, and {why}"))
}

/// For [`crate::Test::applies`].
pub(super) fn needs_onboarding(cmp: &Cmp) -> Result<(), String> {
    needs_portal(cmp)?;
    needs_key(cmp)
}

/// For [`crate::Test::applies`].
pub(super) fn needs_key(cmp: &Cmp) -> Result<(), String> {
    match cmp.number_key {
        Some(_) => Ok(()),
        None => Err("phone_key is not declared: the judge can't encrypt a phone number".into()),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_update(cmp: &Cmp) -> Result<(), String> {
    needs_link(cmp)?;
    needs_key(cmp)
}

/// For [`crate::Test::applies`].
pub(super) fn needs_secret(cmp: &Cmp) -> Result<(), String> {
    match cmp.secret {
        Some(_) => Ok(()),
        None => Err("account_id_secret is not declared".into()),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_second(cmp: &Cmp) -> Result<(), String> {
    match cmp.second {
        Some(_) => needs_update(cmp),
        None => Err("no second MSP is declared ([cmp.second])".into()),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_vehicle(cmp: &Cmp) -> Result<(), String> {
    needs_onboarding(cmp)?;
    match cmp.car {
        Some(_) => Ok(()),
        None => Err("no vehicle ([cmp.vehicle]) and server ([cmp.server]) are declared: the judge can't make the CMP call its MSP".into()),
    }
}

impl Cmp {
    /// A user of the CMP goes to the MSP's touchpoint.
    pub(super) fn way(&mut self, evidence: &mut Evidence) -> Result<Way, Finding> {
        let (Some(portal), Some(browser)) = (self.portal.clone(), self.browser.as_mut()) else {
            return Err(Finding::Lacking("no portal is declared".to_owned()));
        };
        browser.walk(&portal.login, evidence)?;
        match browser.walk(&portal.begin, evidence)? {
            Outcome::Away { url, status } => {
                let mut query = query_of(&url).into_iter();
                let id = query.find(|(name, _)| name == "id").map(|(_, value)| value);
                let id = id.unwrap_or_default();
                Ok(Way { url, status, id })
            }
            Outcome::Page { status, url, .. } => Err(Finding::Hidden(format!(
                "the steps portal.begin end on a page of the CMP ({status}, {}) instead of at the MSP's touchpoint",
                masked(&url)
            ))),
        }
    }

    /// An account id of a new onboarding; what was linked before is unlinked, so that the user has one link at most.
    pub(super) fn account_id(&mut self, evidence: &mut Evidence) -> Result<String, Finding> {
        self.unlink();
        let way = self.way(evidence)?;
        match way.id.is_empty() {
            false => Ok(way.id),
            true => Err(Finding::Hidden(
                "the redirect to the MSP has no id".to_owned(),
            )),
        }
    }

    /// A token that is linked: the one that is, or a new one.
    pub(super) fn token(&mut self, evidence: &mut Evidence) -> Result<String, Finding> {
        if let Some(token) = self.token.as_ref().or(self.given_token.as_ref()) {
            return Ok(token.clone());
        }
        if let Some(why) = &self.no_token {
            return Err(Finding::Hidden(why.clone()));
        }
        let linked = self.link_account(evidence);
        if let Err(Finding::Hidden(why)) = &linked {
            self.no_token = Some(why.clone());
        }
        linked
    }

    /// A new token that is linked.
    pub(super) fn link_account(&mut self, evidence: &mut Evidence) -> Result<String, Finding> {
        let id = self.account_id(evidence)?;
        let token = self.link.uuid();
        let call = self.send_token(&id).json(&self.token_body(&token));
        let answer = self.link.ask(&call, evidence)?;
        if answer.status != 201 {
            return Err(Finding::Hidden(format!(
                "no account can be linked: Send MSP Token was answered {}",
                seen(&answer)
            )));
        }
        self.token = Some(token.clone());
        Ok(token)
    }

    /// Ends the link that the judge made.
    pub(super) fn unlink(&mut self) {
        if let Some(token) = self.token.take() {
            let call = self.invalidate(&token).json(&json!({}));
            // It was linked for a test, whose evidence is complete.
            let _ = self.link.send(&call, &mut Evidence::new(Instant::now()));
            self.forget();
        }
    }

    /// The token that is linked is not any more.
    pub(super) fn forget(&mut self) {
        self.token = None;
        self.requested = None;
        self.answered = None;
        self.profile = None;
    }

    /// Send MSP Token without a body.
    pub(super) fn send_token(&self, id: &str) -> Call {
        self.link.call("POST", &format!("{USERS}/{id}"))
    }

    /// Notify MSP Token Invalid without a body.
    pub(super) fn invalidate(&self, token: &str) -> Call {
        self.link
            .call("POST", &format!("{USERS}/{token}/invalidate"))
    }

    /// Send Profile Information without a body.
    pub(super) fn profiles(&self, token: &str) -> Call {
        self.link.call("POST", &format!("{USERS}/{token}/profiles"))
    }

    /// Update Subscription Info without a body.
    pub(super) fn update(&self, token: &str) -> Call {
        self.link.call("PATCH", &format!("{SUBSCRIPTIONS}/{token}"))
    }

    /// Send Activation Code without a body.
    pub(super) fn send_code(&self, token: &str) -> Call {
        self.link.call("POST", &format!("{CODES}/{token}"))
    }

    /// Encrypts a text as a phone number, under a vector that was not used before.
    pub(super) fn encrypted(&self, text: &str) -> (String, String) {
        let random = self.link.bytes16();
        let key = self.number_key.as_ref();
        key.map_or_else(Default::default, |key| key.encrypt(text, random))
    }

    /// Body of Send MSP Token.
    pub(super) fn token_body(&self, token: &str) -> Value {
        let (number, iv) = self.encrypted("491700000001");
        json!({"msp_token": token, "phoneNumber": number, "subscriptionType": "private",
            "error": null, "iv": iv})
    }

    /// Body of Update Subscription Info.
    pub(super) fn update_body(&self) -> Value {
        let (number, iv) = self.encrypted("491700000001");
        json!({"phoneNumber": number, "subscriptionType": "private", "iv": iv})
    }

    /// Body of Send Profile Information about one profile.
    pub(super) fn profiles_body(iccid: &str, status: &str) -> Value {
        json!({"profiles": [{"iccid": iccid, "status": status, "reason": null}]})
    }

    /// Body of Send Activation Code.
    pub(super) fn code_body(&self, request: &str, iccid: &str) -> Value {
        json!({"activationCode": "1$smdp.example.com$JUDGE-7Q2F", "profileType": "personal",
            "activationCodeRequestID": request, "error": null, "iccid": iccid, "swappedIccid": null})
    }

    /// An ICCID that nobody has: 20 digits with a check digit.
    pub(super) fn iccid(&self) -> String {
        let digits = format!("8988{}", self.link.digits(15));
        let sum: u32 = digits
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, digit)| {
                let digit = u32::from(digit - b'0');
                match place % 2 {
                    0 if digit > 4 => 2 * digit - 9,
                    0 => 2 * digit,
                    _ => digit,
                }
            })
            .sum();
        format!("{digits}{}", (10 - sum % 10) % 10)
    }

    /// An update that the target takes, changed by `change`.
    pub(super) fn updated(
        &mut self,
        evidence: &mut Evidence,
        change: impl FnOnce(Call) -> Call,
    ) -> Result<Answer, Finding> {
        let token = self.token(evidence)?;
        let call = self.update(&token).json(&self.update_body());
        self.link.ask(&change(call), evidence)
    }

    /// The judge's server.
    pub(super) fn server(&mut self) -> Result<&mut Server, Finding> {
        let server = self.server.as_mut();
        server.ok_or_else(|| Finding::Lacking("no server is declared ([cmp.server])".to_owned()))
    }

    /// The vehicle, connected and with its user logged in.
    pub(super) fn car(&mut self, evidence: &mut Evidence) -> Result<&mut Car, Finding> {
        let Some(target) = &self.car else {
            return Err(Finding::Lacking(
                "no vehicle is declared ([cmp.vehicle])".to_owned(),
            ));
        };
        if self.connected.is_none() {
            let mut car = Car::connect(target, self.link.bytes16()).map_err(Finding::Hidden)?;
            let hello = Up::Hello {
                software: "aid-hil judge".to_owned(),
                profiles: Vec::new(),
            };
            car.send(self.link.bytes16(), hello, evidence)
                .map_err(Finding::Hidden)?;
            self.connected = Some(car);
        }
        let login_id = self.link.bytes16();
        let car = self.connected.as_mut();
        let Some(car) = car else {
            return Err(Finding::Hidden("the vehicle is not connected".to_owned()));
        };
        if car.account.is_none() {
            let login = car.login(login_id);
            car.send(login_id, login, evidence)
                .map_err(Finding::Hidden)?;
            let answer = car
                .wait(Duration::from_secs(30), evidence, |down| match down {
                    Down::LoginResult {
                        login_id: id,
                        outcome,
                    } if *id == login_id => Some(outcome.clone()),
                    _ => None,
                })
                .map_err(Finding::Hidden)?;
            match answer {
                LoginOutcome::Accepted { account, .. } => car.account = Some(account),
                LoginOutcome::Refused { reason } => {
                    return Err(Finding::Hidden(format!(
                        "the user can't log in to the vehicle: {reason}"
                    )));
                }
            }
        }
        Ok(car)
    }

    /// The vehicle asks for a code for a user who is linked; the judge as MSP answers so. The call that came of it.
    pub(super) fn ask_code(
        &mut self,
        evidence: &mut Evidence,
        reply: impl FnMut(&crate::aid1::Request) -> Reply + Send + 'static,
    ) -> Result<Requested, Finding> {
        let token = self.token(evidence)?;
        let server = self.server()?;
        server.answer(reply);
        let mark = server.mark();
        let car_request = self.start_request(evidence)?;
        let patience = self.link.patience();
        let server = self.server()?;
        let path = "/activation-code-requests/";
        let got = server.wait(mark, patience, evidence, |got| got.path().contains(path));
        let got = match got {
            Ok(got) => got,
            Err(why) => return Err(self.no_call(car_request, why, evidence)),
        };
        let body = got.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let header = |name: &str| got.request.headers.get(name).unwrap_or_default().to_owned();
        let requested = Requested {
            token,
            id: text("activationCodeRequestID"),
            correlation: header("correlation-id"),
            car_request,
            got,
        };
        self.newest = Some(requested.clone());
        Ok(requested)
    }

    /// A request as the variant of a self-test makes it.
    pub(super) fn disguised(&self, mut requested: Requested) -> Requested {
        if let Some(server) = &self.server {
            requested.got = server.disguised(requested.got);
            let id = &requested.got.json()["activationCodeRequestID"];
            requested.id = id.as_str().unwrap_or_default().to_owned();
        }
        requested
    }

    /// Why the CMP did not call its MSP: it told the vehicle, or it did not do its duty.
    fn no_call(&mut self, request: [u8; 16], why: String, evidence: &mut Evidence) -> Finding {
        let refused = |down: &Down| match down {
            Down::ActivationCode {
                request_id,
                outcome: CodeOutcome::Failed { code, reason },
                ..
            } if *request_id == request => Some(format!("{code}, {reason}")),
            _ => None,
        };
        let car = self.connected.as_mut();
        let told = car.and_then(|car| car.wait(Duration::from_millis(200), evidence, refused).ok());
        match told {
            Some(reason) => Finding::Hidden(format!(
                "the CMP refused the vehicle's request without asking its MSP: {reason}"
            )),
            None => Finding::broken(
                "POST /v1/activation-code-requests/{msp_token} when a vehicle asks for a code",
                why,
            ),
        }
    }

    /// The vehicle asks for a code; what it names the request.
    pub(super) fn start_request(&mut self, evidence: &mut Evidence) -> Result<[u8; 16], Finding> {
        let request_id = self.link.bytes16();
        let car = self.car(evidence)?;
        let account = car.account.unwrap_or(aid_id::AccountRef([0; 16]));
        let ask = Up::RequestActivationCode {
            request_id,
            account,
        };
        car.send(request_id, ask, evidence)
            .map_err(Finding::Hidden)?;
        Ok(request_id)
    }

    /// A request of the vehicle that the judge answered with 201 and that waits for its code: the one that is open, or a
    /// new one for a new link.
    pub(super) fn open_request(&mut self, evidence: &mut Evidence) -> Result<Requested, Finding> {
        if let Some(open) = &self.requested {
            return Ok(open.clone());
        }
        // A link of its own: what an earlier one has left open is not in the way.
        self.link_account(evidence)?;
        let requested = self.ask_code(evidence, |request| match request.method.as_str() {
            "POST" => Reply::empty(201),
            "DELETE" => Reply::empty(204),
            _ => Reply::json(200, &json!({"profiles": []})),
        })?;
        self.requested = Some(requested.clone());
        Ok(requested)
    }

    /// Waits until the vehicle has the code of its request.
    pub(super) fn car_code(
        &mut self,
        request: [u8; 16],
        evidence: &mut Evidence,
    ) -> Result<CodeOutcome, String> {
        let patience = self.link.patience();
        let Some(car) = self.connected.as_mut() else {
            return Err("the vehicle is not connected".to_owned());
        };
        let outcome = car.wait(patience, evidence, |down| match down {
            Down::ActivationCode {
                request_id,
                outcome,
                ..
            } if *request_id == request && *outcome != CodeOutcome::Pending => {
                Some(outcome.clone())
            }
            _ => None,
        })?;
        let ack = Up::Ack {
            message_id: request,
        };
        car.send(uuid(self.link.bytes16()).into_bytes(), ack, evidence)?;
        Ok(outcome)
    }

    /// The vehicle reports a status of a profile, and the CMP acknowledges it.
    pub(super) fn report(
        &mut self,
        iccid: &str,
        status: Status,
        evidence: &mut Evidence,
    ) -> Result<(), Finding> {
        let id = self.link.bytes16();
        let iccid = iccid
            .parse()
            .map_err(|_| Finding::Hidden("no ICCID".to_owned()))?;
        let car = self.car(evidence)?;
        car.reports += 1;
        let (seq, account) = (car.reports, car.account);
        let report = Up::Status {
            report_seq: seq,
            iccid: Some(iccid),
            account,
            status,
            code: 0,
        };
        car.send(id, report, evidence).map_err(Finding::Hidden)?;
        car.wait(Duration::from_secs(30), evidence, |down| {
            (*down == Down::StatusAck { report_seq: seq }).then_some(())
        })
        .map_err(Finding::Hidden)
    }

    /// A profile of the linked token that the vehicle has installed.
    pub(super) fn installed(
        &mut self,
        evidence: &mut Evidence,
    ) -> Result<(String, String), Finding> {
        if let (Some(token), Some(iccid)) = (&self.token, &self.profile) {
            return Ok((token.clone(), iccid.clone()));
        }
        let open = self.open_request(evidence)?;
        let iccid = self.iccid();
        let call = self
            .send_code(&open.token)
            .set("correlation-id", open.correlation.clone())
            .json(&self.code_body(&open.id, &iccid));
        let answer = self.link.ask(&call, evidence)?;
        if answer.status != 200 {
            return Err(Finding::Hidden(format!(
                "no profile can be installed: Send Activation Code was answered {}",
                seen(&answer)
            )));
        }
        self.car_code(open.car_request, evidence)
            .map_err(Finding::Hidden)?;
        self.server()?
            .answer(|request| match request.method.as_str() {
                "DELETE" => Reply::empty(204),
                "GET" => Reply::json(200, &json!({"profiles": []})),
                _ => Reply::empty(201),
            });
        self.report(&iccid, Status::Installed, evidence)?;
        self.requested = None;
        self.profile = Some(iccid.clone());
        Ok((open.token, iccid))
    }
}
