//! Whether a message bears a stamp that one domain has signed, and whether anything was changed since.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use mail_auth::common::crypto::{Algorithm, CryptoError};
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DnsError, Error, Parameters, ResolverCache, Txt,
};

use crate::mail::Domain;
use crate::mail::header::{self, HeaderSection};
use crate::net::authentication::Authenticator;
use crate::policy::limits::DKIM_SIGNATURES_MAX;

use super::ambiguity::{Ambiguity, ambiguity};

const STAMP: &str = "Domain-Secured";

/// A signature that holds, and what it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub domain: String,
    pub selector: String,
    pub algorithm: &'static str,
    /// `t=`
    pub signed_at: Option<Timestamp>,
    /// The values of all stamps in the message, first to last; each is signed.
    pub stamps: Vec<String>,
}

/// Why nothing is proved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    #[error("the message has no header section; give it as it lies in the mailbox, headers first")]
    NoMessage,
    #[error(
        "the message bears no stamp (Domain-Secured); it was not domain-secured, or did not pass an edge that sends stamps"
    )]
    NoStamp,
    #[error("the message can be read in more than one way: {0}; a stamp in it proves nothing")]
    Ambiguous(#[from] Ambiguity),
    #[error("the message can be read in more than one way; a stamp in it proves nothing")]
    TwoReadings,
    #[error("no signature of {domain} covers the stamp; anyone may have written it")]
    NoSignature { domain: Domain },
    #[error("the signature of {domain} covers {signed} of {stamps} stamps; anyone may have added the rest")]
    Added { domain: Domain, signed: usize, stamps: usize },
    #[error("the signature of {domain} under {selector} does not hold: {reason}; the stamp proves nothing")]
    Broken { domain: Domain, selector: String, reason: String },
    #[error(
        "the key {selector}._domainkey.{domain} could not be had from the DNS: {reason}; publish it there, ask again later, or give it with --key"
    )]
    NoKey { domain: Domain, selector: String, reason: String },
    #[error("{reason}; give a record such as \"v=DKIM1; k=ed25519; p=…\", or the key itself")]
    BadKey { reason: String },
}

/// Looks for a signature of `domain` over every stamp of `message`, whose lines end in CRLF. The public
/// key is `record`, the text of a DKIM key record, for whatever selector; else the DNS is asked. Hashes the
/// body: for a thread that may block.
pub async fn verify(
    authenticator: &Authenticator,
    message: &[u8],
    domain: &Domain,
    record: Option<&str>,
) -> Result<Proof, Unproved> {
    let Some(mut parsed) = AuthenticatedMessage::parse(message) else { return Err(Unproved::NoMessage) };
    let stamps = stamps_of(message, &parsed)?;
    parsed.dkim_headers.retain(|header| is_meant(&header.header, domain));
    parsed.dkim_headers.truncate(DKIM_SIGNATURES_MAX);
    let covered = parsed.dkim_headers.iter().map(|header| times_signed(&header.header, STAMP)).max();
    match covered {
        None => return Err(Unproved::NoSignature { domain: domain.clone() }),
        Some(signed) if signed < stamps.len() => {
            return Err(Unproved::Added { domain: domain.clone(), signed, stamps: stamps.len() });
        }
        Some(_) => {}
    }
    parsed.dkim_headers.retain(|header| times_signed(&header.header, STAMP) >= stamps.len());
    let key = record.map(key_of).transpose()?.map(GivenKey);
    let outputs = match &key {
        Some(key) => authenticator.inner.verify_dkim(Parameters::new(&parsed).with_txt_cache(key)).await,
        None => authenticator.inner.verify_dkim(&parsed).await,
    };
    settle(&outputs, domain, stamps)
}

/// The stamps as the checker of signatures sees them. Fails where anybody may see others.
fn stamps_of(message: &[u8], parsed: &AuthenticatedMessage<'_>) -> Result<Vec<String>, Unproved> {
    let fields = parsed.raw_parsed_headers().iter();
    let stamps = fields.filter(|(name, _)| name.eq_ignore_ascii_case(STAMP.as_bytes()));
    let stamps: Vec<String> = stamps.map(|(_, value)| unfolded(value)).collect();
    let (head, body) = header::split(message);
    let seen = HeaderSection::new(head).fields().filter(|field| field.is_named(STAMP)).count();
    if seen == 0 && stamps.is_empty() {
        return Err(Unproved::NoStamp);
    }
    if let Some(ambiguity) = ambiguity(head) {
        return Err(ambiguity.into());
    }
    if seen != stamps.len() || body != parsed.body_offset() {
        return Err(Unproved::TwoReadings);
    }
    Ok(stamps)
}

/// A value on one line (RFC 5322 2.2.3): a fold, or a tab, with the blanks around it is one blank, as it is
/// for the signature (RFC 6376 3.4.2). Without blanks at its ends.
fn unfolded(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value.trim_ascii());
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut line = String::with_capacity(value.len());
    let mut rest = &*value;
    while let Some(at) = rest.find(is_blank) {
        let (word, behind) = rest.split_at(at);
        let next = behind.trim_start_matches(is_blank);
        let blanks = &behind[..behind.len() - next.len()];
        line.push_str(word);
        line.push_str(if blanks.chars().all(|c| c == ' ') { blanks } else { " " });
        rest = next;
    }
    line + rest
}

/// The best of what the signatures came to.
fn settle(outputs: &[DkimOutput<'_>], domain: &Domain, stamps: Vec<String>) -> Result<Proof, Unproved> {
    let mut worst = Unproved::NoSignature { domain: domain.clone() };
    for output in outputs {
        let Some(signature) = output.signature() else { continue };
        let selector = signature.s.clone();
        worst = match output.result() {
            DkimResult::Pass => {
                let seconds = i64::try_from(signature.t).ok().filter(|seconds| *seconds > 0);
                return Ok(Proof {
                    domain: signature.d.clone(),
                    selector,
                    algorithm: match signature.a {
                        Algorithm::Ed25519Sha256 => "ed25519-sha256",
                        Algorithm::RsaSha256 => "rsa-sha256",
                        Algorithm::RsaSha1 => "rsa-sha1",
                    },
                    signed_at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
                    stamps,
                });
            }
            DkimResult::TempError(error)
            | DkimResult::Neutral(error @ Error::Dns(_))
            | DkimResult::Fail(error @ Error::Dns(_))
            | DkimResult::PermError(error @ Error::Dns(_)) => {
                Unproved::NoKey { domain: domain.clone(), selector, reason: words(error) }
            }
            DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
                Unproved::Broken { domain: domain.clone(), selector, reason: words(error) }
            }
            DkimResult::None => continue,
        };
    }
    Err(worst)
}

/// What the library finds, as a postmaster would say it.
fn words(error: &Error) -> String {
    match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) => "the body was changed after it was signed",
        Error::Crypto(CryptoError::FailedVerification) => {
            "a signed header field was changed afterwards, or the key is not the one that signed"
        }
        Error::Crypto(CryptoError::IncompatibleAlgorithms) => {
            "the key is of another kind (RSA or Ed25519) than the signature"
        }
        Error::Crypto(CryptoError::Library(_)) => {
            "the signature does not fit: a signed header field was changed, or it was made with another key"
        }
        Error::Dkim(DkimError::RevokedPublicKey) => "its key was withdrawn: p= is empty in the record",
        Error::Dkim(DkimError::SignatureExpired) => "it has expired (x=)",
        Error::Dkim(DkimError::SignatureLength) => "it covers the beginning of the body alone (l=)",
        Error::Dkim(DkimError::FailedAuidMatch) => {
            "it is for a user of another domain (i=) than the one that signs (d=)"
        }
        Error::Dkim(DkimError::UnsupportedVersion) => "it is of another version than v=1",
        Error::Dkim(DkimError::UnsupportedAlgorithm | DkimError::UnsupportedCanonicalization) => {
            "it was made by an algorithm that is not known here (a=, c=)"
        }
        Error::Dkim(DkimError::UnsupportedKeyType) => {
            "the record holds a key of a kind that is not known here (k=)"
        }
        Error::Dns(DnsError::RecordNotFound(_)) => "there is no such record",
        Error::Dns(DnsError::InvalidRecordType) => "what stands there is no DKIM key",
        Error::Dns(DnsError::Resolver(_)) => "the name servers gave no answer",
        Error::Base64 => "what should be base64 is not",
        _ => "it is not well-formed",
    }
    .to_owned()
}

/// A signature of this domain over the whole body and over stamp and author, by an algorithm that still
/// means something (RFC 8301 3.1).
fn is_meant(signature: &Signature, domain: &Domain) -> bool {
    Domain::parse_rooted(&signature.d).is_ok_and(|signed_by| signed_by == *domain)
        && times_signed(signature, STAMP) > 0
        && times_signed(signature, "From") > 0
        && signature.l == 0
        && signature.a != Algorithm::RsaSha1
}

fn times_signed(signature: &Signature, name: &str) -> usize {
    signature.h.iter().filter(|signed| signed.eq_ignore_ascii_case(name)).count()
}

fn key_of(record: &str) -> Result<Arc<DomainKey>, Unproved> {
    let record = record.trim();
    let key = DomainKey::parse(record.as_bytes());
    key.map(Arc::new)
        .map_err(|error| Unproved::BadKey { reason: format!("the key cannot be read: {}", words(&error)) })
}

/// Answers every question for a key with the one that was given.
struct GivenKey(Arc<DomainKey>);

impl ResolverCache<Box<str>, Txt> for GivenKey {
    fn get<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(Txt::DomainKey(Arc::clone(&self.0)))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
