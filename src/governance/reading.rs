//! Who may read what. Reads change nothing, so these are answers rather than plans.

use super::{Authority, Caller, Forbidden, Refusal, governed};
use crate::id::{OrgId, UserId};
use crate::org::Organization;

impl Caller {
    /// Permits to read the organization itself, its roles and its services.
    pub fn reads_organization(&self, org: OrgId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(Authority::Member)
    }

    /// Permits to list the organizations that the caller can see.
    pub fn lists_organizations(&self) -> Result<(), Refusal> {
        self.needs(Authority::Member)
    }

    /// Permits to list the users.
    pub fn lists_users(&self, org: OrgId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(Authority::Admin)
    }

    /// Permits to read one user: oneself, or any for an admin.
    pub fn reads_user(&self, org: OrgId, user: UserId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(if user == self.user { Authority::Member } else { Authority::Admin })
    }

    /// Permits to list the tokens of one user, or of all.
    pub fn lists_tokens(&self, org: &Organization, owner: Option<UserId>) -> Result<(), Refusal> {
        self.within(org.id)?;
        self.needs(Authority::Member)?;
        if owner == Some(self.user) {
            return Ok(());
        }
        if self.authority() < Authority::Admin {
            return Err(Refusal::Forbidden(Forbidden::OthersTokens));
        }
        governed(org)
    }

    /// Permits to act upon all tokens that are like something, whoever owns them.
    pub fn governs_tokens(&self, org: &Organization) -> Result<(), Refusal> {
        self.within(org.id)?;
        self.needs(Authority::Owner)?;
        governed(org)
    }

    /// Permits to read one token, owned by `owner`.
    pub fn reads_token(&self, org: &Organization, owner: UserId) -> Result<(), Refusal> {
        self.lists_tokens(org, Some(owner))
    }

    /// Permits to read what use and ends of all tokens come to.
    pub fn reads_insight(&self, org: &Organization) -> Result<(), Refusal> {
        self.governs_tokens(org)
    }

    /// Permits to read the policies.
    pub fn reads_policies(&self, org: &Organization) -> Result<(), Refusal> {
        self.within(org.id)?;
        self.needs(Authority::Admin)?;
        governed(org)
    }

    /// Permits to read the audit trail.
    pub fn reads_audit(&self, org: OrgId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(Authority::Owner)
    }
}
