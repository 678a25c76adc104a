//! `/orgs`: organizations.

use super::desk::{self, Desk, Step};
use super::etag::{self, Precondition};
use super::extract::{Call, Json, Params, Query};
use super::idempotency::{self, IdempotencyKey};
use super::list::{self, PageBody};
use super::me::Nothing;
use super::openapi::{ChangeProblems, ReadProblems};
use super::problem::Problem;
use super::tokens::{self, TokenBody};
use super::users::UserBody;
use super::{Shared, tokens::Minted};
use crate::directory::{self, OrganizationColumn, People, TokenRow};
use crate::governance::org::{Founding, UpdateOrganization};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Governance, Organization};
use crate::time::Timestamp;
use crate::token::Usage;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use serde::{Deserialize, Serialize};

/// An organization.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Organization)]
pub(crate) struct OrganizationBody {
    #[schema(value_type = String, example = "org_01jgfjjy2g3q8n5r7s9t1v3w5x")]
    id: OrgId,
    #[schema(example = "Acme")]
    name: String,
    governance: Governance,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&Organization> for OrganizationBody {
    fn from(org: &Organization) -> Self {
        Self {
            id: org.id,
            name: org.name.clone(),
            governance: org.governance,
            created_at: org.created_at,
        }
    }
}

/// Parameters of the list of organizations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrganizationsQuery {
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// A text in the name.
    q: Option<String>,
    /// `name`, `governance`, `created_at` or `id`; with `-` before it the largest first.
    sort: Option<String>,
}

/// List the organizations: for the operator all of them, for others their own.
#[utoipa::path(
    get,
    path = "/api/v1/orgs",
    tag = "organizations",
    operation_id = "list_organizations",
    params(OrganizationsQuery),
    responses(
        (status = 200, description = "A page of organizations", body = PageBody<OrganizationBody>),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    Query(query): Query<OrganizationsQuery>,
) -> Result<axum::Json<PageBody<OrganizationBody>>, Problem> {
    let page = desk::read(&state, call, move |desk| {
        desk.caller.lists_organizations()?;
        let (sort, limit) = (query.sort.as_deref(), query.limit.as_deref());
        let asked = list::asked::<OrganizationColumn>(sort, limit, query.cursor.as_deref())?;
        let search = list::search(query.q.as_deref())?;
        let all = if desk.caller.is_operator() {
            desk.ledger().organizations()?
        } else {
            vec![desk.org(desk.caller.org())?]
        };
        Ok(directory::organizations(all, search.as_deref(), asked))
    })
    .await?;
    Ok(axum::Json(page.map(|org| OrganizationBody::from(&org)).into()))
}

/// The first owner of a new organization.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FirstOwner {
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(example = "Ada")]
    name: String,
}

/// A new organization.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrganization {
    /// 1 to 64 characters.
    #[schema(example = "Acme", min_length = 1, max_length = 64)]
    name: String,
    owner: FirstOwner,
}

/// A new organization, its first owner and that owner's token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Founded {
    organization: OrganizationBody,
    owner: UserBody,
    token: TokenBody,
    /// The token's secret. It is shown this once; null when the request is repeated under its
    /// `Idempotency-Key`.
    #[schema(required)]
    secret: Option<String>,
}

/// Create an organization, with its first owner and one token of theirs. For the operator.
#[utoipa::path(
    post,
    path = "/api/v1/orgs",
    tag = "organizations",
    operation_id = "create_organization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Creates once per key")),
    request_body = NewOrganization,
    responses(
        (status = 201, description = "Created", body = Founded,
         headers(("ETag" = String), ("Location" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Shared>,
    call: Call,
    key: IdempotencyKey,
    body: Json<NewOrganization>,
) -> Result<Response, Problem> {
    let once = key.bind(&call.caller, &body.digest);
    let (minted, secret) = tokens::mint(&state)?;
    let Minted { token, digest } = minted;
    let now = (state.clock)();
    let org = OrgId::new(now, tokens::random(&state)?);
    let owner = UserId::new(now, tokens::random(&state)?);
    let wanted = body.value;
    let made = desk::change(&state, call, move |desk| {
        if let Some(made) = once.made(desk.ledger())? {
            desk.caller.creates_organizations()?;
            return replayed(desk, &made);
        }
        let founding = Founding {
            org,
            owner,
            token,
            digest,
            name: wanted.name.clone(),
            owner_email: wanted.owner.email.clone(),
            owner_name: wanted.owner.name.clone(),
            service_roles: desk.catalogue.service_roles(desk.roles()),
        };
        let plan = founding.plan(desk.caller, &desk.at)?;
        let step = Step::of(plan, crate::org::Revision::default(), |founded| {
            let people = People::default().with(&founded.owner);
            let row = TokenRow::new(founded.token, Usage::default(), &people);
            let policies = founded.organization.policies;
            let body = Founded {
                organization: OrganizationBody::from(&founded.organization),
                owner: UserBody::new(&founded.owner, desk.roles()),
                token: TokenBody::new(row, &policies, desk),
                secret: None,
            };
            (body, true)
        });
        Ok(step.with(|change| once.mark(change, format!("{org} {owner} {token}"), desk.now())))
    })
    .await?;
    let (mut founded, is_new) = made.answer;
    founded.secret = is_new.then(|| secret.expose().to_owned());
    let location = format!("/api/v1/orgs/{}", founded.organization.id);
    let headers = [(ETAG, etag::tag(made.version)), (LOCATION, tokens::path(&location))];
    Ok((StatusCode::CREATED, headers, axum::Json(founded)).into_response())
}

/// What an earlier request under the same key made, as it is now.
fn replayed(desk: &Desk<'_>, made: &str) -> Result<Step<(Founded, bool)>, Problem> {
    let mut ids = made.split(' ');
    let mut next = || ids.next().unwrap_or_default();
    let (org, owner, token) = (next().parse::<OrgId>(), next().parse(), next().parse());
    let (Ok(org), Ok(owner), Ok(token)) = (org, owner, token) else {
        return Err(idempotency::gone());
    };
    let (owner, token): (UserId, TokenId) = (owner, token);
    let ledger = desk.ledger();
    let found = (ledger.organization(org)?, ledger.user(owner)?, ledger.token(token)?);
    let (Some(org), Some(owner), Some((token, usage))) = found else {
        return Err(idempotency::gone());
    };
    let row = TokenRow::new(token, usage, &People::default().with(&owner));
    let founded = Founded {
        organization: OrganizationBody::from(&org),
        owner: UserBody::new(&owner, desk.roles()),
        token: TokenBody::new(row, &crate::governance::token::policies_of(&org), desk),
        secret: None,
    };
    Ok(Step::Answer((founded, false), org.version))
}

/// Read an organization.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}",
    tag = "organizations",
    operation_id = "read_organization",
    params(("org" = String, Path, description = "Identity of the organization")),
    responses(
        (status = 200, description = "The organization", body = OrganizationBody,
         headers(("ETag" = String))),
        ReadProblems
    )
)]
pub(crate) async fn read(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    let org = desk::read(&state, call, move |desk| {
        let id = params.id("org")?;
        desk.caller.reads_organization(id)?;
        desk.org(id)
    })
    .await?;
    let headers = [(ETAG, etag::tag(org.version))];
    Ok((headers, axum::Json(OrganizationBody::from(&org))).into_response())
}

/// A change of an organization. What is left out stays as it is.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationChange {
    /// 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub(super) name: Option<String>,
    /// Whether the owners govern the tokens of the organization.
    pub(super) governance: Option<Governance>,
}

/// Rename an organization, or switch its governance.
#[utoipa::path(
    patch,
    path = "/api/v1/orgs/{org}",
    tag = "organizations",
    operation_id = "update_organization",
    params(
        ("org" = String, Path, description = "Identity of the organization"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")
    ),
    request_body = OrganizationChange,
    responses(
        (status = 200, description = "The organization", body = OrganizationBody,
         headers(("ETag" = String))),
        ChangeProblems
    )
)]
pub(crate) async fn update(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    precondition: Precondition,
    body: Json<OrganizationChange>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let done = desk::change(&state, call, move |desk| {
        let org = desk.org(params.id("org")?)?;
        let command = UpdateOrganization {
            org: &org,
            name: wanted.name.clone(),
            governance: wanted.governance,
        };
        let plan = command.plan(desk.caller, &desk.at)?;
        precondition.holds(org.version)?;
        Ok(Step::of(plan, org.version, |org| OrganizationBody::from(&org)))
    })
    .await?;
    Ok(([(ETAG, etag::tag(done.version))], axum::Json(done.answer)).into_response())
}
