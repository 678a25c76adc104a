//! Looks after the files of certificates: at once when something happens in a directory of theirs,
//! which is how both an editor and a volume of Kubernetes replace a file, and every minute besides.

use super::live::Live;
use crate::time::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the files are looked at although nothing was heard of them.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long after the first thing that happens they are looked at: a certificate and its key are
/// seldom written in one moment.
const SETTLE: Duration = Duration::from_millis(100);

/// The thread that watches the files, until this is dropped or stopped.
#[derive(Debug)]
pub struct Watch {
    stop: PipeWriter,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch. `clock` tells the time.
    pub fn start(ports: Vec<Arc<Live>>, clock: fn() -> Timestamp) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let heard = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|error| {
                tracing::warn!(%error, "certificates are looked at once a minute only");
            })
            .ok();
        let work = move || {
            let mut next = Instant::now() + LOOK_EVERY;
            loop {
                listen(&ports, heard.as_ref());
                let again = match wait(&stopped, heard.as_ref(), next)? {
                    Woken::Stopped => return Ok(()),
                    Woken::Heard => {
                        thread::sleep(SETTLE);
                        false
                    }
                    Woken::Elapsed => {
                        next = Instant::now() + LOOK_EVERY;
                        true
                    }
                };
                heard.as_ref().map(forget);
                for port in &ports {
                    port.look(clock(), again);
                }
            }
        };
        let work = move || {
            let ended: io::Result<()> = work();
            if let Err(error) = ended {
                tracing::error!(%error, "CERTIFICATES ARE NOT LOOKED AT ANY MORE: SIGHUP takes them");
            }
        };
        let thread = thread::Builder::new().name("certificates".into()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Ends it. Blocks for a moment.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

enum Woken {
    Stopped,
    Heard,
    Elapsed,
}

/// Listens to all directories. One that is listened to already is not listened to twice, and one
/// that has come in the place of another is found here.
fn listen(ports: &[Arc<Live>], heard: Option<&OwnedFd>) {
    let Some(heard) = heard else { return };
    let what = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::ATTRIB
        | WatchFlags::ONLYDIR;
    for directory in ports.iter().flat_map(|port| port.directories()) {
        if let Err(error) = inotify::add_watch(heard, &directory, what) {
            tracing::debug!(%error, directory = %directory.display(), "cannot be listened to");
        }
    }
}

fn wait(stopped: &PipeReader, heard: Option<&OwnedFd>, until: Instant) -> io::Result<Woken> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut ends = vec![PollFd::new(stopped, PollFlags::IN)];
    ends.extend(heard.map(|heard| PollFd::new(heard, PollFlags::IN)));
    match poll(&mut ends, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let has = |at: usize| ends.get(at).is_some_and(|end| !end.revents().is_empty());
    Ok(match (has(0), has(1)) {
        (true, _) => Woken::Stopped,
        (false, true) => Woken::Heard,
        (false, false) => Woken::Elapsed,
    })
}

/// What was heard is not told apart: whatever it was, the files are read and compared.
fn forget(heard: &OwnedFd) {
    let mut events = [0_u8; 4096];
    while matches!(rustix::io::read(heard, &mut events), Ok(1..)) {}
}
