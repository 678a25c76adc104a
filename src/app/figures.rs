//! What `/metrics` shows beside the counters of the workers.

use super::certificates::{self, Certificates};
use crate::cache::Cache;
use crate::gateway::Plan;
use crate::listener::Listener;
use crate::telemetry::{Counters, Figure, Metrics, Reading};
use crate::upstream;
use arc_swap::ArcSwap;
use std::sync::Arc;

pub(super) fn metrics(
    counters: Vec<Arc<Counters>>,
    cache: &Arc<Cache>,
    listener: &Listener,
    tls: &Certificates,
    plan: &Arc<ArcSwap<Plan>>,
) -> Metrics {
    let mut figures = figures(cache, listener.connections());
    let mut families = tls.families();
    let plan = Arc::clone(plan);
    families.extend(upstream::families(move || plan.load().upstreams.clone()));
    let (family, figure) = certificates::handshakes(listener.handshakes());
    families.push(family);
    figures.push(figure);
    Metrics::new(counters, figures, families)
}

fn figures(
    cache: &Arc<Cache>,
    connections: impl Fn() -> usize + Send + Sync + 'static,
) -> Vec<Figure> {
    let of = |read: fn(&Cache) -> u64| -> Reading {
        let cache = Arc::clone(cache);
        Box::new(move || read(&cache))
    };
    vec![
        Figure {
            name: "bearward_connections",
            help: "Connections of the data port that are open",
            grows: false,
            reading: Box::new(move || connections() as u64),
        },
        Figure {
            name: "bearward_cache_entries",
            help: "Tokens in memory",
            grows: false,
            reading: of(|cache| cache.len() as u64),
        },
        Figure {
            name: "bearward_cache_evictions",
            help: "Tokens that made room for others",
            grows: false,
            reading: of(Cache::evictions),
        },
        Figure {
            name: "bearward_store_lookups",
            help: "Tokens that were looked up in the store, because they were not in memory",
            grows: true,
            reading: of(Cache::store_lookups),
        },
    ]
}
