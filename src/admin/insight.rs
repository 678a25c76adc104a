//! `/orgs/{org}/insight`: what use and ends of the tokens come to. A file for each question.

pub(crate) mod expiry;
pub(crate) mod requests;
pub(crate) mod scope;
pub(crate) mod stale;
pub(crate) mod verdicts;

use super::Shared;
use super::desk::{self, Desk};
use super::extract::{Call, Params};
use super::problem::Problem;
use crate::id::OrgId;
use crate::time::Timestamp;
use crate::token::NEED_DAYS_KEPT;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer is given again to whoever asks the same.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(10);
/// Answers that are kept at a time.
const ANSWERS_MAX: usize = 64;
/// The most days that a question may be about.
const DAYS_MAX: u16 = NEED_DAYS_KEPT;
/// The days that a question is about when nothing is said.
const DAYS_DEFAULT: u16 = 90;

/// How many days a question is about.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DaysQuery {
    /// How many days, 1 to 366; 90 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 366)]
    days: Option<String>,
}

impl DaysQuery {
    fn days(&self) -> Result<u16, Problem> {
        days(self.days.as_deref())
    }
}

fn days(text: Option<&str>) -> Result<u16, Problem> {
    let Some(text) = text else { return Ok(DAYS_DEFAULT) };
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| Problem::field("days", format!("expected 1 to {DAYS_MAX}")))
}

/// A question, as answers are found again by it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Stale(u16),
    Expiry(u16),
}

struct Answer {
    org: OrgId,
    question: Question,
    at: Timestamp,
    json: Bytes,
}

/// The answers of the last few seconds. Whoever waits for their turn while somebody else asks the same
/// finds the answer here.
#[derive(Default)]
pub struct Insights(Mutex<Vec<Answer>>);

impl Insights {
    fn kept(&self, org: OrgId, question: &Question, now: Timestamp) -> Option<Bytes> {
        let mut answers = self.answers();
        answers.retain(|answer| now.since(answer.at) < ANSWERS_KEPT);
        let kept = answers.iter().find(|kept| kept.org == org && kept.question == *question);
        kept.map(|kept| kept.json.clone())
    }

    fn keep(&self, answer: Answer) {
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_MAX {
            answers.remove(0);
        }
        answers.push(answer);
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a question: as it was answered a moment ago, or by a pass that finds it out.
async fn answer<T: Serialize>(
    state: &Shared,
    call: Call,
    params: Params,
    question: Result<Question, Problem>,
    pass: impl FnOnce(&Desk<'_>, OrgId) -> Result<T, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let asked = move |desk: &Desk<'_>| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_insight(&org)?;
        let question = question.clone()?;
        let kept = desk.state.insights.kept(org.id, &question, desk.now());
        Ok((org.id, question, kept))
    };
    let asked = Arc::new(asked);
    let before = Arc::clone(&asked);
    if let (.., Some(kept)) = desk::read(state, call.clone(), move |desk| before(desk)).await? {
        return Ok(json(kept));
    }
    desk::pass(state, call, move |desk| {
        let (org, question, kept) = asked(desk)?;
        if let Some(kept) = kept {
            return Ok(json(kept));
        }
        let found = serde_json::to_vec(&pass(desk, org)?);
        let found = Bytes::from(found.map_err(|error| Problem::internal(&error))?);
        desk.state.insights.keep(Answer { org, question, at: desk.now(), json: found.clone() });
        Ok(json(found))
    })
    .await
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
