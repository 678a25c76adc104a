//! Governance, settings: whether tokens are governed, the two policies, validation runs.
//!
//! A policy is changed in two steps. The first shows what the change would come to; only that page has
//! the button that saves it, and it saves it in the state that was looked at.

use super::answer::{Answer, Frame};
use super::form::{Fields, Form};
use super::told::person;
use super::visitor::Visitor;
use super::when::{When, grouped};
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::etag::Precondition;
use crate::admin::extract::{Call, Json, OptionalJson, Params};
use crate::admin::orgs::{self, OrganizationChange};
use crate::admin::policies::{
    self, EnforcementBody, PoliciesChange, PolicyBody, PolicyUnit, PreviewBody, Span,
};
use crate::admin::problem::Problem;
use crate::admin::validations;
use crate::directory::Preview;
use crate::governance::token::policies_of;
use crate::org::{Governance, Organization};
use crate::policy::{PolicyKind, TtlPolicy};
use crate::time::{Ttl, Unit};
use crate::validation::{Run, RunState, Trigger};
use askama::Template;
use axum::extract::State;
use http::Uri;

/// Runs of the history that are shown.
const RUNS_SHOWN_MAX: usize = 10;
/// Owners that are named by the page of a change.
const OWNERS_SHOWN_MAX: usize = 10;
const PATH: &str = "/governance/settings";

/// One policy in its form.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a box of the form, ticked or not")]
struct PolicyForm {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// What is in force, in words.
    present: String,
    is_active: bool,
    active: bool,
    value: String,
    unit: String,
    enforce: bool,
    deactivate_value: String,
    deactivate_unit: String,
    revoke: bool,
    revoke_value: String,
    revoke_unit: String,
}

impl PolicyForm {
    fn of(kind: PolicyKind, policy: &TtlPolicy) -> Self {
        let (name, title, about) = words(kind);
        let ladder = policy.enforcement;
        let after = |ttl: Option<Ttl>, otherwise| {
            let ttl = ttl.unwrap_or(Ttl::new(otherwise, Unit::Days));
            (ttl.value.to_string(), unit(ttl.unit).to_owned())
        };
        let deactivate = after(ladder.map(|ladder| ladder.deactivate_after), 7);
        let revoke = after(ladder.and_then(|ladder| ladder.revoke_after), 30);
        Self {
            name,
            title,
            about,
            present: present(policy),
            is_active: policy.active,
            active: policy.active,
            value: policy.ttl.value.to_string(),
            unit: unit(policy.ttl.unit).to_owned(),
            enforce: ladder.is_some(),
            deactivate_value: deactivate.0,
            deactivate_unit: deactivate.1,
            revoke: ladder.is_some_and(|ladder| ladder.revoke_after.is_some()),
            revoke_value: revoke.0,
            revoke_unit: revoke.1,
        }
    }

    /// What was typed, in place of what is in force.
    fn typed(&mut self, fields: &Fields) {
        let text = |name, was: &mut String| {
            if let Some(text) = fields.text(name) {
                text.clone_into(was);
            }
        };
        self.active = fields.has("active");
        self.enforce = fields.has("enforce");
        self.revoke = fields.has("revoke");
        text("value", &mut self.value);
        text("unit", &mut self.unit);
        text("deactivate_value", &mut self.deactivate_value);
        text("deactivate_unit", &mut self.deactivate_unit);
        text("revoke_value", &mut self.revoke_value);
        text("revoke_unit", &mut self.revoke_unit);
    }
}

const fn words(kind: PolicyKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        PolicyKind::IdleTtl => {
            ("idle_ttl", "Idle Token TTL", "The longest that a token may go unused.")
        }
        PolicyKind::MaxTtl => (
            "max_ttl",
            "Max Token TTL",
            "The longest life that a token may have. No new token gets a longer one.",
        ),
    }
}

fn present(policy: &TtlPolicy) -> String {
    if !policy.active {
        return "Off".to_owned();
    }
    let then = match policy.enforcement {
        None => "tokens that break it are flagged".to_owned(),
        Some(ladder) => format!("deactivated {} after a warning", ladder.deactivate_after),
    };
    format!("{}, {then}", policy.ttl)
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Minutes => "minutes",
        Unit::Hours => "hours",
        Unit::Days | Unit::Months => "days",
    }
}

/// What a change would come to, in words.
struct Foreseen {
    policy: &'static str,
    title: &'static str,
    becomes: String,
    flagged: String,
    newly_flagged: u64,
    newly: String,
    cleared: String,
    refused: String,
    used_lately: String,
    requests_per_day: String,
    owners: Vec<(String, String)>,
    others: u64,
    /// What the form sends again, to save it.
    fields: Vec<(&'static str, String)>,
}

struct RunRow {
    number: u64,
    why: &'static str,
    who: Option<String>,
    asked: When,
    state: &'static str,
    style: &'static str,
    took: String,
    flagged: String,
    new: String,
    cleared: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
#[expect(clippy::struct_excessive_bools, reason = "each shows a part of the page, or not")]
struct SettingsPage {
    frame: Frame,
    is_governed: bool,
    policies: Vec<PolicyForm>,
    /// Whether owners of tokens can be warned by mail.
    has_mail: bool,
    is_enforced: bool,
    version: String,
    foreseen: Option<Foreseen>,
    runs: Vec<RunRow>,
    is_running: bool,
    next_run: Option<When>,
    problem: Option<String>,
    done: Option<String>,
}

/// The page.
pub(super) async fn page(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Answer {
    let done = uri.query().and_then(|query| query.strip_prefix("done=")).map(str::to_owned);
    shown(&state, visitor, Fields::default(), Said { done, ..Said::default() }).await
}

/// What a page says beside the settings.
#[derive(Default)]
struct Said {
    done: Option<String>,
    foreseen: Option<PreviewBody>,
    problem: Option<Problem>,
}

async fn shown(state: &Shared, visitor: Visitor, fields: Fields, said: Said) -> Answer {
    let theme = visitor.theme;
    let call = visitor.call.clone();
    let Said { done, foreseen, problem } = said;
    let sentence = problem.as_ref().map(Problem::sentence);
    let done = match done {
        Some(done) => done_words(state, &call, &done).await,
        None => None,
    };
    let page = desk::read(state, call, move |desk| {
        let mut page = show(desk, &visitor, &fields, foreseen.as_ref())?;
        page.done = done;
        page.problem = sentence;
        Ok(page)
    });
    match (page.await, problem) {
        (Ok(page), None) => Answer::page(&page),
        (Ok(page), Some(problem)) => Answer::telling(problem, &page),
        (Err(problem), _) => Answer::problem(problem, theme),
    }
}

fn show(
    desk: &Desk<'_>,
    visitor: &Visitor,
    fields: &Fields,
    foreseen: Option<&PreviewBody>,
) -> Result<SettingsPage, Problem> {
    let org = desk.org(desk.caller.org())?;
    let frame = Frame::of(desk, visitor, "Settings", "settings")?;
    let is_governed = org.governance == Governance::Activated;
    // What is off can be switched on again here, so an owner sees that it is off.
    if is_governed || !frame.governs {
        desk.caller.reads_policies(&org)?;
    }
    let mut policies: Vec<PolicyForm> = Vec::new();
    for kind in if is_governed { &PolicyKind::ALL[..] } else { &[] } {
        let mut form = PolicyForm::of(*kind, org.policies.of(*kind));
        if fields.text("policy") == Some(form.name) {
            form.typed(fields);
        }
        policies.push(form);
    }
    let foreseen = foreseen.zip(kind(fields)).map(|(found, kind)| {
        let form = policies.iter().find(|form| form.name == words(kind).0);
        Foreseen::of(kind, found, form, desk)
    });
    let runs = if is_governed { runs(desk, &org)? } else { Vec::new() };
    let next = desk.ledger().schedules()?.into_iter().find(|schedule| schedule.org == org.id);
    Ok(SettingsPage {
        frame,
        is_governed,
        policies,
        has_mail: desk.state.has_mail,
        is_enforced: policies_of(&org).enforces(),
        version: org.version.0.to_string(),
        foreseen,
        is_running: runs.iter().any(|run| run.state != "Finished"),
        runs,
        next_run: next.map(|schedule| When::of(schedule.next_at, desk.now())),
        problem: None,
        done: None,
    })
}

fn runs(desk: &Desk<'_>, org: &Organization) -> Result<Vec<RunRow>, Problem> {
    desk.caller.reads_validations(org)?;
    let runs = desk.ledger().runs(org.id, None, RUNS_SHOWN_MAX)?;
    Ok(runs.into_iter().map(|run| RunRow::of(run, desk)).collect())
}

impl RunRow {
    fn of(run: Run, desk: &Desk<'_>) -> Self {
        let (state, style, found) = match run.state {
            RunState::Queued => ("Waiting", "deactivated", None),
            RunState::Running { .. } => ("Running", "deactivated", None),
            RunState::Telling(_) => ("Telling owners", "deactivated", None),
            RunState::Finished(found) => ("Finished", "activated", Some(found)),
        };
        let count = |count: fn(&crate::validation::Counts) -> u64| {
            found.map_or_else(String::new, |found| grouped(count(&found.counts)))
        };
        Self {
            number: run.number,
            why: match run.trigger {
                Trigger::Scheduled => "A day had passed",
                Trigger::PolicyChanged => "A policy was changed",
                Trigger::OnDemand => "Asked for",
            },
            who: run.by.map(|by| person(desk, by)),
            asked: When::of(run.asked_at, desk.now()),
            state,
            style,
            took: found.map_or_else(String::new, |found| format!("{} ms", found.took.as_millis())),
            flagged: count(|counts| counts.flagged),
            new: count(|counts| counts.new),
            cleared: count(|counts| counts.cleared),
        }
    }
}

impl Foreseen {
    fn of(
        kind: PolicyKind,
        found: &PreviewBody,
        form: Option<&PolicyForm>,
        desk: &Desk<'_>,
    ) -> Self {
        let policy: TtlPolicy = match kind {
            PolicyKind::IdleTtl => found.policies.idle_ttl.into(),
            PolicyKind::MaxTtl => found.policies.max_ttl.into(),
        };
        let named = found.owners.iter().take(OWNERS_SHOWN_MAX);
        let owners: Vec<(String, String)> =
            named.map(|owner| (person(desk, owner.id), grouped(owner.tokens))).collect();
        let others = found.owners_count.saturating_sub(owners.len() as u64);
        Self {
            policy: words(kind).0,
            title: words(kind).1,
            becomes: present(&policy),
            flagged: grouped(found.flagged),
            newly_flagged: found.newly_flagged,
            newly: grouped(found.newly_flagged),
            cleared: grouped(found.cleared),
            refused: grouped(found.refused),
            used_lately: grouped(found.used_last_7_days),
            requests_per_day: grouped(found.requests_per_day),
            owners,
            others,
            fields: form.map(sent_again).unwrap_or_default(),
        }
    }
}

fn sent_again(form: &PolicyForm) -> Vec<(&'static str, String)> {
    let mut fields = vec![("value", form.value.clone()), ("unit", form.unit.clone())];
    for (name, is_on) in
        [("active", form.active), ("enforce", form.enforce), ("revoke", form.revoke)]
    {
        if is_on {
            fields.push((name, "yes".to_owned()));
        }
    }
    fields.extend([
        ("deactivate_value", form.deactivate_value.clone()),
        ("deactivate_unit", form.deactivate_unit.clone()),
        ("revoke_value", form.revoke_value.clone()),
        ("revoke_unit", form.revoke_unit.clone()),
    ]);
    fields
}

/// What was done, and what it came to.
async fn done_words(state: &Shared, call: &Call, done: &str) -> Option<String> {
    Some(match done {
        "policy" => match desk::pass(state, call.clone(), flagged).await {
            Ok(1) => "Saved, and in force. 1 token breaks a policy now.".to_owned(),
            Ok(many) => {
                format!("Saved, and in force. {} tokens break a policy now.", grouped(many))
            }
            // It is saved, whether or not anybody has the time to count.
            Err(_uncounted) => "Saved, and in force.".to_owned(),
        },
        "validate" => "A validation run is on its way.".to_owned(),
        "activated" => "The tokens of the organization are governed.".to_owned(),
        "deactivated" => "The tokens of the organization are not governed any more.".to_owned(),
        _ => return None,
    })
}

/// How many tokens break a policy now.
fn flagged(desk: &Desk<'_>) -> Result<u64, Problem> {
    let org = desk.org(desk.caller.org())?;
    desk.caller.reads_policies(&org)?;
    let (ledger, uses) = (desk.ledger(), &*desk.state.uses);
    Ok(Preview::of(ledger, uses, &org, &policies_of(&org), desk.now())?.flagged)
}

fn kind(fields: &Fields) -> Option<PolicyKind> {
    fields.text("policy").and_then(|policy| policy.parse().ok())
}

/// Shows what a change of a policy would come to, or makes it.
pub(super) async fn policy(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let is_saved = fields.text("step") == Some("save");
    let said = async {
        let change = wanted(&fields)?;
        let (call, params) = (visitor.call.clone(), org_params(&visitor));
        let body = Json { value: change, digest: [0; 32] };
        if is_saved {
            let version = fields.text("version").and_then(|version| version.parse().ok());
            let version = version.ok_or_else(|| Problem::field("version", "expected a number"))?;
            let seen = Precondition::this(crate::org::Revision(version));
            policies::put(State(state.clone()), call, params, seen, body).await?;
            return Ok(None);
        }
        let axum::Json(found) = policies::preview(State(state.clone()), call, params, body).await?;
        Ok(Some(found))
    };
    match said.await {
        Ok(None) => Answer::to(&format!("{PATH}?done=policy")),
        Ok(foreseen) => shown(&state, visitor, fields, Said { foreseen, ..Said::default() }).await,
        Err(problem) => {
            let said = Said { problem: Some(problem), ..Said::default() };
            shown(&state, visitor, fields, said).await
        }
    }
}

fn wanted(fields: &Fields) -> Result<PoliciesChange, Problem> {
    let kind = kind(fields).ok_or_else(|| Problem::field("policy", "expected a policy"))?;
    let Span { value, unit } = span(fields, "value", "unit")?;
    let enforcement = if fields.has("enforce") {
        let revoke = fields.has("revoke").then(|| span(fields, "revoke_value", "revoke_unit"));
        Some(EnforcementBody {
            deactivate_after: span(fields, "deactivate_value", "deactivate_unit")?,
            revoke_after: revoke.transpose()?,
        })
    } else {
        None
    };
    let policy = PolicyBody { active: fields.has("active"), value, unit, enforcement };
    Ok(match kind {
        PolicyKind::IdleTtl => PoliciesChange { idle_ttl: Some(policy), max_ttl: None },
        PolicyKind::MaxTtl => PoliciesChange { idle_ttl: None, max_ttl: Some(policy) },
    })
}

fn span(fields: &Fields, value: &str, unit: &str) -> Result<Span, Problem> {
    let number = fields.text(value).and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| Problem::field(value, "expected a whole number"))?;
    let unit = match fields.text(unit) {
        Some("minutes") => PolicyUnit::Minutes,
        Some("hours") => PolicyUnit::Hours,
        Some("days") => PolicyUnit::Days,
        _ => return Err(Problem::field(unit, "expected minutes, hours or days")),
    };
    Ok(Span { value: number, unit })
}

fn org_params(visitor: &Visitor) -> Params {
    Params::said([("org", visitor.call.caller.org().to_string())])
}

/// Switches whether tokens are governed.
pub(super) async fn governance(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(fields): Form,
) -> Answer {
    let (governance, name) = match fields.text("governance") {
        Some("activated") => (Governance::Activated, "activated"),
        Some("deactivated") => (Governance::Deactivated, "deactivated"),
        _ => {
            let problem = Problem::field("governance", "expected activated or deactivated");
            return Answer::problem(problem, visitor.theme);
        }
    };
    let change = OrganizationChange { name: None, governance: Some(governance) };
    let body = Json { value: change, digest: [0; 32] };
    let (call, params) = (visitor.call.clone(), org_params(&visitor));
    match orgs::update(State(state), call, params, Precondition::Absent, body).await {
        Ok(_changed) => Answer::to(&format!("{PATH}?done={name}")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}

/// Asks for a validation run.
pub(super) async fn validate(
    State(state): State<Shared>,
    visitor: Visitor,
    Form(_no_fields): Form,
) -> Answer {
    let (call, params) = (visitor.call.clone(), org_params(&visitor));
    let body = OptionalJson { value: crate::admin::me::Nothing {}, digest: [0; 32] };
    match validations::create(State(state), call, params, body).await {
        Ok(_run) => Answer::to(&format!("{PATH}?done=validate")),
        Err(problem) => Answer::problem(problem, visitor.theme),
    }
}
