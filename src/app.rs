//! The composition root: the only file that names every room.

mod certificates;
mod control;
mod figures;
mod flusher;
mod pages;
mod reload;

use certificates::Certificates;
use control::Control;
use figures::metrics;
use flusher::Flusher;
use pages::Shelving;
use reload::{moved, read_once};

use crate::admin::{self, AdminState, Backups, Insights, Overviews};
use crate::cache::{Cache, Entry, Readers};
use crate::change::{Change, Write};
use crate::clock;
use crate::config::{AccessLog, Config, OwnPorts, SealKey};
use crate::directory::Tidings;
use crate::gateway::route::{Routes, UnknownRole};
use crate::gateway::{Gateway, LogWriter, Plan, Shared};
use crate::governance::catalogue::Catalogue;
use crate::listener::{Listener, Spoken};
use crate::notifier::{Bell, Caller, Mailer, Notifier, UnusableServer};
use crate::outbound::NoTls;
use crate::phase::Ticks;
use crate::role::{RoleName, RoleTable};
use crate::scheduler::Scheduler;
use crate::seal::{self, KeyError, Seal, Shut};
use crate::session::Cached;
use crate::session::attempts::Attempts;
use crate::session::browser::Browsers;
use crate::store::redb::{KeySource, OpenError, RedbStore};
use crate::store::{self, CommitError, Facts, Ledger, StoreError};
use crate::telemetry::Counters;
use crate::tls::{Unusable, Watch};
use crate::token::watch::Step;
use crate::trails::{Guesses, Keeper, Leaks, Refusals};
use crate::upstream::Roster;
use crate::usage::{Asked, Board};
use arc_swap::ArcSwap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::Notify;

/// Threads that read the store for requests that miss the cache.
const READER_THREADS: usize = 2;
/// Threads of the control side: admin port and what belongs to it.
const CONTROL_THREADS: usize = 2;

/// What a start takes beside the configuration.
#[derive(Clone, Default)]
pub struct Options {
    /// The configuration's store, where it is open already; else it is opened.
    pub store: Option<Arc<RedbStore>>,
    /// What the cache reads, where that is not the store itself: a test's, which takes its time.
    pub facts: Option<Arc<dyn Facts>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, when read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The store, when written.
    #[error("the store cannot be written: {0}")]
    Write(#[from] CommitError),
    /// A port.
    #[error("cannot listen on {address} (`{key}`): {error}")]
    Bind {
        /// The key in the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The access log.
    #[error("cannot open the access log {path}: {error}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A route.
    #[error(transparent)]
    Route(#[from] UnknownRole),
    /// A thread.
    #[error("the system gives no thread: {0}")]
    Thread(io::Error),
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] Unusable),
    /// The mail server.
    #[error(transparent)]
    Mail(#[from] UnusableServer),
    /// Calls of webhooks and of the identity provider.
    #[error(transparent)]
    Calls(#[from] NoTls),
    /// The key that secrets are sealed under.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The seal.
    #[error(transparent)]
    Seal(#[from] Shut),
    /// Random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Why a reload was refused; what was there before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The roles of the new configuration cannot be written.
    #[error("the store cannot be written: {0}")]
    Write(#[from] CommitError),
    /// A route.
    #[error(transparent)]
    Route(#[from] UnknownRole),
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] Unusable),
    /// A key that is what it was at the start for as long as the process lives.
    #[error("{0} has changed: that needs a restart; the old configuration stays in force")]
    Restart(&'static str),
}

/// A gateway at work.
pub struct Running {
    /// Where the data port listens.
    pub gateway: SocketAddr,
    /// Where the admin port listens.
    pub admin: SocketAddr,
    /// The configuration of the start.
    config: Arc<Config>,
    store: Arc<RedbStore>,
    plan: Arc<ArcSwap<Plan>>,
    catalogue: Arc<ArcSwap<Catalogue>>,
    board: Arc<Board<Entry>>,
    cache: Arc<Cache>,
    ready: Arc<AtomicBool>,
    listener: Listener,
    flusher: Flusher,
    control: Control,
    browsers: Arc<Browsers>,
    tidings: Arc<Tidings>,
    shelving: Shelving,
    keeper: Keeper,
    certificates: Certificates,
    watch: Option<Watch>,
    log: Option<JoinHandle<()>>,
}

/// Opens the store and both ports.
pub fn start(config: Config, options: Options) -> Result<Running, StartError> {
    let certificates = Certificates::load(&config)?;
    let gateway_socket = bind("gateway.listen", config.gateway.listen)?;
    let admin_socket = bind("admin.listen", config.admin.listen)?;
    let (store, facts) = opened(options, &config)?;
    let key = getrandom::u64().map_err(StartError::Random)?;
    let cache = Cache::new(facts, config.gateway.cache_entries_max, key)?;
    store.follow(Arc::clone(&cache) as _);
    intern_roles(store.as_ref(), &config)?;
    flusher::watch(store.as_ref(), Step::Begin(clock::now()))?;
    let readers = Readers::start(Arc::clone(&cache), READER_THREADS).map_err(StartError::Thread)?;
    let readers = Arc::new(readers.reading_here());

    let own_ports = own_ports(&gateway_socket, &admin_socket).map_err(StartError::Thread)?;
    let workers = config.gateway.workers.max(1);
    let board = Arc::new(Board::new(workers));
    let plan = plan_of(&config, &store.roles(), board.asked(), 0)?;
    let plan = Arc::new(ArcSwap::from_pointee(plan));
    let shared = Arc::new(Shared {
        cache: Arc::clone(&cache),
        readers: Arc::clone(&readers),
        plan: Arc::clone(&plan),
        tls: certificates.gateway.clone(),
        own_ports,
        roles: roles_of(&store),
    });
    let counters: Vec<Arc<Counters>> = (0..workers).map(|_worker| Arc::default()).collect();
    let (log_writer, log) = access_log(config.gateway.access_log.as_ref())?;

    let config = Arc::new(config);
    let listener = listen(gateway_socket, &config, shared, &board, &counters, log_writer)?;
    let interval = config.gateway.usage_flush_interval;
    let flusher =
        Flusher::start(Arc::clone(&board), Arc::clone(&store), Arc::clone(&cache), interval)?;
    let (keeper, refusals) = keep_trails(&store, &config)?;
    let ready = Arc::new(AtomicBool::new(true));
    let metrics = metrics(counters, &cache, &listener, &certificates, &plan);
    let catalogue = Arc::new(ArcSwap::from_pointee(catalogue_of(&config)));
    let bell = Arc::new(Notify::new());
    let seal = Arc::new(seal_of(&config.seal)?);
    let browsers = pages::browsers(&store, &config);
    let tidings = pages::tidings(&store);
    let shelving = Shelving::start(&store, &board, config.store.listed_tokens_max)?;
    let router = admin::router(AdminState {
        ledger: Arc::clone(&store) as _,
        evidences: Arc::new(Cached(readers)),
        exports: Arc::default(),
        backups: Backups::new(Arc::clone(&store) as _, directory_of(&config.store.path)),
        uses: Arc::clone(&board) as _,
        passes: Arc::default(),
        insights: Insights::default(),
        shelves: Arc::clone(&shelving.shelves),
        tidings: Arc::clone(&tidings),
        overviews: Overviews::default(),
        guesses: Guesses::default(),
        browsers: Arc::clone(&browsers),
        facts: Arc::clone(&store) as _,
        provider: pages::provider(&config, own_ports)?,
        attempts: Attempts::default(),
        partners: config.leaks.clone(),
        leaks: Leaks::default(),
        refusals,
        catalogue: Arc::clone(&catalogue),
        hosts: config.admin.hosts.clone(),
        bell: Arc::clone(&bell),
        token_prefix: config.gateway.token_prefix.clone(),
        seal: Arc::clone(&seal),
        has_mail: config.smtp.is_some(),
        callable: config.webhooks.allow.clone(),
        own_ports,
        random: Arc::new(admin::system_random),
        clock: Arc::new(clock::now),
        ready: readiness(Arc::clone(&ready), Arc::clone(&store)),
        metrics: Arc::new(move || metrics.text()),
    });
    let scheduler = scheduler(&store, &board, bell);
    let (notifier, doorbell) = notifier(&config, &store, seal, own_ports)?;
    let tls = certificates.admin.clone();
    let control = Control::start(admin_socket, tls, router, scheduler, notifier, doorbell)?;
    Ok(Running {
        gateway: listener.address(),
        admin: control.address,
        config,
        store,
        plan,
        catalogue,
        board,
        cache,
        ready,
        listener,
        flusher,
        control,
        browsers,
        tidings,
        shelving,
        keeper,
        watch: certificates.watch()?,
        certificates,
        log,
    })
}

/// Starts the workers, each with a gateway of its own before what they share.
fn listen(
    socket: TcpListener,
    config: &Arc<Config>,
    shared: Arc<Shared>,
    board: &Arc<Board<Entry>>,
    counters: &[Arc<Counters>],
    log: Option<LogWriter>,
) -> Result<Listener, StartError> {
    let (config, board, counters) = (Arc::clone(config), Arc::clone(board), counters.to_vec());
    let (workers, limits) = (counters.len(), config.limits.clone());
    let spoken = Spoken { tls: shared.tls.clone(), h2c: config.gateway.h2c };
    let gateway = move |number: usize, ticks: &Ticks| {
        Gateway::new(
            Arc::clone(&shared),
            &config,
            ticks.clone(),
            board.shard(number),
            Arc::clone(&counters[number]),
            log.clone(),
        )
    };
    Listener::start(socket, workers, &limits, spoken, gateway).map_err(StartError::Thread)
}

impl Running {
    /// Takes the routes of another configuration, and its upstreams, services and roles. Requests
    /// in flight keep those that they began with.
    ///
    /// The upstreams of a configuration were held against its own ports, so it must have ours.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        if let Some(key) = moved(&self.config, config) {
            return Err(ReloadError::Restart(key));
        }
        intern_roles(self.store.as_ref(), config)?;
        let generation = self.plan.load().generation + 1;
        let plan = plan_of(config, &self.store.roles(), self.board.asked(), generation)?;
        // Before the routes that may ask for what these bring along.
        self.certificates.take(config)?;
        self.plan.store(Arc::new(plan));
        self.catalogue.store(Arc::new(catalogue_of(config)));
        for section in read_once(&self.config, config) {
            tracing::warn!(section, "differs from the start, and stays as it was until a restart");
        }
        Ok(())
    }

    /// Takes no more requests, waits for those in flight, writes what is to be written, and closes
    /// the store. Blocks.
    pub fn drain(self) {
        self.ready.store(false, Ordering::Release);
        if let Some(watch) = self.watch {
            watch.stop();
        }
        self.listener.drain();
        self.flusher.stop();
        // What is open for as long as somebody looks would be waited for.
        self.tidings.close();
        self.control.stop();
        self.shelving.stop();
        self.keeper.stop();
        flusher::last(&self.board, &self.cache, self.store.as_ref());
        self.store.close();
        if let Some(log) = self.log {
            let _panicked = log.join();
        }
    }
}

/// The store, and what the cache reads.
fn opened(
    options: Options,
    config: &Config,
) -> Result<(Arc<RedbStore>, Arc<dyn Facts>), StartError> {
    let store = match options.store {
        Some(store) => store,
        None => store::redb::open(store_options(config))?,
    };
    let facts = options.facts.unwrap_or_else(|| Arc::clone(&store) as _);
    Ok((store, facts))
}

/// Whether requests are taken and changes, too.
fn readiness(ready: Arc<AtomicBool>, store: Arc<RedbStore>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    Arc::new(move || ready.load(Ordering::Acquire) && store.is_writable())
}

/// The seal under the configuration's key, or under one in a file.
fn seal_of(key: &SealKey) -> Result<Seal, StartError> {
    Ok(match key {
        SealKey::Given(key) => Seal::new(key)?,
        SealKey::InFile(path) => Seal::new(&seal::key_at(path)?)?,
    })
}

/// What begins validation runs, and is woken by the bell.
fn scheduler(store: &Arc<RedbStore>, board: &Arc<Board<Entry>>, bell: Arc<Notify>) -> Scheduler {
    Scheduler {
        ledger: Arc::clone(store) as _,
        uses: Arc::clone(board) as _,
        clock: Arc::new(clock::now),
        bell,
    }
}

/// What delivers notices, and what wakes it.
fn notifier(
    config: &Config,
    store: &Arc<RedbStore>,
    seal: Arc<Seal>,
    own_ports: OwnPorts,
) -> Result<(Notifier, Arc<Bell>), StartError> {
    let bell = Arc::new(Bell::default());
    store.follow(Arc::clone(&bell) as _);
    let notifier = Notifier {
        ledger: Arc::clone(store) as _,
        mailer: config.smtp.as_ref().map(Mailer::new).transpose()?,
        caller: Caller::new(seal, config.webhooks.clone(), own_ports)?,
        settings: config.notices.clone(),
        clock: Arc::new(clock::now),
        // Without random numbers pauses lose their spread, and nothing else.
        random: Arc::new(|| getrandom::u64().unwrap_or_default()),
    };
    Ok((notifier, bell))
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Bind { key, address, error })
}

fn roles_of(store: &Arc<RedbStore>) -> Box<dyn Fn() -> Arc<RoleTable> + Send + Sync> {
    let store = Arc::clone(store);
    Box::new(move || store.roles())
}

fn own_ports(gateway: &TcpListener, admin: &TcpListener) -> io::Result<OwnPorts> {
    Ok(OwnPorts { gateway: Some(gateway.local_addr()?), admin: Some(admin.local_addr()?) })
}

fn access_log(
    to: Option<&AccessLog>,
) -> Result<(Option<LogWriter>, Option<JoinHandle<()>>), StartError> {
    let Some(to) = to else { return Ok((None, None)) };
    let (writer, thread) = LogWriter::start(to).map_err(|error| {
        let path = match to {
            AccessLog::Stdout => PathBuf::from("-"),
            AccessLog::File(path) => path.clone(),
        };
        StartError::AccessLog { path, error }
    })?;
    Ok((Some(writer), Some(thread)))
}

/// How the store of a configuration is opened.
#[must_use]
pub fn store_options(config: &Config) -> store::redb::Options {
    let path = config.store.path.clone();
    let audit_key = match &config.audit.key {
        Some(key) => KeySource::Configured(key.clone()),
        None => KeySource::Beside(path.clone()),
    };
    store::redb::Options { path, cache_bytes: config.store.cache_bytes, audit_key }
}

/// What comes into the audit trails beside the changes, and the thread that writes it.
fn keep_trails(
    store: &Arc<RedbStore>,
    config: &Config,
) -> Result<(Keeper, Arc<Refusals>), StartError> {
    let refusals = Arc::<Refusals>::default();
    let ledger = Arc::clone(store) as Arc<dyn Ledger>;
    let keeper = Keeper::start(ledger, Arc::clone(&refusals), config.audit.keep, clock::now);
    Ok((keeper.map_err(StartError::Thread)?, refusals))
}

/// The directory that a file lies in.
fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Gives every role of the configuration its number, if it has none yet.
fn intern_roles(ledger: &dyn Ledger, config: &Config) -> Result<(), CommitError> {
    let known = ledger.roles();
    let missing: Vec<RoleName> = catalogue_of(config)
        .role_names()
        .into_iter()
        .filter(|name| known.id(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let change = Change { writes: vec![Write::Roles(missing)], ..Change::default() };
    ledger.commit(change).wait().map(|_committed| ())
}

fn plan_of(
    config: &Config,
    roles: &RoleTable,
    asked: &Asked,
    generation: u64,
) -> Result<Plan, UnknownRole> {
    let routes = Routes::compile(config, roles, asked)?;
    Ok(Plan { generation, routes, upstreams: Roster::all(&config.upstreams) })
}

/// The roles that can be given.
fn catalogue_of(config: &Config) -> Catalogue {
    let services = config.services.iter();
    Catalogue::new(
        config.organization_roles.iter().cloned(),
        services.map(|service| (service.name.clone(), service.roles.clone())),
    )
}

/// The admin API's document (`OpenAPI` 3.1), as JSON.
#[must_use]
pub fn openapi() -> String {
    // A document of plain values always has a JSON form.
    admin::openapi().to_pretty_json().unwrap_or_default()
}
