//! Tokens that were made elsewhere, taken in from lines of text. Offline, by whoever holds the store.
//!
//! A line becomes a token if it could be one here: names, roles, lives and numbers have the limits
//! that they have for everybody. What an organization's policies say of the life of new tokens does
//! not bind these, which are not new: tokens that break a policy are flagged, as ever.
//!
//! **Invariant.** No refusal says what stands in the line: it may be a secret in the wrong place.

use super::{
    Authority, Fields, Occasion, Refusal, Subject, TOKENS_PER_USER_MAX, UNWRITTEN, closed, words,
};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, Write};
use crate::credential;
use crate::governance::catalogue::SCOPE_ROLES_MAX;
use crate::id::{TokenId, UserId};
use crate::inventory::{Column, Line};
use crate::org::{NAME_CHARS_MAX, Organization, StatusChange, User, UserStatus};
use crate::policy::{Ignores, LIFETIME_MONTHS_MAX};
use crate::role::{RoleId, RoleName, RoleSet, RoleTable};
use crate::secret::{self, Digest};
use crate::time::Timestamp;
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, Reuse, TokenStatus, Usage};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

mod digest;

/// What an import is about.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The organization that the tokens will be of.
    pub org: &'a Organization,
    /// The roles that there are.
    pub roles: &'a RoleTable,
    /// What secrets of our own begin with.
    pub prefix: &'a str,
    /// Whether owners who are not there are made.
    pub makes_owners: bool,
    /// The present.
    pub now: Timestamp,
    /// The identities of new tokens begin behind this one.
    pub first_token: TokenId,
    /// The identities of new owners begin behind this one.
    pub first_owner: UserId,
}

/// What became of a line.
#[derive(Debug)]
pub enum Accepted {
    /// A token to be.
    New(Entry),
    /// The organization has a token with this digest already; it stays as it is.
    Known,
}

/// A token to be, in few bytes: there are many.
#[derive(Debug)]
pub struct Entry {
    /// SHA-256 of its secret.
    pub digest: Digest,
    /// Where it stands.
    pub line: u64,
    name: Box<str>,
    owner: u32,
    scope: u32,
    created_at: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
    rest: Option<Box<Rest>>,
}

impl Entry {
    /// The identity that it had before, if it had one.
    #[must_use]
    pub fn id(&self) -> Option<TokenId> {
        self.rest.as_ref()?.id
    }
}

/// What few tokens have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    id: Option<TokenId>,
    status: TokenStatus,
    usage: Usage,
    created_by: Option<UserId>,
    minted_by: Option<TokenId>,
    ignores: Ignores,
}

const UNUSED: Usage =
    Usage { last_used_at: None, use_count: 0, reuse: Reuse { count: 0, last_at: None } };
const NOTHING_MORE: Rest = Rest {
    id: None,
    status: TokenStatus::Activated(None),
    usage: UNUSED,
    created_by: None,
    minted_by: None,
    ignores: Ignores { idle_ttl: None, max_ttl: None },
};

/// An owner of tokens to be.
#[derive(Debug)]
struct Owner {
    user: User,
    is_new: bool,
    /// Whether the roles are those of the file, and not what the tokens need.
    has_roles: bool,
    live_tokens: u32,
}

/// Takes lines in, one after the other.
#[derive(Debug)]
pub struct Intake<'a> {
    order: Order<'a>,
    owners: Vec<Owner>,
    owners_by_email: HashMap<String, u32>,
    scopes: Vec<RoleSet>,
    scopes_by_text: HashMap<String, u32>,
    known: HashSet<Digest>,
    ids: HashSet<TokenId>,
    next_token: u128,
    next_owner: u128,
}

impl<'a> Intake<'a> {
    /// An intake for an organization with these users.
    #[must_use]
    pub fn new(order: Order<'a>, users: Vec<User>) -> Self {
        let owner = |user| Owner { user, is_new: false, has_roles: true, live_tokens: 0 };
        let owners: Vec<Owner> = users.into_iter().map(owner).collect();
        let by_email = (0..).zip(&owners).map(|(at, owner)| (owner.user.email.to_lowercase(), at));
        Self {
            order,
            owners_by_email: by_email.collect(),
            owners,
            scopes: Vec::new(),
            scopes_by_text: HashMap::new(),
            known: HashSet::new(),
            ids: HashSet::new(),
            next_token: order.first_token.bits(),
            next_owner: order.first_owner.bits(),
        }
    }

    /// Learns of a token that the organization has.
    pub fn know(&mut self, token: &ApiToken, owners: &HashMap<UserId, u32>) {
        self.known.insert(token.digest);
        let owner = owners.get(&token.owner).and_then(|&at| self.owners.get_mut(at as usize));
        if let Some(owner) = owner.filter(|_| !matches!(token.status, TokenStatus::Revoked(_))) {
            owner.live_tokens += 1;
        }
    }

    /// Where the users stand whom [`Self::new`] was given, for [`Self::know`].
    #[must_use]
    pub fn places(&self) -> HashMap<UserId, u32> {
        (0..).zip(&self.owners).map(|(at, owner)| (owner.user.id, at)).collect()
    }

    /// How many owners are to be made.
    #[must_use]
    pub fn new_owners(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_new).count()
    }

    /// Takes a line in.
    pub fn accept(&mut self, number: u64, line: &Line<'_>) -> Result<Accepted, Refusal> {
        let digest = self.digest(line)?;
        if self.known.contains(&digest) {
            return Ok(Accepted::Known);
        }
        let name = words::name("name", required(line, Column::Name)?)?;
        let scope = self.scope(line, Column::Scope)?;
        let times = Times::read(line, &self.order)?;
        let rest = rest(line, &self.order)?;
        if rest.id.is_some_and(|id| self.ids.contains(&id)) {
            return Err(invalid(Column::Id, "another line has the same identity"));
        }
        // Last, as it may make an owner.
        let owner = self.owner(line, scope, &rest)?;
        self.ids.extend(rest.id);
        let is_live = !matches!(rest.status, TokenStatus::Revoked(_));
        self.owners[owner as usize].live_tokens += u32::from(is_live);
        let rest = (rest != NOTHING_MORE).then(|| Box::new(rest));
        let name = name.into_boxed_str();
        let line = number;
        Ok(Accepted::New(Entry {
            digest,
            line,
            name,
            owner,
            scope,
            created_at: times.created,
            issued_at: times.issued,
            expires_at: times.expires,
            rest,
        }))
    }

    fn digest(&self, line: &Line<'_>) -> Result<Digest, Refusal> {
        match (line.get(Column::Digest), line.get(Column::Secret)) {
            (Some(_), Some(_)) => {
                Err(invalid(Column::Secret, "the line has a digest too: expected one of them"))
            }
            (Some(text), None) => digest::read(text).ok_or_else(|| {
                invalid(Column::Digest, "expected a SHA-256: 64 hexadecimal digits, or base64")
            }),
            (None, Some(secret)) => {
                let bytes = secret.as_bytes();
                if !credential::is_presentable(bytes) {
                    let message = "expected what a client can present: up to 4,096 visible ASCII \
                                   characters, no space and no comma";
                    return Err(invalid(Column::Secret, message));
                }
                if !secret::plausible(bytes, self.order.prefix) {
                    let message =
                        "it begins like a token of this gateway, and its checksum is wrong";
                    return Err(invalid(Column::Secret, message));
                }
                Ok(Digest::of(bytes))
            }
            (None, None) => Err(invalid(Column::Digest, "expected a digest, or a secret")),
        }
    }

    /// The number of a set of roles.
    fn scope(&mut self, line: &Line<'_>, column: Column) -> Result<u32, Refusal> {
        let text = line.get(column).unwrap_or_default();
        if let Some(&known) = self.scopes_by_text.get(text) {
            return Ok(known);
        }
        let mut scope = RoleSet::empty();
        for (at, name) in text.split_ascii_whitespace().enumerate() {
            let role = name.parse::<RoleName>().ok().and_then(|name| self.order.roles.id(&name));
            let role = role.ok_or_else(|| {
                let message = format!("no such role (number {} of the line's)", at + 1);
                Refusal::invalid(column.name(), message)
            })?;
            if at == SCOPE_ROLES_MAX {
                let message = format!("expected at most {SCOPE_ROLES_MAX} roles");
                return Err(Refusal::invalid(column.name(), message));
            }
            scope.insert(role);
        }
        let number = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        self.scopes.push(scope);
        self.scopes_by_text.insert(text.to_owned(), number);
        Ok(number)
    }

    /// The number of the line's owner, who may take the token.
    fn owner(&mut self, line: &Line<'_>, scope: u32, rest: &Rest) -> Result<u32, Refusal> {
        let email = words::email("owner", required(line, Column::Owner)?)?;
        let key = email.to_lowercase();
        let scope = self.scopes[scope as usize].clone();
        if let Some(&at) = self.owners_by_email.get(&key) {
            let owner = &mut self.owners[at as usize];
            let is_live = !matches!(rest.status, TokenStatus::Revoked(_));
            if is_live && owner.live_tokens >= TOKENS_PER_USER_MAX {
                let message = format!(
                    "a user owns at most {TOKENS_PER_USER_MAX} tokens that are not revoked"
                );
                return Err(invalid(Column::Owner, &message));
            }
            if owner.has_roles {
                return self.held(&scope, at);
            }
            ungoverning(&scope, Column::Scope)?;
            for role in scope.iter() {
                owner.user.roles.insert(role);
            }
            return Ok(at);
        }
        if !self.order.makes_owners {
            let message = "no user of the organization has this address; --make-owners makes one";
            return Err(invalid(Column::Owner, message));
        }
        let name = match line.get(Column::OwnerName) {
            Some(name) => words::name("owner_name", name)?,
            None => email.chars().take_while(|&c| c != '@').take(NAME_CHARS_MAX).collect(),
        };
        let has_roles = line.get(Column::OwnerRoles).is_some();
        let roles = if has_roles {
            let roles = self.scope(line, Column::OwnerRoles)?;
            ungoverning(&self.scopes[roles as usize], Column::OwnerRoles)?
        } else {
            ungoverning(&scope, Column::Scope)?
        };
        let mut roles = roles.clone();
        roles.insert(RoleId::ORG_MEMBER);
        self.next_owner = self.next_owner.wrapping_add(1);
        let user = User {
            id: UserId::from_bits(self.next_owner),
            version: UNWRITTEN,
            org: self.order.org.id,
            email,
            name,
            roles,
            operator: false,
            status: UserStatus::Activated(None),
            created_at: self.order.now,
            external_id: None,
            modified_at: self.order.now,
        };
        let at = u32::try_from(self.owners.len()).unwrap_or(u32::MAX);
        self.owners.push(Owner { user, is_new: true, has_roles, live_tokens: 0 });
        self.owners_by_email.insert(key, at);
        if has_roles { self.held(&scope, at) } else { Ok(at) }
    }

    /// A token never carries a role that its owner lacks.
    fn held(&self, scope: &RoleSet, owner: u32) -> Result<u32, Refusal> {
        let missing = scope.difference(&closed(&self.owners[owner as usize].user.roles));
        if missing.is_empty() {
            return Ok(owner);
        }
        let missing = self.order.roles.scope_text(&missing);
        Err(invalid(Column::Scope, &format!("the owner of the token does not hold {missing}")))
    }

    /// The changes that make the new owners, so many in each.
    pub fn owners(&self, at_a_time: usize) -> impl Iterator<Item = Change> {
        let new: Vec<&User> =
            self.owners.iter().filter(|owner| owner.is_new).map(|owner| &owner.user).collect();
        let changes: Vec<Change> = new
            .chunks(at_a_time)
            .map(|users| {
                let writes = users.iter().map(|user| {
                    let roles = closed(&user.roles);
                    Write::User(User { roles, ..(*user).clone() })
                });
                Change { writes: writes.collect(), ..Change::default() }
            })
            .collect();
        changes.into_iter()
    }

    /// The change that makes tokens. Their identities grow in the order of the entries.
    pub fn tokens(&mut self, entries: Vec<Entry>) -> Change {
        let mut change = Change { writes: Vec::with_capacity(entries.len()), ..Change::default() };
        for entry in entries {
            let rest = entry.rest.map_or(NOTHING_MORE, |rest| *rest);
            self.next_token = self.next_token.wrapping_add(1);
            let id = rest.id.unwrap_or(TokenId::from_bits(self.next_token));
            change.writes.push(Write::Token(ApiToken {
                id,
                version: UNWRITTEN,
                org: self.order.org.id,
                owner: self.owners[entry.owner as usize].user.id,
                created_by: rest.created_by,
                minted_by: rest.minted_by,
                name: entry.name.into_string(),
                scope: self.scopes[entry.scope as usize].clone(),
                digest: entry.digest,
                created_at: entry.created_at,
                issued_at: entry.issued_at,
                expires_at: entry.expires_at,
                ignores: rest.ignores,
                // What it had before its present secret stays where it was.
                former: Vec::new(),
                notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
                status: rest.status,
            }));
            if rest.usage != Usage::default() {
                change.writes.push(Write::Usage(id, rest.usage));
            }
        }
        change
    }
}

/// The audit trail tells of an import as a whole, in one event that is written with its first rows:
/// a million of them would tell nobody anything.
#[must_use]
pub fn event(
    org: &Organization,
    file: &str,
    tokens: usize,
    owners: usize,
    at: &Occasion<'_>,
) -> Change {
    let fields = Fields::default()
        .made("file", file)
        .made("tokens", tokens.to_string())
        .made("owners", owners.to_string());
    let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
    let event = at.event(org.id, Actor::Offline, Action::TokensImported, subject);
    Change { events: vec![event], ..Change::default() }
}

/// Nobody comes to govern on the way.
fn ungoverning(roles: &RoleSet, column: Column) -> Result<&RoleSet, Refusal> {
    if Authority::of(roles) < Authority::Admin {
        return Ok(roles);
    }
    let message =
        "an import makes no org_owner and no org_admin: make the owner of this token first";
    Err(invalid(column, message))
}

/// The times of a token's life.
struct Times {
    created: Timestamp,
    issued: Timestamp,
    expires: Timestamp,
}

impl Times {
    fn read(line: &Line<'_>, order: &Order<'_>) -> Result<Self, Refusal> {
        let created_at = time(line, Column::CreatedAt)?;
        let issued_at = time(line, Column::IssuedAt)?.or(created_at).unwrap_or(order.now);
        let created_at = created_at.unwrap_or(issued_at);
        if issued_at > order.now {
            return Err(invalid(Column::IssuedAt, "it lies in the future"));
        }
        if created_at > issued_at {
            return Err(invalid(Column::CreatedAt, "it is after issued_at"));
        }
        let expires_at = time(line, Column::ExpiresAt)?;
        let expires_at = expires_at.unwrap_or_else(|| order.org.policies.default_end(issued_at));
        if expires_at < issued_at {
            return Err(invalid(Column::ExpiresAt, "it is before issued_at"));
        }
        let latest = issued_at.after_months(LIFETIME_MONTHS_MAX);
        if expires_at > latest {
            let message =
                format!("a token lives at most {LIFETIME_MONTHS_MAX} months, so until {latest}");
            return Err(invalid(Column::ExpiresAt, &message));
        }
        Ok(Self { created: created_at, issued: issued_at, expires: expires_at })
    }
}

fn rest(line: &Line<'_>, order: &Order<'_>) -> Result<Rest, Refusal> {
    let changed_at = time(line, Column::StatusAt)?;
    let governed = match line.get(Column::StatusGoverned) {
        // Then only an owner of the organization activates it: the safer way round.
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(invalid(Column::StatusGoverned, "expected true or false")),
    };
    let change = StatusChange {
        at: changed_at.unwrap_or(order.now),
        by: user(line, Column::StatusBy)?,
        reason: words::reason("status_reason", line.get(Column::StatusReason))?,
        governed,
    };
    let status = match line.get(Column::Status) {
        None | Some("activated") => TokenStatus::Activated(changed_at.map(|_at| change)),
        Some("deactivated") => TokenStatus::Deactivated(change),
        Some("revoked") => TokenStatus::Revoked(change),
        Some(_) => {
            return Err(invalid(Column::Status, "expected activated, deactivated or revoked"));
        }
    };
    let ignores = line.get(Column::Ignores).map_or(Ok(Ignores::default()), serde_json::from_str);
    Ok(Rest {
        id: token(line, Column::Id)?,
        status,
        usage: Usage {
            last_used_at: time(line, Column::LastUsedAt)?,
            use_count: parsed(line, Column::UseCount, "a whole number")?.unwrap_or(0),
            ..UNUSED
        },
        created_by: user(line, Column::CreatedBy)?,
        minted_by: token(line, Column::MintedBy)?,
        ignores: ignores
            .map_err(|_untold| invalid(Column::Ignores, "expected what an export writes"))?,
    })
}

fn required<'l>(line: &'l Line<'_>, column: Column) -> Result<&'l str, Refusal> {
    line.get(column).ok_or_else(|| invalid(column, "expected one"))
}

fn time(line: &Line<'_>, column: Column) -> Result<Option<Timestamp>, Refusal> {
    parsed(line, column, "a time as RFC 3339 writes it, such as 2027-01-31T12:00:00Z")
}

fn token(line: &Line<'_>, column: Column) -> Result<Option<TokenId>, Refusal> {
    parsed(line, column, "the identity of a token, tok_...")
}

fn user(line: &Line<'_>, column: Column) -> Result<Option<UserId>, Refusal> {
    parsed(line, column, "the identity of a user, usr_...")
}

fn parsed<T: FromStr>(line: &Line<'_>, column: Column, what: &str) -> Result<Option<T>, Refusal> {
    let Some(text) = line.get(column) else { return Ok(None) };
    text.parse().map(Some).map_err(|_untold| invalid(column, &format!("expected {what}")))
}

fn invalid(column: Column, message: &str) -> Refusal {
    Refusal::invalid(column.name(), message)
}

#[cfg(test)]
mod tests;
