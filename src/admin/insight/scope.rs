//! `GET /orgs/{org}/insight/unused-scope`: roles that tokens carry and that nothing needed.

use super::days;
use crate::admin::Shared;
use crate::admin::desk::{self, Desk};
use crate::admin::extract::{Call, Params, Query};
use crate::admin::list;
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::scope::Scope;
use crate::admin::tokens::PersonBody;
use crate::directory::{ExcessQuery, ExcessRow, excesses};
use crate::id::TokenId;
use crate::role::RoleTable;
use crate::time::Timestamp;
use crate::token::watch::Gap;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Which tokens, and in which order.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UnusedScopeQuery {
    /// For how many days nothing needed the roles, 1 to 366; 90 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 366)]
    days: Option<String>,
    /// This token only.
    token: Option<String>,
    /// `true`: those only of whose requests in these days all are known. `false`: the others.
    #[param(value_type = Option<bool>)]
    complete: Option<String>,
    /// `unused`, `name`, `created_at` or `last_used_at`, the largest first after a `-`; `-unused` if
    /// nothing is said.
    sort: Option<String>,
    /// Rows in a page, 1 to 200; 50 if nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of tokens of whose scope some was not needed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UnusedScopePage)]
pub(crate) struct UnusedScopeBody {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// For how many days nothing needed the roles.
    days: u16,
    /// Since when requests are recorded here; null before a gateway ever ran on this store.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    observed_since: Option<Timestamp>,
    /// Times since then in which some requests may have been missed: each ended with the start of a
    /// gateway whose predecessor had no orderly end, or whose store was restored.
    gaps: Vec<GapBody>,
    /// The tokens.
    items: Vec<UnusedBody>,
    /// What `cursor` is on the next page; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A time in which some requests may have been missed.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UnobservedTime)]
struct GapBody {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

impl From<Gap> for GapBody {
    fn from(Gap { from, until }: Gap) -> Self {
        Self { from, until }
    }
}

/// A live token, and what of its scope was not needed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UnusedScope)]
struct UnusedBody {
    #[schema(value_type = String)]
    id: TokenId,
    name: String,
    owner: PersonBody,
    /// The roles that it carries.
    scope: Scope,
    /// Those that no request needed: without all of them each would have been admitted.
    unused: Scope,
    /// Of the roles in each of these, every request that needed one would have been content with any:
    /// one can stay, and the others were not needed.
    one_of: Vec<Scope>,
    /// Since when its requests are known.
    #[schema(value_type = String, format = DateTime)]
    observed_since: Timestamp,
    /// Whether all of its requests in these days are known. If not, a request may have needed what is
    /// shown as unused.
    complete: bool,
    /// The last admitted request; null if there was none.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Admitted requests.
    use_count: u64,
}

impl UnusedBody {
    fn new(row: ExcessRow, table: &RoleTable) -> Self {
        let ExcessRow { token, usage, owner, excess, observed_since, is_complete } = row;
        let named = |roles| Scope::named(roles, table);
        Self {
            id: token.id,
            name: token.name,
            owner: owner.into(),
            scope: named(&token.scope),
            unused: named(&excess.unused),
            one_of: excess.one_of.iter().map(named).collect(),
            observed_since,
            complete: is_complete,
            last_used_at: usage.last_used_at,
            use_count: usage.use_count,
        }
    }
}

/// List the live tokens that carry roles which no request needed for some days. For owners.
///
/// What a request needs is what its route asks for; an upstream that decides by the scope that it is
/// told of is not seen. A call of this API counts as needing all organization roles that its token
/// carries. The day of the first instant counts as a whole.
#[utoipa::path(
    get,
    path = "/api/v1/orgs/{org}/insight/unused-scope",
    tag = "insight",
    operation_id = "list_unused_scope",
    params(("org" = String, Path, description = "Identity of the organization"), UnusedScopeQuery),
    responses(
        (status = 200, description = "The tokens", body = UnusedScopeBody),
        ReadProblems
    )
)]
pub(crate) async fn list(
    State(state): State<Shared>,
    call: Call,
    params: Params,
    Query(query): Query<UnusedScopeQuery>,
) -> Result<Json<UnusedScopeBody>, Problem> {
    let is_of_one = query.token.is_some();
    let found = move |desk: &Desk<'_>| {
        let org = desk.org(params.id("org")?)?;
        desk.caller.reads_insight(&org)?;
        let token = query.token.as_ref().map(|text| text.parse::<TokenId>()).transpose();
        let token = token.map_err(|error| Problem::field("token", error.to_string()))?;
        let (sort, limit, cursor) = (&query.sort, &query.limit, &query.cursor);
        let query = ExcessQuery {
            org: org.id,
            token,
            days: days(query.days.as_deref())?,
            complete: list::truth("complete", query.complete.as_deref())?,
            asked: list::asked(sort.as_deref(), limit.as_deref(), cursor.as_deref())?,
            now: desk.now(),
        };
        if let Some(token) = token {
            let known = desk.ledger().token(token)?.filter(|(token, _)| token.org == org.id);
            known.ok_or_else(Problem::not_found)?;
        }
        let (page, watch) = excesses(desk.ledger(), &*desk.state.uses, &query)?;
        let table = desk.roles();
        Ok(Json(UnusedScopeBody {
            as_of: query.now,
            days: query.days,
            observed_since: watch.as_ref().map(|watch| watch.since),
            gaps: watch.into_iter().flat_map(|watch| watch.gaps).map(Into::into).collect(),
            items: page.items.into_iter().map(|row| UnusedBody::new(row, table)).collect(),
            next_cursor: page.next_cursor,
        }))
    };
    // All of them are read for a page.
    if is_of_one {
        desk::read(&state, call, found).await
    } else {
        desk::pass(&state, call, found).await
    }
}
