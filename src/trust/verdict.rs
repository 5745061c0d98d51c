//! The verdict: direction, domain, required and achieved level, fault and facts in one value; and
//! the permit, which nothing but `Verdict::admit` makes.

use std::sync::Arc;

use crate::mail::Domain;

use super::fault::Fault;
use super::ocsp::Staple;
use super::requirement::{Direction, Level, Mode};
use super::revocation::RevocationList;
use super::ruling::{RuledBy, TlsOutcome};
use super::wanted::WantedList;

/// One thing found wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fact {
    pub fault: Fault,
    /// One sentence: what was found, on which certificate.
    pub detail: String,
    pub wanted: String,
    pub got: String,
}

/// A check that was made and passed; the stamp's `verified=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Chain,
    Revocation,
    Name,
    Pin,
    /// TLSA records name the certificate, its key or its authority.
    Tlsa,
}

/// What judgement found. `facts` is in the order of `Fault`; empty means good.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whose requirement it was judged by.
    pub ruled_by: RuledBy,
    /// In the words of TLS reporting.
    pub outcome: TlsOutcome,
    pub direction: Direction,
    pub domain: Domain,
    pub mode: Mode,
    pub required: Level,
    pub achieved: Level,
    pub facts: Vec<Fact>,
    pub verified: Vec<Check>,
    /// The SAN name, as the certificate writes it, that proved the domain.
    pub matched_name: Option<String>,
    /// Lists that, once fetched, may change this verdict; empty unless every other check passed.
    pub missing_lists: Vec<WantedList>,
    /// Lists that said a certificate is not revoked.
    pub lists_used: Vec<Arc<RevocationList>>,
    /// What became of the OCSP response that a server stapled; `None` where none was looked at.
    pub staple: Option<Staple>,
}

/// The right to accept a message or to say `MAIL` to a next hop (DESIGN rule 5).
#[derive(Clone, Debug)]
pub struct Permit {
    verdict: Arc<Verdict>,
}

impl Verdict {
    /// *The* fault: the first in the order of precedence.
    pub fn fault(&self) -> Option<Fault> {
        self.facts.first().map(|fact| fact.fault)
    }

    /// Turns a good verdict into a permit, and gives a bad one back.
    #[allow(clippy::result_large_err, reason = "a bad verdict is what the caller goes on with")]
    pub fn admit(self) -> Result<Permit, Verdict> {
        if self.facts.is_empty() && self.achieved >= self.required {
            Ok(Permit { verdict: Arc::new(self) })
        } else {
            Err(self)
        }
    }
}

impl Permit {
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Whether the peer has shown by its certificate that it is the host it was taken for: what
    /// REQUIRETLS asks of every hop (RFC 8689 4.2.1).
    pub fn is_authenticated(&self) -> bool {
        self.verdict.required >= Level::DomainValidation
    }

    /// The domain proved by mutual TLS, if the message is domain-secured.
    pub fn secured_domain(&self) -> Option<&Domain> {
        (self.verdict.required == Level::DomainSecure).then_some(&self.verdict.domain)
    }
}
