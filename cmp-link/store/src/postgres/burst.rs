//! Decisions that share one transaction. All of them run until each waits for the database; what they ask for is sent at
//! once, and when all of it is answered they run on. What one of them holds ([`crate::Tx::hold`]) the others wait for, and
//! they see what it has written: as if they had been made one after the other.

use super::tx::PostgresTx;
use super::wave::{Answer, Asked};
use crate::StoreError;
use crate::job::{Ended, Job};
use crate::tx::{Broken, Connection, Tx};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Done<T> = Result<T, (Broken, StoreError)>;
type Slot = Rc<RefCell<Option<Done<Answer>>>>;

/// What the decisions of a transaction ask for, and hold.
#[derive(Default)]
pub(super) struct Burst {
    asked: RefCell<Vec<(usize, Asked)>>,
    waiting: RefCell<BTreeMap<usize, Slot>>,
    /// What is held, by which of them.
    held: RefCell<BTreeMap<Vec<u8>, usize>>,
    /// Numbers the questions: a decision may ask several at once.
    next: Cell<usize>,
}

impl Burst {
    /// Asks for something; yields the answer of the wave with which it was sent.
    pub(super) async fn ask(&self, asked: Asked) -> Done<Answer> {
        let number = self.next.get();
        self.next.set(number + 1);
        let slot = Slot::default();
        self.waiting.borrow_mut().insert(number, Rc::clone(&slot));
        self.asked.borrow_mut().push((number, asked));
        poll_fn(|_| slot.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Waits until no other holds this, and holds it until the end of this decision.
    pub(super) async fn hold(&self, member: usize, key: &[u8]) {
        poll_fn(|_| {
            let mut held = self.held.borrow_mut();
            match held.get(key) {
                Some(holder) if *holder != member => Poll::Pending,
                Some(_) => Poll::Ready(()),
                None => {
                    held.insert(key.to_vec(), member);
                    Poll::Ready(())
                }
            }
        })
        .await;
    }

    fn release(&self, member: usize) {
        self.held.borrow_mut().retain(|_, holder| *holder != member);
    }

    fn answer(&self, number: usize, answer: Done<Answer>) {
        if let Some(slot) = self.waiting.borrow_mut().remove(&number) {
            slot.replace(Some(answer));
        }
    }

    /// Runs these decisions to their ends; `send` sends what they ask for at the same time. Its failure is the answer to
    /// one that is alone, and the end of several.
    pub(super) async fn run(
        &self,
        jobs: &mut [Box<dyn Job>],
        mut send: impl AsyncFnMut(Vec<(usize, Asked)>) -> Done<Vec<(usize, Answer)>>,
    ) -> Done<(Vec<Ended>, u64)> {
        let alone = jobs.len() == 1;
        let on = |member| Tx::new(Connection::Postgres(PostgresTx::member(self, member)));
        let txs: Vec<Tx<'_>> = (0..jobs.len()).map(on).collect();
        let mut running: Vec<_> = jobs
            .iter_mut()
            .zip(&txs)
            .map(|(job, tx)| Some(job.run(tx)))
            .collect();
        let mut ends: Vec<Ended> = Vec::new();
        while ends.len() < running.len() {
            let mut moved = false;
            for (member, slot) in running.iter_mut().enumerate() {
                let Some(job) = slot else { continue };
                let mut context = Context::from_waker(Waker::noop());
                let polled = AssertUnwindSafe(|| job.as_mut().poll(&mut context));
                let ended = match catch_unwind(polled) {
                    Ok(Poll::Pending) => continue,
                    Ok(Poll::Ready(ended)) => ended,
                    Err(_) => {
                        let error = StoreError::Failed("a decision panicked".into());
                        Ended::Broken(Broken::Failed, error)
                    }
                };
                *slot = None;
                self.release(member);
                moved = true;
                match ended {
                    Ended::Well(_) => {}
                    // Each is made alone then, and that one shows why.
                    _ if !alone => return Err((Broken::Conflict, StoreError::Busy)),
                    _ => {}
                }
                ends.push(ended);
            }
            let asked = self.asked.take();
            if asked.is_empty() {
                if moved {
                    continue;
                }
                // Several hold what others of them wait for, or:
                let text = "a decision waits for something else than the database";
                return Err(match alone {
                    true => (Broken::Failed, StoreError::Failed(text.into())),
                    false => (Broken::Conflict, StoreError::Busy),
                });
            }
            let numbers: Vec<usize> = asked.iter().map(|(number, _)| *number).collect();
            match send(asked).await {
                Ok(answers) => {
                    for (number, answer) in answers {
                        self.answer(number, Ok(answer));
                    }
                }
                Err(error) if alone => {
                    for number in numbers {
                        self.answer(number, Err(error.clone()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let reads = txs.iter().map(|tx| tx.reads.get()).sum();
        Ok((ends, reads))
    }
}
