//! Prometheus metrics of a process: counters, gauges and durations that anybody may declare as a `static`.
//! They register themselves when first used; [`crate::admin`] serves [`render`] at `/metrics`.
//!
//! ```
//! use aid_serve::metrics::Counter;
//! static ORDERS: Counter = Counter::new("aid_cmp_orders", "Orders given to vehicles");
//! ORDERS.add(&[("kind", "delete")]);
//! ```
//!
//! A label's values come from the code or the configuration, never from a peer: each value is a time
//! series that is kept for the life of the process.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{counter, gauge, histogram};
use prometheus_client::registry::Registry;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::Duration;

/// Labels as the registry keeps them.
type Labels = Vec<(&'static str, String)>;

/// Content type of [`render`]: the text format of OpenMetrics, which Prometheus reads.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the durations' buckets, seconds.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0,
];

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn register<M>(name: &'static str, help: &'static str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    if let Ok(mut registry) = REGISTRY.lock() {
        registry.register(name, help, metric.clone());
    }
    metric
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// Counts events; its series ends with `_total`.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    help: &'static str,
    family: OnceLock<Family<Labels, counter::Counter>>,
}

impl Counter {
    /// A counter; `name` without `_total`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let family = OnceLock::new();
        Self { name, help, family }
    }

    /// Counts one event.
    pub fn add(&self, labels: &[(&'static str, &str)]) {
        self.add_many(labels, 1);
    }

    /// Counts several events.
    pub fn add_many(&self, labels: &[(&'static str, &str)], count: u64) {
        self.family
            .get_or_init(|| register(self.name, self.help, Family::default()))
            .get_or_create(&owned(labels))
            .inc_by(count);
    }
}

/// A number that goes up and down, such as connected vehicles.
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    family: OnceLock<Family<Labels, gauge::Gauge>>,
}

impl Gauge {
    /// A gauge.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let family = OnceLock::new();
        Self { name, help, family }
    }

    /// The number is this now.
    pub fn set(&self, labels: &[(&'static str, &str)], value: i64) {
        self.with(labels, |gauge| gauge.set(value));
    }

    /// There is no such number any more.
    pub fn remove(&self, labels: &[(&'static str, &str)]) {
        if let Some(family) = self.family.get() {
            family.remove(&owned(labels));
        }
    }

    /// The number changes by this.
    pub fn change(&self, labels: &[(&'static str, &str)], by: i64) {
        self.with(labels, |gauge| gauge.inc_by(by));
    }

    fn with(&self, labels: &[(&'static str, &str)], f: impl FnOnce(&gauge::Gauge) -> i64) {
        let family = self
            .family
            .get_or_init(|| register(self.name, self.help, Family::default()));
        f(&family.get_or_create(&owned(labels)));
    }
}

type Durations = Family<Labels, histogram::Histogram, fn() -> histogram::Histogram>;

/// How long something takes; its series are in seconds, so `name` ends with `_seconds`.
#[derive(Debug)]
pub struct Timer {
    name: &'static str,
    help: &'static str,
    family: OnceLock<Durations>,
}

impl Timer {
    /// A timer.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let family = OnceLock::new();
        Self { name, help, family }
    }

    /// It took this long.
    pub fn took(&self, labels: &[(&'static str, &str)], time: Duration) {
        let new: fn() -> histogram::Histogram = || histogram::Histogram::new(BUCKETS);
        self.family
            .get_or_init(|| register(self.name, self.help, Family::new_with_constructor(new)))
            .get_or_create(&owned(labels))
            .observe(time.as_secs_f64());
    }
}

static BUILD: Gauge = Gauge::new(
    "aid_build_info",
    "1, with the program and its version as labels",
);

/// Says which program this is, in which version.
pub fn build_info(program: &'static str, version: &'static str) {
    BUILD.set(&[("program", program), ("version", version)], 1);
}

/// Everything that was counted so far, as text.
#[must_use]
pub fn render() -> String {
    let mut text = String::new();
    if let Ok(registry) = REGISTRY.lock() {
        // Writing into a String does not fail.
        let _ = encode(&mut text, &registry);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    static EVENTS: Counter = Counter::new("test_events", "Events of this test");
    static CARS: Gauge = Gauge::new("test_cars", "Cars of this test");
    static TIMES: Timer = Timer::new("test_seconds", "Times of this test");

    #[test]
    fn what_is_counted_is_rendered() {
        EVENTS.add(&[("kind", "a\"b\n")]);
        EVENTS.add_many(&[("kind", "a\"b\n")], 2);
        CARS.set(&[], 5);
        CARS.change(&[], -2);
        TIMES.took(&[], Duration::from_millis(2));
        let text = render();
        for line in [
            "# TYPE test_events counter",
            "test_events_total{kind=\"a\\\"b\\n\"} 3",
            "test_cars 3",
            "test_seconds_bucket{le=\"0.0025\"} 1",
            "test_seconds_bucket{le=\"0.001\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
