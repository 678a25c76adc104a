//! An event as it is told: one JSON object, in the API and in a line of an export.
//!
//! **Invariant.** Nothing of an event is lost in it: who has the line and the key can prove the
//! event without the store.

use super::chain::Link;
use super::{Action, Actor, Draft, Event, FieldChange, Origin, Target};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AuditActor)]
pub enum ActorLine {
    /// A user, with a token.
    User {
        /// The user.
        #[schema(value_type = String)]
        user: UserId,
        /// The token.
        #[schema(value_type = String)]
        token: TokenId,
    },
    /// Somebody on the machine itself.
    Offline,
    /// Bearward itself.
    System,
    /// Somebody whom nobody knows.
    Unknown,
    /// A user, in a session that the identity provider vouched for.
    Session {
        /// The user.
        #[schema(value_type = String)]
        user: UserId,
    },
}

/// Of what kind it is that something was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TargetKind)]
pub enum TargetKind {
    /// An organization.
    Organization,
    /// A user.
    User,
    /// A token.
    Token,
    /// A webhook.
    Webhook,
    /// A notice.
    Notice,
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditTarget)]
pub struct TargetLine {
    /// Of what kind it is.
    pub r#type: TargetKind,
    /// Its identity.
    pub id: String,
    /// Its name at that time.
    pub name: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditEvent)]
pub struct Line {
    /// Its place in the trail, from 1 without a gap.
    pub seq: u64,
    /// The organization.
    #[schema(value_type = String)]
    pub org: OrgId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub actor: ActorLine,
    /// What.
    pub action: Action,
    /// To what.
    pub target: TargetLine,
    /// From where; null for what was done on the machine itself.
    #[schema(required)]
    pub address: Option<String>,
    /// The `X-Request-Id` of the request.
    #[schema(required)]
    pub request_id: Option<String>,
    /// Why, in the words of who did it.
    #[schema(required)]
    pub reason: Option<String>,
    /// What changed, or what is told of it.
    pub changes: Vec<FieldChange>,
    /// The number of the commit that wrote it.
    pub revision: u64,
    /// The hash of the event before it.
    #[schema(value_type = String)]
    pub previous_hash: Link,
    /// What chains it to the event before it: HMAC-SHA-256 under the gateway's key.
    #[schema(value_type = String)]
    pub hash: Link,
}

impl From<Event> for Line {
    fn from(Event { seq, revision, said, previous, link }: Event) -> Self {
        let r#type = match said.target {
            Target::Organization(_) => TargetKind::Organization,
            Target::User(_) => TargetKind::User,
            Target::Token(_) => TargetKind::Token,
            Target::Webhook(_) => TargetKind::Webhook,
            Target::Notice(_) => TargetKind::Notice,
        };
        Self {
            seq,
            org: said.org,
            at: said.at,
            actor: match said.actor {
                Actor::User { user, token } => ActorLine::User { user, token },
                Actor::Offline => ActorLine::Offline,
                Actor::System => ActorLine::System,
                Actor::Unknown => ActorLine::Unknown,
                Actor::Session { user } => ActorLine::Session { user },
            },
            action: said.action,
            target: TargetLine { r#type, id: said.target.id(), name: said.target_name },
            address: said.origin.address.map(|address| address.to_string()),
            request_id: said.origin.request_id,
            reason: said.reason,
            changes: said.changes,
            revision: revision.0,
            previous_hash: previous,
            hash: link,
        }
    }
}

/// Why a line is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not what an event has there")]
pub struct NotAnEvent(&'static str);

impl TryFrom<Line> for Event {
    type Error = NotAnEvent;

    fn try_from(line: Line) -> Result<Self, NotAnEvent> {
        let target = match line.target.r#type {
            TargetKind::Organization => line.target.id.parse().map(Target::Organization),
            TargetKind::User => line.target.id.parse().map(Target::User),
            TargetKind::Token => line.target.id.parse().map(Target::Token),
            TargetKind::Webhook => line.target.id.parse().map(Target::Webhook),
            TargetKind::Notice => line.target.id.parse().map(Target::Notice),
        };
        let address = line.address.map(|address| address.parse()).transpose();
        Ok(Self {
            seq: line.seq,
            revision: Revision(line.revision),
            said: Draft {
                org: line.org,
                at: line.at,
                actor: match line.actor {
                    ActorLine::User { user, token } => Actor::User { user, token },
                    ActorLine::Offline => Actor::Offline,
                    ActorLine::System => Actor::System,
                    ActorLine::Unknown => Actor::Unknown,
                    ActorLine::Session { user } => Actor::Session { user },
                },
                action: line.action,
                target: target.map_err(|_unspecific| NotAnEvent("target.id"))?,
                target_name: line.target.name,
                origin: Origin {
                    address: address.map_err(|_unspecific| NotAnEvent("address"))?,
                    request_id: line.request_id,
                },
                reason: line.reason,
                changes: line.changes,
            },
            previous: line.previous_hash,
            link: line.hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn an_event(actor: Actor, target: Target) -> Event {
        let change =
            FieldChange { field: "name".to_owned(), before: None, after: Some("ü\n".to_owned()) };
        let said = Draft {
            target_name: "=1+1,\"x\"".to_owned(),
            reason: Some("left".to_owned()),
            changes: vec![change],
            ..Draft::new(
                OrgId::from_bits(5),
                Timestamp::from_millis(1_800_000_000_001),
                actor,
                Action::TokenDeactivated,
                target,
            )
        };
        let (previous, link) = (Link::from_bytes([1; 32]), Link::from_bytes([0xfe; 32]));
        Event { seq: 3, revision: Revision(9), said, previous, link }
    }

    #[test]
    fn nothing_is_lost_in_a_line() {
        let (user, token) = (UserId::from_bits(1), TokenId::from_bits(2));
        let actors = [
            Actor::User { user, token },
            Actor::Offline,
            Actor::System,
            Actor::Unknown,
            Actor::Session { user },
        ];
        let targets =
            [Target::Organization(OrgId::from_bits(3)), Target::User(user), Target::Token(token)];
        for actor in actors {
            for target in targets {
                let mut event = an_event(actor.clone(), target);
                for address in [None, Some([127, 0, 0, 1].into()), "::1".parse().ok()] {
                    event.said.origin.address = address;
                    let json = serde_json::to_string(&Line::from(event.clone())).expect("JSON");
                    let line: Line = serde_json::from_str(&json).expect("a line");
                    assert_eq!(Event::try_from(line), Ok(event.clone()));
                }
            }
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let line = Line::from(an_event(Actor::System, Target::User(UserId::from_bits(1))));
        let wrong = Line { address: Some("localhost".to_owned()), ..line.clone() };
        assert_eq!(Event::try_from(wrong), Err(NotAnEvent("address")));
        let target = TargetLine { r#type: TargetKind::Token, ..line.target.clone() };
        assert_eq!(Event::try_from(Line { target, ..line }), Err(NotAnEvent("target.id")));
    }
}
