//! The `OpenAPI` 3.1 document, made from the handlers.

use super::problem::{Kind, MEDIA_TYPE, ProblemBody};
use axum::Json;
use http::Method;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, response::Response,
};
use utoipa::{IntoResponses, PartialSchema};

const BEARER: &str = "bearer";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let (_router, mut document) = super::routes().split_for_parts();
    // Health, this document and reports of leaks ask for no credential.
    for (path, item) in &mut document.paths.paths {
        if !(path.starts_with("/api/") || path.starts_with("/scim/"))
            || path.ends_with("/openapi.json")
            || path.ends_with("/leaks")
        {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                operation.security = Some(Vec::new());
            }
        }
    }
    document
});

/// The parameters of the query that an operation takes, by its path.
static PARAMETERS: LazyLock<HashMap<(Method, String), Vec<String>>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for (path, item) in &DOCUMENT.paths.paths {
        let operations = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            all.insert((method, path.clone()), of_query(operation).collect());
        }
    }
    all
});

/// The names of the parameters of an operation's query.
pub(super) fn of_query(operation: &Operation) -> impl Iterator<Item = String> {
    operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
            Some(parameter.name.clone())
        }
        RefOr::T(_) | RefOr::Ref(_) => None,
    })
}

/// The names of the parameters that an operation takes in its query, as the document has them.
pub(super) fn parameters(method: &Method, path: &str) -> &'static [String] {
    PARAMETERS.get(&(method.clone(), path.to_owned())).map_or(&[], Vec::as_slice)
}

/// The description of the whole admin API.
#[must_use]
pub fn openapi() -> OpenApi {
    DOCUMENT.clone()
}

/// What stands before the paths.
pub(super) fn preamble() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Bearward admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Governs the organizations, users, API tokens and policies of a Bearward gateway. \
             Times are RFC 3339 in UTC. Errors are problems (RFC 9457) with a stable `type`. \
             Unknown fields are refused, and so are unknown parameters.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0 OR MIT")
                .identifier(Some("Apache-2.0 OR MIT"))
                .build(),
        ))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API token of a member of the organization"))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .schema("Problem", ProblemBody::schema())
        .schema("ScimError", ScimErrorBody::schema())
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(BEARER, Vec::<String>::new())]))
        .build()
}

/// Give this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "openapi",
    operation_id = "read_openapi",
    responses(
        (status = 200, description = "The document", body = serde_json::Value,
         content_type = "application/json"),
        OpenProblems
    )
)]
pub(crate) async fn document() -> Json<&'static OpenApi> {
    Json(&DOCUMENT)
}

/// Give this document, beside the version of the API that it describes.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "openapi",
    operation_id = "read_openapi_v1",
    responses(
        (status = 200, description = "The document", body = serde_json::Value,
         content_type = "application/json"),
        OpenProblems
    )
)]
pub(crate) async fn document_of_version() -> Json<&'static OpenApi> {
    Json(&DOCUMENT)
}

/// What can go wrong before an endpoint is reached.
const OPEN: &[Kind] =
    &[Kind::InvalidRequest, Kind::TargetTooLong, Kind::Misdirected, Kind::Internal, Kind::Busy];
/// What else can go wrong where a credential is asked for.
const READ: &[Kind] = &[
    Kind::NoCredential,
    Kind::InvalidToken,
    Kind::MalformedCredential,
    Kind::Forbidden,
    Kind::NotFound,
    Kind::TooManyGuesses,
    Kind::Unavailable,
];
/// What else can go wrong where something is changed.
const CHANGE: &[Kind] = &[
    Kind::CrossOrigin,
    Kind::Timeout,
    Kind::Conflict,
    Kind::Changed,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::KeyReused,
    Kind::NotRecorded,
    Kind::StorageFull,
];

/// What else can go wrong where anybody may report something.
const REPORT: &[Kind] = &[
    Kind::CrossOrigin,
    Kind::Forbidden,
    Kind::Timeout,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::TooManyGuesses,
    Kind::NotRecorded,
    Kind::Unavailable,
    Kind::StorageFull,
];

/// The problems of an endpoint that is open to all.
pub(crate) struct OpenProblems;
/// The problems of an endpoint that is open to all and takes something.
pub(crate) struct ReportProblems;
/// The problems of an endpoint that reads.
pub(crate) struct ReadProblems;
/// The problems of an endpoint that changes something.
pub(crate) struct ChangeProblems;

/// The problems of a SCIM endpoint that reads.
pub(crate) struct ScimReadProblems;
/// The problems of a SCIM endpoint that changes something.
pub(crate) struct ScimChangeProblems;

impl IntoResponses for ScimReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&SCIM_ERROR, &[OPEN, READ])
    }
}

impl IntoResponses for ScimChangeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&SCIM_ERROR, &[OPEN, READ, CHANGE])
    }
}

impl IntoResponses for ReportProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&PROBLEM, &[OPEN, REPORT])
    }
}

impl IntoResponses for OpenProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&PROBLEM, &[OPEN])
    }
}

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&PROBLEM, &[OPEN, READ])
    }
}

impl IntoResponses for ChangeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&PROBLEM, &[OPEN, READ, CHANGE])
    }
}

/// A form that errors have: its media type and the name of its schema.
struct Form(&'static str, &'static str);

const PROBLEM: Form = Form(MEDIA_TYPE, "Problem");
const SCIM_ERROR: Form = Form(super::scim::MEDIA_TYPE, "ScimError");

/// An error as SCIM writes it (RFC 7644 section 3.12).
#[derive(utoipa::ToSchema)]
#[schema(as = ScimError)]
#[expect(dead_code, reason = "it describes what is written field by field")]
struct ScimErrorBody {
    /// The one schema of errors.
    schemas: Vec<String>,
    /// The HTTP status, as a text.
    status: String,
    /// What kind of error, where the status alone does not say it.
    #[schema(rename = "scimType")]
    scim_type: Option<String>,
    /// What was wrong this time, with the attribute before it.
    detail: String,
}

fn problems(form: &Form, groups: &[&[Kind]]) -> BTreeMap<String, RefOr<Response>> {
    let mut titles: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for kind in groups.iter().copied().flatten() {
        titles.entry(kind.status().as_u16()).or_default().insert(kind.title());
    }
    let response = |titles: BTreeSet<&str>| {
        let titles: Vec<&str> = titles.into_iter().collect();
        let schema = Ref::from_schema_name(form.1);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(titles.join("; "));
        RefOr::T(response.content(form.0, content).build())
    };
    titles.into_iter().map(|(status, titles)| (status.to_string(), response(titles))).collect()
}
