//! TLS facts as protocol-log lines: data and context of `*` lines (CONTRACT section 5).

use crate::policy::OwnCertificate;
use crate::trust::{TlsEvidence, Verdict, WantedList, printable, render};

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

/// The lists that are about to be fetched: where, and whose.
pub(super) fn fetch_lines(wanted: &[WantedList]) -> Vec<(String, String)> {
    let line = |wanted: &WantedList| {
        let urls: Vec<String> = wanted.urls().map(printable).collect();
        (format!("{} of {}", urls.join(" "), wanted.issuer()), "Fetching certificate revocation list".into())
    };
    wanted.iter().map(line).collect()
}

/// What judgement found.
pub(super) fn verdict_lines(verdict: &Verdict) -> impl Iterator<Item = (String, String)> {
    let staple = verdict.staple_line().into_iter();
    staple.chain([verdict.chain_status_line(), verdict.log_line()])
}
