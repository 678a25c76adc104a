//! What becomes of a request: the walk from its head to the upstream, or to a refusal.
//!
//! 0. `vet` the message, 1. find its `route`, 2. take the credential, 3. look it up in the cache,
//! 4. decide, 5. refuse or 6. prepare the header, note the use, forward.
//!
//! **Invariants.**
//! - A hit in the cache never yields: between the arrival of a head and its verdict nothing else
//!   runs on the worker.
//! - Whatever was awaited after a decision (a connect), the decision is made again before the
//!   first byte goes upstream.
//! - [`forward::send`] is reached only with a [`Permit`], which only `access::decide` makes.

use crate::access::{self, CertificateFacts, Circumstances, Evidence, Permit, Reason, Verdict};
use crate::cache::{Cache, Entry, Identity, Lookup, Readers, Resolved};
use crate::clock;
use crate::config::{Config, OwnPorts};
use crate::credential::{self, Credential};
use crate::http1::{Fault, Framing, RequestHead};
use crate::listener::{Exchange, Handler, Next, Protocol, Secured};
use crate::phase::{Phase, Ticks};
use crate::role::RoleTable;
use crate::secret::{self, Digest};
use crate::socket::Text;
use crate::telemetry::Counters;
use crate::tls::{Certificate, Live};
use crate::upstream::Pool;
use crate::usage;
use answer::{Challenges, Mishap, Outcome};
use arc_swap::ArcSwap;
use date::Date;
use forward::{Passage, Sent, Traits};
use header::{Authorization, Forwarded, Names};
use http::Method;
use log::{Asked, Line, Log};
use plan::Bound;
use reach::Unreached;
use route::Route;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod answer;
mod date;
mod forward;
mod header;
mod identity;
mod log;
mod plan;
mod reach;
mod refusal;
mod relay;
pub mod route;
mod vet;

pub use header::HeaderWork;
pub use log::LogWriter;
pub use plan::Plan;

/// How often a request is sent again because its connection turned out to be stale.
const STALE_RETRIES_MAX: usize = 3;
/// Longest wait for the store to say what it knows about a token.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the log says of a request whose client did not wait for the answer.
const CLIENT_LEFT: u16 = 499;

/// What all workers share.
pub struct Shared {
    /// The cache.
    pub cache: Arc<Cache>,
    /// Who reads what is not in it.
    pub readers: Arc<Readers>,
    /// The routes and upstreams in force.
    pub plan: Arc<ArcSwap<Plan>>,
    /// How the data port speaks TLS, if it does.
    pub tls: Option<Arc<Live>>,
    /// Where we listen, and no upstream is.
    pub own_ports: OwnPorts,
    /// The interned roles as of now.
    pub roles: Box<dyn Fn() -> Arc<RoleTable> + Send + Sync>,
}

/// The gateway on one worker.
pub struct Gateway {
    shared: Arc<Shared>,
    bound: RefCell<Rc<Bound>>,
    ticks: Ticks,
    usage: Arc<usage::Shard<Entry>>,
    counters: Arc<Counters>,
    challenges: Challenges,
    names: Names,
    token_prefix: String,
    body_bytes_max: u64,
    date: Date,
    log: Log,
}

/// A client's connection.
pub struct Client {
    peer: IpAddr,
    phase: Rc<Phase>,
    secured: Option<Rc<Secured>>,
    forwarded: Rc<Forwarded>,
}

impl Client {
    /// What the connection says about the requests on it.
    fn origin(&self) -> vet::Origin<'_> {
        let server_name = self.secured.as_ref().and_then(|secured| secured.server_name.as_deref());
        vet::Origin { is_secure: self.secured.is_some(), server_name }
    }
}

/// What a request presents, ready to be looked up.
#[derive(Clone, Copy)]
enum Presented {
    Nothing,
    Malformed,
    /// Of our form, but its checksum is wrong: never issued.
    Implausible,
    Token(Digest),
}

/// How a request was judged.
enum Judged {
    /// It may be forwarded; on a public route, as nobody.
    Admitted(Permit, Option<Admitted>),
    /// It may not; its token, where there is one.
    Denied(Reason, Option<Arc<Entry>>),
}

/// A request that has a route.
struct Routed<'a> {
    route: &'a Route,
    pool: &'a Pool,
    method: Method,
    presented: Presented,
    target: vet::Target,
    traits: Traits,
}

/// What a request is admitted as.
type Admitted = (Arc<Entry>, Arc<Identity>);

impl Gateway {
    /// The gateway of one worker.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        config: &Config,
        ticks: Ticks,
        usage: Arc<usage::Shard<Entry>>,
        counters: Arc<Counters>,
        log: Option<LogWriter>,
    ) -> Self {
        let plan = shared.plan.load_full();
        Self {
            bound: RefCell::new(Rc::new(Bound::new(plan, shared.own_ports, &ticks))),
            shared,
            ticks,
            usage,
            challenges: Challenges::new(&config.gateway.realm),
            names: Names::new(&config.identity),
            token_prefix: config.gateway.token_prefix.clone(),
            body_bytes_max: config.limits.request_body_bytes_max,
            date: Date::default(),
            log: Log::new(log, Arc::clone(&counters)),
            counters,
        }
    }

    fn bound(&self) -> Rc<Bound> {
        let mut bound = self.bound.borrow_mut();
        let plan = self.shared.plan.load();
        if plan.generation != bound.plan.generation {
            *bound = Rc::new(Bound::new(Arc::clone(&plan), self.shared.own_ports, &self.ticks));
        }
        Rc::clone(&bound)
    }

    async fn answer(&self, client: &Client, exchange: &mut Exchange<'_, '_>) -> Next {
        let bound = self.bound();
        let Some(head) = exchange.reader.request() else { return Next::Close };
        let asked = self.log.is_on().then(|| Asked::of(&head));
        let traits = Traits::of(&head);
        let routed = match self.admit(&head, client.origin(), traits, &bound) {
            Ok(routed) => routed,
            Err(outcome) => {
                return self.refuse(outcome, client, exchange, traits, asked, None, None).await;
            }
        };
        let route = routed.route;
        let judged = match self.judge(&routed, client).await {
            Judged::Admitted(permit, admitted) => (permit, admitted),
            Judged::Denied(reason, entry) => {
                let outcome = Outcome::Denied(reason);
                self.usage.refuse(entry.as_ref(), reason, clock::now);
                let entry = entry.as_deref();
                return self
                    .refuse(outcome, client, exchange, traits, asked, Some(route), entry)
                    .await;
            }
        };
        // Before the upstream hears of it. A body in chunks is measured as it comes.
        if let Framing::Length(bytes) = traits.framing
            && bytes > self.body_bytes_max(route)
        {
            let entry = judged.1.as_ref().map(|(entry, _identity)| &**entry);
            let route = Some(route);
            return self
                .refuse(Outcome::TooLong, client, exchange, traits, asked, route, entry)
                .await;
        }
        let admitted = judged.1.as_ref().filter(|_admitted| asked.is_some());
        let logged = admitted.map(|(entry, _identity)| Arc::clone(entry));
        let (verdict, status, next) = self.forward(judged, client, exchange, &routed).await;
        if let Some(asked) = &asked {
            let facts = (client.peer, clock::now(), status);
            self.log.note(&Line::new(asked, Some(route), verdict, logged.as_deref(), facts));
        }
        next
    }

    /// Steps 0 to 2.
    fn admit<'a>(
        &self,
        head: &RequestHead<'_>,
        origin: vet::Origin<'_>,
        traits: Traits,
        bound: &'a Bound,
    ) -> Result<Routed<'a>, Outcome> {
        let vetted = vet::vet(head, origin).map_err(Outcome::Objected)?;
        let routes = &bound.plan.routes;
        let found = routes.find(&vetted.host, vetted.path, &vetted.method);
        let at = found.map_err(|none| match none {
            route::NoRoute::NotFound => Outcome::NotFound,
            route::NoRoute::Ambiguous => Outcome::Objected(vet::Objection::Path),
        })?;
        let route = routes.route(at);
        let pool = bound.pools.get(route.upstream).ok_or(Outcome::NotFound)?;
        let presented = self.presented(head);
        let (method, target) = (vetted.method, vetted.target);
        Ok(Routed { route, pool, method, presented, target, traits })
    }

    fn presented(&self, head: &RequestHead<'_>) -> Presented {
        let (first, more) = head.authorization();
        match credential::read(first, more) {
            Credential::Absent => Presented::Nothing,
            Credential::Malformed => Presented::Malformed,
            Credential::Bearer(token) if secret::plausible(token, &self.token_prefix) => {
                Presented::Token(Digest::of(token))
            }
            Credential::Bearer(_) => Presented::Implausible,
        }
    }

    /// Steps 3 and 4. Waits only for what is not in the cache. The identity is that of the very
    /// facts that were decided about.
    async fn judge(&self, routed: &Routed<'_>, client: &Client) -> Judged {
        let requirement = &routed.route.requirement;
        let decide = |evidence: &Evidence<'_>| {
            let certificate = self.certificate(client);
            let certificate = certificate.map(|it| CertificateFacts { ends_at: it.ends_at() });
            let circumstances = Circumstances { method: &routed.method, certificate };
            access::decide(evidence, &circumstances, requirement, clock::now())
        };
        let bare = |evidence: &Evidence<'_>| match decide(evidence) {
            Verdict::Permit(permit) => Judged::Admitted(permit, None),
            Verdict::Deny(reason) => Judged::Denied(reason, None),
        };
        let digest = match routed.presented {
            // A public route looks at no credential.
            _ if requirement.demand.is_none() => return bare(&Evidence::NoCredential),
            Presented::Nothing => return bare(&Evidence::NoCredential),
            Presented::Malformed => return bare(&Evidence::Malformed),
            Presented::Implausible => return bare(&Evidence::Unknown),
            Presented::Token(digest) => digest,
        };
        let lookup = match self.shared.cache.lookup(&digest) {
            Lookup::Miss => {
                let resolved = self.shared.readers.resolve(&digest);
                match client.phase.within(LOOKUP_TIMEOUT, resolved).await {
                    Some(Resolved::Known(lookup)) => lookup,
                    Some(Resolved::Unavailable) | None => return bare(&Evidence::Unavailable),
                }
            }
            lookup @ (Lookup::Hit(_) | Lookup::Unknown | Lookup::Barred) => lookup,
        };
        let entry = match lookup {
            Lookup::Hit(entry) => entry,
            Lookup::Unknown => return bare(&Evidence::Unknown),
            Lookup::Barred => return bare(&Evidence::Barred),
            Lookup::Miss => return bare(&Evidence::Unavailable),
        };
        let (verdict, identity) = entry.with_evidence(|evidence| match decide(evidence) {
            Verdict::Permit(permit) => {
                let roles = &*self.shared.roles;
                let cache = &*self.shared.cache;
                let identity = identity::of(cache, &entry, evidence, &self.names, roles);
                (Verdict::Permit(permit), identity)
            }
            deny @ Verdict::Deny(_) => (deny, None),
        });
        match (verdict, identity) {
            (Verdict::Permit(permit), Some(identity)) => {
                Judged::Admitted(permit, Some((entry, identity)))
            }
            (Verdict::Permit(_), None) => Judged::Denied(Reason::Unavailable, Some(entry)),
            (Verdict::Deny(reason), _) => Judged::Denied(reason, Some(entry)),
        }
    }

    /// Step 6. After every wait for a connection the decision is made again, and the request is
    /// sent as whom it admits then. Answers with the verdict that held, and with the status.
    async fn forward(
        &self,
        judged: (Permit, Option<Admitted>),
        client: &Client,
        exchange: &mut Exchange<'_, '_>,
        routed: &Routed<'_>,
    ) -> (&'static str, u16, Next) {
        let Routed { route, pool, traits, .. } = *routed;
        let mut judged = Some(judged);
        let mut counted = false;
        let mut outcome = Outcome::Failed(Mishap::Unreachable);
        if let Some(total) = route.timeouts.total {
            client.phase.total_within(total);
        }
        for _ in 0..=STALE_RETRIES_MAX {
            let link = match pool.take() {
                Some(link) => link,
                None => match reach::connect(routed, client, exchange).await {
                    Ok(link) => {
                        judged = None;
                        link
                    }
                    Err(Unreached::Failed(mishap)) => {
                        outcome = Outcome::Failed(mishap);
                        break;
                    }
                    Err(Unreached::Left) => return ("permit", CLIENT_LEFT, Next::Close),
                },
            };
            let (permit, admitted) = match judged.take() {
                Some(judged) => judged,
                None => match self.judge(routed, client).await {
                    Judged::Admitted(permit, admitted) => (permit, admitted),
                    Judged::Denied(reason, entry) => {
                        self.usage.refuse(entry.as_ref(), reason, clock::now);
                        outcome = Outcome::Denied(reason);
                        break;
                    }
                },
            };
            let identity = admitted.as_ref().map(|(_entry, identity)| &**identity);
            let Some(text) = self.prepare(identity, client, exchange, routed) else { break };
            if !counted {
                counted = true;
                self.counters.permit();
                if let Some((entry, _identity)) = &admitted {
                    self.usage.touch(entry, permit.decided_at(), route.needed);
                }
            }
            drop(admitted);
            let (phase, date) = (&*client.phase, &self.date);
            let body_bytes_max = self.body_bytes_max(route);
            let timeouts = route.timeouts;
            let passage = Passage { pool, phase, date, traits, body_bytes_max, timeouts };
            let reached = link.reached();
            match forward::send(permit, link, text, exchange, &passage).await {
                Sent::Answered(status, next) => {
                    pool.answered(&reached, status);
                    return ("permit", status, next);
                }
                Sent::Left => return ("permit", CLIENT_LEFT, Next::Close),
                Sent::Failed(mishap) => {
                    if mishap == Mishap::Broken {
                        pool.broke(&reached);
                    }
                    outcome = Outcome::Failed(mishap);
                    break;
                }
                Sent::Unsent => {}
            }
        }
        let verdict = self.count(outcome);
        let (status, next) = self.own(outcome, client, exchange, traits, Some(route)).await;
        (verdict, status, next)
    }

    /// The client's certificate, as long as those are trusted who vouched for it.
    fn certificate<'c>(&self, client: &'c Client) -> Option<&'c Certificate> {
        let certificate = client.secured.as_ref()?.certificate.as_ref()?;
        let live = self.shared.tls.as_ref()?;
        (certificate.trust() == live.trust()).then_some(certificate)
    }

    fn body_bytes_max(&self, route: &Route) -> u64 {
        route.body_bytes_max.unwrap_or(self.body_bytes_max)
    }

    /// The head as it goes upstream.
    fn prepare(
        &self,
        identity: Option<&Identity>,
        client: &Client,
        exchange: &Exchange<'_, '_>,
        routed: &Routed<'_>,
    ) -> Option<Text> {
        let Routed { route, pool, target, .. } = *routed;
        let head = exchange.reader.request()?;
        let authorization = match &pool.spec().credential {
            Some(credential) => Authorization::Replace(credential.as_bytes()),
            None if route.forward_bearer && self.may_pass(&head, identity) => Authorization::Keep,
            None => Authorization::Drop,
        };
        let mut text = exchange.buffers.text();
        text.extend_from_slice(head.method());
        text.push(b' ');
        target.write(&mut text, &head, route.strip_bytes);
        text.extend_from_slice(b" HTTP/1.1\r\n");
        self.names.write_fields(&mut text, &head, authorization, &client.forwarded);
        if let Some(identity) = identity {
            text.extend_from_slice(&identity.fields);
        }
        if route.forward_certificate
            && let Some(certificate) = self.certificate(client)
            && clock::now() < certificate.ends_at()
        {
            text.extend_from_slice(certificate.field());
        }
        text.extend_from_slice(b"\r\n");
        Some(text)
    }

    /// Whether the client's credential may go upstream: never one that carries an organization
    /// role above member. On a public route nobody has looked at it, so none of ours.
    fn may_pass(&self, head: &RequestHead<'_>, identity: Option<&Identity>) -> bool {
        if let Some(identity) = identity {
            return !identity.privileged;
        }
        let (first, more) = head.authorization();
        match credential::read(first, more) {
            Credential::Absent => true,
            Credential::Malformed => false,
            Credential::Bearer(token) => !token.starts_with(self.token_prefix.as_bytes()),
        }
    }
}

impl Handler for Gateway {
    type Connection = Client;

    fn connected(
        &self,
        peer: SocketAddr,
        protocol: Protocol,
        secured: Option<Secured>,
        phase: Rc<Phase>,
    ) -> Client {
        let peer = peer.ip().to_canonical();
        let forwarded = Rc::new(Forwarded::of(peer, secured.is_some(), protocol));
        Client { peer, phase, secured: secured.map(Rc::new), forwarded }
    }

    fn opened(&self, client: &Client, phase: Rc<Phase>) -> Client {
        let Client { peer, secured, forwarded, .. } = client;
        Client { peer: *peer, phase, secured: secured.clone(), forwarded: Rc::clone(forwarded) }
    }

    async fn handle(&self, client: &Client, exchange: &mut Exchange<'_, '_>) -> Next {
        self.answer(client, exchange).await
    }

    async fn refuse(&self, client: &Client, fault: Fault, exchange: &mut Exchange<'_, '_>) -> Next {
        tracing::debug!(?fault, peer = %client.peer, "what came is no request");
        let outcome = Outcome::Objected(vet::Objection::from(fault));
        self.count(outcome);
        self.own(outcome, client, exchange, Traits::unknown(), None).await.1
    }

    fn tick(&self, _ticks: &Ticks) {
        self.bound().pools.iter().for_each(|pool| pool.tick());
        self.log.hand_over();
    }
}
