//! What the tests of an MSP do again and again: link a customer, order a profile, build bodies.

use super::{Mode, Msp};
use crate::aid1::{
    Answer, Browser, Call, Got, HEADER, Outcome, Reply, Request, Server, masked, now, seen, sign,
};
use crate::evidence::Evidence;
use crate::test::Finding;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Path of requests for activation codes (Annex B.2).
pub(super) const REQUESTS: &str = "/v1/activation-code-requests";
/// Path of statuses.
pub(super) const STATUSES: &str = "/v1/statuses";
/// Path of the users' resource.
pub(super) const USERS: &str = "/v1/users";
/// Path of the status of profiles.
pub(super) const LIST: &str = "/v1/profiles/status";

/// A profile that the MSP has ordered.
#[derive(Clone)]
pub(super) struct Order {
    /// The request, to be made again.
    pub(super) call: Call,
    /// Its answer.
    pub(super) answer: Answer,
    /// Members of the code, wherever they came.
    pub(super) code: Value,
    /// Send Activation Code, where the code came so.
    pub(super) sent: Option<Got>,
    /// `activationCodeRequestID`
    pub(super) id: String,
    /// EID of the request.
    pub(super) eid: String,
    /// ICCID of the profile, where it was named.
    pub(super) iccid: Option<String>,
}

pub(super) type Done = Result<(), Finding>;

/// For [`crate::Test::applies`].
pub(super) fn needs_portal(msp: &Msp) -> Result<(), String> {
    let portal = msp.portal.as_ref();
    let steps = portal.is_some_and(|p| p.touchpoint.is_some() && !p.arrive.is_empty());
    match steps && msp.cmp_return.is_some() && msp.secret.is_some() {
        true => Ok(()),
        false => Err("portal.touchpoint, portal.arrive, cmp_return, server and account_id_secret are not declared: the judge can't begin an onboarding".into()),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_link(msp: &Msp) -> Result<(), String> {
    if msp.given_token.is_some() {
        return Ok(());
    }
    needs_portal(msp).map_err(|why| format!("no msp_token is declared, and {why}"))
}

/// For [`crate::Test::applies`].
pub(super) fn needs_second(msp: &Msp) -> Result<(), String> {
    needs_link(msp)?;
    match msp.second {
        Some(_) => Ok(()),
        None => Err("no second CMP is declared ([msp.second])".into()),
    }
}

/// For [`crate::Test::applies`].
pub(super) fn needs_code(msp: &Msp) -> Result<(), String> {
    needs_link(msp)?;
    match msp.codes > 0 || msp.order.is_some() {
        true => Ok(()),
        false => Err("codes declares no activation code that the run may order".into()),
    }
}

impl Msp {
    /// A request of an operation for the linked token.
    pub(super) fn listed(
        &mut self,
        evidence: &mut Evidence,
        change: impl FnOnce(Call) -> Call,
    ) -> Result<Answer, Finding> {
        let token = self.token(evidence)?;
        let call = self.link.call("GET", &format!("{LIST}/{token}"));
        self.link.ask(&change(call), evidence)
    }

    /// Request Activation Code without a body.
    pub(super) fn request(&self, token: &str) -> Call {
        self.link.call("POST", &format!("{REQUESTS}/{token}"))
    }

    /// Send CSIM Status without a body.
    pub(super) fn status(&self, token: &str) -> Call {
        self.link.call("POST", &format!("{STATUSES}/{token}"))
    }

    /// Body of Request Activation Code for a vehicle that nobody has.
    pub(super) fn request_body(&self) -> Value {
        json!({"profileType": "personal", "deviceType": "tcu", "imei": "", "eid": self.eid(),
            "activationCodeRequestID": self.link.uuid(), "replaceIccid": null})
    }

    /// An EID with its check digits (SGP.29: the whole number modulo 97 is 1).
    pub(super) fn eid(&self) -> String {
        let random = self.link.digits(30 - self.eid_prefix.len());
        let body = format!("{}{random}", self.eid_prefix);
        let rest = body.bytes().fold(0_u32, |rest, digit| {
            (rest * 10 + u32::from(digit - b'0')) % 97
        });
        format!("{body}{:02}", (98 - rest * 100 % 97) % 97)
    }

    /// The judge's server.
    pub(super) fn server(&mut self) -> Result<&mut Server, Finding> {
        let server = self.server.as_mut();
        server.ok_or_else(|| Finding::Lacking("no server is declared ([msp.server])".to_owned()))
    }

    /// An account id as the CMP makes it, for a new onboarding.
    pub(super) fn account_id(&self) -> String {
        let claims = json!({"exp": now() + 600, "sid": self.link.uuid(), "iat": now()});
        self.account_id_of(&claims)
    }

    /// An account id with these claims.
    pub(super) fn account_id_of(&self, claims: &Value) -> String {
        sign(self.secret.as_deref().unwrap_or_default(), HEADER, claims)
    }

    /// The return URL, with a value of the CMP's in it.
    pub(super) fn back(&self) -> String {
        let base = self.cmp_return.clone().unwrap_or_default();
        let join = if base.contains('?') { '&' } else { '?' };
        format!("{base}{join}state={}", self.link.digits(12))
    }

    /// A customer comes to the touchpoint with this account id and return URL, signs in and says yes or no.
    pub(super) fn visit(
        &mut self,
        id: &str,
        back: &str,
        yes: bool,
        evidence: &mut Evidence,
    ) -> Result<Outcome, Finding> {
        let Some(portal) = self.portal.clone() else {
            return Err(Finding::Lacking("no portal is declared".to_owned()));
        };
        let base = portal.touchpoint.clone().unwrap_or_default();
        let mut url = reqwest::Url::parse(&base)
            .map_err(|e| Finding::Hidden(format!("portal.touchpoint {base:?}: {e}")))?;
        url.query_pairs_mut()
            .append_pair("id", id)
            .append_pair("redirect_uri", back);
        // Another customer's browser each time.
        let mut browser = Browser::new(&self.ca, "msp", self.link.patience())
            .map_err(|failure| Finding::Hidden(failure.text))?;
        let first = browser.open(url.as_str(), evidence)?;
        if matches!(first, Outcome::Away { .. }) {
            return Ok(first);
        }
        browser.walk(if yes { &portal.arrive } else { &portal.decline }, evidence)
    }

    /// A token that is linked: the one that is, or a new one.
    pub(super) fn token(&mut self, evidence: &mut Evidence) -> Result<String, Finding> {
        if let Some(token) = self.token.as_ref().or(self.given_token.as_ref()) {
            return Ok(token.clone());
        }
        if let Some(why) = &self.no_token {
            return Err(Finding::Hidden(why.clone()));
        }
        let linked = self.link_customer(evidence);
        if let Err(Finding::Hidden(why)) = &linked {
            self.no_token = Some(why.clone());
        }
        linked
    }

    /// A new token that is linked.
    pub(super) fn link_customer(&mut self, evidence: &mut Evidence) -> Result<String, Finding> {
        self.unlink();
        let (id, back) = (self.account_id(), self.back());
        let server = self.server()?;
        server.answer(taken);
        let mark = server.mark();
        let outcome = self.visit(&id, &back, true, evidence)?;
        let server = self.server()?;
        let got = server.wait(mark, Duration::from_secs(5), evidence, is_token);
        let got = got.map_err(|why| {
            Finding::Hidden(format!(
                "no customer can be linked: Send MSP Token does not come after the steps portal.arrive ({why}); they end at {}",
                match &outcome {
                    Outcome::Away { url, .. } | Outcome::Page { url, .. } => masked(url),
                }
            ))
        })?;
        let token = got.json()["msp_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if token.len() != 36 {
            return Err(Finding::Hidden(
                "Send MSP Token has no msp_token that is a UUID".to_owned(),
            ));
        }
        self.token = Some(token.clone());
        self.onboarded = Some(got);
        self.has_linked = true;
        Ok(token)
    }

    /// Send MSP Token of the linked token.
    pub(super) fn onboarding(&mut self, evidence: &mut Evidence) -> Result<Got, Finding> {
        if self.onboarded.is_none() {
            self.link_customer(evidence)?;
        }
        match &self.onboarded {
            Some(got) => {
                if evidence.is_empty() {
                    evidence.message(got.message(("msp", "cmp")));
                }
                let got = got.clone();
                Ok(match &self.server {
                    Some(server) => server.disguised(got),
                    None => got,
                })
            }
            None => Err(Finding::Hidden("Send MSP Token did not come".to_owned())),
        }
    }

    /// Ends the link that the judge made.
    pub(super) fn unlink(&mut self) {
        if let Some(token) = self.token.take() {
            let call = self.link.call("DELETE", &format!("{USERS}/{token}"));
            // It was linked for a test, whose evidence is complete.
            let _ = self.link.send(&call, &mut Evidence::new(Instant::now()));
        }
        self.onboarded = None;
        self.order = None;
    }

    /// Orders a profile with this body; the code, wherever it comes.
    pub(super) fn order_with(
        &mut self,
        body: &Value,
        evidence: &mut Evidence,
    ) -> Result<Order, Finding> {
        let token = self.token(evidence)?;
        let mark = match self.server.as_ref() {
            Some(server) => {
                server.answer(taken);
                server.mark()
            }
            None => 0,
        };
        self.codes = self.codes.saturating_sub(1);
        let call = self.request(&token).json(body);
        let answer = self.link.ask(&call, evidence)?;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (id, eid) = (text("activationCodeRequestID"), text("eid"));
        let mut order = Order {
            call,
            code: answer.json().unwrap_or_default(),
            answer,
            sent: None,
            iccid: None,
            id: id.clone(),
            eid,
        };
        if order.answer.status == 201 {
            let patience = self.repeats_within;
            let server = self.server()?;
            let sent = server.wait(mark, patience, evidence, |got| {
                got.path().contains("/activation-codes/")
                    && got.json()["activationCodeRequestID"].as_str() == Some(&id)
            });
            let sent = sent.map_err(|why| {
                Finding::broken(
                    "after 201 POST /cesim/msp/v1/activation-codes/{msp_token} for the request",
                    why,
                )
            })?;
            order.code = sent.json();
            order.sent = Some(sent);
        } else if order.answer.status != 200 {
            return Err(Finding::broken(
                match self.mode {
                    Mode::Sync => "200 with an activation code",
                    Mode::Async => "201, and an activation code later",
                    Mode::Mixed => "200 with an activation code, or 201",
                },
                seen(&order.answer),
            ));
        }
        let iccid = order.code["iccid"]
            .as_str()
            .filter(|iccid| !iccid.is_empty());
        order.iccid = iccid.map(str::to_owned);
        Ok(order)
    }

    /// The profile of the linked token: the one that was ordered, or a new one.
    pub(super) fn ordered(&mut self, evidence: &mut Evidence) -> Result<Order, Finding> {
        if let Some(order) = &self.order {
            let mut order = order.clone();
            if let Some(variant) = self.link.variant {
                (variant.answer)(&order.call, &mut order.answer);
                if order.sent.is_none() {
                    order.code = order.answer.json().unwrap_or_default();
                }
            }
            return Ok(order);
        }
        let body = self.request_body();
        match self.order_with(&body, evidence) {
            Ok(order) => {
                self.order = Some(order.clone());
                Ok(order)
            }
            Err(Finding::Broken { seen, .. }) => Err(Finding::Hidden(format!(
                "no profile can be ordered: {seen}"
            ))),
            Err(other) => Err(other),
        }
    }

    /// ICCID of the profile of the linked token.
    pub(super) fn iccid(&mut self, evidence: &mut Evidence) -> Result<(String, Order), Finding> {
        let order = self.ordered(evidence)?;
        match order.iccid.clone() {
            Some(iccid) => Ok((iccid, order)),
            None => Err(Finding::Lacking(
                "the MSP does not name the ICCID with the code".to_owned(),
            )),
        }
    }
}

/// As a CMP that takes everything.
pub(super) fn taken(request: &Request) -> Reply {
    let path = request.target.split('?').next().unwrap_or_default();
    if path.ends_with("/invalidate") {
        Reply::empty(204)
    } else if path.ends_with("/profiles") || path.contains("/activation-codes/") {
        Reply::empty(200)
    } else {
        Reply::empty(201)
    }
}

/// Send MSP Token.
pub(super) fn is_token(got: &Got) -> bool {
    got.path().contains("/users/")
        && !got.path().ends_with("/invalidate")
        && !got.path().ends_with("/profiles")
}
