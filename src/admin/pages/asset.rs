//! The files that pages are made of: compiled in, and addressed by what is in them, so that a
//! browser may keep them for good.

use crate::admin::problem::Problem;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    version: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let asset = |name, media_type, bytes: &'static [u8]| {
        let version = super::hex(&Sha256::digest(bytes)[..8]);
        Asset { name, media_type, bytes, version }
    };
    [
        asset(
            "bearward.css",
            "text/css; charset=utf-8",
            include_bytes!("../../../assets/bearward.css"),
        ),
        asset(
            "bearward.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../../assets/bearward.js"),
        ),
        asset("bearward.svg", "image/svg+xml", include_bytes!("../../../assets/bearward.svg")),
    ]
});

/// The address of a file.
pub(super) fn address(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map(|asset| &*asset.version);
    format!("/assets/{name}?{}", version.unwrap_or_default())
}

/// A file.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(Problem::not_found)?;
    let headers =
        [(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, "private, max-age=31536000, immutable")];
    Ok((headers, asset.bytes).into_response())
}
