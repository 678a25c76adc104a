//! `GET /orgs/{org}/insight/requests`: how many requests a day there were.

use super::verdicts::denied;
use crate::access::Verdicts;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::extract::{Call, Params, Query};
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::id::{OrgId, TokenId};
use crate::store::Grain;
use crate::time::{Day, Timestamp};
use crate::token::DAYS_KEPT;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which requests.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestsQuery {
    /// The identity of a token; all tokens together if nothing is said.
    token: Option<String>,
    /// The first day, in UTC; 34 days before the last if nothing is said.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<String>,
    /// The last day, in UTC; today if nothing is said.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<String>,
}

/// Requests a day, admitted and refused.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RequestsPerDay)]
pub(crate) struct RequestsBody {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The token; null for all tokens together, whose requests through the gateway are counted.
    #[schema(required, value_type = Option<String>)]
    token: Option<TokenId>,
    /// Every day that was asked about, the earliest first.
    days: Vec<DayBody>,
}

/// The requests of one day.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RequestsOnDay)]
struct DayBody {
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// How many requests were admitted.
    requests: u64,
    /// How many were refused, by reason; a reason without one is left out.
    refused: BTreeMap<&'static str, u64>,
}

impl RequestsQuery {
    fn span(&self, now: Timestamp) -> Result<(Day, u16), Problem> {
        let day = |name: &'static str, text: &Option<String>| {
            let parse = |text: &String| text.parse::<Day>();
            let day = text.as_ref().map(parse).transpose();
            day.map_err(|error| Problem::field(name, error.to_string()))
        };
        let to = day("to", &self.to)?.unwrap_or_else(|| Day::of(now));
        let from = day("from", &self.from)?.unwrap_or_else(|| to.earlier(DAYS_KEPT - 1));
        let days = u16::try_from(to.since(from) + 1).ok();
        let days = days.filter(|days| (1..=DAYS_KEPT).contains(days));
        let days = days.ok_or_else(|| {
            let detail = format!("expected a day that is not after `to`, within {DAYS_KEPT} days");
            Problem::field("from", detail)
        })?;
        Ok((from, days))
    }
}

/// Tell how many requests there were on each of the last days, of one token or of all, and how many
/// were refused, and why. For owners.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/insight/requests",
    tag = "insight",
    operation_id = "read_requests_per_day",
    params(("org" = String, Path, description = "Identity of the organization"), RequestsQuery),
    responses(
        (status = 200, description = "The requests of each day", body = RequestsBody),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<RequestsQuery>,
) -> Result<Json<RequestsBody>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_insight(&org)?;
        let (from, days) = query.span(desk.now())?;
        let token = query.token.as_ref().map(|text| text.parse::<TokenId>()).transpose();
        let token = token.map_err(|error| Problem::field("token", error.to_string()))?;
        let (counts, refused) = match token {
            Some(token) => {
                let refused = desk.ledger().refused(org.id, token)?.into_iter().collect();
                (of_token(desk, org.id, token)?, refused)
            }
            None => of_all(desk, org.id)?,
        };
        let of = |day: Day| DayBody {
            day,
            requests: counts.get(&day).copied().unwrap_or(0),
            refused: refused.get(&day).map(denied).unwrap_or_default(),
        };
        let days = (0..days).map(|day| of(from.later(day))).collect();
        Ok(Json(RequestsBody { as_of: desk.now(), token, days }))
    })
    .await
}

/// The requests of one token, by day.
pub(crate) fn of_token(
    desk: &Desk<'_>,
    org: OrgId,
    token: TokenId,
) -> Result<BTreeMap<Day, u64>, Problem> {
    let known = desk.ledger().token(token)?.filter(|(token, _)| token.org == org);
    known.ok_or_else(Problem::not_found)?;
    // Nothing moves into the store meanwhile, so each use is counted once.
    let still = desk.state.uses.still();
    let mut days = desk.ledger().used(org, &[token])?.pop().unwrap_or_default().days;
    days.count(&still.pending(token));
    Ok(days.iter().collect())
}

type OfDays<T> = BTreeMap<Day, T>;

fn of_all(desk: &Desk<'_>, org: OrgId) -> Result<(OfDays<u64>, OfDays<Verdicts>), Problem> {
    let days = desk.ledger().verdicts(org, Grain::Day)?;
    let days = days.into_iter().map(|(start, sum)| (Day::of(start), sum.permitted, sum));
    Ok(days.map(|(day, permitted, sum)| ((day, permitted), (day, sum))).unzip())
}
