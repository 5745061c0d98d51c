//! Judgement: a certificate chain, a revocation snapshot, pins, names and a time become one
//! verdict, and everything anyone reads about trust is a rendering of it. Pure.

mod anchors;
pub mod certificate;
mod chain;
mod dane;
mod der;
mod evidence;
pub mod fault;
mod good_signatures;
mod judge;
mod known;
mod memory;
mod names;
mod ocsp;
mod pin;
mod refusal;
pub mod render;
mod requirement;
mod revocation;
mod ruling;
mod signature;
mod stamp;
pub mod tlsa;
mod verdict;
mod wanted;

pub use anchors::{AnchorError, AnchorSet, certificates_from_pem_or_der};
pub use certificate::{
    CertificateFacts, CertificateUnreadable, distinguished_name, printable, spki_pin, thumbprint, to_pem,
};
pub use evidence::{Connection, OwnCertificateState, TlsEvidence, TlsState, TlsVersion};
pub use fault::{Fault, FaultRow, InboundAnswer, reference as fault_reference};
pub use judge::{CertificateDemand, CertificateFindings, judge, judge_certificates};
pub use memory::JudgementMemory;
pub use names::proves_name;
#[cfg(test)]
pub(crate) use ocsp::tests::maker as ocsp_maker;
pub use ocsp::{STAPLE_BYTES_MAX, Staple, StapleProblem, staple_next_update};
pub use pin::PinError;
pub use refusal::{Refusal, is_of_us};
pub use requirement::{
    AlgorithmPolicy, Direction, Level, Mode, NamePattern, OnFailure, Requirement, RevocationDepth,
    RevocationMode, ServerProof, SpkiPin, TrustPolicy, UsagePolicy,
};
pub use revocation::{RevocationList, RevocationListError, RevocationSet, RevokedEntry};
pub use ruling::{RuledBy, Ruling, TlsOutcome};
pub use signature::{SignatureAlgorithm, is_issued_by};
pub use verdict::{Check, Fact, Permit, Verdict};
#[cfg(test)]
pub(crate) use wanted::tests::Publisher;
pub use wanted::{ListKey, ListRefused, WantedList};

#[cfg(test)]
mod tests;
