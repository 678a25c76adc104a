//! `/orgs/{org}/users`: users.

use super::desk::{self, Desk, Step, Versioned};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, OptionalJson, Params, Query};
use super::idempotency::{self, IdempotencyKey};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::scope::{self, Scope, ServiceRole};
use super::{Shared, tokens};
use crate::directory::{self, UserColumn, UserQuery};
use crate::governance::user::{self, CreateUser, Estate, UpdateUser};
use crate::governance::{Plan, Refusal, reduced, words};
use crate::id::UserId;
use crate::org::{Revision, StatusChange, User, UserStatus};
use crate::role::RoleTable;
use crate::time::Timestamp;
use crate::token::Standing;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Who changed a status, when and why.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatusChange)]
pub(crate) struct StatusChangeBody {
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
    /// The user who did it; null if it was done on the machine itself.
    #[schema(required, value_type = Option<String>)]
    pub(super) by: Option<UserId>,
    #[schema(required)]
    pub(super) reason: Option<String>,
}

impl From<&StatusChange> for StatusChangeBody {
    fn from(change: &StatusChange) -> Self {
        Self { at: change.at, by: change.by, reason: change.reason.clone() }
    }
}

/// The status of a user.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UserStanding {
    Activated,
    Deactivated,
}

/// A user.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    #[schema(value_type = String, example = "usr_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(super) id: UserId,
    pub(super) name: String,
    pub(super) email: String,
    /// Without those that follow from others: an owner is an admin, an admin is a member.
    pub(super) org_roles: Vec<String>,
    pub(super) service_roles: Vec<ServiceRole>,
    pub(super) status: UserStanding,
    /// The last change of the status; null if there was none.
    #[schema(required)]
    pub(super) status_changed: Option<StatusChangeBody>,
    /// Whether this is the operator, who may create organizations.
    pub(super) operator: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
}

impl UserBody {
    pub(crate) fn new(user: &User, table: &RoleTable) -> Self {
        let Scope { org_roles, service_roles } = Scope::named(&reduced(&user.roles), table);
        let (status, changed) = match &user.status {
            UserStatus::Activated(changed) => (UserStanding::Activated, changed.as_ref()),
            UserStatus::Deactivated(changed) => (UserStanding::Deactivated, Some(changed)),
        };
        Self {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            org_roles,
            service_roles,
            status,
            status_changed: changed.map(Into::into),
            operator: user.operator,
            created_at: user.created_at,
        }
    }
}

/// Parameters of the list of users.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// `activated` or `deactivated`.
    pub(super) status: Option<String>,
    /// A text in name or e-mail address.
    pub(super) q: Option<String>,
    /// `name`, `email`, `org_roles`, `service_roles`, `status`, `operator`, `created_at` or `id`; with
    /// `-` before it the largest first.
    pub(super) sort: Option<String>,
}

/// List the users of the organization.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/users",
    tag = "users",
    operation_id = "list_users",
    params(("org" = String, Path, description = "Identity of the organization"), UsersQuery),
    responses(
        (status = 200, description = "A page of users", body = PageBody<UserBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<UsersQuery>,
) -> Result<axum::Json<PageBody<UserBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = params.id("org")?;
        desk.caller.lists_users(org)?;
        let (sort, limit) = (query.sort.as_deref(), query.limit.as_deref());
        let query = UserQuery {
            active: match query.status.as_deref() {
                None => None,
                Some("activated") => Some(true),
                Some("deactivated") => Some(false),
                Some(_) => {
                    return Err(Problem::field("status", "expected activated or deactivated"));
                }
            },
            search: list::search(query.q.as_deref())?,
            asked: list::asked::<UserColumn>(sort, limit, query.cursor.as_deref())?,
        };
        let page = directory::users(desk.ledger().users(org)?, query, desk.roles());
        Ok(axum::Json(page.map(|user| UserBody::new(&user, desk.roles())).into()))
    })
    .await
}

/// A new user.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    #[schema(example = "ada@example.com")]
    pub(super) email: String,
    /// 1 to 64 characters.
    #[schema(example = "Ada", min_length = 1, max_length = 64)]
    pub(super) name: String,
    /// Organization roles; `org_member` if nothing is said.
    #[serde(default = "member")]
    pub(super) org_roles: Vec<String>,
    /// Service roles.
    #[serde(default)]
    pub(super) service_roles: Vec<ServiceRole>,
}

fn member() -> Vec<String> {
    vec!["org_member".to_owned()]
}

/// Create a user.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/users",
    tag = "users",
    operation_id = "create_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("Idempotency-Key" = Option<String>, Header, description = "Creates once per key")
    ),
    request_body = NewUser,
    responses(
        (status = 201, description = "Created", body = UserBody,
         headers(("ETag" = String), ("Location" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    key: IdempotencyKey,
    body: Json<NewUser>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let id = UserId::new((state.clock)(), tokens::random(&state)?);
    let org = params.id("org")?;
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        desk.org(org)?;
        desk.caller.lists_users(org)?;
        if let Some(made) = once.made(desk.ledger())? {
            let made = made.parse().map_err(|_never| idempotency::gone())?;
            let user = desk.user(made).map_err(|_absent| idempotency::gone())?;
            return Ok(Step::Answer(UserBody::new(&user, desk.roles()), user.version));
        }
        let org_roles = scope::organization_set("org_roles", &wanted.org_roles, desk)?;
        let service_roles = scope::service_set("service_roles", &wanted.service_roles, desk)?;
        let command = CreateUser {
            org,
            id,
            email: wanted.email.clone(),
            name: wanted.name.clone(),
            roles: org_roles.iter().chain(service_roles.iter()).collect(),
            external_id: None,
            active: true,
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        let step = Step::of(plan, Revision::default(), |user| UserBody::new(&user, desk.roles()));
        Ok(step.with(|change| once.mark(change, id.to_string(), desk.now())))
    })
    .await?;
    let location = format!("/api/v1/orgs/{org}/users/{}", done.answer.id);
    let headers = [(ETAG, etag::tag(done.version)), (LOCATION, tokens::path(&location))];
    Ok((StatusCode::CREATED, headers, axum::Json(done.answer)).into_response())
}

/// Read a user. A member reads themself.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/users/{user}",
    tag = "users",
    operation_id = "read_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("user" = String, Path, description = "Identity of the user")
    ),
    responses(
        (status = 200, description = "The user", body = UserBody, headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let done = desk::read(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let version = user.version;
        Ok(Versioned { answer: UserBody::new(&user, desk.roles()), version })
    })
    .await?;
    Ok(shown(done))
}

/// The user whom the path names, for somebody who may at least read them.
pub(super) fn named(desk: &Desk<'_>, params: &Params) -> Result<User, Problem> {
    let org = desk.org(params.id("org")?)?.id;
    let id = params.id("user")?;
    desk.caller.reads_user(org, id)?;
    desk.user(id)
}

fn shown(done: Versioned<UserBody>) -> Response {
    ([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response()
}

/// A change of a user. What is left out stays as it is.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    pub(super) email: Option<String>,
    /// 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub(super) name: Option<String>,
    /// All organization roles that the user is to hold.
    pub(super) org_roles: Option<Vec<String>>,
    /// All service roles that the user is to hold.
    pub(super) service_roles: Option<Vec<ServiceRole>>,
}

/// Change a user's name, e-mail address or roles. A member changes their own name only.
#[utoipa::path(
    patch,
    path = "/api/v1/orgs/{org}/users/{user}",
    tag = "users",
    operation_id = "update_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = UserChange,
    responses(
        (status = 200, description = "The user", body = UserBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn update(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<UserChange>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let org_roles = wanted.org_roles.as_deref();
        let service_roles = wanted.service_roles.as_deref();
        let command = UpdateUser {
            user: &user,
            name: wanted.name.clone(),
            email: wanted.email.clone(),
            org_roles: org_roles
                .map(|roles| scope::organization_set("org_roles", roles, desk))
                .transpose()?,
            service_roles: service_roles
                .map(|roles| scope::service_set("service_roles", roles, desk))
                .transpose()?,
            external_id: None,
        };
        planned(command.plan(desk.caller, &desk.at), &user, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

fn planned(
    plan: Result<Plan<User>, Refusal>,
    user: &User,
    precondition: &Precondition,
    desk: &Desk<'_>,
) -> Result<Step<UserBody>, Problem> {
    let plan = plan?;
    precondition.holds(user.version)?;
    Ok(Step::of(plan, user.version, |user| UserBody::new(&user, desk.roles())))
}

/// Why something is switched.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Because {
    /// In your words, at most 500 characters.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
}

/// Deactivate a user: from now on none of their tokens is admitted.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/users/{user}/deactivate",
    tag = "users",
    operation_id = "deactivate_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = Option<Because>,
    responses(
        (status = 200, description = "Deactivated", body = UserBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn deactivate(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: OptionalJson<Because>,
) -> Result<Response, Problem> {
    let reason = words::reason("reason", body.value.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let plan = user::deactivate(&user, reason.clone(), desk.caller, &desk.at);
        planned(plan, &user, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Activate a user again: their tokens are admitted as before.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/users/{user}/activate",
    tag = "users",
    operation_id = "activate_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = Option<Because>,
    responses(
        (status = 200, description = "Activated", body = UserBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn activate(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: OptionalJson<Because>,
) -> Result<Response, Problem> {
    let reason = words::reason("reason", body.value.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let plan = user::activate(&user, reason.clone(), desk.caller, &desk.at);
        planned(plan, &user, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Parameters of a removal.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Removal {
    /// The user who gets the tokens; without one, all must be revoked before.
    pub(super) hand_over_to: Option<String>,
}

/// Remove a user. Their tokens must be revoked before, or are handed over.
#[utoipa::path(
    delete,
    path = "/api/v1/orgs/{org}/users/{user}",
    tag = "users",
    operation_id = "remove_user",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        Removal
    ),
    responses((status = 204, description = "Removed"), ChangeProblems)
)]
pub(crate) async fn remove(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    Query(removal): Query<Removal>,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let heir = match &removal.hand_over_to {
            None => None,
            Some(text) => {
                let heir = text.parse().ok().and_then(|heir| desk.user(heir).ok());
                Some(heir.ok_or_else(|| {
                    Problem::field("hand_over_to", "no such user in the organization")
                })?)
            }
        };
        let estate = match &heir {
            None => Estate::Revoked,
            Some(to) => Estate::HandOver { to, tokens: live_tokens(desk, &user)? },
        };
        let plan = user::remove(&user, estate, desk.caller, &desk.at)?;
        precondition.holds(user.version)?;
        Ok(Step::of(plan, user.version, |()| ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn live_tokens(
    desk: &Desk<'_>,
    user: &User,
) -> Result<Vec<crate::token::ApiToken>, Problem> {
    let mut tokens = Vec::new();
    desk.ledger().visit_tokens(user.org, Some(user.id), &mut |token, _| {
        if token.standing() != Standing::Revoked {
            tokens.push(token);
        }
        // One more than can be handed over is enough to say so.
        if tokens.len() > crate::governance::TOKENS_PER_USER_MAX as usize + 1 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(tokens)
}
