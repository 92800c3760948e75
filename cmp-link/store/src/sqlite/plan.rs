//! How a statement finds its rows. A server has millions of vehicles, so a statement that reads a table from end to end
//! is a defect that no small test notices. Debug builds therefore look at the plan of each statement before its first
//! use, and refuse one that would do so: every test of the servers looks for such a statement.

use rusqlite::Connection;

/// A statement whose text has this comment may read a whole table, or a whole partial index. The reason follows, up to
/// the end of the comment.
const ALLOWED: &str = "/* reads all: ";

/// Why a statement may not be run, if so.
///
/// Its plan may search by keys and indexes. It may scan an index too where it yields a page of it: where the index gives
/// the order and the statement has a LIMIT.
pub(crate) fn objection(connection: &Connection, sql: &str) -> rusqlite::Result<Option<String>> {
    if sql.contains(ALLOWED) || !begins_as_query(sql) {
        return Ok(None);
    }
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut plan: Vec<String> = Vec::new();
    // No values are bound: the plan is the same for all.
    let mut rows = explain.raw_query();
    while let Some(row) = rows.next()? {
        plan.push(row.get("detail")?);
    }
    let has_limit = sql.contains("LIMIT");
    // The last order is the statement's own, and not that of a part of it.
    let own_order = sql
        .rsplit_once("ORDER BY")
        .is_some_and(|(_, order)| order.contains("LIMIT"));
    let sorts = |step: &String| step.contains("USE TEMP B-TREE FOR ORDER BY");
    if own_order && plan.iter().any(sorts) {
        let text =
            "a statement reads and sorts all that it finds, and not only the page that it yields";
        return Ok(Some(format!("{text}: {sql}")));
    }
    let reads_all = |step: &&String| {
        let scans = step.starts_with("SCAN ") && !is_intermediate(step, &plan);
        scans && !(has_limit && step.contains(" USING "))
    };
    Ok(plan
        .iter()
        .find(reads_all)
        .map(|step| format!("a statement reads a whole table or index ({step}): {sql}")))
}

fn begins_as_query(sql: &str) -> bool {
    let sql = sql.trim_start();
    let starts = |word: &&str| {
        sql.get(..word.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(word))
    };
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        .iter()
        .any(starts)
}

/// Whether a step scans what the statement has made itself: the rows of a VALUES, of an IN, of another SELECT.
fn is_intermediate(step: &str, plan: &[String]) -> bool {
    let what = step.trim_start_matches("SCAN ");
    let made = ["CO-ROUTINE ", "MATERIALIZE "].map(|how| format!("{how}{what}"));
    plan.iter().any(|step| made.contains(step))
        || what.starts_with("CONSTANT ROW")
        || what.starts_with('(')
        || what.starts_with("LIST SUBQUERY")
        || what.contains("VIRTUAL TABLE")
        || what.contains("-ROW VALUES CLAUSE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_reads_a_whole_table_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT); CREATE INDEX t_a ON t (a); \
             CREATE INDEX t_open ON t (a) WHERE b = 'open'; CREATE TABLE u (t INTEGER, c TEXT);";
        connection.execute_batch(tables).unwrap();
        for good in [
            "SELECT * FROM t WHERE id = ?1",
            "SELECT * FROM t WHERE a > ?1 ORDER BY a LIMIT 10",
            "SELECT * FROM t ORDER BY a LIMIT 10",
            "SELECT * FROM t WHERE id IN (?1, ?2)",
            "DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a < ?1 LIMIT 500)",
            "INSERT INTO t (a) VALUES (?1)",
            "SELECT MAX(n) FROM (SELECT ?1 AS n UNION ALL SELECT id FROM t WHERE a = ?2) AS some",
            "SELECT * FROM t WHERE id IN (SELECT id FROM (SELECT id FROM t WHERE a = ?1 LIMIT 9) AS some)",
            "/* reads all: by the operator */ SELECT COUNT(*) FROM t",
            "SELECT COUNT(*) FROM t /* reads all: by the operator */",
        ] {
            assert_eq!(objection(&connection, good).unwrap(), None, "{good}");
        }
        for bad in [
            "SELECT * FROM t",
            "SELECT COUNT(*) FROM t",
            "SELECT * FROM t ORDER BY a",
            "SELECT * FROM t WHERE b = ?1 LIMIT 10",
            "SELECT * FROM t ORDER BY b LIMIT 10",
            "SELECT * FROM t WHERE a = ?1 ORDER BY b LIMIT 10",
            "SELECT COUNT(*) FROM t WHERE b = 'open'",
            "UPDATE t SET b = ?1 WHERE b = ?2",
            "DELETE FROM u WHERE t = ?1",
            "SELECT * FROM t JOIN u ON u.t = t.id WHERE t.a = ?1",
            "SELECT * FROM t WHERE a = ?1 AND EXISTS (SELECT 1 FROM u WHERE u.t = t.id)",
        ] {
            assert!(objection(&connection, bad).unwrap().is_some(), "{bad}");
        }
    }
}
