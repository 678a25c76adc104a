//! `/orgs/{org}/audit`: the audit trail, newest first.

use super::Shared;
use super::desk;
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::openapi::ReadProblems;
use super::problem::Problem;
use crate::audit::{Action, Actor, Event, FieldChange, Target};
use crate::id::{TokenId, UserId};
use crate::time::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Who did it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AuditActor)]
enum ActorBody {
    /// A user, with a token.
    User {
        #[schema(value_type = String)]
        user: UserId,
        #[schema(value_type = String)]
        token: TokenId,
    },
    /// Somebody on the machine itself.
    Offline,
    /// Bearward itself.
    System,
}

impl From<Actor> for ActorBody {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::User { user, token } => Self::User { user, token },
            Actor::Offline => Self::Offline,
            Actor::System => Self::System,
        }
    }
}

/// Of what kind it is that something was done to.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum TargetKind {
    Organization,
    User,
    Token,
    Webhook,
    Notice,
}

/// What it was done to.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditTarget)]
struct TargetBody {
    r#type: TargetKind,
    id: String,
    /// Its name at that time.
    name: String,
}

/// One event.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEvent)]
pub(crate) struct EventBody {
    /// Its place in the trail, from 1 without a gap.
    seq: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    actor: ActorBody,
    action: Action,
    target: TargetBody,
    /// From where; null for what was done on the machine itself.
    #[schema(required)]
    address: Option<String>,
    /// The `X-Request-Id` of the request.
    #[schema(required)]
    request_id: Option<String>,
    /// Why, in the words of who did it.
    #[schema(required)]
    reason: Option<String>,
    changes: Vec<FieldChange>,
}

impl From<Event> for EventBody {
    fn from(Event { seq, revision: _, said }: Event) -> Self {
        let (r#type, id) = match said.target {
            Target::Organization(id) => (TargetKind::Organization, id.to_string()),
            Target::User(id) => (TargetKind::User, id.to_string()),
            Target::Token(id) => (TargetKind::Token, id.to_string()),
            Target::Webhook(id) => (TargetKind::Webhook, id.to_string()),
            Target::Notice(id) => (TargetKind::Notice, id.to_string()),
        };
        Self {
            seq,
            at: said.at,
            actor: said.actor.into(),
            action: said.action,
            target: TargetBody { r#type, id, name: said.target_name },
            address: said.origin.address.map(|address| address.to_string()),
            request_id: said.origin.request_id,
            reason: said.reason,
            changes: said.changes,
        }
    }
}

/// Parameters of the audit trail.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List what was done in the organization, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/audit",
    tag = "audit",
    operation_id = "list_audit_events",
    params(("org" = String, Path, description = "Identity of the organization"), AuditQuery),
    responses(
        (status = 200, description = "A page of events", body = PageBody<EventBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<AuditQuery>,
) -> Result<Json<PageBody<EventBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = params.id("org")?;
        desk.caller.reads_audit(org)?;
        let limit = list::limit(query.limit.as_deref())?;
        let before = match query.cursor.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_not_ours| list::broken_cursor())?),
        };
        let mut events = desk.ledger().events(org, before, limit + 1)?;
        let has_next = events.len() > limit;
        events.truncate(limit);
        let next_cursor = events.last().filter(|_| has_next).map(|last| last.seq.to_string());
        let items = events.into_iter().map(EventBody::from).collect();
        Ok(Json(PageBody { items, next_cursor }))
    })
    .await
}
