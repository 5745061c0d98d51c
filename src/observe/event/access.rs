//! What happens before a session, or decides who is in it.

use std::net::SocketAddr;

use serde::Serialize;

use crate::policy::{Limit, Scope};
use crate::smtp::SessionId;
use crate::smtp::sasl::Mechanism;

use super::fields::display;

/// See `Event`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event")]
pub enum AccessEvent {
    /// A connection came from an address that no receive connector of its binding admits.
    ConnectionNotAdmitted { remote: SocketAddr, binding: SocketAddr },
    /// A client took all that it, its network or its partner may take of something, and was refused or
    /// cut off. Each is counted; of one kind one in ten seconds is told. `scope` is whose limit it is.
    LimitReached {
        limit: Limit,
        scope: Scope,
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
    },
    /// A connection from an address of `proxy_protocol_from` did not begin with a PROXY header that we
    /// take, and was closed.
    ProxyHeaderRefused { balancer: SocketAddr, binding: SocketAddr, error: String },
    /// A client has logged in at a receive connector.
    AuthenticationSucceeded {
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
        #[serde(serialize_with = "display")]
        mechanism: Mechanism,
        user: String,
    },
    /// It could not; `user` is empty where there is none of that name.
    AuthenticationFailed {
        connector: String,
        #[serde(serialize_with = "display")]
        session: SessionId,
        remote: SocketAddr,
        #[serde(serialize_with = "display")]
        mechanism: Mechanism,
        user: String,
        reason: String,
    },
    /// Somebody signed in to the status page.
    AdminSignedIn { remote: SocketAddr },
    /// Somebody offered a wrong token to the status page or to `/api`; `blocked` where too many came
    /// from there already.
    AdminSignInFailed { remote: SocketAddr, blocked: bool },
}
