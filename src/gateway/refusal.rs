//! What is said where a request goes no further, and what is counted and logged of it.

use super::Gateway;
use super::answer::{self, Mishap, Outcome};
use super::forward::Traits;
use super::log::{Asked, Line};
use super::route::Route;
use super::{Client, Entry};
use crate::clock;
use crate::http1::Decoder;
use crate::listener::{Exchange, Next};

impl Gateway {
    #[expect(clippy::too_many_arguments, reason = "what a line of the log tells of")]
    pub(super) async fn refuse(
        &self,
        outcome: Outcome,
        client: &Client,
        exchange: &mut Exchange<'_, '_>,
        traits: Traits,
        asked: Option<Asked>,
        route: Option<&Route>,
        entry: Option<&Entry>,
    ) -> Next {
        let verdict = self.count(outcome);
        let (status, next) = self.own(outcome, client, exchange, traits, route).await;
        if let Some(asked) = &asked {
            let facts = (client.peer, clock::now(), status);
            self.log.note(&Line::new(asked, route, verdict, entry, facts));
        }
        next
    }

    /// Counts what became of a request, and says it in a word.
    pub(super) fn count(&self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Objected(_) => {
                self.counters.object();
                "unsound"
            }
            Outcome::NotFound => {
                self.counters.unrouted();
                "no_route"
            }
            Outcome::Denied(reason) => {
                self.counters.deny(reason);
                reason.as_str()
            }
            Outcome::TooLong => {
                self.counters.refuse_long();
                "too_long"
            }
            Outcome::Failed(Mishap::Crowded) => {
                self.counters.crowd();
                "crowded"
            }
            // It is the client's doing.
            Outcome::Failed(Mishap::ClientBody | Mishap::ClientBodyTooLong) => "permit",
            Outcome::Failed(
                Mishap::Unreachable | Mishap::Broken | Mishap::Unsound | Mishap::Late,
            ) => {
                self.counters.fail();
                "permit"
            }
        }
    }

    /// Sends an answer of our own. Answers with its status.
    pub(super) async fn own(
        &self,
        outcome: Outcome,
        client: &Client,
        exchange: &mut Exchange<'_, '_>,
        traits: Traits,
        route: Option<&Route>,
    ) -> (u16, Next) {
        let response = answer::respond(outcome, route, &self.challenges);
        // What is left of the body is nobody's: the next request must not begin within it. One that
        // was on its way up is not looked at again.
        let left = if exchange.reader.request().is_some() {
            exchange.reader.begin_body(0, Decoder::of_request(traits.framing));
            exchange.reader.discard_body().is_ok_and(|all| all)
        } else {
            exchange.reader.body().is_ended()
        };
        let through = left && !outcome.ends_connection();
        let goes_on = !client.phase.is_draining() || exchange.reader.has_unused();
        let persists = through && traits.persists && goes_on;
        let mut text = exchange.buffers.text();
        let date = |text: &mut Vec<u8>| self.date.write(text);
        answer::write(&mut text, &response, date, traits.connection(persists), traits.is_head);
        let sent = exchange.writer.send([&text, b"", b""]).await;
        let next = match (sent, persists) {
            (Err(_), _) => Next::Close,
            (Ok(()), true) => Next::Request,
            (Ok(()), false) if through && !traits.persists => Next::Close,
            (Ok(()), false) => Next::Linger,
        };
        (response.status().as_u16(), next)
    }
}
