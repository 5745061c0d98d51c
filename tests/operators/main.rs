//! What operators see and use, with real servers.

#[path = "../common/mod.rs"]
mod common;
mod monitoring;
mod page;
mod web;
