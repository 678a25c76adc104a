//! Organization, users: who there is, and what they hold.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::query::{Asked, Head};
use super::told::person;
use super::visitor::Visitor;
use super::when::When;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::extract::{Json, OptionalJson, Params, Query};
use crate::admin::idempotency::IdempotencyKey;
use crate::admin::problem::Problem;
use crate::admin::scope::ServiceRole;
use crate::admin::users::{
    self, Because, NewUser, Removal, UserBody, UserChange, UserStanding, UsersQuery,
};
use crate::role::RoleName;
use askama::Template;
use axum::extract::{Path, State};
use http::Uri;

const PATH: &str = "/governance/users";
/// Users that tokens can be handed to by choice.
const HEIRS_MAX: usize = 500;

struct UserRow {
    id: String,
    name: String,
    email: String,
    scope: Vec<String>,
    state: &'static str,
    status: &'static str,
    created: When,
    is_self: bool,
    is_operator: bool,
}

impl UserRow {
    fn of(user: UserBody, desk: &Desk<'_>) -> Self {
        let (state, status) = match user.status {
            UserStanding::Activated => ("activated", "Activated"),
            UserStanding::Deactivated => ("deactivated", "Deactivated"),
        };
        let service = |held: ServiceRole| format!("{}/{}", held.service, held.role);
        let scope = user.org_roles.into_iter().chain(user.service_roles.into_iter().map(service));
        Self {
            id: user.id.to_string(),
            name: user.name,
            email: user.email,
            scope: scope.collect(),
            state,
            status,
            created: When::of(user.created_at, desk.now()),
            is_self: user.id == desk.caller.user(),
            is_operator: user.operator,
        }
    }
}

struct RoleChoice {
    name: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    frame: Frame,
    rows: Vec<UserRow>,
    roles: Vec<RoleChoice>,
    heads: Vec<Head>,
    q: String,
    status: String,
    sort: String,
    is_filtered: bool,
    next: Option<String>,
    is_first: bool,
    first: String,
    done: Option<&'static str>,
    problem: Option<String>,
    name: String,
    email: String,
}

const COLUMNS: [(&str, &str); 5] = [
    ("name", "Name"),
    ("email", "E-mail"),
    ("org_roles", "Roles"),
    ("status", "Status"),
    ("created_at", "Created"),
];

/// The list.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    shown(&state, visitor, &uri, Fields::default(), None).await
}

async fn shown(
    state: &Shared,
    visitor: Visitor,
    uri: &Uri,
    fields: Fields,
    problem: Option<Problem>,
) -> Answer {
    let theme = visitor.theme;
    let said = problem.as_ref().map(Problem::sentence);
    let page = async {
        let asked = Asked::of(uri, PATH, &["q", "status", "sort", "cursor", "done"])?;
        let query = UsersQuery {
            limit: None,
            cursor: asked.owned("cursor"),
            status: asked.owned("status"),
            q: asked.owned("q"),
            sort: asked.owned("sort"),
        };
        let (call, org) = (visitor.call.clone(), visitor.call.caller.org().to_string());
        let params = Params::said([("org", org)]);
        let axum::Json(found) =
            users::list(State(state.clone()), call, params, Query(query)).await?;
        let call = visitor.call.clone();
        desk::read(state, call, move |desk| {
            let text = |name| asked.text(name).unwrap_or_default().to_owned();
            let typed = |name| fields.text(name).unwrap_or_default().to_owned();
            let chosen: Vec<&str> = fields.all("role").collect();
            Ok(UsersPage {
                frame: Frame::of(desk, &visitor, "Users", "users")?,
                roles: roles(desk, |name| {
                    chosen.contains(&name) || (chosen.is_empty() && name == "org_member")
                }),
                heads: asked.heads(&COLUMNS, "name"),
                rows: found.items.into_iter().map(|user| UserRow::of(user, desk)).collect(),
                q: text("q"),
                status: text("status"),
                sort: text("sort"),
                is_filtered: asked.has_any(&["q", "status"]),
                next: found.next_cursor.map(|cursor| asked.with(&[("cursor", &cursor)])),
                is_first: asked.text("cursor").is_none(),
                first: asked.with(&[]),
                done: asked.text("done").and_then(done),
                problem: said,
                name: typed("name"),
                email: typed("email"),
            })
        })
        .await
    };
    match (page.await, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

/// All roles that there are, as choices.
fn roles(desk: &Desk<'_>, chosen: impl Fn(&str) -> bool) -> Vec<RoleChoice> {
    let names = desk.catalogue.role_names();
    let names = names.iter().map(RoleName::to_string);
    names.map(|name| RoleChoice { chosen: chosen(&name), name }).collect()
}

fn done(what: &str) -> Option<&'static str> {
    Some(match what {
        "made" => "The user is there. They need a token to do anything.",
        "changed" => "Saved.",
        "deactivated" => "The user is deactivated: from now on none of their tokens is admitted.",
        "activated" => "The user is activated: their tokens are admitted as before.",
        "removed" => "The user is removed.",
        _ => return None,
    })
}

/// Makes a user.
pub(super) async fn make(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let (org_roles, service_roles) = split(&fields);
    let new = NewUser {
        email: fields.text("email").unwrap_or_default().to_owned(),
        name: fields.text("name").unwrap_or_default().to_owned(),
        org_roles,
        service_roles,
    };
    let (call, org) = (visitor.call.clone(), visitor.call.caller.org().to_string());
    let params = Params::said([("org", org)]);
    let body = Json { value: new, digest: [0; 32] };
    let made = users::create(State(state.clone()), call, params, IdempotencyKey::absent(), body);
    match made.await {
        Ok(_made) => Answer::to(&format!("{PATH}?done=made")),
        Err(problem) => {
            let uri = Uri::from_static(PATH);
            shown(&state, visitor, &uri, fields, Some(problem)).await
        }
    }
}

/// The roles that are ticked: of the organization, and of services.
fn split(fields: &Fields) -> (Vec<String>, Vec<ServiceRole>) {
    let (mut org_roles, mut service_roles) = (Vec::new(), Vec::new());
    for role in fields.all("role") {
        match role.split_once('/') {
            Some((service, role)) => service_roles
                .push(ServiceRole { service: service.to_owned(), role: role.to_owned() }),
            None => org_roles.push(role.to_owned()),
        }
    }
    (org_roles, service_roles)
}

struct Heir {
    id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    frame: Frame,
    row: UserRow,
    changed: Option<(When, String, Option<String>)>,
    roles: Vec<RoleChoice>,
    heirs: Vec<Heir>,
    done: Option<&'static str>,
    problem: Option<String>,
}

/// One user.
pub(super) async fn one(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(user): Path<String>,
    uri: Uri,
) -> Answer {
    let done = uri.query().and_then(|query| query.strip_prefix("done=")).and_then(done);
    shown_one(&state, visitor, user, done, None).await
}

async fn shown_one(
    state: &Shared,
    visitor: Visitor,
    user: String,
    done: Option<&'static str>,
    problem: Option<Problem>,
) -> Answer {
    let theme = visitor.theme;
    let said = problem.as_ref().map(Problem::sentence);
    let call = visitor.call.clone();
    let page = desk::read(state, call, move |desk| {
        // Whoever may not list users has no use for this page.
        desk.caller.lists_users(desk.caller.org())?;
        let found = users::named(desk, &params(&visitor, &user))?;
        let body = UserBody::new(&found, desk.roles());
        let changed = body.status_changed.as_ref().map(|change| {
            let who = change.by.map_or_else(|| "Bearward".to_owned(), |by| person(desk, by));
            (When::of(change.at, desk.now()), who, change.reason.clone())
        });
        let row = UserRow::of(body, desk);
        let all = desk.ledger().users(desk.caller.org())?;
        let others = all.into_iter().filter(|user| user.id != found.id && user.is_active());
        let heirs = others.take(HEIRS_MAX);
        Ok(UserPage {
            frame: Frame::of(desk, &visitor, row.name.clone(), "users")?,
            roles: roles(desk, |name| row.scope.iter().any(|held| held == name)),
            heirs: heirs.map(|user| Heir { id: user.id.to_string(), name: user.name }).collect(),
            row,
            changed,
            done,
            problem: said,
        })
    });
    match (page.await, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

fn params(visitor: &Visitor, user: &str) -> Params {
    let org = visitor.call.caller.org().to_string();
    Params::said([("org", org), ("user", user.to_owned())])
}

/// Name, address and roles.
pub(super) async fn change(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (org_roles, service_roles) = split(&fields);
    let change = UserChange {
        email: fields.text("email").map(str::to_owned),
        name: fields.text("name").map(str::to_owned),
        org_roles: Some(org_roles),
        service_roles: Some(service_roles),
    };
    let (call, params) = (visitor.call.clone(), params(&visitor, &user));
    let body = Json { value: change, digest: [0; 32] };
    let done = users::update(State(state.clone()), call, params, Precondition::Absent, body).await;
    after(&state, visitor, user, "changed", done).await
}

async fn after<T>(
    state: &Shared,
    visitor: Visitor,
    user: String,
    what: &str,
    done: Result<T, Problem>,
) -> Answer {
    match done {
        Ok(_changed) => Answer::to(&format!("{PATH}/{user}?done={what}")),
        Err(problem) => shown_one(state, visitor, user, None, Some(problem)).await,
    }
}

pub(super) async fn deactivate(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &user));
    let reason = fields.text("reason").map(str::to_owned);
    let because = OptionalJson { value: Because { reason }, digest: [0; 32] };
    let shared = State(state.clone());
    let done = users::deactivate(shared, call, params, Precondition::Absent, because).await;
    after(&state, visitor, user, "deactivated", done).await
}

pub(super) async fn activate(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &user));
    let reason = fields.text("reason").map(str::to_owned);
    let because = OptionalJson { value: Because { reason }, digest: [0; 32] };
    let shared = State(state.clone());
    let done = users::activate(shared, call, params, Precondition::Absent, because).await;
    after(&state, visitor, user, "activated", done).await
}

pub(super) async fn remove(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(user): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &user));
    let removal = Query(Removal { hand_over_to: fields.text("heir").map(str::to_owned) });
    let shared = State(state.clone());
    match users::remove(shared, call, params, Precondition::Absent, removal).await {
        Ok(_gone) => Answer::to(&format!("{PATH}?done=removed")),
        Err(problem) => shown_one(&state, visitor, user, None, Some(problem)).await,
    }
}
