//! The files of the status page, built into the program, and the headers that keep a browser to them:
//! no script, style or connection from anywhere else, no frame, no cache.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::access::Access;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const INDEX: &str = include_str!("page/index.html");
/// Below `/page/`.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", CSS, include_str!("page/style.css")),
    ("icon.svg", SVG, include_str!("page/icon.svg")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("server.js", SCRIPT, include_str!("page/server.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("words.js", SCRIPT, include_str!("page/words.js")),
    ("overview.js", SCRIPT, include_str!("page/overview.js")),
    ("plot.js", SCRIPT, include_str!("page/plot.js")),
    ("partners.js", SCRIPT, include_str!("page/partners.js")),
    ("queues.js", SCRIPT, include_str!("page/queues.js")),
    ("messages.js", SCRIPT, include_str!("page/messages.js")),
    ("log.js", SCRIPT, include_str!("page/log.js")),
];

/// On every response of the listener.
static SEAL: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new().route("/", get(index)).route("/page/{name}", get(file))
}

async fn index() -> Response {
    ([(header::CONTENT_TYPE, HTML)], INDEX).into_response()
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds what every response carries.
pub(super) async fn seal(mut response: Response) -> Response {
    for (name, value) in &SEAL {
        response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_needs_what_the_policy_forbids() {
        for (name, kind, text) in FILES.iter().chain(&[("index.html", HTML, INDEX)]) {
            let is_comment = |line: &&str| !line.trim_start().starts_with("//");
            let text: String = text.lines().filter(is_comment).collect::<Vec<_>>().join("\n");
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "<style",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
            let foreign = ["http://", "https://"].iter().flat_map(|scheme| text.match_indices(scheme));
            for (at, _) in foreign {
                let namespace = text[at..].starts_with("http://www.w3.org/");
                assert!(namespace, "{name} names {}", text[at..].lines().next().unwrap_or_default());
            }
            let inline = text.contains(" style=") || text.contains(" onclick=") || text.contains("<script>");
            assert!(*kind == SCRIPT || !inline, "{name} has something inline");
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for (name, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for import in text.lines().filter_map(|line| line.split_once("from \"./")) {
                let file = import.1.split('"').next().unwrap_or_default();
                assert!(FILES.iter().any(|(known, ..)| *known == file), "{name} imports {file}");
            }
        }
        for (name, ..) in
            FILES.iter().filter(|(name, ..)| ["style.css", "icon.svg", "main.js"].contains(name))
        {
            assert!(INDEX.contains(&format!("/page/{name}")), "{name}");
        }
    }
}
