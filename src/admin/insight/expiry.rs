//! `GET /orgs/{org}/insight/expiry`: the calendar of the tokens' ends.

use super::{DaysQuery, Question, answer};
use crate::admin::Shared;
use crate::admin::extract::{Call, Params, Query};
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::directory::{Expiring, Expiry};
use crate::id::TokenId;
use crate::time::{Day, Timestamp};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

/// When the live tokens of an organization end.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ExpiryCalendar)]
pub(crate) struct ExpiryBody {
    /// When this was found; the same answer is given for some seconds.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// How many days it is about, today included.
    days: u16,
    /// Tokens that were read.
    tokens_read: u64,
    /// Of them, those that are activated and alive. All that follows is about these.
    live: u64,
    /// Those that end after these days.
    later: u64,
    /// The days, in UTC, on which tokens end; a day without one is left out.
    calendar: Vec<DayBody>,
}

/// The tokens that end on one day.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ExpiryDay)]
struct DayBody {
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// How many tokens end.
    count: u64,
    /// Those that end first, in the order of their ends; at most 50.
    #[schema(value_type = Vec<String>)]
    tokens: Vec<TokenId>,
}

/// Tell on which of the coming days which live tokens end. For owners.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/insight/expiry",
    tag = "insight",
    operation_id = "read_expiry_calendar",
    params(("org" = String, Path, description = "Identity of the organization"), DaysQuery),
    responses(
        (status = 200, description = "The calendar", body = ExpiryBody),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<DaysQuery>,
) -> Result<Response, Problem> {
    let days = query.days();
    let question = days.clone().map(Question::Expiry);
    answer(&state, call, params, question, move |desk, org| {
        let days = days?;
        let found = Expiry::of(desk.ledger(), org, days, desk.now())?;
        let day = |(day, expiring): (Day, Expiring)| DayBody {
            day,
            count: expiring.count,
            tokens: expiring.tokens.into_iter().map(|(_, token)| token).collect(),
        };
        Ok(ExpiryBody {
            as_of: desk.now(),
            days,
            tokens_read: found.read,
            live: found.live,
            later: found.later,
            calendar: found.days.into_iter().map(day).collect(),
        })
    })
    .await
}
