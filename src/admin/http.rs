//! HTTP on `[admin].listen`: `GET /healthz` and `GET /metrics` for everyone, and for who has the admin
//! token the status page (`page`) and `/api` (`api`, `steering`). Nothing is changed by GET. A foreign
//! `Host` is refused, so that no web page in an operator's browser can read a listener on loopback by
//! rebinding its own name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::Observer;
use crate::relay::control::Operator;

use super::access::Access;
use super::{access, api, page, steering};

mod connections;

use connections::Limited;
pub(super) use connections::Remote;

/// The media type of the exposition (OpenMetrics 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Octets of a request's body: a filter, or a token.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Answers requests on `listener` until `stop` is cancelled. Without an operator there is nothing
/// but health and counters.
pub async fn serve(
    listener: TcpListener,
    observer: Arc<Observer>,
    operator: Option<Operator>,
    stop: CancellationToken,
) -> io::Result<()> {
    let own = listener.local_addr()?;
    let listener = Limited::new(listener);
    let followed = operator.clone();
    let router = router(own, observer, operator).into_make_service_with_connect_info::<Remote>();
    let stopped = async move {
        stop.cancelled().await;
        if let Some(operator) = followed {
            operator.live_log().close();
        }
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

fn router(own: SocketAddr, observer: Arc<Observer>, operator: Option<Operator>) -> Router {
    let mut router =
        Router::new().route("/healthz", get(health)).route("/metrics", get(metrics)).with_state(observer);
    if let Some(operator) = operator {
        let access = Arc::new(Access::new(operator, own.port()));
        let inside = api::routes().merge(steering::routes());
        let inside = inside.layer(middleware::from_fn_with_state(Arc::clone(&access), access::admit));
        let page = page::routes().merge(access::routes()).merge(inside);
        let page = page.layer(middleware::from_fn_with_state(Arc::clone(&access), access::guard));
        router = router.merge(page.with_state(access));
    }
    router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(connections::attend))
        .layer(middleware::from_fn_with_state(own.ip(), refuse_foreign_host))
        .layer(middleware::map_response(page::seal))
}

async fn health(State(observer): State<Arc<Observer>>) -> (StatusCode, &'static str) {
    if observer.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(observer): State<Arc<Observer>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], observer.render_metrics())
}

async fn refuse_foreign_host(State(own): State<IpAddr>, request: Request, next: Next) -> Response {
    let host = only_host(request.headers());
    let absolute = request.uri().host().is_none_or(|host| is_own_host(host, own));
    if absolute && host.is_some_and(|host| is_own_host(host, own)) {
        return next.run(request).await;
    }
    let text = "This listener answers only to its own address or localhost in Host.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// The `Host` field, if there is exactly one that is text.
fn only_host(headers: &HeaderMap) -> Option<&str> {
    only(headers, &header::HOST)
}

/// The field of this name, if there is exactly one that is text.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut fields = headers.get_all(name).iter();
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    field.to_str().ok()
}

/// Whether `host`, with or without a port, is the address we listen on. Any address will do where
/// we listen on all: a name is what rebinding needs. The port may be that of a tunnel.
fn is_own_host(host: &str, own: IpAddr) -> bool {
    let host = without_port(host);
    if host.eq_ignore_ascii_case("localhost") {
        return own.is_loopback() || own.is_unspecified();
    }
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(literal) = literal.parse::<IpAddr>() else { return false };
    own.is_unspecified() || literal == own || (own.is_loopback() && literal.is_loopback())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            // `::1` without brackets is an address, not a name and a port.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests;
