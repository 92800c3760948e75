//! What the judge's CMP knows and answers (docs/wire/aid2.md): users, sessions, requests, orders. Sans-IO; a test changes
//! what is answered, and everything else is as a correct CMP has it.

use crate::random::Random;
use aid_id::{AccountRef, Iccid, Id, Secret};
use aid_wire::{
    Aup, CertificateOutcome, CodeOutcome, Down, Envelope, LoginOutcome, LoginWay, OrderKind,
    OrderOutcome, SESSION_REVISION, Status, SubscriptionView, Up, UserProfile, WIRE_VERSION,
};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds for which the answer to a login is valid.
const LOGIN_S: u64 = 30;

/// Seconds after which the vehicle may ask for a certificate again: after the run.
const DAY_S: u32 = 86_400;

/// A message to the vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) message_id: Id,
    pub(super) correlation_id: Id,
    pub(super) expires_at: Option<u64>,
    pub(super) body: Down,
}

impl Letter {
    /// A message that stands for itself.
    pub(super) const fn new(message_id: Id, body: Down) -> Self {
        Self {
            message_id,
            correlation_id: message_id,
            expires_at: None,
            body,
        }
    }

    /// The envelope, as the `sequence`th message.
    pub(super) fn envelope(self, sequence: u64) -> Envelope<Down> {
        Envelope {
            version: WIRE_VERSION,
            message_id: self.message_id,
            correlation_id: self.correlation_id,
            sequence,
            expires_at: self.expires_at,
            body: self.body,
        }
    }
}

/// A user of the judge's CMP.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) pin: String,
    pub(super) account: AccountRef,
}

/// A request for an activation code.
#[derive(Debug, Clone)]
struct Request {
    account: AccountRef,
    outcome: CodeOutcome,
    /// The vehicle has the answer in its journal.
    taken: bool,
}

/// The CMP's state.
#[derive(Debug)]
pub(super) struct Book {
    users: BTreeMap<String, User>,
    /// Announced by the last `Hello`.
    pub(super) revision: u8,
    session: u64,
    hello: Option<Id>,
    /// Who is logged in.
    pub(super) logged_in: Option<AccountRef>,
    logins: BTreeMap<Id, LoginOutcome>,
    requests: BTreeMap<Id, Request>,
    /// Answer to the next request.
    pub(super) next_code: CodeOutcome,
    orders: BTreeMap<Id, (OrderKind, Option<OrderOutcome>)>,
    /// Profiles in the vehicle, by its reports.
    pub(super) installed: BTreeMap<Iccid, AccountRef>,
    /// Names of messages that get no answer.
    pub(super) unanswered: BTreeSet<&'static str>,
    /// Attempts of logins by code that wait for an approval, with the number of their session.
    by_code: Option<(Id, Option<u64>)>,
    pub(super) random: Random,
}

/// No code at present: AID.02 §5.5, code 100.
pub(super) fn no_code() -> CodeOutcome {
    CodeOutcome::Failed {
        code: 100,
        reason: "the judge has no code for this request".to_owned(),
    }
}

impl Book {
    pub(super) const fn new(random: Random, none: CodeOutcome) -> Self {
        Self {
            users: BTreeMap::new(),
            revision: 0,
            session: 0,
            hello: None,
            logged_in: None,
            logins: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_code: none,
            orders: BTreeMap::new(),
            installed: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            by_code: None,
            random,
        }
    }

    pub(super) fn add_user(&mut self, name: &str, user: User) {
        self.users.insert(name.to_owned(), user);
    }

    /// A new order; it is sent again at each connection until its result comes.
    pub(super) fn order(&mut self, kind: OrderKind) -> Letter {
        let order_id = self.random.bytes16();
        self.orders.insert(order_id, (kind.clone(), None));
        Letter::new(order_id, Down::Order { order_id, kind })
    }

    /// Ends an order that no vehicle answers.
    pub(super) fn withdraw(&mut self, order_id: Id) {
        self.orders.remove(&order_id);
    }

    /// Answers a request that waits; sent again at each connection until the vehicle has it.
    pub(super) fn answer(&mut self, request_id: Id, outcome: CodeOutcome) -> Option<Letter> {
        let request = self.requests.get_mut(&request_id)?;
        request.outcome = outcome;
        request.taken = false;
        Some(code_letter(request_id, request, true, &mut self.random))
    }

    /// The user approves a login by code.
    pub(super) fn approve(&mut self, user: &str, now: u64) -> Vec<Letter> {
        let Some((login_id, number)) = self.by_code.take() else {
            return Vec::new();
        };
        let account = self.users.get(user).map(|user| user.account);
        self.decide(login_id, number, account, user, now)
    }

    /// What a message is answered with.
    pub(super) fn heard(&mut self, envelope: &Envelope<Up>, now: u64) -> Vec<Letter> {
        let id = envelope.message_id;
        match &envelope.body {
            Up::Hello { software, .. } => self.greet(id, aid_wire::announced(software)),
            Up::Login {
                login_id,
                user,
                pin,
            } => self.login(*login_id, None, user, pin, now),
            Up::LoginByCode { login_id } => self.show_code(*login_id, None),
            Up::NumberedLogin {
                number,
                login_id,
                way,
                ..
            } => {
                if *number < self.session {
                    return vec![self.welcome(id)];
                }
                match way {
                    LoginWay::Pin { user, pin } => {
                        self.login(*login_id, Some(*number), user, pin, now)
                    }
                    LoginWay::Code => self.show_code(*login_id, Some(*number)),
                }
            }
            Up::Logout { account } => {
                if self.logged_in == Some(*account) {
                    self.logged_in = None;
                }
                vec![self.ack(id)]
            }
            Up::Session { number, account } => {
                if *number < self.session {
                    return vec![self.welcome(id)];
                }
                self.session = *number;
                self.logged_in = *account;
                vec![self.ack(id)]
            }
            Up::RequestActivationCode {
                request_id,
                account,
            }
            | Up::RequestAgain {
                request_id,
                account,
            } => {
                let request = self.requests.entry(*request_id).or_insert_with(|| Request {
                    account: *account,
                    outcome: self.next_code.clone(),
                    taken: false,
                });
                let is_here = self.logged_in == Some(request.account);
                vec![code_letter(*request_id, request, is_here, &mut self.random)]
            }
            Up::Status {
                report_seq,
                iccid,
                account,
                status,
                ..
            } => {
                match (iccid, status, account) {
                    (Some(iccid), Status::Deleted, _) => {
                        self.installed.remove(iccid);
                    }
                    (Some(iccid), Status::Installed | Status::Enabled, Some(account)) => {
                        self.installed.insert(iccid.clone(), *account);
                    }
                    _ => {}
                }
                let seq = *report_seq;
                vec![self.letter(Down::StatusAck { report_seq: seq })]
            }
            Up::OrderResult { order_id, outcome } => {
                if let Some((_, result)) = self.orders.get_mut(order_id) {
                    *result = Some(*outcome);
                }
                vec![self.ack(*order_id)]
            }
            Up::Ack { message_id } => {
                if let Some(request) = self.requests.get_mut(message_id) {
                    request.taken = true;
                }
                Vec::new()
            }
            Up::CardFull { request_id, .. } => {
                let request_id = *request_id;
                vec![self.letter(Down::Space {
                    request_id,
                    granted: false,
                })]
            }
            // The judge has no PKI for vehicles: the certificate that the vehicle has stays in use.
            Up::RenewCertificate { request_id, .. } => {
                let request_id = *request_id;
                vec![self.letter(Down::Certificate {
                    request_id,
                    outcome: CertificateOutcome::Later { seconds: DAY_S },
                })]
            }
            // The judge grants no verifier, so whoever shows one is not let in.
            Up::OfflineSession {
                number,
                account,
                verifier,
            } => {
                if *number < self.session {
                    return vec![self.welcome(id)];
                }
                self.session = *number;
                self.logged_in = None;
                let (account, verifier) = (*account, *verifier);
                let revoke = Letter::new(verifier, Down::Revoke { account, verifier });
                vec![revoke, self.ack(id)]
            }
            Up::FactoryReset { reset_id, .. } => {
                self.logged_in = None;
                vec![self.ack(*reset_id)]
            }
        }
    }

    fn letter(&mut self, body: Down) -> Letter {
        Letter::new(self.random.bytes16(), body)
    }

    fn ack(&mut self, message_id: Id) -> Letter {
        self.letter(Down::Ack { message_id })
    }

    fn welcome(&mut self, message_id: Id) -> Letter {
        let (revision, session) = (self.revision.min(aid_wire::REVISION), self.session);
        self.letter(Down::Welcome {
            message_id,
            revision,
            session,
        })
    }

    fn greet(&mut self, id: Id, revision: u8) -> Vec<Letter> {
        self.revision = revision;
        // The same `Hello` again raises nothing.
        if self.hello.replace(id) != Some(id) {
            self.session = ((self.session >> 32) + 1) << 32;
        }
        let first = match revision >= SESSION_REVISION {
            true => self.welcome(id),
            false => self.ack(id),
        };
        let mut letters = vec![first];
        for (order_id, (kind, outcome)) in &self.orders {
            if outcome.is_none() {
                let (order_id, kind) = (*order_id, kind.clone());
                letters.push(Letter::new(order_id, Down::Order { order_id, kind }));
            }
        }
        // Codes of who is not logged in wait for them.
        letters.extend(
            self.logged_in
                .map(|account| self.codes_of(account))
                .unwrap_or_default(),
        );
        letters
    }

    /// The answers that an account's requests wait for.
    fn codes_of(&mut self, account: AccountRef) -> Vec<Letter> {
        let own = self.requests.iter().filter(|(_, request)| {
            request.account == account && !request.taken && request.outcome != CodeOutcome::Pending
        });
        own.map(|(id, request)| code_letter(*id, request, true, &mut self.random))
            .collect()
    }

    /// Ends the requests that are still open, as for a subscription that was unlinked.
    pub(super) fn close_requests(&mut self) -> Vec<Letter> {
        let mut letters = Vec::new();
        for (id, request) in self.requests.iter_mut().filter(|(_, r)| !r.taken) {
            request.outcome = CodeOutcome::Failed {
                code: 21,
                reason: "the test is over".to_owned(),
            };
            request.taken = true;
            letters.push(code_letter(*id, request, true, &mut self.random));
        }
        letters
    }

    fn login(
        &mut self,
        login_id: Id,
        number: Option<u64>,
        user: &str,
        pin: &Secret,
        now: u64,
    ) -> Vec<Letter> {
        let known = self.users.get(user).filter(|user| user.pin == pin.expose());
        let account = known.map(|user| user.account);
        self.decide(login_id, number, account, user, now)
    }

    fn decide(
        &mut self,
        login_id: Id,
        number: Option<u64>,
        account: Option<AccountRef>,
        user: &str,
        now: u64,
    ) -> Vec<Letter> {
        let outcome = match (self.logins.get(&login_id), account) {
            (Some(outcome), _) => {
                if let LoginOutcome::Accepted { account, .. } = outcome {
                    self.session = number.unwrap_or(self.session);
                    self.logged_in = Some(*account);
                }
                outcome.clone()
            }
            (None, Some(account)) => {
                self.session = number.unwrap_or(self.session);
                self.logged_in = Some(account);
                let own = self.installed.iter().filter(|(_, a)| **a == account);
                LoginOutcome::Accepted {
                    account,
                    aup: Aup {
                        display_name: user.to_owned(),
                        msp_name: MSP.to_owned(),
                        masked_number: NUMBER.to_owned(),
                    },
                    profiles: own.map(|(iccid, _)| iccid.clone()).collect(),
                }
            }
            (None, None) => LoginOutcome::Refused {
                reason: "Name or PIN is wrong.".to_owned(),
            },
        };
        self.logins.insert(login_id, outcome.clone());
        let accepted = match &outcome {
            LoginOutcome::Accepted { account, .. } => Some(*account),
            LoginOutcome::Refused { .. } => None,
        };
        let result = Letter {
            expires_at: Some(now + LOGIN_S),
            ..Letter::new(login_id, Down::LoginResult { login_id, outcome })
        };
        let mut letters = vec![result];
        if let Some(account) = accepted {
            letters.push(self.letter(Down::UserProfile {
                account,
                profile: profile(user),
            }));
            letters.extend(self.codes_of(account));
        }
        letters
    }

    fn show_code(&mut self, login_id: Id, number: Option<u64>) -> Vec<Letter> {
        self.by_code = Some((login_id, number));
        vec![self.letter(Down::LoginCode {
            login_id,
            code: "BDFH-JKLM".to_owned(),
            url: "https://cmp.judge.example/device".to_owned(),
            expires_in: 600,
        })]
    }
}

/// Operator and number that the judge's user profiles have.
const MSP: &str = "Judge Mobile";
const NUMBER: &str = "+49 ••• 0815";

fn profile(user: &str) -> UserProfile {
    UserProfile {
        display_name: user.to_owned(),
        subscriptions: vec![SubscriptionView {
            msp_name: MSP.to_owned(),
            icon: String::new(),
            label: "private".to_owned(),
            masked_number: NUMBER.to_owned(),
            suspended: false,
        }],
        preferences: Vec::new(),
    }
}

/// The answer to a request; a code for who is not logged in waits.
fn code_letter(request_id: Id, request: &Request, is_here: bool, random: &mut Random) -> Letter {
    let outcome = match &request.outcome {
        CodeOutcome::Code { .. } if !is_here => CodeOutcome::Pending,
        outcome => outcome.clone(),
    };
    let is_pending = outcome == CodeOutcome::Pending;
    let body = Down::ActivationCode {
        request_id,
        account: request.account,
        outcome,
    };
    match is_pending {
        // It has an id of its own, because it is not the answer yet.
        true => Letter {
            correlation_id: request_id,
            ..Letter::new(random.bytes16(), body)
        },
        false => Letter::new(request_id, body),
    }
}
