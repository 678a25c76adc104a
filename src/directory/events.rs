//! The audit trail as a list.

use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::audit::{Actor, Event, Filter};
use crate::id::OrgId;
use crate::store::{Ledger, StoreError};
use std::ops::ControlFlow;

/// A column of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventColumn {
    /// The place in the trail. The order in which events are stored.
    Seq,
    /// When it was.
    At,
    /// Who did it, as text.
    Actor,
    /// What was done, as text.
    Action,
    /// To what, by its name at that time.
    Target,
    /// From where.
    Address,
    /// Why.
    Reason,
}

impl Column for EventColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Seq, descending: true };
    const ALL: &'static [(&'static str, Self)] = &[
        ("seq", Self::Seq),
        ("at", Self::At),
        ("actor", Self::Actor),
        ("action", Self::Action),
        ("target", Self::Target),
        ("address", Self::Address),
        ("reason", Self::Reason),
    ];
}

/// A page of the events that a filter admits. Reads the whole trail, whichever the column: who asks
/// by their place has `Ledger::visit_events`.
pub fn events(
    ledger: &dyn Ledger,
    org: OrgId,
    filter: &Filter,
    asked: Asked<EventColumn>,
) -> Result<Page<Event>, StoreError> {
    let column = asked.sort.column;
    let mut window = Window::new(asked);
    ledger.visit_events(org, 0, &mut |event| {
        if filter.admits(&event.said) {
            // What happened first comes first among equals.
            window.offer(key(column, &event), event.seq.into(), || event);
        }
        ControlFlow::Continue(())
    })?;
    Ok(window.page())
}

fn key(column: EventColumn, event: &Event) -> Key {
    let said = &event.said;
    match column {
        EventColumn::Seq => Key::number(Some(event.seq)),
        EventColumn::At => Key::Number(said.at.millis()),
        EventColumn::Actor => match said.actor {
            Actor::User { user, .. } | Actor::Session { user } => Key::text(&user.to_string()),
            Actor::Offline => Key::text("offline"),
            Actor::System => Key::text("system"),
            Actor::Unknown => Key::text("unknown"),
        },
        EventColumn::Action => Key::text(&said.action.to_string()),
        EventColumn::Target => Key::text(&said.target_name),
        EventColumn::Address => {
            said.origin.address.map_or(Key::Nothing, |address| Key::text(&address.to_string()))
        }
        EventColumn::Reason => said.reason.as_deref().map_or(Key::Nothing, Key::text),
    }
}
