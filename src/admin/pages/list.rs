//! Governance, API tokens: the list of all tokens of all users.

use super::answer::{Answer, Frame};
use super::query::{Asked, Head};
use super::visitor::Visitor;
use super::when::{When, grouped, span};
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::problem::Problem;
use crate::admin::tokens::{self, TokensQuery};
use crate::directory::{Census, TokenRow};
use crate::governance::reduced;
use crate::policy::{Policies, PolicyKind, Violation};
use crate::role::RoleName;
use crate::token::TokenState;
use askama::Template;
use axum::extract::State;
use http::Uri;
use std::time::Duration;

/// The columns that the list is sorted by: the name in the API, the title.
const COLUMNS: [(&str, &str); 9] = [
    ("name", "Name"),
    ("owner", "Owner"),
    ("created_by", "Created by"),
    ("created_at", "Created"),
    ("expires_at", "Expires"),
    ("last_used_at", "Last used"),
    ("scope", "Scope"),
    ("status", "Status"),
    ("violations", "Alerts"),
];
const DAY: u64 = 24 * 60 * 60;
/// Most days that can be asked about.
const DAYS_MAX: u64 = 3_650;

/// A token as a row of a list, and as the head of its own page.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) owner_email: String,
    pub(super) created_by: String,
    /// Whether that is its owner.
    pub(super) is_owners_own: bool,
    pub(super) created: When,
    pub(super) expires: When,
    pub(super) last_used: Option<When>,
    pub(super) use_count: String,
    pub(super) scope: Vec<String>,
    /// The style of its badge.
    pub(super) state: &'static str,
    pub(super) status: &'static str,
    pub(super) alerts: Vec<Alert>,
    /// Whether its owner is switched off, and the token with them.
    pub(super) blocked: bool,
    /// Whether it is the one that this session was begun with.
    pub(super) own: bool,
}

/// A violated policy in words.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) policy: String,
    pub(super) title: &'static str,
    pub(super) words: String,
    /// The same in a cell of a table.
    pub(super) short: &'static str,
    pub(super) ignored_until: Option<When>,
}

impl Row {
    pub(super) fn new(row: TokenRow, policies: &Policies, desk: &Desk<'_>) -> Self {
        let TokenRow { token, usage, owner, created_by } = row;
        let now = desk.now();
        let violations = policies.violations(&token, &usage, now);
        let state = token.state(now);
        let blocked = owner.deactivated && state == TokenState::Activated;
        let unnamed = || "(removed user)".to_owned();
        let scope = reduced(&token.scope);
        let scope =
            scope.iter().filter_map(|role| desk.roles().name(role)).map(ToString::to_string);
        Self {
            id: token.id.to_string(),
            owner: owner.name.unwrap_or_else(unnamed),
            owner_email: owner.email.unwrap_or_default(),
            is_owners_own: created_by.as_ref().is_some_and(|maker| maker.id == owner.id),
            created_by: created_by
                .map_or_else(|| "the machine".to_owned(), |it| it.name.unwrap_or_else(unnamed)),
            created: When::of(token.created_at, now),
            expires: When::of(token.expires_at, now),
            last_used: usage.last_used_at.map(|last| When::of(last, now)),
            use_count: grouped(usage.use_count),
            scope: scope.collect(),
            state: match state {
                TokenState::Activated if blocked => "blocked",
                TokenState::Activated => "activated",
                TokenState::Deactivated => "deactivated",
                TokenState::Expired => "expired",
                TokenState::Revoked => "revoked",
            },
            status: match state {
                TokenState::Activated if blocked => "Owner deactivated",
                TokenState::Activated => "Activated",
                TokenState::Deactivated => "Deactivated",
                TokenState::Expired => "Expired",
                TokenState::Revoked => "Revoked",
            },
            alerts: violations.iter().map(|found| alert(found, policies, desk)).collect(),
            blocked,
            own: Some(token.id) == desk.caller.token(),
            name: token.name,
        }
    }

    /// What is to be seen to: what nobody ignores.
    pub(super) fn alarms(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.ignored_until.is_none())
    }

    pub(super) fn has_alarm(&self) -> bool {
        self.alarms().next().is_some()
    }
}

fn alert(violation: &Violation, policies: &Policies, desk: &Desk<'_>) -> Alert {
    let limit = policies.of(violation.policy).ttl;
    let over = span(violation.over_by);
    let (title, words, short) = match violation.policy {
        PolicyKind::IdleTtl => (
            "Idle Token TTL",
            format!("Not used for longer than the {limit} that the policy allows, by {over}."),
            "Idle too long",
        ),
        PolicyKind::MaxTtl => (
            "Max Token TTL",
            format!("Lives longer than the {limit} that the policy allows, by {over}."),
            "Lives too long",
        ),
    };
    let ignored_until = violation.ignored_until.map(|until| When::of(until, desk.now()));
    Alert { policy: violation.policy.to_string(), title, words, short, ignored_until }
}

/// A choice of a filter.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// A state that the list can be narrowed to, and how many tokens are in it.
struct Tab {
    title: &'static str,
    style: &'static str,
    address: String,
    count: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    tabs: Vec<Tab>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    status: String,
    violations: Vec<Choice>,
    roles: Vec<Choice>,
    owners: Vec<Choice>,
    uses: Vec<Choice>,
    q: String,
    expiring: String,
    idle: String,
    sort: String,
    is_filtered: bool,
    /// Whether one of the filters is used that are folded away.
    is_detailed: bool,
    next: Option<String>,
    is_first: bool,
    first: String,
    done: Option<String>,
}

/// What the address may ask for.
const FILTERS: [&str; 8] =
    ["q", "status", "violation", "owner", "role", "expiring", "idle", "used"];
/// Of them, those that are folded away.
const DETAILS: [&str; 4] = ["violation", "expiring", "idle", "used"];
const OTHERS: [&str; 3] = ["sort", "cursor", "done"];

impl Asked {
    fn days(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
        let days = days.ok_or_else(|| {
            Problem::field(name, format!("expected a number of days, 1 to {DAYS_MAX}"))
        })?;
        Ok(Some(Duration::from_secs(days * DAY)))
    }

    fn query(&self, desk: &Desk<'_>) -> Result<TokensQuery, Problem> {
        let expires_before = self.days("expiring")?.map(|within| desk.now().after(within));
        let used_before = self.days("idle")?.map(|idle| desk.now().before(idle));
        let never_used = match self.text("used") {
            None => None,
            Some("never") => Some("true".to_owned()),
            Some("ever") => Some("false".to_owned()),
            Some(_) => return Err(Problem::field("used", "expected never or ever")),
        };
        // What is over expires no more.
        let status = self.owned("status");
        let status = status.or_else(|| expires_before.map(|_ahead| "activated".to_owned()));
        Ok(TokensQuery {
            limit: None,
            cursor: self.owned("cursor"),
            status,
            owner: self.owned("owner"),
            violation: self.owned("violation"),
            role: self.owned("role"),
            expires_before: expires_before.map(|time| time.to_string()),
            used_before: used_before.map(|time| time.to_string()),
            never_used,
            q: self.owned("q"),
            sort: self.owned("sort"),
        })
    }

    fn choices(&self, name: &str, all: &[(&str, &str)]) -> Vec<Choice> {
        let choice = |&(value, label): &(&str, &str)| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: self.text(name) == Some(value),
        };
        all.iter().map(choice).collect()
    }

    /// The states, and how many tokens there are in each of those that are asked about otherwise.
    fn tabs(&self, census: &Census) -> Vec<Tab> {
        let (status, violation) = (self.text("status"), self.text("violation"));
        let is_plain = status.is_none() && violation.is_none();
        let of = |title, style, name, count: u64| Tab {
            title,
            style,
            address: self.with(&[("status", name), ("violation", "")]),
            count: grouped(count),
            chosen: if name.is_empty() { is_plain } else { status == Some(name) },
        };
        vec![
            of("All", "all", "", census.all()),
            of("Activated", "activated", "activated", census.activated),
            of("Deactivated", "deactivated", "deactivated", census.deactivated),
            of("Expired", "expired", "expired", census.expired),
            of("Revoked", "revoked", "revoked", census.revoked),
            Tab {
                title: "Violations",
                style: if census.violating > 0 { "violating" } else { "clean" },
                address: self.with(&[("status", ""), ("violation", "any")]),
                count: grouped(census.violating),
                chosen: violation == Some("any") && status.is_none(),
            },
        ]
    }
}

/// Where the list is.
pub(super) const PATH: &str = "/governance/tokens";
/// Owners that the filter offers by name; more are found by the text search.
const OWNERS_MAX: usize = 200;

/// The list.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let theme = visitor.theme;
    let call = visitor.call.clone();
    let page = async {
        let asked = Asked::of(&uri, PATH, &[&FILTERS[..], &OTHERS].concat())?;
        let is_of_all = asked.text("owner").is_none();
        desk::list(&state, call, is_of_all, move |desk| show(desk, &visitor, &asked)).await
    }
    .await;
    match page {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

fn show(desk: &Desk<'_>, visitor: &Visitor, asked: &Asked) -> Result<TokensPage, Problem> {
    let (page, census, policies) = tokens::counted(desk, desk.caller.org(), &asked.query(desk)?)?;
    let roles: Vec<String> = desk.catalogue.role_names().iter().map(RoleName::to_string).collect();
    let roles: Vec<(&str, &str)> = roles.iter().map(|name| (&**name, &**name)).collect();
    let owners = desk.ledger().users(desk.caller.org())?;
    let owners: Vec<(String, String)> =
        owners.into_iter().take(OWNERS_MAX).map(|user| (user.id.to_string(), user.name)).collect();
    let owners: Vec<(&str, &str)> = owners.iter().map(|(id, name)| (&**id, &**name)).collect();
    let text = |name| asked.text(name).unwrap_or_default().to_owned();
    Ok(TokensPage {
        frame: Frame::of(desk, visitor, "API tokens", "tokens")?,
        heads: asked.heads(&COLUMNS, "-created_at"),
        tabs: asked.tabs(&census),
        status: text("status"),
        violations: asked.choices(
            "violation",
            &[
                ("any", "Any violation"),
                ("idle_ttl", "Idle Token TTL"),
                ("max_ttl", "Max Token TTL"),
                ("none", "None"),
            ],
        ),
        uses: asked.choices("used", &[("never", "Never used"), ("ever", "Used")]),
        roles: asked.choices("role", &roles),
        owners: asked.choices("owner", &owners),
        q: text("q"),
        expiring: text("expiring"),
        idle: text("idle"),
        sort: text("sort"),
        is_filtered: asked.has_any(&FILTERS),
        is_detailed: DETAILS
            .iter()
            .any(|name| asked.text(name).is_some_and(|text| (*name, text) != ("violation", "any"))),
        next: page.next_cursor.map(|cursor| asked.with(&[("cursor", &cursor)])),
        is_first: asked.text("cursor").is_none(),
        first: asked.with(&[]),
        done: asked.text("done").and_then(done),
        rows: page.items.into_iter().map(|row| Row::new(row, &policies, desk)).collect(),
    })
}

/// What the address says was done: `deactivated-3`.
fn done(said: &str) -> Option<String> {
    let (what, count) = said.split_once('-')?;
    let count: u32 = count.parse().ok()?;
    let what = match what {
        "deactivate" => "deactivated",
        "activate" => "activated",
        _ => return None,
    };
    let tokens = if count == 1 { "1 token is".to_owned() } else { format!("{count} tokens are") };
    Some(format!("{tokens} {what}."))
}
