//! Judgement over certificates made on the spot: the leaf cases of the field, one row each.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Usage, GeneralSubtree, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, RevocationReason, RevokedCertParams,
    SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::*;

mod conformance;
mod policy;
mod staple;

const NOW: &str = "2026-06-01T12:00:00Z";
const DOMAIN: &str = "woodgrovebank.example";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn at(timestamp: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(timestamp.as_second()).unwrap()
}

fn days(count: i64) -> OffsetDateTime {
    at(now() + (count * 24).hours())
}

/// Parameters of a certificate valid from 30 days ago for 90 days.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (days(-30), days(60));
    params
}

fn numbered(mut params: CertificateParams, serial: u8) -> CertificateParams {
    params.serial_number = Some(SerialNumber::from_slice(&[serial]));
    params
}

fn leaf_params() -> CertificateParams {
    let mut params = numbered(params("mail"), 7);
    params.subject_alt_names = CertificateParams::new(vec![DOMAIN.to_owned()]).unwrap().subject_alt_names;
    params.extended_key_usages = vec![Usage::ServerAuth];
    params
}

struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn params(name: &str) -> CertificateParams {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn root(name: &str) -> Self {
        Self::root_of(Self::params(name))
    }

    fn root_of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, params: &CertificateParams) -> CertificateDer<'static> {
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }

    fn list(&self, this_update: i64, next_update: i64, revoked: &[u8]) -> Arc<RevocationList> {
        let list = CertificateRevocationListParams {
            this_update: days(this_update),
            next_update: days(next_update),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&[*serial]),
                    revocation_time: days(-2),
                    reason_code: Some(RevocationReason::KeyCompromise),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = list.signed_by(&self.issuer).unwrap().der().to_vec();
        let source = format!("list{this_update}.crl");
        Arc::new(RevocationList::parse(&source, &der).unwrap().remove(0))
    }
}

/// One judgement, built up from the good case.
struct Case {
    chain: Vec<CertificateDer<'static>>,
    policy: TrustPolicy,
    lists: RevocationSet,
    staple: Option<Vec<u8>>,
    now: Timestamp,
    direction: Direction,
    level: Level,
    own: OwnCertificateState<'static>,
}

impl Case {
    fn new(root: &Authority, chain: Vec<CertificateDer<'static>>) -> Self {
        let policy = TrustPolicy {
            revocation: RevocationMode::Off,
            ..TrustPolicy::of(Arc::new(AnchorSet::from_certificates("root.pem", [root.der.clone()])))
        };
        let (direction, level) = (Direction::Inbound, Level::DomainSecure);
        let own = OwnCertificateState::NotApplicable;
        let lists = RevocationSet::default();
        Self { chain, policy, lists, staple: None, now: now(), direction, level, own }
    }

    fn usage(mut self, usage: UsagePolicy) -> Self {
        self.policy.usage = usage;
        self
    }

    fn hard_fail(mut self, lists: Vec<Arc<RevocationList>>) -> Self {
        self.policy.revocation = RevocationMode::HardFail;
        self.lists = RevocationSet { epoch: 1, lists, ..RevocationSet::default() };
        self
    }

    fn requirement(&self) -> Requirement {
        Requirement {
            ruled_by: crate::trust::RuledBy::Partner,
            proof: crate::trust::ServerProof::Domain,
            direction: self.direction,
            domain: DOMAIN.parse().unwrap(),
            level: self.level,
            mode: Mode::Enforce,
            on_failure: OnFailure::Reject,
            policy: Arc::new(self.policy.clone()),
        }
    }

    fn judge_with(&self, tls: TlsState<'_>) -> Verdict {
        let connection = Connection { tls, own_certificate: self.own };
        judge(&self.requirement(), &connection, &self.lists, self.now)
    }

    fn evidence(&self) -> TlsEvidence {
        TlsEvidence {
            version: TlsVersion::Tls12,
            cipher_suite: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384".into(),
            key_exchange: None,
            resumed: false,
            peer_chain: self.chain.clone(),
            staple: self.staple.as_deref().map(Arc::from),
            channel_binding: None,
        }
    }

    fn verdict(&self) -> Verdict {
        self.judge_with(TlsState::Established(&self.evidence()))
    }

    #[track_caller]
    fn expect(&self, faults: &[Fault]) -> Verdict {
        let verdict = self.verdict();
        let found: Vec<Fault> = verdict.facts.iter().map(|fact| fact.fault).collect();
        assert_eq!(found, faults, "{}", verdict.sentence());
        assert_eq!(verdict.clone().admit().is_ok(), faults.is_empty());
        verdict
    }
}

#[test]
fn a_good_chain_in_any_order_and_with_junk_is_admitted() {
    let root = Authority::root("root");
    let middle = root.below(Authority::params("middle"));
    let low = middle.below(Authority::params("low"));
    let stranger = Authority::root("stranger");
    let leaf = low.leaf(&leaf_params());
    let junk = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    let chain = vec![leaf, junk, root.der.clone(), stranger.der, middle.der, low.der.clone(), low.der];
    let verdict = Case::new(&root, chain).expect(&[]);
    assert_eq!(verdict.verified, [Check::Chain, Check::Name]);
    assert_eq!(verdict.matched_name.as_deref(), Some(DOMAIN));
    assert_eq!(verdict.achieved, Level::DomainSecure);
}

#[test]
fn how_the_path_ends_is_told_apart() {
    let root = Authority::root("root");
    let middle = root.below(Authority::params("middle"));
    let leaf = middle.leaf(&leaf_params());
    Case::new(&root, vec![leaf.clone()]).expect(&[Fault::IncompleteChain]);
    let other = Authority::root("other");
    Case::new(&other, vec![leaf.clone(), middle.der.clone(), root.der.clone()])
        .expect(&[Fault::UntrustedRoot]);
    Case::new(&other, vec![leaf.clone(), middle.der.clone()]).expect(&[Fault::IncompleteChain]);
    let impostor = Authority::root("root");
    Case::new(&impostor, vec![leaf, middle.der]).expect(&[Fault::SignatureFailure]);
    let own = leaf_params().self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    Case::new(&root, vec![own.clone()]).expect(&[Fault::UntrustedRoot]);
    let junk = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    Case::new(&root, vec![junk.clone()]).expect(&[Fault::MalformedCertificate]);
    let lost = root.below(Authority::params("lost")).leaf(&leaf_params());
    Case::new(&root, vec![lost, junk]).expect(&[Fault::MalformedCertificate, Fault::IncompleteChain]);
    Case::new(&root, vec![]).expect(&[Fault::NoCertificate]);
    let mut own_anchor = Case::new(&root, vec![own.clone()]);
    own_anchor.policy.anchors = Arc::new(AnchorSet::from_certificates("leaf.pem", [own]));
    own_anchor.hard_fail(vec![]).expect(&[]);
}

#[test]
fn an_expired_certificate_hides_nothing_and_the_second_counts() {
    let root = Authority::root("root");
    let leaf = root.leaf(&leaf_params());
    let mut case = Case::new(&root, vec![leaf.clone()]);
    for (offset, faults) in [
        (60 * 86_400, &[][..]),
        (60 * 86_400 + 1, &[Fault::Expired]),
        (-30 * 86_400, &[]),
        (-30 * 86_400 - 1, &[Fault::NotYetValid]),
    ] {
        // The root lives longer than the leaf here.
        let mut params = Authority::params("root");
        (params.not_before, params.not_after) = (days(-300), days(300));
        let root = Authority {
            der: params.self_signed(root.issuer.key()).unwrap().der().clone(),
            issuer: Issuer::new(params, KeyPair::generate().unwrap()),
        };
        case.policy.anchors = Arc::new(AnchorSet::from_certificates("root.pem", [root.der]));
        case.now = now() + offset.seconds();
        case.expect(faults);
    }
    let other = Authority::root("other");
    let mut case = Case::new(&other, vec![leaf]);
    case.now = now() + (100 * 24).hours();
    case.policy.usage = UsagePolicy::Client;
    case.expect(&[Fault::IncompleteChain, Fault::WrongUsage, Fault::Expired]);
}

#[test]
fn an_expired_root_or_intermediate_is_found() {
    let mut old = Authority::params("root");
    old.not_after = days(-1);
    let root = Authority::root_of(old);
    Case::new(&root, vec![root.leaf(&leaf_params())]).expect(&[Fault::Expired]);
    let root = Authority::root("root");
    let mut old = Authority::params("middle");
    (old.not_before, old.not_after) = (days(-90), days(-60));
    let middle = root.below(old);
    // No moment at which both were valid.
    Case::new(&root, vec![middle.leaf(&leaf_params()), middle.der]).expect(&[Fault::Expired]);
}

#[test]
fn usage_must_be_common_to_the_whole_chain() {
    let root = Authority::root("root");
    let with = |usages: &[Usage]| {
        let mut params = leaf_params();
        params.extended_key_usages = usages.to_vec();
        params
    };
    let table: &[(&[Usage], [bool; 3])] = &[
        // client, server, either
        (&[], [true, true, true]),
        (&[Usage::Any], [true, true, true]),
        (&[Usage::ClientAuth], [true, false, true]),
        (&[Usage::ServerAuth], [false, true, true]),
        (&[Usage::ClientAuth, Usage::ServerAuth], [true, true, true]),
        (&[Usage::CodeSigning], [false, false, false]),
    ];
    for (usages, admitted) in table {
        for (usage, good) in
            [UsagePolicy::Client, UsagePolicy::Server, UsagePolicy::Either].into_iter().zip(admitted)
        {
            let faults: &[Fault] = if *good { &[] } else { &[Fault::WrongUsage] };
            Case::new(&root, vec![root.leaf(&with(usages))]).usage(usage).expect(faults);
        }
        Case::new(&root, vec![root.leaf(&with(usages))]).usage(UsagePolicy::Any).expect(&[]);
    }
    let mut clients_only = Authority::params("clients");
    clients_only.extended_key_usages = vec![Usage::ClientAuth];
    let middle = root.below(clients_only);
    Case::new(&root, vec![middle.leaf(&leaf_params()), middle.der]).expect(&[Fault::WrongUsage]);
    let mut outbound =
        Case::new(&root, vec![root.leaf(&with(&[Usage::ClientAuth]))]).usage(UsagePolicy::Client);
    outbound.direction = Direction::Outbound;
    outbound.own = OwnCertificateState::Sent;
    outbound.expect(&[Fault::WrongUsage]);
}

#[test]
fn authorities_must_be_authorities() {
    let root = Authority::root("root");
    let plain = root.below(params("plain"));
    Case::new(&root, vec![plain.leaf(&leaf_params()), plain.der]).expect(&[Fault::InvalidChain]);
    let mut no_sign = Authority::params("no sign");
    no_sign.key_usages = vec![KeyUsagePurpose::CrlSign];
    let no_sign = root.below(no_sign);
    Case::new(&root, vec![no_sign.leaf(&leaf_params()), no_sign.der]).expect(&[Fault::InvalidChain]);
    let mut authority = leaf_params();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Case::new(&root, vec![root.leaf(&authority)]).expect(&[Fault::InvalidChain]);
    let mut signer = leaf_params();
    signer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Case::new(&root, vec![root.leaf(&signer)]).expect(&[Fault::InvalidChain]);
    let mut malformed = leaf_params();
    malformed.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![5, 0])];
    Case::new(&root, vec![root.leaf(&malformed)]).expect(&[Fault::MalformedCertificate]);
    let mut critical = leaf_params();
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    unknown.set_criticality(true);
    critical.custom_extensions = vec![unknown];
    Case::new(&root, vec![root.leaf(&critical)]).expect(&[Fault::InvalidChain]);
}

#[test]
fn path_length_binds_intermediates_and_roots() {
    let zero = |name: &str| {
        let mut params = Authority::params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params
    };
    let root = Authority::root("root");
    let top = root.below(zero("top"));
    Case::new(&root, vec![top.leaf(&leaf_params()), top.der.clone()]).expect(&[]);
    let low = top.below(Authority::params("low"));
    Case::new(&root, vec![low.leaf(&leaf_params()), low.der, top.der]).expect(&[Fault::InvalidChain]);
    let root = Authority::root_of(zero("narrow"));
    Case::new(&root, vec![root.leaf(&leaf_params())]).expect(&[]);
    let middle = root.below(Authority::params("middle"));
    Case::new(&root, vec![middle.leaf(&leaf_params()), middle.der]).expect(&[Fault::InvalidChain]);
}

#[test]
fn name_constraints_bind_also_when_the_leaf_has_expired() {
    let root = Authority::root("root");
    let within = |permitted: &str| {
        let mut params = Authority::params("constrained");
        let permitted_subtrees = vec![GeneralSubtree::DnsName(permitted.into())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        root.below(params)
    };
    let good = within(DOMAIN);
    Case::new(&root, vec![good.leaf(&leaf_params()), good.der]).expect(&[]);
    let bad = within("contoso.example");
    let mut case = Case::new(&root, vec![bad.leaf(&leaf_params()), bad.der]);
    case.expect(&[Fault::InvalidChain]);
    case.now = now() + (61 * 24).hours();
    let verdict = case.verdict();
    assert_eq!(verdict.fault(), Some(Fault::InvalidChain));
    assert!(verdict.facts.iter().any(|fact| fact.fault == Fault::Expired));
}

#[test]
fn directory_names_are_constrained_too() {
    let root = Authority::root("root");
    let under = |organization: &str, is_permitted: bool| {
        let mut base = DistinguishedName::new();
        base.push(DnType::OrganizationName, organization);
        let trees = vec![GeneralSubtree::DirectoryName(base)];
        let (permitted_subtrees, excluded_subtrees) =
            if is_permitted { (trees, vec![]) } else { (vec![], trees) };
        let mut params = Authority::params("constrained");
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
        root.below(params)
    };
    let mut params = leaf_params();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Woodgrove  bank");
    params.distinguished_name.push(DnType::CommonName, "mail");
    for (organization, is_permitted, faults) in [
        ("Woodgrove Bank", true, &[][..]),
        ("Contoso", true, &[Fault::InvalidChain]),
        ("Woodgrove Bank", false, &[Fault::InvalidChain]),
        ("Contoso", false, &[]),
    ] {
        let authority = under(organization, is_permitted);
        let mut case = Case::new(&root, vec![authority.leaf(&params), authority.der.clone()]);
        case.expect(faults);
        // That the names are ours to judge leaves everything else as it was.
        case.now = now() + (61 * 24).hours();
        assert!(case.verdict().facts.iter().any(|fact| fact.fault == Fault::Expired));
        let impostor = under(organization, is_permitted);
        Case::new(&root, vec![impostor.leaf(&params), authority.der])
            .expect(&[&[Fault::SignatureFailure], faults].concat());
    }
}

#[test]
fn self_issued_authorities_count_neither_for_length_nor_for_names() {
    let root = Authority::root("root");
    let mut params = Authority::params("old and new");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.into())],
        excluded_subtrees: vec![],
    });
    let old = root.below(params);
    let mut params = Authority::params("old and new");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.subject_alt_names =
        CertificateParams::new(vec!["other.example".to_owned()]).unwrap().subject_alt_names;
    let new = old.below(params);
    let chain = vec![new.leaf(&leaf_params()), new.der.clone(), old.der.clone()];
    Case::new(&root, chain).expect(&[]);
    let low = new.below(Authority::params("low"));
    Case::new(&root, vec![low.leaf(&leaf_params()), low.der, new.der.clone(), old.der.clone()])
        .expect(&[Fault::InvalidChain, Fault::InvalidChain]);
    let mut outside = leaf_params();
    outside
        .subject_alt_names
        .extend(CertificateParams::new(vec!["b.example".to_owned()]).unwrap().subject_alt_names);
    Case::new(&root, vec![new.leaf(&outside), new.der, old.der]).expect(&[Fault::InvalidChain]);
}

#[test]
fn another_path_is_found_when_the_first_is_bad() {
    let root = Authority::root("root");
    let mut narrow = Authority::params("middle");
    narrow.extended_key_usages = vec![Usage::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let bad = narrow.signed_by(&key, &root.issuer).unwrap().der().clone();
    let params = Authority::params("middle");
    let good = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let middle = Issuer::new(params, key);
    let leaf = leaf_params().signed_by(&KeyPair::generate().unwrap(), &middle).unwrap().der().clone();
    Case::new(&root, vec![leaf.clone(), bad.clone(), good]).expect(&[]);
    Case::new(&root, vec![leaf, bad]).expect(&[Fault::WrongUsage]);
}

#[test]
fn revocation_by_the_newest_current_list() {
    let root = Authority::root("root");
    let middle = root.below(numbered(Authority::params("middle"), 9));
    let chain = vec![middle.leaf(&leaf_params()), middle.der.clone()];
    let case = |lists: Vec<Arc<RevocationList>>| Case::new(&root, chain.clone()).hard_fail(lists);
    let clean = |authority: &Authority| authority.list(-1, 10, &[]);
    let verdict = case(vec![clean(&root), clean(&middle)]).expect(&[]);
    assert_eq!(verdict.verified, [Check::Chain, Check::Revocation, Check::Name]);
    // None at all: one fact for each certificate.
    case(vec![]).expect(&[Fault::RevocationUnknown, Fault::RevocationUnknown]);
    case(vec![clean(&middle)]).expect(&[Fault::RevocationUnknown]);
    let mut end_entity = case(vec![clean(&middle)]);
    end_entity.policy.revocation_depth = RevocationDepth::EndEntity;
    end_entity.expect(&[]);
    let verdict =
        case(vec![clean(&root), clean(&middle), middle.list(0, 10, &[7])]).expect(&[Fault::Revoked]);
    assert!(
        verdict.facts[0].detail.contains("key compromise") && verdict.facts[0].detail.contains("2026-05-30")
    );
    case(vec![root.list(-1, 10, &[9]), clean(&middle)]).expect(&[Fault::Revoked]);
    // Off hold again: the newer list decides.
    case(vec![clean(&root), middle.list(-5, 10, &[7]), clean(&middle)]).expect(&[]);
    let verdict = case(vec![clean(&root), middle.list(-20, -10, &[])]).expect(&[Fault::RevocationUnknown]);
    assert!(verdict.sentence().contains("out of date"), "{}", verdict.sentence());
    case(vec![clean(&root), middle.list(-20, -10, &[7])]).expect(&[Fault::Revoked]);
    let verdict = case(vec![clean(&root), middle.list(1, 10, &[])]).expect(&[Fault::RevocationUnknown]);
    assert!(verdict.sentence().contains("valid only from"));
    // A list by another key of the same name disables nothing and proves nothing.
    let impostor = Authority::root("middle");
    case(vec![clean(&root), impostor.list(0, 10, &[7]), clean(&middle)]).expect(&[]);
    let verdict = case(vec![clean(&root), impostor.list(0, 10, &[])]).expect(&[Fault::RevocationUnknown]);
    assert!(verdict.sentence().contains("signature"));
    let mut soft = case(vec![]);
    soft.policy.revocation = RevocationMode::SoftFail;
    assert_eq!(soft.expect(&[]).verified, [Check::Chain, Check::Name]);
    soft.lists.lists = vec![middle.list(0, 10, &[7])];
    soft.expect(&[Fault::Revoked]);
    soft.policy.revocation = RevocationMode::Off;
    soft.expect(&[]);
}

#[test]
fn short_lived_certificates_need_no_list() {
    let root = Authority::root("root");
    let mut short = leaf_params();
    (short.not_before, short.not_after) = (days(-1), days(6));
    Case::new(&root, vec![root.leaf(&short)]).hard_fail(vec![]).expect(&[]);
    short.not_after += time::Duration::SECOND;
    Case::new(&root, vec![root.leaf(&short)]).hard_fail(vec![]).expect(&[Fault::RevocationUnknown]);
    let mut marked = leaf_params();
    marked.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 56], vec![5, 0])];
    Case::new(&root, vec![root.leaf(&marked)]).hard_fail(vec![]).expect(&[]);
}

#[test]
fn a_pin_beside_the_chain_and_a_pin_instead_of_it() {
    let root = Authority::root("root");
    let mut params = leaf_params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().der().clone();
    let pin = SpkiPin::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
    let mut case = Case::new(&root, vec![own]).hard_fail(vec![]);
    case.policy.anchors = Arc::new(AnchorSet::new("none", vec![]));
    case.policy.pins = vec![SpkiPin([0; 32]), pin];
    assert_eq!(case.expect(&[]).verified, [Check::Pin, Check::Name]);
    case.now = now() + (61 * 24).hours();
    case.expect(&[Fault::Expired]);
    case.now = now();
    case.policy.pins = vec![SpkiPin([0; 32])];
    case.expect(&[Fault::PinMismatch]);
    let mut beside = Case::new(&root, vec![root.leaf(&leaf_params())]);
    beside.policy.pins = vec![pin];
    assert_eq!(beside.expect(&[Fault::PinMismatch]).achieved, Level::CertificateValidation);
}

#[test]
fn names_are_those_of_the_alternative_name_only() {
    let root = Authority::root("root");
    let mut params = leaf_params();
    params.distinguished_name.push(DnType::CommonName, DOMAIN);
    params.subject_alt_names = Vec::new();
    Case::new(&root, vec![root.leaf(&params)]).expect(&[Fault::NameMismatch]);
    params.subject_alt_names =
        CertificateParams::new(vec!["mail.woodgrovebank.example".to_owned()]).unwrap().subject_alt_names;
    let mut case = Case::new(&root, vec![root.leaf(&params)]);
    let verdict = case.expect(&[Fault::NameMismatch]);
    assert!(
        verdict.sentence().contains("mail.woodgrovebank.example")
            && verdict.sentence().contains("certificate_names")
    );
    case.policy.certificate_names = vec![NamePattern::Below(DOMAIN.parse().unwrap())];
    case.expect(&[]);
    case.policy.certificate_names.clear();
    case.level = Level::CertificateValidation;
    case.expect(&[]);
}

#[test]
fn weak_keys_are_named() {
    let root = Authority::root("root");
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed25519 = leaf_params().signed_by(&key, &root.issuer).unwrap().der().clone();
    Case::new(&root, vec![ed25519]).expect(&[]);
    let sha1 = CertificateDer::from(include_bytes!("testdata/sha1-rsa1024.der").to_vec());
    let verdict = Case::new(&root, vec![sha1]).verdict();
    let weak: Vec<&str> = verdict
        .facts
        .iter()
        .filter(|fact| fact.fault == Fault::WeakAlgorithm)
        .map(|fact| fact.got.as_str())
        .collect();
    assert!(
        weak.iter().any(|got| got.contains("SHA-1")) && weak.iter().any(|got| got.contains("1024")),
        "{weak:?}"
    );
}

#[test]
fn the_connection_is_judged_before_the_certificate() {
    let root = Authority::root("root");
    let mut case = Case::new(&root, vec![root.leaf(&leaf_params())]);
    let fault = |case: &Case, tls: TlsState<'_>| case.judge_with(tls).fault();
    let clear = |offered| TlsState::Clear { offered };
    let failed = TlsState::Failed { error: "alert\r\nbad certificate" };
    assert_eq!(fault(&case, clear(true)), Some(Fault::TlsNotStarted));
    assert_eq!(fault(&case, failed), Some(Fault::HandshakeFailed));
    assert!(!case.judge_with(failed).sentence().contains('\n'));
    case.policy.minimum_tls = TlsVersion::Tls13;
    assert_eq!(case.expect(&[Fault::TlsVersionTooLow]).achieved, Level::EncryptionOnly);
    case.policy.minimum_tls = TlsVersion::Tls12;
    case.direction = Direction::Outbound;
    assert_eq!(fault(&case, clear(true)), Some(Fault::TlsNotStarted));
    assert_eq!(fault(&case, clear(false)), Some(Fault::StartTlsNotOffered));
    case.expect(&[Fault::ClientCertificateNotRequested]);
    case.own = OwnCertificateState::NotRequested;
    assert_eq!(case.expect(&[Fault::ClientCertificateNotRequested]).achieved, Level::DomainValidation);
    case.policy.require_client_certificate_request = false;
    case.expect(&[]);
    case.own = OwnCertificateState::Refused("closed right after the handshake");
    case.expect(&[Fault::ClientCertificateRefused]);
    assert_eq!(fault(&case, failed), Some(Fault::ClientCertificateRefused));
    case.own = OwnCertificateState::Invalid("expired");
    assert_eq!(fault(&case, clear(true)), Some(Fault::OwnCertificateInvalid));
    case.own = OwnCertificateState::Sent;
    case.expect(&[]);
    // Below the secure lists only what the level asks for counts.
    (case.own, case.chain) = (OwnCertificateState::NotRequested, Vec::new());
    case.level = Level::EncryptionOnly;
    case.expect(&[]);
    assert_eq!(fault(&case, clear(false)), Some(Fault::StartTlsNotOffered));
    case.level = Level::DomainValidation;
    case.expect(&[Fault::NoCertificate]);
    case.level = Level::None;
    assert_eq!(case.expect(&[]).achieved, Level::EncryptionOnly);
    assert!(case.judge_with(failed).admit().is_ok());
}

/// A verdict whose only fact is this fault.
fn verdict_of(fault: Fault) -> Verdict {
    let fact =
        Fact { fault, detail: "The secret setting.".into(), wanted: "secret-wanted".into(), got: "x".into() };
    Verdict {
        ruled_by: crate::trust::RuledBy::Partner,
        outcome: crate::trust::TlsOutcome::ValidationFailure,
        direction: Direction::Inbound,
        domain: DOMAIN.parse().unwrap(),
        mode: Mode::Enforce,
        required: Level::DomainSecure,
        achieved: Level::EncryptionOnly,
        facts: vec![fact],
        verified: Vec::new(),
        matched_name: None,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    }
}

#[test]
fn each_fault_has_the_reply_of_the_contract() {
    let session = crate::smtp::SessionId(0xABC);
    for fault in Fault::all() {
        let verdict = verdict_of(fault);
        let code = |on_failure| {
            verdict.reply(on_failure, session).map(|reply| {
                let line = reply.to_string();
                assert!(
                    line.contains(fault.name()) && line.contains(DOMAIN) && line.contains("0000000000000ABC")
                );
                assert!(!line.contains("secret") && line.len() < 510, "{line}");
                line.split(' ').take(2).collect::<Vec<_>>().join(" ")
            })
        };
        let (reject, defer, detail) = match fault {
            Fault::TlsNotStarted => (Some("530 5.7.0"), Some("454 4.7.0"), 0),
            Fault::HandshakeFailed => (None, None, 5),
            Fault::PinMismatch | Fault::NameMismatch => (Some("550 5.7.1"), Some("454 4.7.1"), 1),
            Fault::RevocationUnknown
            | Fault::TlsaMismatch
            | Fault::StartTlsNotOffered
            | Fault::ClientCertificateNotRequested
            | Fault::ClientCertificateRefused
            | Fault::OwnCertificateInvalid => (Some("454 4.7.5"), Some("454 4.7.5"), 5),
            Fault::RefusedByPartner => (Some("454 4.7.1"), Some("454 4.7.1"), 1),
            _ => (Some("550 5.7.5"), Some("454 4.7.5"), 5),
        };
        assert_eq!(code(OnFailure::Reject).as_deref(), reject, "{fault}");
        assert_eq!(code(OnFailure::Defer).as_deref(), defer, "{fault}");
        assert!(verdict.outbound_reply(false).to_string().starts_with(&format!("454 4.7.{detail} ")));
        assert!(verdict.outbound_reply(true).to_string().starts_with(&format!("550 5.7.{detail} ")));
        assert_eq!(verdict.to_json()["fault"], fault.name());
        assert_eq!(Fault::from_name(fault.name()), Some(fault));
        assert!(verdict.log_line().0.starts_with(fault.name()));
    }
}

#[test]
fn the_stamp_tells_who_was_proved_and_how() {
    let root = Authority::root("root");
    let case = Case::new(&root, vec![root.leaf(&leaf_params())]);
    let permit = case.verdict().admit().unwrap();
    let evidence = case.evidence();
    let stamp = permit.stamp(
        &"mail1.contoso.example".parse().unwrap(),
        crate::smtp::SessionId(1),
        &evidence,
        evidence.end_entity().as_deref(),
    );
    let unfolded = stamp.replace("\r\n\t", " ");
    let thumbprint = thumbprint(&case.chain[0]);
    assert_eq!(
        unfolded,
        format!(
            "domain={DOMAIN}; by=mail1.contoso.example; session=0000000000000001; tls=TLSv1.2; \
             cipher=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384; subject=\"CN=mail\"; issuer=\"CN=root\"; serial=07; \
             fingerprint=sha256:{thumbprint}; names=\"{DOMAIN}\"; verified=chain,name"
        )
    );
    let lines = render::certificate_lines(&case.chain, &case.evidence());
    let what: Vec<&str> = lines.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(what[0], "Certificate subject");
    assert!(what.contains(&"Certificate thumbprint") && what.contains(&"TLS cipher suite"));
    assert_eq!(permit.verdict().chain_status_line().0, "Valid");
    assert_eq!(permit.verdict().log_line().1, "Domain security verdict");
}

#[test]
fn a_list_serves_only_the_certificates_of_its_scope() {
    use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope};
    let root = Authority::root("root");
    let scoped = |uri: &str, scope: CrlScope| {
        let list = CertificateRevocationListParams {
            this_update: days(-1),
            next_update: days(10),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: Some(CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec![uri.to_owned()] },
                scope: Some(scope),
            }),
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = list.signed_by(&root.issuer).unwrap().der().to_vec();
        RevocationList::parse("scoped.crl", &der).unwrap().into_iter().map(Arc::new).collect::<Vec<_>>()
    };
    let mut params = leaf_params();
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec!["http://crl.example/a".into()] }];
    let leaf = root.leaf(&params);
    let case = |lists| Case::new(&root, vec![leaf.clone()]).hard_fail(lists);
    case(scoped("http://crl.example/a", CrlScope::UserCertsOnly)).expect(&[]);
    let verdict =
        case(scoped("http://crl.example/b", CrlScope::UserCertsOnly)).expect(&[Fault::RevocationUnknown]);
    assert!(verdict.sentence().contains("for other certificates"));
    case(scoped("http://crl.example/a", CrlScope::CaCertsOnly)).expect(&[Fault::RevocationUnknown]);
}

#[test]
fn one_bad_list_in_a_file_does_not_disable_the_others() {
    let root = Authority::root("root");
    let pem = |der: &[u8]| {
        let mut base64 = String::new();
        for octets in der.chunks(3) {
            base64.push_str(&pin::quartet(octets));
        }
        format!("-----BEGIN X509 CRL-----\n{base64}\n-----END X509 CRL-----\n")
    };
    let good = root.list(-1, 10, &[7]);
    let file = format!("{}{}", pem(&[0x30, 3, 2, 1, 5]), pem(&good.der));
    let outcomes = RevocationList::parse_each("both.pem", file.as_bytes());
    assert!(matches!(outcomes[0], Err(RevocationListError::Malformed { .. })) && outcomes[1].is_ok());
    let lists = RevocationList::parse("both.pem", file.as_bytes()).unwrap();
    assert_eq!((lists.len(), lists[0].find(&[0, 7]).is_some()), (1, true));
    for bytes in [&b"text"[..], b"", &good.der[..20]] {
        assert!(matches!(RevocationList::parse("f", bytes), Err(RevocationListError::NotPemOrDer { .. })));
    }
}

/// With a distribution point of each scheme.
fn published(mut params: CertificateParams, name: &str) -> CertificateParams {
    let uris = [format!("ldap://ldap.example/{name}"), format!("http://crl.example/{name}.crl")];
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: uris.to_vec() }];
    params
}

fn urls(verdict: &Verdict) -> Vec<String> {
    verdict.missing_lists.iter().flat_map(WantedList::urls).map(str::to_owned).collect()
}

/// root → middle → mail, both below the root with a distribution point.
fn published_chain() -> (Authority, Authority, Vec<CertificateDer<'static>>) {
    let root = Authority::root("root");
    let middle = root.below(published(Authority::params("middle"), "root"));
    let leaf = middle.leaf(&published(leaf_params(), "middle"));
    let chain = vec![leaf, middle.der.clone()];
    (root, middle, chain)
}

#[test]
fn a_verdict_says_which_lists_it_lacks() {
    let (root, middle, chain) = published_chain();
    let case = Case::new(&root, chain).hard_fail(Vec::new());
    let verdict = case.expect(&[Fault::RevocationUnknown, Fault::RevocationUnknown]);
    assert_eq!(urls(&verdict), ["http://crl.example/middle.crl", "http://crl.example/root.crl"]);
    assert!(verdict.lists_used.is_empty());
    let case = case.hard_fail(vec![middle.list(-1, 7, &[])]);
    let verdict = case.expect(&[Fault::RevocationUnknown]);
    assert_eq!(urls(&verdict), ["http://crl.example/root.crl"]);
    assert!(!verdict.sentence().contains("names no distribution point"), "{}", verdict.sentence());
    let case = case.hard_fail(vec![middle.list(-1, 7, &[]), root.list(-9, -2, &[])]);
    let verdict = case.expect(&[Fault::RevocationUnknown]);
    assert_eq!(urls(&verdict), ["http://crl.example/root.crl"]);
    let case = case.hard_fail(vec![middle.list(-1, 7, &[]), root.list(-2, 7, &[])]);
    let verdict = case.expect(&[]);
    assert!(verdict.missing_lists.is_empty());
    let used: Vec<&str> = verdict.lists_used.iter().map(|list| list.source.as_str()).collect();
    assert_eq!(used, ["list-1.crl", "list-2.crl"]);
}

#[test]
fn lists_are_wanted_only_where_they_could_change_the_verdict() {
    let (root, middle, chain) = published_chain();
    let case = || Case::new(&root, chain.clone()).hard_fail(Vec::new());
    let mut soft = case();
    soft.policy.revocation = RevocationMode::SoftFail;
    assert_eq!(soft.expect(&[]).missing_lists.len(), 2);
    let mut off = case();
    off.policy.revocation = RevocationMode::Off;
    assert!(off.expect(&[]).missing_lists.is_empty());
    let mut end_entity = case();
    end_entity.policy.revocation_depth = RevocationDepth::EndEntity;
    let verdict = end_entity.expect(&[Fault::RevocationUnknown]);
    assert_eq!(urls(&verdict), ["http://crl.example/middle.crl"]);
    // Whatever else is wrong: nobody is asked on behalf of such a peer.
    let revoked = case().hard_fail(vec![middle.list(-1, 7, &[7])]);
    assert!(revoked.expect(&[Fault::Revoked, Fault::RevocationUnknown]).missing_lists.is_empty());
    let mut pinned = case();
    pinned.policy.pins = vec![SpkiPin([0; 32])];
    assert!(pinned.verdict().missing_lists.is_empty());
    let mut expired = case();
    expired.now = now() + (24 * 70).hours();
    assert!(expired.verdict().missing_lists.is_empty());
    let mut outbound = case();
    outbound.direction = Direction::Outbound;
    outbound.own = OwnCertificateState::NotRequested;
    let verdict = outbound.verdict();
    assert!(verdict.facts.iter().any(|fact| fact.fault == Fault::ClientCertificateNotRequested));
    assert!(verdict.missing_lists.is_empty());
}

#[test]
fn the_words_say_why_a_list_could_not_be_had() {
    let root = Authority::root("root");
    let plain = Case::new(&root, vec![root.leaf(&leaf_params())]).hard_fail(Vec::new());
    let verdict = plain.expect(&[Fault::RevocationUnknown]);
    assert!(verdict.missing_lists.is_empty());
    assert!(verdict.sentence().contains("names no distribution point over http"), "{}", verdict.sentence());
    let leaf = root.leaf(&published(leaf_params(), "root"));
    let mut case = Case::new(&root, vec![leaf]).hard_fail(Vec::new());
    let wanted = case.verdict().missing_lists.remove(0);
    let key = wanted.key("http://crl.example/root.crl");
    case.lists.failures = Arc::new([(key, "the server\r\nanswered 404".to_owned())].into());
    let words = case.expect(&[Fault::RevocationUnknown]).sentence();
    assert!(words.contains("fetching http://crl.example/root.crl failed: the server"), "{words}");
    assert!(!words.contains('\r'), "{words}");
    let list = root.list(-1, 7, &[]).usable_until(Some(now() - 1.hour()));
    case.lists.lists = vec![Arc::new(list)];
    let words = case.expect(&[Fault::RevocationUnknown]).sentence();
    assert!(words.contains("longer ago than crl_max_age"), "{words}");
}
