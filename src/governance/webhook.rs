//! Webhooks, and notices that are to be delivered again: an owner's.

use super::{Authority, Caller, Fields, Occasion, Plan, Refusal, Subject, UNWRITTEN};
use crate::audit::{Action, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{OrgId, WebhookId};
use crate::notice::target::{Target as Url, may_call};
use crate::notice::{Kind, Notice, WEBHOOKS_MAX, Webhook};
use ipnet::IpNet;

/// A new webhook.
#[derive(Clone, Debug)]
pub struct CreateWebhook<'a> {
    /// The organization.
    pub org: OrgId,
    /// Its identity.
    pub id: WebhookId,
    /// Where it leads.
    pub url: String,
    /// What it is told of.
    pub kinds: Vec<Kind>,
    /// Whether it is told anything as yet.
    pub activated: bool,
    /// The sealed secret that signs.
    pub sealed_secret: Vec<u8>,
    /// Networks that may be called although they are not public.
    pub allowed: &'a [IpNet],
}

impl Caller {
    /// Permits to read webhooks and notices.
    pub fn reads_notices(&self, org: OrgId) -> Result<(), Refusal> {
        self.within(org)?;
        self.needs(Authority::Owner)
    }

    /// Permits to make, change and remove webhooks.
    pub fn manages_webhooks(&self, org: OrgId) -> Result<(), Refusal> {
        self.reads_notices(org)
    }
}

impl CreateWebhook<'_> {
    /// Plans the webhook.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Webhook>, Refusal> {
        by.manages_webhooks(self.org)?;
        let webhook = Webhook {
            id: self.id,
            version: UNWRITTEN,
            org: self.org,
            url: url(self.url, self.allowed)?,
            kinds: kinds(self.kinds)?,
            activated: self.activated,
            sealed_secret: self.sealed_secret,
            created_at: at.now,
            created_by: by.user(),
        };
        let mut change = by.change();
        change.requires.extend([
            Require::Absent(RecordKey::Webhook(webhook.org, webhook.id)),
            Require::WebhooksBelow(webhook.org, WEBHOOKS_MAX),
        ]);
        let fields = Fields::default()
            .made("url", shown(&webhook.url))
            .made("kinds", names(&webhook.kinds))
            .made("activated", webhook.activated.to_string());
        record(&mut change, &webhook, Action::WebhookCreated, fields, by, at);
        change.writes.push(Write::Webhook(webhook.clone()));
        Ok(Plan::Change(Box::new(change), webhook))
    }
}

/// A change of a webhook. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct UpdateWebhook<'a> {
    /// The webhook.
    pub webhook: &'a Webhook,
    /// Where it leads from now on.
    pub url: Option<String>,
    /// All that it is told of.
    pub kinds: Option<Vec<Kind>>,
    /// Whether it is told anything.
    pub activated: Option<bool>,
    /// Networks that may be called although they are not public.
    pub allowed: &'a [IpNet],
}

impl UpdateWebhook<'_> {
    /// Plans the change.
    pub fn plan(self, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Webhook>, Refusal> {
        let was = self.webhook;
        by.manages_webhooks(was.org)?;
        let mut webhook = was.clone();
        if let Some(changed) = self.url {
            webhook.url = url(changed, self.allowed)?;
        }
        if let Some(changed) = self.kinds {
            webhook.kinds = kinds(changed)?;
        }
        webhook.activated = self.activated.unwrap_or(was.activated);
        if webhook == *was {
            return Ok(Plan::Nothing(webhook));
        }
        let (before, after) = (shown(&was.url), shown(&webhook.url));
        let fields = if was.url != webhook.url && before == after {
            Fields::default().made("url", format!("{after} (another path or query)"))
        } else {
            Fields::default().changed("url", before, after)
        };
        let fields = fields.changed("kinds", names(&was.kinds), names(&webhook.kinds)).changed(
            "activated",
            was.activated.to_string(),
            webhook.activated.to_string(),
        );
        let mut change = change_of(was, by);
        record(&mut change, &webhook, Action::WebhookUpdated, fields, by, at);
        change.writes.push(Write::Webhook(webhook.clone()));
        Ok(Plan::Change(Box::new(change), webhook))
    }
}

/// Plans to remove a webhook. What it is still owed is given up.
pub fn remove(webhook: &Webhook, by: &Caller, at: &Occasion<'_>) -> Result<Plan<()>, Refusal> {
    by.manages_webhooks(webhook.org)?;
    let mut change = change_of(webhook, by);
    record(&mut change, webhook, Action::WebhookRemoved, Fields::default(), by, at);
    change.writes.push(Write::RemoveWebhook(webhook.org, webhook.id));
    Ok(Plan::Change(Box::new(change), ()))
}

/// Plans to deliver a notice again, at once and as if for the first time; also one that was
/// delivered.
pub fn redeliver(notice: &Notice, by: &Caller, at: &Occasion<'_>) -> Result<Plan<Notice>, Refusal> {
    let org = notice.says.org;
    by.reads_notices(org)?;
    let mut change = by.change();
    change.requires.push(Require::Version(RecordKey::Notice(org, notice.id), notice.version));
    let again = notice.clone().again(at.now);
    let kind = notice.says.kind.name();
    let subject = Subject::new(Target::Notice(notice.id), kind, Fields::default());
    change.events.push(at.event(org, by.actor(), Action::NoticeRedelivered, subject));
    change.writes.push(Write::Notice(Box::new(again.clone())));
    Ok(Plan::Change(Box::new(change), again))
}

fn change_of(webhook: &Webhook, by: &Caller) -> Change {
    let mut change = by.change();
    let key = RecordKey::Webhook(webhook.org, webhook.id);
    change.requires.push(Require::Version(key, webhook.version));
    change
}

fn record(
    change: &mut Change,
    webhook: &Webhook,
    action: Action,
    fields: Fields,
    by: &Caller,
    at: &Occasion<'_>,
) {
    let name = shown(&webhook.url);
    let subject = Subject::new(Target::Webhook(webhook.id), &name, fields);
    change.events.push(at.event(webhook.org, by.actor(), action, subject));
}

/// An address that may be called, as far as it says so itself: names are judged by what they resolve
/// to, each time they are called.
fn url(url: String, allowed: &[IpNet]) -> Result<String, Refusal> {
    let target = Url::parse(&url).map_err(|error| Refusal::invalid("url", error.to_string()))?;
    if target.literal().is_some_and(|address| !may_call(address, allowed)) {
        let message = "expected a public address: loopback, private and link-local ones are called \
                       only where the configuration allows their network";
        return Err(Refusal::invalid("url", message));
    }
    Ok(url)
}

fn kinds(mut kinds: Vec<Kind>) -> Result<Vec<Kind>, Refusal> {
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        let names = names(&Kind::ALL);
        return Err(Refusal::invalid("kinds", format!("expected at least one of {names}")));
    }
    Ok(kinds)
}

fn names(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// An address for the audit trail: where it leads, without path and query. That is where secrets are
/// put, by people and by services that hand out such addresses.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    match rest.split_once(['/', '?']) {
        None | Some((_, "")) => url.to_owned(),
        Some((authority, _)) => format!("{scheme}://{authority}/..."),
    }
}
