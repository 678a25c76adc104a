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

use crate::access::{self, Circumstances, Evidence, Permit, Reason, Verdict};
use crate::cache::{Cache, Entry, Lookup, Readers, Resolved};
use crate::clock;
use crate::config::Config;
use crate::credential::{self, Credential};
use crate::listener::Handler;
use crate::phase::{Phase, Ticks};
use crate::role::RoleTable;
use crate::secret::{self, Digest};
use crate::telemetry::Counters;
use crate::upstream::Pool;
use crate::usage;
use answer::{Challenges, Mishap, Outcome};
use arc_swap::ArcSwap;
use body::{Answer, Patience, Upload};
use bytes::Bytes;
use date::Date;
use forward::{Passage, Sent};
use header::{Additions, Authorization, Chores, Field, Names, Survey};
use http::header::{AUTHORIZATION, CONNECTION, DATE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use log::{Line, Log};
use plan::Bound;
use route::Route;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod answer;
mod body;
mod date;
mod forward;
mod header;
mod identity;
mod log;
mod plan;
pub mod route;
mod vet;

pub use header::HeaderWork;
pub use log::LogWriter;
pub use plan::Plan;

/// How often a request is sent again because its connection turned out to be stale.
const STALE_RETRIES_MAX: usize = 3;
/// Longest wait for the store to say what it knows about a token.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What all workers share.
pub struct Shared {
    /// The cache.
    pub cache: Arc<Cache>,
    /// Who reads what is not in it.
    pub readers: Arc<Readers>,
    /// The routes and upstreams in force.
    pub plan: Arc<ArcSwap<Plan>>,
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
    names: Rc<Names>,
    token_prefix: String,
    via: HeaderValue,
    via_1_0: HeaderValue,
    date: Date,
    log: Log,
}

/// A client's connection.
pub struct Client {
    peer: IpAddr,
    phase: Rc<Phase>,
    forwarded_for: HeaderValue,
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
            bound: RefCell::new(Rc::new(Bound::new(plan, &ticks))),
            shared,
            ticks,
            usage,
            challenges: Challenges::new(&config.gateway.realm),
            names: Rc::new(Names::new(&config.identity)),
            token_prefix: config.gateway.token_prefix.clone(),
            via: HeaderValue::from_static("1.1 bearward"),
            via_1_0: HeaderValue::from_static("1.0 bearward"),
            date: Date::default(),
            log: Log::new(log, Arc::clone(&counters)),
            counters,
        }
    }

    fn bound(&self) -> Rc<Bound> {
        let mut bound = self.bound.borrow_mut();
        let plan = self.shared.plan.load();
        if plan.generation != bound.plan.generation {
            *bound = Rc::new(Bound::new(Arc::clone(&plan), &self.ticks));
        }
        Rc::clone(&bound)
    }

    async fn answer(&self, client: &Rc<Client>, request: Request<Incoming>) -> Response<Answer> {
        let number = client.phase.begin_request();
        let (mut parts, body) = request.into_parts();
        let bound = self.bound();
        let fields = self.names.survey(&parts.headers);
        let (route, pool) = match Self::admit(client, &parts, &fields, number, &bound) {
            Ok(found) => found,
            Err(outcome) => return self.refuse(outcome, client, &parts, &body, None, None),
        };
        let presented = self.presented(&fields);
        let chores = fields.chores;
        let judged = self.judge(presented, route, &parts.method, &client.phase).await;
        let (permit, entry) = match judged {
            (Verdict::Permit(permit), entry) => (permit, entry),
            (Verdict::Deny(reason), entry) => {
                let outcome = Outcome::Denied(reason);
                self.usage.refuse(entry.as_ref(), clock::now);
                return self.refuse(outcome, client, &parts, &body, Some(route), entry.as_deref());
            }
        };
        let client_chunks = parts.version == Version::HTTP_11;
        let logged = self.log.is_on().then(|| parts.clone());
        self.prepare(&mut parts, chores, route, pool, client);
        if let Err(error) = forward::target(&mut parts.uri, route.strip_bytes) {
            tracing::error!(%error, "a target cannot be written");
            return self.fail(Mishap::Broken, client, !body.is_end_stream());
        }
        let uploaded = (!body.is_end_stream()).then(|| Rc::new(Cell::new(false)));
        let upload = match &uploaded {
            None => {
                client.phase.watch();
                Upload::Empty
            }
            Some(complete) => {
                if body.size_hint().exact().is_none() {
                    // hyper would leave the body of a GET away that does not say how long it is.
                    parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                Upload::Streaming {
                    incoming: body,
                    phase: Rc::clone(&client.phase),
                    complete: Rc::clone(complete),
                    patience: Patience {
                        idle: pool.spec().idle_timeout,
                        first_byte: pool.spec().first_byte_timeout,
                    },
                    names: Rc::clone(&self.names),
                }
            }
        };
        let request = Request::from_parts(parts, upload);
        let way = Way { client, route, pool, presented, uploaded, client_chunks };
        let (verdict, response) = self.forward((permit, entry.clone()), request, way).await;
        if let Some(parts) = logged {
            let facts = (client.peer, clock::now(), response.status().as_u16());
            self.log.note(&Line::new(&parts, Some(route), verdict, entry.as_deref(), facts));
        }
        response
    }

    /// Steps 0 and 1.
    fn admit<'a>(
        client: &Client,
        parts: &Parts,
        fields: &Survey<'_>,
        number: u64,
        bound: &'a Bound,
    ) -> Result<(&'a Route, &'a Rc<Pool<Upload>>), Outcome> {
        if client.phase.is_faulty(number) {
            return Err(Outcome::Objected(vet::Objection::Framing));
        }
        let vetted = vet::vet(parts, fields).map_err(Outcome::Objected)?;
        let found = bound.plan.routes.find(&vetted.host, parts.uri.path(), &parts.method);
        let at = found.map_err(|none| match none {
            route::NoRoute::NotFound => Outcome::NotFound,
            route::NoRoute::Ambiguous => Outcome::Objected(vet::Objection::Path),
        })?;
        let route = bound.plan.routes.route(at);
        let pool = bound.pools.get(route.upstream).ok_or(Outcome::NotFound)?;
        Ok((route, pool))
    }

    /// Step 2.
    fn presented(&self, fields: &Survey<'_>) -> Presented {
        let more = matches!(fields.authorization, Field::Repeated(_));
        match credential::read(fields.authorization.value(), more) {
            Credential::Absent => Presented::Nothing,
            Credential::Malformed => Presented::Malformed,
            Credential::Bearer(token) if secret::plausible(token, &self.token_prefix) => {
                Presented::Token(Digest::of(token))
            }
            Credential::Bearer(_) => Presented::Implausible,
        }
    }

    /// Steps 3 and 4. Waits only for what is not in the cache.
    async fn judge(
        &self,
        presented: Presented,
        route: &Route,
        method: &Method,
        phase: &Phase,
    ) -> (Verdict, Option<Arc<Entry>>) {
        let requirement = &route.requirement;
        let circumstances = Circumstances { method };
        let decide = |evidence: &Evidence<'_>| {
            access::decide(evidence, &circumstances, requirement, clock::now())
        };
        let digest = match presented {
            // A public route looks at no credential.
            _ if requirement.demand.is_none() => return (decide(&Evidence::NoCredential), None),
            Presented::Nothing => return (decide(&Evidence::NoCredential), None),
            Presented::Malformed => return (decide(&Evidence::Malformed), None),
            Presented::Implausible => return (decide(&Evidence::Unknown), None),
            Presented::Token(digest) => digest,
        };
        let lookup = match self.shared.cache.lookup(&digest) {
            Lookup::Miss => {
                match phase.within(LOOKUP_TIMEOUT, self.shared.readers.resolve(&digest)).await {
                    Some(Resolved::Known(lookup)) => lookup,
                    Some(Resolved::Unavailable) | None => {
                        return (decide(&Evidence::Unavailable), None);
                    }
                }
            }
            lookup @ (Lookup::Hit(_) | Lookup::Unknown | Lookup::Barred) => lookup,
        };
        match lookup {
            Lookup::Hit(entry) => (entry.with_evidence(decide), Some(entry)),
            Lookup::Unknown => (decide(&Evidence::Unknown), None),
            Lookup::Barred => (decide(&Evidence::Barred), None),
            Lookup::Miss => (decide(&Evidence::Unavailable), None),
        }
    }

    /// Step 6, first half: what does not depend on who is calling.
    fn prepare(
        &self,
        parts: &mut Parts,
        chores: Chores,
        route: &Route,
        pool: &Pool<Upload>,
        client: &Client,
    ) {
        // On a public route nobody has looked at the token: one of ours may carry any role.
        let unseen = || route.requirement.demand.is_none() && self.holds_ours(&parts.headers);
        let authorization = match &pool.spec().credential {
            Some(credential) => Authorization::Replace(credential),
            None if route.forward_bearer && !unseen() => Authorization::Keep,
            None => Authorization::Drop,
        };
        let additions = Additions {
            authorization,
            forwarded_for: &client.forwarded_for,
            via: if parts.version == Version::HTTP_10 { &self.via_1_0 } else { &self.via },
        };
        self.names.prepare_request(&mut parts.headers, chores, &additions);
        parts.version = Version::HTTP_11;
    }

    fn holds_ours(&self, headers: &HeaderMap) -> bool {
        match credential::extract(headers) {
            Credential::Absent => false,
            Credential::Malformed => true,
            Credential::Bearer(token) => token.starts_with(self.token_prefix.as_bytes()),
        }
    }

    /// Step 6, second half. After every wait for a connection the decision is made again, and the
    /// request is sent as whom it admits then. Answers with the verdict that held, too.
    async fn forward(
        &self,
        judged: (Permit, Option<Arc<Entry>>),
        mut request: Request<Upload>,
        way: Way<'_>,
    ) -> (&'static str, Response<Answer>) {
        let mut judged = Some(judged);
        let mut counted = false;
        for _ in 0..=STALE_RETRIES_MAX {
            let link = match way.pool.take() {
                Some(link) => link,
                None => match way.pool.connect(&way.client.phase).await {
                    Ok(link) => {
                        judged = None;
                        link
                    }
                    Err(error) => {
                        let mishap = forward::unreachable(&error, &way.pool.spec().name);
                        return ("permit", self.fail(mishap, way.client, way.is_uploading()));
                    }
                },
            };
            let (permit, entry) = match judged.take() {
                Some(judged) => judged,
                None => match self.judge_again(&way, request.method()).await {
                    Ok(judged) => judged,
                    Err(reason) => return (reason.as_str(), self.deny(reason, &way)),
                },
            };
            if let Some(entry) = &entry {
                let Some(identity) = identity::values(entry, &*self.shared.roles) else {
                    // Barred since the decision.
                    return (Reason::Barred.as_str(), self.deny(Reason::Barred, &way));
                };
                self.names.identify(request.headers_mut(), &identity);
                if identity.privileged && way.pool.spec().credential.is_none() {
                    request.headers_mut().remove(AUTHORIZATION);
                }
            }
            if !counted {
                counted = true;
                self.counters.permit();
                if let Some(entry) = &entry {
                    self.usage.touch(entry, permit.decided_at());
                }
            }
            let passage = Passage {
                pool: way.pool,
                phase: &way.client.phase,
                uploaded: way.uploaded.clone(),
                via: &self.via,
                client_chunks: way.client_chunks,
            };
            match forward::send(permit, link, request, passage, || self.date.now()).await {
                Sent::Answered(response) => return ("permit", response),
                Sent::Failed(mishap) => {
                    return ("permit", self.fail(mishap, way.client, way.is_uploading()));
                }
                Sent::Unsent(unsent) => request = *unsent,
            }
        }
        ("permit", self.fail(Mishap::Unreachable, way.client, way.is_uploading()))
    }

    async fn judge_again(
        &self,
        way: &Way<'_>,
        method: &Method,
    ) -> Result<(Permit, Option<Arc<Entry>>), Reason> {
        match self.judge(way.presented, way.route, method, &way.client.phase).await {
            (Verdict::Permit(permit), entry) => Ok((permit, entry)),
            (Verdict::Deny(reason), _entry) => Err(reason),
        }
    }

    fn refuse(
        &self,
        outcome: Outcome,
        client: &Rc<Client>,
        parts: &Parts,
        body: &Incoming,
        route: Option<&Route>,
        entry: Option<&Entry>,
    ) -> Response<Answer> {
        let verdict = match outcome {
            Outcome::Objected(_) => {
                self.counters.object();
                "unsound"
            }
            Outcome::NotFound => {
                self.counters.unrouted();
                "no_route"
            }
            Outcome::Denied(reason) => {
                self.counters.deny(reason);
                reason.as_str()
            }
            Outcome::Failed(_) => "failed",
        };
        let response = answer::respond(outcome, route, &self.challenges);
        let response = self.own(response, client, !body.is_end_stream());
        if self.log.is_on() {
            let facts = (client.peer, clock::now(), response.status().as_u16());
            self.log.note(&Line::new(parts, route, verdict, entry, facts));
        }
        response
    }

    fn deny(&self, reason: Reason, way: &Way<'_>) -> Response<Answer> {
        self.counters.deny(reason);
        let outcome = Outcome::Denied(reason);
        let response = answer::respond(outcome, Some(way.route), &self.challenges);
        self.own(response, way.client, way.is_uploading())
    }

    fn fail(&self, mishap: Mishap, client: &Rc<Client>, uploading: bool) -> Response<Answer> {
        self.counters.fail();
        let response = answer::respond(Outcome::Failed(mishap), None, &self.challenges);
        self.own(response, client, uploading)
    }

    fn own(
        &self,
        response: Response<Bytes>,
        client: &Rc<Client>,
        uploading: bool,
    ) -> Response<Answer> {
        let mut response = response.map(|body| Answer::own(body, Rc::clone(&client.phase)));
        response.headers_mut().insert(DATE, self.date.now());
        if uploading {
            // What is left of the body is nobody's: the next request must not begin within it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What a request keeps while it waits for a connection.
struct Way<'a> {
    client: &'a Rc<Client>,
    route: &'a Route,
    pool: &'a Rc<Pool<Upload>>,
    presented: Presented,
    uploaded: Option<Rc<Cell<bool>>>,
    client_chunks: bool,
}

impl Way<'_> {
    fn is_uploading(&self) -> bool {
        self.uploaded.as_ref().is_some_and(|complete| !complete.get())
    }
}

impl Handler for Gateway {
    type Connection = Client;
    type Body = Answer;

    fn connected(&self, peer: SocketAddr, phase: Rc<Phase>) -> Client {
        let peer = peer.ip().to_canonical();
        let forwarded_for =
            HeaderValue::from_str(&peer.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Client { peer, phase, forwarded_for }
    }

    async fn handle(
        self: Rc<Self>,
        client: Rc<Client>,
        request: Request<Incoming>,
    ) -> Response<Answer> {
        self.answer(&client, request).await
    }

    fn tick(&self, ticks: &Ticks) {
        // Pools are looked at every second, the log is handed over at every tick.
        if ticks.now().is_multiple_of(10) {
            for pool in &self.bound().pools {
                pool.sweep();
            }
        }
        self.log.hand_over();
    }
}
