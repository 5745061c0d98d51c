//! Domains mail may be submitted for by anyone, and who may send to them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::mail::Domain;

use super::CheckMode;

/// `[[accepted_domain]]`.
#[derive(Clone, Debug)]
pub struct AcceptedDomain {
    pub name: Domain,
    /// Addresses in lower case; `None` accepts every local part.
    pub recipients: Option<Arc<HashSet<String>>>,
    pub from: AllowedSenders,
    /// `recipient_verification`: how far the next hop's word on a recipient goes.
    pub verification: CheckMode,
}

/// `from`: whose mail is taken for this domain (the hub rule).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedSenders {
    Anyone,
    /// Every domain on the receive list.
    Partners,
    Domains(Vec<Domain>),
}
