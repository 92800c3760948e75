//! Each change as SQL statements.

use aid_cmp_core::change::Change;
use aid_store::Statement;

pub(super) fn statements(change: Change) -> Vec<Statement> {
    let _ = change;
    Vec::new()
}
