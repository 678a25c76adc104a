//! A backup against the store of today.

use super::super::progress;
use bearward::audit::Event;
use bearward::governance::backup::{Known, Regained, regained};
use bearward::id::OrgId;
use bearward::org::Organization;
use bearward::role::{RoleSet, RoleTable};
use bearward::store::redb::RedbStore;
use bearward::store::{Facts as _, Found, Ledger as _, StoreError};
use bearward::time::Timestamp;
use std::collections::HashMap;

/// The lost changes that are shown of each organization, the latest ones.
const LOST_SHOWN_MAX: usize = 200;
/// Events that are read at a time.
const EVENTS_PER_PAGE: usize = 1_000;

/// What comes back and what is lost.
#[derive(Debug)]
pub(super) struct Comparison {
    /// How many tokens of each organization of the backup come back to life or regain roles.
    counts: HashMap<OrgId, u64>,
    /// These tokens, as they are shown; none where there is no store of today.
    pub(super) rows: Vec<Vec<String>>,
    /// Changes that the backup knows nothing of.
    pub(super) lost: u64,
    /// The latest of them, as they are shown.
    pub(super) lost_rows: Vec<Vec<String>>,
    /// Whether the backup is a former state of the store of today.
    pub(super) is_kin: bool,
}

impl Comparison {
    pub(super) fn of(
        copy: &RedbStore,
        today: Option<&RedbStore>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut comparison = Self {
            counts: HashMap::new(),
            rows: Vec::new(),
            lost: 0,
            lost_rows: Vec::new(),
            is_kin: true,
        };
        comparison.hold_tokens(copy, today, now)?;
        if let Some(today) = today {
            for org in today.organizations()? {
                comparison.hold_events(copy, today, &org)?;
            }
        }
        Ok(comparison)
    }

    /// How many tokens come back to life or regain roles.
    pub(super) fn regained(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many of one organization do.
    pub(super) fn regained_in(&self, org: OrgId) -> u64 {
        self.counts.get(&org).copied().unwrap_or(0)
    }

    /// Each secret that the backup knows, whatever token it is of.
    fn hold_tokens(
        &mut self,
        copy: &RedbStore,
        today: Option<&RedbStore>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let names: HashMap<OrgId, String> =
            copy.organizations()?.into_iter().map(|org| (org.id, org.name)).collect();
        let numbering = today.map(|today| Numbering::of(&today.roles(), &copy.roles()));
        let roles = copy.roles();
        let bar = progress::counting("secrets compared");
        let mut failed = None;
        copy.visit_digests(&mut |digest| {
            bar.inc(1);
            if failed.is_some() {
                return;
            }
            let looked = copy.lookup(digest).and_then(|(_, was)| {
                let is = today.map(|today| today.lookup(digest)).transpose()?;
                Ok((was, is.and_then(|(_, is)| is)))
            });
            let told = looked.and_then(|(was, is)| {
                let Some(was) = was else { return Ok(()) };
                let is = is.map(|is| match &numbering {
                    Some(numbering) => numbering.renumbered(is),
                    None => is,
                });
                let Some(why) = regained(known(&was), is.as_ref().map(known), now) else {
                    return Ok(());
                };
                *self.counts.entry(was.org.id).or_default() += 1;
                if today.is_some() {
                    let org = names.get(&was.org.id).cloned().unwrap_or_default();
                    self.rows.push(row(copy, &was, org, &why, &roles)?);
                }
                Ok(())
            });
            failed = told.err();
        })?;
        bar.finish_and_clear();
        failed.map_or(Ok(()), Err)
    }

    /// The changes of an organization that the backup does not hold.
    fn hold_events(
        &mut self,
        copy: &RedbStore,
        today: &RedbStore,
        org: &Organization,
    ) -> Result<(), StoreError> {
        let last = copy.events(org.id, None, 1)?.pop();
        let known = last.as_ref().map_or(0, |last| last.seq);
        if let Some(last) = &last {
            // What was the backup's last event must be the same event in the store of today.
            let same = today.events(org.id, Some(last.seq + 1), 1)?.pop();
            self.is_kin &= same.as_ref() == Some(last);
        }
        let known = if self.is_kin { known } else { 0 };
        let mut before = None;
        let mut shown = 0;
        loop {
            let page = today.events(org.id, before, EVENTS_PER_PAGE)?;
            let Some(oldest) = page.last().map(|event| event.seq) else { return Ok(()) };
            for event in page.iter().take_while(|event| event.seq > known) {
                self.lost += 1;
                if shown < LOST_SHOWN_MAX {
                    shown += 1;
                    self.lost_rows.push(lost(event, &org.name));
                }
            }
            if oldest <= known + 1 {
                return Ok(());
            }
            before = Some(oldest);
        }
    }
}

fn known(found: &Found) -> Known<'_> {
    (&found.token, &found.secret, &found.owner, &found.org)
}

fn row(
    copy: &RedbStore,
    was: &Found,
    org: String,
    why: &Regained,
    roles: &RoleTable,
) -> Result<Vec<String>, StoreError> {
    let name = copy.token(was.token.id)?.map_or_else(String::new, |(token, _)| token.name);
    let owner = copy.user(was.owner.id)?.map_or_else(String::new, |user| user.email);
    let (what, because) = match why {
        Regained::Unknown => ("its life".to_owned(), "its secret is unknown".to_owned()),
        Regained::Dead(reason) => ("its life".to_owned(), reason.as_str().replace('_', " ")),
        Regained::Roles(lost) => (roles.scope_text(lost), "it carries less".to_owned()),
    };
    Ok(vec![was.token.id.to_string(), name, owner, org, what, because])
}

fn lost(event: &Event, org: &str) -> Vec<String> {
    let action = serde_json::to_value(event.said.action).ok();
    let action = action.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let said = &event.said;
    vec![said.at.to_string(), action.to_owned(), said.target_name.clone(), org.to_owned()]
}

/// How another store's roles are numbered here. A store only ever adds roles, so there is nothing to
/// do between two states of the same one.
enum Numbering {
    Same,
    Other(Vec<Option<bearward::role::RoleId>>),
}

impl Numbering {
    fn of(from: &RoleTable, to: &RoleTable) -> Self {
        let shared = from.names().len().min(to.names().len());
        if from.names()[..shared] == to.names()[..shared] {
            return Self::Same;
        }
        Self::Other(from.names().iter().map(|name| to.id(name)).collect())
    }

    fn renumbered(&self, found: Found) -> Found {
        let Self::Other(numbers) = self else { return found };
        let number = |roles: &RoleSet| -> RoleSet {
            roles.iter().filter_map(|role| *numbers.get(role.0 as usize)?).collect()
        };
        let Found { mut token, secret, mut owner, org } = found;
        token.scope = number(&token.scope);
        owner.roles = number(&owner.roles);
        Found { token, secret, owner, org }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bearward::role::RoleId;

    fn table(names: &[&str]) -> RoleTable {
        let mut table = RoleTable::new();
        for name in names {
            table.intern(name.parse().expect("a role"));
        }
        table
    }

    #[test]
    fn roles_are_compared_by_name_where_the_numbers_differ() {
        let (from, to) = (table(&["a/x", "a/y", "a/z"]), table(&["a/y", "a/x"]));
        let Numbering::Other(numbers) = Numbering::of(&from, &to) else { panic!("they differ") };
        assert_eq!(numbers[3..], [Some(RoleId(4)), Some(RoleId(3)), None]);
        assert!(matches!(Numbering::of(&table(&["a/x"]), &from), Numbering::Same));
        assert!(matches!(Numbering::of(&from, &table(&["a/x"])), Numbering::Same));
    }
}
