//! Whole configurations that must load, and what they come to.

use std::time::Duration;

use super::site::{CONNECTORS, Site, TOP, lines, repository};
use crate::config::{Document, read};
use crate::mail::Domain;
use crate::policy::{AllowedSenders, HeaderFrom, ProtocolLogging};
use crate::trust::{Mode, NamePattern, OnFailure, RevocationMode, UsagePolicy};

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// Every file in `config/`, with the certificates and lists it names made on the spot, is free of
/// errors and of warnings.
#[test]
fn the_sample_files_are_clean() {
    for name in ["edge.toml", "partner.toml", "partner-hub.toml", "internal-relay.toml"] {
        let site = Site::new();
        let text = std::fs::read_to_string(repository().join("config").join(name)).unwrap();
        // Whoever runs this may not write to the system's directories.
        assert!(text.contains("\"/var/lib/sealpost\""), "{name}");
        let text = text.replace("\"/var/lib/sealpost\"", "\"data\"");
        let document = read(&site.write("sealpost.toml", &text))
            .unwrap_or_else(|problems| panic!("{name}:\n{}", lines(&problems)));
        make_files(&site, &document);
        let loaded = site.load(&text).unwrap_or_else(|problems| panic!("{name}:\n{}", lines(&problems)));
        assert!(loaded.warnings.is_empty(), "{name}:\n{}", lines(&loaded.warnings));
    }
}

fn make_files(site: &Site, document: &Document) {
    let hostname = document.table("").text("hostname").unwrap();
    for table in document.tables("certificate") {
        let connectors = document.tables("receive_connector").chain(document.tables("send_connector"));
        let accepted = document.tables("accepted_domain").filter_map(|table| table.name());
        let names = connectors.filter_map(|table| table.text("fqdn")).chain([hostname]).chain(accepted);
        let names: Vec<_> = names.collect();
        site.certificate(table.text("chain").unwrap(), table.text("key").unwrap(), &names, 2020, 2060);
    }
    for item in document.table("trust").items("crl_files") {
        site.list(&item.text);
    }
    for item in document.tables("partner").flat_map(|table| table.items("trust_anchors")) {
        site.root(&item.text);
    }
    for table in document.tables("accepted_domain") {
        if let Some(path) = table.text("recipients") {
            site.write(path, format!("info@{}\n", table.name().unwrap()));
        }
    }
}

/// What an outside rig writes in its four modes: no [transport], no accepted domain, relay on a
/// loopback binding.
#[test]
fn the_outside_rig_loads_in_each_of_its_modes() {
    for (tls, mutual) in [(false, false), (true, false), (true, true)] {
        let site = Site::new();
        site.certificate("server.crt", "server.key", &["edge.contoso.example"], 2020, 2060);
        let mut text = format!(
            r#"hostname = "edge.contoso.example"
data_directory = "data"

[trust]
anchors = ["{}"]
crl_files = ["{}"]
crl_fetch = false

[[receive_connector]]
name = "Internet"
bindings = ["127.0.1.25:2525"]
fqdn = "edge.contoso.example"
auth_mechanism = [{}]
require_tls = {mutual}
domain_secure_enabled = {mutual}
permissions = ["submit", "relay"]
protocol_logging_level = "none"
max_message_size = "200 MiB"
max_inbound_connections_per_source = 100000
message_rate_limit = 100000000
tarpit_interval = "0 s"

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
port = 2526
fqdn = "edge.contoso.example"
require_tls = {tls}
domain_secure_enabled = {mutual}
protocol_logging_level = "none"
max_messages_per_connection = 1000000

[admin]
listen = "127.0.9.9:8025"
"#,
            site.path("root.pem").display(),
            site.path("root.crl").display(),
            if tls { "\"tls\"" } else { "" },
        );
        if tls {
            text += "\n[[certificate]]\nchain = \"server.crt\"\nkey = \"server.key\"\n";
        }
        if mutual {
            text += "\n[[partner]]\nname = \"Woodgrove\"\ndomains = [\"woodgrove.example\"]\n\
                     domain_secure = [\"send\", \"receive\"]\ncertificate_names = [\".woodgrove.example\"]\n";
        }
        let loaded = site.loaded(&text);
        let settings = loaded.settings;
        assert!(loaded.warnings.is_empty(), "{}", lines(&loaded.warnings));
        assert_eq!(settings.transport.postmaster.to_string(), "postmaster@edge.contoso.example");
        let connector = &settings.receive_connectors[0];
        assert_eq!(connector.max_message_size, 200 << 20);
        assert_eq!(connector.tarpit_interval, Duration::ZERO);
        assert_eq!(connector.limits.rates.messages, 100_000_000);
        assert_eq!(connector.offer_starttls, tls);
        assert!(connector.permissions.relay);
        assert_eq!(settings.send_connectors[0].port, 2526);
        assert_eq!(settings.partners.len(), usize::from(mutual));
        assert_eq!(settings.certificates.len(), usize::from(tls));
    }
}

#[test]
fn what_is_not_written_has_the_contracts_default() {
    let site = Site::new();
    let settings = site.loaded(&format!("{TOP}{CONNECTORS}")).settings;
    assert_eq!(settings.epoch, 0);
    assert_eq!(settings.data_directory, std::path::absolute(site.path("data")).unwrap());
    assert_eq!(settings.transport.header_from, HeaderFrom::Mark);
    assert_eq!(settings.default_policy.revocation, RevocationMode::HardFail);
    assert_eq!(settings.default_policy.anchors.source, "root.pem");
    let minutes = |n: u64| Duration::from_secs(n * 60);
    assert_eq!(settings.queue.message_expiration, minutes(2 * 24 * 60));
    assert_eq!(settings.queue.delay_notification, minutes(4 * 60));
    let mut intervals = vec![minutes(1); 4];
    intervals.extend([minutes(10); 6]);
    intervals.push(minutes(30));
    assert_eq!(settings.queue.retry_intervals, intervals);
    assert_eq!(settings.protocol_log.directory, settings.data_directory.join("protocol-log"));
    assert_eq!(settings.protocol_log.max_age, minutes(30 * 24 * 60));
    assert_eq!(settings.admin.listen, Some("127.0.0.1:8025".parse().unwrap()));

    let receive = &settings.receive_connectors[0];
    assert_eq!(receive.fqdn, domain("mail1.contoso.example"));
    assert_eq!(receive.remote_ip_ranges.len(), 2);
    assert!(receive.offer_starttls && receive.domain_secure_enabled && !receive.require_tls);
    assert!(receive.permissions.submit && !receive.permissions.relay);
    assert_eq!(receive.protocol_logging, ProtocolLogging::Verbose);
    assert_eq!(receive.max_message_size, 36 << 20);
    assert_eq!(receive.max_recipients_per_message, 200);
    assert_eq!(receive.max_inbound_connections, 5000);
    assert_eq!(receive.max_inbound_connections_per_source, 20);
    assert_eq!(receive.limits.rates.messages, 600);
    assert_eq!(receive.connection_timeout, minutes(5));
    assert_eq!(receive.connection_inactivity_timeout, minutes(1));
    assert_eq!(receive.tarpit_interval, Duration::from_secs(5));

    let send = &settings.send_connectors[0];
    assert!(send.dns_routing_enabled && send.domain_secure_enabled && !send.require_tls);
    assert_eq!((send.cost, send.port), (1, 25));
    assert_eq!(send.send_organization_headers, None);
    assert_eq!((send.max_messages_per_connection, send.max_connections_per_destination), (100, 20));
}

#[test]
fn defaults_follow_from_other_keys() {
    let site = Site::new();
    let settings = site
        .loaded(&format!(
            r#"{TOP}
[[accepted_domain]]
name = "contoso.example"
from = "anyone"

[[receive_connector]]
name = "Inside"
bindings = ["127.0.0.1:25"]
permissions = ["submit", "relay"]
domain_secure_enabled = false

[[send_connector]]
name = "Inside"
address_spaces = ["contoso.example", "*.corp.contoso.example", "*"]
dns_routing_enabled = false
smart_hosts = ["exchange.contoso.example:2525", "[192.0.2.1]:26", "[2001:db8::1]", "192.0.2.2"]
"#
        ))
        .settings;
    assert_eq!(settings.transport.postmaster.to_string(), "postmaster@contoso.example");
    assert_eq!(settings.receive_connectors[0].protocol_logging, ProtocolLogging::None);
    let send = &settings.send_connectors[0];
    assert!(!send.domain_secure_enabled);
    assert_eq!(send.protocol_logging, ProtocolLogging::None);
    let ports: Vec<_> = send.smart_hosts.iter().map(|host| host.port).collect();
    assert_eq!(ports, [Some(2525), Some(26), None, None]);
}

#[test]
fn partners_extend_the_lists_and_lists_imply_partners() {
    let site = Site::new();
    let loaded = site.loaded(&format!(
        r#"{TOP}{CONNECTORS}
[transport]
tls_receive_domain_secure_list = ["Bücher.example.", "woodgrovebank.example"]

[[partner]]
name = "Woodgrove Bank"
domains = ["woodgrovebank.example"]
domain_secure = ["send"]
trust_anchors = []
spki_pins = ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
certificate_names = ["mail.woodgrovebank.example", ".mx.woodgrovebank.example"]
extended_key_usage = "client"
revocation = "soft-fail"
on_inbound_failure = "defer"
on_outbound_failure = "reject"
message_expiration = "1 day"
mode = "report"
certificate = "contoso.example"
"#
    ));
    let settings = loaded.settings;
    let transport = &settings.transport;
    let names =
        |set: &std::collections::BTreeSet<Domain>| set.iter().map(Domain::to_string).collect::<Vec<_>>();
    assert_eq!(names(&transport.tls_send_domain_secure_list), ["woodgrovebank.example"]);
    assert_eq!(
        names(&transport.tls_receive_domain_secure_list),
        ["woodgrovebank.example", "xn--bcher-kva.example"]
    );
    let [woodgrove, implied] = &settings.partners[..] else { panic!("{:?}", settings.partners) };
    assert_eq!(woodgrove.mode, Mode::Report);
    assert_eq!(
        (woodgrove.on_inbound_failure, woodgrove.on_outbound_failure),
        (OnFailure::Defer, OnFailure::Reject)
    );
    assert_eq!(woodgrove.message_expiration, Some(Duration::from_secs(24 * 3600)));
    assert_eq!(woodgrove.delay_notification, Some(Duration::from_secs(30 * 60)));
    assert_eq!(woodgrove.policy.revocation, RevocationMode::SoftFail);
    assert_eq!(woodgrove.policy.usage, UsagePolicy::Client);
    assert!(woodgrove.policy.anchors.is_empty() && woodgrove.policy.pins.len() == 1);
    assert_eq!(
        woodgrove.policy.certificate_names,
        [
            NamePattern::Exact(domain("mail.woodgrovebank.example")),
            NamePattern::Below(domain("mx.woodgrovebank.example"))
        ]
    );
    assert_eq!(implied.name, "xn--bcher-kva.example");
    assert_eq!(implied.message_expiration, None);
    assert_eq!(implied.delay_notification, Some(Duration::from_secs(30 * 60)));
    assert_eq!(implied.policy.anchors.source, "root.pem");
    assert_eq!(loaded.warnings.len(), 1, "report mode alone: {}", lines(&loaded.warnings));
}

#[test]
fn recipients_are_read_in_lower_case() {
    let site = Site::new();
    site.write("recipients.txt", "# ours\nInfo@Contoso.example\n\n\"odd one\"@contoso.example\r\n");
    let settings = site
        .loaded(&format!(
            "{TOP}{CONNECTORS}[[accepted_domain]]\nname = \"contoso.example\"\nrecipients = \"recipients.txt\"\n\
             from = [\"a.example\"]\n[transport]\ntls_receive_domain_secure_list = [\"a.example\"]\n"
        ))
        .settings;
    let accepted = settings.accepted_domain(&domain("contoso.example")).unwrap();
    let mut recipients: Vec<_> = accepted.recipients.as_ref().unwrap().iter().cloned().collect();
    recipients.sort();
    assert_eq!(recipients, ["\"odd one\"@contoso.example", "info@contoso.example"]);
    assert_eq!(accepted.from, AllowedSenders::Domains(vec![domain("a.example")]));
}
