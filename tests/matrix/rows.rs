//! The rows: one certificate and what a postmaster expects of it.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Usage,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sealpost::trust::{
    AnchorSet, Fault, NamePattern, RevocationMode, RevocationSet, SignatureAlgorithm, SpkiPin, TlsVersion,
    TrustPolicy, UsagePolicy,
};
use x509_parser::prelude::FromDer;

use crate::authority::{
    Authority, DOMAIN, Shown, at, authority, extension, leaf, named, self_signed, with_names, with_raw_name,
};
use crate::ocsp::Response;
use crate::pki::clock;

/// What becomes of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Admitted,
    Refused(Fault),
    /// The library refuses to take the certificate at all.
    HandshakeFailed,
}

pub struct Row {
    pub name: &'static str,
    /// Empty: no certificate.
    pub shown: Shown,
    pub policy: TrustPolicy,
    pub lists: RevocationSet,
    pub expected: Expected,
    /// Where the answer differs when the certificate is a server's.
    pub of_server: Option<Expected>,
    /// Where it differs in TLS 1.2.
    pub in_tls12: Option<Expected>,
    /// Part of the narrow run.
    pub is_core: bool,
}

impl Row {
    fn of_server(mut self, expected: Expected) -> Self {
        self.of_server = Some(expected);
        self
    }

    fn core(mut self) -> Self {
        self.is_core = true;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut TrustPolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn lists(mut self, lists: Vec<Arc<sealpost::trust::RevocationList>>) -> Self {
        self.lists = RevocationSet { epoch: 1, lists, ..RevocationSet::default() };
        self
    }
}

struct World {
    root: Authority,
    middle: Authority,
    stranger: Authority,
}

impl World {
    fn row(&self, name: &'static str, shown: Shown, expected: Expected) -> Row {
        let anchors = AnchorSet::from_certificates("woodgrove-root.pem", [self.root.der.clone()]);
        let lists = vec![self.root.list(7, &[]), self.middle.list(7, &[])];
        Row {
            name,
            shown,
            policy: TrustPolicy::of(Arc::new(anchors)),
            lists: RevocationSet { epoch: 1, lists, ..RevocationSet::default() },
            expected,
            of_server: None,
            in_tls12: None,
            is_core: false,
        }
    }

    fn good(&self, name: &'static str, shown: Shown) -> Row {
        self.row(name, shown, Expected::Admitted)
    }

    fn bad(&self, name: &'static str, shown: Shown, fault: Fault) -> Row {
        self.row(name, shown, Expected::Refused(fault))
    }

    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = leaf();
        change(&mut params);
        self.root.issue(&params)
    }

    /// A leaf below an intermediate of the root's with these parameters.
    fn below(&self, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = authority("other issuing");
        params.serial_number = Some(SerialNumber::from_slice(&[50]));
        change(&mut params);
        let middle = self.root.below(params);
        middle.issue(&leaf()).and(&[&middle.der])
    }
}

pub fn all() -> Vec<Row> {
    let root = Authority::root("Woodgrove Root CA");
    let mut params = authority("Woodgrove Issuing CA");
    params.serial_number = Some(SerialNumber::from_slice(&[40]));
    let middle = root.below(params);
    let world = World { root, middle, stranger: Authority::root("Stranger Root CA") };
    let groups =
        [good, names, dates_and_usages, trust, structure, constraints, revocation, stapled, algorithms, odd];
    groups.into_iter().flat_map(|group| group(&world)).collect()
}

fn off(row: Row) -> Row {
    row.with(|policy| policy.revocation = RevocationMode::Off)
}

fn good(world: &World) -> Vec<Row> {
    let World { root, middle, stranger } = world;
    let issued = || middle.issue(&leaf()).and(&[&middle.der]);
    let mut nameless = leaf();
    nameless.distinguished_name = DistinguishedName::new();
    let mut crossed = authority("Woodgrove Issuing CA");
    crossed.serial_number = Some(SerialNumber::from_slice(&[41]));
    let by_stranger = middle.crossed(stranger, &crossed);
    let keys = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let many: Vec<String> = (0..200).map(|at| format!("host{at}.other.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain([DOMAIN]).collect();
    vec![
        world.good("good", root.issue(&leaf())).core(),
        world.good("good, below an intermediate", issued()).core(),
        world.good("root sent too", issued().and(&[&root.der])),
        world.good("junk between", middle.issue(&leaf()).and(&[&stranger.der, &middle.der, &stranger.der])),
        world.good("cross-signed by a stranger", issued().and(&[&by_stranger, &stranger.der])),
        world.good("P-384", root.issue_to(&leaf(), &keys(&rcgen::PKCS_ECDSA_P384_SHA384))),
        world.good("Ed25519", root.issue_to(&leaf(), &keys(&rcgen::PKCS_ED25519))),
        world.good("RSA-2048", root.issue_to(&leaf(), &keys(&rcgen::PKCS_RSA_SHA256))).core(),
        world.good("no subject", root.issue(&nameless)),
        world.good("201 names", root.issue(&with_names(&many))),
        off(world.good("six intermediates", ladder(root, 6))),
        world.good(
            "unknown extension",
            world.leaf(|params| {
                params.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 55738, 1], &[5, 0], false));
            }),
        ),
    ]
}

/// So many intermediates between root and leaf.
fn ladder(root: &Authority, steps: usize) -> Shown {
    let mut authorities: Vec<Authority> = Vec::new();
    for step in 0..steps {
        let above = authorities.last().unwrap_or(root);
        authorities.push(above.below(authority(&format!("step {step}"))));
    }
    let sent: Vec<_> = authorities.iter().rev().map(|authority| &authority.der).collect();
    authorities.last().unwrap_or(root).issue(&leaf()).and(&sent)
}

fn names(world: &World) -> Vec<Row> {
    let root = &world.root;
    let proved_by = |row: Row, name: &str| {
        let name: NamePattern = NamePattern::Exact(name.parse().unwrap());
        row.with(|policy| policy.certificate_names = vec![name])
    };
    let wrong = |name, shown| world.bad(name, shown, Fault::NameMismatch);
    let host = "mail.woodgrovebank.example";
    vec![
        world.good("upper case", root.issue(&with_names(&["WoodgroveBank.EXAMPLE"]))),
        world.good("trailing dot", root.issue(&with_raw_name(b"woodgrovebank.example."))),
        proved_by(world.good("listed host", root.issue(&with_names(&[host]))), host),
        proved_by(
            world.good("wildcard for a listed host", root.issue(&with_names(&["*.woodgrovebank.example"]))),
            host,
        ),
        proved_by(
            world.good("IDN", root.issue(&with_names(&["xn--bcher-kva.example"]))),
            "xn--bcher-kva.example",
        ),
        wrong("wildcard for the domain", root.issue(&with_names(&["*.woodgrovebank.example"]))),
        wrong("wildcard below a public suffix", root.issue(&with_names(&["*.example"]))),
        wrong("parent", root.issue(&with_names(&["example"]))),
        wrong("sibling", root.issue(&with_names(&["fabrikam.example"]))).core(),
        wrong("host of the domain", root.issue(&with_names(&[host]))),
        wrong("longer", root.issue(&with_names(&["xwoodgrovebank.example"]))),
        wrong("NUL", root.issue(&with_raw_name(b"woodgrovebank.example\0.evil.example"))),
        wrong("U-label", root.issue(&with_raw_name("b\u{fc}cher.example".as_bytes()))),
        wrong(
            "address",
            world.leaf(|params| {
                params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
            }),
        ),
        wrong(
            "mailbox",
            world.leaf(|params| {
                params.subject_alt_names =
                    vec![SanType::Rfc822Name("kim@woodgrovebank.example".try_into().unwrap())];
            }),
        ),
        wrong(
            "common name alone",
            world.leaf(|params| {
                params.subject_alt_names.clear();
                params.distinguished_name = DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, DOMAIN);
            }),
        ),
    ]
}

fn dates_and_usages(world: &World) -> Vec<Row> {
    let dated =
        |from, until| world.leaf(|params| (params.not_before, params.not_after) = (at(from), at(until)));
    let usages = |usages: &[Usage]| world.leaf(|params| params.extended_key_usages = usages.to_vec());
    let wrong_usage = Expected::Refused(Fault::WrongUsage);
    vec![
        world.bad("expired", dated(-90, -1), Fault::Expired).core(),
        world.bad("not yet valid", dated(1, 90), Fault::NotYetValid),
        world.good("its last second", dated(-90, 0)),
        world.good("its first second", dated(0, 90)),
        world.bad(
            "expired intermediate",
            world.below(|params| {
                (params.not_before, params.not_after) = (at(-90), at(-1));
            }),
            Fault::Expired,
        ),
        world.good("server usage alone", usages(&[Usage::ServerAuth])),
        world.good("client usage alone", usages(&[Usage::ClientAuth])).of_server(wrong_usage),
        world
            .bad("server usage where client is asked", usages(&[Usage::ServerAuth]), Fault::WrongUsage)
            .with(|policy| policy.usage = UsagePolicy::Client)
            .of_server(Expected::Admitted),
        world.good("no usage extension", usages(&[])),
        world.good("any usage", usages(&[Usage::Any])),
        world.bad("code signing", usages(&[Usage::CodeSigning]), Fault::WrongUsage),
        world.bad(
            "intermediate for code signing",
            world.below(|params| {
                params.extended_key_usages = vec![Usage::CodeSigning];
            }),
            Fault::WrongUsage,
        ),
    ]
}

fn pin(shown: &Shown) -> SpkiPin {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&shown.chain[0]).unwrap();
    SpkiPin::of(parsed.public_key().raw)
}

fn trust(world: &World) -> Vec<Row> {
    let World { root, middle, stranger } = world;
    let alone = self_signed(&leaf());
    let (alone_pin, alone_again) =
        (pin(&alone), Shown { chain: alone.chain.clone(), key: alone.key.clone_key(), staple: None });
    let pinned = root.issue(&leaf());
    let right = pin(&pinned);
    let nobody = || Arc::new(AnchorSet::new("none", Vec::new()));
    let impostor = Authority::root("Woodgrove Root CA");
    let mut tampered = root.issue(&leaf());
    let mut der = tampered.chain[0].to_vec();
    *der.last_mut().unwrap() ^= 1;
    tampered.chain[0] = CertificateDer::from(der);
    let middle_der = middle.der.clone();
    vec![
        world.bad("self-signed", alone, Fault::UntrustedRoot),
        world.good("self-signed with a pin", alone_again).with(|policy| {
            (policy.anchors, policy.pins) = (nobody(), vec![alone_pin]);
        }),
        world.good("pinned", pinned).with(|policy| policy.pins = vec![SpkiPin([7; 32]), right]),
        world
            .bad("another key than pinned", root.issue(&leaf()), Fault::PinMismatch)
            .with(|policy| policy.pins = vec![right]),
        world.bad("unknown root", stranger.issue(&leaf()).and(&[&stranger.der]), Fault::UntrustedRoot).core(),
        world.bad("unknown root, not sent", stranger.issue(&leaf()), Fault::IncompleteChain),
        world.bad("missing intermediate", middle.issue(&leaf()), Fault::IncompleteChain).core(),
        world
            .good("missing intermediate, configured", middle.issue(&leaf()))
            .with(|policy| policy.intermediates = Arc::new([middle_der])),
        world.bad("the root's name, another key", impostor.issue(&leaf()), Fault::SignatureFailure),
        world.bad("tampered", tampered, Fault::SignatureFailure),
    ]
}

fn structure(world: &World) -> Vec<Row> {
    let invalid = |name, shown| world.bad(name, shown, Fault::InvalidChain);
    let unknown = || extension(&[1, 3, 6, 1, 4, 1, 55738, 666, 1], &[5, 0], true);
    let failed = |name, shown| world.row(name, shown, Expected::HandshakeFailed);
    vec![
        invalid(
            "an authority as leaf",
            world.leaf(|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
        ),
        invalid("intermediate that is none", world.below(|params| params.is_ca = IsCa::ExplicitNoCa)),
        invalid(
            "intermediate that may not sign",
            world.below(|params| {
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }),
        ),
        invalid("path length", {
            let mut params = authority("upper");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let upper = world.root.below(params);
            let lower = upper.below(authority("lower"));
            lower.issue(&leaf()).and(&[&lower.der, &upper.der])
        }),
        invalid(
            "critical unknown extension of an intermediate",
            world.below(|params| {
                params.custom_extensions.push(unknown());
            }),
        ),
        failed("critical unknown extension", world.leaf(|params| params.custom_extensions.push(unknown()))),
        invalid("nine intermediates", ladder(&world.root, 9)),
        invalid(
            "a key usage without a usage",
            world.leaf(|params| {
                params.custom_extensions.push(extension(&[2, 5, 29, 15], &[3, 1, 0], true));
            }),
        ),
        invalid(
            "a serial number of 21 octets",
            world.leaf(|params| {
                params.serial_number = Some(SerialNumber::from_slice(&[0x11; 21]));
            }),
        ),
        world.good(
            "a serial number of zero",
            world.leaf(|params| {
                params.serial_number = Some(SerialNumber::from_slice(&[0]));
            }),
        ),
    ]
}

fn constraints(world: &World) -> Vec<Row> {
    let below = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
        world.below(|params| {
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        })
    };
    let dns = |name: &str| vec![GeneralSubtree::DnsName(name.to_owned())];
    let directory = |name: &str| vec![GeneralSubtree::DirectoryName(named(name).distinguished_name)];
    let invalid = |name, shown| off(world.bad(name, shown, Fault::InvalidChain));
    vec![
        off(world.good("within its constraint", below(dns("woodgrovebank.example"), vec![]))),
        invalid("outside its constraint", below(dns("fabrikam.example"), vec![])),
        invalid("excluded", below(vec![], dns("example"))),
        off(world.good("within a directory name", below(directory("mail"), vec![]))),
        invalid("outside a directory name", below(directory("other"), vec![])),
        invalid(
            "constraints that constrain nothing",
            world.below(|params| {
                params.custom_extensions.push(extension(&[2, 5, 29, 30], &[0x30, 0], true));
            }),
        ),
    ]
}

fn revocation(world: &World) -> Vec<Row> {
    let World { root, middle, stranger: _ } = world;
    let good = || root.issue(&leaf());
    let issued = || middle.issue(&leaf()).and(&[&middle.der]);
    let revoked = |name, shown| world.bad(name, shown, Fault::Revoked);
    let unknown = |name, shown| world.bad(name, shown, Fault::RevocationUnknown);
    let impostor = Authority::root("Woodgrove Root CA");
    let short = || world.leaf(|params| (params.not_before, params.not_after) = (at(-1), at(5)));
    vec![
        revoked("revoked", good()).lists(vec![root.list(7, &[7])]).core(),
        revoked("revoked by an outdated list", good()).lists(vec![root.list(-1, &[7])]),
        revoked("revoked by the newer list", good())
            .lists(vec![root.list(7, &[]), root.list_from(-1, 7, &[7])]),
        revoked("revoked intermediate", issued()).lists(vec![root.list(7, &[40]), middle.list(7, &[])]),
        world
            .good("revoked intermediate, not looked at", issued())
            .lists(vec![root.list(7, &[40]), middle.list(7, &[])])
            .with(|policy| policy.revocation_depth = sealpost::trust::RevocationDepth::EndEntity),
        unknown("outdated list", good()).lists(vec![root.list(-1, &[])]).core(),
        unknown("no list", good()).lists(vec![]),
        unknown("no list for the intermediate", issued()).lists(vec![middle.list(7, &[])]),
        unknown("list signed by another", good()).lists(vec![impostor.list(7, &[])]),
        unknown("list of tomorrow", good()).lists(vec![root.list_from(1, 7, &[])]),
        world
            .good("no list, soft-fail", good())
            .lists(vec![])
            .with(|policy| policy.revocation = RevocationMode::SoftFail),
        revoked("revoked, soft-fail", good())
            .lists(vec![root.list(7, &[7])])
            .with(|policy| policy.revocation = RevocationMode::SoftFail),
        world.good("no list for one of six days", short()).lists(vec![]),
    ]
}

/// Only a server staples: to our server the same certificates come without.
fn stapled(world: &World) -> Vec<Row> {
    let root = &world.root;
    let good = || root.issue(&leaf());
    let revoked = |response: Response| response.revoked(clock(), Some(1));
    let unknown = |name, shown| world.bad(name, shown, Fault::RevocationUnknown).lists(vec![]);
    vec![
        world
            .good("revoked says the staple, good the list", good().stapling(root, revoked))
            .of_server(Expected::Refused(Fault::Revoked))
            .core(),
        unknown("no list, but a good staple", good().stapling(root, |response| response))
            .of_server(Expected::Admitted)
            .core(),
        world
            .bad("good says the staple, revoked the list", good().stapling(root, |r| r), Fault::Revoked)
            .lists(vec![root.list(7, &[7])]),
        unknown("no list, and a staple of another authority", good().stapling(&world.stranger, revoked)),
        unknown(
            "no list, and a staple for another certificate",
            good().stapling(root, |response| Response { serial: vec![8], ..response }),
        ),
    ]
}

fn fixture(pem: &[u8], root_at: usize) -> (Shown, AnchorSet) {
    let mut chain: Vec<_> = CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect();
    let root = chain.remove(root_at);
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    (Shown { chain, key, staple: None }, AnchorSet::from_certificates("old-root.pem", [root]))
}

/// Two kinds of certificates that no library makes any more come from files.
fn algorithms(world: &World) -> Vec<Row> {
    let old = |name, pem, root_at| {
        let (shown, anchors) = fixture(pem, root_at);
        off(world.bad(name, shown, Fault::WeakAlgorithm)).with(|policy| policy.anchors = Arc::new(anchors))
    };
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let (mut short, _) = fixture(include_bytes!("rsa1024.pem"), 2);
    short.chain = vec![CertificateDer::from_pem_slice(include_bytes!("rsa1024-leaf.pem")).unwrap()];
    vec![
        old("SHA-1", include_bytes!("sha1.pem"), 1),
        old("RSA-1024 intermediate", include_bytes!("rsa1024.pem"), 2),
        world.row("RSA-1024", short, Expected::HandshakeFailed),
        world
            .bad("RSA below the partner's minimum", world.root.issue_to(&leaf(), &rsa), Fault::WeakAlgorithm)
            .with(|policy| policy.algorithms.minimum_rsa_bits = 3072),
        world
            .bad("a signature not on the partner's list", world.root.issue(&leaf()), Fault::WeakAlgorithm)
            .with(|policy| policy.algorithms.signature_algorithms = vec![SignatureAlgorithm::Ed25519]),
        Row {
            in_tls12: Some(Expected::Refused(Fault::TlsVersionTooLow)),
            ..world
                .good("TLS 1.3 as the minimum", world.root.issue(&leaf()))
                .with(|policy| policy.minimum_tls = TlsVersion::Tls13)
        }
        .core(),
    ]
}

fn odd(world: &World) -> Vec<Row> {
    let padded = |octets: usize| {
        let padding = extension(&[1, 3, 6, 1, 4, 1, 55738, 2], &vec![b'x'; octets], false);
        world.leaf(|params| params.custom_extensions.push(padding))
    };
    let mut malformed = world.root.issue(&leaf());
    malformed.chain[0] = CertificateDer::from(b"0\x03\x02\x01\x05".to_vec());
    let mut foreign_key = world.root.issue(&leaf());
    foreign_key.key = world.root.issue(&leaf()).key;
    let mut none = world.root.issue(&leaf());
    none.chain.clear();
    let missing = || CertificateDer::from(b"0\x03\x02\x01\x05".to_vec());
    vec![
        world.good("60,000 octets", padded(60_000)),
        world.row("more than 64 KB", padded(70_000), Expected::HandshakeFailed).core(),
        world.row("malformed", malformed, Expected::HandshakeFailed),
        world.row("a certificate whose key is another's", foreign_key, Expected::HandshakeFailed).core(),
        world.bad("none", none, Fault::NoCertificate).of_server(Expected::HandshakeFailed).core(),
        world.good("a malformed one behind", world.root.issue(&leaf()).and(&[&missing()])),
        world.bad(
            "a malformed intermediate",
            world.middle.issue(&leaf()).and(&[&missing()]),
            Fault::MalformedCertificate,
        ),
    ]
}
