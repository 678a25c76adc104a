//! Organization, audit trail: who did what, when, from where.

use super::answer::{Answer, Frame};
use super::query::Asked;
use super::told::{Told, words};
use super::visitor::Visitor;
use crate::admin::Shared;
use crate::admin::audit::{self, AuditQuery};
use crate::admin::desk::{self, Desk};
use crate::admin::problem::Problem;
use crate::audit::Action;
use askama::Template;
use axum::extract::State;
use http::Uri;

const PATH: &str = "/governance/audit";
/// Users that the filter offers by name.
const ACTORS_MAX: usize = 200;
/// What the filter offers of the actions.
const ACTIONS: [Action; 19] = [
    Action::TokenCreated,
    Action::TokenDeactivated,
    Action::TokenActivated,
    Action::TokenRevoked,
    Action::TokenRotated,
    Action::ViolationIgnored,
    Action::PoliciesUpdated,
    Action::ValidationFinished,
    Action::UserCreated,
    Action::UserUpdated,
    Action::UserDeactivated,
    Action::UserActivated,
    Action::SignedIn,
    Action::SignedOut,
    Action::CallRefused,
    Action::NoticeDelivered,
    Action::NoticeFailed,
    Action::NoticeUndeliverable,
    Action::OrganizationUpdated,
];

struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    events: Vec<Told>,
    actors: Vec<Choice>,
    actions: Vec<Choice>,
    since: String,
    until: String,
    is_filtered: bool,
    next: Option<String>,
    is_first: bool,
    first: String,
}

/// The page.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let theme = visitor.theme;
    let page =
        desk::read(&state, visitor.call.clone(), move |desk| show(desk, &visitor, &uri)).await;
    match page {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

fn show(desk: &Desk<'_>, visitor: &Visitor, uri: &Uri) -> Result<AuditPage, Problem> {
    let filters = ["actor", "action", "since", "until"];
    let asked = Asked::of(uri, PATH, &["actor", "action", "since", "until", "cursor"])?;
    // Days in the address, times in the trail: the last day counts to its end.
    let day = |name: &str, ahead: u16| -> Result<Option<String>, Problem> {
        let Some(text) = asked.text(name) else { return Ok(None) };
        let day = text.parse::<crate::time::Day>();
        let day = day.map_err(|error| Problem::field(name, error.to_string()))?;
        Ok(Some(day.later(ahead).start().to_string()))
    };
    let query = AuditQuery {
        cursor: asked.owned("cursor"),
        actor: asked.owned("actor"),
        action: asked.owned("action"),
        since: day("since", 0)?,
        until: day("until", 1)?,
        ..AuditQuery::default()
    };
    let found = audit::listed(desk, &query)?;
    let choice = |value: String, label: String, name: &str| Choice {
        chosen: asked.text(name) == Some(&*value),
        value,
        label,
    };
    let users = desk.ledger().users(desk.caller.org())?.into_iter().take(ACTORS_MAX);
    let mut actors: Vec<Choice> =
        users.map(|user| choice(user.id.to_string(), user.name, "actor")).collect();
    for (value, label) in
        [("system", "Bearward"), ("offline", "The machine"), ("unknown", "Somebody unknown")]
    {
        actors.push(choice(value.to_owned(), label.to_owned(), "actor"));
    }
    let actions = ACTIONS.map(|action| choice(action.to_string(), words(action), "action"));
    Ok(AuditPage {
        frame: Frame::of(desk, visitor, "Audit trail", "audit")?,
        events: found.items.into_iter().map(|line| Told::of(line, desk)).collect(),
        actors,
        actions: actions.into_iter().collect(),
        since: asked.text("since").unwrap_or_default().to_owned(),
        until: asked.text("until").unwrap_or_default().to_owned(),
        is_filtered: asked.has_any(&filters),
        next: found.next_cursor.map(|cursor| asked.with(&[("cursor", &cursor)])),
        is_first: asked.text("cursor").is_none(),
        first: asked.with(&[]),
    })
}
