//! Turns of those who ask for what only a pass over all tokens of an organization can answer.
//!
//! A pass of a million tokens takes a processor for a second and more. So an organization makes one at a
//! time, and a few of all at once; who waits waits here, holding no thread; and who finds too many in
//! the line is told to come back. So nobody's questions keep other organizations from being heard.

use super::problem::{Kind, Problem};
use crate::id::OrgId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Passes under way at a time, of all organizations: fewer than there are threads that may block.
pub const PASSES_MAX: usize = 4;
/// Requests of one organization that wait for a pass or make one.
pub const PASSES_PER_ORG_MAX: usize = 16;
/// Requests of all organizations that do: fewer than the admin port has room for.
pub const PASSES_WAITING_MAX: usize = 96;

/// The lines before the passes.
#[derive(Debug)]
pub struct Passes {
    under_way: Arc<Semaphore>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    of: HashMap<OrgId, Line>,
    length: usize,
}

/// Those of one organization.
#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    length: usize,
}

impl Default for Passes {
    fn default() -> Self {
        Self { under_way: Arc::new(Semaphore::new(PASSES_MAX)), lines: Mutex::default() }
    }
}

/// A place in a line; it is free again when this goes.
struct Place {
    passes: Arc<Passes>,
    org: OrgId,
}

/// The turn of somebody; it is over when this goes.
pub(super) struct Turn {
    _under_way: OwnedSemaphorePermit,
    _of_org: OwnedSemaphorePermit,
    _place: Place,
}

impl Passes {
    /// Waits for the turn of an organization; or says that too many do.
    pub(super) async fn turn(self: &Arc<Self>, org: OrgId) -> Result<Turn, Problem> {
        let (place, line) = self.line_up(org)?;
        let closed = |error| Problem::internal(&error);
        let of_org = line.acquire_owned().await.map_err(closed)?;
        let under_way = Arc::clone(&self.under_way).acquire_owned().await.map_err(closed)?;
        Ok(Turn { _under_way: under_way, _of_org: of_org, _place: place })
    }

    fn line_up(self: &Arc<Self>, org: OrgId) -> Result<(Place, Arc<Semaphore>), Problem> {
        let mut lines = self.lines();
        let Lines { of, length } = &mut *lines;
        let before = of.get(&org).map_or(0, |line| line.length);
        if before >= PASSES_PER_ORG_MAX {
            let told = "too many questions about all tokens of the organization wait; try again";
            return Err(Problem::new(Kind::Busy, told));
        }
        if *length >= PASSES_WAITING_MAX {
            let told = "too many questions about all tokens wait; try again";
            return Err(Problem::new(Kind::Busy, told));
        }
        let line =
            of.entry(org).or_insert_with(|| Line { turn: Arc::new(Semaphore::new(1)), length: 0 });
        line.length += 1;
        *length += 1;
        Ok((Place { passes: Arc::clone(self), org }, Arc::clone(&line.turn)))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.passes.lines();
        let Lines { of, length } = &mut *lines;
        *length -= 1;
        if let Some(line) = of.get_mut(&self.org) {
            line.length -= 1;
            if line.length == 0 {
                of.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn org(number: u128) -> OrgId {
        OrgId::from_bits(number)
    }

    /// The turn, if it is there at once.
    fn at_once(passes: &Arc<Passes>, org: OrgId) -> Option<Result<Turn, Problem>> {
        match pin!(passes.turn(org)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_organization_makes_one_at_a_time_and_all_together_a_few() {
        let passes = Arc::<Passes>::default();
        let first = at_once(&passes, org(1)).expect("at once").ok();
        assert!(at_once(&passes, org(1)).is_none(), "it waits for the first");
        let others: Vec<_> =
            (2..=PASSES_MAX as u128).map(|number| at_once(&passes, org(number))).collect();
        assert!(others.iter().all(|turn| matches!(turn, Some(Ok(_)))));
        assert!(at_once(&passes, org(99)).is_none(), "it waits for any");
        drop(first);
        assert!(matches!(at_once(&passes, org(99)), Some(Ok(_))));
        drop(others);
        let lines = passes.lines();
        assert_eq!((lines.length, lines.of.len()), (0, 0), "who does not wait leaves nothing");
    }

    #[test]
    fn the_lines_are_bounded() {
        let passes = Arc::<Passes>::default();
        let mut places: Vec<_> =
            (0..PASSES_PER_ORG_MAX).map(|_| passes.line_up(org(1)).expect("room")).collect();
        let full = passes.line_up(org(1)).err().expect("no room");
        assert_eq!(full.kind(), Kind::Busy);
        places.pop();
        places.push(passes.line_up(org(1)).expect("room again"));
        for number in 0..(PASSES_WAITING_MAX - PASSES_PER_ORG_MAX) as u128 {
            places.push(passes.line_up(org(2 + number)).expect("room"));
        }
        assert_eq!(passes.line_up(org(9_999)).err().expect("no room").kind(), Kind::Busy);
        places.clear();
        assert!(passes.line_up(org(1)).is_ok());
    }

    const _: () = assert!(PASSES_WAITING_MAX < super::super::REQUESTS_MAX / 2);
}
