//! Counters of the data plane, and what they look like to Prometheus.
//!
//! Each worker has counters of its own, on cache lines of its own, that only it writes; they are
//! added up when somebody asks.

use crate::access::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One worker's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    permitted: AtomicU64,
    denied: [AtomicU64; Reason::ALL.len()],
    objected: AtomicU64,
    unrouted: AtomicU64,
    too_long: AtomicU64,
    crowded: AtomicU64,
    failed: AtomicU64,
    log_lines_dropped: AtomicU64,
}

impl Counters {
    /// A request was permitted.
    pub fn permit(&self) {
        self.permitted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub fn deny(&self, reason: Reason) {
        self.denied[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not sound HTTP.
    pub fn object(&self) {
        self.objected.fetch_add(1, Ordering::Relaxed);
    }

    /// No route led anywhere.
    pub fn unrouted(&self) {
        self.unrouted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request announced a body that is too long.
    pub fn refuse_long(&self) {
        self.too_long.fetch_add(1, Ordering::Relaxed);
    }

    /// A permitted request found its upstream with as much to do as it may have.
    pub fn crowd(&self) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }

    /// A permitted request got no answer from its upstream.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A line of the access log was dropped because nothing takes them fast enough.
    pub fn drop_log_lines(&self, lines: u64) {
        self.log_lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

/// A figure that is read when somebody asks.
pub type Reading = Box<dyn Fn() -> u64 + Send + Sync>;

/// A figure beside those of the workers.
pub struct Figure {
    /// Its name, to which a counter has `_total` appended where it is shown.
    pub name: &'static str,
    /// What it is, in words.
    pub help: &'static str,
    /// Whether it only ever grows: a counter.
    pub grows: bool,
    /// What it is now.
    pub reading: Reading,
}

/// Figures of one kind, told apart by labels. There may be others each time that somebody asks.
pub struct Family {
    /// Their name, as in [`Figure`].
    pub name: &'static str,
    /// What they are, in words.
    pub help: &'static str,
    /// Whether they only ever grow.
    pub grows: bool,
    /// What they are now.
    pub reading: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

/// One figure of a [`Family`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What tells it apart.
    pub labels: Vec<(&'static str, String)>,
    /// What it is.
    pub value: u64,
}

/// Everything that `/metrics` shows.
pub struct Metrics {
    registry: Registry,
}

struct Sum {
    workers: Vec<Arc<Counters>>,
    figures: Vec<Figure>,
    families: Vec<Family>,
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sum").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Metrics {
    /// The metrics of these workers, and further figures.
    #[must_use]
    pub fn new(workers: Vec<Arc<Counters>>, figures: Vec<Figure>, families: Vec<Family>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Sum { workers, figures, families }));
        Self { registry }
    }

    /// The metrics as `OpenMetrics` text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _infallible = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Sum {
    fn of(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> ConstCounter<u64> {
        let sum = self.workers.iter().map(|worker| counter(worker).load(Ordering::Relaxed)).sum();
        ConstCounter::new(sum)
    }
}

impl Collector for Sum {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let permitted = self.of(|worker| &worker.permitted);
        let mut requests = encoder.encode_descriptor(
            "bearward_requests",
            "Requests by verdict",
            None,
            permitted.metric_type(),
        )?;
        let labels = |verdict| [("verdict", verdict)];
        permitted.encode(requests.encode_family(&labels("permit"))?)?;
        for reason in Reason::ALL {
            let denied = self.of(|worker| &worker.denied[reason as usize]);
            denied.encode(requests.encode_family(&labels(reason.as_str()))?)?;
        }
        self.of(|worker| &worker.objected).encode(requests.encode_family(&labels("unsound"))?)?;
        self.of(|worker| &worker.unrouted).encode(requests.encode_family(&labels("no_route"))?)?;
        self.of(|worker| &worker.too_long).encode(requests.encode_family(&labels("too_long"))?)?;
        self.of(|worker| &worker.crowded).encode(requests.encode_family(&labels("crowded"))?)?;
        for (name, help, counter) in [
            (
                "bearward_upstream_failures",
                "Permitted requests that got no answer from their upstream",
                self.of(|worker| &worker.failed),
            ),
            (
                "bearward_access_log_lines_dropped",
                "Lines of the access log that could not be written",
                self.of(|worker| &worker.log_lines_dropped),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        for Figure { name, help, grows, reading } in &self.figures {
            if *grows {
                let counter = ConstCounter::new(reading());
                let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
                counter.encode(metric)?;
            } else {
                let gauge = ConstGauge::new(i64::try_from(reading()).unwrap_or(i64::MAX));
                let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
        }
        for Family { name, help, grows, reading } in &self.families {
            let kind = if *grows { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for Sample { labels, value } in reading() {
                let metric = family.encode_family(&labels)?;
                if *grows {
                    ConstCounter::new(value).encode(metric)?;
                } else {
                    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
                }
            }
        }
        Ok(())
    }
}
