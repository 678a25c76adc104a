//! Events of the audit trail, as people say them.

use super::when::When;
use crate::admin::desk::Desk;
use crate::audit::{Action, ActorLine, Line, TargetKind};
use crate::id::UserId;

/// An event.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) when: When,
    pub(super) what: String,
    pub(super) who: String,
    /// The name of what it was done to, and its page.
    pub(super) target: String,
    pub(super) target_page: Option<String>,
    pub(super) address: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) changes: Vec<String>,
}

impl Told {
    pub(super) fn of(line: Line, desk: &Desk<'_>) -> Self {
        let nothing = || "nothing".to_owned();
        let target_page = match line.target.r#type {
            TargetKind::Token => Some(format!("/tokens/{}", line.target.id)),
            TargetKind::User => Some(format!("/governance/users/{}", line.target.id)),
            TargetKind::Organization | TargetKind::Webhook | TargetKind::Notice => None,
        };
        Self {
            when: When::of(line.at, desk.now()),
            what: words(line.action),
            who: match line.actor {
                ActorLine::User { user, .. } | ActorLine::Session { user } => person(desk, user),
                ActorLine::Offline => "the machine".to_owned(),
                ActorLine::System => "Bearward".to_owned(),
                ActorLine::Unknown => "somebody unknown".to_owned(),
            },
            target: line.target.name,
            target_page,
            address: line.address,
            reason: line.reason,
            changes: line
                .changes
                .into_iter()
                .map(|change| match (change.before, change.after) {
                    (None, Some(after)) => format!("{}: {after}", change.field),
                    (before, after) => format!(
                        "{}: {} → {}",
                        change.field,
                        before.unwrap_or_else(nothing),
                        after.unwrap_or_else(nothing)
                    ),
                })
                .collect(),
        }
    }
}

/// The name of a user.
pub(super) fn person(desk: &Desk<'_>, user: UserId) -> String {
    desk.user(user).map_or_else(|_removed| "a removed user".to_owned(), |user| user.name)
}

/// An action as people say it.
pub(super) fn words(action: Action) -> String {
    said(&action.to_string())
}

/// `token.former_secret_ended` as people say it.
pub(super) fn said(name: &str) -> String {
    let words = name.replace(['.', '_'], " ");
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_said_in_words() {
        assert_eq!(words(Action::FormerSecretEnded), "Token former secret ended");
        assert_eq!(words(Action::PoliciesUpdated), "Policies updated");
    }
}
