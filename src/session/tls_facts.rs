//! TLS facts as protocol-log lines: data and context of `*` lines (CONTRACT section 5).

use crate::policy::OwnCertificate;
use crate::trust::{TlsEvidence, Verdict, render};

/// Both certificates, each behind its heading, and the parameters of the handshake. `own` is what
/// we sent; a resumed session sends none.
pub(super) fn lines(own: Option<&OwnCertificate>, evidence: &TlsEvidence) -> Vec<(String, String)> {
    let heading = |text: &str| (String::new(), text.to_owned());
    let mut lines = Vec::new();
    if let Some(own) = own.filter(|_| !evidence.resumed) {
        lines.push(heading("Sending certificate"));
        lines.extend(render::own_certificate_lines(&own.chain));
    }
    if !evidence.peer_chain.is_empty() {
        lines.push(heading("Received certificate"));
    }
    lines.extend(render::certificate_lines(&evidence.peer_chain, evidence));
    lines
}

/// What judgement found.
pub(super) fn verdict_lines(verdict: &Verdict) -> [(String, String); 2] {
    [verdict.chain_status_line(), verdict.log_line()]
}
