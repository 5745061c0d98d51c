//! Pairing certificates with keys and putting chains in order.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::certstore::{Store, chain_pem};

/// A CA with its certificate and key.
struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, is_ca: bool) -> CertificateParams {
    let names = if is_ca { vec![] } else { vec![name.to_owned()] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

impl Ca {
    fn root(name: &str) -> Self {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn below(&self, name: &str) -> Self {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, key: &KeyPair) -> CertificateDer<'static> {
        params(name, false).signed_by(key, &self.issuer).unwrap().der().clone()
    }
}

fn taken(bundle: &Bundle, roots: &AnchorSet) -> (tempfile::TempDir, Result<Vec<Imported>, ImportError>) {
    let directory = tempfile::tempdir().unwrap();
    let options = ImportOptions {
        now: "2026-11-22T00:00:00Z".parse().unwrap(),
        exportable: false,
        enable: true,
        roots,
    };
    let writer = Store::below(directory.path()).writer().unwrap();
    let imported = import(&writer, bundle, &options);
    (directory, imported)
}

fn bundle(certificates: &[&CertificateDer<'static>], key: &KeyPair) -> Bundle {
    Bundle {
        certificates: certificates.iter().map(|&certificate| certificate.clone()).collect(),
        keys: vec![PrivatePkcs8KeyDer::from(key.serialize_der()).into()],
    }
}

/// What, certificates at hand, known roots, chain, and where it ends.
type Case<'a> =
    (&'a str, &'a [&'a CertificateDer<'static>], &'a AnchorSet, &'a [CertificateDer<'static>], Completeness);

#[test]
fn a_chain_is_built_out_of_any_order_and_what_is_foreign_stays_out() {
    let root = Ca::root("Root");
    let (upper, foreign) = (root.below("Upper"), Ca::root("Foreign"));
    let lower = upper.below("Lower");
    // Same name as the issuer, another key.
    let impostor = Ca::root("Impostor").below("Lower");
    let key = KeyPair::generate().unwrap();
    let leaf = lower.issue("mail.contoso.example", &key);
    let nothing = AnchorSet::new("none", Vec::new());
    let anchored = AnchorSet::from_certificates("root", [root.certificate.clone()]);
    let all = [
        &impostor.certificate,
        &root.certificate,
        &foreign.certificate,
        &upper.certificate,
        &leaf,
        &lower.certificate,
    ];
    let whole = [leaf.clone(), lower.certificate.clone(), upper.certificate.clone()];
    let table: [Case<'_>; 5] = [
        ("everything", &all, &nothing, &whole, Completeness::Complete),
        (
            "the root is known",
            &[&upper.certificate, &lower.certificate, &leaf],
            &anchored,
            &whole,
            Completeness::Complete,
        ),
        (
            "without the root",
            &[&upper.certificate, &lower.certificate, &leaf],
            &nothing,
            &whole,
            Completeness::Missing("CN=Root".to_owned()),
        ),
        (
            "a gap",
            &[&root.certificate, &lower.certificate, &leaf],
            &anchored,
            &whole[..2],
            Completeness::Missing("CN=Upper".to_owned()),
        ),
        ("the leaf alone", &[&leaf], &anchored, &whole[..1], Completeness::Missing("CN=Lower".to_owned())),
    ];
    for (what, certificates, roots, chain, completeness) in table {
        let (_directory, imported) = taken(&bundle(certificates, &key), roots);
        let imported = imported.unwrap();
        assert_eq!(imported.len(), 1, "{what}");
        assert_eq!(imported[0].entry.certificate.chain, chain, "{what}");
        assert_eq!(imported[0].completeness, completeness, "{what}");
        assert_eq!(imported[0].entry.about.missing.as_deref(), completeness.missing());
    }
}

#[test]
fn cas_that_issued_each_other_make_no_endless_chain() {
    let (a, b) = (Ca::root("A"), Ca::root("B"));
    let cross = |of: &Ca, by: &Ca, name: &str| {
        params(name, true).signed_by(of.issuer.key(), &by.issuer).unwrap().der().clone()
    };
    let (a_by_b, b_by_a) = (cross(&a, &b, "A"), cross(&b, &a, "B"));
    let key = KeyPair::generate().unwrap();
    let leaf = a.issue("mail.contoso.example", &key);
    let nothing = AnchorSet::new("none", Vec::new());
    let links = chain::build(&leaf, &[a_by_b.clone(), b_by_a.clone()], &nothing);
    assert_eq!(links.chain, [leaf, a_by_b, b_by_a]);
    assert_eq!(links.completeness, Completeness::Missing("CN=A".to_owned()));
}

#[test]
fn several_identities_in_one_file_are_all_taken() {
    let root = Ca::root("Root");
    let keys = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let leaves = [root.issue("a.example", &keys[0]), root.issue("b.example", &keys[1])];
    let mut both = bundle(&[&leaves[0], &leaves[1], &root.certificate], &keys[1]);
    both.keys.push(PrivatePkcs8KeyDer::from(keys[0].serialize_der()).into());
    let (_directory, imported) = taken(&both, &AnchorSet::new("none", Vec::new()));
    let names: Vec<_> = imported.unwrap().iter().map(|one| one.entry.certificate.names.clone()).collect();
    assert_eq!(names, [["a.example"], ["b.example"]]);
}

#[test]
fn a_stored_chain_is_never_made_shorter() {
    let root = Ca::root("Root");
    let lower = root.below("Lower");
    let key = KeyPair::generate().unwrap();
    let leaf = lower.issue("mail.contoso.example", &key);
    let nothing = AnchorSet::new("none", Vec::new());
    let (directory, first) = taken(&bundle(&[&leaf, &lower.certificate, &root.certificate], &key), &nothing);
    let thumbprint = first.unwrap()[0].entry.certificate.thumbprint.clone();
    let store = Store::below(directory.path());
    let options = ImportOptions {
        now: "2026-11-23T00:00:00Z".parse().unwrap(),
        exportable: false,
        enable: true,
        roots: &nothing,
    };
    let again = Bundle::read(chain_pem(&[leaf]).as_bytes(), None).unwrap();
    let again = import(&store.writer().unwrap(), &again, &options).unwrap();
    assert!(again[0].known);
    let entry = store.entry(&thumbprint).unwrap();
    assert_eq!(entry.certificate.chain.len(), 2);
    assert_eq!(entry.about.missing, None, "the root was seen before");
}
