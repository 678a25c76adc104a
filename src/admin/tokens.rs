//! `/orgs/{org}/tokens`: API tokens.

mod body;
pub(crate) mod bulk;
mod query;
pub(crate) mod rotation;
pub(crate) mod transfer;

pub(crate) use body::{CreatedToken, NewToken, PersonBody, TokenBody, TokenChange, TtlWish};
pub(crate) use query::TokensQuery;

use super::desk::{self, Desk, Step, Versioned};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, OptionalJson, Params, Query};
use super::idempotency::{self, IdempotencyKey, Once};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::users::Because;
use super::{NoRandom, Shared};
use crate::directory::{self, Census, Page, People, Room, TokenColumn, TokenQuery, TokenRow};
use crate::governance::token::{CreateToken, Existing, Life, policies_of};
use crate::governance::{Plan, Refusal, words};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Organization, Revision, User};
use crate::policy::Policies;
use crate::secret::{Digest, Secret};
use crate::token::{ApiToken, Usage};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};

/// The identity of a new token and the digest of its secret: what may be passed around.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minted {
    pub(crate) token: TokenId,
    pub(crate) digest: Digest,
}

/// Makes a secret.
pub(crate) fn mint(state: &Shared) -> Result<(Minted, Secret), Problem> {
    let secret = Secret::generate(&state.token_prefix, |bytes| (state.random)(bytes));
    let secret = secret.map_err(|error: NoRandom| Problem::internal(&error))?;
    let token = TokenId::new((state.clock)(), random(state)?);
    Ok((Minted { token, digest: secret.digest() }, secret))
}

/// Random bits of an identity.
pub(crate) fn random(state: &Shared) -> Result<[u8; 10], Problem> {
    let mut bytes = [0; 10];
    (state.random)(&mut bytes).map_err(|error| Problem::internal(&error))?;
    Ok(bytes)
}

/// A path as the value of a field; paths of ours are ASCII.
pub(crate) fn path(path: &str) -> HeaderValue {
    HeaderValue::from_str(path).unwrap_or_else(|_never| HeaderValue::from_static("/"))
}

/// List the tokens of the organization. A member lists their own, with `owner=me`.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/tokens",
    tag = "tokens",
    operation_id = "list_tokens",
    params(("org" = String, Path, description = "Identity of the organization"), TokensQuery),
    responses(
        (status = 200, description = "A page of tokens", body = PageBody<TokenBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<TokensQuery>,
) -> Result<axum::Json<PageBody<TokenBody>>, Problem> {
    let is_of_all = query.owner.is_none();
    desk::list(&state, call, is_of_all, move |desk| {
        let (page, policies) = listed(desk, params.id("org")?, &query)?;
        Ok(axum::Json(page.map(|row| TokenBody::new(row, &policies, desk)).into()))
    })
    .await
}

/// A page of the list, and the policies that its rows are judged by.
pub(crate) fn listed(
    desk: &Desk<'_>,
    org: OrgId,
    asked: &TokensQuery,
) -> Result<(Page<TokenRow>, Policies), Problem> {
    let (page, _census, policies) = counted(desk, org, asked)?;
    Ok((page, policies))
}

/// As [`listed`], and how many there are in each state.
pub(crate) fn counted(
    desk: &Desk<'_>,
    org: OrgId,
    asked: &TokensQuery,
) -> Result<(Page<TokenRow>, Census, Policies), Problem> {
    let query = query(desk, org, asked)?;
    let (page, census) = directory::tokens(room(desk), &query)?;
    Ok((page, census, query.policies))
}

/// What all tokens of an organization are read from.
pub(crate) fn room<'a>(desk: &'a Desk<'_>) -> Room<'a> {
    let state = desk.state;
    Room {
        ledger: desk.ledger(),
        facts: &*state.facts,
        uses: &*state.uses,
        shelves: &state.shelves,
    }
}

fn query(desk: &Desk<'_>, org: OrgId, asked: &TokensQuery) -> Result<TokenQuery, Problem> {
    let org = desk.org(org)?;
    let owner = asked.owner.as_deref().map(|owner| user_id(owner, desk)).transpose()?;
    desk.caller.lists_tokens(&org, owner)?;
    let (sort, limit) = (asked.sort.as_deref(), asked.limit.as_deref());
    Ok(TokenQuery {
        org: org.id,
        owner,
        filter: asked.filter(desk)?,
        policies: policies_of(&org),
        asked: list::asked::<TokenColumn>(sort, limit, asked.cursor.as_deref())?,
        now: desk.now(),
    })
}

pub(super) fn user_id(text: &str, desk: &Desk<'_>) -> Result<UserId, Problem> {
    if text == "me" {
        return Ok(desk.caller.user());
    }
    text.parse().map_err(|error| Problem::field("owner", format!("expected me, or: {error}")))
}

/// Create a token, for oneself or, as an owner, for another user.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens",
    tag = "tokens",
    operation_id = "create_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("Idempotency-Key" = Option<String>, Header, description = "Creates once per key")
    ),
    request_body = NewToken,
    responses(
        (status = 201, description = "Created", body = CreatedToken,
         headers(("ETag" = String), ("Location" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    key: IdempotencyKey,
    body: Json<NewToken>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let org_id = params.id("org")?;
    let (done, secret) = make(&state, call, org_id, once, body.value).await?;
    let (token, is_new) = done.answer;
    let location = format!("/api/v1/orgs/{org_id}/tokens/{}", token.id);
    let headers = [(ETAG, etag::tag(done.version)), (LOCATION, path(&location))];
    let created = CreatedToken { token, secret: is_new.then(|| secret.expose().to_owned()) };
    Ok((StatusCode::CREATED, headers, axum::Json(created)).into_response())
}

/// Makes a token. Answers it, whether it is new and has the secret, and the secret.
pub(crate) async fn make(
    state: &Shared,
    call: Call,
    org_id: OrgId,
    once: Once,
    wanted: NewToken,
) -> Result<(Versioned<(TokenBody, bool)>, Secret), Problem> {
    let (minted, secret) = mint(state)?;
    let life = life(&wanted)?;
    let done = desk::change(state, call, move |desk| {
        let org = desk.org(org_id)?;
        let owner = wanted.owner.as_deref().unwrap_or("me");
        let owner = user_id(owner, desk)?;
        desk.caller.mints_for(org.id, owner)?;
        if let Some(made) = once.made(desk.ledger())? {
            let made = made.parse().map_err(|_never| idempotency::gone())?;
            let loaded = Loaded::of(desk, &org, made).map_err(|_absent| idempotency::gone())?;
            let version = loaded.token.version;
            return Ok(Step::Answer((loaded.show(desk)?, false), version));
        }
        let owner = desk
            .user(owner)
            .map_err(|_absent| Problem::field("owner", "no such user in the organization"))?;
        let command = CreateToken {
            org: &org,
            owner: &owner,
            id: minted.token,
            digest: minted.digest,
            name: wanted.name.clone(),
            life,
            scope: wanted.scope.set("scope", desk)?,
            notify_before_expiry: wanted.notify_before_expiry.clone(),
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        let people = People::these(desk.ledger(), org.id, [desk.caller.user(), owner.id])?;
        let step = Step::of(plan, Revision::default(), |token| {
            let row = TokenRow::new(token, Usage::default(), &people);
            (TokenBody::new(row, &policies_of(&org), desk), true)
        });
        Ok(step.with(|change| once.mark(change, minted.token.to_string(), desk.now())))
    })
    .await?;
    Ok((done, secret))
}

fn life(wanted: &NewToken) -> Result<Life, Problem> {
    match (wanted.ttl, wanted.expires_at) {
        (None, None) => Ok(Life::Unsaid),
        (Some(TtlWish::Ttl(ttl)), None) => Ok(Life::Ttl(ttl)),
        (Some(TtlWish::Longest), None) => Ok(Life::Longest),
        (None, Some(end)) => Ok(Life::Until(end)),
        (Some(_), Some(_)) => Err(Problem::field("expires_at", "expected this or ttl, not both")),
    }
}

/// A token with all that a change of it and its description need.
pub(super) struct Loaded {
    pub(super) org: Organization,
    owner: Option<User>,
    pub(super) token: ApiToken,
    pub(super) usage: Usage,
}

impl Loaded {
    fn of(desk: &Desk<'_>, org: &Organization, id: TokenId) -> Result<Self, Problem> {
        let still = desk.state.uses.still();
        let found = desk.ledger().token(id)?.filter(|(token, _)| token.org == org.id);
        let (token, stored) = found.ok_or_else(Problem::not_found)?;
        let usage = stored.merged(still.pending(id));
        let owner = desk.ledger().user(token.owner)?.filter(|owner| owner.org == org.id);
        Ok(Self { org: org.clone(), owner, token, usage })
    }

    pub(super) fn named(desk: &Desk<'_>, params: &Params) -> Result<Self, Problem> {
        let org = desk.org(params.id("org")?)?;
        Self::of(desk, &org, params.id("token")?)
    }

    const fn existing(&self) -> Existing<'_> {
        Existing { org: &self.org, owner: self.owner.as_ref(), token: &self.token }
    }

    fn show(&self, desk: &Desk<'_>) -> Result<TokenBody, Problem> {
        let ids = [Some(self.token.owner), self.token.created_by];
        let people = People::these(desk.ledger(), self.org.id, ids.into_iter().flatten())?;
        let row = TokenRow::new(self.token.clone(), self.usage, &people);
        Ok(TokenBody::new(row, &policies_of(&self.org), desk))
    }

    pub(super) fn step(
        mut self,
        plan: Result<Plan<ApiToken>, Refusal>,
        precondition: &Precondition,
        desk: &Desk<'_>,
    ) -> Result<Step<TokenBody>, Problem> {
        let plan = plan?;
        let current = self.token.version;
        precondition.holds(current)?;
        Ok(match plan {
            Plan::Nothing(_) => Step::Answer(self.show(desk)?, current),
            Plan::Change(change, token) => {
                self.token = token;
                Step::Commit(change, self.show(desk)?)
            }
        })
    }
}

/// Read a token. A member reads their own.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/tokens/{token}",
    tag = "tokens",
    operation_id = "read_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token")
    ),
    responses(
        (status = 200, description = "The token", body = TokenBody, headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let done = desk::read(&state, call, move |desk| {
        let loaded = read_by(desk, &params)?;
        Ok(Versioned { answer: loaded.show(desk)?, version: loaded.token.version })
    })
    .await?;
    Ok(shown(done))
}

/// A token that the caller may read.
fn read_by(desk: &Desk<'_>, params: &Params) -> Result<Loaded, Problem> {
    let loaded = Loaded::named(desk, params)?;
    desk.caller.reads_token(&loaded.org, loaded.token.owner)?;
    Ok(loaded)
}

/// A token that the caller may read, as a row of the list, and the policies that it is judged by.
pub(crate) fn row(desk: &Desk<'_>, params: &Params) -> Result<(TokenRow, Policies), Problem> {
    let loaded = read_by(desk, params)?;
    let ids = [Some(loaded.token.owner), loaded.token.created_by];
    let people = People::these(desk.ledger(), loaded.org.id, ids.into_iter().flatten())?;
    Ok((TokenRow::new(loaded.token, loaded.usage, &people), policies_of(&loaded.org)))
}

pub(super) fn shown(done: Versioned<TokenBody>) -> Response {
    ([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response()
}

/// Rename a token, or take roles from its scope.
#[utoipa::path(
    patch,
    path = "/api/v1/orgs/{org}/tokens/{token}",
    tag = "tokens",
    operation_id = "update_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = TokenChange,
    responses(
        (status = 200, description = "The token", body = TokenBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn update(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<TokenChange>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        let scope =
            wanted.scope.as_ref().map(|scope| scope.held(&loaded.token.scope, "scope", desk));
        let scope = scope.transpose()?;
        let name = wanted.name.as_deref();
        let days = wanted.notify_before_expiry.as_deref();
        let plan = loaded.existing().update(name, scope, days, desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Deactivate a token: from now on it is not admitted, until it is activated again.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/{token}/deactivate",
    tag = "tokens",
    operation_id = "deactivate_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = Option<Because>,
    responses(
        (status = 200, description = "Deactivated", body = TokenBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn deactivate(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: OptionalJson<Because>,
) -> Result<Response, Problem> {
    let reason = words::reason("reason", body.value.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        let plan = loaded.existing().deactivate(reason.clone(), desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Activate a token again. What an owner deactivated only an owner activates.
#[utoipa::path(
    post,
    path = "/api/v1/orgs/{org}/tokens/{token}/activate",
    tag = "tokens",
    operation_id = "activate_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = Option<Because>,
    responses(
        (status = 200, description = "Activated", body = TokenBody, headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn activate(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: OptionalJson<Because>,
) -> Result<Response, Problem> {
    let reason = words::reason("reason", body.value.reason.as_deref())?;
    let done = desk::change(&state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        let plan = loaded.existing().activate(reason.clone(), desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(shown(done))
}

/// Revoke a token for good. Its row stays in the list, under `status=revoked`.
#[utoipa::path(
    delete,
    path = "/api/v1/orgs/{org}/tokens/{token}",
    tag = "tokens",
    operation_id = "revoke_token",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("token" = String, Path, description = "Identity of the token"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    responses((status = 204, description = "Revoked"), ChangeProblems)
)]
pub(crate) async fn revoke(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    desk::change(&state, call, move |desk| {
        let loaded = Loaded::named(desk, &params)?;
        let plan = loaded.existing().revoke(None, desk.caller, &desk.at);
        loaded.step(plan, &precondition, desk)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
