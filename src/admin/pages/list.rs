//! Governance, API tokens: the list of all tokens of all users.

use super::answer::{Answer, Frame};
use super::visitor::Visitor;
use super::when::{When, span};
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::problem::Problem;
use crate::admin::tokens::{self, TokensQuery};
use crate::directory::TokenRow;
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
    pub(super) created: When,
    pub(super) expires: When,
    pub(super) last_used: Option<When>,
    pub(super) use_count: u64,
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
            created_by: created_by
                .map_or_else(|| "the machine".to_owned(), |it| it.name.unwrap_or_else(unnamed)),
            created: When::of(token.created_at, now),
            expires: When::of(token.expires_at, now),
            last_used: usage.last_used_at.map(|last| When::of(last, now)),
            use_count: usage.use_count,
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
            own: token.id == desk.caller.token(),
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
    let (title, words) = match violation.policy {
        PolicyKind::IdleTtl => (
            "Idle Token TTL",
            format!("Not used for longer than the {limit} that the policy allows, by {over}."),
        ),
        PolicyKind::MaxTtl => (
            "Max Token TTL",
            format!("Lives longer than the {limit} that the policy allows, by {over}."),
        ),
    };
    let ignored_until = violation.ignored_until.map(|until| When::of(until, desk.now()));
    Alert { policy: violation.policy.to_string(), title, words, ignored_until }
}

/// A choice of a filter.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// The head of a column.
struct Head {
    title: &'static str,
    address: String,
    /// What assistive technology is told.
    order: &'static str,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    heads: Vec<Head>,
    rows: Vec<Row>,
    statuses: Vec<Choice>,
    violations: Vec<Choice>,
    roles: Vec<Choice>,
    owners: Vec<Choice>,
    uses: Vec<Choice>,
    q: String,
    expiring: String,
    idle: String,
    sort: String,
    is_filtered: bool,
    next: Option<String>,
    is_first: bool,
    first: String,
    done: Option<String>,
}

/// What the address asks for. Fields that are left empty ask for nothing.
#[derive(Clone, Debug, Default)]
struct Asked(Vec<(String, String)>);

impl Asked {
    const FILTERS: [&'static str; 8] =
        ["q", "status", "violation", "owner", "role", "expiring", "idle", "used"];
    const OTHERS: [&'static str; 3] = ["sort", "cursor", "done"];

    fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut said = Self::default();
        for (name, text) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let text = text.trim();
            let known = Self::FILTERS.iter().chain(&Self::OTHERS).any(|known| *known == name);
            if !known || said.text(&name).is_some() {
                let detail = if known { "said twice" } else { "no such filter" };
                return Err(Problem::field(&name, detail));
            }
            if !text.is_empty() {
                said.0.push((name.into_owned(), text.to_owned()));
            }
        }
        Ok(said)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

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

    /// The address that asks for the same, but for these.
    fn with(&self, others: &[(&str, &str)]) -> String {
        let kept = self.0.iter().filter(|(name, _)| {
            name != "cursor" && name != "done" && !others.iter().any(|(other, _)| other == name)
        });
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.extend_pairs(others.iter().filter(|(_, text)| !text.is_empty()));
        let query = query.finish();
        if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{query}") }
    }

    fn choices(&self, name: &str, all: &[(&str, &str)]) -> Vec<Choice> {
        let choice = |&(value, label): &(&str, &str)| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: self.text(name) == Some(value),
        };
        all.iter().map(choice).collect()
    }

    fn heads(&self) -> Vec<Head> {
        let sort = self.text("sort").unwrap_or("-created_at");
        let head = |&(name, title): &(&'static str, &'static str)| {
            let order = match sort.strip_prefix('-') {
                Some(column) if column == name => "descending",
                None if sort == name => "ascending",
                Some(_) | None => "none",
            };
            let next = if order == "ascending" { format!("-{name}") } else { name.to_owned() };
            Head { title, address: self.with(&[("sort", &next)]), order }
        };
        COLUMNS.iter().map(head).collect()
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
    let page = desk::read(&state, call, move |desk| show(desk, &visitor, &Asked::of(&uri)?)).await;
    match page {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

fn show(desk: &Desk<'_>, visitor: &Visitor, asked: &Asked) -> Result<TokensPage, Problem> {
    let (page, policies) = tokens::listed(desk, desk.caller.org(), &asked.query(desk)?)?;
    let roles: Vec<String> = desk.catalogue.role_names().iter().map(RoleName::to_string).collect();
    let roles: Vec<(&str, &str)> = roles.iter().map(|name| (&**name, &**name)).collect();
    let owners = desk.ledger().users(desk.caller.org())?;
    let owners: Vec<(String, String)> =
        owners.into_iter().take(OWNERS_MAX).map(|user| (user.id.to_string(), user.name)).collect();
    let owners: Vec<(&str, &str)> = owners.iter().map(|(id, name)| (&**id, &**name)).collect();
    let text = |name| asked.text(name).unwrap_or_default().to_owned();
    Ok(TokensPage {
        frame: Frame::of(desk, visitor, "API tokens", "tokens")?,
        heads: asked.heads(),
        statuses: asked.choices(
            "status",
            &[
                ("activated", "Activated"),
                ("deactivated", "Deactivated"),
                ("expired", "Expired"),
                ("revoked", "Revoked"),
            ],
        ),
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
        is_filtered: Asked::FILTERS.iter().any(|name| asked.text(name).is_some()),
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
