//! The composition root: the only file that names every room.

use crate::config::Config;
use crate::store::redb::RedbStore;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a start takes beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration's store, where it is open already; else it is opened.
    pub store: Option<Arc<RedbStore>>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("the rooms are not joined yet")]
pub struct StartError;

/// Why a reload was refused; what was there before goes on.
#[derive(Debug, thiserror::Error)]
#[error("the rooms are not joined yet")]
pub struct ReloadError;

/// A gateway at work.
#[derive(Debug)]
pub struct Running {
    /// Where the data port listens.
    pub gateway: SocketAddr,
    /// Where the admin port listens.
    pub admin: SocketAddr,
}

/// Opens the store and both ports.
pub fn start(_config: Config, _options: Options) -> Result<Running, StartError> {
    Err(StartError)
}

impl Running {
    /// Takes the routes of another configuration.
    pub fn reload(&self, _config: Config) -> Result<(), ReloadError> {
        Err(ReloadError)
    }

    /// Takes no more requests, waits for those in flight, writes what is to be written, and closes
    /// the store. Blocks.
    pub fn drain(self) {}
}

/// The admin API's document.
#[must_use]
pub fn openapi() -> String {
    String::new()
}
