//! Governance, overview: what the tokens of the organization come to, in pictures.

use super::answer::{Answer, Frame};
use super::chart::{Bar, Columns, Sum, bars};
use super::list::Row;
use super::refusals::{self, Refusals};
use super::visitor::Visitor;
use super::when::{When, grouped};
use crate::access::Verdicts;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::problem::Problem;
use crate::admin::tokens;
use crate::directory::{CALENDAR_DAYS, IDLE_DAYS, Overview};
use crate::governance::token::policies_of;
use crate::id::OrgId;
use crate::org::{Organization, Revision};
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
/// Minutes that are shown one by one.
const MINUTES_SHOWN: u64 = 60;
/// Organizations whose overviews are kept.
const OVERVIEWS_MAX: usize = 64;

/// What was found a moment ago.
#[derive(Debug, Default)]
pub struct Overviews(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    org: OrgId,
    until: Timestamp,
    /// The commit that it is not older than.
    since: Revision,
    found: Arc<Overview>,
}

/// What is shown.
struct Shown {
    found: Arc<Overview>,
    /// After how long to ask again, if something has changed since.
    old_for: Option<Duration>,
}

impl Overviews {
    /// What is kept, and if something has changed since, after how long to ask again.
    fn kept(&self, desk: &Desk<'_>, org: OrgId) -> Option<Shown> {
        let now = (desk.state.clock)();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| now < kept.until);
        let kept = kept.iter().find(|kept| kept.org == org)?;
        let is_old = kept.since < desk.state.tidings.last();
        let old_for = is_old.then(|| kept.until.since(now));
        Some(Shown { found: Arc::clone(&kept.found), old_for })
    }

    /// What is kept, or else what a pass finds. Whoever waited for their turn finds what was found
    /// meanwhile.
    fn of(&self, desk: &Desk<'_>, org: &Organization) -> Result<Shown, Problem> {
        let begun = (desk.state.clock)();
        if let Some(kept) = self.kept(desk, org.id) {
            return Ok(kept);
        }
        let since = desk.state.tidings.last();
        let found = Overview::of(tokens::room(desk), org.id, &policies_of(org), begun)?;
        let found = Arc::new(found);
        let ended = (desk.state.clock)();
        let long = ended.since(begun).saturating_mul(KEPT_TIMES).min(OVERVIEW_KEPT_MAX);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= OVERVIEWS_MAX {
            kept.remove(0);
        }
        let until = ended.after(long);
        kept.push(Kept { org: org.id, until, since, found: Arc::clone(&found) });
        Ok(Shown { found, old_for: None })
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
    /// In how many milliseconds there is something newer to be had.
    old_for: Option<u128>,
    figures: Vec<Figure>,
    /// How many tokens are in which state, as parts of one bar.
    states: Vec<Bar>,
    /// Of the last minutes.
    minutes: Columns,
    refused: Refusals,
    /// The minutes with a request, the latest first: when, how many were admitted, and what was refused.
    told: Vec<(When, String, String)>,
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
        let kept = desk.state.overviews.kept(desk, org.id);
        kept.map(|kept| show(desk, &by, &org, kept)).transpose()
    });
    if let Some(page) = kept.await? {
        return Ok(page);
    }
    desk::pass(state, call, move |desk| {
        let org = permitted(desk)?;
        let found = desk.state.overviews.of(desk, &org)?;
        show(desk, &visitor, &org, found)
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
    Shown { found, old_for }: Shown,
) -> Result<OverviewPage, Problem> {
    let policies = policies_of(org);
    let days = desk.ledger().verdicts(org.id, Grain::Day)?;
    let minutes = last_minutes(&desk.ledger().verdicts(org.id, Grain::Minute)?, desk.now());
    let (requests, requests_total) = requests(&days, desk.now());
    let most = found.busiest.first().map_or(0, |row| row.usage.use_count);
    Ok(OverviewPage {
        frame: Frame::of(desk, visitor, "Overview", "overview")?,
        as_of: When::of(found.as_of, desk.now()),
        old_for: old_for.map(|old_for| old_for.as_millis()),
        figures: figures(&found),
        states: states(&found),
        minutes: in_minutes(&minutes),
        refused: Refusals::of(minutes.iter().map(|(at, sum)| (clock_of(*at), sum)), "in a minute"),
        told: told(&minutes, desk.now()),
        requests,
        requests_total: grouped(requests_total),
        refusals: refused_lately(&days, desk.now()),
        ends: ends(&found),
        ends_total: grouped(found.ends.iter().sum()),
        idle: idle(&found),
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

/// The minute that is under way and those before it, whether there was a request or not.
fn last_minutes(found: &[(Timestamp, Verdicts)], now: Timestamp) -> Vec<(Timestamp, Verdicts)> {
    let begun = Timestamp::from_millis(now.millis() - now.millis().rem_euclid(60_000));
    let minute = |back: u64| {
        let at = begun.before(Duration::from_secs(60 * back));
        let sum = found.iter().find(|(start, _)| *start == at).map(|(_, sum)| sum.clone());
        (at, sum.unwrap_or_default())
    };
    (0..MINUTES_SHOWN).rev().map(minute).collect()
}

/// Hours and minutes, in UTC.
fn clock_of(at: Timestamp) -> String {
    let exact = at.to_string();
    format!("{} UTC", exact.get(11..16).unwrap_or_default())
}

fn in_minutes(minutes: &[(Timestamp, Verdicts)]) -> Columns {
    let column = |(at, sum): &(Timestamp, Verdicts)| {
        let denied = sum.denied.iter().sum();
        let below = clock_of(*at);
        let words =
            format!("{below}: {} admitted, {} refused", grouped(sum.permitted), grouped(denied));
        Sum { parts: vec![(sum.permitted, "admitted"), (denied, "refused")], words, below }
    };
    Columns::of(minutes.iter().map(column).collect(), "in a minute")
}

fn told(minutes: &[(Timestamp, Verdicts)], now: Timestamp) -> Vec<(When, String, String)> {
    let busy = minutes.iter().rev().filter(|(_, sum)| !sum.is_nothing());
    let row = |(at, sum): &(Timestamp, Verdicts)| {
        let mut when = When::of(*at, now);
        when.words = clock_of(*at);
        (when, grouped(sum.permitted), refusals::words(sum))
    };
    busy.map(row).collect()
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
    (Columns::of(sums, "on a day"), total)
}

/// Why requests were refused within the last 7 days.
fn refused_lately(days: &[(Timestamp, Verdicts)], now: Timestamp) -> Vec<Bar> {
    let first = Day::of(now).earlier(6);
    let mut sum = Verdicts::default();
    for (_, verdicts) in days.iter().filter(|(start, _)| Day::of(*start) >= first) {
        sum.add(verdicts);
    }
    let mut found: Vec<(String, u64)> =
        sum.reasons().map(|(reason, count)| (refusals::name(reason).to_owned(), count)).collect();
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
    Columns::of(days.map(column).collect(), "on a day")
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
