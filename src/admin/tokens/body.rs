//! Tokens in JSON.

use crate::admin::desk::Desk;
use crate::admin::scope::Scope;
use crate::admin::users::StatusChangeBody;
use crate::directory::{Person, TokenRow};
use crate::id::{TokenId, UserId};
use crate::policy::{Policies, PolicyKind, Severity};
use crate::time::{Timestamp, Ttl};
use crate::token::Standing;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use utoipa::PartialSchema as _;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};

/// A user as the owner or the maker of a token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Person)]
pub(crate) struct PersonBody {
    #[schema(value_type = String)]
    id: UserId,
    /// Null for a user who was removed, or who is of another organization.
    #[schema(required)]
    name: Option<String>,
    /// Null for a user who was removed, or who is of another organization.
    #[schema(required)]
    email: Option<String>,
}

impl From<Person> for PersonBody {
    fn from(person: Person) -> Self {
        Self { id: person.id, name: person.name, email: person.email }
    }
}

/// Why a token is refused although it is activated and alive.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Blocked {
    OwnerDeactivated,
}

/// A policy that a token breaks.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Violation)]
struct ViolationBody {
    policy: PolicyKind,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// By how much: beyond the idle limit now, or beyond the longest life.
    over_by_seconds: u64,
    /// Until when an owner has it ignored.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ignored_until: Option<Timestamp>,
    /// How much hangs on the token by its use: `medium` if it was used within 30 days, `high` if
    /// within 7 days and at least 100 times a day on average.
    severity: Severity,
}

/// Use of secrets after their rotation.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Reuse)]
struct ReuseBody {
    /// How many requests, ever.
    count: u64,
    /// The last of them; null if there was none.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_at: Option<Timestamp>,
}

/// A secret that was rotated away and is still good.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FormerSecret)]
struct FormerSecretBody {
    /// When another took its place.
    #[schema(value_type = String, format = DateTime)]
    rotated_at: Timestamp,
    /// When it is over, at the latest.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    /// Whether the first use of the new one ends it.
    until_first_use: bool,
}

/// An API token. Its secret is not in it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    #[schema(value_type = String, example = "tok_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(crate) id: TokenId,
    #[schema(example = "ci")]
    name: String,
    /// Whose token it is.
    owner: PersonBody,
    /// Who made it; null if it was made on the machine itself.
    #[schema(required)]
    created_by: Option<PersonBody>,
    /// The roles that it carries, as far as its owner holds them.
    scope: Scope,
    status: Standing,
    /// The last change of the status; null if there was none.
    #[schema(required)]
    status_changed: Option<StatusChangeBody>,
    /// Why it is refused although it is activated; null if it is not.
    #[schema(required)]
    blocked: Option<Blocked>,
    /// Whether its life is over.
    expired: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    /// At this instant it is dead.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The last admitted request; null if there was none.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Admitted requests, ever.
    use_count: u64,
    /// Requests that showed a secret which the token had before, admitted or not.
    reuse: ReuseBody,
    /// The secret before the present one, while it is good; null if it is not.
    #[schema(required)]
    former_secret: Option<FormerSecretBody>,
    /// How many days before its end its owner is told of it.
    notify_before_expiry: Vec<u16>,
    /// The policies that it breaks now.
    violations: Vec<ViolationBody>,
}

impl TokenBody {
    /// A token, judged by the policies as they are applied now.
    pub(crate) fn new(row: TokenRow, policies: &Policies, desk: &Desk<'_>) -> Self {
        let TokenRow { token, usage, owner, created_by } = row;
        let violations = policies.violations(&token, &usage, desk.now());
        let violations = violations.into_iter().map(|violation| ViolationBody {
            policy: violation.policy,
            since: violation.since,
            over_by_seconds: violation.over_by.as_secs(),
            ignored_until: violation.ignored_until,
            severity: violation.severity,
        });
        let former_secret = token.overlapping(desk.now()).map(|former| FormerSecretBody {
            rotated_at: former.rotated_at,
            ends_at: former.ends_at.min(token.expires_at),
            until_first_use: former.until_first_use,
        });
        Self {
            id: token.id,
            scope: Scope::named(&token.scope, desk.roles()),
            status: token.standing(),
            status_changed: token.status_change().map(Into::into),
            blocked: owner.deactivated.then_some(Blocked::OwnerDeactivated),
            expired: token.is_expired(desk.now()),
            created_at: token.created_at,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            name: token.name,
            notify_before_expiry: token.notify_before_expiry,
            owner: owner.into(),
            created_by: created_by.map(Into::into),
            last_used_at: usage.last_used_at,
            use_count: usage.use_count,
            reuse: ReuseBody { count: usage.reuse.count, last_at: usage.reuse.last_at },
            former_secret,
            violations: violations.collect(),
        }
    }
}

/// How long a token shall live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TtlWish {
    Ttl(Ttl),
    Longest,
}

impl<'de> Deserialize<'de> for TtlWish {
    /// A choice among shapes would be refused without naming what is wrong in the one that was
    /// meant.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TtlVisitor)
    }
}

struct TtlVisitor;

impl<'de> Visitor<'de> for TtlVisitor {
    type Value = TtlWish;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value and a unit, or \"longest\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TtlWish, E> {
        if text == "longest" {
            return Ok(TtlWish::Longest);
        }
        Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TtlWish, A::Error> {
        Ttl::deserialize(MapAccessDeserializer::new(map)).map(TtlWish::Ttl)
    }
}

impl utoipa::PartialSchema for TtlWish {
    fn schema() -> RefOr<Schema> {
        let longest = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["longest"]));
        OneOfBuilder::new().item(Ref::from_schema_name("Ttl")).item(longest).into()
    }
}

impl utoipa::ToSchema for TtlWish {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Ttl::name().into_owned(), Ttl::schema()));
        Ttl::schemas(schemas);
    }
}

/// A new token. Its life is said by `ttl` or by `expires_at`; if by neither, it is six months, or
/// the policy's maximum if that is shorter.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// 1 to 64 characters.
    #[schema(example = "ci", min_length = 1, max_length = 64)]
    pub(crate) name: String,
    /// How long it lives: 1 minute to 60 months, or `"longest"` for all that policy allows.
    pub(crate) ttl: Option<TtlWish>,
    /// When it dies.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_at: Option<Timestamp>,
    /// The roles that it carries: none that the calling token or the owner lacks.
    pub(crate) scope: Scope,
    /// Identity of the user whose token it is, or `me`. Only owners make tokens for others.
    #[schema(example = "me")]
    pub(crate) owner: Option<String>,
    /// How many days before its end its owner is told of it: at most five different numbers from 1
    /// to 365; 7 and 1 if nothing is said.
    #[schema(max_items = 5, example = json!([7, 1]))]
    pub(crate) notify_before_expiry: Option<Vec<u16>>,
}

/// A change of a token. What is left out stays as it is.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenChange {
    /// 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub(super) name: Option<String>,
    /// All roles that it is to carry: none that it does not carry now.
    pub(super) scope: Option<Scope>,
    /// How many days before its end its owner is told of it, all of them.
    #[schema(max_items = 5)]
    pub(super) notify_before_expiry: Option<Vec<u16>>,
}

/// A new token and its secret.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CreatedToken {
    pub(super) token: TokenBody,
    /// The secret. It is shown this once; null when the request is repeated under its
    /// `Idempotency-Key`.
    #[schema(required, example = "bwt_...")]
    pub(super) secret: Option<String>,
}
