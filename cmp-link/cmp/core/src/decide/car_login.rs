//! A login by a code that the car shows and the user approves on a page (the device grant's shape,
//! RFC 8628; R-1.1-3 leaves the method open). The same attempt is answered the same, however often.
//! Called for `Up::LoginByCode` and by the portal.

use super::{Context, Decision, Outgoing, login};
use crate::change::{Change, FleetChange};
use crate::model::{Account, LoginCode, LoginCodeState};
use aid_id::{Eid, Id};
use aid_wire::{Down, LoginOutcome};

/// Life of a code, ms.
pub const LIFE_MS: u64 = 10 * 60 * 1000;
/// Letters that are neither vowels nor easily mistaken for others (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code: 34 bits, of which an account may guess five times in fifteen minutes.
const LENGTH: usize = 8;

/// A code from random bytes.
fn code(random: Id) -> String {
    let group = |bytes: [u8; 4]| {
        let mut number = u32::from_be_bytes(bytes) % 160_000; // 20^4
        let mut letters = [0; 4];
        for letter in &mut letters {
            *letter = LETTERS[number as usize % LETTERS.len()];
            number /= 20;
        }
        letters
    };
    let [a, b, c, d, .., w, x, y, z] = random;
    let letters = [group([a, b, c, d]), group([w, x, y, z])].concat();
    letters.into_iter().map(char::from).collect()
}

/// The code in what a user typed: spaces and hyphens do not count, nor does the case. `None`: it is
/// none.
#[must_use]
pub fn typed(text: &str) -> Option<String> {
    if text.len() > 32 {
        return None;
    }
    let letters = text.chars().filter(|c| !matches!(c, ' ' | '-'));
    let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let fits = code.len() == LENGTH && code.bytes().all(|b| LETTERS.contains(&b));
    fits.then_some(code)
}

/// As people read it: two groups of four.
#[must_use]
pub fn shown(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((a, b)) => format!("{a}-{b}"),
        None => code.to_owned(),
    }
}

/// Whether a code has not ended at `now`. One that ends later than any code does was made under a wrong clock.
#[must_use]
pub fn lives(code: &LoginCode, now: u64) -> bool {
    now < code.expires_at && code.expires_at - now <= 2 * LIFE_MS
}

/// The car does not wait for the login by code any more that it has begun.
#[must_use]
pub fn given_up(code: LoginCode) -> Option<Change> {
    let state = LoginCodeState::Denied;
    let open = code.state == LoginCodeState::Open;
    open.then(|| Change::Fleet(FleetChange::PutLoginCode(LoginCode { state, ..code })))
}

/// A car begins, or repeats, a login by code. `found` is the code that it has; `url` the page.
/// An approved one is the caller's to answer (`approved`).
#[must_use]
pub fn begin(
    context: &Context,
    found: Option<LoginCode>,
    eid: Eid,
    login_id: Id,
    url: String,
) -> Decision {
    let mut decision = Decision::default();
    let code = match found.filter(|c| c.login_id == login_id) {
        Some(code) => code,
        None => {
            let code = LoginCode {
                code: code((context.random)()),
                eid,
                login_id,
                state: LoginCodeState::Open,
                account: None,
                created_at: context.now,
                expires_at: context.now.saturating_add(LIFE_MS),
            };
            let change = FleetChange::PutLoginCode(code.clone());
            decision.changes.push(Change::Fleet(change));
            code
        }
    };
    let refusal = if !lives(&code, context.now) {
        Some("the code was not approved in time")
    } else if code.state == LoginCodeState::Denied {
        Some("the login was denied")
    } else {
        None
    };
    let body = match refusal {
        Some(reason) => refused(login_id, reason),
        None => Down::LoginCode {
            login_id,
            code: shown(&code.code),
            url,
            expires_in: u32::try_from(code.expires_at.saturating_sub(context.now) / 1000)
                .unwrap_or(0),
        },
    };
    decision.down.push(Outgoing {
        eid,
        correlation: None,
        message_id: login_id,
        body,
    });
    decision
}

fn refused(login_id: Id, reason: &str) -> Down {
    Down::LoginResult {
        login_id,
        outcome: LoginOutcome::Refused {
            reason: reason.to_owned(),
        },
    }
}

/// The user said yes or no to a code that is open.
#[must_use]
pub fn judge(context: &Context, code: LoginCode, account: &Account, approve: bool) -> Decision {
    let mut decision = Decision::default();
    let (state, action) = if approve {
        (LoginCodeState::Approved, "car login approved")
    } else {
        (LoginCodeState::Denied, "car login denied")
    };
    let actor = format!("account {}", hex::encode(account.id.0));
    decision
        .changes
        .push(context.audit(actor, action, code.eid.to_string()));
    if !approve {
        decision.down.push(Outgoing {
            eid: code.eid,
            correlation: None,
            message_id: code.login_id,
            body: refused(code.login_id, "the login was denied"),
        });
    }
    let account = Some(account.id);
    let change = FleetChange::PutLoginCode(LoginCode {
        state,
        account,
        ..code
    });
    decision.changes.push(Change::Fleet(change));
    decision
}

/// Tells the car that the user is in. `view` is that of a login with a PIN.
#[must_use]
pub fn approved(context: &Context, view: login::View, code: &LoginCode) -> Decision {
    let mut decision = Decision::default();
    let body = match &view.account {
        Some(account) if lives(code, context.now) => {
            login::welcome(
                context,
                &mut decision,
                account,
                view.known_here,
                code.eid,
                view.book.as_ref(),
            );
            Down::LoginResult {
                login_id: code.login_id,
                outcome: login::accepted(account, view.aup, &view.profiles, code.eid),
            }
        }
        _ => refused(code.login_id, "the code was not approved in time"),
    };
    decision.down.push(Outgoing {
        eid: code.eid,
        correlation: None,
        message_id: code.login_id,
        body,
    });
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back_however_they_are_typed() {
        for n in 0..200_u128 {
            let random = (n * 0x1234_5678_9ABC_DEF1_2345_6789).to_be_bytes();
            let code = code(random);
            assert_eq!(typed(&code).as_ref(), Some(&code));
            let people = shown(&code).to_lowercase();
            assert_eq!(typed(&people).as_ref(), Some(&code));
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJA", "BCDFGHJKL", "ÄCDFGHJK"] {
            assert_eq!(typed(wrong), None, "{wrong}");
        }
    }
}
