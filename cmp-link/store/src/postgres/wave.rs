//! What the decisions of one transaction ask for at the same time, sent without waiting for each answer; statements of the
//! same text as one.

use super::shared;
use crate::{Statement, Value};
use deadpool_postgres::ClientWrapper;
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement as Prepared};

/// What a decision asks for at once.
pub(super) enum Asked {
    /// Rows.
    Query(Statement),
    /// How many rows it touches.
    Run(Statement),
    /// Nothing but their success, in their order.
    Write(Vec<Statement>),
    /// The success of a text of several statements.
    Script(String),
}

/// What a decision gets.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) count: u64,
}

/// The place of a statement's text in memory, and its length.
type Place = (usize, usize);

/// The forms for several lines of statements; none: it has no such form.
#[derive(Debug, Default)]
pub(super) struct Forms(RefCell<BTreeMap<Place, Option<Rc<str>>>>);

/// Statements of one text, each with the number of who asked.
struct Group {
    sql: &'static str,
    rows: bool,
    lines: Vec<(usize, Vec<Value<'static>>)>,
    shares: bool,
}

type Executing<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + 'a>>;

fn place(sql: &'static str) -> Place {
    (sql.as_ptr() as usize, sql.len())
}

fn is_read(asked: &Asked) -> bool {
    matches!(asked, Asked::Query(statement) if statement.sql.starts_with("SELECT "))
}

/// Whether nothing of this writes.
pub(super) fn only_reads(asked: &[(usize, Asked)]) -> bool {
    asked.iter().all(|(_, asked)| is_read(asked))
}

/// Reads first: another decision's writes are seen as a whole by the next wave, or not at all. Each decision's writes
/// keep their order.
fn groups(asked: Vec<(usize, Asked)>) -> (Vec<Group>, Vec<(usize, String)>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut scripts = Vec::new();
    let mut writes: Vec<(usize, bool, bool, VecDeque<Statement>)> = Vec::new();
    for (who, asked) in asked {
        let read = is_read(&asked);
        match asked {
            Asked::Query(Statement { sql, values }) if read => {
                match groups
                    .iter_mut()
                    .find(|group| place(group.sql) == place(sql))
                {
                    Some(group) => group.lines.push((who, values)),
                    None => groups.push(Group {
                        sql,
                        rows: true,
                        lines: vec![(who, values)],
                        shares: true,
                    }),
                }
            }
            Asked::Query(statement) => writes.push((who, true, false, [statement].into())),
            Asked::Run(statement) => writes.push((who, false, false, [statement].into())),
            Asked::Write(list) => writes.push((who, false, true, list.into())),
            Asked::Script(text) => scripts.push((who, text)),
        }
    }
    while let Some((_, rows, shares, first)) = writes.iter().find(|(.., list)| !list.is_empty()) {
        let (sql, rows, shares) = (first[0].sql, *rows, *shares);
        let mut lines = Vec::new();
        for (who, _, also, list) in &mut writes {
            let same = list
                .front()
                .is_some_and(|next| place(next.sql) == place(sql));
            if same
                && *also == shares
                && (shares || lines.is_empty())
                && let Some(statement) = list.pop_front()
            {
                lines.push((*who, statement.values));
            }
        }
        groups.push(Group {
            sql,
            rows,
            lines,
            shares,
        });
    }
    // Whoever locks several locks them in one order.
    for group in &mut groups {
        group.lines.sort_by(|a, b| a.1.cmp(&b.1));
    }
    (groups, scripts)
}

fn borrowed<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    let as_dyn = |value: &'v Value<'_>| value as &(dyn ToSql + Sync);
    values.iter().map(as_dyn).collect()
}

/// Whether a server will never accept a statement that it has refused with this code: class 42 (syntax error or access
/// rule violation) and 0A000 (feature not supported).
fn is_not_understood(code: &SqlState) -> bool {
    code.code().starts_with("42") || *code == SqlState::FEATURE_NOT_SUPPORTED
}

impl Forms {
    /// The form for several lines of a statement.
    async fn of(
        &self,
        client: &ClientWrapper,
        sql: &'static str,
    ) -> Result<Option<Rc<str>>, Error> {
        if let Some(known) = self.0.borrow().get(&place(sql)) {
            return Ok(known.clone());
        }
        let alone = client.prepare_cached(sql).await?;
        let form: Option<Rc<str>> = shared::form(sql, alone.params()).map(Rc::from);
        let understood = match &form {
            Some(text) => client.prepare_cached(text).await.map(|_| ()),
            None => Ok(()),
        };
        // One that the server does not understand fails this transaction, and no other. Any other failure, such as a lock
        // on its table or a full server, says nothing about the form: it is tried again.
        let known = match &understood {
            Ok(()) => form.clone(),
            Err(error) if error.code().is_some_and(is_not_understood) => None,
            Err(_) => return understood.map(|()| None),
        };
        self.0.borrow_mut().insert(place(sql), known);
        understood.map(|()| form)
    }
}

async fn execute(
    client: &ClientWrapper,
    statement: &Prepared,
    rows: bool,
    values: Vec<&(dyn ToSql + Sync)>,
) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    match rows {
        true => answer.rows = client.query(statement, &values).await?,
        false => answer.count = client.execute(statement, &values).await?,
    }
    Ok(answer)
}

/// Runs everything; what is in `before` before all of it. Yields an answer for each who asked, or the first failure.
pub(super) async fn send(
    client: &ClientWrapper,
    forms: &Forms,
    before: Option<&str>,
    asked: Vec<(usize, Asked)>,
) -> Result<Vec<(usize, Answer)>, Error> {
    let mut answers: BTreeMap<usize, Answer> = asked
        .iter()
        .map(|(who, _)| (*who, Answer::default()))
        .collect();
    let (groups, scripts) = groups(asked);
    let mut prepared = Vec::with_capacity(groups.len());
    for group in &groups {
        let form = match group.shares && group.lines.len() > 1 {
            true => forms.of(client, group.sql).await?,
            false => None,
        };
        let text = form.as_deref().unwrap_or(group.sql);
        let statement = client.prepare_cached(text).await?;
        prepared.push((statement, form.is_some()));
    }
    let mut executing: Vec<Executing<'_>> = Vec::new();
    // Who gets the answer of each; none: all of the group.
    let mut whose: Vec<(Option<usize>, &Group)> = Vec::new();
    for (group, (statement, shared)) in groups.iter().zip(&prepared) {
        if *shared {
            whose.push((None, group));
            executing.push(Box::pin(async move {
                let places = 0..statement.params().len();
                let columns: Vec<Vec<&Value<'_>>> = places
                    .map(|at| {
                        group
                            .lines
                            .iter()
                            .filter_map(|(_, line)| line.get(at))
                            .collect()
                    })
                    .collect();
                let columns = columns.iter().map(|column| column as &(dyn ToSql + Sync));
                execute(client, statement, group.rows, columns.collect()).await
            }));
        } else {
            for (who, values) in &group.lines {
                whose.push((Some(*who), group));
                executing.push(Box::pin(async move {
                    execute(client, statement, group.rows, borrowed(values)).await
                }));
            }
        }
    }
    let begin = async {
        match before {
            Some(text) => client.batch_execute(text).await,
            None => Ok(()),
        }
    };
    let (begun, done) = futures_util::future::join(begin, join_all(executing)).await;
    begun?;
    for (done, (who, group)) in done.into_iter().zip(whose) {
        let done = done?;
        match who {
            Some(who) => {
                let answer = answers.entry(who).or_default();
                answer.rows.extend(done.rows);
                answer.count += done.count;
            }
            None => {
                for row in done.rows {
                    // The last column is the number of its line, from 1.
                    let number: i64 = row.try_get(row.len().saturating_sub(1))?;
                    let line = usize::try_from(number - 1).ok();
                    if let Some((who, _)) = line.and_then(|line| group.lines.get(line)) {
                        answers.entry(*who).or_default().rows.push(row);
                    }
                }
            }
        }
    }
    for (_, text) in scripts {
        client.batch_execute(&text).await?;
    }
    Ok(answers.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_understood_is_given_up_for_good() {
        for code in ["42601", "42P01", "42703", "42883", "42501", "0A000"] {
            assert!(is_not_understood(&SqlState::from_code(code)), "{code}");
        }
        for code in [
            "57014", "57P01", "55P03", "53200", "53300", "53400", "40001", "40P01", "58030",
            "XX000", "25006", "25P02", "08006", "26000",
        ] {
            assert!(!is_not_understood(&SqlState::from_code(code)), "{code}");
        }
    }
}
