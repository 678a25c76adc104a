//! `/orgs/{org}/notices`: who was told of what, and what became of it.

use super::Shared;
use super::desk::{self, Desk, Step};
use super::etag::{self, Precondition};
use super::extract::{Call, Params, Query};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use crate::governance::webhook;
use crate::id::{NoticeId, TokenId, UserId, WebhookId};
use crate::notice::{About, Addressee, Detail, Kind, Notice, Standing, State as NoticeState};
use crate::time::Timestamp;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Most notices that are read for one page of those that are asked for.
const READ_MAX: usize = 50_000;

/// Who is told.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = NoticeAddressee)]
pub(super) enum AddresseeBody {
    /// A user, by mail.
    User {
        #[schema(value_type = String)]
        id: UserId,
    },
    /// A webhook.
    Webhook {
        #[schema(value_type = String)]
        id: WebhookId,
    },
}

/// What it is about.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = NoticeSubject)]
pub(super) struct SubjectBody {
    /// `token`, `user` or `organization`.
    pub(super) r#type: &'static str,
    pub(super) id: String,
    /// Its name at that time.
    pub(super) name: String,
}

/// A notice: one mail or webhook call that somebody is owed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Notice)]
pub(crate) struct NoticeBody {
    #[schema(value_type = String, example = "ntc_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    pub(super) id: NoticeId,
    pub(super) kind: Kind,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
    pub(super) to: AddresseeBody,
    pub(super) about: SubjectBody,
    /// Who did it; null if Bearward did, or somebody on the machine itself.
    #[schema(required, value_type = Option<String>)]
    pub(super) by: Option<UserId>,
    /// Why, in the words of who did it.
    #[schema(required)]
    pub(super) reason: Option<String>,
    pub(super) details: Vec<Detail>,
    pub(super) state: Standing,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// When it is tried next; null if it is not, or settles.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) due_at: Option<Timestamp>,
    /// When it was delivered, given up, or made pointless.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) ended_at: Option<Timestamp>,
    /// What went wrong the last time.
    #[schema(required)]
    pub(super) error: Option<String>,
    /// The later notice that made it pointless.
    #[schema(required, value_type = Option<String>)]
    pub(super) superseded_by: Option<NoticeId>,
}

impl From<Notice> for NoticeBody {
    fn from(notice: Notice) -> Self {
        let says = notice.says;
        let (r#type, about, name) = match says.about {
            About::Token(id, name) => ("token", id.to_string(), name),
            About::User(id, name) => ("user", id.to_string(), name),
            About::Organization => ("organization", says.org.to_string(), String::new()),
        };
        let (due_at, error, superseded_by) = match &notice.state {
            NoticeState::Waiting { due_at, error, .. } => (Some(*due_at), error.clone(), None),
            NoticeState::Dead { error, .. } => (None, Some(error.clone()), None),
            NoticeState::Superseded { by, .. } => (None, None, Some(*by)),
            NoticeState::Settling { .. }
            | NoticeState::Delivered { .. }
            | NoticeState::NoChannel { .. } => (None, None, None),
        };
        Self {
            id: notice.id,
            kind: says.kind,
            at: says.at,
            to: match notice.to {
                Addressee::User(id) => AddresseeBody::User { id },
                Addressee::Webhook(id) => AddresseeBody::Webhook { id },
            },
            about: SubjectBody { r#type, id: about, name },
            by: says.by,
            reason: says.reason,
            details: says.details,
            state: notice.state.standing(),
            attempts: notice.state.attempts(),
            due_at,
            ended_at: notice.state.ended_at(),
            error,
            superseded_by,
        }
    }
}

/// Parameters of the list of notices.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NoticesQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said. A page can have fewer and still not be the
    /// last.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// `waiting`, `delivered`, `dead`, `superseded` or `no_channel`.
    pub(super) state: Option<String>,
    /// Those about one token.
    pub(super) token: Option<String>,
    /// Those to one user, or about them.
    pub(super) user: Option<String>,
}

/// Which notices are asked for.
struct Filter {
    state: Option<Standing>,
    token: Option<TokenId>,
    user: Option<UserId>,
}

impl Filter {
    fn read(query: &NoticesQuery) -> Result<Self, Problem> {
        let state = query.state.as_deref().map(|text| {
            let known = Standing::ALL.into_iter().find(|(name, _)| *name == text);
            known.map(|(_, state)| state).ok_or_else(|| {
                let names = Standing::ALL.map(|(name, _)| name).join(", ");
                Problem::field("state", format!("expected one of {names}"))
            })
        });
        Ok(Self {
            state: state.transpose()?,
            token: identity("token", query.token.as_deref())?,
            user: identity("user", query.user.as_deref())?,
        })
    }

    fn takes(&self, notice: &Notice) -> bool {
        let about =
            |wanted: TokenId| matches!(notice.says.about, About::Token(id, _) if id == wanted);
        let concerns = |wanted: UserId| {
            notice.to == Addressee::User(wanted)
                || matches!(notice.says.about, About::User(id, _) if id == wanted)
        };
        self.state.is_none_or(|state| notice.state.standing() == state)
            && self.token.is_none_or(about)
            && self.user.is_none_or(concerns)
    }
}

fn identity<I: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<I>, Problem> {
    let parsed = text
        .map(|text| text.parse().map_err(|error: I::Err| Problem::field(field, error.to_string())));
    parsed.transpose()
}

/// List the notices, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/notices",
    tag = "notices",
    operation_id = "list_notices",
    params(("org" = String, Path, description = "Identity of the organization"), NoticesQuery),
    responses(
        (status = 200, description = "A page of notices", body = PageBody<NoticeBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<NoticesQuery>,
) -> Result<axum::Json<PageBody<NoticeBody>>, Problem> {
    desk::read(&state, call, move |desk| {
        let org = params.id("org")?;
        desk.caller.reads_notices(org)?;
        let limit = list::limit(query.limit.as_deref())?;
        let before = match query.cursor.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_not_ours| list::broken_cursor())?),
        };
        let filter = Filter::read(&query)?;
        let (mut items, mut read, mut last, mut has_next) = (Vec::new(), 0, None, false);
        desk.ledger().visit_notices(org, before, &mut |notice| {
            let wanted = filter.takes(&notice);
            // There is another one: the next page begins behind the last that was read.
            if read == READ_MAX || (wanted && items.len() == limit) {
                has_next = true;
                return ControlFlow::Break(());
            }
            read += 1;
            last = Some(notice.id);
            if wanted {
                items.push(NoticeBody::from(notice));
            }
            ControlFlow::Continue(())
        })?;
        let next_cursor = last.filter(|_| has_next).map(|last| last.to_string());
        Ok(axum::Json(PageBody { items, next_cursor }))
    })
    .await
}

fn named(desk: &Desk<'_>, params: &Params) -> Result<Notice, Problem> {
    let org = params.id("org")?;
    desk.caller.reads_notices(org)?;
    desk.ledger().notice(org, params.id("notice")?)?.ok_or_else(Problem::not_found)
}

/// Read a notice.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/notices/{notice}",
    tag = "notices",
    operation_id = "read_notice",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("notice" = String, Path, description = "Identity of the notice")
    ),
    responses(
        (status = 200, description = "The notice", body = NoticeBody, headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let found = desk::read(&state, call, move |desk| named(desk, &params)).await?;
    let headers = [(ETAG, etag::tag(found.version))];
    Ok((headers, axum::Json(NoticeBody::from(found))).into_response())
}

/// Deliver a notice again, at once and under the same identity, whatever became of it before.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/notices/{notice}/redeliver",
    tag = "notices",
    operation_id = "redeliver_notice",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("notice" = String, Path, description = "Identity of the notice"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    responses(
        (status = 200, description = "To be delivered", body = NoticeBody,
         headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn redeliver(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
) -> Result<Response, Problem> {
    let done = desk::change(&state, call, move |desk| {
        let found = named(desk, &params)?;
        let plan = webhook::redeliver(&found, desk.caller, &desk.at)?;
        precondition.holds(found.version)?;
        Ok(Step::of(plan, found.version, NoticeBody::from))
    })
    .await?;
    let headers = [(ETAG, etag::tag(done.version))];
    Ok((headers, axum::Json(done.answer)).into_response())
}
