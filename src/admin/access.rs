//! Who may see the status page and use `/api`: the admin token opens a session, which a cookie then
//! proves, or comes with each request as `Authorization: Bearer TOKEN`. Wrong tokens are counted by
//! source; after too many, further ones are neither counted nor audited, and the right one still passes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::observe::{AccessEvent, Event};
use crate::policy::AdminToken;
use crate::relay::AuthFailures;
use crate::relay::control::Operator;

use super::http::{Remote, only};
use super::sessions::{self, Sessions};
use super::steering::Allowed;

/// Failures written to the audit log between two sign-ins that succeed; each is counted all the same.
const AUDITED_MAX: u32 = 100;

pub(super) struct Access {
    pub operator: Operator,
    sessions: Sessions,
    failures: AuthFailures,
    audited: AtomicU32,
    port: u16,
}

/// Who asks, in the words of the audit log.
#[derive(Clone, Debug)]
pub(super) struct Who(pub String);

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// An answer that is a refusal.
pub(super) fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

impl Access {
    pub(super) fn new(operator: Operator, port: u16) -> Self {
        Self {
            operator,
            sessions: Sessions::default(),
            failures: AuthFailures::default(),
            audited: AtomicU32::new(0),
            port,
        }
    }

    fn token(&self) -> Option<AdminToken> {
        self.operator.settings().admin.token.clone()
    }

    /// The id of the session that the cookie names, open or not.
    fn session_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookie = cookie_name(headers, self.port);
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        let mut pairs =
            fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == cookie).map(|(_, id)| id)
    }

    fn open_session<'a>(&self, headers: &'a HeaderMap, token: &AdminToken) -> Option<&'a str> {
        self.session_id(headers).filter(|id| self.sessions.is_open(id, token, Instant::now()))
    }

    /// Compares what somebody offers with the token. Too much that was wrong from there only changes how a
    /// wrong one is refused: else whoever shares the address could keep the operator out.
    async fn try_token(
        &self,
        offered: &[u8],
        token: &AdminToken,
        remote: SocketAddr,
    ) -> Result<(), Response> {
        let (source, now) = (source(remote.ip()), Instant::now());
        let event = |event| self.operator.observer().event(Event::Access(event));
        if token.is(offered) {
            self.audited.store(0, Ordering::Relaxed);
            return Ok(());
        }
        if self.failures.blocks(source, now) {
            event(AccessEvent::AdminSignInFailed { remote, blocked: true });
            let error = "too many wrong tokens came from your address; only the right one \
                         is taken; it stands in [admin] token_file";
            return Err(refuse(StatusCode::TOO_MANY_REQUESTS, error));
        }
        self.failures.failed(source, now);
        event(AccessEvent::AdminSignInFailed { remote, blocked: false });
        if self.audited.fetch_add(1, Ordering::Relaxed) < AUDITED_MAX {
            self.operator.audit(&format!("status page from {remote}"), "sign-in refused", "", "").await;
        }
        Err(refuse(StatusCode::UNAUTHORIZED, "that is not the admin token; it stands in [admin] token_file"))
    }

    fn set_cookie(&self, headers: &HeaderMap, id: &str, seconds: u64, secure: bool) -> Option<HeaderValue> {
        let secure = if secure { "; Secure" } else { "" };
        let name = cookie_name(headers, self.port);
        let cookie = format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&cookie).ok()
    }
}

/// Cookies know no ports, and a browser may see two servers under one host name: on two ports of one machine,
/// or of one port each through two tunnels. The port that the browser sees tells them apart.
fn cookie_name(headers: &HeaderMap, own_port: u16) -> String {
    let host = only(headers, &header::HOST).unwrap_or_default();
    let seen = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    format!("sealpost_session_{}", seen.unwrap_or(own_port))
}

/// One subscriber has a /64.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        IpAddr::V4(ip) => IpAddr::V4(ip),
    }
}

/// Whether there is a page at all, and whether what changes something comes from the page itself.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if access.token().is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !comes_from_here(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "this was asked for by a page of another origin");
    }
    next.run(request).await
}

/// A browser says where a page that posts is from. Who has a token of its own is no browser, and
/// need not say.
fn comes_from_here(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return headers.contains_key(header::AUTHORIZATION);
    }
    let (Some(origin), Some(host)) = (only(headers, &header::ORIGIN), only(headers, &header::HOST)) else {
        return false;
    };
    let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    site.is_some_and(|site| site.eq_ignore_ascii_case(host))
}

/// Lets through who is signed in or brings the token, and says who that is.
pub(super) async fn admit(
    State(access): State<Arc<Access>>,
    ConnectInfo(Remote { address: remote, .. }): ConnectInfo<Remote>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = access.token() else { return StatusCode::NOT_FOUND.into_response() };
    let headers = request.headers();
    let who = if headers.contains_key(header::AUTHORIZATION) {
        let field = only(headers, &header::AUTHORIZATION).unwrap_or_default();
        let (scheme, offered) = field.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return refuse(StatusCode::UNAUTHORIZED, "send Authorization: Bearer and the admin token");
        }
        if let Err(refusal) = access.try_token(offered.trim().as_bytes(), &token, remote).await {
            return refusal;
        }
        format!("api from {remote}")
    } else if let Some(id) = access.open_session(headers, &token) {
        format!("status page session {} from {remote}", sessions::mark(id))
    } else {
        return refuse(StatusCode::UNAUTHORIZED, "sign in with the admin token");
    };
    let allowed = access.operator.settings().admin.allow_steering;
    request.extensions_mut().insert(Allowed(allowed));
    request.extensions_mut().insert(Who(who));
    next.run(request).await
}

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/session", get(session))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
}

/// Whether who asks is signed in, and what may be done.
async fn session(State(access): State<Arc<Access>>, headers: HeaderMap) -> Json<Value> {
    let signed_in = access.token().is_some_and(|token| access.open_session(&headers, &token).is_some());
    if !signed_in {
        return Json(json!({ "signed_in": false }));
    }
    let settings = access.operator.settings();
    Json(json!({
        "signed_in": true,
        "hostname": settings.hostname.to_string(),
        "allow_steering": settings.admin.allow_steering,
    }))
}

async fn sign_in(
    State(access): State<Arc<Access>>,
    ConnectInfo(Remote { address: remote, .. }): ConnectInfo<Remote>,
    headers: HeaderMap,
    Json(SignIn { token: offered }): Json<SignIn>,
) -> Response {
    let Some(token) = access.token() else { return StatusCode::NOT_FOUND.into_response() };
    if let Err(refusal) = access.try_token(offered.trim().as_bytes(), &token, remote).await {
        return refusal;
    }
    let now = Instant::now();
    if let Some(old) = access.session_id(&headers) {
        access.sessions.close(old, now);
    }
    let id = access.sessions.open(&token, now);
    let user = format!("status page session {} from {remote}", sessions::mark(&id));
    access.operator.observer().event(Event::Access(AccessEvent::AdminSignedIn { remote }));
    access.operator.audit(&user, "sign-in", "", "").await;
    let secure = only(&headers, &header::ORIGIN).is_some_and(|origin| origin.starts_with("https://"));
    let cookie = access.set_cookie(&headers, &id, sessions::AGE_MAX.as_secs(), secure);
    with_cookie(cookie)
}

async fn sign_out(
    State(access): State<Arc<Access>>,
    ConnectInfo(Remote { address: remote, .. }): ConnectInfo<Remote>,
    headers: HeaderMap,
) -> Response {
    let Some(token) = access.token() else { return StatusCode::NOT_FOUND.into_response() };
    if let Some(id) = access.open_session(&headers, &token) {
        access.sessions.close(id, Instant::now());
        let user = format!("status page session {} from {remote}", sessions::mark(id));
        access.operator.audit(&user, "sign-out", "", "").await;
    }
    with_cookie(access.set_cookie(&headers, "", 0, false))
}

fn with_cookie(cookie: Option<HeaderValue>) -> Response {
    let mut response = Json(json!({ "ok": true })).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_and_who_brings_a_token_may_change_something() {
        let cases: &[(&[(header::HeaderName, &str)], bool)] = &[
            (&[(header::HOST, "127.0.0.1:8025"), (header::ORIGIN, "http://127.0.0.1:8025")], true),
            (&[(header::HOST, "localhost:1"), (header::ORIGIN, "https://LOCALHOST:1")], true),
            (&[(header::HOST, "127.0.0.1:8025"), (header::ORIGIN, "http://127.0.0.1:8026")], false),
            (&[(header::HOST, "127.0.0.1:8025"), (header::ORIGIN, "http://evil.example")], false),
            (&[(header::HOST, "127.0.0.1:8025"), (header::ORIGIN, "null")], false),
            (&[(header::HOST, "127.0.0.1:8025")], false),
            (&[(header::HOST, "127.0.0.1:8025"), (header::AUTHORIZATION, "Bearer x")], true),
            (
                &[
                    (header::HOST, "127.0.0.1:8025"),
                    (header::AUTHORIZATION, "Bearer x"),
                    (header::ORIGIN, "http://evil.example"),
                ],
                false,
            ),
        ];
        for (fields, wanted) in cases {
            let fields = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            let headers: HeaderMap = fields.collect();
            assert_eq!(comes_from_here(&headers), *wanted, "{headers:?}");
        }
    }

    #[test]
    fn two_servers_seen_under_one_name_have_two_cookies() {
        let name = |host: &'static str| {
            let headers = [(header::HOST, HeaderValue::from_static(host))].into_iter().collect();
            cookie_name(&headers, 8025)
        };
        assert_eq!(name("127.0.0.1:8025"), "sealpost_session_8025");
        assert_eq!(name("localhost:8026"), "sealpost_session_8026");
        assert_eq!(name("[::1]:8027"), "sealpost_session_8027");
        assert_eq!(name("localhost"), "sealpost_session_8025");
        assert_eq!(cookie_name(&HeaderMap::new(), 8025), "sealpost_session_8025");
    }

    #[test]
    fn guesses_are_counted_by_network() {
        let of = |ip: &str| source(ip.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
