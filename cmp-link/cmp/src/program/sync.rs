//! `sync`: the MSPs are asked which profiles they have, and what they say is compared (§4.6).

use super::admin::Admin;
use crate::config::Config;
use crate::operator::{
    Listed, account, federation, iccid, id_text, locked_federation, place, time,
};
use crate::outbox::listing;
use crate::service::fresh;
use crate::store::Tx;
use crate::views;
use aid_aid1::client::Call;
use aid_cli::cli::Failure;
use aid_cli::list::{List, PageArgs, show_all};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::sync::{self, Listing};
use aid_cmp_core::model::{Federation, SyncRun};
use aid_id::Iccid;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

/// The first columns of a table of synchronisations.
const COLUMNS: [&str; 3] = ["at", "federation", "outcome"];
/// Links that are read at once.
const PAGE: u32 = 100;

/// Whose profiles are compared.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SyncWhom {
    /// Of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this link; `federation list` shows them.
    #[arg(long, value_name = "ID")]
    federation: Option<Uuid>,
    /// Of all users.
    #[arg(long)]
    all: bool,
}

fn sync_row(r: &SyncRun) -> Value {
    let findings = serde_json::from_str::<Value>(&r.findings).unwrap_or_default();
    json!({
        "sync": id_text(r.id), "federation": id_text(r.federation), "at": time(r.at),
        "outcome": r.outcome, "findings": findings,
    })
}

impl Admin<'_> {
    /// Asks the MSPs now and compares (§4.6).
    pub(super) async fn sync(
        &self,
        config: &Config,
        whom: &SyncWhom,
        one: Option<&str>,
    ) -> Result<(), Failure> {
        let one = one.map(iccid).transpose()?;
        let mut list = List::new(&COLUMNS, self.json);
        if let Some(id) = whom.federation {
            let federation = self
                .operator
                .look(async move |tx| federation(tx, id).await)
                .await?;
            list.print(vec![self.sync_one(config, federation, one).await?])?;
            return list.end();
        }
        if let Some(user) = whom.user.clone() {
            let links = async move |tx: &Tx<'_>| {
                let account = account(tx, &user).await?;
                Ok(tx.federations(account.id).await?)
            };
            for federation in self.operator.look(links).await? {
                if federation.ended_at.is_none() {
                    list.print(vec![self.sync_one(config, federation, one.clone()).await?])?;
                }
            }
            return list.end();
        }
        let mut after = None;
        loop {
            let links = async move |tx: &Tx<'_>| tx.all_federations(after, PAGE).await;
            let links = self.store().read(links).await?;
            after = links.last().map(|last| last.id);
            if after.is_none() {
                return list.end();
            }
            for federation in links.into_iter().filter(|f| f.ended_at.is_none()) {
                list.print(vec![self.sync_one(config, federation, one.clone()).await?])?;
            }
        }
    }

    async fn sync_one(
        &self,
        config: &Config,
        federation: Federation,
        one: Option<Iccid>,
    ) -> Result<Value, Failure> {
        let id = federation.id;
        let failed =
            |text: String| json!({"federation": id_text(id), "outcome": "failed", "error": text});
        let Some(msp) = config.agreed.msps.iter().find(|m| m.name == federation.msp) else {
            return Ok(failed(format!("no [[msp]] is called {:?}", federation.msp)));
        };
        let run = fresh();
        let call = Call {
            request_id: Uuid::from_bytes(run),
            correlation_id: Uuid::from_bytes(fresh()),
        };
        let token = federation.token;
        let asked = msp.client.request_profile_status(call, token, one.as_ref());
        let answer: Listing = match listing(asked.await, one.is_some()) {
            Ok(answer) => answer,
            Err(error) => return Ok(failed(error.to_string())),
        };
        let wanted = self.operator.wanting().contains(&federation.msp);
        let decide = self.operator.decide(async move |tx, context| {
            let federation = locked_federation(tx, Uuid::from_bytes(id)).await?;
            let (one, answer) = (one.clone(), answer.clone());
            let view = views::sync(
                tx,
                context,
                federation,
                one,
                answer,
                wanted,
                views::Asker::Operator,
            )
            .await?;
            let mut decision = sync::compare(context, &view, run);
            let row = decision.changes.iter().find_map(|change| match change {
                Change::AddSyncRun(run) => Some(sync_row(run)),
                _ => None,
            });
            let detail = format!("federation {}", id_text(id));
            let audit = context.audit("operator", "synchronised", detail);
            decision.changes.push(audit);
            Ok((decision, row.unwrap_or_default()))
        });
        Ok(decide.await?)
    }

    pub(super) async fn sync_report(
        &self,
        of: Option<Uuid>,
        page: &PageArgs,
    ) -> Result<(), Failure> {
        if let Some(id) = of {
            let read = async move |tx: &Tx<'_>| {
                federation(tx, id).await?;
                Ok(tx.sync_runs(id.into_bytes()).await?)
            };
            let runs = self.operator.look(read).await?;
            return show_all(&COLUMNS, runs.iter().map(sync_row).collect(), self.json);
        }
        self.list(&COLUMNS, page, async |after, limit| {
            let after: Option<Uuid> = place(after)?;
            let read = async move |tx: &Tx<'_>| {
                let mut rows: Vec<Listed> = Vec::new();
                for f in tx
                    .all_federations(after.map(Uuid::into_bytes), limit)
                    .await?
                {
                    let run = tx.newest_sync_run(f.id).await?;
                    rows.push((id_text(f.id), run.as_ref().map(sync_row)));
                }
                Ok(rows)
            };
            Ok(self.store().read(read).await?)
        })
        .await
    }
}
