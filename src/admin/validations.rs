//! `/orgs/{org}/validations`: validation runs, the latest first.

use super::Shared;
use super::desk::{self, Step};
use super::extract::{Call, OptionalJson, Params, Query};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use crate::id::{OrgId, UserId};
use crate::time::Timestamp;
use crate::validation::{Run, RunState, Trigger};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// How far a run is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Progress {
    /// It waits for its turn.
    Queued,
    /// It is at work.
    Running,
    /// It is through.
    Finished,
}

/// A validation run. What it found is null until it is through.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ValidationRun)]
pub(crate) struct RunBody {
    /// Its number in the organization, from 1 without a gap.
    pub(super) number: u64,
    /// What it was made for.
    pub(super) reason: Trigger,
    /// Who asked for it, or changed the policy; null where a day had passed.
    #[schema(required, value_type = Option<String>)]
    pub(super) asked_by: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    pub(super) asked_at: Timestamp,
    pub(super) state: Progress,
    /// When it was started; it decides as of then.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) started_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) finished_at: Option<Timestamp>,
    #[schema(required)]
    pub(super) duration_ms: Option<u64>,
    /// Tokens that it read.
    #[schema(required)]
    pub(super) tokens_read: Option<u64>,
    /// Tokens with a violation that nobody has ignored.
    #[schema(required)]
    pub(super) flagged: Option<u64>,
    /// Such violations that the run before had not found.
    #[schema(required)]
    pub(super) new_violations: Option<u64>,
    /// Violations of the run before that are gone: healed, ignored, or their token is dead.
    #[schema(required)]
    pub(super) cleared_violations: Option<u64>,
    /// Tokens of whose violation the owner was warned, as a policy is enforced.
    #[schema(required)]
    pub(super) warned: Option<u64>,
    /// Tokens that were deactivated for that.
    #[schema(required)]
    pub(super) deactivated: Option<u64>,
    /// Tokens that were revoked for that.
    #[schema(required)]
    pub(super) revoked: Option<u64>,
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        let (state, started_at, found) = match run.state {
            RunState::Queued => (Progress::Queued, None, None),
            RunState::Running { started_at } => (Progress::Running, Some(started_at), None),
            RunState::Telling(telling) => (Progress::Running, Some(telling.started_at), None),
            RunState::Finished(found) => (Progress::Finished, Some(found.started_at), Some(found)),
        };
        let counts = found.map(|found| found.counts);
        Self {
            number: run.number,
            reason: run.trigger,
            asked_by: run.by,
            asked_at: run.asked_at,
            state,
            started_at,
            finished_at: found.map(|found| found.finished_at),
            duration_ms: found.and_then(|found| u64::try_from(found.took.as_millis()).ok()),
            tokens_read: counts.map(|counts| counts.tokens),
            flagged: counts.map(|counts| counts.flagged),
            new_violations: counts.map(|counts| counts.new),
            cleared_violations: counts.map(|counts| counts.cleared),
            warned: counts.map(|counts| counts.warned),
            deactivated: counts.map(|counts| counts.deactivated),
            revoked: counts.map(|counts| counts.revoked),
        }
    }
}

/// Parameters of the history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ValidationsQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the validation runs, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/validations",
    tag = "validations",
    operation_id = "list_validations",
    params(("org" = String, Path, description = "Identity of the organization"), ValidationsQuery),
    responses(
        (status = 200, description = "A page of runs", body = PageBody<RunBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<ValidationsQuery>,
) -> Result<Json<PageBody<RunBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_validations(&org)?;
        let limit = list::limit(query.limit.as_deref())?;
        let before = match query.cursor.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_not_ours| list::broken_cursor())?),
        };
        let mut runs = desk.ledger().runs(org.id, before, limit + 1)?;
        let has_next = runs.len() > limit;
        runs.truncate(limit);
        let next_cursor = runs.last().filter(|_| has_next).map(|last| last.number.to_string());
        let items = runs.into_iter().map(RunBody::from).collect();
        Ok(Json(PageBody { items, next_cursor }))
    })
    .await
}

/// Validate all tokens of the organization now. The answer is the run, which may be one that was
/// queued already. For owners.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/validations",
    tag = "validations",
    operation_id = "validate",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 202, description = "Queued", body = RunBody),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _body: OptionalJson<Nothing>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let org_id: OrgId = params.id("org")?;
    let reading = call.clone();
    desk::change(&state, call, move |desk| {
        let org = desk.org(org_id)?;
        let change = desk.caller.validates(&org, &desk.at)?;
        Ok(Step::Commit(Box::new(change), ()))
    })
    .await?;
    state.bell.notify_one();
    let run = desk::read(&state, reading, move |desk| {
        let latest = desk.ledger().runs(org_id, None, 1)?;
        latest.first().copied().ok_or_else(Problem::not_found)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}
