//! Bodies on their way through: one concrete type up, one down, never boxed, never buffered.

use super::header::Names;
use crate::phase::{Late, Phase};
use crate::upstream::{Link, Pool};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side sent something broken, or closed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The upstream was silent for too long.
    #[error("the upstream was silent for too long")]
    Late,
}

/// What an upstream is waited for while a body goes up.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For it to take the next piece.
    pub(super) idle: Duration,
    /// For the head of its answer, once it has all.
    pub(super) first_byte: Duration,
}

/// A request's body on its way up.
pub(super) enum Upload {
    /// No body.
    Empty,
    /// The client's body, as it comes.
    Streaming {
        /// What comes.
        incoming: Incoming,
        /// The client's deadlines.
        phase: Rc<Phase>,
        /// Set once all of it has been taken.
        complete: Rc<Cell<bool>>,
        /// How long the upstream may take to take more, and to answer when it has all.
        patience: Patience,
        /// Which trailer fields may pass.
        names: Rc<Names>,
    },
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Streaming { incoming, phase, complete, patience, names } = self.get_mut() else {
            return Poll::Ready(None);
        };
        let mut polled = Pin::new(&mut *incoming).poll_frame(cx);
        match &mut polled {
            Poll::Pending => {
                // It is the client's turn.
                phase.upstream_done();
                phase.body_waits();
            }
            Poll::Ready(Some(Ok(frame))) => {
                phase.upstream_within(patience.idle);
                if let Some(data) = frame.data_ref() {
                    phase.body_came(data.len());
                } else if let Some(trailers) = frame.trailers_mut() {
                    names.prepare_trailers(trailers);
                }
                if incoming.is_end_stream() {
                    phase.body_ended();
                    phase.upstream_within(patience.first_byte);
                    complete.set(true);
                }
            }
            Poll::Ready(None) => {
                phase.body_ended();
                phase.upstream_within(patience.first_byte);
                complete.set(true);
            }
            Poll::Ready(Some(Err(_))) => phase.body_ended(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// An answer's body on its way down.
pub struct Answer {
    kind: Kind,
    phase: Rc<Phase>,
}

enum Kind {
    /// An answer of our own.
    Own(Option<Bytes>),
    /// The upstream's, as it comes.
    Streaming(Download),
}

/// The body of an upstream's answer, and the connection that it comes from.
pub(super) struct Download {
    pub(super) incoming: Incoming,
    pub(super) link: Option<Box<Link<Upload>>>,
    pub(super) pool: Rc<Pool<Upload>>,
    /// Whether the request's body was sent to its end.
    pub(super) uploaded: Option<Rc<Cell<bool>>>,
    pub(super) idle_timeout: Duration,
    /// Whether the client knows the end of the answer only by the end of the connection.
    pub(super) ends_with_connection: bool,
    /// Whether the end of the answer was seen. A body without a length tells only by ending.
    pub(super) ended: bool,
}

impl Answer {
    pub(super) fn own(body: Bytes, phase: Rc<Phase>) -> Self {
        Self { kind: Kind::Own((!body.is_empty()).then_some(body)), phase }
    }

    pub(super) fn streaming(download: Download, phase: Rc<Phase>) -> Self {
        Self { kind: Kind::Streaming(download), phase }
    }
}

impl Download {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        phase: &Phase,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Usually the body came with the head, and the connection has nothing to do.
        let mut polled = match &mut self.link {
            Some(link) => link.next_frame(&mut self.incoming),
            None => Pin::new(&mut self.incoming).poll_frame(cx),
        };
        if polled.is_pending()
            && let Some(link) = &mut self.link
        {
            link.drive(cx);
            polled = link.next_frame(&mut self.incoming);
        }
        match polled {
            Poll::Pending if phase.late() == Some(Late::Upstream) => {
                if self.ends_with_connection {
                    phase.cut();
                }
                Poll::Ready(Some(Err(BodyError::Late)))
            }
            Poll::Pending => {
                phase.upstream_within_if_unset(self.idle_timeout);
                Poll::Pending
            }
            Poll::Ready(frame) => {
                phase.upstream_done();
                if self.ends_with_connection && matches!(frame, Some(Err(_))) {
                    phase.cut();
                }
                // Trailers end a body too, and after them hyper asks for nothing more.
                self.ended |=
                    frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
        }
    }

    /// Gives the connection back if both bodies are through; otherwise it is closed. An upstream
    /// that answered before it had the whole request must not be sent another one after the rest
    /// of a body.
    fn release(&mut self) {
        let uploaded = self.uploaded.as_ref().is_none_or(|uploaded| uploaded.get());
        if let Some(link) = self.link.take()
            && uploaded
            && (self.ended || self.incoming.is_end_stream())
        {
            self.pool.put_back(link);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Streaming(download) => download.poll_frame(cx, &this.phase),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_none(),
            Kind::Streaming(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Kind::Streaming(download) => download.incoming.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Kind::Streaming(download) = &mut self.kind {
            download.release();
        }
        self.phase.upstream_done();
        self.phase.end_request();
    }
}
