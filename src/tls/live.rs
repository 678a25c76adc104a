//! The certificates of a port as they are now: files change while the process lives.

use super::identity::{Identity, Unusable};
use super::server::{Contents, Print, ServerFiles, config, identities};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::ProducesTickets;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a port speaks TLS, now and after its files have changed.
#[derive(Debug)]
pub struct Live {
    /// The section that the port has in the configuration.
    port: &'static str,
    wanted: Mutex<Wanted>,
    loaded: ArcSwap<Loaded>,
    trust: AtomicU64,
    taken: AtomicU64,
    kept: AtomicU64,
    stale: AtomicBool,
    /// Why the files could not be taken, as it was told last.
    told: Mutex<Option<Unusable>>,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    files: ServerFiles,
    /// Whether clients are asked for a certificate.
    asks: bool,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
    identities: Vec<Identity>,
    print: Print,
    /// Of those who vouch for clients.
    trust_print: Print,
    trust: u64,
}

/// What a handshake is made with.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How TLS is spoken.
    pub config: Arc<ServerConfig>,
    /// Counts the changes of who may vouch for clients.
    pub trust: u64,
}

/// A certificate that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The first of its names, or nothing.
    pub name: String,
    /// The first instant at which it is not good any more.
    pub ends_at: Timestamp,
}

impl Live {
    /// Reads the files of a port. `port` is the section of the configuration that names them.
    pub fn load(port: &'static str, files: ServerFiles, asks: bool) -> Result<Self, Unusable> {
        let wanted = Wanted { files, asks };
        let loaded = load(&wanted, &wanted.files.read()?, None)?;
        Ok(Self {
            port,
            wanted: Mutex::new(wanted),
            loaded: ArcSwap::from_pointee(loaded),
            trust: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            stale: AtomicBool::new(false),
            told: Mutex::new(None),
        })
    }

    /// What the next handshake is made with.
    pub fn terms(&self) -> Terms {
        let loaded = self.loaded.load();
        Terms { config: Arc::clone(&loaded.config), trust: loaded.trust }
    }

    /// Counts the changes of who may vouch for clients: what was vouched for before the last one is
    /// not any more.
    pub fn trust(&self) -> u64 {
        self.trust.load(Ordering::Acquire)
    }

    /// Takes other files, or the same ones anew. Those that cannot be used leave everything as it
    /// was, and the error says why.
    pub fn take(&self, files: ServerFiles, asks: bool, now: Timestamp) -> Result<(), Unusable> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Wanted { files, asks };
        self.renew(&next, next != *wanted, now, true)?;
        *wanted = next;
        Ok(())
    }

    /// Looks whether the files have changed, and takes them if they can be used. What becomes of it
    /// is told in the log, and if it is what it was the last time, only if it is to be told `again`:
    /// in a directory in which much happens they are looked at often.
    pub fn look(&self, now: Timestamp, again: bool) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        // Errors have been told and counted.
        let _told = self.renew(&wanted, false, now, again);
    }

    /// Takes the files if they have changed, or if it must.
    fn renew(
        &self,
        wanted: &Wanted,
        must: bool,
        now: Timestamp,
        again: bool,
    ) -> Result<(), Unusable> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match self.try_renew(wanted, must, now) {
            Ok(true) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                self.stale.store(false, Ordering::Relaxed);
                *told = None;
                tracing::info!(port = self.port, "certificates renewed");
                Ok(())
            }
            Ok(false) => {
                self.stale.store(false, Ordering::Relaxed);
                *told = None;
                Ok(())
            }
            Err(error) => {
                self.stale.store(true, Ordering::Relaxed);
                if !again && told.as_ref() == Some(&error) {
                    return Err(error);
                }
                self.kept.fetch_add(1, Ordering::Relaxed);
                *told = Some(error.clone());
                tracing::error!(
                    port = self.port, %error,
                    "CERTIFICATES NOT RENEWED: those from before stay in force"
                );
                Err(error)
            }
        }
    }

    fn try_renew(&self, wanted: &Wanted, must: bool, now: Timestamp) -> Result<bool, Unusable> {
        let from = wanted.files.read()?;
        let present = self.loaded.load();
        if !must && from.print() == present.print {
            return Ok(false);
        }
        let next = load(wanted, &from, Some(&present))?;
        for (identity, files) in next.identities.iter().zip(&wanted.files.certificates) {
            let is_shown = present
                .identities
                .iter()
                .any(|shown| shown.certified.cert.first() == identity.certified.cert.first());
            if identity.ends_at <= now && !is_shown {
                let why = format!("holds a certificate that has ended at {}", identity.ends_at);
                return Err(Unusable::file(&files.certificate, why));
            }
        }
        // Whoever was vouched for by those from before is so no longer when this is to be seen.
        self.trust.store(next.trust, Ordering::Release);
        self.loaded.store(Arc::new(next));
        Ok(true)
    }

    /// The certificates that are shown.
    pub fn shown(&self) -> Vec<Shown> {
        let shown = |identity: &Identity| Shown {
            name: identity.names.first().cloned().unwrap_or_default(),
            ends_at: identity.ends_at,
        };
        self.loaded.load().identities.iter().map(shown).collect()
    }

    /// The section that the port has in the configuration.
    pub const fn port(&self) -> &'static str {
        self.port
    }

    /// How often other files were taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How often files were found that could not be.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Whether what the files hold now is not what is in force.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// The directories that the files lie in.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).files.directories()
    }
}

/// Sessions outlive a renewal, unless what is asked of clients has changed: who resumes one is not
/// asked again.
fn load(wanted: &Wanted, from: &Contents, before: Option<&Loaded>) -> Result<Loaded, Unusable> {
    let trust_print = if wanted.asks { from.trust_print() } else { Print::default() };
    let kept = before.filter(|before| before.trust_print == trust_print);
    let tickets = match kept {
        Some(before) => Arc::clone(&before.tickets),
        None => rustls::crypto::aws_lc_rs::Ticketer::new()?,
    };
    let trust = match (kept, before) {
        (Some(before), _) => before.trust,
        (None, Some(before)) => before.trust + 1,
        (None, None) => 0,
    };
    let identities = identities(&wanted.files, from)?;
    let config = config(&wanted.files, from, &identities, wanted.asks, Arc::clone(&tickets))?;
    let print = from.print();
    Ok(Loaded { config: Arc::new(config), tickets, identities, print, trust_print, trust })
}
