//! The managed store, `data_directory/certificates`: one directory for each certificate, called by
//! its SHA-256 thumbprint, with `chain.pem`, `key.pem` and `about.json`; and below `requests` one
//! for each pending request, called by the SHA-256 of its public key.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::policy::OwnCertificate;
use crate::trust::certificate::hex;

use super::load::{self, CertificateError};

pub(super) const CHAIN: &str = "chain.pem";
pub(super) const KEY: &str = "key.pem";
pub(super) const ABOUT: &str = "about.json";
pub(super) const REQUEST: &str = "request.pem";
pub(super) const REQUESTS: &str = "requests";
/// Largest `about.json` or request read, in octets.
const SMALL_FILE_BYTES_MAX: u64 = 256 << 10;
/// Most certificates or requests listed; a store of more is somebody's mistake.
const ENTRIES_MAX: usize = 4096;
/// Fewest digits by which a certificate may be called.
const PREFIX_MIN: usize = 8;

/// Where the managed certificates lie; reading needs no lock.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) directory: PathBuf,
}

/// A certificate in the store.
#[derive(Debug)]
pub struct Entry {
    pub about: About,
    pub certificate: OwnCertificate,
}

/// What is known of a stored certificate besides itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub created: Timestamp,
    pub origin: Origin,
    /// Whether `export` hands out the key.
    pub exportable: bool,
    /// Whether the server may use it.
    pub enabled: bool,
    /// When it was chosen by hand.
    #[serde(default)]
    pub preferred_since: Option<Timestamp>,
    /// The issuer that the chain lacks and that is no root we know.
    #[serde(default)]
    pub missing: Option<String>,
}

/// How a certificate came into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The answer to a request made here.
    Request,
    Import,
    SelfSigned,
}

/// A request that waits for its certificate.
#[derive(Debug)]
pub struct PendingRequest {
    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hex.
    pub id: String,
    pub about: RequestAbout,
    pub request: CertificateSigningRequestDer<'static>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAbout {
    pub created: Timestamp,
    /// RFC 4514.
    pub subject: String,
    pub names: Vec<String>,
    /// Such as `ec-p256`.
    pub key: String,
    pub exportable: bool,
    /// Thumbprint of the certificate that this one is to follow.
    #[serde(default)]
    pub renews: Option<String>,
}

/// Changes whenever the store does: cheap enough to be taken several times a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<(String, Option<SystemTime>)>);

/// Why the store, or one thing in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {}: {error}; check owner, permissions and free space", path.display())]
    Io { action: &'static str, path: PathBuf, error: io::Error },
    #[error("{} is damaged ({error}); remove its directory and import the certificate again", path.display())]
    Damaged { path: PathBuf, error: String },
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error(
        "{} may be read by others than its owner (mode {mode:04o}); `chmod 600` it, and think of a new key",
        path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("no certificate or request is called {0}; see `sealpost certificate list`")]
    Unknown(String),
    #[error("{0} begins the thumbprints of several certificates; give more digits")]
    Ambiguous(String),
    #[error(
        "{0} is no thumbprint; give 8 or more of its hexadecimal digits, see `sealpost certificate list`"
    )]
    NoThumbprint(String),
}

impl Store {
    pub fn below(data_directory: &Path) -> Self {
        Self { directory: data_directory.join("certificates") }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every certificate, oldest first, and what could not be read.
    pub fn entries(&self) -> (Vec<Entry>, Vec<StoreError>) {
        let (mut entries, mut problems) = self.collect(&self.directory, Self::entry);
        problems.extend(entries.iter().filter_map(|entry| self.exposed(entry)));
        entries.sort_by_key(|entry| entry.about.created);
        (entries, problems)
    }

    /// Every pending request, oldest first, and what could not be read.
    pub fn requests(&self) -> (Vec<PendingRequest>, Vec<StoreError>) {
        let (mut requests, problems) = self.collect(&self.directory.join(REQUESTS), Self::request);
        requests.sort_by_key(|request| request.about.created);
        (requests, problems)
    }

    /// What the server may use, and what it would if it could be read.
    pub fn enabled(&self) -> (Vec<OwnCertificate>, Vec<StoreError>) {
        let (entries, problems) = self.entries();
        let enabled = entries.into_iter().filter(|entry| entry.about.enabled);
        (enabled.map(|entry| entry.certificate).collect(), problems)
    }

    /// The certificate with this SHA-256 thumbprint.
    pub fn entry(&self, thumbprint: &str) -> Result<Entry, StoreError> {
        let directory = self.directory.join(thumbprint);
        let about: About = read_about(&directory.join(ABOUT))?;
        let certificate = load::load(&directory.join(CHAIN), &directory.join(KEY))?;
        if certificate.thumbprint != thumbprint {
            let error = format!("it holds certificate {}", certificate.thumbprint);
            return Err(StoreError::Damaged { path: directory, error });
        }
        let source = format!("store:{thumbprint}");
        let certificate = OwnCertificate { source, preferred_since: about.preferred_since, ..certificate };
        Ok(Entry { about, certificate })
    }

    pub fn request(&self, id: &str) -> Result<PendingRequest, StoreError> {
        let directory = self.directory.join(REQUESTS).join(id);
        let about = read_about(&directory.join(ABOUT))?;
        let path = directory.join(REQUEST);
        let request = CertificateSigningRequestDer::from_pem_slice(&read(&path)?)
            .map_err(|error| StoreError::Damaged { path, error: error.to_string() })?;
        Ok(PendingRequest { id: id.to_owned(), about, request })
    }

    /// The full name of what `text` calls: a SHA-256 thumbprint, a request's name, or at least eight
    /// digits from the beginning of one; in any case, with colons or blanks or without.
    pub fn find(&self, text: &str) -> Result<Found, StoreError> {
        let digits = text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_ascii_lowercase());
        let digits: String = digits.collect();
        if digits.len() < PREFIX_MIN || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(StoreError::NoThumbprint(text.to_owned()));
        }
        let named = |directory: &Path| names(directory).unwrap_or_default().into_iter();
        let fits = |name: &String| name.starts_with(&digits);
        let certificates = named(&self.directory).filter(fits).map(Found::Certificate);
        let requests = named(&self.directory.join(REQUESTS)).filter(fits).map(Found::Request);
        let mut found = certificates.chain(requests);
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => self.by_sha1(&digits).ok_or_else(|| StoreError::Unknown(text.to_owned())),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
        }
    }

    /// Windows calls certificates by SHA-1.
    fn by_sha1(&self, digits: &str) -> Option<Found> {
        let (entries, _) = self.entries();
        let mut fitting = entries.into_iter().filter(|entry| entry.sha1().starts_with(digits));
        let first = fitting.next().filter(|_| fitting.next().is_none())?;
        Some(Found::Certificate(first.certificate.thumbprint))
    }

    /// A picture of names and times, to be compared with a later one.
    pub fn stamp(&self) -> Stamp {
        let names = names(&self.directory).unwrap_or_default();
        let stamp = |name: String| {
            let modified = std::fs::metadata(self.directory.join(&name)).and_then(|data| data.modified());
            (name, modified.ok())
        };
        Stamp(names.into_iter().map(stamp).collect())
    }

    fn collect<T>(
        &self,
        directory: &Path,
        read: impl Fn(&Self, &str) -> Result<T, StoreError>,
    ) -> (Vec<T>, Vec<StoreError>) {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        match names(directory) {
            Ok(names) => {
                for name in names {
                    match read(self, &name) {
                        Ok(item) => found.push(item),
                        // Removed between listing and reading.
                        Err(_) if !directory.join(&name).exists() => {}
                        Err(error) => problems.push(error),
                    }
                }
            }
            Err(error) => problems.push(error),
        }
        (found, problems)
    }

    fn exposed(&self, entry: &Entry) -> Option<StoreError> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.directory.join(&entry.certificate.thumbprint).join(KEY);
        let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some(StoreError::OpenToOthers { path, mode })
    }
}

/// What a name in the store stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By its SHA-256 thumbprint.
    Certificate(String),
    Request(String),
}

impl Entry {
    /// SHA-1 of the end-entity, lower-case hex: for those who compare with Windows.
    pub fn sha1(&self) -> String {
        sha1(&self.certificate)
    }
}

/// SHA-1 of the end-entity, lower-case hex.
pub fn sha1(certificate: &OwnCertificate) -> String {
    use sha1::Digest as _;
    let leaf = certificate.chain.first().map_or(&[][..], |leaf| leaf.as_ref());
    hex(&sha1::Sha1::digest(leaf))
}

/// The names of certificates or requests in a directory, in order; none where it does not exist.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::Io { action: "list", path: directory.to_owned(), error };
    let listing = match std::fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for item in listing {
        let name = item.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let digits = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if name.len() == 64 && digits && names.len() < ENTRIES_MAX {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_about<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, StoreError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), error: error.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    disk::read(path, SMALL_FILE_BYTES_MAX).map_err(|error| StoreError::Io {
        action: "read",
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
