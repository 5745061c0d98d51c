//! Whether the certificates of a path are revoked (RFC 5280 6.3): the newest current list of the
//! issuer decides, and one bad list never disables another.

use std::sync::Arc;

use jiff::Timestamp;
use x509_parser::extensions::{DistributionPointName, KeyUsage, ParsedExtension};

use super::ChainDemand;
use super::path::Path;
use super::pool::{Certificate, Pool};
use super::staple::{self, Heard};
use crate::trust::certificate::{hex, printable};
use crate::trust::fault::Fault;
use crate::trust::memory::Span;
use crate::trust::ocsp::Staple;
use crate::trust::requirement::{RevocationDepth, RevocationMode};
use crate::trust::revocation::{PointName, RevocationList, RevokedEntry, point_names};
use crate::trust::verdict::Fact;
use crate::trust::wanted::WantedList;

/// A certificate that lives no longer needs no list: one would hardly be read in time.
const SHORT_LIVED_SECONDS: i64 = 7 * 24 * 60 * 60;
/// id-ce-noRevAvail (RFC 9608).
const NO_REVOCATION_AVAILABLE: &str = "2.5.29.56";

/// Who signed a certificate, as far as its lists are concerned.
#[derive(Clone, Copy)]
pub(super) struct Issuer<'a> {
    pub key_content: &'a [u8],
    /// Whether its key usage, if it has one, allows to sign lists.
    may_sign_lists: bool,
}

enum Status<'a> {
    /// By this list; `None` where none is needed.
    Good(Option<&'a Arc<RevocationList>>),
    /// By whose word, and what it says.
    Revoked(String, RevokedEntry),
    Unknown(Unknown),
}

/// Why it cannot be told.
struct Unknown {
    /// In words that follow "for certificate X of issuer Y".
    why: String,
    /// The list with which it could be told, if the certificate says where it is published.
    missing: Option<WantedList>,
}

/// What was found of one path.
pub(super) struct Findings {
    pub facts: Vec<Fact>,
    /// Every certificate that needs a current list has one.
    pub all_known: bool,
    /// When the lists that spoke for the certificates are current.
    pub span: Span,
    pub missing_lists: Vec<WantedList>,
    pub lists_used: Vec<Arc<RevocationList>>,
    pub staple: Option<Staple>,
}

impl Findings {
    pub(super) fn nothing(all_known: bool) -> Self {
        let (facts, missing_lists, lists_used) = Default::default();
        Self { facts, all_known, span: Span::ALWAYS, missing_lists, lists_used, staple: None }
    }

    fn take(&mut self, certificate: &Certificate<'_>, status: Status<'_>, demand: &ChainDemand<'_>) {
        self.facts.extend(fact_of(certificate, &status, demand));
        match status {
            Status::Good(list) => {
                self.span = list.map_or(self.span, |list| self.span.and(list.span()));
                self.lists_used.extend(list.cloned());
            }
            Status::Revoked(..) => self.all_known = false,
            Status::Unknown(unknown) => {
                self.all_known = false;
                self.missing_lists.extend(unknown.missing);
            }
        }
    }
}

/// Every certificate of the path that the policy's depth covers.
pub(super) fn examine(pool: &Pool<'_>, path: &Path, anchor: usize, demand: &ChainDemand<'_>) -> Findings {
    let mut findings = Findings::nothing(true);
    let depth = match demand.revocation_depth {
        RevocationDepth::Chain => path.members.len(),
        RevocationDepth::EndEntity => 1,
    };
    for (height, &member) in path.members.iter().enumerate().take(depth) {
        let certificate = &pool.certificates[member];
        if is_anchor(certificate, anchor, demand) {
            continue;
        }
        let issuer = match path.members.get(height + 1) {
            Some(&issuer) => {
                let issuer = &pool.certificates[issuer];
                let may_sign_lists = issuer.key_usage().is_none_or(KeyUsage::crl_sign);
                Issuer { key_content: issuer.key_content(), may_sign_lists }
            }
            None => {
                let may_sign_lists = anchor_may_sign_lists(anchor, demand);
                let anchor = &demand.anchors.anchors[anchor];
                Issuer { key_content: anchor.subject_public_key_info.as_ref(), may_sign_lists }
            }
        };
        let mut issuers = vec![issuer];
        issuers.extend(other_keys(pool, path, certificate));
        // Staples are of the end-entity alone.
        let heard = if height == 0 { staple::hear(certificate, &issuers[0], demand) } else { None };
        let status = standing(certificate, &issuers, heard.as_ref(), demand);
        findings.take(certificate, status, demand);
        if let Some(Heard { staple, span }) = heard {
            findings.span = findings.span.and(span);
            findings.staple = Some(staple);
        }
    }
    findings
}

/// Other keys of the issuer that the path itself proves: an authority that changes its key signs a
/// certificate for the one with the other, and lists with one of them (RFC 5280 6.3.3 (f)).
fn other_keys<'a>(
    pool: &'a Pool<'_>,
    path: &'a Path,
    certificate: &'a Certificate<'_>,
) -> impl Iterator<Item = Issuer<'a>> {
    let authorities = path.members.iter().skip(1).map(|&member| &pool.certificates[member]);
    authorities.filter(|authority| authority.subject_content() == certificate.issuer_content()).map(
        |authority| {
            let may_sign_lists = authority.key_usage().is_none_or(KeyUsage::crl_sign);
            Issuer { key_content: authority.key_content(), may_sign_lists }
        },
    )
}

/// An anchor of which only name and key are known (RFC 5280 6.1.1) has no key usage to look at.
fn anchor_may_sign_lists(anchor: usize, demand: &ChainDemand<'_>) -> bool {
    let Some(der) = demand.anchors.certificate(anchor) else { return true };
    Certificate::read(der).is_ok_and(|anchor| anchor.key_usage().is_none_or(KeyUsage::crl_sign))
}

fn needs_no_list(certificate: &Certificate<'_>) -> bool {
    let validity = certificate.parsed.validity();
    let lifetime = validity.not_after.timestamp().saturating_sub(validity.not_before.timestamp());
    lifetime <= SHORT_LIVED_SECONDS || certificate.has_extension(NO_REVOCATION_AVAILABLE)
}

/// A certificate that is itself the anchor is not below it; to distrust it is to remove it.
fn is_anchor(certificate: &Certificate<'_>, anchor: usize, demand: &ChainDemand<'_>) -> bool {
    let anchor = &demand.anchors.anchors[anchor];
    anchor.subject.as_ref() == certificate.subject_content()
        && anchor.subject_public_key_info.as_ref() == certificate.key_content()
}

/// What the lists say, and the staple beside them: one that says revoked is believed whatever they
/// say, one that says good serves where there is no list.
fn standing<'a>(
    certificate: &Certificate<'_>,
    issuers: &[Issuer<'_>],
    heard: Option<&Heard>,
    demand: &ChainDemand<'a>,
) -> Status<'a> {
    let staple = heard.map(|heard| &heard.staple);
    if let Some(Staple::Revoked(entry)) = staple {
        return Status::Revoked("the OCSP response that came with it".to_owned(), *entry);
    }
    if needs_no_list(certificate) {
        return Status::Good(None);
    }
    match (status(certificate, issuers, demand), staple) {
        (Status::Unknown(_), Some(Staple::Good { .. })) => Status::Good(None),
        (Status::Unknown(unknown), Some(Staple::Ignored(problem))) => {
            let why =
                format!("{}; the OCSP response that came with it does not count: {problem}", unknown.why);
            Status::Unknown(Unknown { why, ..unknown })
        }
        (status, _) => status,
    }
}

/// Whether a certificate of the issuer itself is known not to be revoked, and while that holds.
pub(super) fn known_good(
    certificate: &Certificate<'_>,
    issuer: &Issuer<'_>,
    demand: &ChainDemand<'_>,
) -> Option<Span> {
    match standing(certificate, &[*issuer], None, demand) {
        Status::Good(list) => Some(list.map_or(Span::ALWAYS, |list| list.span())),
        Status::Revoked(..) | Status::Unknown(_) => None,
    }
}

/// Newest list first: the first that names it, or the first that is current, decides.
fn status<'a>(certificate: &Certificate<'_>, issuers: &[Issuer<'_>], demand: &ChainDemand<'a>) -> Status<'a> {
    let name = certificate.parsed.issuer().as_raw();
    let points = distribution_points(certificate);
    let unknown = |why: String| Status::Unknown(could_be_fetched(why, certificate, issuers, demand));
    let mut lists: Vec<&Arc<RevocationList>> =
        demand.lists.lists.iter().filter(|list| list.issuer == name).collect();
    if lists.is_empty() {
        return unknown("we have no revocation list of it".into());
    }
    lists.retain(|list| list.covers(certificate.is_authority(), points.as_deref()));
    if lists.is_empty() {
        return unknown("its revocation lists at hand are for other certificates".into());
    }
    lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
    let mut reason = None;
    for list in lists {
        let Some(issuer) = issuers.iter().find(|issuer| list.is_signed_by(issuer.key_content)) else {
            reason.get_or_insert_with(|| format!("the signature on its list {} is wrong", list.source));
            continue;
        };
        if let Some(entry) = list.find(certificate.parsed.raw_serial()) {
            return Status::Revoked(format!("the list {}", list.source), *entry);
        }
        // RFC 5280 6.3.3 (f). What such a list names is revoked all the same: it is the issuer's word.
        if !issuer.may_sign_lists {
            reason.get_or_insert_with(|| "its key is not allowed to sign revocation lists".into());
            continue;
        }
        if list.is_current_at(whole_second(demand.now)) {
            return Status::Good(Some(list));
        }
        reason.get_or_insert_with(|| not_current(list, demand.now));
    }
    unknown(reason.unwrap_or_else(|| "we have no revocation list of it".into()))
}

/// Adds to `why` what is known of fetching the list, and says which list it would be.
fn could_be_fetched(
    why: String,
    certificate: &Certificate<'_>,
    issuers: &[Issuer<'_>],
    demand: &ChainDemand<'_>,
) -> Unknown {
    let signers = issuers.iter().filter(|issuer| issuer.may_sign_lists);
    let wanted = WantedList {
        issuer: certificate.parsed.issuer().as_raw().to_vec(),
        issuer_keys: signers.map(|issuer| issuer.key_content.to_vec()).collect(),
        is_authority: certificate.is_authority(),
        points: distribution_points(certificate).unwrap_or_default(),
    };
    if wanted.issuer_keys.is_empty() {
        return Unknown { why, missing: None };
    }
    if wanted.urls().next().is_none() {
        let why = format!("{why}; the certificate names no distribution point over http");
        return Unknown { why, missing: None };
    }
    let failures = &demand.lists.failures;
    let failed = wanted.urls().find_map(|url| Some((url, failures.get(&wanted.key(url))?)));
    let why = match failed {
        Some((url, error)) => format!("{why}; fetching {} failed: {}", printable(url), printable(error)),
        None => why,
    };
    Unknown { why, missing: Some(wanted) }
}

/// Lists count in whole seconds, as certificates do.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn not_current(list: &RevocationList, now: Timestamp) -> String {
    match list.next_update {
        _ if list.this_update > now => {
            format!("its list {} is valid only from {}", list.source, list.this_update)
        }
        Some(next) if next >= whole_second(now) => {
            format!("its list {} was fetched longer ago than crl_max_age allows", list.source)
        }
        Some(next) => format!("its list {} is out of date since {next}", list.source),
        None => format!("its list {} does not say until when it is current", list.source),
    }
}

/// The names of the distribution points that hold complete lists of the issuer itself; `None` when
/// the certificate names no points at all.
fn distribution_points(certificate: &Certificate<'_>) -> Option<Vec<PointName>> {
    let points =
        certificate.parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
            _ => None,
        })?;
    let own = points.iter().filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
    let names = own.filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names.as_slice()),
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => None,
    });
    Some(names.flat_map(point_names).collect())
}

fn fact_of(certificate: &Certificate<'_>, status: &Status<'_>, demand: &ChainDemand<'_>) -> Option<Fact> {
    let label = certificate.label();
    match (status, demand.revocation) {
        (Status::Good(_), _) | (Status::Unknown(_), RevocationMode::SoftFail | RevocationMode::Off) => None,
        (Status::Revoked(by, entry), _) => {
            let reason = entry.reason.unwrap_or("no reason given");
            let serial = hex(certificate.parsed.raw_serial());
            Some(Fact {
                fault: Fault::Revoked,
                detail: format!(
                    "Certificate {label} was revoked by its issuer on {} ({reason}), says {by}.",
                    entry.date
                ),
                wanted: "a certificate that is not revoked".into(),
                got: format!("serial {serial} revoked on {} ({reason})", entry.date),
            })
        }
        (Status::Unknown(Unknown { why, .. }), RevocationMode::HardFail) => Some(Fact {
            fault: Fault::RevocationUnknown,
            detail: format!(
                "Whether certificate {label} is revoked cannot be told: its issuer is \"{}\", and {why}.",
                certificate.issuer()
            ),
            wanted: "a current revocation list of the issuer".into(),
            got: why.clone(),
        }),
    }
}
