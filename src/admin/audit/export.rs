//! The whole of a trail, oldest first, as it is read: JSON lines or comma-separated values.
//!
//! A stretch at a time is read on a thread that may block, in a snapshot of its own, so that a
//! reader that is slow keeps no old page of the store alive. An export that cannot go on breaks
//! off, so that it does not look complete.

use super::super::Shared;
use super::super::extract::Call;
use super::super::passes::Exporting;
use super::super::problem::Problem;
use crate::audit::{Event, Filter, Line, csv};
use crate::id::OrgId;
use crate::session;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Events that are read at a time.
const STRETCH_EVENTS_MAX: usize = 1_000;
/// Stretches that may wait for a slow reader.
const STRETCHES_WAITING_MAX: usize = 2;

/// How a trail is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A page of JSON.
    Json,
    /// An event a line.
    JsonLines,
    /// For spreadsheets.
    Csv,
}

impl Format {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    const fn disposition(self) -> &'static str {
        match self {
            Self::Json => "inline",
            Self::JsonLines => "attachment; filename=\"audit.jsonl\"",
            Self::Csv => "attachment; filename=\"audit.csv\"",
        }
    }

    fn write(self, event: Event, text: &mut String) {
        let line = Line::from(event);
        match self {
            Self::Json | Self::JsonLines => {
                // What is made of strings and numbers has a JSON form.
                text.push_str(&serde_json::to_string(&line).unwrap_or_default());
                text.push('\n');
            }
            Self::Csv => text.push_str(&csv::row(&line)),
        }
    }
}

/// The format that is asked for: by name, or by the first media type of `Accept` that is one.
pub(super) fn format(name: Option<&str>, headers: &HeaderMap) -> Result<Format, Problem> {
    match name {
        Some("json") => return Ok(Format::Json),
        Some("jsonl") => return Ok(Format::JsonLines),
        Some("csv") => return Ok(Format::Csv),
        Some(_) => return Err(Problem::field("format", "expected `json`, `jsonl` or `csv`")),
        None => {}
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let types = accepted.flat_map(|field| field.split(','));
    let known = types.filter_map(|media_type| {
        match media_type.split(';').next().unwrap_or_default().trim() {
            "application/json" | "application/*" | "*/*" => Some(Format::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Format::JsonLines),
            "text/csv" => Some(Format::Csv),
            _ => None,
        }
    });
    Ok(known.into_iter().next().unwrap_or(Format::Json))
}

/// Begins an export for a call that may have it.
pub(super) fn start(
    state: &Shared,
    call: Call,
    org: OrgId,
    filter: Filter,
    format: Format,
) -> Result<Response, Problem> {
    let slot = state.exports.turn(org)?;
    let (sender, receiver) = mpsc::channel(STRETCHES_WAITING_MAX);
    let export = Export { state: Arc::clone(state), call, org, filter, format, slot };
    // Ends with the last event, or when nobody reads any more.
    let _task = tokio::task::spawn_blocking(move || export.run(&sender));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (CONTENT_DISPOSITION, HeaderValue::from_static(format.disposition())),
    ];
    Ok((headers, Body::new(Stretches(receiver))).into_response())
}

type Stretch = Result<Bytes, BrokenOff>;

/// An export could not go on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the export broke off")]
struct BrokenOff;

struct Export {
    state: Shared,
    call: Call,
    org: OrgId,
    filter: Filter,
    format: Format,
    slot: Exporting,
}

impl Export {
    fn run(self, sender: &Sender<Stretch>) {
        let mut after = 0;
        let mut text = String::new();
        if self.format == Format::Csv {
            text.push_str(csv::HEADINGS);
        }
        loop {
            let mut read = 0;
            let visited = self.state.ledger.visit_events(self.org, after, &mut |event| {
                read += 1;
                after = event.seq;
                if self.filter.admits(&event.said) {
                    self.format.write(event, &mut text);
                }
                if read < STRETCH_EVENTS_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if let Err(error) = visited {
                tracing::error!(%error, "an export of an audit trail broke off");
                break break_off(sender);
            }
            let stretch = std::mem::take(&mut text);
            if !stretch.is_empty() && sender.blocking_send(Ok(stretch.into())).is_err() {
                break;
            }
            if read < STRETCH_EVENTS_MAX {
                break;
            }
            if !self.is_permitted() {
                break break_off(sender);
            }
        }
        drop(self.slot);
    }

    /// Whether the caller may still have it: an export takes its time.
    fn is_permitted(&self) -> bool {
        let now = (self.state.clock)();
        let again = session::again(&*self.state.ledger, &self.call.caller, &self.call.shown, now);
        matches!(again, Ok(Ok(caller)) if caller.reads_audit(self.org).is_ok())
    }
}

fn break_off(sender: &Sender<Stretch>) {
    // Who does not read any more need not know.
    let _gone = sender.blocking_send(Err(BrokenOff));
}

/// The body of an export.
struct Stretches(Receiver<Stretch>);

impl http_body::Body for Stretches {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.0.poll_recv(cx).map(|stretch| stretch.map(|stretch| stretch.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_or_accepted() {
        let accept = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(ACCEPT, HeaderValue::from_static(field));
            }
            format(None, &headers).ok()
        };
        assert_eq!(accept(&[]), Some(Format::Json));
        assert_eq!(accept(&["*/*"]), Some(Format::Json));
        assert_eq!(accept(&["text/html, text/csv;q=0.9"]), Some(Format::Csv));
        assert_eq!(accept(&["application/json, text/csv"]), Some(Format::Json));
        assert_eq!(accept(&["text/html", "application/x-ndjson"]), Some(Format::JsonLines));
        assert_eq!(accept(&["application/jsonl"]), Some(Format::JsonLines));
        let named = |name| format(Some(name), &HeaderMap::new()).ok();
        assert_eq!(named("csv"), Some(Format::Csv));
        assert_eq!(named("CSV"), None);
    }
}
