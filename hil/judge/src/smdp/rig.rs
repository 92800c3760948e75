//! The connections to an SM-DP+ under test, the eUICC and the operator that the judge plays, and the orders that are open.

use super::said::{Said, Spoken};
use super::target::{Card, Target};
use crate::evidence::Evidence;
use crate::rsp::euicc::Euicc;
use crate::rsp::findings::Checked;
use crate::rsp::http::{Answer, Client, Request};
use crate::rsp::keys::{self, Folder};
use crate::rsp::seeded::Seeded;
use crate::subject::Setting;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_report::{Field, Mask, Message, Protocol};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::es9::{ADMIN_PROTOCOL, CONTENT_TYPE, Function};
use aid_rsp::pki::{DAY, Identity, MintParams, RspPki};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// An order that the judge has placed.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) iccid: String,
    pub(super) eid: Option<String>,
    pub(super) matching_id: String,
}

/// An SM-DP+ under test, and all that the judge plays around it.
#[derive(Debug)]
pub struct Rig {
    es9: Client,
    es2: Option<(Client, super::target::Operator)>,
    /// A client without certificate at the same place.
    pub(super) stranger: Option<Client>,
    pub(super) target: Target,
    pub(super) euicc: Euicc,
    pub(super) ci: Certificate,
    eum: Option<Identity>,
    pub(super) rng: Seeded,
    /// MatchingIDs and Confirmation Codes, also within base64 and in answers that are cut.
    mask: Mask,
    /// Requests and answers.
    seen: Vec<Message>,
    /// Orders to be cancelled when the test is over.
    placed: Vec<Placed>,
    /// Orders of the target file that are left.
    given: Vec<String>,
    calls: u32,
    /// Sequence number of the eUICC's last notification.
    sequence: u64,
    began: Instant,
}

fn mistake(table: &str, text: &str) -> Failure {
    Failure::usage(format!("[{table}]: {text}"))
}

impl Rig {
    /// The server of a target file. Nothing is sent yet.
    ///
    /// # Errors
    /// The target file names what cannot be read.
    pub(super) fn at(target: Target, setting: &Setting) -> Result<Self, Failure> {
        let wrong = |text: String| mistake("smdp.euicc", &text);
        let (euicc, ci, ci_file, eum) = load_card(&target.euicc, setting).map_err(wrong)?;
        let ca = target
            .ca
            .as_ref()
            .map_or(ci_file, |file| setting.beside(file));
        let es9 =
            Client::new(&target.address, &ca, None).map_err(|e| mistake("smdp", &e.to_string()))?;
        let (mut es2, mut stranger) = (None, None);
        if let Some(operator) = &target.es2 {
            let file = |path: &Path| setting.beside(path);
            let (ca, cert, key) = (
                file(&operator.ca),
                file(&operator.cert),
                file(&operator.key),
            );
            let wrong = |e: Failure| mistake("smdp.es2", &e.to_string());
            let client = Client::new(&operator.address, &ca, Some((&cert, &key))).map_err(wrong)?;
            es2 = Some((client, operator.clone()));
            stranger = Some(Client::new(&operator.address, &ca, None).map_err(wrong)?);
        }
        let mut mask = Mask::new();
        for id in &target.matching_ids {
            mask.learn(id);
        }
        Ok(Self {
            es9,
            es2,
            stranger,
            given: target.matching_ids.clone(),
            target,
            euicc,
            ci,
            eum,
            rng: Seeded::new(setting.seed),
            mask,
            seen: Vec::new(),
            placed: Vec::new(),
            calls: 0,
            sequence: 0,
            began: setting.began,
        })
    }

    /// smdpAddress of InitiateAuthentication.
    pub(super) fn address(&self) -> String {
        let other = self.target.smdp_address.as_ref();
        other.unwrap_or(&self.target.address).clone()
    }

    pub(super) fn can_order(&self) -> Result<(), String> {
        match self.es2.is_some() || !self.given.is_empty() {
            true => Ok(()),
            false => Err(
                "no order is left: the target file has neither [smdp.es2] nor unused matching_ids"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn es2(&self) -> Result<&(Client, super::target::Operator), String> {
        self.es2
            .as_ref()
            .ok_or_else(|| "the target file has no [smdp.es2]: the judge is no operator".to_owned())
    }

    /// Another eUICC of the same EUM.
    pub(super) fn other_card(&self) -> Result<Euicc, String> {
        let eum = self.eum.as_ref().ok_or(
            "the key of the EUM certificate is not in the folder of [smdp.euicc]: no other eUICC can be made",
        )?;
        let mut eid = self.euicc.eid;
        eid[14] ^= 0x11;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        let params = MintParams {
            curve: eum.key.public.curve(),
            ..MintParams::loopback(&eid, now - DAY, now + DAY)
        };
        let rest = &self.euicc.identity;
        let pki = RspPki {
            ci: rest.clone(),
            eum: eum.clone(),
            euicc: rest.clone(),
            dp_auth: rest.clone(),
            dp_pb: rest.clone(),
            dp_tls: rest.clone(),
        };
        let minted = pki.mint_euicc(&params, &SoftwareCrypto::new(), &mut self.rng.clone());
        Ok(Euicc {
            eid,
            identity: minted.map_err(|e| e.to_string())?,
            ..self.euicc.clone()
        })
    }

    /// Runs one test that needs something, cancels what it has ordered, and hands over what was said.
    pub(super) fn case(
        &mut self,
        evidence: &mut Evidence,
        needs: fn(&Self) -> Result<(), String>,
        run: fn(&mut Self) -> Checked,
    ) -> Checked {
        // What an earlier test has used up is missing now.
        let result = needs(self)
            .map_err(Finding::Lacking)
            .and_then(|()| run(self));
        self.cancel_placed();
        for message in std::mem::take(&mut self.seen) {
            evidence.message(message);
        }
        result
    }

    /// Cancels the orders that are open.
    pub(super) fn cancel_placed(&mut self) {
        for order in std::mem::take(&mut self.placed) {
            let mut body =
                json!({"iccid": order.iccid, "finalProfileStatusIndicator": "Available"});
            if let Some(eid) = &order.eid {
                body["eid"] = json!(eid);
            }
            // A server may have ended the order itself; the next order shows whether it matters.
            let _ = self.es2_call("cancelOrder", body);
        }
    }

    fn us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sends bytes to a client's server, and keeps what was said.
    pub(super) fn send(
        &mut self,
        es2: bool,
        client: &Client,
        request: &Request,
    ) -> Checked<Answer> {
        let protocol = if es2 { Protocol::Es2 } else { Protocol::Es9 };
        let name = request
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let at = self.us();
        let title = format!("POST {name}");
        let mut kept = message("judge", "smdp", protocol, title, at, &request.body);
        kept.bytes = shown(&request.body, &mut self.mask);
        self.keep(kept);
        let answer = client.send(request);
        let at = self.us();
        match answer {
            Ok(answer) => {
                let title = format!("{} {name}", answer.status);
                let mut kept = message("smdp", "judge", protocol, title, at, &answer.body);
                kept.bytes = shown(&answer.body, &mut self.mask);
                for (name, value) in &answer.headers {
                    kept.fields.push(Field {
                        name: name.clone(),
                        value: value.chars().take(200).collect(),
                    });
                }
                self.keep(kept);
                Ok(answer)
            }
            Err(why) => {
                let kept = message("smdp", "smdp", Protocol::Deed, why.clone(), at, &[]);
                self.keep(kept);
                Err(Finding::Hidden(why))
            }
        }
    }

    /// What the run's messages must not show.
    pub(super) fn take_mask(&mut self) -> Mask {
        std::mem::take(&mut self.mask)
    }

    fn keep(&mut self, message: Message) {
        self.seen.push(message);
    }

    /// The headers of SGP.22 §6.2.
    pub(super) fn headers() -> Vec<(&'static str, String)> {
        vec![
            ("User-Agent", "gsma-rsp-lpad".to_owned()),
            ("X-Admin-Protocol", ADMIN_PROTOCOL.to_owned()),
            ("Content-Type", CONTENT_TYPE.to_owned()),
        ]
    }

    /// POSTs a body of ES9+.
    pub(super) fn es9_post(&mut self, path: &str, body: &Value) -> Checked<Answer> {
        let request = Request {
            path: path.to_owned(),
            headers: Self::headers(),
            body: body.to_string().into_bytes(),
        };
        let client = self.es9.clone();
        self.send(false, &client, &request)
    }

    /// POSTs bytes with headers of the test's own.
    pub(super) fn es9_raw(&mut self, request: &Request) -> Checked<Answer> {
        let client = self.es9.clone();
        self.send(false, &client, request)
    }

    /// Calls a function of ES9+.
    pub(super) fn es9_call<F: Function>(&mut self, request: &F) -> Checked<Said<F::Output>> {
        let body = serde_json::to_value(request).map_err(|e| Finding::Hidden(e.to_string()))?;
        let answer = self.es9_post(F::PATH, &body)?;
        Said::read(F::PATH, &answer)
    }

    /// Calls a function of ES2+ as the operator.
    pub(super) fn es2_call(&mut self, function: &str, body: Value) -> Checked<Spoken> {
        self.calls += 1;
        let call = format!(
            "JUDGE-{:08X}-{}",
            self.rng.below(u32::MAX as usize),
            self.calls
        );
        self.es2_call_as(function, body, &call)
    }

    /// The same with a functionCallIdentifier.
    pub(super) fn es2_call_as(
        &mut self,
        function: &str,
        mut body: Value,
        call: &str,
    ) -> Checked<Spoken> {
        let (client, operator) = self.es2().map_err(Finding::Lacking)?.clone();
        body["header"] = json!({
            "functionRequesterIdentifier": operator.requester,
            "functionCallIdentifier": call,
        });
        let request = Request {
            path: format!("/gsma/rsp2/es2plus/{function}"),
            headers: Self::headers(),
            body: body.to_string().into_bytes(),
        };
        let answer = self.send(true, &client, &request)?;
        Spoken::read(function, &answer)
    }

    /// Remembers an order, which is cancelled when the test is over.
    pub(super) fn placed(&mut self, order: Placed) {
        self.placed.push(order);
    }

    /// The same for an order of an ICCID.
    pub(super) fn remember(&mut self, iccid: &str, eid: Option<&str>) {
        self.placed(Placed {
            iccid: iccid.to_owned(),
            eid: eid.map(Into::into),
            matching_id: String::new(),
        });
    }

    /// The next sequence number of the judge's eUICC: the time, so that a later run has higher ones.
    pub(super) fn next_notification(&mut self) -> u64 {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
        self.sequence = now.max(self.sequence + 1);
        self.sequence
    }

    /// An order of the target file.
    pub(super) fn given(&mut self) -> Option<String> {
        self.given.pop()
    }
}

fn message(
    from: &str,
    to: &str,
    protocol: Protocol,
    title: String,
    at_us: u64,
    body: &[u8],
) -> Message {
    Message {
        at_us,
        from: from.to_owned(),
        to: to.to_owned(),
        protocol,
        title,
        fields: Vec::new(),
        bytes: None,
        length: body.len() as u64,
        correlation: None,
    }
}

/// Most bytes of a body that a report has.
const SHOWN: usize = 4096;

/// A body without Confirmation Codes and MatchingIDs, which the mask learns: they stand in base64 elsewhere, and in other
/// messages. It is cut after that, so that no half of a secret stays.
fn shown(body: &[u8], mask: &mut Mask) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let mut text = String::from_utf8_lossy(body).into_owned();
    if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
        if let Some(object) = value.as_object_mut() {
            for name in ["confirmationCode", "matchingId"] {
                if let Some(secret) = object.get_mut(name) {
                    mask.learn(secret.as_str().unwrap_or_default());
                    *secret = json!("…");
                }
            }
        }
        text = value.to_string();
    }
    let mut text = mask.text(&text);
    let mut end = text.len().min(SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    Some(text)
}

type Loaded = (Euicc, Certificate, PathBuf, Option<Identity>);

fn load_card(card: &Card, setting: &Setting) -> Result<Loaded, String> {
    let at = |file: &Path| setting.beside(file);
    let folder = card
        .pki
        .as_ref()
        .map(|dir| Folder::new(&at(dir), card.curve));
    let missing = |what: &str| {
        format!(
            "it names no {what}; name it, or a folder in the layout of SGP.26 with pki = \"DIR\""
        )
    };
    let ci_file = match (&card.ci, &folder) {
        (Some(file), _) => at(file),
        (None, Some(folder)) => folder.ci_file(),
        (None, None) => return Err(missing("ci")),
    };
    let ci = keys::certificate(&ci_file)?;
    let eum = match (&card.eum, &folder) {
        (Some(file), _) => keys::certificate(&at(file))?,
        (None, Some(folder)) => folder.eum()?,
        (None, None) => return Err(missing("eum")),
    };
    let identity = match (&card.euicc, &folder) {
        (Some(pair), _) => keys::identity(&at(&pair.cert), &at(&pair.key))?,
        (None, Some(folder)) => folder.euicc()?,
        (None, None) => return Err(missing("euicc")),
    };
    let eum_key = folder.and_then(|folder| folder.eum_identity().ok());
    let eum_key = eum_key.filter(|identity| identity.certificate == eum.as_der());
    Ok((Euicc::new(identity, &eum, &ci)?, ci, ci_file, eum_key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_matching_id_is_shown_in_no_spelling_and_not_by_half() {
        let mut mask = Mask::new();
        let id = "QWERTY-ASDF-1234";
        let order = format!("{{\"matchingId\":\"{id}\"}}");
        let text = shown(order.as_bytes(), &mut mask).unwrap_or_default();
        assert!(!text.contains(id), "{text}");
        let object = STANDARD.encode(format!("..{id}.."));
        for body in [
            format!("{{\"authenticateServerResponse\":\"{object}\"}}"),
            // No JSON; and the id where the body is cut.
            format!("{}{id}", "x".repeat(SHOWN - 5)),
            format!("{{\"a\":\"{}{id}\"}}", "x".repeat(2 * SHOWN)),
        ] {
            let text = shown(body.as_bytes(), &mut mask).unwrap_or_default();
            assert!(!text.contains(&object) && !text.contains("QWERT"), "{text}");
            assert!(text.len() <= SHOWN);
        }
        assert_eq!(shown(&[], &mut mask), None);
    }
}
