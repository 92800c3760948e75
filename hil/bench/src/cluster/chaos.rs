//! The kills: one after the other, drawn from a seed, each under load and each followed until the cluster is whole.

use super::books::Books;
use super::broker::Broker;
use super::database::Database;
use super::foreign::LOOK;
use super::setup::{self, INSTANCES};
use crate::process::Part;
use crate::site::Site;
use aid_cli::cli::{self, Failure};
use std::time::{Duration, Instant};

/// Acknowledgements to MSPs and to cars, of each so many, between two kills.
const BETWEEN: usize = 15;
/// Longest wait for them: more than a failover takes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the standby's receiver stands still before the primary is killed.
const FROZEN: Duration = Duration::from_millis(1500);
/// How long a node that was killed stays away at most.
const AWAY: Duration = Duration::from_secs(3);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An instance of aid-cmp.
    AidCmp,
    /// The broker.
    Broker,
    /// The primary of the database, with its Patroni.
    Primary,
    /// The standby, with its Patroni.
    Standby,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::AidCmp, Self::Broker, Self::Primary, Self::Standby];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AidCmp => "aid-cmp",
            Self::Broker => "broker",
            Self::Primary => "database primary",
            Self::Standby => "database standby",
        }
    }
}

/// A kill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kill {
    pub(super) kind: Kind,
    /// When it was dead.
    pub(super) at: Instant,
    /// When the cluster was whole and the load went on.
    pub(super) whole: Instant,
}

/// Numbers from a seed (SplitMix64), so that a run can be repeated.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of so many; at least one.
    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn part_of(&mut self, time: Duration) -> Duration {
        let millis = usize::try_from(time.as_millis()).unwrap_or(1);
        Duration::from_millis(self.below(millis) as u64)
    }

    /// Each kind so often, in an order that is drawn.
    pub(super) fn order(&mut self, kinds: &[Kind], each: usize) -> Vec<Kind> {
        let mut all: Vec<Kind> = kinds
            .iter()
            .flat_map(|kind| std::iter::repeat_n(*kind, each))
            .collect();
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
        all
    }
}

/// All that can be killed.
pub(super) struct Cluster<'a> {
    pub(super) site: &'a Site,
    pub(super) database: Database,
    pub(super) broker: Broker,
    pub(super) cmps: Vec<Part>,
    pub(super) log: &'a str,
    /// Whether the standby's receiver is always stopped before the primary is killed, and not every second time.
    pub(super) always_freeze: bool,
}

impl Cluster<'_> {
    /// Kills in this order.
    pub(super) async fn play(
        &mut self,
        order: Vec<Kind>,
        draw: &mut Draw,
        books: &Books,
    ) -> Result<Vec<Kill>, Failure> {
        let (mut kills, count) = (Vec::new(), order.len());
        self.goes_on(books).await?;
        for (n, kind) in order.into_iter().enumerate() {
            tokio::time::sleep(draw.part_of(Duration::from_secs(1))).await;
            let at = self.kill(kind, draw).await?;
            self.goes_on(books).await?;
            let whole = Instant::now();
            let seconds = (whole - at).as_secs_f64();
            let name = kind.name();
            cli::line_to_stderr(&format!(
                "kill {} of {count}: {name}, whole after {seconds:.1} s",
                n + 1
            ));
            kills.push(Kill { kind, at, whole });
        }
        Ok(kills)
    }

    /// Waits until the load has made progress; everything must run.
    async fn goes_on(&mut self, books: &Books) -> Result<(), Failure> {
        if let Some(ended) = self.cmps.iter_mut().find_map(Part::ended) {
            return Err(ended);
        }
        match books.wait_more(BETWEEN, PATIENCE).await {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "the load did not go on for {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    /// Kills one of this kind and starts it again; yields when it was killed.
    async fn kill(&mut self, kind: Kind, draw: &mut Draw) -> Result<Instant, Failure> {
        match kind {
            Kind::AidCmp => self.kill_cmp(draw).await,
            Kind::Broker => self.kill_broker(draw).await,
            Kind::Primary => self.kill_primary(draw).await,
            Kind::Standby => self.kill_standby(draw).await,
        }
    }

    async fn kill_cmp(&mut self, draw: &mut Draw) -> Result<Instant, Failure> {
        let n = draw.below(INSTANCES);
        self.cmps[n].kill();
        let at = Instant::now();
        tokio::time::sleep(draw.part_of(AWAY)).await;
        self.cmps[n] = tokio::task::block_in_place(|| setup::start(self.site, n, self.log))?;
        Ok(at)
    }

    async fn kill_broker(&mut self, draw: &mut Draw) -> Result<Instant, Failure> {
        self.broker.kill();
        let at = Instant::now();
        tokio::time::sleep(draw.part_of(AWAY)).await;
        self.broker.restart().await?;
        Ok(at)
    }

    async fn primary(&self) -> Result<usize, Failure> {
        let primary = self.database.primary().await;
        primary.ok_or_else(|| Failure::new("the database has no primary"))
    }

    async fn kill_primary(&mut self, draw: &mut Draw) -> Result<Instant, Failure> {
        self.database.wait_whole().await?;
        let primary = self.primary().await?;
        let standby = Database::other(primary);
        // What the primary writes now, the standby does not get.
        let frozen = match self.always_freeze || draw.below(2) == 0 {
            true => self.database.freeze(standby),
            false => None,
        };
        if frozen.is_some() {
            tokio::time::sleep(FROZEN).await;
        }
        self.database.kill(primary).await;
        let at = Instant::now();
        Database::thaw(frozen);
        let until = Instant::now() + PATIENCE;
        while self.database.primary().await != Some(standby) {
            if Instant::now() > until {
                return Err(Failure::new("the standby did not take over"));
            }
            tokio::time::sleep(LOOK * 4).await;
        }
        self.database.restart(primary)?;
        self.database.wait_whole().await?;
        Ok(at)
    }

    async fn kill_standby(&mut self, draw: &mut Draw) -> Result<Instant, Failure> {
        self.database.wait_whole().await?;
        let standby = Database::other(self.primary().await?);
        self.database.kill(standby).await;
        let at = Instant::now();
        tokio::time::sleep(draw.part_of(AWAY)).await;
        self.database.restart(standby)?;
        self.database.wait_whole().await?;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_each_kind_as_often_as_asked_and_depends_on_the_seed_alone() {
        let order = |seed| Draw(seed).order(&Kind::ALL, 25);
        let first = order(7);
        for kind in Kind::ALL {
            assert_eq!(first.iter().filter(|k| **k == kind).count(), 25);
        }
        assert_eq!(first, order(7));
        assert_ne!(first, order(8));
    }
}
