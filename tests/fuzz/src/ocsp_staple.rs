//! OCSP responses that a stranger's server staples: no panic, and none speaks for or against the
//! certificate whose signed octets are not those of a response that its authority made.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use sealpost::trust::{
    AnchorSet, CertificateDemand, Check, RevocationMode, RevocationSet, Staple, TrustPolicy, UsagePolicy,
    judge_certificates, staple_next_update,
};

/// Made with OpenSSL, as src/trust/ocsp_tests.rs tells.
const ROOT: &[u8] = include_bytes!("../../../src/trust/testdata/ocsp/root.crt");
const LEAF: &[u8] = include_bytes!("../../../src/trust/testdata/ocsp/leaf.crt");
const GENUINE: [&[u8]; 3] = [
    include_bytes!("../../../src/trust/testdata/ocsp/good.der"),
    include_bytes!("../../../src/trust/testdata/ocsp/revoked.der"),
    include_bytes!("../../../src/trust/testdata/ocsp/by-issuer.der"),
];

static POLICY: LazyLock<TrustPolicy> = LazyLock::new(|| {
    let anchors = AnchorSet::from_certificates("fuzz", [CertificateDer::from(ROOT)]);
    // A chain that is admitted costs its signatures once, one that is refused each time.
    TrustPolicy { revocation: RevocationMode::SoftFail, ..TrustPolicy::of(Arc::new(anchors)) }
});

pub fn run(input: &[u8]) {
    let _ = staple_next_update(input);
    let chain = [CertificateDer::from(LEAF)];
    let demand = CertificateDemand { policy: &POLICY, usage: UsagePolicy::Server, names: Vec::new() };
    let now = "2026-12-01T12:00:00Z".parse().expect("a time");
    let found = judge_certificates(&demand, &chain, Some(input), &RevocationSet::default(), now);
    let words = found.staple.as_ref().map(ToString::to_string).expect("it was looked at");
    assert!(!words.contains(char::is_control));
    match found.staple {
        Some(Staple::Ignored(_)) | None => {
            assert!(found.facts.is_empty() && !found.verified.contains(&Check::Revocation));
        }
        Some(Staple::Good { .. } | Staple::Revoked(_)) => {
            let signed = |genuine: &&[u8]| {
                let signed = signed_octets(genuine);
                input.windows(signed.len()).any(|window| window == signed)
            };
            assert!(GENUINE.iter().any(signed), "believed without a signature");
        }
    }
}

/// Content of ResponseData in a response as OpenSSL writes it: response, octet string, basic response.
fn signed_octets(response: &[u8]) -> &[u8] {
    let kind = [0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let at = response.windows(kind.len()).position(|window| window == kind).expect("a basic response");
    content(content(content(&response[at + kind.len()..])))
}

/// The content of the first value.
fn content(value: &[u8]) -> &[u8] {
    let (header, length) = match value[1] {
        0x81 => (3, usize::from(value[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([value[2], value[3]]))),
        short => (2, usize::from(short)),
    };
    &value[header..header + length]
}
