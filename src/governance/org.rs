//! Organizations: their making, with the first owner and that owner's first token, and their change.

use super::{
    Authority, Caller, Fields, Forbidden, Occasion, Plan, Refusal, Subject, UNWRITTEN, closed,
    words,
};
use crate::audit::{Action, Actor, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{OrgId, TokenId, UserId};
use crate::notice::Kind;
use crate::org::{Governance, Organization, StatusChange, User, UserStatus};
use crate::policy::{Ignores, Policies};
use crate::role::{RoleId, RoleSet};
use crate::secret::Digest;
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus};

/// The name of the first token of an organization, and of one that was minted offline.
const FIRST_TOKEN: &str = "First owner token";
const RECOVERY_TOKEN: &str = "Recovery token";

/// A new organization: itself, its first owner and that owner's token, which carries all that the
/// owner holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founded {
    /// The organization.
    pub organization: Organization,
    /// Its first owner.
    pub owner: User,
    /// The owner's token.
    pub token: ApiToken,
}

/// What a new organization is to be.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Identity of the organization.
    pub org: OrgId,
    /// Identity of the owner.
    pub owner: UserId,
    /// Identity of the token.
    pub token: TokenId,
    /// Digest of the token's secret.
    pub digest: Digest,
    /// Name of the organization.
    pub name: String,
    /// The owner's e-mail address.
    pub owner_email: String,
    /// The owner's name.
    pub owner_name: String,
    /// The service roles that the owner starts with.
    pub service_roles: RoleSet,
}

impl Caller {
    /// Permits to create organizations.
    pub fn creates_organizations(&self) -> Result<(), Refusal> {
        self.needs(Authority::Member)?;
        if self.is_operator() { Ok(()) } else { Err(Refusal::Forbidden(Forbidden::NeedsOperator)) }
    }
}

impl Founding {
    /// Plans an organization that the operator creates.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Founded>, Refusal> {
        by.creates_organizations()?;
        let (fields, minted) = (["name", "owner.email", "owner.name"], Some(by));
        let founded = self.founded(at, fields, minted)?;
        let mut change = by.change();
        record(&mut change, &founded, &by.actor(), at);
        // The operator's own trail tells of it too: nobody there reads the new organization's.
        let subject = Subject::new(
            Target::Organization(founded.organization.id),
            &founded.organization.name,
            Fields::default().made("name", &founded.organization.name),
        );
        change.events.push(at.event(by.org(), by.actor(), Action::OrganizationCreated, subject));
        let told = at.tell_owner(Kind::Created, &founded.token, Some(by.user()), None);
        change.notices.push(told);
        Ok(Plan::Change(Box::new(change), founded))
    }

    /// Plans the first organization of a fresh store, whose owner is the operator.
    pub fn initialize(self, at: &Occasion<'_>) -> Result<Plan<Founded>, Refusal> {
        let mut founded = self.founded(at, ["name", "email", "owner"], None)?;
        founded.owner.operator = true;
        let mut change = Change { requires: vec![Require::Empty], ..Change::default() };
        record(&mut change, &founded, &Actor::Offline, at);
        Ok(Plan::Change(Box::new(change), founded))
    }

    fn founded(
        self,
        at: &Occasion<'_>,
        [name, email, owner_name]: [&str; 3],
        by: Option<&Caller>,
    ) -> Result<Founded, Refusal> {
        let organization = Organization {
            id: self.org,
            version: UNWRITTEN,
            name: words::name(name, &self.name)?,
            governance: Governance::Activated,
            policies: Policies::default(),
            created_at: at.now,
        };
        let mut roles = self.service_roles;
        roles.insert(RoleId::ORG_OWNER);
        let owner = User {
            id: self.owner,
            version: UNWRITTEN,
            org: organization.id,
            email: words::email(email, &self.owner_email)?,
            name: words::name(owner_name, &self.owner_name)?,
            roles: closed(&roles),
            operator: false,
            status: UserStatus::Activated(None),
            created_at: at.now,
            external_id: None,
            modified_at: at.now,
        };
        let token = owner_token(&organization, &owner, self.token, self.digest, FIRST_TOKEN, at);
        let token = ApiToken {
            created_by: by.map(Caller::user),
            minted_by: by.and_then(Caller::token),
            ..token
        };
        Ok(Founded { organization, owner, token })
    }
}

fn owner_token(
    org: &Organization,
    owner: &User,
    id: TokenId,
    digest: Digest,
    name: &str,
    at: &Occasion<'_>,
) -> ApiToken {
    ApiToken {
        id,
        version: UNWRITTEN,
        org: org.id,
        owner: owner.id,
        created_by: None,
        minted_by: None,
        name: name.to_owned(),
        scope: owner.roles.clone(),
        digest,
        created_at: at.now,
        issued_at: at.now,
        expires_at: super::token::policies_of(org).default_end(at.now),
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

fn record(change: &mut Change, founded: &Founded, actor: &Actor, at: &Occasion<'_>) {
    let Founded { organization, owner, token } = founded;
    change.requires.extend([
        Require::Absent(RecordKey::Organization(organization.id)),
        Require::Absent(RecordKey::User(owner.id)),
        Require::Absent(RecordKey::Token(token.id)),
        Require::DigestFree(token.digest),
    ]);
    change.writes.extend([
        Write::Organization(organization.clone()),
        Write::User(owner.clone()),
        Write::Token(token.clone()),
    ]);
    let org_made = Subject::new(
        Target::Organization(organization.id),
        &organization.name,
        Fields::default().made("name", &organization.name),
    );
    change.events.extend([
        at.event(organization.id, actor.clone(), Action::OrganizationCreated, org_made),
        at.event(organization.id, actor.clone(), Action::UserCreated, super::user::made(owner, at)),
        at.event(
            organization.id,
            actor.clone(),
            Action::TokenCreated,
            super::token::made(token, at),
        ),
    ]);
}

/// A way back in, offline: a new token for an owner. An owner who was deactivated is activated.
#[derive(Clone, Debug)]
pub struct Recovery<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// The owner, preferably the operator.
    pub owner: &'a User,
    /// Identity of the token.
    pub token: TokenId,
    /// Digest of the token's secret.
    pub digest: Digest,
}

impl Recovery<'_> {
    /// Plans the token.
    pub fn plan(self, at: &Occasion<'_>) -> Result<Plan<ApiToken>, Refusal> {
        let (org, owner) = (self.org, self.owner);
        if owner.org != org.id || !owner.roles.contains(RoleId::ORG_OWNER) {
            return Err(Refusal::NotFound);
        }
        let token = owner_token(org, owner, self.token, self.digest, RECOVERY_TOKEN, at);
        let mut change = Change {
            requires: vec![
                Require::Version(RecordKey::Organization(org.id), org.version),
                Require::Version(RecordKey::User(owner.id), owner.version),
                Require::Absent(RecordKey::Token(token.id)),
                Require::DigestFree(token.digest),
            ],
            ..Change::default()
        };
        if !owner.is_active() {
            let status = StatusChange { at: at.now, by: None, reason: None, governed: true };
            let owner = User {
                status: UserStatus::Activated(Some(status)),
                modified_at: at.now,
                ..owner.clone()
            };
            let fields = Fields::default().changed("status", "deactivated", "activated");
            let subject = Subject::new(Target::User(owner.id), &owner.name, fields);
            change.events.push(at.event(org.id, Actor::Offline, Action::UserActivated, subject));
            change.notices.push(at.tell_user(Kind::UserActivated, &owner, None, None));
            change.writes.push(Write::User(owner));
        }
        let made = super::token::made(&token, at);
        change.events.push(at.event(org.id, Actor::Offline, Action::TokenCreated, made));
        change.notices.push(at.tell_owner(Kind::Created, &token, None, None));
        change.writes.push(Write::Token(token.clone()));
        Ok(Plan::Change(Box::new(change), token))
    }
}

/// A change of an organization's name or governance.
#[derive(Clone, Debug)]
pub struct UpdateOrganization<'a> {
    /// The organization.
    pub org: &'a Organization,
    /// Its new name, if it gets one.
    pub name: Option<String>,
    /// Its governance, if it is switched.
    pub governance: Option<Governance>,
}

impl UpdateOrganization<'_> {
    /// Plans the change.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Organization>, Refusal> {
        by.within(self.org.id)?;
        by.needs(Authority::Owner)?;
        let mut org = self.org.clone();
        if let Some(name) = &self.name {
            org.name = words::name("name", name)?;
        }
        org.governance = self.governance.unwrap_or(org.governance);
        if (self.org.governance, org.governance) == (Governance::Deactivated, Governance::Activated)
        {
            // Whoever was warned before has had no reason to think of it since.
            org.policies = org.policies.enforced_since(at.now);
        }
        let fields = Fields::default().changed("name", &self.org.name, &org.name).changed(
            "governance",
            governance_text(self.org.governance),
            governance_text(org.governance),
        );
        if fields.is_empty() {
            return Ok(Plan::Nothing(org));
        }
        let subject = Subject::new(Target::Organization(org.id), &org.name, fields);
        let mut change = by.change();
        change.events.push(at.event(org.id, by.actor(), Action::OrganizationUpdated, subject));
        change.writes.push(Write::Organization(org.clone()));
        Ok(Plan::Change(Box::new(change), org))
    }
}

const fn governance_text(governance: Governance) -> &'static str {
    match governance {
        Governance::Activated => "activated",
        Governance::Deactivated => "deactivated",
    }
}

#[cfg(test)]
mod tests;
