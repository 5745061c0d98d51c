//! What `/api` does to mail, with `[admin] allow_steering`: what the commands of the same names do,
//! and with the same line in the audit log.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mail::Domain;
use crate::relay::control::Operator;

use super::access::{Access, Who, refuse};
use super::api::{ask, queue_id};

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/api/queue/{deed}", post(steer))
        .route("/api/holds", post(hold))
        .route("/api/holds/release", post(release))
        .layer(middleware::from_fn(only_if_allowed))
}

/// Which messages are meant: one, or all that go to one next hop.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Meant {
    id: Option<String>,
    next_hop: Option<String>,
    connector: Option<String>,
    /// Of `remove`: the sender gets a report.
    dsn: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// Of recipients.
    domain: String,
    /// Seconds from now; none: until released.
    #[serde(default)]
    seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    numbers: Vec<u64>,
}

/// Put before the routes as an extension, so that the setting of the moment counts.
#[derive(Clone)]
pub(super) struct Allowed(pub bool);

async fn only_if_allowed(request: HttpRequest, next: Next) -> Response {
    match request.extensions().get::<Allowed>() {
        Some(Allowed(true)) => next.run(request).await,
        Some(Allowed(false)) | None => {
            let error = "steering is off; [admin] allow_steering = true allows it";
            refuse(StatusCode::FORBIDDEN, error)
        }
    }
}

async fn steer(
    State(access): State<Arc<Access>>,
    Extension(Who(user)): Extension<Who>,
    Path(deed): Path<String>,
    Json(meant): Json<Meant>,
) -> Response {
    let Some(command) = command(&deed) else {
        return refuse(StatusCode::NOT_FOUND, "there is retry, suspend, resume and remove");
    };
    let Meant { id, next_hop, connector, dsn } = meant;
    if id.is_none() && next_hop.is_none() {
        // Nobody means everything by saying nothing.
        return refuse(StatusCode::BAD_REQUEST, "say which messages: id or next_hop");
    }
    let id = match id.as_deref().map(queue_id).transpose() {
        Ok(id) => id,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let filter = json!({ "id": id, "next_hop": next_hop, "connector": connector });
    let mut request = json!({ "command": command, "filter": filter, "user": user });
    if deed == "remove" {
        request["dsn"] = json!(dsn.unwrap_or(true));
    }
    answer(&access.operator, request).await
}

fn command(deed: &str) -> Option<&'static str> {
    match deed {
        "retry" => Some("queue-retry"),
        "suspend" => Some("queue-suspend"),
        "resume" => Some("queue-resume"),
        "remove" => Some("queue-remove"),
        _ => None,
    }
}

async fn hold(
    State(access): State<Arc<Access>>,
    Extension(Who(user)): Extension<Who>,
    Json(new): Json<NewHold>,
) -> Response {
    let NewHold { domain, seconds } = new;
    let Ok(domain) = Domain::parse_rooted(domain.trim()) else {
        return refuse(StatusCode::BAD_REQUEST, "write a domain such as woodgrovebank.example");
    };
    let until = seconds.map(|seconds| {
        let wait = jiff::SignedDuration::from_secs(seconds.into());
        Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX)
    });
    let subject = json!({ "domain": domain.to_string(), "sender": null, "recipient": null });
    let request = json!({ "command": "hold", "subject": subject, "until": until, "user": user });
    answer(&access.operator, request).await
}

async fn release(
    State(access): State<Arc<Access>>,
    Extension(Who(user)): Extension<Who>,
    Json(Release { numbers }): Json<Release>,
) -> Response {
    answer(&access.operator, json!({ "command": "release", "numbers": numbers, "user": user })).await
}

/// What could not be done is no success.
async fn answer(operator: &Operator, request: Value) -> Response {
    let value = ask(operator, request).await;
    let status = if value.get("error").is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    (status, Json(value)).into_response()
}
