use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::mail::Domain;
use crate::observe::test_settings;
use crate::policy::{Partner, Priority, ProtocolLogging};
use crate::trust::{AnchorSet, OnFailure, TrustPolicy};

const DOMAIN: &str = "woodgrove.example";
const HOST: &str = "mx.woodgrove.example";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn connector(level: Level) -> SendConnector {
    SendConnector {
        name: "Internet".to_owned(),
        address_spaces: Vec::new(),
        cost: 1,
        dns_routing_enabled: true,
        smart_hosts: Vec::new(),
        port: 25,
        smart_host_auth: None,
        source_addresses: Vec::new(),
        fqdn: domain("mail.contoso.example"),
        domain_secure_enabled: true,
        require_tls: false,
        implicit_tls: false,
        tls_auth_level: level,
        dane: true,
        mta_sts: true,
        post_quantum_key_exchange: true,
        send_organization_headers: None,
        stamp_exchange_headers: false,
        protocol_logging: ProtocolLogging::None,
        max_messages_per_connection: 1,
        max_connections_per_destination: 1,
    }
}

/// On the send list with a partner entry in this mode, or not at all.
fn settings(listed: Option<Mode>) -> Settings {
    let Some(mode) = listed else { return test_settings::with_lists(&[], &[]) };
    let policy = TrustPolicy::of(Arc::new(AnchorSet::new("woodgrove-root.pem", Vec::new())));
    let partner = Partner {
        name: "Woodgrove".to_owned(),
        domains: vec![domain(DOMAIN)],
        policy: Arc::new(policy),
        on_inbound_failure: OnFailure::Reject,
        on_outbound_failure: OnFailure::Defer,
        message_expiration: None,
        delay_notification: None,
        retry_intervals: None,
        priority: Priority::Normal,
        mode,
        certificate: None,
        remote_ip_ranges: Vec::new(),
        limits: crate::policy::PartnerLimits::default(),
    };
    Settings { partners: vec![Arc::new(partner)], ..test_settings::with_lists(&[], &[DOMAIN]) }
}

fn tlsa(what: &str) -> TlsaAnswer {
    let record = |usage| TlsaRecord { usage, selector: 1, matching: 1, data: vec![7; 32] };
    let records = |records| TlsaAnswer::Records { base: domain(HOST), names: vec![domain(DOMAIN)], records };
    match what {
        "-" => TlsaAnswer::NotApplicable,
        "none" => TlsaAnswer::None,
        "usable" => records(vec![record(1), record(3)]),
        "unusable" => records(vec![record(0), record(1)]),
        "failed" => TlsaAnswer::Failed("SERVFAIL".to_owned()),
        other => panic!("{other}"),
    }
}

fn sts(what: &str) -> Option<Arc<StsPolicy>> {
    let (mode, host) = match what {
        "-" => return None,
        "enforce" => ("enforce", HOST),
        "testing" => ("testing", HOST),
        "enforce other" => ("enforce", "mail.elsewhere.example"),
        "testing other" => ("testing", "mail.elsewhere.example"),
        "none" => ("none", HOST),
        other => panic!("{other}"),
    };
    let text = format!("version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: 86400\n");
    let policy = StsPolicy::parse(text.as_bytes()).unwrap();
    assert_eq!(policy.max_age, Duration::from_secs(86_400));
    Some(Arc::new(policy))
}

fn planned(listed: Option<Mode>, level: Level, tlsa: TlsaAnswer, sts: Option<Arc<StsPolicy>>) -> HostPlan {
    planned_for(TlsRequired::Unstated, "unsigned", listed, level, &Published { tlsa, sts })
}

/// `named`: how it is known that the host is one of the domain's.
fn planned_for(
    tls_required: TlsRequired,
    named: &str,
    listed: Option<Mode>,
    level: Level,
    published: &Published,
) -> HostPlan {
    let settings = settings(listed);
    let to = domain(DOMAIN);
    let connector = SendConnector { dns_routing_enabled: named != "smart host", ..connector(level) };
    plan(&Way {
        settings: &settings,
        connector: &connector,
        tls_domain: listed.is_some().then_some(&to),
        domain: &to,
        host: match named {
            "by the address" => DOMAIN,
            "literal" => "[192.0.2.1]",
            _ => HOST,
        },
        is_certain: matches!(named, "signed" | "smart host"),
        tls_required,
        published,
    })
}

/// `POLICY LEVEL`, then what tests and what stands behind it.
fn words(plan: &HostPlan) -> String {
    let one = |requirement: &Requirement| {
        format!("{} {}", requirement.ruled_by, requirement.ruled_by.level_name(requirement.level))
    };
    match plan {
        HostPlan::Skip(skipped) => format!("skip {} {}", skipped.ruling.policy, skipped.ruling.outcome),
        HostPlan::Unfit(reply) => format!("unfit {}", reply.enhanced.unwrap()),
        HostPlan::Connect(demand) => {
            let mut words = one(&demand.requirement);
            if demand.requirement.mode == Mode::Report {
                words = format!("report {words} else {}", one(demand.decisive()));
            }
            match &demand.tested {
                Some(tested) => format!("{words}, tested {}", tested.ruling.policy),
                None => words,
            }
        }
    }
}

#[test]
fn the_order_of_precedence() {
    const NONE: Level = Level::None;
    const TLS: Level = Level::EncryptionOnly;
    const CHAIN: Level = Level::CertificateValidation;
    const NAME: Level = Level::DomainValidation;
    let enforce = Some(Mode::Enforce);
    let report = Some(Mode::Report);
    let table = [
        // A partner entry is its own rule, whatever the others say.
        (enforce, NONE, "-", "-", "partner domain-secure"),
        (enforce, NONE, "usable", "enforce", "partner domain-secure"),
        (enforce, NAME, "unusable", "testing", "partner domain-secure"),
        (enforce, NONE, "failed", "enforce other", "partner domain-secure"),
        // In report mode it goes on as for an unlisted domain, but never in clear.
        (report, NONE, "-", "-", "report partner domain-secure else connector encryption-only"),
        (report, NAME, "-", "-", "report partner domain-secure else connector domain-validation"),
        (report, NONE, "usable", "enforce", "report partner domain-secure else dane dane"),
        (report, NONE, "-", "enforce", "report partner domain-secure else mta-sts mta-sts"),
        (report, NONE, "-", "testing", "report partner domain-secure else connector encryption-only"),
        (report, NONE, "failed", "-", "skip dane dnssec-invalid"),
        // Nothing published: the connector.
        (None, NONE, "-", "-", "connector none"),
        (None, TLS, "none", "-", "connector encryption-only"),
        (None, NAME, "none", "none", "connector domain-validation"),
        // DANE goes before MTA-STS and before the connector.
        (None, NONE, "usable", "-", "dane dane"),
        (None, NAME, "usable", "-", "dane dane"),
        (None, NONE, "usable", "enforce", "dane dane"),
        (None, NONE, "usable", "enforce other", "dane dane"),
        (None, NONE, "usable", "testing", "dane dane"),
        (None, NONE, "failed", "enforce", "skip dane dnssec-invalid"),
        (None, NONE, "failed", "-", "skip dane dnssec-invalid"),
        // Records of no use still ask for TLS, and lower nothing.
        (None, NONE, "unusable", "-", "dane encryption-only"),
        (None, TLS, "unusable", "-", "connector encryption-only"),
        (None, CHAIN, "unusable", "-", "connector certificate-validation"),
        (None, NONE, "unusable", "enforce", "mta-sts mta-sts"),
        (None, NONE, "unusable", "enforce other", "skip mta-sts validation-failure"),
        (None, NONE, "unusable", "testing", "report mta-sts mta-sts else dane encryption-only"),
        // MTA-STS goes before the connector.
        (None, NONE, "none", "enforce", "mta-sts mta-sts"),
        (None, NAME, "-", "enforce", "mta-sts mta-sts"),
        (None, NONE, "-", "enforce other", "skip mta-sts validation-failure"),
        // Testing holds nothing back that the connector would let pass.
        (None, NONE, "-", "testing", "report mta-sts mta-sts else connector none"),
        (None, NAME, "-", "testing", "report mta-sts mta-sts else connector domain-validation"),
        (None, NONE, "-", "testing other", "connector none, tested mta-sts"),
        (None, NONE, "-", "none", "connector none"),
    ];
    for (listed, level, records, policy, expected) in table {
        let plan = planned(listed, level, tlsa(records), sts(policy));
        assert_eq!(words(&plan), expected, "{listed:?} {level:?} tlsa {records} sts {policy}");
    }
}

#[test]
fn a_message_that_requires_tls_goes_to_hosts_that_are_named_for_certain() {
    let report = Some(Mode::Report);
    let table = [
        // A secure domain is more than is asked.
        (Some(Mode::Enforce), "unsigned", "-", "-", "partner domain-secure"),
        (report, "signed", "-", "-", "report partner domain-secure else connector domain-validation"),
        (report, "unsigned", "-", "-", "unfit 5.7.10"),
        (None, "unsigned", "-", "-", "unfit 5.7.10"),
        (None, "signed", "-", "-", "connector domain-validation"),
        (None, "by the address", "-", "-", "connector domain-validation"),
        (None, "smart host", "-", "-", "connector domain-validation"),
        (None, "literal", "-", "-", "unfit 5.7.10"),
        (None, "signed", "usable", "-", "dane dane"),
        (None, "signed", "unusable", "-", "connector domain-validation"),
        (None, "signed", "failed", "-", "skip dane dnssec-invalid"),
        // A policy names hosts whether or not it is in testing, and asks no less of them.
        (None, "unsigned", "-", "enforce", "mta-sts mta-sts"),
        (None, "unsigned", "-", "testing", "mta-sts mta-sts"),
        (None, "unsigned", "-", "none", "unfit 5.7.10"),
        (None, "signed", "-", "enforce other", "unfit 5.7.10"),
        (None, "unsigned", "-", "testing other", "unfit 5.7.10"),
    ];
    for (listed, named, records, policy, expected) in table {
        let published = Published { tlsa: tlsa(records), sts: sts(policy) };
        let plan = planned_for(TlsRequired::Yes, named, listed, Level::None, &published);
        assert_eq!(words(&plan), expected, "{listed:?} {named} tlsa {records} sts {policy}");
        if let HostPlan::Connect(demand) = plan {
            assert_eq!(demand.requiretls, listed != Some(Mode::Enforce), "whether the sender hears at once");
        }
    }
}

#[test]
fn what_is_published_can_be_waived_and_our_own_settings_cannot() {
    let table = [
        (Some(Mode::Enforce), Level::None, "-", "-", "partner domain-secure"),
        (
            Some(Mode::Report),
            Level::None,
            "usable",
            "-",
            "report partner domain-secure else connector encryption-only",
        ),
        (None, Level::None, "usable", "enforce", "connector none"),
        (None, Level::None, "failed", "enforce other", "connector none"),
        (None, Level::None, "unusable", "-", "connector none"),
        (None, Level::DomainValidation, "usable", "enforce", "connector domain-validation"),
    ];
    for (listed, level, records, policy, expected) in table {
        let published = Published { tlsa: tlsa(records), sts: sts(policy) };
        let plan = planned_for(TlsRequired::No, "signed", listed, level, &published);
        assert_eq!(words(&plan), expected, "{listed:?} {level:?} tlsa {records} sts {policy}");
    }
}

#[test]
fn what_must_be_proved_is_what_the_policy_names() {
    let requirement = |records, policy| match planned(None, Level::None, tlsa(records), sts(policy)) {
        HostPlan::Connect(demand) => demand.requirement,
        other @ (HostPlan::Skip(_) | HostPlan::Unfit(_)) => panic!("{other:?}"),
    };
    let names = |requirement: &Requirement| {
        requirement.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let dane = requirement("usable", "-");
    assert_eq!(names(&dane), "mx.woodgrove.example woodgrove.example");
    assert_eq!(dane.server_name(), Some(&domain(HOST)), "SNI is the TLSA base domain");
    let ServerProof::Tlsa(tlsa) = &dane.proof else { panic!("{dane:?}") };
    assert_eq!(tlsa.records.len(), 1, "the record of usage 1 is of no use to SMTP");
    let sts = requirement("-", "enforce");
    assert_eq!(names(&sts), HOST, "the host, not the domain");
    assert_eq!(sts.server_name(), None);
    let ordinary = requirement("-", "-");
    assert_eq!(names(&ordinary), DOMAIN);
}

#[test]
fn a_host_that_is_passed_over_says_which_policy_wanted_what() {
    let plan = planned(None, Level::None, tlsa("-"), sts("enforce other"));
    let HostPlan::Skip(skipped) = plan else { panic!("{plan:?}") };
    assert_eq!(skipped.ruling.to_string(), "mta-sts mta-sts:none");
    assert_eq!((skipped.wanted.as_str(), skipped.got.as_str()), ("mail.elsewhere.example", HOST));
    let reply = skipped.reply().to_string();
    assert!(reply.starts_with("454 4.7.5 MTA-STS: validation-failure"), "{reply}");
    let plan = planned(None, Level::None, tlsa("failed"), None);
    let HostPlan::Skip(skipped) = plan else { panic!("{plan:?}") };
    assert_eq!(skipped.ruling.to_string(), "dane dane:none");
    assert!(skipped.reason.contains("SERVFAIL"), "{}", skipped.reason);
}

#[test]
fn nobody_is_asked_about_a_domain_that_a_partner_entry_rules() {
    let to = domain(DOMAIN);
    assert!(!asks_the_world(&settings(Some(Mode::Enforce)), Some(&to)));
    assert!(asks_the_world(&settings(Some(Mode::Report)), Some(&to)));
    assert!(asks_the_world(&settings(None), None));
}
