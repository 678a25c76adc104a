//! Governance, exemptions: who is spared what follows of a policy that is enforced, and how long.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::query::Asked;
use super::told::person;
use super::visitor::Visitor;
use super::when::When;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::exemptions::{self, NewExemption};
use crate::admin::extract::{Json, Params};
use crate::admin::idempotency::IdempotencyKey;
use crate::admin::problem::Problem;
use crate::exemption::{Exempt, Exemption};
use crate::governance::exemption::EXEMPTION_DAYS_MAX;
use crate::policy::PolicyKind;
use crate::time::Timestamp;
use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use std::time::Duration;

/// Exemptions on the page; the API lists all of them.
const EXEMPTIONS_SHOWN_MAX: usize = 100;
/// Users that can be chosen to be exempt.
const USERS_MAX: usize = 500;
const PATH: &str = "/governance/exemptions";

struct ExemptionRow {
    id: String,
    /// Whose it is, and the page of that.
    name: String,
    page: String,
    is_user: bool,
    policy: &'static str,
    until: When,
    is_over: bool,
    reason: Option<String>,
    created: When,
    created_by: String,
}

impl ExemptionRow {
    fn of(exemption: Exemption, desk: &Desk<'_>) -> Result<Self, Problem> {
        let now = desk.now();
        let (name, page, is_user) = match exemption.exempt {
            Exempt::User(id) => (person(desk, id), format!("/governance/users/{id}"), true),
            Exempt::Token(id) => {
                let found = desk.ledger().token(id)?;
                let name = found.map_or_else(|| id.to_string(), |(token, _)| token.name);
                (name, format!("/tokens/{id}"), false)
            }
        };
        Ok(Self {
            id: exemption.id.to_string(),
            name,
            page,
            is_user,
            policy: title(exemption.policy),
            until: When::of(exemption.until, now),
            is_over: exemption.until <= now,
            reason: exemption.reason,
            created: When::of(exemption.created_at, now),
            created_by: person(desk, exemption.created_by),
        })
    }
}

const fn title(policy: PolicyKind) -> &'static str {
    match policy {
        PolicyKind::IdleTtl => "Idle Token TTL",
        PolicyKind::MaxTtl => "Max Token TTL",
    }
}

struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "exemptions.html")]
struct ExemptionsPage {
    frame: Frame,
    rows: Vec<ExemptionRow>,
    others: usize,
    users: Vec<Choice>,
    policies: Vec<Choice>,
    token: String,
    days: String,
    days_max: u32,
    reason: String,
    is_open: bool,
    done: Option<&'static str>,
    problem: Option<String>,
}

/// The page; its form is about the token that the address names.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let asked = match Asked::of(&uri, PATH, &["token", "done"]) {
        Ok(asked) => asked,
        Err(problem) => return Answer::problem(problem, visitor.theme),
    };
    let done = asked.text("done").and_then(done);
    let fields = asked.owned("token").map(|token| Fields::said("token", token));
    let said = Said { done, ..Said::default() };
    shown(&state, visitor, fields.unwrap_or_default(), said).await
}

fn done(what: &str) -> Option<&'static str> {
    Some(match what {
        "granted" => {
            "Granted. What breaks the policy is flagged all the same, and nothing follows."
        }
        "ended" => "The exemption is over. What follows of the policy begins with a warning.",
        _ => return None,
    })
}

/// What a page says beside the list.
#[derive(Default)]
struct Said {
    done: Option<&'static str>,
    problem: Option<Problem>,
}

async fn shown(state: &Shared, visitor: Visitor, fields: Fields, said: Said) -> Answer {
    let theme = visitor.theme;
    let Said { done, problem } = said;
    let sentence = problem.as_ref().map(Problem::sentence);
    let call = visitor.call.clone();
    let page = desk::read(state, call, move |desk| {
        let page = show(desk, &visitor, &fields)?;
        Ok(ExemptionsPage {
            is_open: page.is_open || sentence.is_some(),
            done,
            problem: sentence,
            ..page
        })
    });
    match (page.await, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

fn show(desk: &Desk<'_>, visitor: &Visitor, fields: &Fields) -> Result<ExemptionsPage, Problem> {
    let org = desk.org(desk.caller.org())?;
    desk.caller.reads_policies(&org)?;
    let frame = Frame::of(desk, visitor, "Exemptions", "exemptions")?;
    let mut all = desk.ledger().exemptions(org.id)?;
    // What ends soonest first, and what is over last.
    all.sort_by_key(|exemption| (exemption.until <= desk.now(), exemption.until));
    let others = all.len().saturating_sub(EXEMPTIONS_SHOWN_MAX);
    all.truncate(EXEMPTIONS_SHOWN_MAX);
    let rows: Vec<ExemptionRow> =
        all.into_iter().map(|found| ExemptionRow::of(found, desk)).collect::<Result<_, _>>()?;
    let text = |name, otherwise: &str| fields.text(name).unwrap_or(otherwise).to_owned();
    let policy = |kind: PolicyKind| Choice {
        value: kind.to_string(),
        label: title(kind).to_owned(),
        chosen: fields.text("policy") == Some(&*kind.to_string()),
    };
    let token = text("token", "");
    Ok(ExemptionsPage {
        users: if frame.governs { users(desk, fields)? } else { Vec::new() },
        policies: PolicyKind::ALL.into_iter().map(policy).collect(),
        days: text("days", "30"),
        days_max: EXEMPTION_DAYS_MAX,
        reason: text("reason", ""),
        is_open: rows.is_empty() || !token.is_empty(),
        token,
        frame,
        rows,
        others,
        done: None,
        problem: None,
    })
}

fn users(desk: &Desk<'_>, fields: &Fields) -> Result<Vec<Choice>, Problem> {
    let mut users = desk.ledger().users(desk.caller.org())?;
    users.sort_by_cached_key(|user| user.name.to_lowercase());
    users.truncate(USERS_MAX);
    let choice = |user: crate::org::User| {
        let value = user.id.to_string();
        Choice { chosen: fields.text("user") == Some(&*value), value, label: user.name }
    };
    Ok(users.into_iter().map(choice).collect())
}

/// Grants one.
pub(super) async fn make(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let made = async {
        let body = Json { value: wanted(&fields, (state.clock)())?, digest: [0; 32] };
        let params = Params::said([("org", visitor.call.caller.org().to_string())]);
        let (call, key) = (visitor.call.clone(), IdempotencyKey::absent());
        exemptions::create(State(state.clone()), call, params, key, body).await
    };
    match made.await {
        Ok(_granted) => Answer::to(&format!("{PATH}?done=granted")),
        Err(problem) => {
            let said = Said { problem: Some(problem), ..Said::default() };
            shown(&state, visitor, fields, said).await
        }
    }
}

fn wanted(fields: &Fields, now: Timestamp) -> Result<NewExemption, Problem> {
    let policy = fields.text("policy").and_then(|policy| policy.parse().ok());
    let days = fields.text("days").and_then(|days| days.parse::<u32>().ok());
    let days = days.filter(|days| (1..=EXEMPTION_DAYS_MAX).contains(days));
    let wrong = || Problem::field("days", format!("expected 1 to {EXEMPTION_DAYS_MAX}"));
    let length = Duration::from_hours(24 * u64::from(days.ok_or_else(wrong)?));
    let owned = |name| fields.text(name).map(str::to_owned);
    Ok(NewExemption {
        token: owned("token"),
        user: owned("user"),
        policy: policy.ok_or_else(|| Problem::field("policy", "expected a policy"))?,
        until: now.after(length),
        reason: owned("reason"),
    })
}

/// Ends one before its time.
pub(super) async fn end(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(exemption): Path<String>,
    Form(_no_fields): Form,
) -> Answer {
    let org = visitor.call.caller.org().to_string();
    let params = Params::said([("org", org), ("exemption", exemption)]);
    let call = visitor.call.clone();
    match exemptions::remove(State(state), call, params, Precondition::Absent).await {
        Ok(_ended) => Answer::to(&format!("{PATH}?done=ended")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}
