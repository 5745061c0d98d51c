//! The doors for operators' tools: HTTP on `[admin].listen` (`/healthz`, `/metrics`, the status page
//! and `/api`) and the control socket through which commands reach a running server.

mod access;
mod api;
pub mod control;
mod http;
mod page;
mod sessions;
mod steering;

pub use http::serve;
