//! Verdicts per second: a chain of three over ECDSA, as `MAIL FROM` judges it, good and bad, with
//! small and large revocation lists; and one that nobody has seen before, where each signature has
//! to be checked. `cargo bench --bench verdict`.

use std::sync::Arc;

use divan::Bencher;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use sealpost::trust::{
    AnchorSet, Connection, Direction, Level, Mode, OnFailure, OwnCertificateState, Requirement,
    RevocationList, RevocationMode, RevocationSet, RuledBy, ServerProof, TlsEvidence, TlsState, TlsVersion,
    TrustPolicy, judge,
};
use time::OffsetDateTime;

fn main() {
    divan::main();
}

const DOMAIN: &str = "woodgrovebank.example";

struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

struct Scene {
    requirement: Requirement,
    evidence: TlsEvidence,
    lists: RevocationSet,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![DOMAIN.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str, above: Option<&Authority>) -> Authority {
    let mut params = params(name);
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let certificate = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    };
    Authority { der: certificate.expect("a certificate").der().clone(), issuer: Issuer::new(params, key) }
}

fn list(authority: &Authority, entries: u32) -> Arc<RevocationList> {
    let now = OffsetDateTime::now_utc();
    let list = CertificateRevocationListParams {
        this_update: now - time::Duration::DAY,
        next_update: now + time::Duration::WEEK,
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: (0..entries)
            .map(|number| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&number.to_be_bytes()),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = list.signed_by(&authority.issuer).expect("a list").der().to_vec();
    Arc::new(RevocationList::parse("bench.crl", &der).expect("a readable list").remove(0))
}

fn scene(revocation: RevocationMode, entries: u32, trusted: bool) -> Scene {
    let root = authority("root", None);
    let mut scene = scene_below(&root, &list(&root, 0), revocation, entries);
    if !trusted {
        let other = AnchorSet::from_certificates("other.pem", [authority("other", None).der]);
        let policy = TrustPolicy { revocation, ..TrustPolicy::of(Arc::new(other)) };
        scene.requirement.policy = Arc::new(policy);
    }
    scene
}

/// A new chain below `root`, and a policy that has judged nothing yet.
fn scene_below(
    root: &Authority,
    list_of_root: &Arc<RevocationList>,
    revocation: RevocationMode,
    entries: u32,
) -> Scene {
    let middle = authority("middle", Some(root));
    let leaf =
        params("mail").signed_by(&KeyPair::generate().expect("a key"), &middle.issuer).expect("a leaf");
    let anchor = root.der.clone();
    let policy = TrustPolicy {
        revocation,
        ..TrustPolicy::of(Arc::new(AnchorSet::from_certificates("root.pem", [anchor])))
    };
    let requirement = Requirement {
        ruled_by: RuledBy::Partner,
        proof: ServerProof::Domain,
        direction: Direction::Inbound,
        domain: DOMAIN.parse().expect("a domain"),
        level: Level::DomainSecure,
        mode: Mode::Enforce,
        on_failure: OnFailure::Reject,
        policy: Arc::new(policy),
    };
    let evidence = TlsEvidence {
        version: TlsVersion::Tls13,
        cipher_suite: "TLS13_AES_256_GCM_SHA384".into(),
        key_exchange: None,
        resumed: false,
        peer_chain: vec![leaf.der().clone(), middle.der.clone()],
        staple: None,
        channel_binding: None,
    };
    let lists = match revocation {
        RevocationMode::Off => Vec::new(),
        RevocationMode::HardFail | RevocationMode::SoftFail => {
            vec![Arc::clone(list_of_root), list(&middle, entries)]
        }
    };
    Scene { requirement, evidence, lists: RevocationSet { epoch: 1, lists, ..RevocationSet::default() } }
}

fn bench(bencher: Bencher<'_, '_>, scene: &Scene, admitted: bool) {
    let connection = connection(scene);
    let now = Timestamp::now();
    assert_eq!(judge(&scene.requirement, &connection, &scene.lists, now).is_good(), admitted);
    // A copy of a policy remembers nothing.
    bencher
        .with_inputs(|| Requirement {
            policy: Arc::new(TrustPolicy::clone(&scene.requirement.policy)),
            ..scene.requirement.clone()
        })
        .bench_local_refs(|requirement| judge(requirement, &connection, &scene.lists, now));
}

fn connection(scene: &Scene) -> Connection<'_> {
    Connection {
        tls: TlsState::Established(&scene.evidence),
        own_certificate: OwnCertificateState::NotApplicable,
    }
}

#[divan::bench]
fn admitted_without_revocation(bencher: Bencher<'_, '_>) {
    bench(bencher, &scene(RevocationMode::Off, 0, true), true);
}

#[divan::bench(args = [0, 1_000, 100_000])]
fn admitted_with_lists_of(bencher: Bencher<'_, '_>, entries: u32) {
    // Serial number 0 to `entries` are revoked; the leaf's is a random one of 20 octets.
    bench(bencher, &scene(RevocationMode::HardFail, entries, true), true);
}

/// A partner's first connection: other keys, certificates and lists each time, below a root that is
/// known. They are made outside the time that is measured.
fn bench_first_seen(bencher: Bencher<'_, '_>, revocation: RevocationMode) {
    let root = authority("root", None);
    let list_of_root = list(&root, 0);
    let now = Timestamp::now();
    bencher.with_inputs(|| scene_below(&root, &list_of_root, revocation, 1_000)).bench_local_values(
        |scene| {
            assert!(judge(&scene.requirement, &connection(&scene), &scene.lists, now).is_good());
            scene
        },
    );
}

#[divan::bench(sample_count = 300, sample_size = 1)]
fn first_seen_without_revocation(bencher: Bencher<'_, '_>) {
    bench_first_seen(bencher, RevocationMode::Off);
}

/// The list of the intermediate is new as well: one more signature, over 1,000 entries.
#[divan::bench(sample_count = 300, sample_size = 1)]
fn first_seen_with_a_new_list(bencher: Bencher<'_, '_>) {
    bench_first_seen(bencher, RevocationMode::HardFail);
}

/// The same chain again, under the same policy and lists.
#[divan::bench]
fn admitted_as_seen_before(bencher: Bencher<'_, '_>) {
    let scene = scene(RevocationMode::HardFail, 1_000, true);
    let connection = connection(&scene);
    let now = Timestamp::now();
    assert!(judge(&scene.requirement, &connection, &scene.lists, now).is_good());
    bencher.bench_local(|| judge(&scene.requirement, &connection, &scene.lists, now));
}

#[divan::bench]
fn refused_for_an_untrusted_root(bencher: Bencher<'_, '_>) {
    bench(bencher, &scene(RevocationMode::Off, 0, false), false);
}
