//! The CMP of the world: what it answers, and its book of sessions.

use crate::world::*;
use aid_agent_core::*;

impl World {
    /// The CMP takes what came up and answers.
    pub(crate) fn cmp(&mut self) {
        for (message_id, up) in std::mem::take(&mut self.uplink) {
            match up {
                Up::RenewCertificate { .. } => {
                    panic!("the shell renews certificates, not the core")
                }
                Up::Login { login_id, user, .. } => {
                    self.inbound(accepted(login_id, user.as_bytes()[0]));
                }
                Up::LoginByCode { login_id } => {
                    let approved = *self.codes.entry(login_id).or_default();
                    self.inbound(match approved {
                        Some(user) => accepted(login_id, user),
                        None => shown_code(login_id),
                    });
                }
                Up::CardFull {
                    request_id,
                    account: _,
                } => {
                    let victim = self.card.iter().find(|(_, e)| !**e).map(|(i, _)| i.clone());
                    let granted = victim.is_some();
                    if let Some(iccid) = victim {
                        let order_id = self.id();
                        let kind = OrderKind::Delete { iccid };
                        self.inbound(Down::Order { order_id, kind });
                    }
                    self.inbound(Down::Space {
                        request_id,
                        granted,
                    });
                }
                Up::RequestAgain {
                    request_id,
                    account,
                } => {
                    self.asked_again += 1;
                    self.asks.retain(|a| *a != account);
                    if !self.requests.contains(&(request_id, account)) {
                        self.requests.push((request_id, account));
                    }
                }
                Up::RequestActivationCode {
                    request_id,
                    account,
                } if self.asks.contains(&account) => {
                    let outcome = CodeOutcome::Ask;
                    self.inbound(Down::ActivationCode {
                        request_id,
                        account,
                        outcome,
                    });
                }
                Up::RequestActivationCode {
                    request_id,
                    account,
                } => {
                    if !self.requests.contains(&(request_id, account)) {
                        self.requests.push((request_id, account));
                    }
                }
                Up::Status {
                    report_seq,
                    iccid,
                    status,
                    account,
                    code,
                } => {
                    if status == Status::InstallationFailed
                        && !self.reports.contains_key(&report_seq)
                    {
                        self.failed.push(code);
                    }
                    if let (Status::Deleted, DELETED_BY_USER, Some(account)) =
                        (status, code, account)
                        && !self.asks.contains(&account)
                        && !self.reports.contains_key(&report_seq)
                    {
                        self.asks.push(account);
                    }
                    // Counted without a gap, in each epoch.
                    let first = report_seq as u32 == 1;
                    assert!(
                        first || self.reports.contains_key(&(report_seq - 1)),
                        "invariant 3: gap before report {report_seq}"
                    );
                    let old = self.reports.insert(report_seq, (iccid.clone(), status));
                    assert!(
                        old.is_none_or(|o| o == (iccid, status)),
                        "invariant 3: report changed"
                    );
                    self.inbound(Down::StatusAck { report_seq });
                }
                Up::OrderResult { order_id, outcome } => {
                    self.outcomes.insert(order_id, outcome);
                    self.inbound(Down::Ack {
                        message_id: order_id,
                    });
                }
                Up::Logout { account } => {
                    let message_id = message_id.expect("a logout has an id");
                    let old = self.logouts.insert(message_id, account);
                    assert!(old.is_none_or(|o| o == account), "one id for two logouts");
                    self.inbound(Down::Ack { message_id });
                }
                Up::Hello { software, .. } => {
                    let message_id = message_id.expect("a Hello has an id");
                    let revision = announced(&software);
                    assert_eq!(revision, REVISION);
                    self.book.0 = ((self.book.0 >> 32) + 1) << 32;
                    self.inbound(match self.numbered {
                        true => Down::Welcome {
                            message_id,
                            revision,
                            session: self.book.0,
                        },
                        false => Down::Ack { message_id },
                    });
                }
                Up::NumberedLogin {
                    number,
                    account,
                    login_id,
                    way,
                } => {
                    if !self.hear(message_id, number, account) {
                        continue;
                    }
                    let approved = match way {
                        LoginWay::Pin { ref user, .. } => Some(user.as_bytes()[0]),
                        LoginWay::Code => *self.codes.entry(login_id).or_default(),
                    };
                    let by_pin = matches!(way, LoginWay::Pin { .. });
                    if let Some(user) = approved {
                        self.enter(number, user);
                        self.inbound(accepted(login_id, user));
                        if by_pin && self.grants {
                            self.grant(user);
                        }
                    } else {
                        self.code_numbers.insert(login_id, number);
                        self.inbound(shown_code(login_id));
                    }
                }
                Up::Session { number, account } => {
                    if self.hear(message_id, number, account) {
                        let message_id = message_id.expect("a session's state has an id");
                        self.inbound(Down::Ack { message_id });
                    }
                }
                Up::OfflineSession {
                    number,
                    account,
                    verifier,
                } => {
                    let known = self.verifiers.get(&account.0[0]) == Some(&verifier);
                    if self.hear(message_id, number, Some(account).filter(|_| known)) {
                        if !known {
                            self.inbound(Down::Revoke { account, verifier });
                        }
                        let message_id = message_id.expect("a session's state has an id");
                        self.inbound(Down::Ack { message_id });
                    }
                }
                Up::FactoryReset { reset_id, outcome } => {
                    self.invariant_reset(reset_id, outcome);
                    self.inbound(Down::Ack {
                        message_id: reset_id,
                    });
                }
                Up::Ack { .. } => {}
            }
        }
    }

    fn grant(&mut self, user: u8) {
        let verifier = self.id();
        self.verifiers.insert(user, verifier);
        self.inbound(Down::Verifier {
            account: account(user),
            verifier,
            salt: [7; 16],
            now: 1_800_000_000 + self.now / 1000,
            valid_s: 30 * 86_400,
            attempts: 5,
        });
    }

    /// The book takes a number that is higher than its own; false: it is lower, and the car is told.
    fn hear(&mut self, id: Option<[u8; 16]>, number: u64, account: Option<AccountRef>) -> bool {
        if number < self.book.0 {
            self.inbound(Down::Welcome {
                message_id: id.expect("what is about sessions has an id"),
                revision: REVISION,
                session: self.book.0,
            });
            return false;
        }
        if number > self.book.0 {
            self.book = (number, account);
        }
        true
    }

    pub(crate) fn enter(&mut self, number: u64, user: u8) {
        if number == self.book.0 {
            self.book.1 = Some(account(user));
        }
    }

    pub(crate) fn answer(&mut self) {
        if let Some((request_id, account)) = self.requests.pop() {
            self.codes_given += 1;
            let outcome = CodeOutcome::Code {
                code: Secret::new(format!("1$s$M-{}", self.codes_given)),
                iccid: None,
            };
            let code = Down::ActivationCode {
                request_id,
                account,
                outcome,
            };
            self.last_code = Some(code.clone());
            if self.link {
                self.inbound(code);
            } else {
                self.requests.push((request_id, account));
            }
        }
    }
}
