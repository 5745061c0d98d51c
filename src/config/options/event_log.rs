//! The keys of the event log.

use super::super::format;
use super::{Default, Key, one, word, words};
use crate::policy::{DEFAULT_LEVELS, Facility};

pub const KEYS: &[Key] = &[
    Key::new(
        "event_log",
        "outputs",
        words(&["stderr", "syslog", "journald", "otlp"]),
        Default::List(&["stderr"]),
        "Where events and the libraries' records go: standard error, which waits for its reader; a syslog server, systemd's journal or a collector of OpenTelemetry (`otlp`), which do not make mail wait and count what they lose.",
    ),
    Key::new(
        "event_log",
        "format",
        word(&["text", "json"]),
        Default::Text("text"),
        "Of standard error and syslog: a line for people, or one JSON object. The journal and a collector get fields anyway. `SEALPOST_LOG_FORMAT` in the environment counts before it.",
    ),
    Key::new(
        "event_log",
        "level",
        one(format::LOG_LEVELS),
        Default::Text(DEFAULT_LEVELS),
        "The least important records that are written (`off`, `error`, `warn`, `info`, `debug`, `trace`), of all and of single targets. `sealpost log level` changes it until the next reload or restart; `SEALPOST_LOG` in the environment counts before it.",
    ),
    Key::new(
        "event_log",
        "syslog_address",
        one(format::SYSLOG_ADDRESS),
        Default::Text("/dev/log"),
        "The datagram socket of a syslog server on this machine, or `udp:IP:port` of one elsewhere; messages are those of RFC 5424.",
    ),
    Key::new(
        "event_log",
        "syslog_facility",
        word(Facility::NAMES),
        Default::Text("mail"),
        "The facility of syslog messages and of records of the journal.",
    ),
    Key::new(
        "event_log",
        "journald_socket",
        one(format::PATH),
        Default::Text("/run/systemd/journal/socket"),
        "The socket of systemd's journal.",
    ),
    Key::new(
        "event_log",
        "otlp_address",
        one(format::COLLECTOR),
        Default::Text("127.0.0.1:4318"),
        "Where a collector of OpenTelemetry takes logs by OTLP over HTTP, in JSON, without TLS: one on this machine, or on a network that may read events.",
    ),
];
