//! One switch for the tokens that are selected in the list: first what will happen, then it.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::list::{self, Row};
use super::visitor::Visitor;
use crate::admin::Shared;
use crate::admin::desk;
use crate::admin::extract::{Json, Params};
use crate::admin::problem::Problem;
use crate::admin::tokens;
use crate::admin::tokens::bulk::{self, Bulk, BulkAction, BulkResult};
use crate::token::TokenStatus;
use askama::Template;
use axum::extract::State;
use std::collections::BTreeSet;

/// Most tokens that are selected at once: those of a page.
const SELECTED_MAX: usize = crate::directory::LIMIT_MAX;

#[derive(Template)]
#[template(path = "switch.html")]
struct SwitchPage {
    frame: Frame,
    action: &'static str,
    verb: &'static str,
    rows: Vec<Outcome>,
    /// How many will be switched.
    able: usize,
    told: Vec<String>,
    reason: String,
    /// Whether it was done already, as far as it could be.
    is_done: bool,
}

struct Outcome {
    row: Row,
    message: Option<String>,
    /// Whether it is as it shall be: nothing happens, and nobody is told of it.
    is_so: bool,
}

/// Whether a token is already what the action would make of it.
fn is_so(action: BulkAction, status: &TokenStatus, governs: bool) -> bool {
    match (action, status) {
        (BulkAction::Activate, TokenStatus::Activated(_)) => true,
        // An owner takes over what somebody has deactivated for themselves.
        (BulkAction::Deactivate, TokenStatus::Deactivated(was)) => was.governed || !governs,
        (
            BulkAction::Activate | BulkAction::Deactivate | BulkAction::Revoke,
            TokenStatus::Activated(_) | TokenStatus::Deactivated(_) | TokenStatus::Revoked(_),
        ) => false,
    }
}

/// Shows what would happen, or does it.
pub(super) async fn switch(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let theme = visitor.theme;
    let answered = answer(&state, visitor, &fields).await;
    answered.unwrap_or_else(|problem| Answer::problem(problem, theme))
}

async fn answer(state: &Shared, visitor: Visitor, fields: &Fields) -> Result<Answer, Problem> {
    let (action, name, verb) = match fields.text("action") {
        Some("deactivate") => (BulkAction::Deactivate, "deactivate", "Deactivate"),
        Some("activate") => (BulkAction::Activate, "activate", "Activate"),
        _ => return Err(Problem::field("action", "expected deactivate or activate")),
    };
    let ids: Vec<String> = fields.all("id").map(str::to_owned).collect();
    if ids.is_empty() || ids.len() > SELECTED_MAX {
        let detail = format!("select 1 to {SELECTED_MAX} tokens in the list first");
        return Err(Problem::field("tokens", detail));
    }
    let reason = fields.text("reason").map(str::to_owned);
    let is_done = fields.has("confirmed");
    let wanted = Bulk::these(action, ids, reason.clone(), !is_done);
    let params = Params::said([("org", visitor.call.caller.org().to_string())]);
    let body = Json { value: wanted, digest: [0; 32] };
    let call = visitor.call.clone();
    let axum::Json(done) = bulk::switch(State(state.clone()), call, params, body).await?;
    let results = done.results;
    if is_done && results.iter().all(|result| result.ok) {
        return Ok(Answer::to(&format!("{}?done={name}-{}", list::PATH, results.len())));
    }
    let page = desk::read(state, visitor.call.clone(), move |desk| {
        let frame = Frame::of(desk, &visitor, format!("{verb} tokens"), "tokens")?;
        let mut rows = Vec::new();
        for BulkResult { id, message, .. } in results {
            let params =
                Params::said([("org", desk.caller.org().to_string()), ("token", id.to_string())]);
            // One that is not theirs to see is not named.
            if let Ok((row, policies)) = tokens::row(desk, &params) {
                let is_so = !is_done && is_so(action, &row.token.status, frame.governs);
                rows.push(Outcome { row: Row::new(row, &policies, desk), message, is_so });
            }
        }
        let able = rows.iter().filter(|it| it.message.is_none() && !it.is_so);
        let told: BTreeSet<String> = able.clone().map(|it| it.row.owner_email.clone()).collect();
        Ok(SwitchPage {
            frame,
            action: name,
            verb,
            able: able.count(),
            told: told.into_iter().filter(|email| !email.is_empty()).collect(),
            rows,
            reason: reason.unwrap_or_default(),
            is_done,
        })
    })
    .await?;
    Ok(Answer::page(&page))
}
