//! Who signs in at the console.

use aid_store::{Fields, params};

use crate::core::desk::Member;
use crate::store::{Stored, Tx};

fn member(row: &mut Fields<'_>) -> Stored<Member> {
    Ok(Member {
        name: row.text()?,
        role: row.parsed()?,
        password: row.text()?,
        created_at: row.number()?,
    })
}

impl Tx<'_> {
    /// Everybody who may sign in, by name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn members(self) -> Stored<Vec<Member>> {
        let sql = "/* reads all: a handful of people */ SELECT name, role, password, created_at FROM member ORDER BY name";
        self.all(sql, &[], member).await
    }

    /// Somebody who may sign in.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn member(self, name: &str) -> Stored<Option<Member>> {
        let sql = "SELECT name, role, password, created_at FROM member WHERE name = $1";
        self.first(sql, params![name], member).await
    }

    /// Who is signed in with the cookie of this hash at `now`, ms since 1970.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn signed_in(self, cookie: &str, now: i64) -> Stored<Option<Member>> {
        let sql = "SELECT m.name, m.role, m.password, m.created_at FROM desk_session s
                   JOIN member m ON m.name = s.member WHERE s.cookie = $1 AND s.expires_at > $2";
        self.first(sql, params![cookie, now], member).await
    }
}
