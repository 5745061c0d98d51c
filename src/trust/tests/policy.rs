//! What a policy adds to the judgement: intermediates of the settings, the strength of keys and
//! signatures, and the memory of chains found good.

use super::*;

#[test]
fn an_intermediate_the_peer_left_out_comes_from_the_settings() {
    let root = Authority::root("root");
    let middle = root.below(Authority::params("middle"));
    let lower = middle.below(Authority::params("lower"));
    let leaf = lower.leaf(&leaf_params());
    let case = |intermediates: &[&Authority]| {
        let mut case = Case::new(&root, vec![leaf.clone()]);
        case.policy.intermediates = intermediates.iter().map(|authority| authority.der.clone()).collect();
        case
    };
    case(&[&lower, &middle]).expect(&[]);
    case(&[&Authority::root("other"), &middle, &lower]).expect(&[]);
    let verdict = case(&[&lower]).expect(&[Fault::IncompleteChain]);
    assert!(verdict.facts[0].detail.contains("\"CN=middle\""), "the missing issuer is named");
    // They are no anchors: a root among them vouches for nobody.
    let other = Authority::root("other");
    let mut stranger = Case::new(&root, vec![other.leaf(&leaf_params())]);
    stranger.policy.intermediates = Arc::new([other.der.clone()]);
    stranger.expect(&[Fault::UntrustedRoot]);
}

#[test]
fn a_policy_may_ask_for_longer_keys_and_certain_signatures() {
    let root = Authority::root("root");
    let leaf_key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let rsa_leaf = leaf_params().signed_by(&leaf_key, &root.issuer).unwrap().der().clone();
    let case = |bits: usize, names: &[&str]| {
        let mut case = Case::new(&root, vec![rsa_leaf.clone()]);
        let signature_algorithms =
            names.iter().map(|name| SignatureAlgorithm::from_name(name).unwrap()).collect();
        case.policy.algorithms = AlgorithmPolicy { minimum_rsa_bits: bits, signature_algorithms };
        case
    };
    case(2048, &[]).expect(&[]);
    case(2048, &["ed25519", "ecdsa-sha256"]).expect(&[]);
    let verdict = case(3072, &[]).expect(&[Fault::WeakAlgorithm]);
    assert_eq!(verdict.facts[0].got, "RSA of 2048 bits");
    let verdict = case(2048, &["ecdsa-sha384"]).expect(&[Fault::WeakAlgorithm]);
    assert_eq!(
        (verdict.facts[0].wanted.as_str(), verdict.facts[0].got.as_str()),
        ("ecdsa-sha384", "ecdsa-sha256")
    );

    // The key of the anchor counts as well.
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = Authority::params("rsa root");
    let der = params.self_signed(&key).unwrap().der().clone();
    let rsa_root = Authority { der, issuer: Issuer::new(params, key) };
    let mut below = Case::new(&rsa_root, vec![rsa_root.leaf(&leaf_params())]);
    below.expect(&[]);
    below.policy.algorithms.minimum_rsa_bits = 3072;
    below.policy.memory = JudgementMemory::default();
    below.expect(&[Fault::WeakAlgorithm]);
}

fn ask(
    policy: &TrustPolicy,
    chain: &[CertificateDer<'static>],
    lists: &RevocationSet,
    now: Timestamp,
) -> Option<Fault> {
    let names = vec![NamePattern::Exact(DOMAIN.parse().unwrap())];
    let demand = CertificateDemand { policy, usage: UsagePolicy::Either, names };
    judge_certificates(&demand, chain, None, lists, now).facts.first().map(|fact| fact.fault)
}

#[test]
fn a_chain_seen_before_is_judged_as_if_it_were_new() {
    let root = Authority::root("root");
    let middle = root.below(Authority::params("middle"));
    let chain = vec![middle.leaf(&leaf_params()), middle.der.clone()];
    let policy = Case::new(&root, Vec::new()).hard_fail(Vec::new()).policy;
    let lists = |next_update: i64, revoked: &[u8]| RevocationSet {
        epoch: 1,
        lists: vec![root.list(-1, 10, &[]), middle.list(-1, next_update, revoked)],
        ..RevocationSet::default()
    };
    let good = lists(5, &[]);
    for _ in 0..2 {
        assert_eq!(ask(&policy, &chain, &good, now()), None);
        assert_eq!(format!("{:?}", policy.memory), "JudgementMemory(1 chains)");
    }
    // No limit is outlived: the shorter of the lists, the certificates; nor is one met too early.
    let later = |days: i64| now() + (days * 24).hours();
    assert_eq!(ask(&policy, &chain, &good, later(5)), None);
    assert_eq!(ask(&policy, &chain, &good, later(5) + 1.second()), Some(Fault::RevocationUnknown));
    assert_eq!(ask(&policy, &chain, &good, later(61)), Some(Fault::Expired));
    assert_eq!(ask(&policy, &chain, &good, later(-2)), Some(Fault::RevocationUnknown));
    assert_eq!(ask(&policy, &chain, &good, later(-31)), Some(Fault::NotYetValid));
    // Other lists are other lists, also under an epoch that someone forgot to raise.
    assert_eq!(ask(&policy, &chain, &lists(5, &[7]), now()), Some(Fault::Revoked));
    assert_eq!(ask(&policy, &chain, &RevocationSet::default(), now()), Some(Fault::RevocationUnknown));
    assert_eq!(ask(&policy, &chain, &good, now()), None);
}

#[test]
fn each_question_is_remembered_apart_and_bad_answers_not_at_all() {
    let root = Authority::root("root");
    let mut params = leaf_params();
    params.extended_key_usages = vec![Usage::ClientAuth];
    let chain = vec![root.leaf(&params)];
    let policy = Case::new(&root, Vec::new()).policy;
    let lists = RevocationSet::default();
    let mut answers = Vec::new();
    for _ in 0..2 {
        for usage in [UsagePolicy::Either, UsagePolicy::Client, UsagePolicy::Server] {
            for name in [DOMAIN, "other.example"] {
                let names = vec![NamePattern::Exact(name.parse().unwrap())];
                let demand = CertificateDemand { policy: &policy, usage, names };
                let findings = judge_certificates(&demand, &chain, None, &lists, now());
                answers.push(findings.facts.iter().map(|fact| fact.fault).collect::<Vec<_>>());
            }
        }
    }
    let (name, usage) = (Fault::NameMismatch, Fault::WrongUsage);
    let once = [vec![], vec![name], vec![], vec![name], vec![usage], vec![usage, name]];
    assert_eq!(answers, [once.clone(), once].concat());
    assert_eq!(format!("{:?}", policy.memory), "JudgementMemory(2 chains)");
    assert_eq!(format!("{:?}", policy.clone().memory), "JudgementMemory(0 chains)", "a copy may be changed");
}
