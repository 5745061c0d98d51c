//! Reads the files that a configuration names, each bounded.

use std::collections::HashSet;
use std::path::Path;

use crate::disk;
use crate::mail::{Address, Domain};

use super::super::document::{Document, Table};
use super::super::problem::{Place, Problems};

/// Largest file of anchors or revocation lists, in bytes.
pub const TRUST_FILE_BYTES_MAX: u64 = 64 << 20;
/// Largest list of recipients, in bytes: some two million addresses.
const RECIPIENTS_BYTES_MAX: u64 = 64 << 20;

/// One address a line, in lower case; empty lines and what stands behind `#` at the start of a line
/// are passed over.
pub fn recipients(
    document: &Document,
    table: &Table,
    path: &Path,
    domain: &Domain,
    problems: &mut Problems,
) -> HashSet<String> {
    let resolved = document.resolve(path);
    let place = table.place("recipients");
    let text = match disk::read(&resolved, RECIPIENTS_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.error(place, format!("{} is not UTF-8", resolved.display()), "save the file as UTF-8");
            return HashSet::new();
        }
        Err(error) => {
            let what = format!("cannot read {}: {error}", resolved.display());
            problems.error(place, what, "check the path and its permissions");
            return HashSet::new();
        }
    };
    let mut recipients = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = Place { line: Some(index + 1), key: place.key.clone() };
        match Address::parse(line) {
            Ok(address) if address.domain() == Some(domain) => {
                recipients.insert(address.to_string().to_lowercase());
            }
            Ok(_) => problems.error_in(
                &resolved,
                at,
                format!("{line:?} is not an address of {domain}"),
                "list it with the accepted domain that it belongs to",
            ),
            Err(error) => {
                let what = format!("{line:?} is not a mail address: {error}");
                problems.error_in(
                    &resolved,
                    at,
                    what,
                    format!("write one address a line, such as info@{domain}"),
                );
            }
        }
    }
    recipients
}
