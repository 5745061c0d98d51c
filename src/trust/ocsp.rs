//! OCSP responses (RFC 6960 4.2), as far as a server staples one to its certificate (RFC 6066 8):
//! reading them, and what one says of a certificate. Who may have signed it is for `chain::staple`.
//! Everything of a response must be understood, or none of it counts.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, ObjectIdentifier, OctetStringRef};
use der::{Choice, Decode, Encode, Enumerated, Sequence, Tag, Tagged};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierRef;

use super::revocation::{RevokedEntry, reason_words, significant};

/// Largest response looked at, in octets; with a responder's chain they have 2 to 5 KB.
pub const STAPLE_BYTES_MAX: usize = 16 << 10;

const BASIC_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// Extensions that change nothing for us, even critical: nonce, reference to a list, archive cutoff,
/// extended definition of revoked.
const HARMLESS: [&str; 4] =
    ["1.3.6.1.5.5.7.48.1.2", "1.3.6.1.5.5.7.48.1.3", "1.3.6.1.5.5.7.48.1.6", "1.3.6.1.5.5.7.48.1.9"];

/// What became of the response that a server stapled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Staple {
    /// It says that the certificate is good, and is current until then.
    Good { until: Timestamp },
    /// It says that the certificate is revoked.
    Revoked(RevokedEntry),
    /// It counts for nothing.
    Ignored(StapleProblem),
}

/// Why a stapled response counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StapleProblem {
    #[error("it has more than 16 KiB")]
    TooLarge,
    #[error("it cannot be read ({0})")]
    Malformed(String),
    #[error("the responder answered with an error")]
    NoAnswer,
    #[error("it has the critical extension {0}, which is unknown")]
    CriticalExtension(String),
    #[error("it is about another certificate")]
    OtherCertificate,
    #[error("its signature is not the issuer's, nor that of a responder whom the issuer appointed")]
    NotTheIssuers,
    #[error("its responder's certificate {0}")]
    Responder(String),
    #[error("it is valid only from {0}")]
    NotYetCurrent(Timestamp),
    #[error("it is out of date since {0}")]
    OutOfDate(Timestamp),
    #[error("it does not say until when it is current")]
    NoNextUpdate,
    #[error("the responder does not know the certificate")]
    Unknown,
}

/// A response that could be read.
pub(super) struct BasicResponse<'a> {
    /// DER, from the signed octets to the responder's certificates.
    pub der: &'a [u8],
    /// Certificates that came with it, DER.
    pub certificates: Vec<Vec<u8>>,
    answers: Vec<SingleResponse<'a>>,
}

/// What a response says of one certificate.
pub(super) struct Answer {
    pub status: Status,
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
}

pub(super) enum Status {
    Good,
    Revoked(RevokedEntry),
    Unknown,
}

/// Which certificate is asked about.
pub(super) struct Question<'a> {
    /// DER of the issuer's name.
    pub issuer: &'a [u8],
    /// The issuer's public key, without the octets around it.
    pub issuer_key: &'a [u8],
    /// Content of the serial number.
    pub serial: &'a [u8],
}

/// Until when a stapled response is current, if it can be read; that it is good for anything is not
/// said. A session that was made with it is resumed no longer than this.
pub fn staple_next_update(staple: &[u8]) -> Option<Timestamp> {
    let response = BasicResponse::read(staple).ok()?;
    response.answers.iter().filter_map(|answer| time(answer.next_update?).ok()).min()
}

impl<'a> BasicResponse<'a> {
    pub(super) fn read(staple: &'a [u8]) -> Result<Self, StapleProblem> {
        if staple.len() > STAPLE_BYTES_MAX {
            return Err(StapleProblem::TooLarge);
        }
        let response = OcspResponse::from_der(staple).map_err(malformed)?;
        let (ResponseStatus::Successful, Some(bytes)) = (response.status, response.bytes) else {
            return Err(StapleProblem::NoAnswer);
        };
        if bytes.kind != BASIC_RESPONSE {
            return Err(StapleProblem::Malformed("not a basic response".to_owned()));
        }
        let der = bytes.response.as_bytes();
        let basic = Basic::from_der(der).map_err(malformed)?;
        if basic.data.version.is_some_and(|version| version != 0) {
            return Err(StapleProblem::Malformed("of another version".to_owned()));
        }
        refuse_unknown_critical(basic.data.extensions.as_ref())?;
        let certificates = basic.certificates.unwrap_or_default();
        let certificates: Result<_, _> = certificates.iter().map(Encode::to_der).collect();
        let certificates = certificates.map_err(malformed)?;
        Ok(Self { der, certificates, answers: basic.data.responses })
    }

    /// What it says of the certificate; of several answers the newest.
    pub(super) fn answer(&self, question: &Question<'_>) -> Result<Answer, StapleProblem> {
        let about = self.answers.iter().filter(|answer| answer.id.is_about(question));
        let newest = about.max_by_key(|answer| answer.this_update.to_unix_duration());
        let answer = newest.ok_or(StapleProblem::OtherCertificate)?;
        refuse_unknown_critical(answer.extensions.as_ref())?;
        Ok(Answer {
            status: match &answer.status {
                CertStatus::Good(_) => Status::Good,
                CertStatus::Unknown(_) => Status::Unknown,
                CertStatus::Revoked(revoked) => Status::Revoked(RevokedEntry {
                    date: time(revoked.date)?,
                    reason: revoked.reason.and_then(|reason| reason_words(reason as u8)),
                }),
            },
            this_update: time(answer.this_update)?,
            next_update: answer.next_update.map(time).transpose()?,
        })
    }
}

fn malformed(error: der::Error) -> StapleProblem {
    StapleProblem::Malformed(error.to_string())
}

fn time(time: GeneralizedTime) -> Result<Timestamp, StapleProblem> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_err(|error| StapleProblem::Malformed(error.to_string()))
}

fn refuse_unknown_critical(extensions: Option<&Vec<Extension<'_>>>) -> Result<(), StapleProblem> {
    let mut critical = extensions.into_iter().flatten().filter(|extension| extension.critical);
    let unknown = critical.find(|extension| !HARMLESS.contains(&extension.id.to_string().as_str()));
    unknown.map_or(Ok(()), |extension| Err(StapleProblem::CriticalExtension(extension.id.to_string())))
}

impl CertId<'_> {
    /// By the digests of the issuer's name and key, and the serial number (RFC 6960 4.1.1).
    fn is_about(&self, question: &Question<'_>) -> bool {
        let digest = |octets: &[u8]| match self.hash.oid {
            SHA1 => Some(Sha1::digest(octets).to_vec()),
            SHA256 => Some(Sha256::digest(octets).to_vec()),
            SHA384 => Some(Sha384::digest(octets).to_vec()),
            SHA512 => Some(Sha512::digest(octets).to_vec()),
            _ => None,
        };
        self.serial.tag() == Tag::Integer
            && significant(self.serial.value()) == significant(question.serial)
            && digest(question.issuer).is_some_and(|name| name == self.name_hash.as_bytes())
            && digest(question.issuer_key).is_some_and(|key| key == self.key_hash.as_bytes())
    }
}

#[derive(Sequence)]
struct OcspResponse<'a> {
    status: ResponseStatus,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    bytes: Option<ResponseBytes<'a>>,
}

#[derive(Clone, Copy, Debug, Enumerated, PartialEq, Eq)]
#[repr(u8)]
enum ResponseStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SignatureRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
struct ResponseBytes<'a> {
    kind: ObjectIdentifier,
    response: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Basic<'a> {
    data: ResponseData<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    certificates: Option<Vec<AnyRef<'a>>>,
}

#[derive(Sequence)]
struct ResponseData<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    /// A name or the digest of a key: a hint, as the signature tells who it was.
    responder: AnyRef<'a>,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension<'a>>>,
}

#[derive(Sequence)]
struct SingleResponse<'a> {
    id: CertId<'a>,
    status: CertStatus,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension<'a>>>,
}

#[derive(Sequence)]
struct CertId<'a> {
    hash: AlgorithmIdentifierRef<'a>,
    name_hash: &'a OctetStringRef,
    key_hash: &'a OctetStringRef,
    /// An INTEGER, kept as it is written.
    serial: AnyRef<'a>,
}

#[derive(Choice)]
enum CertStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Sequence)]
struct RevokedInfo {
    date: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    reason: Option<CrlReason>,
}

#[derive(Sequence)]
struct Extension<'a> {
    id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: &'a OctetStringRef,
}

impl std::fmt::Display for Staple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Staple::Good { until } => write!(f, "good until {until}"),
            Staple::Revoked(entry) => {
                write!(f, "revoked on {} ({})", entry.date, entry.reason.unwrap_or("no reason given"))
            }
            Staple::Ignored(problem) => write!(f, "ignored: {problem}"),
        }
    }
}

#[cfg(test)]
#[path = "ocsp_tests.rs"]
pub(crate) mod tests;
