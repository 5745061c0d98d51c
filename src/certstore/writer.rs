//! Changing the store. One writer at a time holds the lock; the server reads without it, because
//! everything appears and disappears whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::disk;

use super::files::{self, Owner, RETIRED, UNFINISHED};
use super::load;
use super::store::{ABOUT, About, CHAIN, Entry, KEY, REQUEST, REQUESTS, RequestAbout, Store, StoreError};

/// The right to change the store, until dropped.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    owner: Owner,
    _lock: File,
}

impl Store {
    /// Makes the store if there is none, waits for whoever changes it, and sweeps up what an
    /// interrupted action left.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        let data = self.directory.parent().unwrap_or(Path::new("."));
        if !data.exists() {
            private_directories(data).map_err(|error| failed("make", data, error))?;
        }
        let owner = Owner::of(data).map_err(|error| failed("read", data, error))?;
        for directory in [self.directory.clone(), self.directory.join(REQUESTS)] {
            disk::make_directory(&directory, owner).map_err(|error| failed("make", &directory, error))?;
        }
        let path = self.directory.join(".lock");
        let lock = disk::lock(&path, owner).map_err(|error| failed("lock", &path, error))?;
        let writer = Writer { store: self.clone(), owner, _lock: lock };
        writer.sweep();
        Ok(writer)
    }
}

impl Writer {
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Puts a certificate with its key into the store. One that is there already gets the longer of
    /// the two chains and keeps the rest.
    pub fn add(
        &self,
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        about: &About,
    ) -> Result<Entry, StoreError> {
        let thumbprint = chain.first().map(crate::trust::thumbprint).unwrap_or_default();
        let place = self.store.directory.join(&thumbprint);
        if place.exists() {
            return self.add_again(&thumbprint, chain, about);
        }
        let about = json(about);
        let key = pem("PRIVATE KEY", key.secret_der());
        let content = [(CHAIN, chain_pem(chain).into_bytes()), (ABOUT, about)];
        let unfinished = self.write_aside(&self.store.directory, &content, &key)?;
        // Whatever the server would refuse to load must not get into the store.
        if let Err(error) = load::load(&unfinished.join(CHAIN), &unfinished.join(KEY)) {
            let _ = std::fs::remove_dir_all(&unfinished);
            return Err(error.into());
        }
        files::publish(&unfinished, &place).map_err(|error| failed("write", &place, error))?;
        self.store.entry(&thumbprint)
    }

    fn add_again(
        &self,
        thumbprint: &str,
        chain: &[CertificateDer<'static>],
        new: &About,
    ) -> Result<Entry, StoreError> {
        let entry = self.store.entry(thumbprint)?;
        let better = chain.len() > entry.certificate.chain.len()
            || (entry.about.missing.is_some() && new.missing.is_none());
        if better {
            let path = self.store.directory.join(thumbprint).join(CHAIN);
            files::replace(&path, chain_pem(chain).as_bytes(), self.owner)
                .map_err(|error| failed("write", &path, error))?;
        }
        let missing = if better { new.missing.clone() } else { entry.about.missing.clone() };
        let enabled = entry.about.enabled || new.enabled;
        // Who brings the key again holds it anyway, and may have it kept as exportable.
        let exportable = entry.about.exportable || new.exportable;
        self.set_about(thumbprint, &About { missing, enabled, exportable, ..entry.about })?;
        self.store.entry(thumbprint)
    }

    /// Replaces what is known of a certificate.
    pub fn set_about(&self, thumbprint: &str, about: &About) -> Result<(), StoreError> {
        let path = self.store.directory.join(thumbprint).join(ABOUT);
        files::replace(&path, &json(about), self.owner).map_err(|error| failed("write", &path, error))
    }

    /// Lets the server use the certificate, before all others of its names that are older than now.
    pub fn enable(&self, thumbprint: &str, now: Timestamp) -> Result<Entry, StoreError> {
        let entry = self.store.entry(thumbprint)?;
        let about = About { enabled: true, preferred_since: Some(now), ..entry.about };
        self.set_about(thumbprint, &about)?;
        self.store.entry(thumbprint)
    }

    pub fn remove(&self, thumbprint: &str) -> Result<(), StoreError> {
        let place = self.store.directory.join(thumbprint);
        files::retire(&place).map_err(|error| failed("remove", &place, error))
    }

    /// Keeps a request and its key until the certificate comes.
    pub fn add_request(
        &self,
        id: &str,
        request: &[u8],
        key: &PrivateKeyDer<'_>,
        about: &RequestAbout,
    ) -> Result<(), StoreError> {
        let requests = self.store.directory.join(REQUESTS);
        let place = requests.join(id);
        if place.exists() {
            // The same key asked for again: the newer request counts.
            files::retire(&place).map_err(|error| failed("remove", &place, error))?;
        }
        let request = pem("CERTIFICATE REQUEST", request);
        let content = [(REQUEST, request.as_bytes().to_vec()), (ABOUT, json(about))];
        let unfinished = self.write_aside(&requests, &content, &pem("PRIVATE KEY", key.secret_der()))?;
        files::publish(&unfinished, &place).map_err(|error| failed("write", &place, error))
    }

    pub fn remove_request(&self, id: &str) -> Result<(), StoreError> {
        let place = self.store.directory.join(REQUESTS).join(id);
        files::retire(&place).map_err(|error| failed("remove", &place, error))
    }

    /// The key of a pending request.
    pub fn request_key(&self, id: &str) -> Result<PrivateKeyDer<'static>, StoreError> {
        Ok(load::read_key(&self.store.directory.join(REQUESTS).join(id).join(KEY))?)
    }

    fn write_aside(
        &self,
        parent: &Path,
        content: &[(&str, Vec<u8>)],
        key: &str,
    ) -> Result<PathBuf, StoreError> {
        let aside = parent.join(format!("{UNFINISHED}{:016x}", rand::random::<u64>()));
        let written = disk::make_directory(&aside, self.owner).and_then(|()| {
            files::write_new(&aside.join(KEY), key.as_bytes(), self.owner)?;
            content
                .iter()
                .try_for_each(|(name, bytes)| files::write_new(&aside.join(name), bytes, self.owner))
        });
        written.map_err(|error| {
            let _ = std::fs::remove_dir_all(&aside);
            failed("write", &aside, error)
        })?;
        Ok(aside)
    }

    /// Nobody else holds the lock, so what is unfinished will never be finished.
    fn sweep(&self) {
        for directory in [self.store.directory.clone(), self.store.directory.join(REQUESTS)] {
            for item in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                let name = item.file_name().to_string_lossy().into_owned();
                if name.starts_with(UNFINISHED) || name.starts_with(RETIRED) {
                    let _ = std::fs::remove_dir_all(item.path());
                }
            }
        }
    }
}

fn private_directories(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn failed(action: &'static str, path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Io { action, path: path.to_owned(), error }
}

fn json(about: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(about).expect("text, flags and times have a JSON form")
}

/// A chain as PEM, end-entity first.
pub fn chain_pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|certificate| pem("CERTIFICATE", certificate).to_string()).collect()
}

/// One block of PEM (RFC 7468); wiped from memory after use, for it may be a key.
pub fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    use x509_cert::der::pem::{LineEnding, encode_string};
    Zeroizing::new(encode_string(label, LineEnding::LF, der).expect("a label of ours, any octets"))
}
