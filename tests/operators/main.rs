//! What those who run an edge see of it, use and do to it, with real servers.

mod bundle;
#[path = "../common/mod.rs"]
mod common;
mod configuration;
mod logs;
mod monitoring;
mod package;
mod page;
mod service;
mod stamp;
mod web;
