//! The page of one token, and what can be done there.

use super::account::SecretPage;
use super::answer::{Answer, Frame};
use super::chart::{Columns, Sum};
use super::form::{Fields, Form};
use super::list::Row;
use super::refusals::Refusals;
use super::told::{Told, person};
use super::visitor::Visitor;
use super::when::{When, grouped};
use crate::access::Verdicts;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::extract::{Json, OptionalJson, Params};
use crate::admin::idempotency::Once;
use crate::admin::problem::Problem;
use crate::admin::tokens::rotation::{self, Rotation};
use crate::admin::tokens::transfer::{self as handing, Transfer};
use crate::admin::users::Because;
use crate::admin::{Shared, audit, insight, tokens, violations};
use crate::id::{TokenId, UserId};
use crate::time::{Day, Ttl, Unit};
use crate::token::{DAYS_KEPT, Standing};
use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use std::time::Duration;

/// Events of its trail that the page of a token shows.
const EVENTS_SHOWN_MAX: usize = 30;
/// Users that a token can be handed to by choice.
const USERS_MAX: usize = 500;
const DAY: u64 = 24 * 60 * 60;

/// The last change of its status.
struct Changed {
    when: When,
    what: &'static str,
    who: String,
    reason: Option<String>,
}

struct Heir {
    id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    frame: Frame,
    row: Row,
    issued: When,
    changed: Option<Changed>,
    notify: String,
    former: Option<When>,
    reuse: u64,
    standing: &'static str,
    is_mine: bool,
    /// Whether the reader may switch it at all; the plan of the change decides in the end.
    switches: bool,
    heirs: Vec<Heir>,
    /// The requests of the last days, and the trail; nothing where they are not the reader's to see.
    requests: Option<Columns>,
    refused: Option<Refusals>,
    events: Option<Vec<Told>>,
    done: Option<&'static str>,
}

/// The page.
pub(super) async fn page(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    uri: Uri,
) -> Answer {
    let theme = visitor.theme;
    let done = uri.query().and_then(|query| query.strip_prefix("done=")).and_then(done);
    let page =
        desk::read(&state, visitor.call.clone(), move |desk| show(desk, &visitor, &token, done));
    match page.await {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

fn show(
    desk: &Desk<'_>,
    visitor: &Visitor,
    token: &str,
    done: Option<&'static str>,
) -> Result<TokenPage, Problem> {
    let (found, policies) = tokens::row(desk, &params(visitor, token))?;
    let now = desk.now();
    let token = found.token.clone();
    let is_mine = token.owner == desk.caller.user();
    let changed = token.status_change().map(|change| Changed {
        when: When::of(change.at, now),
        what: token_words(token.standing()),
        who: change.by.map_or_else(|| "Bearward".to_owned(), |by| person(desk, by)),
        reason: change.reason.clone(),
    });
    let frame = Frame::of(
        desk,
        visitor,
        found.token.name.clone(),
        if is_mine { "mine" } else { "tokens" },
    )?;
    let governs = frame.governs;
    Ok(TokenPage {
        issued: When::of(token.issued_at, now),
        changed,
        notify: days_words(&token.notify_before_expiry),
        former: token.overlapping(now).map(|former| When::of(former.ends_at, now)),
        reuse: found.usage.reuse.count,
        standing: token_words(token.standing()),
        is_mine,
        switches: is_mine || governs,
        heirs: if governs { heirs(desk, token.owner)? } else { Vec::new() },
        requests: if governs { Some(requests(desk, token.id)?) } else { None },
        refused: if governs { Some(refused(desk, token.id)?) } else { None },
        events: if governs { Some(events(desk, token.id)?) } else { None },
        row: Row::new(found, &policies, desk),
        frame,
        done,
    })
}

/// The last days.
fn requests(desk: &Desk<'_>, token: TokenId) -> Result<Columns, Problem> {
    let counts = insight::requests::of_token(desk, desk.caller.org(), token)?;
    let first = Day::of(desk.now()).earlier(DAYS_KEPT - 1);
    let column = |at: u16| {
        let day = first.later(at);
        let count = counts.get(&day).copied().unwrap_or(0);
        let words = format!("{day}: {} requests", grouped(count));
        Sum { parts: vec![(count, "requests")], words, below: day.to_string() }
    };
    Ok(Columns::of((0..DAYS_KEPT).map(column).collect(), "on a day"))
}

/// What was refused on the last days, and why.
fn refused(desk: &Desk<'_>, token: TokenId) -> Result<Refusals, Problem> {
    let found = desk.ledger().refused(desk.caller.org(), token)?;
    let first = Day::of(desk.now()).earlier(DAYS_KEPT - 1);
    let none = Verdicts::default();
    let days = (0..DAYS_KEPT).map(|at| {
        let day = first.later(at);
        let sum = found.iter().find(|(known, _)| *known == day).map_or(&none, |(_, sum)| sum);
        (day.to_string(), sum)
    });
    Ok(Refusals::of(days, "on a day"))
}

fn heirs(desk: &Desk<'_>, owner: UserId) -> Result<Vec<Heir>, Problem> {
    let users = desk.ledger().users(desk.caller.org())?;
    let others = users.into_iter().filter(|user| user.id != owner && user.is_active());
    let heirs = others.take(USERS_MAX);
    Ok(heirs.map(|user| Heir { id: user.id.to_string(), name: user.name }).collect())
}

fn events(desk: &Desk<'_>, token: TokenId) -> Result<Vec<Told>, Problem> {
    let lines = audit::of_token(desk, token, EVENTS_SHOWN_MAX)?;
    Ok(lines.into_iter().map(|line| Told::of(line, desk)).collect())
}

const fn token_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Activated => "Activated",
        Standing::Deactivated => "Deactivated",
        Standing::Revoked => "Revoked",
    }
}

/// "30, 7 and 1 days".
fn days_words(days: &[u16]) -> String {
    let unit = if days == [1] { "day" } else { "days" };
    let said: Vec<String> = days.iter().map(ToString::to_string).collect();
    match said.split_last() {
        None => String::new(),
        Some((last, [])) => format!("{last} {unit}"),
        Some((last, rest)) => format!("{} and {last} {unit}", rest.join(", ")),
    }
}

fn done(what: &str) -> Option<&'static str> {
    Some(match what {
        "deactivate" => "The token is deactivated: from now on it is refused.",
        "activate" => "The token is activated.",
        "revoke" => "The token is revoked for good.",
        "transfer" => "The token has another owner.",
        "ignore" => "The violation is ignored for a while.",
        "count" => "The violation counts again.",
        _ => return None,
    })
}

fn params(visitor: &Visitor, token: &str) -> Params {
    let org = visitor.call.caller.org().to_string();
    Params::said([("org", org), ("token", token.to_owned())])
}

/// After a change: back to the page, which says what was done.
fn after<T>(visitor: &Visitor, token: &str, what: &str, result: Result<T, Problem>) -> Answer {
    match result {
        Ok(_changed) => Answer::to(&format!("/tokens/{token}?done={what}")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}

fn because(fields: &Fields) -> OptionalJson<Because> {
    let reason = fields.text("reason").map(str::to_owned);
    OptionalJson { value: Because { reason }, digest: [0; 32] }
}

pub(super) async fn deactivate(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &token));
    let because = because(&fields);
    let done = tokens::deactivate(State(state), call, params, Precondition::Absent, because).await;
    after(&visitor, &token, "deactivate", done)
}

pub(super) async fn activate(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &token));
    let because = because(&fields);
    let done = tokens::activate(State(state), call, params, Precondition::Absent, because).await;
    after(&visitor, &token, "activate", done)
}

pub(super) async fn revoke(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let named = fields.text("name").unwrap_or_default().to_owned();
    let is_named = {
        let params = params(&visitor, &token);
        desk::read(&state, visitor.call.clone(), move |desk| {
            let (row, _policies) = tokens::row(desk, &params)?;
            if row.token.name.trim() == named {
                return Ok(());
            }
            Err(Problem::field("name", "type the name of the token as it is, to revoke it"))
        })
        .await
    };
    if let Err(problem) = is_named {
        return Answer::problem(problem, visitor.theme);
    }
    let (call, params) = (visitor.call.clone(), params(&visitor, &token));
    let done = tokens::revoke(State(state), call, params, Precondition::Absent).await;
    after(&visitor, &token, "revoke", done)
}

pub(super) async fn rotate(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let answered = async {
        let overlap = match fields.text("overlap") {
            None | Some("0") => None,
            Some(hours) => {
                let hours = hours.parse().map_err(|_no_number| {
                    Problem::field("overlap", "expected a number of hours")
                })?;
                Some(Ttl::new(hours, Unit::Hours))
            }
        };
        let wanted = Rotation { overlap, ..Rotation::default() };
        let (call, params) = (visitor.call.clone(), params(&visitor, &token));
        let given =
            rotation::give(&state, call, params, Precondition::Absent, Once::Unkeyed, wanted);
        let (_done, secret) = given.await?;
        SecretPage::of(&state, &visitor, &token, &secret, "Another secret").await
    };
    answered.await.unwrap_or_else(|problem| Answer::problem(problem, visitor.theme))
}

pub(super) async fn transfer(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), params(&visitor, &token));
    let wanted = Transfer {
        owner: fields.text("owner").unwrap_or_default().to_owned(),
        narrow: fields.has("narrow"),
        reason: fields.text("reason").map(str::to_owned),
    };
    let body = Json { value: wanted, digest: [0; 32] };
    let done = handing::transfer(State(state), call, params, Precondition::Absent, body).await;
    after(&visitor, &token, "transfer", done)
}

fn policy_params(visitor: &Visitor, token: &str, fields: &Fields) -> Params {
    let org = visitor.call.caller.org().to_string();
    let policy = fields.text("policy").unwrap_or_default().to_owned();
    Params::said([("org", org), ("token", token.to_owned()), ("policy", policy)])
}

pub(super) async fn ignore(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let days = fields.text("days").and_then(|days| days.parse::<u64>().ok());
    let Some(days) = days.filter(|days| (1..=366).contains(days)) else {
        let problem = Problem::field("days", "expected a number of days, 1 to 366");
        return Answer::problem(problem, visitor.theme);
    };
    let wanted = violations::Ignoring {
        until: (state.clock)().after(Duration::from_secs(days * DAY)),
        reason: fields.text("reason").map(str::to_owned),
    };
    let (call, params) = (visitor.call.clone(), policy_params(&visitor, &token, &fields));
    let body = Json { value: wanted, digest: [0; 32] };
    let done = violations::ignore(State(state), call, params, Precondition::Absent, body).await;
    after(&visitor, &token, "ignore", done)
}

pub(super) async fn count(
    State(state): State<Shared>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), policy_params(&visitor, &token, &fields));
    let done = violations::count(State(state), call, params, Precondition::Absent).await;
    after(&visitor, &token, "count", done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_said_as_people_say_them() {
        assert_eq!(days_words(&[]), "");
        assert_eq!(days_words(&[1]), "1 day");
        assert_eq!(days_words(&[7, 1]), "7 and 1 days");
        assert_eq!(days_words(&[30, 7, 1]), "30, 7 and 1 days");
    }
}
