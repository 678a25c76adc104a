//! `/orgs/{org}/export`: the tokens of an organization as lines of text, without secrets.

use super::chunks::Chunks;
use super::desk::{self, Step};
use super::extract::{Call, Params, Query};
use super::openapi::ChangeProblems;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::governance::export::Export;
use crate::id::{OrgId, UserId};
use crate::inventory::{self, Format, Row};
use crate::org::{Revision, User};
use crate::store::StoreError;
use crate::usage::Beside;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// What is written and sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Parameters of an export.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// `csv` or `jsonl`; `csv` if nothing is said.
    format: Option<String>,
    /// `true` for the SHA-256 of each secret too.
    digests: Option<String>,
}

/// Lines of text.
#[derive(utoipa::ToSchema)]
pub(crate) struct Lines(#[expect(dead_code, reason = "for the description")] String);

/// Export every token of the organization, without secrets, as CSV or as a JSON object a line. For
/// owners.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/export",
    tag = "tokens",
    operation_id = "export_tokens",
    params(("org" = String, Path, description = "Identity of the organization"), ExportQuery),
    responses(
        (status = 200, description = "The tokens", content(
            (Lines = "text/csv"),
            (Lines = "application/jsonl")
        )),
        ChangeProblems
    )
)]
pub(crate) async fn export(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let org = params.id("org")?;
    desk::read(&state, call.clone(), move |desk| {
        Export { org: &desk.org(org)? }.permitted(desk.caller)?;
        Ok(())
    })
    .await?;
    let format = match query.format.as_deref() {
        None | Some("csv") => Format::Csv,
        Some("jsonl") => Format::Jsonl,
        Some(_) => return Err(Problem::field("format", "expected csv or jsonl")),
    };
    let digests = match query.digests.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::field("digests", "expected true or false")),
    };
    let turn = state.exports.turn(org)?;
    desk::change(&state, call, move |desk| {
        let plan = Export { org: &desk.org(org)? }.plan(digests, desk.caller, &desk.at)?;
        Ok(Step::of(plan, Revision::default(), |()| ()))
    })
    .await?;
    let chunks = Chunks::written(None, move |send| {
        let _turn = turn;
        let mut buffer = Vec::with_capacity(2 * CHUNK_BYTES);
        inventory::begin(format, digests, &mut buffer);
        let written = write(&state, org, &mut |row| {
            inventory::write(&row.line(&state.ledger.roles()), format, digests, &mut buffer);
            if buffer.len() < CHUNK_BYTES || send(Ok(std::mem::take(&mut buffer).into())) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let last = written.map(|()| buffer.into()).map_err(std::io::Error::other);
        send(last);
    });
    let (media_type, disposition) = match format {
        Format::Csv => ("text/csv; charset=utf-8", r#"attachment; filename="tokens.csv""#),
        Format::Jsonl => ("application/jsonl", r#"attachment; filename="tokens.jsonl""#),
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CONTENT_DISPOSITION, HeaderValue::from_static(disposition)),
    ];
    Ok((headers, Body::new(chunks)).into_response())
}

/// Visits the tokens with what was used and is not stored yet.
fn write(
    state: &AdminState,
    org: OrgId,
    visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let users = state.ledger.users(org)?.into_iter();
    let users: HashMap<UserId, User> = users.map(|user| (user.id, user)).collect();
    let mut beside = Beside::new(&*state.uses);
    state.ledger.visit_tokens(org, None, &mut |token, stored| {
        let usage = beside.merged(token.id, stored);
        visit(Row { token: &token, usage: &usage, owner: users.get(&token.owner) })
    })
}
