//! Statements that decisions of one transaction share on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Store, Stored, Tx, params};
use futures_util::future::try_join_all;
use stage::{add, begin, client, open, server, until, with_server};
use std::collections::BTreeMap;

/// Looks an item up in decisions that come together; yields which connections have the statement for several of them.
async fn shares(store: &Store) -> BTreeMap<i64, bool> {
    let looks = (0..60_i64).map(|id| {
        store.change_together(async move |tx: &Tx<'_>| -> Stored<(i64, bool)> {
            let text = "SELECT name FROM item WHERE id = $1 AND count >= 0";
            tx.exists(text, params![id]).await?;
            let text = "SELECT CAST(pg_backend_pid() AS BIGINT), COUNT(*) FROM pg_prepared_statements \
                 WHERE statement LIKE '%burst_line%' AND statement LIKE '%count >= 0%'";
            let found = tx.first(text, &[], |row| Ok((row.number()?, row.number::<i64>()? > 0)));
            Ok(found.await?.expect("a row"))
        })
    });
    let mut found = BTreeMap::new();
    for (pid, shares) in try_join_all(looks).await.unwrap() {
        *found.entry(pid).or_default() |= shares;
    }
    found
}

#[test]
fn a_form_that_could_not_be_prepared_for_a_while_is_tried_again() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        // The statement is known before on both connections, each for one at a time: what fails then is its form for
        // several.
        for _ in 0..20 {
            let one = || {
                store.change_together(async |tx: &Tx<'_>| {
                    let text = "SELECT name FROM item WHERE id = $1 AND count >= 0";
                    tx.exists(text, params![1_i64]).await
                })
            };
            try_join_all([one(), one()]).await.unwrap();
        }
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.batch_execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let other = client(&postgres).await;
        // Each connection is at work, so that the next decisions gather.
        let busy = || {
            store.change_together(async |tx: &Tx<'_>| {
                tx.exists("SELECT 1 FROM pg_sleep(0.5)", &[]).await
            })
        };
        let mut busy = Box::pin(try_join_all([busy(), busy()]));
        begin(&mut busy).await;
        until("both are at work", async || {
            let text = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            other.query_one(text, &[]).await.unwrap().get::<_, i64>(0) == 2
        })
        .await;
        let mut stuck = Box::pin(shares(&store));
        begin(&mut stuck).await;
        // The server gives up the first of each connection, as it does when it stops or an operator cancels it.
        let cancelled = async {
            until("both wait with the form", async || {
                let text = "SELECT COUNT(*) FROM pg_stat_activity \
                     WHERE wait_event_type = 'Lock' AND query LIKE '%burst_line%'";
                other.query_one(text, &[]).await.unwrap().get::<_, i64>(0) >= 2
            })
            .await;
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND query LIKE '%burst_line%'";
            other.execute(cancel, &[]).await.unwrap();
        };
        tokio::select! {
            _ = &mut stuck => panic!("they wait"),
            () = cancelled => {}
        }
        held.rollback().await.unwrap();
        stuck.await;
        busy.await.unwrap();
        until("both connections share again", async || {
            let found = shares(&store).await;
            found.values().filter(|shares| **shares).count() >= 2
        })
        .await;
    });
}

#[test]
fn statements_may_use_any_name_but_that_of_the_lines() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let other = client(&postgres).await;
        // The names that the form for several has, and others that it could have.
        let table = "CREATE TABLE q (n BIGINT PRIMARY KEY, a1 BIGINT NOT NULL, a2 TEXT, line BIGINT, lines BIGINT)";
        other.batch_execute(table).await.unwrap();
        for round in 0..3_i64 {
            let changes = (0..60_i64).map(|id| {
                store.change_together(async move |tx: &Tx<'_>| -> Stored<()> {
                    let insert = "INSERT INTO q (n, a1, a2, line) VALUES ($1, $2, $3, $2) \
                         ON CONFLICT (n) DO UPDATE SET a1 = excluded.a1, lines = q.a1, line = excluded.line";
                    let text = format!("$1 of {id}");
                    tx.run(insert, params![id, id + round, text.as_str()]).await?;
                    let look = "SELECT a.n, q.a1, a.line, lines.a2 FROM q a, q, q lines \
                         WHERE a.n = $1 AND q.n = a.n AND lines.n = q.n AND q.a1 = $2 AND a.a2 = $3 ORDER BY n, a1";
                    let values = params![id, id + round, text.as_str()];
                    let found = tx.all(look, values, |row| {
                        Ok((row.number::<i64>()?, row.number::<i64>()?, row.number::<i64>()?, row.text()?))
                    });
                    assert_eq!(found.await?, [(id, id + round, id + round, text.clone())]);
                    Ok(())
                })
            });
            try_join_all(changes).await.unwrap();
        }
        let sum = "SELECT CAST(SUM(a1) AS BIGINT) FROM q WHERE a1 = lines + 1";
        let sum: i64 = other.query_one(sum, &[]).await.unwrap().get(0);
        assert_eq!(sum, (2..62).sum::<i64>());
    });
}
