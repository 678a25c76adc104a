//! `GET /orgs/{org}/insight/stale`: tokens that nobody needs.

use super::{DaysQuery, Question, answer};
use crate::admin::Shared;
use crate::admin::extract::{Call, Params, Query};
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::tokens::PersonBody;
use crate::directory::{IDLE_DAYS, Idleness, Idlest, People};
use crate::id::TokenId;
use crate::time::Timestamp;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::time::Duration;

/// How long the live tokens of an organization have gone without a use.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StaleTokens)]
pub(crate) struct StaleBody {
    /// When this was found; the same answer is given for some seconds.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// Tokens without a use for so many days, or more, are stale.
    days: u16,
    /// Tokens that were read.
    tokens_read: u64,
    /// Of them, those that are activated and alive. All that follows is about these.
    live: u64,
    /// Those that were never used.
    never_used: u64,
    /// Those that are stale.
    stale: u64,
    /// Of the stale ones, those that were never used.
    stale_never_used: u64,
    /// How many have gone how long without a use.
    idle: Vec<StepBody>,
    /// The stale tokens that are idle for longest, the longest first; at most 200.
    tokens: Vec<IdlestBody>,
}

/// Tokens that are idle for some days.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = IdleStep)]
struct StepBody {
    /// For at least so many days.
    from_days: u16,
    /// For less than so many; null in the last step.
    #[schema(required)]
    below_days: Option<u16>,
    tokens: u64,
}

/// A stale token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StaleToken)]
struct IdlestBody {
    #[schema(value_type = String)]
    id: TokenId,
    name: String,
    owner: PersonBody,
    /// Since when it is idle: its last use, or the beginning of its present life, if that is later.
    #[schema(value_type = String, format = DateTime)]
    idle_since: Timestamp,
    /// The last admitted request; null if there was none.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Admitted requests.
    use_count: u64,
}

/// Tell which live tokens were not used for some days, and how long all of them have been idle. For
/// owners.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/insight/stale",
    tag = "insight",
    operation_id = "read_stale_tokens",
    params(("org" = String, Path, description = "Identity of the organization"), DaysQuery),
    responses(
        (status = 200, description = "The tokens that nobody needs", body = StaleBody),
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
    let question = days.clone().map(Question::Stale);
    answer(&state, call, params, question, move |desk, org| {
        let days = days?;
        let limit = Duration::from_hours(24 * u64::from(days));
        let (ledger, uses) = (desk.ledger(), &*desk.state.uses);
        let found = Idleness::of(ledger, uses, org, limit, desk.now())?;
        let owners = found.idlest.iter().map(|idlest| idlest.owner);
        let people = People::these(ledger, org, owners)?;
        Ok(StaleBody::new(found, &people, days, desk.now()))
    })
    .await
}

impl StaleBody {
    fn new(found: Idleness, people: &People, days: u16, now: Timestamp) -> Self {
        let from = [0].into_iter().chain(IDLE_DAYS);
        let below = IDLE_DAYS.into_iter().map(Some).chain([None]);
        let steps = from.zip(below).zip(found.distribution);
        Self {
            as_of: now,
            days,
            tokens_read: found.read,
            live: found.live,
            never_used: found.never_used,
            stale: found.stale,
            stale_never_used: found.stale_never_used,
            idle: steps
                .map(|((from_days, below_days), tokens)| StepBody { from_days, below_days, tokens })
                .collect(),
            tokens: found
                .idlest
                .into_iter()
                .map(|idlest| IdlestBody::new(idlest, people))
                .collect(),
        }
    }
}

impl IdlestBody {
    fn new(idlest: Idlest, people: &People) -> Self {
        Self {
            id: idlest.id,
            name: idlest.name,
            owner: people.find(idlest.owner).into(),
            idle_since: idlest.since,
            last_used_at: idlest.last_used_at,
            use_count: idlest.use_count,
        }
    }
}
