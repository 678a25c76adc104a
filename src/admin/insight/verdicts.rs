//! `GET /orgs/{org}/insight/verdicts`: what requests with the organization's tokens came to.

use crate::access::Verdicts;
use crate::admin::Shared;
use crate::admin::desk;
use crate::admin::extract::{Call, Params, Query};
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::store::{Grain, MINUTES_KEPT};
use crate::time::{Day, Timestamp};
use crate::token::DAYS_KEPT;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The minutes and days that are shown when nothing is said.
const MINUTES_DEFAULT: u16 = 60;
const DAYS_DEFAULT: u16 = 7;

/// How far back.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VerdictsQuery {
    /// How many minutes, 1 to 360; 60 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 360)]
    minutes: Option<String>,
    /// How many days, 1 to 35; 7 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 35)]
    days: Option<String>,
}

/// Verdicts about requests with tokens of an organization.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Verdicts)]
pub(crate) struct VerdictsBody {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The minutes, the earliest first; one without a verdict is left out.
    minutes: Vec<MinuteBody>,
    /// The days, in UTC, the earliest first; one without a verdict is left out.
    days: Vec<DayBody>,
}

/// The verdicts of one minute.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = VerdictsInMinute)]
struct MinuteBody {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How many requests were admitted.
    permitted: u64,
    /// How many were refused, by reason; a reason without one is left out.
    denied: BTreeMap<&'static str, u64>,
}

/// The verdicts of one day.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = VerdictsOnDay)]
struct DayBody {
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// How many requests were admitted.
    permitted: u64,
    /// How many were refused, by reason; a reason without one is left out.
    denied: BTreeMap<&'static str, u64>,
}

fn number(
    name: &'static str,
    text: Option<&String>,
    default: u16,
    most: u16,
) -> Result<u16, Problem> {
    let Some(text) = text else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Problem::field(name, format!("expected 1 to {most}")))
}

/// Refused requests, by reason.
pub(super) fn denied(verdicts: &Verdicts) -> BTreeMap<&'static str, u64> {
    verdicts.reasons().map(|(reason, count)| (reason.as_str(), count)).collect()
}

/// Tell how many requests with tokens of the organization were admitted and refused, and why, in each
/// of the last minutes and on each of the last days. For owners.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/insight/verdicts",
    tag = "insight",
    operation_id = "read_verdicts",
    params(("org" = String, Path, description = "Identity of the organization"), VerdictsQuery),
    responses(
        (status = 200, description = "The verdicts", body = VerdictsBody),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<VerdictsQuery>,
) -> Result<Json<VerdictsBody>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_insight(&org)?;
        let minutes = number("minutes", query.minutes.as_ref(), MINUTES_DEFAULT, MINUTES_KEPT)?;
        let days = number("days", query.days.as_ref(), DAYS_DEFAULT, DAYS_KEPT)?;
        let now = desk.now();
        let first_minute = now.before(Duration::from_secs(60 * u64::from(minutes)));
        let first_day = Day::of(now).earlier(days - 1).start();
        let in_minutes = desk.ledger().verdicts(org.id, Grain::Minute)?;
        let on_days = desk.ledger().verdicts(org.id, Grain::Day)?;
        let minute = |(at, sum): (Timestamp, Verdicts)| MinuteBody {
            at,
            permitted: sum.permitted,
            denied: denied(&sum),
        };
        let day = |(start, sum): (Timestamp, Verdicts)| DayBody {
            day: Day::of(start),
            permitted: sum.permitted,
            denied: denied(&sum),
        };
        Ok(Json(VerdictsBody {
            as_of: now,
            // The minute that is under way, and those before it.
            minutes: in_minutes
                .into_iter()
                .filter(|(at, _)| *at > first_minute)
                .map(minute)
                .collect(),
            days: on_days.into_iter().filter(|(at, _)| *at >= first_day).map(day).collect(),
        }))
    })
    .await
}
