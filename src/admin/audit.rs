//! `/orgs/{org}/audit`: the audit trail, newest first if nothing is said; and its head.

mod export;

use super::Shared;
use super::desk::{self, Desk};
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::ReadProblems;
use super::problem::Problem;
use crate::audit::chain::{Cause, Link};
use crate::audit::{Action, ActorFilter, Event, Filter, Line};
use crate::directory::{self, Column as _, EventColumn, Sort};
use crate::id::{OrgId, TokenId};
use crate::store::Ends;
use crate::time::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use export::Format;
use http::HeaderMap;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Events that are looked at for one page; a page that finds few is short.
pub(crate) const EVENTS_READ_MAX: usize = 20_000;
/// Actions that may be asked for at once.
const ACTIONS_MAX: usize = 64;

/// Parameters of the audit trail.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Who did it: the identity of a user, `me`, `offline`, `system` or `unknown`.
    pub(super) actor: Option<String>,
    /// To what it was done: an identity.
    pub(super) target: Option<String>,
    /// The identity of a token that it was done to, or with.
    pub(super) token: Option<String>,
    /// What was done: `token.deactivated`, or several with commas between.
    pub(super) action: Option<String>,
    /// Then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(super) since: Option<String>,
    /// Before then.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(super) until: Option<String>,
    /// `seq`, `at`, `actor`, `action`, `target` (its name), `address` or `reason`; with `-` before it the
    /// largest first. `-seq` if nothing is said. By anything but `seq` each page reads the whole trail.
    pub(super) sort: Option<String>,
    /// `json` for a page; `jsonl` or `csv` for all of it, oldest first. The `Accept` field decides
    /// if nothing is said.
    pub(super) format: Option<String>,
}

/// List what was done in the organization, newest first if nothing is said; or export all of it, oldest first.
///
/// A page of a filtered list may hold fewer rows than asked for, even none, while there are more.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/audit",
    tag = "audit",
    operation_id = "list_audit_events",
    params(("org" = String, Path, description = "Identity of the organization"), AuditQuery),
    responses(
        (status = 200, description = "A page of events, or an export", content(
            (PageBody<Line> = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
        )),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    headers: HeaderMap,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    let format = export::format(query.format.as_deref(), &headers)?;
    let again = call.clone();
    // Every other order shows in a pass over the whole trail.
    let is_pass = query.sort.as_deref().is_some_and(|sort| sort.trim_start_matches('-') != "seq");
    let read = move |desk: &Desk<'_>| {
        let org = params.id("org")?;
        desk.caller.reads_audit(org)?;
        let filter = query.filter(desk)?;
        if format == Format::Json {
            return Ok(Asked::Page(page(desk, org, &filter, &query)?));
        }
        let of_pages = [("limit", &query.limit), ("cursor", &query.cursor), ("sort", &query.sort)];
        for (name, said) in of_pages {
            if said.is_some() {
                return Err(Problem::field(name, "an export has no pages, and one order"));
            }
        }
        Ok(Asked::Export(org, filter))
    };
    let asked = if is_pass {
        desk::pass(&state, call, read).await?
    } else {
        desk::read(&state, call, read).await?
    };
    match asked {
        Asked::Page(page) => Ok(Json(page).into_response()),
        Asked::Export(org, filter) => export::start(&state, again, org, filter, format),
    }
}

/// The latest events about a token, or with it. For owners.
pub(crate) fn of_token(desk: &Desk<'_>, token: TokenId, most: usize) -> Result<Vec<Line>, Problem> {
    let org = desk.caller.org();
    desk.caller.reads_audit(org)?;
    let filter = Filter { token: Some(token), ..Filter::default() };
    let (mut found, mut read) = (Vec::new(), 0);
    desk.ledger().visit_events_back(org, None, &mut |event| {
        read += 1;
        if filter.admits(&event.said) {
            found.push(Line::from(event));
        }
        let is_enough = found.len() == most || read == EVENTS_READ_MAX;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// A page of the trail, for owners.
pub(crate) fn listed(desk: &Desk<'_>, query: &AuditQuery) -> Result<PageBody<Line>, Problem> {
    let org = desk.caller.org();
    desk.caller.reads_audit(org)?;
    page(desk, org, &query.filter(desk)?, query)
}

enum Asked {
    Page(PageBody<Line>),
    Export(OrgId, Filter),
}

fn page(
    desk: &Desk<'_>,
    org: OrgId,
    filter: &Filter,
    query: &AuditQuery,
) -> Result<PageBody<Line>, Problem> {
    let (limit, cursor) = (query.limit.as_deref(), query.cursor.as_deref());
    let sort = query.sort.as_deref();
    let order = sort.map_or(Some(EventColumn::DEFAULT), Sort::parse);
    if let Some(Sort { column: EventColumn::Seq, descending }) = order {
        return in_place(desk, org, filter, (list::limit(limit)?, cursor), descending);
    }
    let asked = list::asked::<EventColumn>(sort, limit, cursor)?;
    Ok(directory::events(desk.ledger(), org, filter, asked)?.map(Line::from).into())
}

/// What stands before the cursor of a page that goes up.
const UPWARDS: &str = "up-";

/// A page in the order of the trail, which is read no further than the page needs.
fn in_place(
    desk: &Desk<'_>,
    org: OrgId,
    filter: &Filter,
    (limit, cursor): (usize, Option<&str>),
    descending: bool,
) -> Result<PageBody<Line>, Problem> {
    let place = |text: &str| {
        let text = if descending { Some(text) } else { text.strip_prefix(UPWARDS) };
        text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(list::broken_cursor)
    };
    // The page goes on behind this event, whichever way it goes.
    let behind = cursor.map(place).transpose()?;
    let (mut items, mut read, mut next) = (Vec::new(), 0, None);
    let mut last = behind;
    let mut visit = |event: Event| {
        let seq = event.seq;
        read += 1;
        if filter.admits(&event.said) {
            if items.len() == limit {
                next = last;
                return ControlFlow::Break(());
            }
            items.push(Line::from(event));
        }
        last = Some(seq);
        if read == EVENTS_READ_MAX {
            next = last.filter(|seq| !descending || *seq > 1);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    if descending {
        desk.ledger().visit_events_back(org, behind, &mut visit)?;
    } else {
        desk.ledger().visit_events(org, behind.unwrap_or(0), &mut visit)?;
    }
    let next_cursor =
        next.map(|seq| if descending { seq.to_string() } else { format!("{UPWARDS}{seq}") });
    Ok(PageBody { items, next_cursor })
}

impl AuditQuery {
    fn filter(&self, desk: &Desk<'_>) -> Result<Filter, Problem> {
        let time = |name: &str, text: &Option<String>| -> Result<Option<Timestamp>, Problem> {
            let Some(text) = text else { return Ok(None) };
            text.parse().map(Some).map_err(|error| wrong(name, &error))
        };
        let token = self.token.as_ref().map(|text| text.parse::<TokenId>()).transpose();
        Ok(Filter {
            actor: self.actor.as_deref().map(|text| actor(text, desk)).transpose()?,
            target: self.target.as_deref().map(identity).transpose()?,
            token: token.map_err(|error| wrong("token", &error))?,
            actions: self.action.as_deref().map_or(Ok(Vec::new()), actions)?,
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
        })
    }
}

fn wrong(field: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::field(field, error.to_string())
}

fn actor(text: &str, desk: &Desk<'_>) -> Result<ActorFilter, Problem> {
    match text {
        "me" => Ok(ActorFilter::User(desk.caller.user())),
        "offline" => Ok(ActorFilter::Offline),
        "system" => Ok(ActorFilter::System),
        "unknown" => Ok(ActorFilter::Unknown),
        _ => text.parse().map(ActorFilter::User).map_err(|_unspecific| {
            Problem::field(
                "actor",
                "expected a user's identity, `me`, `offline`, `system` or `unknown`",
            )
        }),
    }
}

/// An identity of whatever kind.
fn identity(text: &str) -> Result<String, Problem> {
    let looks_right = text.split_once('_').is_some_and(|(kind, rest)| {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        !kind.is_empty() && plain(kind) && rest.len() == 26 && plain(rest)
    });
    if looks_right {
        return Ok(text.to_owned());
    }
    Err(Problem::field("target", "expected an identity, such as `tok_01jgfjjy2g3q8n5r7s9t1v3w5x`"))
}

fn actions(text: &str) -> Result<Vec<Action>, Problem> {
    let action = |name: &str| {
        Action::deserialize(name.into_deserializer())
            .map_err(|error: ValueError| Problem::field("action", error.to_string()))
    };
    let actions: Vec<Action> = text.split(',').map(action).collect::<Result<_, _>>()?;
    if actions.len() > ACTIONS_MAX {
        return Err(Problem::field("action", format!("at most {ACTIONS_MAX}")));
    }
    Ok(actions)
}

/// What stands for the beginning of a trail.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditCheckpoint)]
struct CheckpointBody {
    /// The number of the last event that it stands for.
    seq: u64,
    /// That event's hash.
    #[schema(value_type = String)]
    hash: Link,
    /// When that event was.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// When the checkpoint was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// `retention`: the events up to it outlived the time they are kept. `new_key`: they are there,
    /// and were chained under another key.
    cause: Cause,
    /// HMAC-SHA-256 of all of it, under the gateway's key.
    #[schema(value_type = String)]
    signature: Link,
}

/// The end of the trail.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditHead)]
pub(crate) struct HeadBody {
    /// The number of the last event; 0 before the first.
    seq: u64,
    /// Its hash, which stands for all events up to it; null before the first.
    #[schema(required, value_type = Option<String>)]
    hash: Option<Link>,
    /// When it was.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// What stands for the beginning of the trail; null where all of it is there.
    #[schema(required)]
    checkpoint: Option<CheckpointBody>,
}

impl From<Ends> for HeadBody {
    fn from(Ends { head, checkpoint }: Ends) -> Self {
        Self {
            seq: head.map_or(0, |head| head.seq),
            hash: head.map(|head| head.link),
            at: head.map(|head| head.at),
            checkpoint: checkpoint.map(|checkpoint| CheckpointBody {
                seq: checkpoint.through.seq,
                hash: checkpoint.through.link,
                at: checkpoint.through.at,
                made_at: checkpoint.made_at,
                cause: checkpoint.cause,
                signature: checkpoint.seal,
            }),
        }
    }
}

/// Read the head of the audit trail: who keeps it elsewhere sees when events before it are gone.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/audit/head",
    tag = "audit",
    operation_id = "read_audit_head",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses((status = 200, description = "The head", body = HeadBody), ReadProblems)
)]
pub(crate) async fn head(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Json<HeadBody>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = params.id("org")?;
        desk.caller.reads_audit(org)?;
        Ok(Json(desk.ledger().trail(org)?.into()))
    })
    .await
}
