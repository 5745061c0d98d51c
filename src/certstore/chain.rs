//! Putting a chain in order: from the end-entity to the last certificate below a root, out of
//! whatever lies at hand, by names and signatures.

use rustls::pki_types::CertificateDer;

use crate::trust::{AnchorSet, CertificateFacts, is_issued_by};

/// Longest chain built, certificates.
const CHAIN_MAX: usize = 10;

/// What we present, end-entity first, and whether it leads anywhere. The root itself is left out:
/// who trusts it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    pub chain: Vec<CertificateDer<'static>>,
    pub completeness: Completeness,
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    SelfSigned,
    /// Its last certificate was issued by a root: a known one, or one that lay beside it.
    Complete,
    /// This issuer was not at hand and is no root we know.
    Missing(String),
}

/// Builds the chain of `leaf` out of `pool`.
pub fn build(leaf: &CertificateDer<'static>, pool: &[CertificateDer<'static>], roots: &AnchorSet) -> Links {
    let mut chain = vec![leaf.clone()];
    if is_issued_by(leaf, leaf) {
        return Links { chain, completeness: Completeness::SelfSigned };
    }
    loop {
        let last = &chain[chain.len() - 1];
        let issuers: Vec<_> = pool.iter().filter(|other| is_issued_by(last, other)).collect();
        if roots.issued(last) || issuers.iter().any(|issuer| is_issued_by(issuer, issuer)) {
            return Links { chain, completeness: Completeness::Complete };
        }
        match issuers.into_iter().find(|issuer| !chain.contains(issuer)) {
            Some(issuer) if chain.len() < CHAIN_MAX => chain.push(issuer.clone()),
            Some(_) | None => {
                let missing =
                    CertificateFacts::read(last).map_or_else(|e| e.to_string(), |facts| facts.issuer);
                return Links { chain, completeness: Completeness::Missing(missing) };
            }
        }
    }
}

impl Completeness {
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::SelfSigned | Self::Complete => None,
            Self::Missing(issuer) => Some(issuer),
        }
    }
}
