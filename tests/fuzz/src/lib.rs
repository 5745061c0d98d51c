//! What the fuzz targets do with an input. Here, so that `cargo test` plays every committed seed
//! through the same functions (tests/seeds.rs) without libFuzzer.

pub mod certificate;
pub mod certificate_import;
pub mod command;
pub mod config;
pub mod content;
pub mod dsn;
pub mod header;
pub mod lab;
pub mod log_reader;
pub mod milter;
pub mod milter_changes;
pub mod ocsp_staple;
pub mod proxy_protocol;
pub mod queue_record;
pub mod receive_chunks;
pub mod receive_session;
pub mod receiver;
pub mod reply;
pub mod revocation_list;
pub mod sasl;
pub mod send_session;

/// What a target does with one input; it panics where something is wrong.
pub type Run = fn(&[u8]);

/// Each target by the name of its binary and of its folder of seeds.
pub const TARGETS: &[(&str, Run)] = &[
    ("certificate", certificate::run),
    ("certificate_import", certificate_import::run),
    ("command", command::run),
    ("config", config::run),
    ("content", content::run),
    ("dsn", dsn::run),
    ("header", header::run),
    ("log_reader", log_reader::run),
    ("milter", milter::run),
    ("milter_changes", milter_changes::run),
    ("ocsp_staple", ocsp_staple::run),
    ("proxy_protocol", proxy_protocol::run),
    ("queue_record", queue_record::run),
    ("receive_chunks", receive_chunks::run),
    ("receive_session", receive_session::run),
    ("reply", reply::run),
    ("revocation_list", revocation_list::run),
    ("sasl", sasl::run),
    ("send_session", send_session::run),
];
