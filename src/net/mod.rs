//! The world outside: listeners, streams, TLS set-up, DNS, and revocation lists and MTA-STS policies
//! on disk and from where they are published. What is learned here is
//! handed up as values; what it means is decided in `trust` and `policy`.

mod authentic;
pub mod authentication;
pub mod balancer;
pub mod connect;
pub mod crl;
pub mod crl_cache;
pub mod crl_fetch;
pub mod dane;
mod global;
pub mod listener;
pub mod local;
pub mod milter;
pub mod proxy_protocol;
pub mod report_post;
pub mod resolver;
pub mod service_manager;
pub mod stamp_signature;
pub mod stream;
pub mod sts_cache;
pub mod sts_fetch;
pub mod tls;
pub mod web_server;
