//! Whether the process lives and works, and its figures. No credential is asked for: the admin port
//! is not for the public, and nothing here tells of tokens or people.

use super::Shared;
use super::openapi::OpenProblems;
use super::problem::{Kind, Problem};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

/// Tell that the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    operation_id = "healthz",
    responses(
        (status = 200, description = "Alive", body = String, content_type = "text/plain"),
        OpenProblems
    )
)]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Tell whether requests are taken and changes recorded.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "readyz",
    responses(
        (status = 200, description = "Ready", body = String, content_type = "text/plain"),
        OpenProblems
    )
)]
pub(crate) async fn ready(State(state): State<Shared>) -> Result<&'static str, Problem> {
    if !(state.ready)() {
        return Err(Problem::new(Kind::Unavailable, "the gateway takes no requests"));
    }
    if !state.ledger.is_writable() {
        return Err(Problem::new(Kind::Unavailable, "the store takes no changes"));
    }
    Ok("ready\n")
}

/// Give the figures, in the text format of `OpenMetrics`.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    operation_id = "metrics",
    responses(
        (status = 200, description = "The figures", body = String,
         content_type = "application/openmetrics-text"),
        OpenProblems
    )
)]
pub(crate) async fn metrics(State(state): State<Shared>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, media_type)], (state.metrics)()).into_response()
}
