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
//! - None of this is on a worker of the gateway.

mod call;
mod mail;

pub use call::{Caller, NoTls};
pub use mail::{Mailer, UnusableServer};

use crate::audit::{Action, Actor, Draft, Target};
use crate::change::{Change, RecordKey, Require, Write};
use crate::config::Notices;
use crate::id::{NoticeId, OrgId, WebhookId};
use crate::notice::{Addressee, Due, Notice, Outcome, State};
use crate::org::Revision;
use crate::store::{CommitError, Fact, FactKey, Follower, Ledger, StoreError};
use crate::time::Timestamp;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How often the outbox is looked at when nothing is committed: what is due by the clock.
pub const POLL: Duration = Duration::from_millis(500);
/// Most notices that are looked at in one go for one that can be sent now.
pub const LOOKED_AT_MAX: usize = 10_000;
/// How long those under way may go on when the process ends; then they are sent again after it.
pub const FAREWELL: Duration = Duration::from_secs(5);
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

/// What must not be on its way twice at once: what a notice is about, and who is told.
type Lane = (u128, u128);

fn lane(notice: &Notice) -> Lane {
    (notice.says.about.bits(), notice.to.bits())
}

impl Notifier {
    /// Delivers until `stop` says so, or its sender is gone.
    pub async fn run(self, bell: Arc<Bell>, mut stop: watch::Receiver<bool>) {
        let notifier = Arc::new(self);
        let mut under_way: Vec<(tokio::task::Id, Addressee, Lane)> = Vec::new();
        let mut tasks: JoinSet<()> = JoinSet::new();
        loop {
            if notifier.ledger.is_writable() {
                match notifier.choose(&under_way).await {
                    Ok(chosen) => {
                        for notice in chosen {
                            let (to, lane) = (notice.to, lane(&notice));
                            let notifier = Arc::clone(&notifier);
                            let task = tasks.spawn(async move { notifier.handle(notice).await });
                            under_way.push((task.id(), to, lane));
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
                    under_way.retain(|(known, ..)| *known != id);
                }
            }
        }
        let farewell = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("deliveries under way were cut off, and are made again after the start");
        }
    }

    /// The notices to be sent now, as many as there is room for beside those under way.
    async fn choose(
        self: &Arc<Self>,
        under_way: &[(tokio::task::Id, Addressee, Lane)],
    ) -> Result<Vec<Notice>, StoreError> {
        let lanes: HashSet<Lane> = under_way.iter().map(|(_, _, lane)| *lane).collect();
        let mails = under_way.iter().filter(|(_, to, _)| matches!(to, Addressee::User(_))).count();
        let calls = under_way.len() - mails;
        let notifier = Arc::clone(self);
        let chosen = tokio::task::spawn_blocking(move || {
            let max = notifier.settings.deliveries_max;
            let now = (notifier.clock)();
            let settled = now.before(notifier.settings.settle);
            let mut choice = Choice { lanes, chosen: Vec::new() };
            choice.add(
                &*notifier.ledger,
                &[(Due::Mail, now), (Due::Settle, settled)],
                max - mails.min(max),
            )?;
            choice.add(&*notifier.ledger, &[(Due::Call, now)], max - calls.min(max))?;
            Ok(choice.chosen)
        });
        chosen.await.unwrap_or_else(|error| Err(StoreError(error.to_string())))
    }

    /// One attempt, and its recording.
    async fn handle(&self, notice: Notice) {
        let outcome = match notice.to {
            Addressee::User(user) => match &self.mailer {
                None => Outcome::NoChannel,
                Some(mailer) => match mail::Letter::write(
                    &*self.ledger,
                    &notice,
                    user,
                    &self.settings.templates,
                ) {
                    Ok(letter) => mailer.send(&letter, (self.clock)()).await,
                    Err(outcome) => outcome,
                },
            },
            Addressee::Webhook(id) => self.call(&notice, id).await,
        };
        if let Err(error) = self.record(&notice, &outcome).await {
            // It is sent again, under the same identity: better twice than never.
            tracing::error!(%error, notice = %notice.id, "a delivery could not be recorded");
        }
    }

    async fn call(&self, notice: &Notice, id: WebhookId) -> Outcome {
        let unreadable = |error: StoreError| Outcome::Failed(error.to_string());
        match self.ledger.webhook(notice.says.org, id) {
            Err(error) => unreadable(error),
            Ok(None) => Outcome::Refused("the webhook was removed".to_owned()),
            Ok(Some(webhook)) if !webhook.activated => {
                Outcome::Refused("the webhook is deactivated".to_owned())
            }
            Ok(Some(webhook)) => match call::Call::write(&*self.ledger, notice, webhook) {
                Err(error) => unreadable(error),
                Ok(call) => self.caller.call(call, (self.clock)()).await,
            },
        }
    }

    /// Records what became of an attempt, also if the notice has changed meanwhile.
    async fn record(&self, sent: &Notice, outcome: &Outcome) -> Result<(), CommitError> {
        let mut busy = 0;
        loop {
            let (org, id) = (sent.says.org, sent.id);
            let found = self.ledger.notice(org, id);
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

/// Notices that are being chosen, no two of them in one lane.
struct Choice {
    lanes: HashSet<Lane>,
    chosen: Vec<Notice>,
}

impl Choice {
    /// Adds up to `room` of what is due.
    fn add(
        &mut self,
        ledger: &dyn Ledger,
        dues: &[(Due, Timestamp)],
        mut room: usize,
    ) -> Result<(), StoreError> {
        for &(due, until) in dues {
            let mut looked_at = 0;
            if room == 0 {
                break;
            }
            ledger.visit_due_notices(due, until, &mut |notice| {
                looked_at += 1;
                if self.lanes.insert(lane(&notice)) {
                    self.chosen.push(notice);
                    room -= 1;
                }
                if room == 0 || looked_at == LOOKED_AT_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        }
        Ok(())
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
