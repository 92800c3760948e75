//! The book of a car's session against the car, over a network that loses, repeats and reorders what the car says.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use aid_cmp_core::decide::session::Book;
use aid_id::AccountRef;
use proptest::prelude::*;

/// What the car says about its session.
#[derive(Debug, Clone, Copy)]
enum Said {
    State(u64, Option<AccountRef>),
    /// A login of the last account, with who was in before; the PIN is right.
    Login(u64, Option<AccountRef>, AccountRef),
}

#[derive(Debug, Clone)]
enum Step {
    /// The car connects: it learns the CMP's number and says its state; true: that arrives at once.
    Connect(bool),
    /// A login begins; true: the CMP hears of it, and the car of its result.
    Login(u8, bool),
    Logout,
    /// The car gives up the login that it waits for.
    GiveUp,
    /// Power is cut and comes back; true: the journal is lost.
    Cut(bool),
    /// The CMP takes this message of all that were ever said, again or for the first time.
    Deliver(prop::sample::Index),
}

#[derive(Default)]
struct Car {
    /// 0 in the upper half: the CMP has not said yet which journal of the car this is.
    number: u64,
    session: Option<AccountRef>,
    login: Option<(u64, AccountRef)>,
    connected: bool,
}

impl Car {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn connect(&mut self, book: &Book) -> Said {
        let told = book.mark.number.unwrap_or_default();
        if self.number >> 32 == 0 {
            self.number = ((told >> 32) + 1) << 32 | 1;
        } else if told > self.number {
            self.number = told + 1;
        }
        self.connected = true;
        if let Some((number, account)) = &mut self.login {
            *number = self.number;
            return Said::Login(self.number, self.session, *account);
        }
        Said::State(self.number, self.session)
    }
}

fn hear(book: &mut Book, said: Said) -> bool {
    let (number, before) = match said {
        Said::State(number, account) => (number, account),
        Said::Login(number, before, _) => (number, before),
    };
    let Some(state) = book.state(number, before) else {
        return false;
    };
    *book = match said {
        Said::State(..) => state,
        Said::Login(_, _, account) => state.entered(account),
    };
    true
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Connect),
        4 => (1u8..4, any::<bool>()).prop_map(|(user, heard)| Step::Login(user, heard)),
        2 => Just(Step::Logout),
        2 => Just(Step::GiveUp),
        1 => any::<bool>().prop_map(Step::Cut),
        6 => any::<prop::sample::Index>().prop_map(Step::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_book_is_the_cars_truth_whatever_is_lost_repeated_or_late(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let (mut car, mut book) = (Car::default(), Book::default());
        let mut said: Vec<Said> = Vec::new();
        // Messages before this one are of a journal of which the CMP had heard nothing when it was lost: they may win
        // until the next connection.
        let mut unheard = 0;
        for step in steps {
            match step {
                Step::Connect(arrives) => {
                    let message = car.connect(&book);
                    said.push(message);
                    if arrives {
                        hear(&mut book, message);
                    }
                }
                Step::Login(user, heard) if car.connected => {
                    let account = AccountRef([user; 16]);
                    let number = car.next();
                    let message = Said::Login(number, car.session, account);
                    said.push(message);
                    car.login = Some((number, account));
                    if heard && hear(&mut book, message) {
                        prop_assert_eq!(book.account, Some(account));
                        car.session = Some(account);
                        car.login = None;
                    }
                }
                Step::Login(..) => {}
                Step::Logout => {
                    (car.session, car.login) = (None, None);
                    let number = car.next();
                    if car.connected {
                        said.push(Said::State(number, None));
                    }
                }
                Step::GiveUp => if car.login.take().is_some() {
                    let number = car.next();
                    said.push(Said::State(number, car.session));
                },
                Step::Cut(journal) => {
                    if journal && book.mark.number.unwrap_or_default() >> 32 != car.number >> 32 {
                        unheard = said.len();
                    }
                    let number = if journal { 0 } else { car.next() };
                    car = Car { number, ..Car::default() };
                }
                Step::Deliver(index) if !said.is_empty() => {
                    let (before, message) = (book, said[index.index(said.len())]);
                    let newer = hear(&mut book, message);
                    prop_assert!(newer || book == before);
                    // Once more it changes nothing.
                    let after = book;
                    prop_assert!(!hear(&mut book, message));
                    prop_assert_eq!(book, after);
                }
                Step::Deliver(_) => {}
            }
        }
        // The next connection: a login that the car still waits for, or its state.
        let message = car.connect(&book);
        hear(&mut book, message);
        if let Some((_, account)) = car.login.take() {
            prop_assert_eq!(book.account, Some(account));
            car.session = Some(account);
        }
        prop_assert_eq!(book.account, car.session);
        for late in said.drain(unheard..) {
            hear(&mut book, late);
            prop_assert_eq!(book.account, car.session);
        }
        for late in said {
            hear(&mut book, late);
        }
        let message = car.connect(&book);
        hear(&mut book, message);
        // Such a message may have ended a session, which a car can't begin by saying so; it is never another user's.
        prop_assert!(book.account == car.session || book.account.is_none());
    }
}

// R-2-10: who was here once may be anywhere now.
#[test]
fn a_car_can_not_begin_a_session_by_saying_so() {
    let (eva, bob) = (AccountRef([1; 16]), AccountRef([2; 16]));
    let book = Book::default().state(1, Some(eva)).unwrap();
    assert_eq!(book.account, None);
    let book = book.state(2, None).unwrap().entered(eva);
    assert_eq!(book.state(3, Some(bob)).unwrap().account, None);
    assert_eq!(book.state(3, Some(eva)).unwrap().account, Some(eva));
    // The login of another, which the car gives up, takes nobody's session; one that it confirms does.
    let replaced = book.state(3, Some(eva)).unwrap().entered(bob);
    assert_eq!(replaced.state(4, Some(eva)).unwrap().account, Some(eva));
    let confirmed = replaced.state(4, Some(bob)).unwrap();
    assert_eq!(confirmed.state(5, Some(eva)).unwrap().account, None);
}

#[test]
fn numbers_that_no_journal_makes_change_nothing() {
    let book = Book::default().state(7, None).unwrap();
    assert_eq!(book.state(1 << 63, None), None);
    assert_eq!(book.state(u64::MAX, None), None);
    assert_eq!(Book::default().state(u64::MAX, None), None);
}
