//! The load of cars over the broker: hello, login, activation code, status reports, logout, each message repeated until it
//! is answered, over a new connection when the old one is gone. What an agent does, without its card.

use super::books::{Books, Code, Report};
use crate::figures::people::{Driver, PIN};
use crate::figures::{Connected, Dialer};
use aid_cmp::service::fresh;
use aid_id::{Eid, Iccid, Id, Secret};
use aid_wire::{CodeOutcome, Down, LoginOutcome, ProfileState, Status, Up};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a car waits for an answer before it repeats its message.
const REPEAT: Duration = Duration::from_secs(2);
/// Longest time for a handshake.
const DIAL: Duration = Duration::from_secs(5);
/// Pause before another connection.
const AGAIN: Duration = Duration::from_millis(250);
/// Pause between two reports.
const PAUSE: Duration = Duration::from_millis(800);
/// Time between two requests of a car for a code: a car has ten in an hour.
const CYCLE: Duration = Duration::from_secs(400);

/// A car with its driver.
pub(super) struct Car {
    number: usize,
    dialer: Arc<Dialer>,
    driver: Driver,
    eid: Eid,
    link: Option<Connected>,
    /// What is on the card.
    card: Vec<ProfileState>,
    seq: u64,
    books: Arc<Books>,
}

impl Car {
    pub(super) fn new(
        number: usize,
        eid: Eid,
        dialer: &Arc<Dialer>,
        driver: Driver,
        books: &Arc<Books>,
    ) -> Self {
        Self {
            number,
            dialer: Arc::clone(dialer),
            driver,
            eid,
            link: None,
            card: Vec::new(),
            seq: 0,
            books: Arc::clone(books),
        }
    }

    /// Drives until the load ends.
    pub(super) async fn drive(mut self) {
        while !self.books.is_over() {
            let begin = Instant::now();
            self.login().await;
            if let Some(iccid) = self.code().await {
                self.use_profile(&iccid, begin + CYCLE).await;
            }
            self.logout().await;
            let rest = CYCLE.saturating_sub(begin.elapsed());
            self.books.pause(rest).await;
        }
        if let Some(link) = self.link.take() {
            link.leave().await;
        }
    }

    async fn login(&mut self) {
        let (login_id, begin) = (fresh(), Instant::now());
        let login = Up::Login {
            login_id,
            user: self.driver.name.clone(),
            pin: Secret::new(PIN.into()),
        };
        let answer = self
            .until_answered(login_id, login, |down| match down {
                Down::LoginResult {
                    login_id: id,
                    outcome,
                } if *id == login_id => Some(outcome.clone()),
                _ => None,
            })
            .await;
        match answer {
            LoginOutcome::Accepted { .. } => self.books.session(begin),
            LoginOutcome::Refused { reason } => self.books.refused(format!("login: {reason}")),
        }
    }

    async fn logout(&mut self) {
        let (message_id, begin) = (fresh(), Instant::now());
        let account = self.driver.account;
        let up = Up::Logout { account };
        let acknowledged = |down: &Down| (*down == Down::Ack { message_id }).then_some(());
        self.until_answered(message_id, up, acknowledged).await;
        self.books.session(begin);
    }

    /// Asks for a profile; yields it.
    async fn code(&mut self) -> Option<Iccid> {
        let (request_id, account, begin) = (fresh(), self.driver.account, Instant::now());
        let ask = Up::RequestActivationCode {
            request_id,
            account,
        };
        let answer = self
            .until_answered(request_id, ask, |down| match down {
                Down::ActivationCode {
                    request_id: id,
                    outcome,
                    ..
                } if *id == request_id && *outcome != CodeOutcome::Pending => Some(outcome.clone()),
                _ => None,
            })
            .await;
        // An answer that the car has is not sent again.
        let ack = Up::Ack {
            message_id: request_id,
        };
        if let Some(link) = self.link.as_mut() {
            let _ = link.publish(fresh(), ack).await;
        }
        match answer {
            CodeOutcome::Code { code, iccid } => {
                let code = Code {
                    eid: self.eid,
                    car_request: request_id,
                    code: code.expose().to_owned(),
                };
                self.books.code(code, begin);
                iccid
            }
            other => {
                self.books.refused(format!("code: {other:?}"));
                None
            }
        }
    }

    /// Installs a profile, turns it on and off until the cycle or the load ends, and deletes it.
    async fn use_profile(&mut self, iccid: &Iccid, until: Instant) {
        self.report(iccid, Status::Installed).await;
        while Instant::now() < until && !self.books.is_over() {
            self.report(iccid, Status::Enabled).await;
            self.books.pause(PAUSE).await;
            self.report(iccid, Status::Disabled).await;
            self.books.pause(PAUSE).await;
        }
        self.report(iccid, Status::Deleted).await;
    }

    async fn report(&mut self, iccid: &Iccid, status: Status) {
        let (account, begin) = (self.driver.account, Instant::now());
        self.seq += 1;
        let seq = self.seq;
        self.card.retain(|profile| profile.iccid != *iccid);
        if status != Status::Deleted {
            self.card.push(ProfileState {
                iccid: iccid.clone(),
                state: status,
                owner: Some(account),
            });
        }
        let up = Up::Status {
            report_seq: seq,
            iccid: Some(iccid.clone()),
            account: Some(account),
            status,
            code: 0,
        };
        let acknowledged =
            |down: &Down| (*down == Down::StatusAck { report_seq: seq }).then_some(());
        self.until_answered(fresh(), up, acknowledged).await;
        let report = Report {
            eid: self.eid,
            account,
            seq,
            iccid: iccid.clone(),
            status,
        };
        self.books.report(report, begin);
    }

    /// Sends a message until its answer comes, over as many connections as that takes.
    async fn until_answered<T>(
        &mut self,
        message_id: Id,
        up: Up,
        is_answer: impl Fn(&Down) -> Option<T>,
    ) -> T {
        loop {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => self.connect().await,
            };
            if link.publish(message_id, up.clone()).await.is_err() {
                continue;
            }
            let answer = tokio::time::timeout(REPEAT, async {
                loop {
                    let down = link.message().await?;
                    if let Some(answer) = is_answer(&down) {
                        return Ok::<_, String>(answer);
                    }
                }
            });
            match answer.await {
                Ok(Ok(answer)) => {
                    self.link = Some(link);
                    return answer;
                }
                // No answer in time: again over the same connection.
                Err(_) => self.link = Some(link),
                Ok(Err(_)) => {}
            }
        }
    }

    /// Connects, and says hello.
    async fn connect(&self) -> Connected {
        loop {
            let dialed = tokio::time::timeout(DIAL, self.dialer.connect(self.number)).await;
            if let Ok(Ok(mut link)) = dialed {
                let hello = Up::Hello {
                    software: "cluster".into(),
                    profiles: self.card.clone(),
                };
                if link.publish(fresh(), hello).await.is_ok() {
                    return link;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
