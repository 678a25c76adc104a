//! What a start gives the pages.

use super::control::behind_others;
use super::{Running, StartError};
use crate::admin::{self, NoRandom};
use crate::cache::Entry;
use crate::clock;
use crate::config::{Config, OwnPorts};
use crate::directory::{Room, Shelves, Tidings};
use crate::outbound::NoTls;
use crate::provider::Provider;
use crate::secret::Secret;
use crate::session::browser::{Browsers, Limits};
use crate::store::Ledger as _;
use crate::store::redb::RedbStore;
use crate::usage::Board;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Who is signed in, and hears who is switched off.
pub(super) fn browsers(store: &RedbStore, config: &Config) -> Arc<Browsers> {
    let limits = Limits { idle: config.admin.session_idle, life: config.admin.session_life };
    let browsers = Arc::new(Browsers::new(limits));
    store.follow(Arc::clone(&browsers) as _);
    browsers
}

/// Who vouches for those who sign in without a token, if anybody does.
pub(super) fn provider(config: &Config, own_ports: OwnPorts) -> Result<Option<Provider>, NoTls> {
    let settings = config.oidc.clone();
    settings.map(|oidc| Provider::new(oidc, own_ports, Arc::new(clock::now))).transpose()
}

/// The tokens of large organizations in memory, and the thread that puts them there.
pub(super) struct Shelving {
    pub(super) shelves: Arc<Shelves>,
    tending: JoinHandle<()>,
}

impl Shelving {
    /// Room for so many tokens, as commits and uses leave them.
    pub(super) fn start(
        store: &Arc<RedbStore>,
        board: &Arc<Board<Entry>>,
        tokens_max: usize,
    ) -> Result<Self, StartError> {
        let shelves = Arc::new(Shelves::of(tokens_max));
        store.follow(Arc::clone(&shelves) as _);
        let listening = Arc::clone(&shelves);
        board.listen(Box::new(move |uses| listening.used(uses)));
        let (store, board, tended) = (Arc::clone(store), Arc::clone(board), Arc::clone(&shelves));
        let tending = behind_others("shelves", move || {
            let room = Room { ledger: &*store, facts: &*store, uses: &*board, shelves: &tended };
            tended.tend(room);
        })?;
        Ok(Self { shelves, tending })
    }

    pub(super) fn stop(self) {
        self.shelves.close();
        let _panicked = self.tending.join();
    }
}

/// Those who listen for changes, and who hears of commits for them.
pub(super) fn tidings(store: &Arc<RedbStore>) -> Arc<Tidings> {
    let tidings = Arc::new(Tidings::new(Arc::clone(store) as _));
    store.follow(Arc::clone(&tidings) as _);
    tidings
}

impl Running {
    /// An address at which whoever opens it signs in as the bearer of a token: once, and soon.
    pub fn sign_in_link(&self, secret: &Secret) -> Result<String, NoRandom> {
        let code = admin::browser_key(&admin::system_random)?;
        self.browsers.offer(&code, secret.digest(), clock::now());
        Ok(format!("http://{}/sign-in/{code}", self.admin))
    }
}
