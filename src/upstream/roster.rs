//! What all workers know of an upstream: its addresses, and how they fare.
//!
//! Workers read it at their ticks and write to it when an address changes its state, so no request
//! touches what another worker writes, but for the count of connections, and that only where one is
//! made or closed.

use super::circuit::Load;
use crate::config::{Address, Upstream};
use crate::telemetry::{Family, Sample};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// An upstream as the workers share it.
#[derive(Debug)]
pub struct Roster {
    /// What the configuration says about it.
    pub spec: Upstream,
    /// How many connections it has, and how many requests wait for one.
    pub load: Arc<Load>,
    endpoints: Vec<Arc<Endpoint>>,
}

/// One address, and what all workers make of it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub(super) address: Address,
    /// How many workers leave it out.
    pub(super) ejected_by: AtomicUsize,
    /// How often any of them began to.
    pub(super) ejections: AtomicU64,
}

impl Roster {
    /// The upstreams of a configuration.
    #[must_use]
    pub fn all(specs: &[Upstream]) -> Vec<Arc<Self>> {
        specs.iter().map(|spec| Arc::new(Self::new(spec.clone()))).collect()
    }

    fn new(spec: Upstream) -> Self {
        let endpoint = |address: &Address| {
            Arc::new(Endpoint {
                address: address.clone(),
                ejected_by: AtomicUsize::new(0),
                ejections: AtomicU64::new(0),
            })
        };
        let endpoints = spec.addresses.iter().map(endpoint).collect();
        Self { spec, load: Arc::default(), endpoints }
    }

    pub(super) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }
}

/// What `/metrics` shows of the upstreams that are in force whenever somebody asks.
pub fn families(
    rosters: impl Fn() -> Vec<Arc<Roster>> + Clone + Send + Sync + 'static,
) -> Vec<Family> {
    let family = |name, help, grows, read: fn(&Roster) -> Vec<Sample>| {
        let rosters = rosters.clone();
        let reading = move || rosters().iter().flat_map(|roster| read(roster)).collect();
        Family { name, help, grows, reading: Box::new(reading) }
    };
    vec![
        family(
            "bearward_upstream_connections",
            "Connections to upstreams, idle ones among them",
            false,
            |roster| vec![roster.sample(roster.load.connections() as u64)],
        ),
        family(
            "bearward_upstream_pending",
            "Requests that wait for a connection to their upstream",
            false,
            |roster| vec![roster.sample(roster.load.pending() as u64)],
        ),
        family(
            "bearward_upstream_ejected",
            "How many workers leave an address out because it failed",
            false,
            |roster| roster.samples(|it| it.ejected_by.load(Ordering::Relaxed) as u64),
        ),
        family(
            "bearward_upstream_ejections",
            "How often a worker began to leave an address out",
            true,
            |roster| roster.samples(|it| it.ejections.load(Ordering::Relaxed)),
        ),
    ]
}

impl Roster {
    fn sample(&self, value: u64) -> Sample {
        Sample { labels: vec![("upstream", self.spec.name.clone())], value }
    }

    fn samples(&self, read: fn(&Endpoint) -> u64) -> Vec<Sample> {
        let sample = |endpoint: &Arc<Endpoint>| {
            let mut sample = self.sample(read(endpoint));
            sample.labels.push(("address", endpoint.address.to_string()));
            sample
        };
        self.endpoints().iter().map(sample).collect()
    }
}
