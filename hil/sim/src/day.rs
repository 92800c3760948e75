//! Chooses what happens in a life: two logins and one fault a day for each car. The faults go round all pairs of a state
//! and a fault, and each day is made so that the car comes into the state.

use crate::plan::{Deed, Fault, State, Step};
use crate::random::Random;
use crate::world::{CARS, DAY, EPOCH, USERS};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// The pairs of a state and a fault.
pub const PAIRS: usize = State::ALL.len() * Fault::ALL.len();

/// The pair with this number; they go round.
fn pair(number: u64) -> (State, Fault) {
    let number = (number % PAIRS as u64) as usize;
    let (state, fault) = (number % State::ALL.len(), number / State::ALL.len());
    (State::ALL[state], Fault::ALL[fault])
}

/// The plan of a life of so many days.
#[must_use]
pub fn plan(seed: u64, days: u64) -> Vec<Step> {
    let mut random = Random::new(seed ^ 0x5EED_0F11);
    let mut steps = Vec::new();
    for day in 0..days {
        let midnight = EPOCH + day * DAY;
        add(&mut steps, midnight, 0, Deed::Backup);
        for user in 0..USERS as u8 {
            add(&mut steps, midnight + 2 * HOUR, 0, Deed::Relink(user));
        }
        for car in 0..CARS as u8 {
            let number = (seed.wrapping_mul(days) + day) * CARS as u64 + u64::from(car);
            // Cars are some minutes apart, so that both are awake at the same time.
            let begin = midnight + 7 * HOUR + u64::from(car) * random.below(40 * MINUTE);
            a_day(&mut steps, &mut random, begin, car, pair(number));
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

fn add(steps: &mut Vec<Step>, at: u64, car: u8, deed: Deed) {
    steps.push(Step { at, car, deed });
}

/// A car's day: a drive in the morning and one in the evening.
fn a_day(steps: &mut Vec<Step>, random: &mut Random, begin: u64, car: u8, pair: (State, Fault)) {
    let (state, fault) = pair;
    let first = random.below(USERS as u64) as u8;
    let second = random.below(USERS as u64) as u8;
    let downloads = matches!(
        state,
        State::AwaitingCode | State::Downloading | State::NoProfile
    ) || matches!(
        fault,
        Fault::CardFull | Fault::SmdpAway | Fault::SmdpRefuses | Fault::MspAway | Fault::MspLate
    ) || random.percent(20);
    let in_evening = random.percent(50);
    for (drive, user) in [(0, first), (1, second)] {
        let at = begin + drive * (9 * HOUR + random.below(HOUR));
        add(steps, at, car, Deed::IgnitionOn);
        add(steps, at, car, Deed::Wake);
        let with_fault = (drive == 1) == in_evening;
        let login = at + random.between(3 * MINUTE, 6 * MINUTE);
        if with_fault && downloads {
            add(steps, at + 20_000, car, Deed::Forget(user));
        }
        if with_fault {
            before(steps, random, at, login, car, pair);
        }
        let by_code = random.percent(15);
        let deed = match by_code {
            true => Deed::LoginByCode(user),
            false => Deed::Login(user),
        };
        add(steps, login, car, deed);
        let end = login + random.between(4 * MINUTE, 40 * MINUTE);
        if (with_fault && state == State::NoProfile) || random.percent(5) {
            let delete = login + 2 * MINUTE;
            add(steps, delete, car, Deed::DeleteOwn);
            if random.percent(60) {
                let again = end.saturating_sub(MINUTE).max(delete + 1);
                add(steps, again, car, Deed::Provision);
            }
        }
        let last = match random.percent(25) {
            true => Deed::IgnitionOff,
            false => Deed::Logout,
        };
        add(steps, end, car, last);
        add(
            steps,
            end + random.between(10_000, 12 * MINUTE),
            car,
            Deed::Park,
        );
    }
}

/// What brings the car into the state in which the fault is to come, and the fault.
fn before(
    steps: &mut Vec<Step>,
    random: &mut Random,
    at: u64,
    login: u64,
    car: u8,
    (state, fault): (State, Fault),
) {
    match state {
        State::Starting => {
            // The car starts anew, and is in this state while it reads its card.
            let when = login + random.between(1000, 3 * MINUTE);
            add(steps, when, car, Deed::Arm(State::Guest, Fault::CutBefore));
            add(steps, when, car, Deed::Arm(State::Active, Fault::CutBefore));
            add(steps, when + 1, car, Deed::Arm(State::Starting, fault));
        }
        State::Stopped => {
            let when = login + random.between(0, 2 * MINUTE);
            for state in [State::Guest, State::Active, State::Switching] {
                add(steps, when, car, Deed::Arm(state, Fault::DiskFull));
            }
            add(steps, when + 1, car, Deed::Arm(State::Stopped, fault));
            // Something has to be written before the disk is known to be full.
            add(steps, when + 30_000, car, Deed::Logout);
        }
        State::Active | State::NoProfile => {
            add(steps, login + 1, car, Deed::Arm(state, fault));
        }
        State::Guest => {
            let when = at + random.between(MINUTE, 30 * MINUTE);
            add(steps, when, car, Deed::Arm(state, fault));
        }
        _ => add(steps, login - 1, car, Deed::Arm(state, fault)),
    }
}
