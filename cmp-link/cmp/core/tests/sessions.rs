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
    /// The car connects. False: its Hello is lost, or its answer.
    Connect(bool),
    /// A Hello of an earlier connection arrives, and maybe its answer.
    LateHello(bool),
    /// The Hello of this connection arrives again, and maybe its answer.
    HelloAgain(bool),
    /// A mistake of the car: it gives its state a number far beyond.
    Absurd(u64),
    /// A login begins; true: the CMP hears of it, and the car of its result.
    Login(u8, bool),
    Logout,
    /// The car gives up the login that it waits for.
    GiveUp,
    /// Power is cut and comes back; the journal may be lost.
    Cut,
    /// The CMP takes this message of all that were ever said, again or for the first time.
    Deliver(prop::sample::Index),
}

#[derive(Default)]
struct Car {
    number: u64,
    session: Option<AccountRef>,
    login: Option<AccountRef>,
    /// It has sent its Hello since it has power.
    connected: bool,
    welcomed: bool,
}

impl Car {
    fn welcome(&mut self, number: u64) {
        self.number = self.number.max(number) + 1;
        self.welcomed = true;
    }

    fn says(&self) -> Said {
        match self.login {
            Some(account) => Said::Login(self.number, self.session, account),
            None => Said::State(self.number, self.session),
        }
    }

    /// Says its state until the CMP has it, as long as nothing is lost.
    fn agree(&mut self, book: &mut Book, said: &mut Vec<Said>) {
        while !{
            said.push(self.says());
            hear(book, self.says())
        } {
            self.welcome(book.number());
        }
        if let Some(account) = self.login.take() {
            assert_eq!(book.account, Some(account));
            self.session = Some(account);
        }
    }
}

/// False: the number is not higher than the CMP's.
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

fn hello(n: u128) -> aid_id::Id {
    n.to_be_bytes()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Connect),
        1 => any::<bool>().prop_map(Step::LateHello),
        2 => any::<bool>().prop_map(Step::HelloAgain),
        1 => (1u64 << 50..).prop_map(Step::Absurd),
        4 => (1u8..4, any::<bool>()).prop_map(|(user, heard)| Step::Login(user, heard)),
        2 => Just(Step::Logout),
        2 => Just(Step::GiveUp),
        1 => Just(Step::Cut),
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
        let mut hellos = 0;
        for step in steps {
            match step {
                Step::Connect(answered) => {
                    hellos += 1;
                    book = book.connected(hello(hellos));
                    (car.connected, car.welcomed) = (true, false);
                    if answered {
                        car.welcome(book.number());
                        said.push(car.says());
                    }
                }
                Step::Absurd(number) => {
                    let before = book;
                    prop_assert!(!hear(&mut book, Said::State(number, Some(AccountRef([1; 16])))));
                    prop_assert_eq!(book, before);
                }
                Step::HelloAgain(_) if hellos == 0 => {}
                Step::HelloAgain(answered) => {
                    let before = book;
                    book = book.connected(hello(hellos));
                    // No number is used up for it.
                    prop_assert_eq!(book, before);
                    // Its answer, or one to the first; after a power cut nobody waits for it.
                    if answered && car.connected {
                        car.welcome(book.number());
                        said.push(car.says());
                    }
                }
                Step::LateHello(answered) => {
                    // Of any earlier connection, such as one whose Hello never came.
                    book = book.connected(hello(1_000_000 + hellos));
                    hellos += 1;
                    book = book.connected(hello(hellos));
                    if answered && car.welcomed {
                        car.welcome(book.number());
                        said.push(car.says());
                    }
                }
                Step::Login(user, heard) => {
                    car.login = Some(AccountRef([user; 16]));
                    car.number += 1;
                    if car.welcomed {
                        said.push(car.says());
                        if heard {
                            car.agree(&mut book, &mut said);
                        }
                    }
                }
                Step::Logout => {
                    (car.session, car.login) = (None, None);
                    car.number += 1;
                    if car.welcomed {
                        said.push(car.says());
                    }
                }
                Step::GiveUp => if car.login.take().is_some() {
                    car.number += 1;
                    if car.welcomed {
                        said.push(car.says());
                    }
                },
                Step::Cut => car = Car::default(),
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
        // The next connection that works.
        book = book.connected([0xFF; 16]);
        car.welcome(book.number());
        car.agree(&mut book, &mut said);
        prop_assert_eq!(book.account, car.session);
        // Whatever still comes late.
        for late in said {
            hear(&mut book, late);
            prop_assert_eq!(book.account, car.session);
            prop_assert_eq!(book.connected([0xFE; 16]).account, car.session);
        }
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

/// The highest number of a car.
const LAST: u64 = u64::MAX >> 1;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    // Whatever a car says once, its next connection is in the book.
    #[test]
    fn a_car_never_shuts_itself_out(
        first in prop_oneof![Just(0), Just(LAST), 0..=LAST],
        absurd in proptest::collection::vec(prop_oneof![any::<u64>(), LAST - 3..=LAST + 3, Just(u64::MAX)], 0..20),
    ) {
        // A book of before, with any number in it.
        let mut book = Book::default();
        book.mark.number = Some(first);
        for (n, number) in (0..).zip(absurd) {
            if let Some(state) = book.state(number, None) {
                prop_assert!(book.allows(number));
                book = state;
            }
            let connected = book.connected(hello(n));
            prop_assert!(connected.number() != book.number());
            // It goes on from there, for a long time.
            for next in [1, 1000, u64::from(u32::MAX)] {
                let account = connected.state(connected.number() + next, None);
                prop_assert!(account.is_some(), "{} {next}", connected.number());
            }
            book = connected;
        }
    }
}

#[test]
fn a_hello_that_is_repeated_begins_no_connection() {
    let first = Book::default().connected([1; 16]);
    assert_eq!(first.number(), 1 << 32);
    assert_eq!(first.connected([1; 16]), first);
    let said = first.state((1 << 32) + 3, None).unwrap();
    assert_eq!(said.connected([1; 16]), said);
    let second = said.connected([2; 16]);
    assert_eq!(second.number(), 2 << 32);
    // A database from before notes no Hello.
    let mut before = second;
    before.mark.hello = None;
    assert_eq!(before.connected([2; 16]).number(), 3 << 32);
}

#[test]
fn numbers_that_no_journal_makes_change_nothing() {
    let book = Book::default().state(7, None).unwrap();
    assert_eq!(book.state(1 << 63, None), None);
    assert_eq!(book.state(u64::MAX, None), None);
    assert_eq!(Book::default().state(u64::MAX, None), None);
}
