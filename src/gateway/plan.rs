//! The routes and upstreams in force, and a worker's pools for them.
//!
//! A reload puts another plan in the place of the one before. A worker binds it when its next request
//! comes; requests in flight keep the one that they began with, pools included.

use super::route::Routes;
use crate::config::OwnPorts;
use crate::phase::Ticks;
use crate::upstream::{Pool, Roster};
use std::rc::Rc;
use std::sync::Arc;

/// Routes and upstreams of one loading of the configuration.
#[derive(Debug)]
pub struct Plan {
    /// Counts the loadings.
    pub generation: u64,
    /// The routes.
    pub routes: Routes,
    /// The upstreams, as the routes number them.
    pub upstreams: Vec<Arc<Roster>>,
}

/// A plan with this worker's pools for it.
pub(super) struct Bound {
    pub(super) plan: Arc<Plan>,
    pub(super) pools: Vec<Rc<Pool>>,
}

impl Bound {
    pub(super) fn new(plan: Arc<Plan>, own: OwnPorts, ticks: &Ticks) -> Self {
        let pool =
            |roster: &Arc<Roster>| Rc::new(Pool::new(Arc::clone(roster), own, ticks.clone()));
        let pools = plan.upstreams.iter().map(pool).collect();
        Self { plan, pools }
    }
}
