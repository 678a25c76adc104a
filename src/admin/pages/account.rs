//! My account, API tokens: one's own tokens, and the making of one.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::list::Row;
use super::visitor::Visitor;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::extract::Params;
use crate::admin::idempotency::Once;
use crate::admin::problem::Problem;
use crate::admin::scope::{Scope, ServiceRole};
use crate::admin::tokens::{self, NewToken, TokensQuery, TtlWish};
use crate::secret::Secret;
use crate::time::{Ttl, Unit};
use askama::Template;
use axum::extract::State;
use http::StatusCode;
use std::net::SocketAddr;

struct RoleChoice {
    name: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    rows: Vec<Row>,
    has_more: bool,
    roles: Vec<RoleChoice>,
    /// The longest life that a token made now can have, in words.
    longest: String,
    name: String,
    value: String,
    unit: String,
    is_longest: bool,
    notify: String,
    problem: Option<String>,
}

/// One's own tokens.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor) -> Answer {
    shown(&state, visitor, Fields::default(), None).await
}

async fn shown(
    state: &Shared,
    visitor: Visitor,
    fields: Fields,
    problem: Option<Problem>,
) -> Answer {
    let theme = visitor.theme;
    let said = problem.as_ref().map(Problem::sentence);
    let call = visitor.call.clone();
    let page = desk::read(state, call, move |desk| show(desk, &visitor, &fields, said)).await;
    match (page, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

fn show(
    desk: &Desk<'_>,
    visitor: &Visitor,
    fields: &Fields,
    problem: Option<String>,
) -> Result<AccountPage, Problem> {
    let query = TokensQuery {
        owner: Some("me".to_owned()),
        limit: Some(crate::directory::LIMIT_MAX.to_string()),
        ..TokensQuery::default()
    };
    let (page, policies) = tokens::listed(desk, desk.caller.org(), &query)?;
    let chosen: Vec<&str> = fields.all("role").collect();
    let role = |role| desk.roles().name(role).map(ToString::to_string);
    let roles = desk.caller.roles().iter().filter_map(role).map(|name| RoleChoice {
        // For a start what does least: no role of the organization.
        chosen: chosen.contains(&&*name) || (chosen.is_empty() && name.contains('/')),
        name,
    });
    let (latest, by_policy) = policies.latest_end(desk.now());
    let longest = super::when::When::of(latest, desk.now());
    let whose = if by_policy { "Max Token TTL" } else { "no token lives longer than 60 months" };
    let text = |name, otherwise: &str| fields.text(name).unwrap_or(otherwise).to_owned();
    Ok(AccountPage {
        frame: Frame::of(desk, visitor, "My API tokens", "mine")?,
        roles: roles.collect(),
        longest: format!("until {} ({whose})", longest.day),
        name: text("name", ""),
        value: text("value", "90"),
        unit: text("unit", "days"),
        is_longest: fields.text("life") == Some("longest"),
        notify: text("notify", "7, 1"),
        has_more: page.next_cursor.is_some(),
        rows: page.items.into_iter().map(|row| Row::new(row, &policies, desk)).collect(),
        problem,
    })
}

/// Makes a token, and shows its secret.
pub(super) async fn make(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let made = async {
        let wanted = wanted(&fields)?;
        let (call, org) = (visitor.call.clone(), visitor.call.caller.org());
        let (done, secret) = tokens::make(&state, call, org, Once::Unkeyed, wanted).await?;
        let id = done.answer.0.id.to_string();
        SecretPage::of(&state, &visitor, &id, &secret, "A new token").await
    };
    match made.await {
        Ok(answer) => answer,
        Err(problem) => shown(&state, visitor, fields, Some(problem)).await,
    }
}

fn wanted(fields: &Fields) -> Result<NewToken, Problem> {
    let ttl = if fields.text("life") == Some("longest") {
        TtlWish::Longest
    } else {
        let value = fields.text("value").and_then(|value| value.parse().ok());
        let value = value.ok_or_else(|| Problem::field("life", "expected a whole number"))?;
        TtlWish::Ttl(Ttl::new(value, unit(fields.text("unit").unwrap_or_default())?))
    };
    let day = |text: &str| {
        let wrong = || Problem::field("notify", "expected numbers of days, with commas between");
        text.trim().parse::<u16>().map_err(|_no_number| wrong())
    };
    let notify = fields.text("notify");
    let notify = notify.map(|days| days.split(',').map(day).collect()).transpose()?;
    Ok(NewToken {
        name: fields.text("name").unwrap_or_default().to_owned(),
        ttl: Some(ttl),
        expires_at: None,
        scope: scope(fields),
        owner: None,
        notify_before_expiry: notify,
    })
}

fn unit(text: &str) -> Result<Unit, Problem> {
    match text {
        "minutes" => Ok(Unit::Minutes),
        "hours" => Ok(Unit::Hours),
        "days" => Ok(Unit::Days),
        "months" => Ok(Unit::Months),
        _ => Err(Problem::field("unit", "expected minutes, hours, days or months")),
    }
}

/// The roles that are ticked. Which of them may be given is not decided here.
fn scope(fields: &Fields) -> Scope {
    let mut scope = Scope::default();
    for role in fields.all("role") {
        match role.split_once('/') {
            Some((service, role)) => scope
                .service_roles
                .push(ServiceRole { service: service.to_owned(), role: role.to_owned() }),
            None => scope.org_roles.push(role.to_owned()),
        }
    }
    scope
}

/// The one showing of a secret.
#[derive(Template)]
#[template(path = "secret.html")]
pub(super) struct SecretPage {
    frame: Frame,
    row: Row,
    secret: String,
    /// Where requests with it go, as far as that is known.
    gateway: String,
}

impl SecretPage {
    pub(super) async fn of(
        state: &Shared,
        visitor: &Visitor,
        token: &str,
        secret: &Secret,
        title: &'static str,
    ) -> Result<Answer, Problem> {
        let org = visitor.call.caller.org().to_string();
        let params = Params::said([("org", org), ("token", token.to_owned())]);
        let (visitor, secret) = (visitor.clone(), secret.expose().to_owned());
        let call = visitor.call.clone();
        let page = desk::read(state, call, move |desk| {
            let (row, policies) = tokens::row(desk, &params)?;
            let frame = Frame::of(desk, &visitor, title, "mine")?;
            let gateway = gateway(desk.state.own_ports.gateway);
            Ok(Self { frame, row: Row::new(row, &policies, desk), secret, gateway })
        });
        Ok(Answer::with_status(StatusCode::OK, &page.await?))
    }
}

/// The address that a line to try a token begins with. Who reads it reached the admin port, so they are on
/// this machine, or know how to get there.
fn gateway(port: Option<SocketAddr>) -> String {
    match port {
        Some(port) if port.ip().is_unspecified() => format!("127.0.0.1:{}", port.port()),
        Some(port) => port.to_string(),
        None => "GATEWAY".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_to_try_a_token_leads_to_the_gateway() {
        let of = |port: &str| gateway(Some(port.parse().expect("an address")));
        assert_eq!(of("127.0.0.1:8080"), "127.0.0.1:8080");
        assert_eq!(of("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(of("[::]:80"), "127.0.0.1:80");
        assert_eq!(of("[::1]:80"), "[::1]:80");
        assert_eq!(gateway(None), "GATEWAY");
    }
}
