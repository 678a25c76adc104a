//! Governance, overview: what the tokens of the organization come to, in pictures.

use super::answer::{Answer, Frame};
use super::chart::{Bar, Columns, Sum, bars};
use super::list::Row;
use super::visitor::Visitor;
use super::when::{When, grouped};
use crate::access::Verdicts;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::problem::Problem;
use crate::directory::{CALENDAR_DAYS, IDLE_DAYS, Overview};
use crate::governance::token::policies_of;
use crate::id::OrgId;
use crate::org::Organization;
use crate::store::Grain;
use crate::time::{Day, Timestamp};
use crate::token::DAYS_KEPT;
use askama::Template;
use axum::extract::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long what a pass found is shown again: so many times as long as the pass took, so that passes
/// take a twentieth of a processor at most ...
const KEPT_TIMES: u32 = 20;
/// ... and no longer than this.
pub const OVERVIEW_KEPT_MAX: Duration = Duration::from_secs(10);
/// Organizations whose overviews are kept.
const OVERVIEWS_MAX: usize = 64;

/// What was found a moment ago.
#[derive(Debug, Default)]
pub struct Overviews(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    org: OrgId,
    until: Timestamp,
    found: Arc<Overview>,
}

impl Overviews {
    fn kept(&self, org: OrgId, now: Timestamp) -> Option<Arc<Overview>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| now < kept.until);
        let kept = kept.iter().find(|kept| kept.org == org);
        kept.map(|kept| Arc::clone(&kept.found))
    }

    /// What is kept, or else what a pass finds. Whoever waited for their turn finds what was found
    /// meanwhile.
    fn of(&self, desk: &Desk<'_>, org: &Organization) -> Result<Arc<Overview>, Problem> {
        let begun = (desk.state.clock)();
        if let Some(kept) = self.kept(org.id, begun) {
            return Ok(kept);
        }
        let (ledger, uses) = (desk.ledger(), &*desk.state.uses);
        let found = Overview::of(ledger, uses, org.id, &policies_of(org), begun)?;
        let found = Arc::new(found);
        let ended = (desk.state.clock)();
        let long = ended.since(begun).saturating_mul(KEPT_TIMES).min(OVERVIEW_KEPT_MAX);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= OVERVIEWS_MAX {
            kept.remove(0);
        }
        kept.push(Kept { org: org.id, until: ended.after(long), found: Arc::clone(&found) });
        Ok(found)
    }
}

/// A number with its name, and where more is said of it.
struct Figure {
    title: &'static str,
    number: String,
    note: String,
    style: &'static str,
    address: &'static str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    as_of: When,
    figures: Vec<Figure>,
    /// How many tokens are in which state, as parts of one bar.
    states: Vec<Bar>,
    requests: Columns,
    requests_total: String,
    refusals: Vec<Bar>,
    ends: Columns,
    ends_total: String,
    idle: Vec<Bar>,
    busiest: Vec<(Row, Bar)>,
    has_tokens: bool,
}

/// The page.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor) -> Answer {
    let theme = visitor.theme;
    match shown(&state, visitor).await {
        Ok(page) => Answer::page(&page),
        Err(problem) => Answer::problem(problem, theme),
    }
}

async fn shown(state: &Shared, visitor: Visitor) -> Result<OverviewPage, Problem> {
    let (call, visitor) = (visitor.call.clone(), Arc::new(visitor));
    let by = Arc::clone(&visitor);
    let kept = desk::read(state, call.clone(), move |desk| {
        let org = permitted(desk)?;
        let kept = desk.state.overviews.kept(org.id, (desk.state.clock)());
        kept.map(|kept| show(desk, &by, &org, &kept)).transpose()
    });
    if let Some(page) = kept.await? {
        return Ok(page);
    }
    desk::pass(state, call, move |desk| {
        let org = permitted(desk)?;
        let found = desk.state.overviews.of(desk, &org)?;
        show(desk, &visitor, &org, &found)
    })
    .await
}

fn permitted(desk: &Desk<'_>) -> Result<Organization, Problem> {
    let org = desk.org(desk.caller.org())?;
    desk.caller.reads_insight(&org)?;
    Ok(org)
}

fn show(
    desk: &Desk<'_>,
    visitor: &Visitor,
    org: &Organization,
    found: &Overview,
) -> Result<OverviewPage, Problem> {
    let policies = policies_of(org);
    let days = desk.ledger().verdicts(org.id, Grain::Day)?;
    let (requests, requests_total) = requests(&days, desk.now());
    let most = found.busiest.first().map_or(0, |row| row.usage.use_count);
    Ok(OverviewPage {
        frame: Frame::of(desk, visitor, "Overview", "overview")?,
        as_of: When::of(found.as_of, desk.now()),
        figures: figures(found),
        states: states(found),
        requests,
        requests_total: grouped(requests_total),
        refusals: refusals(&days, desk.now()),
        ends: ends(found),
        ends_total: grouped(found.ends.iter().sum()),
        idle: idle(found),
        busiest: found
            .busiest
            .iter()
            .map(|row| {
                let uses = row.usage.use_count;
                (Row::new(row.clone(), &policies, desk), Bar::of("", uses, most, "requests"))
            })
            .collect(),
        has_tokens: found.census.all() > 0,
    })
}

fn figures(found: &Overview) -> Vec<Figure> {
    let census = &found.census;
    let soon: u64 = found.ends.iter().take(30).sum();
    let violations = match (census.idle_ttl, census.max_ttl) {
        (0, 0) => "No policy is broken".to_owned(),
        (idle, max) => format!("{} idle, {} too long", grouped(idle), grouped(max)),
    };
    let blocked = match found.blocked {
        0 => format!("of {} in all", grouped(census.all())),
        blocked => format!("{} of a deactivated owner", grouped(blocked)),
    };
    vec![
        Figure {
            title: "Activated",
            number: grouped(census.activated),
            note: blocked,
            style: "good",
            address: "/governance/tokens?status=activated",
        },
        Figure {
            title: "Violations",
            number: grouped(census.violating),
            note: violations,
            style: if census.violating > 0 { "bad" } else { "" },
            address: "/governance/tokens?violation=any",
        },
        Figure {
            title: "Expire within 30 days",
            number: grouped(soon),
            note: "Their owners are told".to_owned(),
            style: if soon > 0 { "warn" } else { "" },
            address: "/governance/tokens?expiring=30&sort=expires_at",
        },
        Figure {
            title: "Never used",
            number: grouped(found.never_used),
            note: "Of the activated ones".to_owned(),
            style: "",
            address: "/governance/tokens?status=activated&used=never",
        },
    ]
}

fn states(found: &Overview) -> Vec<Bar> {
    let census = &found.census;
    let all = census.all();
    let states = [
        ("Activated", census.activated, "activated"),
        ("Deactivated", census.deactivated, "deactivated"),
        ("Expired", census.expired, "expired"),
        ("Revoked", census.revoked, "revoked"),
    ];
    states.into_iter().map(|(title, count, style)| Bar::of(title, count, all, style)).collect()
}

/// The last days, admitted and refused.
fn requests(days: &[(Timestamp, Verdicts)], now: Timestamp) -> (Columns, u64) {
    let today = Day::of(now);
    let first = today.earlier(DAYS_KEPT - 1);
    let column = |at: u16| {
        let day = first.later(at);
        let found = days.iter().find(|(start, _)| Day::of(*start) == day);
        let (permitted, denied) =
            found.map_or((0, 0), |(_, sum)| (sum.permitted, sum.denied.iter().sum()));
        let words = format!("{day}: {} admitted, {} refused", grouped(permitted), grouped(denied));
        let parts = vec![(permitted, "admitted"), (denied, "refused")];
        Sum { parts, words, below: day.to_string() }
    };
    let sums: Vec<Sum> = (0..DAYS_KEPT).map(column).collect();
    let total = sums.iter().map(Sum::whole).sum();
    (Columns::of(sums), total)
}

/// Why requests were refused within the last 7 days.
fn refusals(days: &[(Timestamp, Verdicts)], now: Timestamp) -> Vec<Bar> {
    let first = Day::of(now).earlier(6);
    let mut sum = Verdicts::default();
    for (_, verdicts) in days.iter().filter(|(start, _)| Day::of(*start) >= first) {
        sum.add(verdicts);
    }
    let mut found: Vec<(String, u64)> =
        sum.reasons().map(|(reason, count)| (reason.as_str().replace('_', " "), count)).collect();
    found.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    bars(&found, "refused")
}

fn ends(found: &Overview) -> Columns {
    let today = Day::of(found.as_of);
    let days = (0..CALENDAR_DAYS).zip(found.ends);
    let column = |(at, count): (u16, u64)| {
        let day = today.later(at);
        let style = if at < 7 {
            "refused"
        } else if at < 30 {
            "soon"
        } else {
            "later"
        };
        let tokens = if count == 1 { "token ends" } else { "tokens end" };
        let words = format!("{day}: {} {tokens}", grouped(count));
        Sum { parts: vec![(count, style)], words, below: day.to_string() }
    };
    Columns::of(days.map(column).collect())
}

fn idle(found: &Overview) -> Vec<Bar> {
    let from = [0].into_iter().chain(IDLE_DAYS);
    let below = IDLE_DAYS.into_iter().map(Some).chain([None]);
    let step = |((from, below), count): ((u16, Option<u16>), u64)| {
        let title = match below {
            Some(1) => "less than a day".to_owned(),
            Some(below) => format!("{from} to {} days", below - 1),
            None => format!("{from} days and more"),
        };
        (title, count)
    };
    let steps: Vec<(String, u64)> = from.zip(below).zip(found.idle).map(step).collect();
    bars(&steps, "idle")
}
