//! `/leaks`: whoever has found a secret of ours says so here, and the token is switched off.
//!
//! No credential is asked for: having the secret is proof enough, and the finder need not be
//! anybody. Partners who sign what they send (GitHub's secret scanning) are known by their keys.
//!
//! **Invariants.**
//! - The answer is the same, body and status, whatever was reported: a live token, a dead one, one
//!   that never was, or no token at all. It leaves [`ANSWER_AFTER`] a report has come, or a multiple
//!   of that, so that it does not tell by its time either what was done meanwhile.
//!   That holds while the writer is busy or the store fails, too: a report that changes nothing goes the
//!   same way through the writer ([`ask_the_writer`]), and is turned away where a change would be.
//! - When it leaves, the token is refused.
//! - Who reports the same over and over fills no trail: what takes nothing away is recorded once a
//!   day for each secret.

use super::extract::{self, Signed};
use super::openapi::ReportProblems;
use super::problem::{Kind, Problem};
use super::{ATTEMPTS_MAX, AdminState, Shared};
use crate::audit::Origin;
use crate::change::{Change, Require};
use crate::governance::Occasion;
use crate::governance::leak::{Leak, Outcome};
use crate::id::UserId;
use crate::leak::{Place, REPORTED_MAX, Report, SECRET_BYTES_MAX, places};
use crate::org::User;
use crate::secret::Digest;
use crate::store::CommitError;
use crate::token::ApiToken;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Largest body of a report.
pub(crate) const REPORT_BYTES_MAX: usize = 64 * 1024;
/// When the answer leaves, counted from the coming of the call: after so long, or a multiple.
pub(crate) const ANSWER_AFTER: Duration = Duration::from_millis(250);

/// A secret that was found.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Leak)]
pub(crate) struct LeakBody {
    /// What was found.
    token: String,
    /// Where it was found: an address, most of the time. 300 characters of it are kept.
    url: Option<String>,
    /// In what kind of place. 64 characters of it are kept.
    source: Option<String>,
}

/// One of those that a partner signs. What else they send is not looked at.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = SignedLeak)]
pub(crate) struct SignedLeakBody {
    /// What was found.
    token: String,
    /// Where it was found.
    url: Option<String>,
    /// In what kind of place.
    source: Option<String>,
}

/// One report, or a list of those that are signed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = Leaks)]
#[expect(dead_code, reason = "it describes what is told apart by its first byte")]
pub(crate) enum LeaksBody {
    One(LeakBody),
    Many(Vec<SignedLeakBody>),
}

/// The same whatever was reported.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = LeakReceived)]
pub(crate) struct ReceivedBody {
    /// `received`.
    status: &'static str,
}

/// Report a secret that was found where it should not be.
#[utoipa::path(
    post,
    path = "/api/v1/leaks",
    tag = "leaks",
    operation_id = "report_leak",
    params(
        ("GITHUB-PUBLIC-KEY-IDENTIFIER" = Option<String>, Header,
         description = "The key that a list is signed with, from `[leaks] keys`"),
        ("GITHUB-PUBLIC-KEY-SIGNATURE" = Option<String>, Header,
         description = "ECDSA over P-256 and SHA-256, of the body as it is; ASN.1 in base64")
    ),
    request_body(content = LeaksBody, content_type = "application/json"),
    responses(
        (status = 202, description = "Received; the same whatever it was", body = ReceivedBody),
        ReportProblems
    )
)]
pub(crate) async fn report(
    State(state): State<Shared>,
    signed: Signed,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let signed_by = vetted(&state, &signed)?;
    let reports = reports(&signed.body, signed_by.is_some())?;
    if !state.ledger.is_writable() {
        return Err(unwritable());
    }
    let (work, origin) = (Arc::clone(&state), signed.origin);
    let done = tokio::task::spawn_blocking(move || {
        let places = places(&reports);
        let reports = reports.iter().zip(&places);
        // One that fails keeps none of the others from being acted upon.
        reports
            .map(|(report, place)| act(&work, report, place, signed_by.as_deref(), &origin))
            .fold(Ok(()), Result::and)
    });
    let done = done.await.unwrap_or_else(|error| Err(Problem::internal(&error)));
    until_it_tells_nothing(begun).await;
    done?;
    let received = ReceivedBody { status: "received" };
    Ok((StatusCode::ACCEPTED, axum::Json(received)).into_response())
}

/// The key that the report is signed with, if it is. Who does not sign has to wait between reports,
/// as with wrong tokens, and who signs what does not fit, too.
fn vetted(state: &AdminState, signed: &Signed) -> Result<Option<String>, Problem> {
    let proved = signed.signature.as_ref().map(|(key, signature)| {
        let proved = state.partners.verify(key, signature, &signed.body);
        proved.map(|()| key.clone())
    });
    match proved {
        Some(Ok(key)) => Ok(Some(key)),
        forged @ (None | Some(Err(_))) => {
            if let Some(address) = signed.origin.address {
                let counted = state.guesses.count(address, (state.clock)());
                counted.map_err(Problem::too_many_reports)?;
            }
            match forged {
                Some(Err(forged)) => Err(Problem::new(Kind::Forbidden, forged.to_string())),
                Some(Ok(_)) | None => Ok(None),
            }
        }
    }
}

fn reports(body: &[u8], is_signed: bool) -> Result<Vec<Report>, Problem> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        let LeakBody { token, url, source } = extract::parse(body)?;
        return Ok(vec![Report { secret: Zeroizing::new(token), url, source }]);
    }
    if !is_signed {
        let told = "a list of secrets is taken from those who sign it, by a key of `[leaks] keys`; \
                    others report one at a time";
        return Err(Problem::new(Kind::Forbidden, told));
    }
    let many: Vec<SignedLeakBody> = extract::parse_list(body)?;
    if !(1..=REPORTED_MAX).contains(&many.len()) {
        return Err(Problem::field("", format!("expected 1 to {REPORTED_MAX} secrets")));
    }
    let report = |SignedLeakBody { token, url, source }| Report {
        secret: Zeroizing::new(token),
        url,
        source,
    };
    Ok(many.into_iter().map(report).collect())
}

/// Does what follows of one report. Blocks.
fn act(
    state: &AdminState,
    report: &Report,
    place: &Place,
    signed_by: Option<&str>,
    origin: &Origin,
) -> Result<(), Problem> {
    let secret = report.secret.trim();
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
        return ask_the_writer(state);
    }
    let digest = Digest::of(secret.as_bytes());
    for _attempt in 0..ATTEMPTS_MAX {
        let Some((token, owners)) = known(state, &digest)? else { return ask_the_writer(state) };
        let now = (state.clock)();
        let roles = state.ledger.roles();
        let at = Occasion { now, roles: &roles, origin };
        let leak = Leak { token: &token, digest: &digest, owners, place, signed_by };
        // It has moved on since it was looked up.
        let Some((outcome, change)) = leak.plan(&at) else { continue };
        if outcome == Outcome::Nothing && !state.leaks.is_news(&digest, now) {
            return ask_the_writer(state);
        }
        match state.ledger.commit(change).wait() {
            Ok(_committed) => return Ok(()),
            Err(CommitError::Conflict(_)) => state.leaks.forget(&digest),
            Err(error) => {
                state.leaks.forget(&digest);
                return Err(turned_away(&error));
            }
        }
    }
    Err(turned_away(&CommitError::Busy))
}

/// Goes the way of a change through the writer, and changes nothing: it requires what never holds.
/// So a report that takes nothing away is answered as one that does, after the same queue and with the
/// same error where that is full.
fn ask_the_writer(state: &AdminState) -> Result<(), Problem> {
    let change = Change { requires: vec![Require::Empty], ..Change::default() };
    match state.ledger.commit(change).wait() {
        Ok(_) | Err(CommitError::Conflict(_)) => Ok(()),
        Err(error) => Err(turned_away(&error)),
    }
}

/// The answer where the writer does not take a change, whatever that was: whoever reports has to come
/// again. Whether something stays refused that could not be recorded is not for them to know.
fn turned_away(error: &CommitError) -> Problem {
    tracing::error!(%error, "a report of a leak was turned away, and is to be made again");
    match error {
        CommitError::Busy | CommitError::Conflict(_) => {
            Problem::new(Kind::Busy, "too many changes are waiting to be written; try again")
        }
        CommitError::Full | CommitError::Failed(_) | CommitError::Closed => unwritable(),
    }
}

fn unwritable() -> Problem {
    Problem::new(Kind::Unavailable, "the store takes no changes until it is opened anew")
}

/// The token whose secret it is or was, and the active owners of its organization.
fn known(state: &AdminState, digest: &Digest) -> Result<Option<(ApiToken, Vec<UserId>)>, Problem> {
    let (_revision, Some(found)) = state.facts.lookup(digest)? else { return Ok(None) };
    let Some((token, _usage)) = state.ledger.token(found.token.id)? else { return Ok(None) };
    let owners = state.ledger.users(token.org)?.into_iter().filter(User::is_active_owner);
    let owners = owners.map(|owner| owner.id).collect();
    Ok(Some((token, owners)))
}

async fn until_it_tells_nothing(begun: Instant) {
    let span = ANSWER_AFTER.as_millis();
    let rounds = begun.elapsed().as_millis() / span + 1;
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
    tokio::time::sleep_until(begun + ANSWER_AFTER * rounds).await;
}
