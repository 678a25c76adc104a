//! Roles: names that people and configurations use, and small interned numbers that decisions use.
//!
//! A role's number is given once, by the store, and never again changed or reused, so a set of
//! roles is a set of bits and stays true across reloads.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// Longest name of a role or of a service.
pub const NAME_CHARS_MAX: usize = 64;
/// How many roles one store may ever intern.
pub const ROLES_MAX: usize = 65_536;

/// A role's interned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoleId(pub u32);

impl RoleId {
    /// `org_owner`: the whole organization.
    pub const ORG_OWNER: Self = Self(0);
    /// `org_admin`: reads all tokens, manages users who are not owners.
    pub const ORG_ADMIN: Self = Self(1);
    /// `org_member`: `/me` and their own tokens.
    pub const ORG_MEMBER: Self = Self(2);
}

/// The name of a role or of a service: `[a-z0-9_:-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {NAME_CHARS_MAX} characters, each of a-z, 0-9, `_`, `:` or `-`")]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':' | b'-');
        if (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(NotAName)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a role is called: a role of organizations, or a role of one service.
///
/// As text, and in `scope` values, an organization role is its bare name and a service role is
/// `service/role`; neither name can contain a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// A role in the organization itself.
    Organization(Name),
    /// A role in one of the services behind the gateway.
    Service {
        /// The service.
        service: Name,
        /// The role in it.
        role: Name,
    },
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(name) => name.fmt(f),
            Self::Service { service, role } => write!(f, "{service}/{role}"),
        }
    }
}

impl FromStr for RoleName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None => text.parse().map(Self::Organization),
            Some((service, role)) => {
                Ok(Self::Service { service: service.parse()?, role: role.parse()? })
            }
        }
    }
}

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A set of roles, as bits. The first 64 roles of a store take no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleSet {
    low: u64,
    high: Vec<u64>,
}

impl RoleSet {
    /// The set without a role.
    #[must_use]
    pub const fn empty() -> Self {
        Self { low: 0, high: Vec::new() }
    }

    /// Adds a role.
    pub fn insert(&mut self, role: RoleId) {
        let (word, bit) = (role.0 as usize / 64, 1 << (role.0 % 64));
        if word == 0 {
            self.low |= bit;
        } else {
            if self.high.len() < word {
                self.high.resize(word, 0);
            }
            self.high[word - 1] |= bit;
        }
    }

    /// Whether the role is in the set.
    #[must_use]
    pub fn contains(&self, role: RoleId) -> bool {
        self.word(role.0 as usize / 64) >> (role.0 % 64) & 1 == 1
    }

    /// Whether no role is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.iter().all(|&word| word == 0)
    }

    /// Whether every role of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.low & !other.low == 0
            && self.high.iter().enumerate().all(|(at, &word)| word & !other.word(at + 1) == 0)
    }

    /// Whether a role is in both sets and in `third`: any of `self ∩ other ∩ third`.
    #[must_use]
    pub fn meets_both(&self, other: &Self, third: &Self) -> bool {
        self.low & other.low & third.low != 0
            || self
                .high
                .iter()
                .enumerate()
                .any(|(at, &word)| word & other.word(at + 1) & third.word(at + 1) != 0)
    }

    /// Whether every role of this set is in both `other` and `third`.
    #[must_use]
    pub fn is_subset_of_both(&self, other: &Self, third: &Self) -> bool {
        self.is_subset(other) && self.is_subset(third)
    }

    /// How many roles there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let ones = |word: &u64| word.count_ones() as usize;
        ones(&self.low) + self.high.iter().map(ones).sum::<usize>()
    }

    /// The roles that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let words = self.high.len().max(other.high.len());
        let high = (1..=words).map(|at| self.word(at) | other.word(at)).collect();
        Self { low: self.low | other.low, high }
    }

    /// The roles that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let words = self.high.len().min(other.high.len());
        let high = (1..=words).map(|at| self.word(at) & other.word(at)).collect();
        Self { low: self.low & other.low, high }.trimmed()
    }

    /// The roles of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let high = (1..=self.high.len()).map(|at| self.word(at) & !other.word(at)).collect();
        Self { low: self.low & !other.low, high }.trimmed()
    }

    /// The roles, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = RoleId> + '_ {
        (0_u32..).step_by(64).take(1 + self.high.len()).flat_map(move |first| {
            let word = self.word(first as usize / 64);
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| RoleId(first + bit))
        })
    }

    fn word(&self, at: usize) -> u64 {
        match at {
            0 => self.low,
            at => self.high.get(at - 1).copied().unwrap_or(0),
        }
    }

    /// Equal sets are equal values: no empty words at the end.
    fn trimmed(mut self) -> Self {
        while self.high.last() == Some(&0) {
            self.high.pop();
        }
        self
    }
}

impl FromIterator<RoleId> for RoleSet {
    fn from_iter<I: IntoIterator<Item = RoleId>>(roles: I) -> Self {
        let mut set = Self::empty();
        for role in roles {
            set.insert(role);
        }
        set
    }
}

/// The interned roles of a store: number to name and back. Grows, never changes.
#[derive(Clone, Debug)]
pub struct RoleTable {
    names: Vec<RoleName>,
    ids: HashMap<RoleName, RoleId>,
}

impl Default for RoleTable {
    fn default() -> Self {
        Self::new()
    }
}

impl RoleTable {
    /// The table of a fresh store: the three organization roles that every store has.
    ///
    /// # Panics
    /// Never: the names are constants.
    #[must_use]
    pub fn new() -> Self {
        let built_in = ["org_owner", "org_admin", "org_member"];
        let mut table = Self { names: Vec::new(), ids: HashMap::new() };
        for name in built_in {
            if let Ok(name) = name.parse() {
                table.intern(RoleName::Organization(name));
            }
        }
        table
    }

    /// The table with these names, in the order of their numbers, as the store holds them.
    #[must_use]
    pub fn from_names(names: impl IntoIterator<Item = RoleName>) -> Self {
        let mut table = Self { names: Vec::new(), ids: HashMap::new() };
        for name in names {
            table.intern(name);
        }
        table
    }

    /// The number of a role, given now if it has none.
    pub fn intern(&mut self, name: RoleName) -> RoleId {
        if let Some(&id) = self.ids.get(&name) {
            return id;
        }
        let id = RoleId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }

    /// The number of a role that is known.
    #[must_use]
    pub fn id(&self, name: &RoleName) -> Option<RoleId> {
        self.ids.get(name).copied()
    }

    /// The name of a number.
    #[must_use]
    pub fn name(&self, id: RoleId) -> Option<&RoleName> {
        self.names.get(id.0 as usize)
    }

    /// All names, in the order of their numbers.
    #[must_use]
    pub fn names(&self) -> &[RoleName] {
        &self.names
    }

    /// A set's names as RFC 6749 section 3.3 writes a scope: separated by single spaces.
    #[must_use]
    pub fn scope_text(&self, roles: &RoleSet) -> String {
        let mut text = String::new();
        for name in roles.iter().filter_map(|role| self.name(role)) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&name.to_string());
        }
        text
    }
}

#[cfg(test)]
mod tests;
