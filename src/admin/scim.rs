//! `/scim/v2`: SCIM 2.0 (RFC 7643, RFC 7644), by which an identity provider makes, changes, switches
//! off and on, and removes the users of the caller's organization.
//!
//! It is another form of what `users` does: the same commands, the same rules, the same audit trail.
//! Errors are problems as everywhere, until they leave: then they take SCIM's form.

mod discovery;
mod draft;
mod filter;
mod list;
mod path;
mod resource;

pub(crate) use discovery::*;

use super::desk::{self, Desk, Step, Versioned};
use super::etag::{self, Precondition};
use super::extract::{Call, Params, Query, ScimJson};
use super::openapi::{ScimChangeProblems, ScimReadProblems};
use super::problem::Problem;
use super::{Shared, scope, tokens, users};
use crate::governance::user::{self, CreateUser, Estate, Provision, UpdateUser};
use crate::id::UserId;
use crate::org::{Revision, User};
use crate::role::RoleSet;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use draft::Draft;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use list::{Bare, Shown, Wanted};
use resource::{Projection, resource};
use scope::ServiceRole;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The media type of everything here.
pub(crate) const MEDIA_TYPE: &str = "application/scim+json";
const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const SEARCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// An answer in SCIM's media type.
pub(crate) struct Answer(Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        ([(CONTENT_TYPE, media_type)], self.0.to_string()).into_response()
    }
}

/// Whether a path is one of SCIM's.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix("/scim/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An answer as it leaves: a problem takes the form of RFC 7644 section 3.12.
pub(crate) fn in_its_form(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let mut body = json!({
        "schemas": [ERROR_SCHEMA],
        "status": response.status().as_u16().to_string(),
        "detail": problem.scim_detail(),
    });
    if let Some(scim_type) = problem.scim_type() {
        body["scimType"] = json!(scim_type);
    }
    *response.body_mut() = Body::from(body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// List users: filtered, sorted, a part of them.
#[utoipa::path(
    get,
    path = "/scim/v2/Users",
    tag = "scim",
    operation_id = "scim_list_users",
    params(Wanted),
    responses(
        (status = 200, description = "RFC 7644 section 3.4.2", body = Value,
         content_type = "application/scim+json"),
        ScimReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    Query(wanted): Query<Wanted>,
) -> Result<Answer, Problem> {
    let search = wanted.search()?;
    desk::read(&state, call, move |desk| search.answer(desk)).await
}

/// List users, with the parameters in the body.
#[utoipa::path(
    post,
    path = "/scim/v2/Users/.search",
    tag = "scim",
    operation_id = "scim_search_users",
    params(Bare),
    request_body(content = Value, content_type = "application/scim+json"),
    responses(
        (status = 200, description = "RFC 7644 section 3.4.3", body = Value,
         content_type = "application/scim+json"),
        ScimChangeProblems
    )
)]
pub(crate) async fn search(
    State(state): State<Shared>,
    call: Call,
    _query: Query<Bare>,
    ScimJson(body): ScimJson,
) -> Result<Answer, Problem> {
    let search = Wanted::of(&body)?.search()?;
    desk::read(&state, call, move |desk| search.answer(desk)).await
}

/// List resources of all types, of which there is one: users.
#[utoipa::path(
    post,
    path = "/scim/v2/.search",
    tag = "scim",
    operation_id = "scim_search",
    params(Bare),
    request_body(content = Value, content_type = "application/scim+json"),
    responses(
        (status = 200, description = "RFC 7644 section 3.4.3", body = Value,
         content_type = "application/scim+json"),
        ScimChangeProblems
    )
)]
pub(crate) async fn search_all(
    state: State<Shared>,
    call: Call,
    query: Query<Bare>,
    body: ScimJson,
) -> Result<Answer, Problem> {
    search(state, call, query, body).await
}

/// Create a user.
#[utoipa::path(
    post,
    path = "/scim/v2/Users",
    tag = "scim",
    operation_id = "scim_create_user",
    params(Shown),
    request_body(content = Value, content_type = "application/scim+json"),
    responses(
        (status = 201, description = "RFC 7644 section 3.3", body = Value,
         content_type = "application/scim+json",
         headers(("ETag" = String), ("Location" = String))),
        ScimChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    Query(wanted): Query<Shown>,
    ScimJson(body): ScimJson,
) -> Result<Response, Problem> {
    let projection = wanted.projection()?;
    let draft = Draft::new(&body)?;
    let id = UserId::new((state.clock)(), tokens::random(&state)?);
    let done = desk::change(&state, call, move |desk| {
        let org = desk.caller.org();
        desk.caller.lists_users(org)?;
        let (org_roles, service_roles) = sets(&draft.roles, desk)?;
        let command = CreateUser {
            org,
            id,
            email: draft.email.clone(),
            name: draft.name.clone(),
            roles: org_roles.iter().chain(service_roles.iter()).collect(),
            external_id: draft.external_id.clone(),
            active: draft.active,
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        Ok(Step::of(plan, Revision::default(), |user| resource(&user, desk.roles())))
    })
    .await?;
    let location = tokens::path(&format!("/scim/v2/Users/{id}"));
    Ok((StatusCode::CREATED, [(LOCATION, location)], shown(done, &projection)).into_response())
}

/// The roles of a list of names: those of the organization, and those of services.
fn sets(names: &BTreeSet<String>, desk: &Desk<'_>) -> Result<(RoleSet, RoleSet), Problem> {
    let mut org_roles = Vec::new();
    let mut service_roles = Vec::new();
    for name in names {
        match name.split_once('/') {
            None => org_roles.push(name.clone()),
            Some((service, role)) => {
                let (service, role) = (service.to_owned(), role.to_owned());
                service_roles.push(ServiceRole { service, role });
            }
        }
    }
    let org_roles = scope::organization_set("roles", &org_roles, desk)?;
    Ok((org_roles, scope::service_set("roles", &service_roles, desk)?))
}

/// Read a user. A member reads themself.
#[utoipa::path(
    get,
    path = "/scim/v2/Users/{user}",
    tag = "scim",
    operation_id = "scim_read_user",
    params(("user" = String, Path, description = "Identity of the user"), Shown),
    responses(
        (status = 200, description = "RFC 7644 section 3.4.1", body = Value,
         content_type = "application/scim+json", headers(("ETag" = String))),
        ScimReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(wanted): Query<Shown>,
) -> Result<Response, Problem> {
    let projection = wanted.projection()?;
    let done = desk::read(&state, call, move |desk| {
        let user = named(desk, &params)?;
        Ok(Versioned { answer: resource(&user, desk.roles()), version: user.version })
    })
    .await?;
    Ok(shown(done, &projection))
}

/// The user whom the path names, for somebody who may at least read them.
fn named(desk: &Desk<'_>, params: &Params) -> Result<User, Problem> {
    let id = params.id("user")?;
    let user = desk.user(id)?;
    desk.caller.reads_user(user.org, id)?;
    Ok(user)
}

fn shown(done: Versioned<Value>, projection: &Projection) -> Response {
    let tag = etag::tag(done.version);
    let resource = projection.of(resource::versioned(done.answer, done.version));
    ([(ETAG, tag)], Answer(resource)).into_response()
}

/// Replace a user.
#[utoipa::path(
    put,
    path = "/scim/v2/Users/{user}",
    tag = "scim",
    operation_id = "scim_replace_user",
    params(
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        Shown
    ),
    request_body(content = Value, content_type = "application/scim+json"),
    responses(
        (status = 200, description = "RFC 7644 section 3.5.1", body = Value,
         content_type = "application/scim+json", headers(("ETag" = String))),
        ScimChangeProblems
    )
)]
pub(crate) async fn replace(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    Query(wanted): Query<Shown>,
    ScimJson(body): ScimJson,
) -> Result<Response, Problem> {
    let change = move |draft: &mut Draft| draft.replace(&body);
    changed(&state, call, params, precondition, wanted.projection()?, change).await
}

/// Change a user.
#[utoipa::path(
    patch,
    path = "/scim/v2/Users/{user}",
    tag = "scim",
    operation_id = "scim_patch_user",
    params(
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        Shown
    ),
    request_body(content = Value, content_type = "application/scim+json"),
    responses(
        (status = 200, description = "RFC 7644 section 3.5.2", body = Value,
         content_type = "application/scim+json", headers(("ETag" = String))),
        ScimChangeProblems
    )
)]
pub(crate) async fn patch(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    Query(wanted): Query<Shown>,
    ScimJson(body): ScimJson,
) -> Result<Response, Problem> {
    let change = move |draft: &mut Draft| draft.patch(&body);
    changed(&state, call, params, precondition, wanted.projection()?, change).await
}

async fn changed(
    state: &Shared,
    call: Call,
    params: Params,
    precondition: Precondition,
    projection: Projection,
    change: impl Fn(&mut Draft) -> Result<(), Problem> + Send + Sync + 'static,
) -> Result<Response, Problem> {
    let done = desk::change(state, call, move |desk| {
        let user = named(desk, &params)?;
        let was = Draft::of(&user, desk.roles());
        let mut wanted = was.clone();
        change(&mut wanted)?;
        let plan = provision(&user, &was, &wanted, desk)?.plan(&user, desk.caller, &desk.at)?;
        precondition.holds(user.version)?;
        Ok(Step::of(plan, user.version, |user| resource(&user, desk.roles())))
    })
    .await?;
    Ok(shown(done, &projection))
}

/// What differs, as a command.
fn provision<'u>(
    user: &'u User,
    was: &Draft,
    wanted: &Draft,
    desk: &Desk<'_>,
) -> Result<Provision<'u>, Problem> {
    let roles = if wanted.roles == was.roles { None } else { Some(sets(&wanted.roles, desk)?) };
    let (org_roles, service_roles) = roles.unzip();
    let active = (wanted.active != was.active).then_some(wanted.active);
    let update = UpdateUser {
        user,
        name: (wanted.name != was.name).then(|| wanted.name.clone()),
        email: (wanted.email != was.email).then(|| wanted.email.clone()),
        org_roles,
        service_roles,
        external_id: (wanted.external_id != was.external_id).then(|| wanted.external_id.clone()),
    };
    // Who only switches needs no more than that.
    let fields = Draft { active: was.active, ..wanted.clone() };
    let update = (fields != *was || active.is_none()).then_some(update);
    Ok(Provision { update, active })
}

/// Remove a user. Their tokens are revoked in the same change.
#[utoipa::path(
    delete,
    path = "/scim/v2/Users/{user}",
    tag = "scim",
    operation_id = "scim_remove_user",
    params(
        ("user" = String, Path, description = "Identity of the user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        Bare
    ),
    responses((status = 204, description = "RFC 7644 section 3.6"), ScimChangeProblems)
)]
pub(crate) async fn remove(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    _query: Query<Bare>,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let user = named(desk, &params)?;
        let estate = Estate::Revoke { tokens: users::live_tokens(desk, &user)? };
        let plan = user::remove(&user, estate, desk.caller, &desk.at)?;
        precondition.holds(user.version)?;
        Ok(Step::of(plan, user.version, |()| ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
