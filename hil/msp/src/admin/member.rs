//! Who signs in at the console.

use aid_cli::cli::Failure;
use serde_json::{Value, json};

use super::{Refusal, hash_password};
use crate::core::Decision;
use crate::core::desk::{self, Member, Role};
use crate::msp::{Msp, now_ms};

/// Longest name, characters.
const LONGEST: usize = 64;

/// A name for the audit trail: customers and programs are there, too.
fn name_of(text: &str) -> Result<String, Failure> {
    let name = text.trim().to_lowercase();
    let is_free = !["operator", "console", "touchpoint"].contains(&name.as_str());
    let is_plain = !name.is_empty() && !name.contains(aid_cli::printable::is_unprintable);
    match is_free && is_plain && name.chars().count() <= LONGEST && !name.contains('/') {
        true => Ok(name),
        false => Err(Failure::usage(format!(
            "a name at the console has 1 to {LONGEST} printable characters without a slash, and is none of operator, \
             console, touchpoint"
        ))),
    }
}

fn row(member: &Member) -> Value {
    json!({"name": member.name, "role": member.role.as_str(), "created_at": member.created_at})
}

/// Everybody who may sign in.
///
/// # Errors
/// The database fails.
pub(crate) async fn members(msp: &Msp) -> Result<Value, Refusal> {
    let members = msp.store.read(async |tx| tx.members().await).await?;
    Ok(members.iter().map(row).collect())
}

/// Lets somebody sign in, or gives them another role and password; they are signed out everywhere.
///
/// # Errors
/// Name or password is not usable, or the database fails.
pub(crate) async fn add_member(
    msp: &Msp,
    name: &str,
    role: Role,
    password: &str,
) -> Result<Value, Refusal> {
    let member = Member {
        name: name_of(name)?,
        role,
        password: hash_password(password)?,
        created_at: now_ms(),
    };
    let row = row(&member);
    msp.store.put(desk::put_member(member, now_ms())).await?;
    Ok(Value::from(vec![row]))
}

/// Lets nobody of this name sign in any more.
///
/// # Errors
/// Nobody could, or the database fails.
pub(crate) async fn remove_member(msp: &Msp, name: &str) -> Result<Value, Refusal> {
    let name = name.trim().to_lowercase();
    let wanted = name.clone();
    let removed = msp.store.decide(async move |tx| {
        let stored = tx.member(&wanted).await?;
        let Decision { changes, outcome } = desk::remove_member(stored.as_ref(), now_ms());
        Ok(Decision::of(changes, outcome))
    });
    match removed.await? {
        true => Ok(json!([{ "name": name }])),
        false => Err(Failure::new(format!(
            "nobody at the console is called {name:?}; `aid-msp member list` shows all"
        ))
        .into()),
    }
}
