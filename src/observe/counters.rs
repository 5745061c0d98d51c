//! The table of counter families: what `/metrics` shows, what `docs/counters.md` says, in one
//! place. Names are public surface.

use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One family as it is exposed.
pub struct FamilyRow {
    /// As exposed: counters end in `_total`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence without its full stop.
    pub help: &'static str,
    /// When it moves.
    pub when: &'static str,
    /// The Exchange counter it stands for, if there is one.
    pub exchange: Option<&'static str>,
}

const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    when: &'static str,
) -> FamilyRow {
    FamilyRow { name, kind, labels, help, when, exchange: None }
}

const fn known_to_exchange(mut row: FamilyRow, name: &'static str) -> FamilyRow {
    row.exchange = Some(name);
    row
}

pub const DOMAIN_SECURE_RECEIVED: &str = "sealpost_domain_secure_messages_received_total";
pub const DOMAIN_SECURE_SENT: &str = "sealpost_domain_secure_messages_sent_total";
pub const OUTBOUND_FAILURES: &str = "sealpost_domain_secure_outbound_session_failures_total";
pub const INBOUND_FAILURES: &str = "sealpost_domain_secure_inbound_failures_total";
pub const RECEIVED: &str = "sealpost_messages_received_total";
pub const REFUSED: &str = "sealpost_messages_refused_total";
pub const CHECKS: &str = "sealpost_checks_total";
pub const MILTERS: &str = "sealpost_milter_results_total";
pub const VERIFICATIONS: &str = "sealpost_recipient_verifications_total";
pub const CUT_THROUGH: &str = "sealpost_messages_cut_through_total";
pub const DELIVERED: &str = "sealpost_messages_delivered_total";
pub const DEFERRED: &str = "sealpost_messages_deferred_total";
pub const BOUNCED: &str = "sealpost_messages_bounced_total";
pub const LIMITS_REACHED: &str = "sealpost_limits_reached_total";
pub const CONNECTIONS: &str = "sealpost_connections";
pub const HANDSHAKES: &str = "sealpost_tls_handshakes_total";
pub const AUTHENTICATIONS: &str = "sealpost_authentications_total";
pub const ADMIN_SIGN_INS: &str = "sealpost_admin_sign_ins_total";
pub const QUEUE: &str = "sealpost_queue_messages";
pub const QUEUE_OLDEST: &str = "sealpost_queue_oldest_message_seconds";
pub const BACK_PRESSURE: &str = "sealpost_back_pressure";
pub const CERTIFICATE_EXPIRY: &str = "sealpost_certificate_expiry_timestamp_seconds";
pub const CRL_NEXT_UPDATE: &str = "sealpost_crl_next_update_timestamp_seconds";
pub const BUNDLE_INFO: &str = "sealpost_configuration_bundle_info";
pub const CRL_FETCHES: &str = "sealpost_crl_fetches_total";
pub const TLS_REPORTS: &str = "sealpost_tls_reports_total";
pub const POLICY_SESSIONS: &str = "sealpost_outbound_policy_sessions_total";
pub const STS_FETCHES: &str = "sealpost_mta_sts_policy_fetches_total";
pub const LOG_LINES_LOST: &str = "sealpost_protocol_log_lines_lost_total";
pub const TRACKING_LOST: &str = "sealpost_message_tracking_records_lost_total";
pub const EVENT_LOG_LOST: &str = "sealpost_event_log_records_lost_total";
pub const ACCEPT_TO_DURABLE: &str = "sealpost_accept_to_durable_seconds";
pub const ACCEPT_TO_DELIVERED: &str = "sealpost_accept_to_delivered_seconds";

/// Every family, in the order of the documentation.
pub const FAMILIES: &[FamilyRow] = &[
    known_to_exchange(
        row(
            DOMAIN_SECURE_RECEIVED,
            Kind::Counter,
            &["domain"],
            "Domain-secured messages received",
            "Once a message, at its 250; `domain` is the domain that was proved.",
        ),
        "Domain-secured messages received",
    ),
    known_to_exchange(
        row(
            DOMAIN_SECURE_SENT,
            Kind::Counter,
            &["domain"],
            "Domain-secured messages sent",
            "Once a message and recipient domain, at the peer's 250.",
        ),
        "Domain-secured messages sent",
    ),
    known_to_exchange(
        row(
            OUTBOUND_FAILURES,
            Kind::Counter,
            &["domain", "fault", "mode"],
            "Outbound sessions to a secure domain that connected and were not admitted",
            "Once a session that connected and was not admitted, or whose mail the partner refused for our sake \
             (`RefusedByPartner`); `mode` is `enforce` or `report`.",
        ),
        "Domain-secured outbound session failures",
    ),
    row(
        INBOUND_FAILURES,
        Kind::Counter,
        &["domain", "fault", "mode"],
        "MAIL commands of a secure domain that were judged bad",
        "Once a MAIL judged bad; `mode` is `enforce` (refused) or `report` (noted only).",
    ),
    row(
        RECEIVED,
        Kind::Counter,
        &["connector"],
        "Messages received",
        "Once a message, at its 250; our own delivery status notifications are not counted.",
    ),
    row(
        REFUSED,
        Kind::Counter,
        &["connector"],
        "Commands, recipients and messages refused with a 4xx or 5xx",
        "Once a reply.",
    ),
    row(
        CHECKS,
        Kind::Counter,
        &["connector", "check", "result"],
        "Inbound checks made",
        "Once a check and transaction, of SPF once an identity, of DKIM once a signature; `check` is `spf`, `dkim`, `dmarc`, `arc` or `x-dns-block-list`, `result` is a result of RFC 8601.",
    ),
    row(
        MILTERS,
        Kind::Counter,
        &["milter", "result"],
        "Last words of milters",
        "Once a milter and message, and once a sender or recipient that it refuses; `result` is `accept`, `reject`, `tempfail`, `discard`, `quarantine` or `failed` (it could not be asked). Milters that only watch count too.",
    ),
    row(
        VERIFICATIONS,
        Kind::Counter,
        &["result"],
        "Recipients about which a next hop was asked",
        "Once a recipient, whether the answer was remembered or new; `result` is `exists`, `any-is-taken` (the next hop takes any address of the domain), `missing` or `unknown`.",
    ),
    row(
        CUT_THROUGH,
        Kind::Counter,
        &["connector"],
        "Messages received that next hops took before they were durable",
        "Once a message, at its 250, with `[queue] cut_through`; `connector` received it.",
    ),
    row(
        DELIVERED,
        Kind::Counter,
        &["connector"],
        "Messages delivered to a next hop",
        "Once a transaction, at the peer's 250 after the final dot.",
    ),
    row(
        DEFERRED,
        Kind::Counter,
        &[],
        "Recipients whose delivery was put off",
        "Once a recipient and attempt that has to be repeated.",
    ),
    row(
        BOUNCED,
        Kind::Counter,
        &[],
        "Recipients given up",
        "Once a recipient whose delivery failed for good or expired.",
    ),
    row(
        CONNECTIONS,
        Kind::Gauge,
        &["direction", "connector"],
        "Open SMTP connections",
        "Now; `direction` is `inbound` or `outbound`.",
    ),
    row(
        LIMITS_REACHED,
        Kind::Counter,
        &["connector", "limit", "scope"],
        "Limits that clients ran into",
        "Once a connection, command or message that was refused or cut off for it; `limit` is what there was too much of, such as `connections`, `message-rate` or `command-time`, and `scope` whose limit it is: `connector`, `source`, `subnet`, `partner` or `session`.",
    ),
    row(
        HANDSHAKES,
        Kind::Counter,
        &["direction", "version", "result"],
        "TLS handshakes",
        "Once a handshake; `version` is `TLSv1.2`, `TLSv1.3` or `none`, `result` is `ok` or `failed`.",
    ),
    row(
        AUTHENTICATIONS,
        Kind::Counter,
        &["mechanism", "result"],
        "Attempts of clients to log in at receive connectors",
        "Once an exchange that was carried through; `mechanism` is as registered (`PLAIN`, `SCRAM-SHA-256` …), `result` is `ok` or `failed`.",
    ),
    row(
        ADMIN_SIGN_INS,
        Kind::Counter,
        &["result"],
        "Attempts to sign in to the status page, and wrong tokens at /api",
        "Once an attempt; `result` is `ok`, `failed` or `blocked` (wrong as well, and too many from there were before).",
    ),
    row(
        QUEUE,
        Kind::Gauge,
        &["status"],
        "Messages in the queue",
        "Now; `status` is `active`, `ready`, `retry` or `suspended`, the liveliest of its recipients.",
    ),
    row(
        QUEUE_OLDEST,
        Kind::Gauge,
        &[],
        "Age of the oldest queued message",
        "Now; 0 when the queue is empty.",
    ),
    row(
        BACK_PRESSURE,
        Kind::Gauge,
        &["resource"],
        "Back pressure: how short a resource is",
        "Once a second; 0 normal, 1 medium (strangers are refused), 2 high (everyone is); `resource` is `queue-length`, `free-disk` or `memory`.",
    ),
    row(
        CERTIFICATE_EXPIRY,
        Kind::Gauge,
        &["role", "subject"],
        "When a certificate of ours or of a partner expires, Unix time",
        "At start, at reload and every minute; `role` is `server` (ours, offered by receive connectors), `client` (ours, presented by send connectors), `partner` (as last seen) or `anchor` (a trust anchor in use).",
    ),
    row(
        CRL_NEXT_UPDATE,
        Kind::Gauge,
        &["issuer"],
        "When the first of this issuer's revocation lists in use is due, Unix time",
        "Whenever lists are read; neither a list that has a successor nor one without nextUpdate is shown.",
    ),
    row(
        BUNDLE_INFO,
        Kind::Gauge,
        &["serial", "digest"],
        "The bundle of shared settings that is in force; always 1",
        "At the start and at each reload; without a bundle there is no series. `digest` is the SHA-256 of its content.",
    ),
    row(
        CRL_FETCHES,
        Kind::Counter,
        &["result"],
        "Requests to distribution points of revocation lists",
        "Once a request; `result` is `fetched` (another list), `unchanged` (the one we have) or `failed`.",
    ),
    row(
        TLS_REPORTS,
        Kind::Counter,
        &["result"],
        "TLS reports to domains that ask for them",
        "Once an attempt and destination; `result` is `sent`, `failed` (it is tried again) or `given-up`.",
    ),
    row(
        POLICY_SESSIONS,
        Kind::Counter,
        &["policy", "result"],
        "Outbound sessions that DANE or an MTA-STS policy ruled over",
        "Once a session, and once a mail host that a policy kept us from; `policy` is `dane` or `mta-sts`, `result` is `success` or a result type of RFC 8460. A policy in testing counts too.",
    ),
    row(
        STS_FETCHES,
        Kind::Counter,
        &["result"],
        "MTA-STS policies asked for over https",
        "Once a request; `result` is `fetched` or `failed`.",
    ),
    row(
        LOG_LINES_LOST,
        Kind::Counter,
        &[],
        "Protocol log lines that could not be written",
        "Once a line, when writing fails or stalls for 5 s.",
    ),
    row(
        TRACKING_LOST,
        Kind::Counter,
        &[],
        "Message tracking records that could not be written",
        "Once a record, when writing fails or 8,192 wait for the disk: mail does not wait for it.",
    ),
    row(
        EVENT_LOG_LOST,
        Kind::Counter,
        &["output"],
        "Event log records that syslog, systemd's journal or a collector did not take",
        "Once a record, when nobody takes it or 4,096 wait: mail does not wait for it; `output` is `syslog`, `journald` or `otlp`.",
    ),
    row(
        ACCEPT_TO_DURABLE,
        Kind::Histogram,
        &[],
        "From MAIL to the commit point of a received message, seconds",
        "Once a message received, but for those that next hops took before that (`sealpost_messages_cut_through_total`).",
    ),
    row(
        ACCEPT_TO_DELIVERED,
        Kind::Histogram,
        &[],
        "From a message coming in whole to the next hop's 250, seconds",
        "Once a message delivered.",
    ),
];

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// `docs/counters.md`.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    for row in FAMILIES {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## `{}", row.name);
        if !row.labels.is_empty() {
            let _ = write!(page, "{{{}}}", row.labels.join(","));
        }
        let _ = write!(page, "`\n\n{}. {}\n\n- type: {}\n", row.help, row.when, row.kind.as_str());
        if let Some(exchange) = row.exchange {
            let _ = writeln!(page, "- Exchange (MSExchange Secure Mail Transport): {exchange}");
        }
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Made from the table in src/observe/counters.rs; change it there. -->
# Counters

`GET /metrics` on `[admin].listen` answers in the OpenMetrics text format, which Prometheus reads;
`sealpost counters` shows the same through `control.sock`. Counters start at 0 when the server
starts. `domain` only takes domains of the two secure lists, so that nobody outside can make series;
their series are there from the start, at 0. Those of a domain that a reload takes off the lists go.

[monitoring.md](monitoring.md) has alert rules and a dashboard made of them. What each `fault` means and
who can mend it stands in [faults.md](faults.md).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let page = include_str!("../../docs/counters.md");
        assert!(page == reference(), "docs/counters.md is not made from the table:\n{}", reference());
    }

    #[test]
    fn rows_keep_to_the_rules_of_names() {
        for row in FAMILIES {
            assert!(row.name.starts_with("sealpost_"), "{}", row.name);
            assert_eq!(row.kind == Kind::Counter, row.name.ends_with("_total"), "{}", row.name);
            assert!(!row.help.ends_with('.') && row.when.ends_with('.'), "{}", row.name);
        }
    }
}
