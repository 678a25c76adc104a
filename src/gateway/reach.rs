//! A connection for a request, for as long as its client waits for one.

use super::answer::Mishap;
use super::{Client, Routed, forward};
use crate::listener::Exchange;
use crate::upstream::Link;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Why there is no connection.
pub(super) enum Unreached {
    /// There is none to be had.
    Failed(Mishap),
    /// The client left meanwhile, and with it its place among those who wait.
    Left,
}

/// A new connection, or one that comes free.
pub(super) async fn connect(
    routed: &Routed<'_>,
    client: &Client,
    exchange: &Exchange<'_, '_>,
) -> Result<Link, Unreached> {
    let (pool, timeouts) = (routed.pool, routed.route.timeouts);
    let mut connected = pin!(pool.connect(&client.phase, timeouts.connect));
    poll_fn(|cx| match connected.as_mut().poll(cx) {
        Poll::Ready(Ok(link)) => Poll::Ready(Ok(link)),
        Poll::Ready(Err(error)) => {
            let mishap = forward::unreachable(&error, &pool.spec().name);
            Poll::Ready(Err(Unreached::Failed(mishap)))
        }
        Poll::Pending if exchange.reader.has_left(cx) => Poll::Ready(Err(Unreached::Left)),
        Poll::Pending => Poll::Pending,
    })
    .await
}
