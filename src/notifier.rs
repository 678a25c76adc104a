//! Drains the outbox: mails over SMTP, calls to webhooks.
//!
//! The store is the queue. A notice is read from it, sent, and only then marked as delivered, so a
//! crash in between sends it again, under the same identity, and loses nothing. What fails is tried
//! again after growing pauses and in the end given up, which the audit trail tells.
//!
//! **Invariants.**
//! - Nothing is sent that could not be recorded afterwards: while the store takes no changes,
//!   nothing goes out.
//! - Two notices about the same to the same addressee are never on their way at once, so the later
//!   one arrives later.
//! - Nobody who does not answer, and no organization whose webhooks do not, takes the place of all
//!   others ([`choice`]).
//! - None of this is on a worker of the gateway.

mod call;
mod choice;
mod mail;

pub use call::{Caller, NoTls};
pub use mail::{Mailer, UnusableServer};

use choice::{Choice, Course, Damaged};

use crate::audit::{Action, Actor, Draft, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::config::Notices;
use crate::governance::token::policies_of;
use crate::id::{NoticeId, OrgId, WebhookId};
use crate::notice::{Addressee, Due, Notice, Outcome, State};
use crate::org::Revision;
use crate::store::{CommitError, Fact, FactKey, Follower, Ledger, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How often the outbox is looked at when nothing is committed: what is due by the clock.
pub const POLL: Duration = Duration::from_millis(500);
/// How long those under way may go on when the process ends; then they are sent again after it.
pub const FAREWELL: Duration = Duration::from_secs(5);
/// Organizations that enforce policies without a mail server and that the log names.
const ENFORCING_NAMED_MAX: usize = 10;
/// How often the recording of an outcome is tried when the writer's queue is full.
const RECORDINGS_MAX: u32 = 20;
/// The pause between two of these.
const RECORDING_PAUSE: Duration = Duration::from_millis(250);

/// Wakes the notifier when something was committed.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Follower for Bell {
    fn bar(&self, _keys: &[FactKey]) {}

    fn apply(&self, _revision: Revision, _facts: &[Fact]) {
        self.0.notify_one();
    }
}

/// What the notifier works with.
pub struct Notifier {
    /// The store.
    pub ledger: Arc<dyn Ledger>,
    /// The way mails go, if there is one.
    pub mailer: Option<Mailer>,
    /// The way webhooks are called.
    pub caller: Caller,
    /// Pauses, attempts and templates.
    pub settings: Notices,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Random numbers, for pauses.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Notifier {
    /// Delivers until `stop` says so, or its sender is gone.
    pub async fn run(self, bell: Arc<Bell>, mut stop: watch::Receiver<bool>) {
        let notifier = Arc::new(self);
        if notifier.mailer.is_none() {
            notifier.warn_of_silence().await;
        }
        let damaged = Arc::new(Damaged::default());
        let mut under_way: Vec<(tokio::task::Id, Course)> = Vec::new();
        let mut tasks: JoinSet<()> = JoinSet::new();
        loop {
            if notifier.ledger.is_writable() {
                let courses = under_way.iter().map(|(_, course)| *course).collect();
                match notifier.choose(courses, &damaged).await {
                    Ok(chosen) => {
                        for notice in chosen {
                            let course = Course::of(&notice);
                            let notifier = Arc::clone(&notifier);
                            let task = tasks.spawn(async move { notifier.handle(notice).await });
                            under_way.push((task.id(), course));
                        }
                    }
                    Err(error) => tracing::error!(%error, "the outbox cannot be read"),
                }
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = bell.0.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                Some(done) = tasks.join_next_with_id() => {
                    let id = match done {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!(%error, "a delivery ended in a panic");
                            error.id()
                        }
                    };
                    under_way.retain(|(known, _)| *known != id);
                }
            }
        }
        let farewell = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("deliveries under way were cut off, and are made again after the start");
        }
    }

    /// Says loudly, at the start, that policies are enforced and nobody is warned by mail.
    async fn warn_of_silence(&self) {
        let ledger = Arc::clone(&self.ledger);
        let enforcing = blocking(move || {
            let mut orgs = ledger.organizations()?;
            orgs.retain(|org| policies_of(org).enforces());
            Ok(orgs)
        });
        match enforcing.await {
            Ok(orgs) if orgs.is_empty() => {}
            Ok(orgs) => {
                let named = orgs.iter().take(ENFORCING_NAMED_MAX);
                let named: Vec<_> = named.map(|org| org.id.to_string()).collect();
                tracing::warn!(
                    organizations = orgs.len(),
                    named = named.join(" "),
                    "policies are enforced, and without `[smtp]` no owner of a token is warned before \
                     it is deactivated"
                );
            }
            Err(error) => tracing::error!(%error, "nobody knows whether policies are enforced"),
        }
    }

    /// The notices to be sent now, as many as there is room for beside those under way.
    async fn choose(
        self: &Arc<Self>,
        under_way: Vec<Course>,
        damaged: &Arc<Damaged>,
    ) -> Result<Vec<Notice>, StoreError> {
        let (notifier, damaged) = (Arc::clone(self), Arc::clone(damaged));
        blocking(move || {
            let now = (notifier.clock)();
            let settled = now.before(notifier.settings.settle);
            let mut choice = Choice::beside(under_way, notifier.settings.deliveries_max);
            for (due, until) in [(Due::Mail, now), (Due::Settle, settled), (Due::Call, now)] {
                choice.add(&*notifier.ledger, &damaged, due, until)?;
            }
            Ok(choice.chosen())
        })
        .await
    }

    /// One attempt, and its recording.
    async fn handle(self: Arc<Self>, notice: Notice) {
        let notice = Arc::new(notice);
        let (notifier, says) = (Arc::clone(&self), Arc::clone(&notice));
        let unreadable = |error: StoreError| Err(Outcome::Failed(error.to_string()));
        let written = blocking(move || Ok(notifier.write(&says))).await.unwrap_or_else(unreadable);
        let outcome = match (written, &self.mailer) {
            (Err(outcome), _) => outcome,
            (Ok(Missive::Call(call)), _) => self.caller.call(call, (self.clock)()).await,
            (Ok(Missive::Letter(_)), None) => Outcome::NoChannel,
            (Ok(Missive::Letter(letter)), Some(mailer)) => {
                mailer.send(&letter, (self.clock)()).await
            }
        };
        if let Err(error) = self.record(&notice, &outcome).await {
            // It is sent again, under the same identity: better twice than never.
            tracing::error!(%error, notice = %notice.id, "a delivery could not be recorded");
        }
    }

    /// Writes what is sent, or says why nothing is. Reads the store, so it blocks.
    fn write(&self, notice: &Notice) -> Result<Missive, Outcome> {
        let (ledger, templates) = (&*self.ledger, &self.settings.templates);
        match notice.to {
            Addressee::User(_) if self.mailer.is_none() => Err(Outcome::NoChannel),
            Addressee::User(user) => {
                mail::Letter::write(ledger, notice, user, templates).map(Missive::Letter)
            }
            Addressee::Webhook(id) => self.write_call(notice, id).map(Missive::Call),
        }
    }

    fn write_call(&self, notice: &Notice, id: WebhookId) -> Result<call::Call, Outcome> {
        let unreadable = |error: StoreError| Outcome::Failed(error.to_string());
        let refused = |why: &str| Err(Outcome::Refused(why.to_owned()));
        match self.ledger.webhook(notice.says.org, id).map_err(unreadable)? {
            None => refused("the webhook was removed"),
            Some(webhook) if !webhook.activated => refused("the webhook is deactivated"),
            Some(webhook) => call::Call::write(&*self.ledger, notice, webhook).map_err(unreadable),
        }
    }

    /// Records what became of an attempt, also if the notice has changed meanwhile.
    async fn record(&self, sent: &Notice, outcome: &Outcome) -> Result<(), CommitError> {
        let mut busy = 0;
        loop {
            let (org, id) = (sent.says.org, sent.id);
            let ledger = Arc::clone(&self.ledger);
            let found = blocking(move || ledger.notice(org, id)).await;
            let found = found.map_err(|error| CommitError::Failed(error.to_string()))?;
            let Some(change) = found.and_then(|now| self.conclusion(now, outcome.clone())) else {
                return Ok(());
            };
            match self.ledger.commit(change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Busy) if busy < RECORDINGS_MAX => {
                    busy += 1;
                    tokio::time::sleep(RECORDING_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The change that records an attempt; nothing if the notice is at its end already, and it was
    /// not this that brought it there.
    fn conclusion(&self, found: Notice, outcome: Outcome) -> Option<Change> {
        let is_over = found.state.ended_at().is_some();
        if is_over && outcome != Outcome::Delivered {
            return None;
        }
        let key = RecordKey::Notice(found.says.org, found.id);
        let requires = vec![Require::Version(key, found.version)];
        let now = (self.clock)();
        let stood = found.state.standing();
        let notice = found.after(outcome, now, &self.settings.retry, (self.random)());
        if let State::Dead { attempts, error, .. } = &notice.state {
            tracing::warn!(notice = %notice.id, attempts, error, "a notice was given up");
        }
        // One that was sent twice, because the first time could not be recorded, is told once.
        let is_news = notice.state.standing() != stood;
        let events = event(&notice, now).filter(|_| is_news).into_iter().collect();
        let writes = vec![Write::Notice(Box::new(notice))];
        Some(Change { requires, writes, events, ..Change::default() })
    }
}

/// What is sent.
enum Missive {
    Letter(mail::Letter),
    Call(call::Call),
}

/// Reads the store, which may block: the runtime is the admin port's, too.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|error| Err(StoreError(error.to_string())))
}

/// What the audit trail says of a notice that is at its end; nothing while it is still to be sent, or
/// where a later one tells it.
fn event(notice: &Notice, now: Timestamp) -> Option<Draft> {
    let to = match notice.to {
        Addressee::User(id) => id.to_string(),
        Addressee::Webhook(id) => id.to_string(),
    };
    let said = |action| {
        let (org, target) = (notice.says.org, Target::Notice(notice.id));
        let kind = notice.says.kind.name();
        Draft::new(org, now, Actor::System, action, target).named(kind).telling("to", &to)
    };
    match &notice.state {
        State::Settling { .. } | State::Waiting { .. } | State::Superseded { .. } => None,
        State::Delivered { attempts, .. } => {
            Some(said(Action::NoticeDelivered).telling("attempts", attempts))
        }
        State::Dead { attempts, error, .. } => {
            let failed = said(Action::NoticeFailed).telling("attempts", attempts);
            Some(failed.telling("error", error))
        }
        State::NoChannel { .. } => Some(said(Action::NoticeUndeliverable)),
    }
}

/// The name of an organization, for people.
fn organization(ledger: &dyn Ledger, id: OrgId) -> Result<String, StoreError> {
    Ok(ledger.organization(id)?.map_or_else(|| id.to_string(), |org| org.name))
}

/// The text of an identity that stays the same at every attempt.
fn delivery(id: NoticeId) -> String {
    id.to_string()
}

/// An error with what is below it, for people.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let below_text = below.to_string();
        if !text.contains(&below_text) {
            text = format!("{text}: {below_text}");
        }
        cause = below.source();
    }
    text
}
