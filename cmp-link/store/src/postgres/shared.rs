//! One statement for several of the same text: the values of all go to the server as arrays, one for each place.
//!
//! What a text means alone it means here for each line of the arrays. So only forms are shared of which that is
//! certain: a SELECT, which becomes a subquery for each line; `INSERT ... VALUES (...)`, which inserts each line and fails
//! as a whole where two lines have the same key; and `DELETE ... WHERE column = $1`. An UPDATE whose lines meet the same row
//! would apply one of them and drop the others.

use tokio_postgres::types::{Kind, Type};

/// The text for several lines, for places of these types; none where it can't be shared.
///
/// The arrays stand in subqueries, so that the server does not plan anew for each length.
pub(super) fn form(sql: &str, types: &[Type]) -> Option<String> {
    if types.is_empty() || !types.iter().all(|ty| matches!(ty.kind(), Kind::Simple)) {
        return None;
    }
    if sql.starts_with("SELECT ") {
        let body = with_columns(sql)?;
        // Without it the subquery could be joined with the lines in another order.
        let fence = match ["LIMIT", " FOR "].iter().any(|word| sql.contains(word)) {
            true => "",
            false => " OFFSET 0",
        };
        let lines = lines(types, true);
        return Some(format!(
            "SELECT q.*, burst_line.n FROM {lines} CROSS JOIN LATERAL ({body}{fence}) AS q"
        ));
    }
    if sql.starts_with("INSERT INTO ") {
        let (head, rest) = sql.split_once("VALUES (")?;
        let end = closing(rest)?;
        let (values, tail) = (rest.get(..end)?, rest.get(end + 1..)?);
        if head.contains('$') || tail.contains('$') {
            return None;
        }
        let (values, lines) = (with_columns(values)?, lines(types, false));
        return Some(format!("{head}SELECT {values} FROM {lines}{tail}"));
    }
    if let (Some(rest), [ty]) = (sql.strip_prefix("DELETE FROM "), types) {
        let (table, condition) = rest.split_once(" WHERE ")?;
        let column = condition.strip_suffix(" = $1")?;
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = ty.name();
        return (is_name(table) && is_name(column)).then(|| {
            format!("DELETE FROM {table} WHERE {column} = ANY ((SELECT $1::{name}[])::{name}[])")
        });
    }
    None
}

/// The arrays as a table `burst_line` (a name that no statement has) with a column `a1`, `a2`, ... for each place, and `n`, the number of the line.
fn lines(types: &[Type], numbered: bool) -> String {
    let places = types.iter().enumerate();
    let arrays = places.clone();
    let arrays = arrays.map(|(at, ty)| format!("(SELECT ${}::{}[])", at + 1, ty.name()));
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    let columns = places.map(|(at, _)| format!("a{}", at + 1));
    let columns = columns.collect::<Vec<_>>().join(", ");
    match numbered {
        true => format!("unnest({arrays}) WITH ORDINALITY AS burst_line ({columns}, n)"),
        false => format!("unnest({arrays}) AS burst_line ({columns})"),
    }
}

/// Each place as the column of the lines. None where a text in quotes makes it uncertain what is a place.
fn with_columns(sql: &str) -> Option<String> {
    let quoted = sql.split('\'').skip(1).step_by(2);
    if sql.contains('"') || quoted.clone().any(|text| text.contains('$')) {
        return None;
    }
    Some(sql.replace('$', "burst_line.a"))
}

/// Where the parenthesis closes that was opened before this text. None where there may be one in quotes.
fn closing(sql: &str) -> Option<usize> {
    let mut open = 1;
    for (at, c) in sql.char_indices() {
        match c {
            '\'' => return None,
            '(' => open += 1,
            ')' if open == 1 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_select_is_asked_for_each_line() {
        let types = [Type::TEXT, Type::UUID];
        let text = form(
            "SELECT a FROM t WHERE b = $2 AND c = $1 AND d <> 'x'",
            &types,
        );
        assert_eq!(
            text.as_deref(),
            Some(
                "SELECT q.*, burst_line.n FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[])) WITH ORDINALITY \
                 AS burst_line (a1, a2, n) CROSS JOIN LATERAL (SELECT a FROM t WHERE b = burst_line.a2 AND c = burst_line.a1 AND \
                 d <> 'x' OFFSET 0) AS q"
            )
        );
    }

    #[test]
    fn an_insert_takes_all_lines() {
        let text =
            "INSERT INTO t (a, b) VALUES ($1, 0) ON CONFLICT (a) DO UPDATE SET b = excluded.b";
        assert_eq!(
            form(text, &[Type::INT8]).as_deref(),
            Some(
                "INSERT INTO t (a, b) SELECT burst_line.a1, 0 FROM unnest((SELECT $1::int8[])) AS burst_line (a1) \
                 ON CONFLICT (a) DO UPDATE SET b = excluded.b"
            )
        );
    }

    #[test]
    fn what_is_uncertain_is_not_shared() {
        for text in [
            "UPDATE t SET a = $1",
            "INSERT INTO t (a) SELECT id FROM u WHERE id = $1",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $1",
            "DELETE FROM t WHERE a = $1 AND b = 2",
            "DELETE FROM t WHERE a LIKE $1",
            "SELECT a FROM t WHERE b = '$1' AND c = $1",
            "WITH u AS (SELECT 1) SELECT $1",
        ] {
            assert_eq!(form(text, &[Type::TEXT]), None, "{text}");
        }
        assert_eq!(form("SELECT 1", &[]), None);
        assert!(form("DELETE FROM t WHERE a = $1", &[Type::TEXT]).is_some());
    }
}
