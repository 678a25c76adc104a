//! Organization, webhooks: where machines are told of what happens.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::told::{person, said};
use super::visitor::Visitor;
use super::when::When;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::extract::{Json, Params};
use crate::admin::idempotency::Once;
use crate::admin::problem::Problem;
use crate::admin::webhooks::{self, NewWebhook, WebhookBody, WebhookChange};
use crate::notice::Kind;
use askama::Template;
use axum::extract::{Path, State};
use http::Uri;

const PATH: &str = "/governance/webhooks";

struct WebhookRow {
    id: String,
    url: String,
    kinds: Vec<String>,
    is_all: bool,
    activated: bool,
    created: When,
    created_by: String,
}

impl WebhookRow {
    fn of(webhook: WebhookBody, desk: &Desk<'_>) -> Self {
        Self {
            id: webhook.id.to_string(),
            is_all: webhook.kinds.len() == Kind::ALL.len(),
            kinds: webhook.kinds.iter().map(|kind| said(kind.name())).collect(),
            url: webhook.url,
            activated: webhook.activated,
            created: When::of(webhook.created_at, desk.now()),
            created_by: person(desk, webhook.created_by),
        }
    }
}

/// What a webhook can be told of: the name in the API, the words, whether it is chosen.
struct Choice {
    name: &'static str,
    words: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    rows: Vec<WebhookRow>,
    kinds: Vec<Choice>,
    url: String,
    /// The secret of the one that was just made.
    secret: Option<String>,
    done: Option<&'static str>,
    problem: Option<String>,
}

/// The page.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let done = uri.query().and_then(|query| query.strip_prefix("done=")).and_then(done);
    shown(&state, visitor, Fields::default(), Said { done, ..Said::default() }).await
}

fn done(what: &str) -> Option<&'static str> {
    Some(match what {
        "activated" => "The webhook is told of what happens from now on.",
        "deactivated" => "The webhook is told of nothing any more.",
        "removed" => "The webhook is gone, and with it what it was still owed.",
        _ => return None,
    })
}

/// What a page says beside the list.
#[derive(Default)]
struct Said {
    done: Option<&'static str>,
    secret: Option<String>,
    problem: Option<Problem>,
}

async fn shown(state: &Shared, visitor: Visitor, fields: Fields, told: Said) -> Answer {
    let theme = visitor.theme;
    let Said { done, secret, problem } = told;
    let sentence = problem.as_ref().map(Problem::sentence);
    let call = visitor.call.clone();
    let page = desk::read(state, call, move |desk| {
        let org = desk.caller.org();
        desk.caller.reads_notices(org)?;
        let webhooks = desk.ledger().webhooks(org)?.into_iter();
        let chosen: Vec<&str> = fields.all("kind").collect();
        let kind = |kind: Kind| Choice {
            name: kind.name(),
            words: said(kind.name()),
            chosen: chosen.is_empty() || chosen.contains(&kind.name()),
        };
        Ok(WebhooksPage {
            frame: Frame::of(desk, &visitor, "Webhooks", "webhooks")?,
            rows: webhooks.map(|webhook| WebhookRow::of(webhook.into(), desk)).collect(),
            kinds: Kind::ALL.into_iter().map(kind).collect(),
            url: fields.text("url").unwrap_or_default().to_owned(),
            secret,
            done,
            problem: sentence,
        })
    });
    match (page.await, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

/// Makes one, and shows its secret.
pub(super) async fn make(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let made = async {
        let kind = |name: &str| {
            Kind::named(name).ok_or_else(|| Problem::field("kind", "expected a kind of notice"))
        };
        let kinds = fields.all("kind").map(kind).collect::<Result<Vec<_>, _>>()?;
        let wanted = NewWebhook {
            url: fields.text("url").unwrap_or_default().to_owned(),
            kinds: Some(kinds),
            activated: None,
        };
        let (call, org) = (visitor.call.clone(), visitor.call.caller.org());
        let (_done, secret) = webhooks::make(&state, call, org, Once::Unkeyed, wanted).await?;
        Ok(secret.expose().to_owned())
    };
    match made.await {
        Ok(secret) => {
            let told = Said { secret: Some(secret), ..Said::default() };
            shown(&state, visitor, Fields::default(), told).await
        }
        Err(problem) => {
            let told = Said { problem: Some(problem), ..Said::default() };
            shown(&state, visitor, fields, told).await
        }
    }
}

fn params(visitor: &Visitor, webhook: String) -> Params {
    let org = visitor.call.caller.org().to_string();
    Params::said([("org", org), ("webhook", webhook)])
}

/// Has it told of what happens, or of nothing.
pub(super) async fn switch(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(webhook): Path<String>,
    Form(fields): Form,
) -> Answer {
    let activated = fields.text("to") == Some("activated");
    let change = WebhookChange { url: None, kinds: None, activated: Some(activated) };
    let (call, params) = (visitor.call.clone(), params(&visitor, webhook));
    let body = Json { value: change, digest: [0; 32] };
    match webhooks::update(State(state), call, params, Precondition::Absent, body).await {
        Ok(_changed) => {
            let done = if activated { "activated" } else { "deactivated" };
            Answer::to(&format!("{PATH}?done={done}"))
        }
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}

pub(super) async fn remove(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(webhook): Path<String>,
    Form(_no_fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, webhook));
    match webhooks::remove(State(state), call, params, Precondition::Absent).await {
        Ok(_gone) => Answer::to(&format!("{PATH}?done=removed")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}
