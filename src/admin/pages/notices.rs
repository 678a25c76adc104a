//! Organization, notices: who was told of what, and what became of it.

use super::answer::{Answer, Frame};
use super::form::Form;
use super::query::Asked;
use super::told::{person, said};
use super::visitor::Visitor;
use super::when::When;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::extract::{Params, Query};
use crate::admin::notices::{self, AddresseeBody, NoticeBody, NoticesQuery};
use crate::notice::{Standing, Webhook};
use askama::Template;
use axum::extract::{Path, State};
use http::Uri;

const PATH: &str = "/governance/notices";

/// A notice as a row.
struct NoticeRow {
    id: String,
    kind: String,
    at: When,
    to: String,
    is_mail: bool,
    about: String,
    about_page: Option<String>,
    state: &'static str,
    status: &'static str,
    note: String,
}

impl NoticeRow {
    fn of(notice: NoticeBody, desk: &Desk<'_>, webhooks: &[Webhook]) -> Self {
        let (state, status) = words(notice.state);
        let (to, is_mail) = match notice.to {
            AddresseeBody::User { id } => (person(desk, id), true),
            AddresseeBody::Webhook { id } => {
                let known = webhooks.iter().find(|webhook| webhook.id == id);
                (known.map_or_else(|| "a removed webhook".to_owned(), |it| it.url.clone()), false)
            }
        };
        let about_page = match notice.about.r#type {
            "token" => Some(format!("/tokens/{}", notice.about.id)),
            "user" => Some(format!("/governance/users/{}", notice.about.id)),
            _ => None,
        };
        let next = notice.due_at.map(|due| format!("next try {}", When::of(due, desk.now()).words));
        let tries = match notice.attempts {
            0 => None,
            1 => Some("tried once".to_owned()),
            times => Some(format!("tried {times} times")),
        };
        let note: Vec<String> = [notice.error, tries, next].into_iter().flatten().collect();
        Self {
            id: notice.id.to_string(),
            kind: said(notice.kind.name()),
            at: When::of(notice.at, desk.now()),
            to,
            is_mail,
            about: notice.about.name,
            about_page,
            state,
            status,
            note: note.join(", "),
        }
    }
}

const fn words(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Waiting => ("deactivated", "Waiting"),
        Standing::Delivered => ("activated", "Delivered"),
        Standing::Dead => ("failed", "Given up"),
        Standing::Superseded => ("expired", "Superseded"),
        Standing::NoChannel => ("expired", "No way to send it"),
    }
}

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    frame: Frame,
    rows: Vec<NoticeRow>,
    states: Vec<(&'static str, &'static str, bool)>,
    is_filtered: bool,
    next: Option<String>,
    is_first: bool,
    first: String,
    done: Option<&'static str>,
}

/// The page.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let theme = visitor.theme;
    let page = async {
        let asked = Asked::of(&uri, PATH, &["state", "token", "user", "cursor", "done"])?;
        let query = NoticesQuery {
            limit: None,
            cursor: asked.owned("cursor"),
            state: asked.owned("state"),
            token: asked.owned("token"),
            user: asked.owned("user"),
        };
        let params = Params::said([("org", visitor.call.caller.org().to_string())]);
        let call = visitor.call.clone();
        let axum::Json(found) =
            notices::list(State(state.clone()), call, params, Query(query)).await?;
        desk::read(&state, visitor.call.clone(), move |desk| {
            let webhooks = desk.ledger().webhooks(desk.caller.org())?;
            let rows = found.items.into_iter().map(|it| NoticeRow::of(it, desk, &webhooks));
            let states = Standing::ALL.map(|(name, standing)| {
                (name, words(standing).1, asked.text("state") == Some(name))
            });
            Ok(NoticesPage {
                frame: Frame::of(desk, &visitor, "Notices", "notices")?,
                rows: rows.collect(),
                states: states.into_iter().collect(),
                is_filtered: asked.has_any(&["state", "token", "user"]),
                next: found.next_cursor.map(|cursor| asked.with(&[("cursor", &cursor)])),
                is_first: asked.text("cursor").is_none(),
                first: asked.with(&[]),
                done: asked.text("done").map(|_again| "It is sent again, at once."),
            })
        })
        .await
    };
    match page.await {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

/// Sends one again.
pub(super) async fn again(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(notice): Path<String>,
    Form(_no_fields): Form,
) -> Answer {
    let org = visitor.call.caller.org().to_string();
    let params = Params::said([("org", org), ("notice", notice)]);
    let call = visitor.call.clone();
    match notices::redeliver(State(state), call, params, Precondition::Absent).await {
        Ok(_again) => Answer::to(&format!("{PATH}?done=again")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}
