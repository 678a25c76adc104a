//! Every token of an organization at once, for a file.

use super::{Authority, Caller, Fields, Occasion, Plan, Refusal, Subject, governed};
use crate::audit::{Action, Target};
use crate::org::Organization;

/// An export of the tokens of an organization.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The organization.
    pub org: &'a Organization,
}

impl Export<'_> {
    /// Permits it: to owners, while they govern.
    pub fn permitted(self, by: &Caller) -> Result<(), Refusal> {
        by.within(self.org.id)?;
        by.needs(Authority::Owner)?;
        governed(self.org)
    }

    /// Plans the event, which is written before the first line.
    pub fn plan(self, digests: bool, by: &Caller, at: &Occasion<'_>) -> Result<Plan<()>, Refusal> {
        self.permitted(by)?;
        let fields = Fields::default().made("digests", digests.to_string());
        let subject = Subject::new(Target::Organization(self.org.id), &self.org.name, fields);
        let mut change = by.change();
        change.events.push(at.event(self.org.id, by.actor(), Action::TokensExported, subject));
        Ok(Plan::Change(Box::new(change), ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::Forbidden;
    use crate::governance::tests::{World, forbidden};
    use crate::org::Governance;

    #[test]
    fn owners_export_while_they_govern_and_the_trail_tells() {
        let mut world = World::new();
        for user in [&world.admin, &world.member] {
            let plan = Export { org: &world.org }.plan(false, &world.by(user), &world.occasion());
            assert_eq!(forbidden(plan), Forbidden::NeedsOwner);
        }
        let by = world.by(&world.owner);
        let plan = Export { org: &world.org }.plan(true, &by, &world.occasion());
        let Ok(Plan::Change(change, ())) = plan else { panic!("refused") };
        assert_eq!(change.events[0].action, Action::TokensExported);
        assert!(change.writes.is_empty() && !change.restrictive && !change.requires.is_empty());
        world.org.governance = Governance::Deactivated;
        let plan = Export { org: &world.org }.plan(false, &by, &world.occasion());
        assert_eq!(forbidden(plan), Forbidden::GovernanceDeactivated);
    }
}
