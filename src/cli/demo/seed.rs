//! What the demo begins with: two organizations, their users, and tokens in every state.
//!
//! Much of it lies in the past, which no command can make; so the records are written as they are.

use super::super::init::random;
use anyhow::Context;
use bearward::access::{Reason, Verdicts};
use bearward::audit::{Action, Actor, Draft, Origin, Target};
use bearward::change::{Change, Write};
use bearward::governance::closed;
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Governance, Organization, Revision, StatusChange, User, UserStatus};
use bearward::policy::{Ignores, Policies, TtlPolicy};
use bearward::role::{RoleId, RoleName, RoleSet, RoleTable};
use bearward::secret::Secret;
use bearward::store::Ledger;
use bearward::time::{Day, Timestamp, Ttl, Unit};
use bearward::token::{ApiToken, DAYS_KEPT, NOTIFY_BEFORE_EXPIRY, TokenStatus, Usage};
use std::collections::HashMap;
use std::time::Duration;

/// The tokens that `--json` names.
pub(super) const KEYS: [&str; 5] = ["live", "deactivated", "expired", "never_used", "wrong_scope"];
/// Minutes before the demo that had requests.
const MINUTES_OF_REQUESTS: u64 = 50;
/// The role that the demo's route needs.
const CALLER: &str = "echo/caller";

/// A token and its secret.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: TokenId,
    pub(super) secret: Secret,
}

/// What was made, as far as it is told.
#[derive(Debug)]
pub(super) struct Seeded {
    /// The first organization.
    pub(super) org: OrgId,
    /// A token of its owner.
    pub(super) owner: Issued,
    /// The second organization.
    pub(super) second: OrgId,
    /// A token of its owner.
    pub(super) second_owner: Issued,
    named: HashMap<&'static str, Issued>,
}

impl Seeded {
    /// A token of [`KEYS`].
    pub(super) fn token(&self, key: &str) -> &Issued {
        &self.named[key]
    }
}

/// Makes it all in one commit. The roles must be interned.
pub(super) fn seed(ledger: &dyn Ledger, prefix: &str, now: Timestamp) -> anyhow::Result<Seeded> {
    let table = ledger.roles();
    let mut seeder = Seeder { now, prefix, caller: caller(&table)?, change: Change::default() };
    let (org, owner, named) = northwind(&mut seeder)?;
    let (second, second_owner) = harbour(&mut seeder)?;
    let mut change = seeder.change;
    change.events.sort_by_key(|event| event.at);
    ledger.commit(change).wait()?;
    Ok(Seeded { org, owner, second, second_owner, named })
}

/// The number of the role that the demo's route needs.
pub(super) fn caller(table: &RoleTable) -> anyhow::Result<RoleId> {
    let name: RoleName = CALLER.parse()?;
    table.id(&name).context("the demo's role has no number")
}

type Named = HashMap<&'static str, Issued>;

/// Governed, its policies off: all that a list can show.
fn northwind(seeder: &mut Seeder<'_>) -> anyhow::Result<(OrgId, Issued, Named)> {
    let org = seeder.org("Northwind Traders", 400, Policies::default())?;
    let calls = |role| Held { role, calls: true };
    let mut olivia = seeder.user(org, "Olivia Ortega", 400, calls(RoleId::ORG_OWNER))?;
    olivia.operator = true;
    let adam = seeder.user(org, "Adam Abara", 390, calls(RoleId::ORG_ADMIN))?;
    let mia = seeder.user(org, "Mia Moreau", 300, calls(RoleId::ORG_MEMBER))?;
    let plain = Held { role: RoleId::ORG_MEMBER, calls: false };
    let max = seeder.user(org, "Max Mustermann", 120, plain)?;
    let mut dora = seeder.user(org, "Dora Dietrich", 350, calls(RoleId::ORG_MEMBER))?;

    let owner = seeder.token(&olivia, Seed::new("Olivia's dashboard", 30, 180).used(0, 412))?;
    let mut named = Named::new();
    named.insert("live", seeder.token(&mia, Seed::new("ci-deploy", 90, 365).used(0, 12_841))?);
    let leaked = Off { days_ago: 2, by: olivia.id, reason: "Its secret was in a build log" };
    let seed = Seed::new("nightly-report", 60, 365).used(2, 58).deactivated(leaked);
    named.insert("deactivated", seeder.token(&mia, seed)?);
    let seed = Seed::new("spring-campaign", 100, 90).used(11, 9_310);
    named.insert("expired", seeder.token(&adam, seed)?);
    named.insert("never_used", seeder.token(&mia, Seed::new("laptop", 1, 180))?);
    let seed = Seed::new("profile-only", 14, 30).used(3, 7);
    named.insert("wrong_scope", seeder.token(&max, seed)?);

    let lost = Off { days_ago: 20, by: mia.id, reason: "The laptop was lost" };
    seeder.token(&mia, Seed::new("old-laptop", 200, 365).used(21, 2_204).revoked(lost))?;
    let paused = Off { days_ago: 5, by: max.id, reason: "Not needed over the summer" };
    seeder.token(&max, Seed::new("summer-pause", 40, 365).used(6, 31).deactivated(paused))?;
    seeder.token(&adam, Seed::new("ends-soon", 178, 180).used(0, 77_120))?;
    seeder.token(&dora, Seed::new("dora-scripts", 150, 1825).used(9, 640))?;
    let left = Off { days_ago: 8, by: olivia.id, reason: "Left the company" };
    seeder.deactivate(&mut dora, left);
    for user in [olivia, adam, mia, max, dora] {
        seeder.change.writes.push(Write::User(user));
    }
    seeder.requests(org, 2_900);
    Ok((org, owner, named))
}

/// Governed, both policies on, and older tokens that violate them: they are flagged, not killed.
fn harbour(seeder: &mut Seeder<'_>) -> anyhow::Result<(OrgId, Issued)> {
    let on = |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
    let policies = Policies { idle_ttl: on(30), max_ttl: on(90) };
    let org = seeder.org("Harbour Labs", 700, policies)?;
    let calls = |role| Held { role, calls: true };
    let hana = seeder.user(org, "Hana Holm", 700, calls(RoleId::ORG_OWNER))?;
    let hugo = seeder.user(org, "Hugo Haas", 650, calls(RoleId::ORG_MEMBER))?;
    let ines = seeder.user(org, "Ines Ibarra", 210, calls(RoleId::ORG_MEMBER))?;

    let owner = seeder.token(&hana, Seed::new("Hana's dashboard", 10, 60).used(0, 95))?;
    seeder.token(&hugo, Seed::new("mobile-backend", 20, 90).used(0, 310_442))?;
    // Idle, too long, and both.
    seeder.token(&hugo, Seed::new("batch-import", 60, 90).used(45, 1_022))?;
    seeder.token(&ines, Seed::new("legacy-sync", 110, 730).used(1, 88_010))?;
    seeder.token(&ines, Seed::new("forgotten", 200, 1825))?;
    // Both, but switched off already.
    let cleaned = Off { days_ago: 3, by: hana.id, reason: "Nobody knows what this is for" };
    let seed = Seed::new("unknown-cron", 180, 1825).used(120, 14).deactivated(cleaned);
    seeder.token(&hugo, seed)?;
    // Expired, so it violates nothing.
    seeder.token(&ines, Seed::new("conference-demo", 240, 120).used(130, 51))?;
    for user in [hana, hugo, ines] {
        seeder.change.writes.push(Write::User(user));
    }
    seeder.requests(org, 11_400);
    Ok((org, owner))
}

/// The roles of a user.
#[derive(Clone, Copy)]
struct Held {
    role: RoleId,
    calls: bool,
}

/// A switching off in the past.
#[derive(Clone, Copy)]
struct Off {
    days_ago: u32,
    by: UserId,
    reason: &'static str,
}

#[derive(Clone, Copy)]
enum End {
    None,
    Deactivated(Off),
    Revoked(Off),
}

/// A token to be made. Its scope is all that its owner holds.
#[derive(Clone, Copy)]
struct Seed {
    name: &'static str,
    issued_days_ago: u32,
    life_days: u32,
    usage: Option<(u32, u64)>,
    end: End,
}

impl Seed {
    fn new(name: &'static str, issued_days_ago: u32, life_days: u32) -> Self {
        Self { name, issued_days_ago, life_days, usage: None, end: End::None }
    }

    fn used(mut self, days_ago: u32, count: u64) -> Self {
        self.usage = Some((days_ago, count));
        self
    }

    fn deactivated(mut self, off: Off) -> Self {
        self.end = End::Deactivated(off);
        self
    }

    fn revoked(mut self, off: Off) -> Self {
        self.end = End::Revoked(off);
        self
    }
}

struct Seeder<'a> {
    now: Timestamp,
    prefix: &'a str,
    caller: RoleId,
    change: Change,
}

impl Seeder<'_> {
    fn ago(&self, days: u32) -> Timestamp {
        // Not on the dot, and before the demo began even when it is "today".
        let minutes = 24 * 60 * u64::from(days) + 3 + u64::from(days * 37 % 60);
        self.now.before(Duration::from_mins(minutes))
    }

    fn org(&mut self, name: &str, days_ago: u32, policies: Policies) -> anyhow::Result<OrgId> {
        let at = self.ago(days_ago);
        let id = OrgId::new(at, random()?);
        self.change.writes.push(Write::Organization(Organization {
            id,
            version: Revision::default(),
            name: name.to_owned(),
            governance: Governance::Activated,
            policies,
            created_at: at,
        }));
        self.event(id, at, None, Action::OrganizationCreated, Target::Organization(id), name);
        Ok(id)
    }

    /// A user, still to be written.
    fn user(&mut self, org: OrgId, name: &str, days_ago: u32, held: Held) -> anyhow::Result<User> {
        let at = self.ago(days_ago);
        let mut roles: RoleSet = std::iter::once(held.role).collect();
        if held.calls {
            roles.insert(self.caller);
        }
        let first = name.split(' ').next().unwrap_or(name).to_lowercase();
        let user = User {
            id: UserId::new(at, random()?),
            version: Revision::default(),
            org,
            email: format!("{first}@example.com"),
            name: name.to_owned(),
            roles: closed(&roles),
            operator: false,
            status: UserStatus::Activated(None),
            created_at: at,
            external_id: None,
            modified_at: at,
        };
        self.event(org, at, None, Action::UserCreated, Target::User(user.id), name);
        Ok(user)
    }

    fn deactivate(&mut self, user: &mut User, off: Off) {
        let change = self.status_change(off, true);
        let (at, target) = (change.at, Target::User(user.id));
        let name = user.name.clone();
        self.event(user.org, at, Some(off.reason), Action::UserDeactivated, target, &name);
        user.status = UserStatus::Deactivated(change);
    }

    fn token(&mut self, owner: &User, seed: Seed) -> anyhow::Result<Issued> {
        let at = self.ago(seed.issued_days_ago);
        let secret = Secret::generate(self.prefix, getrandom::fill).context("no random numbers")?;
        let id = TokenId::new(at, random()?);
        let (org, target) = (owner.org, Target::Token(id));
        self.event(org, at, None, Action::TokenCreated, target, seed.name);
        let status = match seed.end {
            End::None => TokenStatus::Activated(None),
            End::Deactivated(off) => {
                let change = self.status_change(off, off.by != owner.id);
                let action = Action::TokenDeactivated;
                self.event(org, change.at, Some(off.reason), action, target, seed.name);
                TokenStatus::Deactivated(change)
            }
            End::Revoked(off) => {
                let change = self.status_change(off, off.by != owner.id);
                let action = Action::TokenRevoked;
                self.event(org, change.at, Some(off.reason), action, target, seed.name);
                TokenStatus::Revoked(change)
            }
        };
        self.change.writes.push(Write::Token(ApiToken {
            id,
            version: Revision::default(),
            org,
            owner: owner.id,
            created_by: Some(owner.id),
            minted_by: None,
            name: seed.name.to_owned(),
            scope: owner.roles.clone(),
            digest: secret.digest(),
            created_at: at,
            issued_at: at,
            expires_at: Ttl::new(seed.life_days, Unit::Days).end(at),
            ignores: Ignores::default(),
            status,
            former: Vec::new(),
            notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
        }));
        if let Some((days_ago, use_count)) = seed.usage {
            let usage = Usage { use_count, ..Usage::once(self.ago(days_ago)) };
            self.change.writes.push(Write::Usage(id, usage));
        }
        Ok(Issued { id, secret })
    }

    /// Requests of the last weeks, so many on a working day, and of the last hour.
    fn requests(&mut self, org: OrgId, a_day: u64) {
        for days_ago in 1..DAYS_KEPT {
            let at = self.ago(days_ago.into());
            let weekday = Day::of(at).since(Day::of(Timestamp::EPOCH)).rem_euclid(7);
            // 1970-01-01 was a Thursday.
            let is_weekend = matches!(weekday, 2 | 3);
            // Neither even nor at random: every demo looks alike.
            let unevenly = u64::from(days_ago) * 7_919 % 1_000;
            let permitted = a_day * (700 + unevenly / 2) / 1_000;
            let permitted = if is_weekend { permitted / 4 } else { permitted };
            self.verdicts(org, at, permitted, unevenly);
        }
        for minutes_ago in 1..MINUTES_OF_REQUESTS {
            let at = self.now.before(Duration::from_mins(minutes_ago));
            // The square, so that neighbours are not alike.
            let unevenly = minutes_ago * minutes_ago * 617 % 1_000;
            self.verdicts(org, at, a_day * (20 + unevenly / 40) / 1_000, unevenly);
        }
    }

    /// So many requests that were admitted, and some for each hundred that were not.
    fn verdicts(&mut self, org: OrgId, at: Timestamp, permitted: u64, unevenly: u64) {
        let mut verdicts = Verdicts { permitted, ..Verdicts::default() };
        for (reason, one_in) in
            [(Reason::Expired, 31), (Reason::Deactivated, 47), (Reason::InsufficientScope, 83)]
        {
            let known = Reason::ALL.iter().position(|known| *known == reason);
            if let Some(count) = known.and_then(|known| verdicts.denied.get_mut(known)) {
                *count = permitted / one_in * (unevenly % 4);
            }
        }
        self.change.writes.push(Write::Verdicts(org, at, Box::new(verdicts)));
    }

    fn status_change(&self, off: Off, governed: bool) -> StatusChange {
        let reason = Some(off.reason.to_owned());
        StatusChange { at: self.ago(off.days_ago), by: Some(off.by), reason, governed }
    }

    fn event(
        &mut self,
        org: OrgId,
        at: Timestamp,
        reason: Option<&str>,
        action: Action,
        target: Target,
        target_name: &str,
    ) {
        self.change.events.push(Draft {
            org,
            at,
            actor: Actor::System,
            action,
            target,
            target_name: target_name.to_owned(),
            origin: Origin::default(),
            reason: reason.map(str::to_owned),
            changes: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests;
