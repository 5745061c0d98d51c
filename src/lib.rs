//! Sealpost: an edge mail transport agent that exchanges mail with partner organisations over
//! mutually authenticated TLS, and refuses to do it any other way.
//!
//! The modules are the floors of the house; arrows only point down (`docs/architecture.md`,
//! enforced by `tests/architecture.rs`):
//!
//! words `mail`, `smtp`, `milter` ← judgement `trust`, `policy` ← conversation `session` ←
//! world `net`, `config`, `observe`, `certstore`, `disk` ← `relay` ← doors `admin`, `cli`.

pub mod mail;
pub mod milter;
pub mod smtp;

pub mod policy;
pub mod trust;

pub mod session;

pub mod certstore;
pub mod config;
pub mod disk;
pub mod net;
pub mod observe;

pub mod relay;

pub mod admin;
pub mod cli;
