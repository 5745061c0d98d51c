//! Rows of the public corpora (x509-limbo, BetterTLS) on which verifiers differ, rebuilt: each says
//! what we make of it and why. `docs/decisions/rfc-5280-as-the-measure.md` holds what we leave.

use super::*;

const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

fn custom(oid: &[u64], value: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(oid, value.to_vec())
}

fn critical(mut extension: CustomExtension) -> CustomExtension {
    extension.set_criticality(true);
    extension
}

/// A leaf below a root with these name constraints, and the same below an intermediate with them.
fn constrained(constraints: &NameConstraints, leaf: &CertificateParams) -> [Case; 2] {
    let mut params = Authority::params("root");
    params.name_constraints = Some(constraints.clone());
    let root = Authority::root_of(params);
    let free = Authority::root("free");
    let mut params = Authority::params("middle");
    params.name_constraints = Some(constraints.clone());
    let middle = free.below(params);
    let below_middle = vec![middle.leaf(leaf), middle.der.clone()];
    [Case::new(&root, vec![root.leaf(leaf)]), Case::new(&free, below_middle)]
}

fn with_names(names: &[SanType]) -> CertificateParams {
    let mut params = leaf_params();
    params.subject_alt_names.extend_from_slice(names);
    params
}

fn mailbox(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

#[test]
fn mailboxes_are_constrained_although_webpki_compares_none() {
    let permit = |base: &str| NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::Rfc822Name(base.into())],
        excluded_subtrees: Vec::new(),
    };
    let refused: &[Fault] = &[Fault::InvalidChain];
    for (base, name, faults) in [
        ("x.example", "kim@x.example", &[] as &[Fault]),
        ("kim@x.example", "kim@x.example", &[]),
        ("x.example", "kim@a.x.example", refused),
        ("x.example", "kim@x@x.example", refused),
        ("kim@kim@x.example", "kim@x.example", refused),
    ] {
        for case in constrained(&permit(base), &with_names(&[mailbox(name)])) {
            case.expect(faults);
        }
    }
}

#[test]
fn a_leading_dot_never_counts_in_favour_of_the_domain_itself() {
    let dns = |base: &str| vec![GeneralSubtree::DnsName(base.into())];
    let dot = format!(".{DOMAIN}");
    let permitted = NameConstraints { permitted_subtrees: dns(&dot), excluded_subtrees: Vec::new() };
    let excluded = NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: dns(&dot) };
    for constraints in [permitted, excluded] {
        for case in constrained(&constraints, &leaf_params()) {
            case.expect(&[Fault::InvalidChain]);
        }
    }
}

#[test]
fn name_constraints_that_constrain_nothing_or_cannot_be_read_in_full_are_refused() {
    let dns = [0x82, 9, b'x', b'.', b'e', b'x', b'a', b'm', b'p', b'l', b'e'];
    let subtree = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
    let tagged = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    // A directory name that is no Name: x509-parser passes over it, and so over the exclusion.
    let odd = subtree(&[0xa4, 2, 5, 0]);
    let with_minimum = subtree(&[&dns[..], &[0x80, 1, 1]].concat());
    for value in [
        vec![0x30, 0],
        subtree(&[0xa0, 0]),
        subtree(&[0xa1, 0]),
        subtree(&[0xa0, 0, 0xa1, 0]),
        subtree(&[tagged(0xa0, &subtree(&dns)), tagged(0xa1, &odd)].concat()),
        subtree(&tagged(0xa1, &with_minimum)),
    ] {
        let mut params = Authority::params("middle");
        params.custom_extensions = vec![critical(custom(NAME_CONSTRAINTS, &value))];
        let root = Authority::root("root");
        let middle = root.below(params);
        let chain = vec![middle.leaf(&leaf_params()), middle.der.clone()];
        let verdict = Case::new(&root, chain).verdict();
        let fault = verdict.fault();
        assert!(
            matches!(fault, Some(Fault::InvalidChain | Fault::MalformedCertificate)),
            "{value:02x?}: {fault:?}"
        );
    }
}

#[test]
fn rules_of_the_profile_that_say_what_a_certificate_is() {
    let root = Authority::root("root");
    let mut no_usages = leaf_params();
    no_usages.custom_extensions = vec![critical(custom(&[2, 5, 29, 15], &[3, 1, 0]))];
    let mut nameless = leaf_params();
    nameless.distinguished_name = DistinguishedName::new();
    let mut nameless_and_optional = nameless.clone();
    nameless_and_optional.subject_alt_names.clear();
    let name = [&[0x30, 2 + DOMAIN.len() as u8, 0x82, DOMAIN.len() as u8], DOMAIN.as_bytes()].concat();
    nameless_and_optional.custom_extensions = vec![custom(&[2, 5, 29, 17], &name)];
    let mut critical_name = leaf_params();
    critical_name.subject_alt_names.clear();
    critical_name.custom_extensions = vec![critical(custom(&[2, 5, 29, 17], &name))];
    for (params, faults) in [
        // RFC 5280 4.2.1.3: at least one bit.
        (no_usages, &[Fault::InvalidChain] as &[Fault]),
        // 4.2.1.6: without a subject the alternative name must be critical; with one it should not.
        (nameless, &[]),
        (nameless_and_optional, &[Fault::InvalidChain]),
        (critical_name, &[]),
        // 4.1.2.2: a serial number of zero must not be issued, and verifiers live with it.
        (numbered(leaf_params(), 0), &[]),
    ] {
        Case::new(&root, vec![root.leaf(&params)]).expect(faults);
    }
}

#[test]
fn the_search_goes_on_where_webpki_takes_a_path_that_we_refuse() {
    // Two certificates of one authority; webpki judges neither usage nor revocation here.
    let root = Authority::root("root");
    let key = KeyPair::generate().unwrap();
    let signed = |params: &CertificateParams| params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let good = numbered(Authority::params("middle"), 50);
    let mut narrow = numbered(Authority::params("middle"), 51);
    narrow.extended_key_usages = vec![Usage::CodeSigning];
    let (good_der, narrow_der) = (signed(&good), signed(&narrow));
    let middle = Authority { der: good_der.clone(), issuer: Issuer::new(good, key) };
    let leaf = middle.leaf(&leaf_params());
    for chain in [[&leaf, &good_der, &narrow_der], [&leaf, &narrow_der, &good_der]] {
        let chain: Vec<_> = chain.into_iter().cloned().collect();
        let case = Case::new(&root, chain.clone()).usage(UsagePolicy::Server);
        case.expect(&[]);
        let lists = vec![root.list(-1, 10, &[51]), middle.list(-1, 10, &[])];
        Case::new(&root, chain).hard_fail(lists).expect(&[]);
    }
    Case::new(&root, vec![leaf, narrow_der]).expect(&[Fault::WrongUsage]);
}

#[test]
fn a_root_that_may_not_sign_lists_vouches_for_nobody_but_its_revocations_stand() {
    let mut params = Authority::params("root");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    // rcgen itself would not sign a list for it: so one of the same name and key does.
    let root = Authority { der, issuer: Issuer::new(Authority::params("root"), key) };
    let leaf = root.leaf(&leaf_params());
    let case =
        |revoked: &[u8]| Case::new(&root, vec![leaf.clone()]).hard_fail(vec![root.list(-1, 10, revoked)]);
    case(&[]).expect(&[Fault::RevocationUnknown]);
    case(&[7]).expect(&[Fault::Revoked]);
}

#[test]
fn a_list_for_some_points_says_nothing_of_a_certificate_that_names_none() {
    use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint};
    let root = Authority::root("root");
    let uris = vec!["http://crl.example/shard7".to_owned()];
    let list = CertificateRevocationListParams {
        this_update: days(-1),
        next_update: days(10),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris },
            scope: None,
        }),
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = list.signed_by(&root.issuer).unwrap().der().to_vec();
    let lists = RevocationList::parse("shard.crl", &der).unwrap().into_iter().map(Arc::new).collect();
    let verdict = Case::new(&root, vec![root.leaf(&leaf_params())]).hard_fail(lists);
    verdict.expect(&[Fault::RevocationUnknown]);
}

#[test]
fn an_authority_that_changed_its_key_may_sign_lists_with_either() {
    let root = Authority::root("root");
    let old = root.below(numbered(Authority::params("middle"), 40));
    // The new key, certified by the old one under the same name.
    let new = old.below(numbered(Authority::params("middle"), 41));
    let chain = vec![new.leaf(&leaf_params()), new.der.clone(), old.der.clone()];
    let case = |lists| Case::new(&root, chain.clone()).hard_fail(lists);
    for signer in [&old, &new] {
        case(vec![root.list(-1, 10, &[]), signer.list(-1, 10, &[])]).expect(&[]);
        case(vec![root.list(-1, 10, &[]), signer.list(-1, 10, &[7])]).expect(&[Fault::Revoked]);
    }
    let stranger = Authority::root("middle");
    let lists = vec![root.list(-1, 10, &[]), stranger.list(-1, 10, &[])];
    case(lists).expect(&[Fault::RevocationUnknown, Fault::RevocationUnknown]);
}

#[test]
fn a_serial_number_is_a_number_with_a_sign() {
    let root = Authority::root("root");
    let list = root.list(-1, 10, &[0x7f, 0xff]);
    assert!(list.find(&[0x7f]).is_some() && list.find(&[0, 0, 0x7f]).is_some(), "padding is nothing");
    assert!(list.find(&[0, 0xff]).is_some() && list.find(&[0xff]).is_none(), "255 is not -1");
}
