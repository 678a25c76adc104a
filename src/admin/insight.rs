//! `/orgs/{org}/insight`: what use and ends of the tokens come to. A file for each question.

pub(crate) mod expiry;
pub(crate) mod requests;
pub(crate) mod scope;
pub(crate) mod stale;
pub(crate) mod verdicts;

use super::desk::Desk;
use super::problem::Problem;
use crate::id::OrgId;
use crate::org::Organization;
use crate::time::Timestamp;
use crate::token::NEED_DAYS_KEPT;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
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

/// The answers of the last few seconds.
///
/// A pass reads every token, so there is one at a time: whoever asks meanwhile waits, and then finds
/// the answer, if the question was the same.
#[derive(Default)]
pub struct Insights(Mutex<Vec<Answer>>);

impl Insights {
    /// Answers a question that the caller was permitted to ask.
    fn answer<T: Serialize>(
        &self,
        desk: &Desk<'_>,
        org: &Organization,
        question: Question,
        work: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<Response, Problem> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = desk.now();
        answers.retain(|answer| now.since(answer.at) < ANSWERS_KEPT);
        let kept = answers.iter().find(|kept| kept.org == org.id && kept.question == question);
        if let Some(kept) = kept {
            return Ok(json(kept.json.clone()));
        }
        let body = serde_json::to_vec(&work()?).map_err(|error| Problem::internal(&error))?;
        let body = Bytes::from(body);
        if answers.len() >= ANSWERS_MAX {
            answers.remove(0);
        }
        answers.push(Answer { org: org.id, question, at: now, json: body.clone() });
        Ok(json(body))
    }
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
