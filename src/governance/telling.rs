//! What a validation run tells the owners of tokens: what is new since they were told, and what they
//! are warned of. One mail for each of the two, however many tokens it is about.

use super::Occasion;
use crate::id::{TokenId, UserId};
use crate::notice::{self, About, DETAILS_MAX, Detail, Kind};
use crate::org::Organization;
use crate::policy::PolicyKind;
use crate::token::ApiToken;
use crate::validation::{Flag, Told};

/// What the owner of a token has to be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The token.
    pub token: TokenId,
    idle_ttl: Told,
    max_ttl: Told,
}

impl News {
    /// What the run has to tell that keeps this flag, if there is anything.
    #[must_use]
    pub fn of(flag: &Flag) -> Option<Self> {
        let told = |policy| flag.of(policy).map_or(Told::Nothing, |mark| mark.told);
        let (idle_ttl, max_ttl) = (told(PolicyKind::IdleTtl), told(PolicyKind::MaxTtl));
        let is_owed = |told| matches!(told, Told::Found | Told::Warned);
        (is_owed(idle_ttl) || is_owed(max_ttl)).then_some(Self {
            token: flag.token,
            idle_ttl,
            max_ttl,
        })
    }

    const fn told(&self, policy: PolicyKind) -> Told {
        match policy {
            PolicyKind::IdleTtl => self.idle_ttl,
            PolicyKind::MaxTtl => self.max_ttl,
        }
    }

    /// Whether its owner is warned of what follows.
    #[must_use]
    pub fn warns(&self) -> bool {
        PolicyKind::ALL.into_iter().any(|policy| self.told(policy) == Told::Warned)
    }
}

/// The notices to one owner. Of what is new a notice tells the first [`DETAILS_MAX`] lines and how
/// many more there are (`left_out` tokens were not even read for it); of the warnings none is left
/// out, as something follows of each.
#[must_use]
pub fn told(
    org: &Organization,
    owner: UserId,
    news: &[(ApiToken, News)],
    left_out: usize,
    at: &Occasion<'_>,
) -> Vec<notice::Draft> {
    let (mut new, mut warned) = (Vec::new(), Vec::new());
    for (token, news) in news {
        for policy in PolicyKind::ALL {
            let limit = org.policies.of(policy);
            let broken = match policy {
                PolicyKind::IdleTtl => format!("unused for longer than {}", limit.ttl),
                PolicyKind::MaxTtl => format!("lives longer than {}", limit.ttl),
            };
            let line = format!("{} ({}) breaks {policy}: {broken}", token.name, token.id);
            match (news.told(policy), limit.enforcement) {
                (Told::Warned, Some(ladder)) => {
                    let end = ladder.deactivate_after.end(at.now);
                    warned.push(Detail::new("token", format!("{line}; deactivated from {end}")));
                }
                (Told::Warned, None) | (Told::Found, _) => new.push(Detail::new("token", line)),
                (Told::Nothing | Told::Before, _) => {}
            }
        }
    }
    let draft = |kind, details| notice::Draft {
        org: org.id,
        at: at.now,
        kind,
        about: About::Organization,
        to: vec![owner],
        by: None,
        reason: None,
        details,
    };
    let mut drafts: Vec<_> = warned
        .chunks(DETAILS_MAX)
        .map(|part| draft(Kind::EnforcementStep, part.to_vec()))
        .collect();
    let lines = new.len() + left_out;
    if lines > DETAILS_MAX {
        new.truncate(DETAILS_MAX - 1);
        let more = lines - new.len();
        new.push(Detail::new("more", more.to_string()));
    }
    if !new.is_empty() {
        drafts.push(draft(Kind::NewViolations, new));
    }
    drafts
}

#[cfg(test)]
mod tests;
