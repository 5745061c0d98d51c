//! What `/api` shows. The answers are those of the control socket, in the same words.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::mail::Domain;
use crate::observe::LiveSelection;
use crate::policy::Settings;
use crate::relay::control::Operator;
use crate::trust::Direction;

use super::access::{Access, refuse};

/// Messages of one answer.
const MESSAGES_MAX: usize = 200;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/api/overview", get(|access| plain(access, "overview")))
        .route("/api/partners", get(|access| plain(access, "partners")))
        .route("/api/destinations", get(|access| plain(access, "destinations")))
        .route("/api/history", get(|access| plain(access, "history")))
        .route("/api/holds", get(|access| plain(access, "hold-list")))
        .route("/api/messages", get(queue))
        .route("/api/messages/{id}", get(message))
        .route("/api/trace", get(trace))
        .route("/api/sessions/{id}", get(session))
        .route("/api/log", get(log))
}

/// What the control socket would answer. Nobody waits for its reports of progress. What was asked for is
/// done and written down to its end, although who asked may go away meanwhile.
pub(super) async fn ask(operator: &Operator, request: Value) -> Value {
    let operator = operator.clone();
    let answer = to_the_end(async move {
        let (report, mut reports) = mpsc::channel(1);
        let heard = tokio::spawn(async move { while reports.recv().await.is_some() {} });
        let answer = operator.answer(request, None, report).await;
        heard.abort();
        answer
    });
    answer.await.unwrap_or_else(|_| json!({ "error": "it was broken off; look at the server's log" }))
}

/// The HTTP server drops a handler, wherever it waits, when its client disconnects; not so what runs here.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::spawn(work).await
}

async fn plain(State(access): State<Arc<Access>>, command: &'static str) -> Json<Value> {
    Json(ask(&access.operator, json!({ "command": command })).await)
}

/// Of `queue list`; what is empty is not asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct QueueQuery {
    domain: String,
    sender: String,
    recipient: String,
    status: String,
    next_hop: String,
    connector: String,
    /// The id of the last message of the page before.
    after: String,
}

/// A queue id as the requests of the control socket write it.
pub(super) fn queue_id(text: &str) -> Result<u64, &'static str> {
    u64::from_str_radix(text.trim(), 16).map_err(|_| "a queue id has 16 hexadecimal digits")
}

fn filled(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

async fn queue(State(access): State<Arc<Access>>, Query(query): Query<QueueQuery>) -> Response {
    let after = match filled(&query.after).map(|id| queue_id(&id)).transpose() {
        Ok(after) => after,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let sender = filled(&query.sender).map(|sender| if sender == "<>" { String::new() } else { sender });
    let filter = json!({
        "domain": filled(&query.domain),
        "sender": sender,
        "recipient": filled(&query.recipient),
        "status": filled(&query.status),
        "next_hop": filled(&query.next_hop),
        "connector": filled(&query.connector),
        "after": after,
        "limit": MESSAGES_MAX,
    });
    let request = json!({ "command": "queue-list", "filter": filter });
    Json(with_next_id(ask(&access.operator, request).await)).into_response()
}

/// `next` as ids are written, and as `after` reads them.
fn with_next_id(mut page: Value) -> Value {
    if let Some(next) = page.get("next").and_then(Value::as_u64) {
        page["next"] = json!(format!("{next:016X}"));
    }
    page
}

/// The message as `queue list` shows it, and why it is still here.
async fn message(State(access): State<Arc<Access>>, Path(id): Path<String>) -> Json<Value> {
    let message = ask(&access.operator, json!({ "command": "queue-show", "id": id })).await;
    if let Some(error) = message.get("error") {
        return Json(json!({ "error": error }));
    }
    let why = ask(&access.operator, json!({ "command": "queue-why", "id": id })).await;
    Json(json!({ "message": message, "why": why }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TraceQuery {
    message: String,
    sender: String,
    recipient: String,
}

async fn trace(State(access): State<Arc<Access>>, Query(query): Query<TraceQuery>) -> Json<Value> {
    let wanted = json!({
        "message": filled(&query.message),
        "sender": filled(&query.sender),
        "recipient": filled(&query.recipient),
        "limit": MESSAGES_MAX,
    });
    Json(ask(&access.operator, json!({ "command": "trace", "wanted": wanted })).await)
}

#[derive(Debug, Deserialize)]
struct SessionQuery {
    /// Within an hour of which it was, RFC 3339.
    at: String,
}

/// The lines of one session of the past.
async fn session(
    State(access): State<Arc<Access>>,
    Path(id): Path<String>,
    Query(SessionQuery { at }): Query<SessionQuery>,
) -> Json<Value> {
    Json(ask(&access.operator, json!({ "command": "session", "session": id, "at": at })).await)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LogQuery {
    /// `next` of the last answer.
    from: Option<u64>,
    direction: String,
    connector: String,
    session: String,
    /// Name of a partner, or one of its domains.
    partner: String,
}

/// The next lines of the protocol log; waits up to 20 s for one.
async fn log(State(access): State<Arc<Access>>, Query(query): Query<LogQuery>) -> Response {
    let direction = match query.direction.as_str() {
        "" => None,
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => return refuse(StatusCode::BAD_REQUEST, "direction is inbound or outbound"),
    };
    let domains = match filled(&query.partner) {
        None => Vec::new(),
        Some(name) => match domains(&access.operator.settings(), &name) {
            Some(domains) => domains,
            None => return refuse(StatusCode::BAD_REQUEST, "there is no partner of that name or domain"),
        },
    };
    let selection = LiveSelection {
        direction,
        connector: filled(&query.connector),
        session: filled(&query.session),
        domains,
    };
    match access.operator.live_log().after(query.from, &selection).await {
        Ok(answer) => Json(answer).into_response(),
        Err(crowded) => refuse(StatusCode::SERVICE_UNAVAILABLE, &crowded.to_string()),
    }
}

fn domains(settings: &Settings, name: &str) -> Option<Vec<String>> {
    let partner = settings.partners.iter().find(|partner| partner.is_called(name))?;
    Some(partner.domains.iter().map(Domain::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_who_asked_for_it_goes_away() {
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, told) = tokio::sync::oneshot::channel();
        let (started, begins) = tokio::sync::oneshot::channel();
        let handler = tokio::spawn(to_the_end(async move {
            started.send(()).unwrap();
            wait.await.unwrap();
            done.send("written down").unwrap();
        }));
        begins.await.unwrap();
        handler.abort();
        assert!(handler.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), "written down");
    }

    #[test]
    fn the_next_page_is_asked_for_as_the_last_one_said() {
        let id = 0x0018_7E5A_2B00_0010_u64;
        let page = with_next_id(json!({ "messages": [], "next": id }));
        assert_eq!(page["next"], "00187E5A2B000010");
        assert_eq!(queue_id(page["next"].as_str().unwrap()), Ok(id));
        assert_eq!(with_next_id(json!({ "next": null }))["next"], Value::Null);
        assert_eq!(with_next_id(json!({ "error": "x" })), json!({ "error": "x" }));
    }
}
