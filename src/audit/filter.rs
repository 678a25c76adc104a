//! Which events of a trail are asked for.

use super::{Action, Actor, Draft, Target};
use crate::id::{TokenId, UserId};
use crate::time::Timestamp;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorFilter {
    /// This user, with whichever token or session.
    User(UserId),
    /// Somebody on the machine itself.
    Offline,
    /// Bearward itself.
    System,
    /// Somebody whom nobody knows.
    Unknown,
}

/// What must be true of an event. What is not asked for admits every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it.
    pub actor: Option<ActorFilter>,
    /// To what, by its identity.
    pub target: Option<String>,
    /// About this token, or with it.
    pub token: Option<TokenId>,
    /// One of these; any when empty.
    pub actions: Vec<Action>,
    /// Then or later.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether an event is asked for.
    #[must_use]
    pub fn admits(&self, said: &Draft) -> bool {
        self.actor.is_none_or(|actor| actor.is(&said.actor))
            && self.target.as_ref().is_none_or(|target| *target == said.target.id())
            && self.token.is_none_or(|token| concerns(said, token))
            && (self.actions.is_empty() || self.actions.contains(&said.action))
            && self.since.is_none_or(|since| since <= said.at)
            && self.until.is_none_or(|until| said.at < until)
    }
}

impl ActorFilter {
    fn is(self, actor: &Actor) -> bool {
        match (self, actor) {
            (Self::User(asked), Actor::User { user, .. } | Actor::Session { user }) => {
                asked == *user
            }
            (Self::Offline, Actor::Offline)
            | (Self::System, Actor::System)
            | (Self::Unknown, Actor::Unknown) => true,
            (Self::User(_) | Self::Offline | Self::System | Self::Unknown, _) => false,
        }
    }
}

fn concerns(said: &Draft, asked: TokenId) -> bool {
    said.target == Target::Token(asked)
        || matches!(said.actor, Actor::User { token, .. } if token == asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OrgId;

    #[test]
    fn an_event_is_asked_for_or_not() {
        let (user, token) = (UserId::from_bits(1), TokenId::from_bits(2));
        let (org, at) = (OrgId::from_bits(3), Timestamp::from_millis(1000));
        let actor = Actor::User { user, token };
        let target = Target::Token(TokenId::from_bits(4));
        let said = Draft::new(org, at, actor, Action::TokenRevoked, target);
        let millis = Timestamp::from_millis;
        let any = Filter::default;
        for (filter, admits) in [
            (any(), true),
            (Filter { actor: Some(ActorFilter::User(user)), ..any() }, true),
            (Filter { actor: Some(ActorFilter::User(UserId::from_bits(9))), ..any() }, false),
            (Filter { actor: Some(ActorFilter::System), ..any() }, false),
            (Filter { actor: Some(ActorFilter::Offline), ..any() }, false),
            (Filter { target: Some(said.target.id()), ..any() }, true),
            (Filter { target: Some(token.to_string()), ..any() }, false),
            (Filter { token: Some(token), ..any() }, true),
            (Filter { token: Some(TokenId::from_bits(4)), ..any() }, true),
            (Filter { token: Some(TokenId::from_bits(5)), ..any() }, false),
            (Filter { actions: vec![Action::UserCreated, Action::TokenRevoked], ..any() }, true),
            (Filter { actions: vec![Action::UserCreated], ..any() }, false),
            (Filter { since: Some(millis(1000)), until: Some(millis(1001)), ..any() }, true),
            (Filter { since: Some(millis(1001)), ..any() }, false),
            (Filter { until: Some(millis(1000)), ..any() }, false),
            (Filter { since: Some(millis(999)), target: Some(String::new()), ..any() }, false),
        ] {
            assert_eq!(filter.admits(&said), admits, "{filter:?}");
        }
        let session = Draft { actor: Actor::Session { user }, ..said.clone() };
        assert!(Filter { actor: Some(ActorFilter::User(user)), ..any() }.admits(&session));
        assert!(!Filter { token: Some(token), ..any() }.admits(&session));
        let offline = Draft { actor: Actor::Offline, ..said.clone() };
        assert!(Filter { actor: Some(ActorFilter::Offline), ..any() }.admits(&offline));
        let system = Draft { actor: Actor::System, ..said };
        assert!(Filter { actor: Some(ActorFilter::System), ..any() }.admits(&system));
    }
}
