//! What lies on the disk beside the configuration: the data directory must be ours to write, private
//! keys nobody else's to read, and trust anchors must be authorities.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, X509Version};

use crate::disk;
use crate::trust::{certificates_from_pem_or_der, printable, spki_pin};

use super::super::build::TRUST_FILE_BYTES_MAX;
use super::super::document::Table;
use super::super::problem::Problems;
use super::Subject;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    data_directory(subject, problems);
    for table in subject.document.tables("certificate") {
        key_is_ours_alone(subject, table, problems);
    }
    let anchors = [(subject.document.table("trust"), "anchors")].into_iter();
    let partners = subject.document.tables("partner").map(|table| (table, "trust_anchors"));
    for (table, key) in anchors.chain(partners.filter(|(table, key)| table.is_written(key))) {
        anchors_are_authorities(subject, table, key, problems);
    }
}

/// The server makes the directory where its parent lets it.
fn data_directory(subject: &Subject<'_>, problems: &mut Problems) {
    let table = subject.document.table("");
    if !table.is_written("data_directory") {
        return;
    }
    let directory = &subject.settings.data_directory;
    let (found, is_there) = match directory.metadata() {
        Ok(_) => (directory.clone(), true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (first_that_is(directory), false),
        Err(error) => {
            let what = format!("cannot use {}: {error}", directory.display());
            problems.error(
                table.place("data_directory"),
                what,
                "check the path and the permissions on the way",
            );
            return;
        }
    };
    let why = match found.metadata() {
        Ok(metadata) if !metadata.is_dir() => Some("is not a directory".to_owned()),
        Ok(_) => access(&found, Access::WRITE_OK | Access::EXEC_OK)
            .err()
            .map(|error| format!("cannot be written by this user ({error})")),
        Err(error) => Some(format!("cannot be used: {error}")),
    };
    let Some(why) = why else { return };
    let what = match is_there {
        true => format!("{} {why}", found.display()),
        false => format!(
            "{} does not exist and cannot be made, for {} {why}",
            directory.display(),
            found.display()
        ),
    };
    let remedy = "make the directory and give it to the server's user, or name another";
    problems.error(table.place("data_directory"), what, remedy);
}

/// The nearest directory above that exists.
fn first_that_is(path: &Path) -> PathBuf {
    let found = path.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// A key of the managed store is looked at by the store itself.
fn key_is_ours_alone(subject: &Subject<'_>, table: &Table, problems: &mut Problems) {
    let (Some(chain), Some(key)) = (table.text("chain"), table.text("key")) else { return };
    // What holds no key has been reported.
    if !subject.settings.certificates.iter().any(|own| own.source == chain) {
        return;
    }
    let path = subject.document.resolve(key.as_ref());
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        problems.warning(
            table.place("key"),
            format!(
                "every user of this host can read the private key in {} (mode {mode:03o})",
                path.display()
            ),
            format!("chmod 600 {}, and think of a new key", path.display()),
        );
    }
}

fn anchors_are_authorities(subject: &Subject<'_>, table: &Table, key: &str, problems: &mut Problems) {
    for item in table.items(key).iter().filter(|item| !matches!(item.text.as_str(), "system" | "mozilla")) {
        let path = subject.document.resolve(item.text.as_ref());
        // One that cannot be read has been reported.
        let Ok(bytes) = disk::read(&path, TRUST_FILE_BYTES_MAX) else { continue };
        for certificate in certificates_from_pem_or_der(&bytes).unwrap_or_default() {
            let Some((name, pin)) = end_entity(&certificate) else { continue };
            problems.warning(
                item.place.clone(),
                format!("{} holds {name}, which is no authority's certificate", path.display()),
                format!(
                    "name the certificate of its issuer; or, to trust this one certificate, pin its key in the \
                     partner entry: trust_anchors = [] and spki_pins = [\"{pin}\"]"
                ),
            );
        }
    }
}

/// Subject and pin of a certificate that says that it is no authority's, as all but old roots do.
fn end_entity(certificate: &CertificateDer<'_>) -> Option<(String, String)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let is_authority = parsed.is_ca() || parsed.version() == X509Version::V1;
    let pin = spki_pin(certificate)?;
    (!is_authority).then(|| (printable(&parsed.subject().to_string()), pin.to_string()))
}
