//! What we log in with at smart hosts.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::disk;
use crate::policy::{SmartHostAuth, SmartHostWay};

use super::super::document::{Document, Table};
use super::super::format;
use super::super::problem::Problems;
use super::users::is_ours_alone;

/// A name and a password.
const CREDENTIAL_BYTES_MAX: u64 = 4096;

/// `smart_host_auth_mechanism` with the content of `authentication_credential`; that it is not written
/// though it is needed is reported by the checks.
pub fn smart_host_auth(
    document: &Document,
    table: &Table,
    problems: &mut Problems,
) -> Option<Arc<SmartHostAuth>> {
    let way = match table.text("smart_host_auth_mechanism") {
        Some("basic") => SmartHostWay::Basic,
        Some("scram-sha-256") => SmartHostWay::ScramSha256,
        Some("external") => {
            let nothing = Zeroizing::default();
            return Some(Arc::new(SmartHostAuth {
                way: SmartHostWay::External,
                user: String::new(),
                password: nothing,
            }));
        }
        _ => return None,
    };
    let path = document.resolve(table.read("authentication_credential", format::path)?);
    let place = table.place("authentication_credential");
    let text = match disk::read(&path, CREDENTIAL_BYTES_MAX)
        .map(|bytes| Zeroizing::new(String::from_utf8(bytes).unwrap_or_default()))
    {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot read {}: {error}", path.display());
            problems.error(place, what, "check the path and its permissions");
            return None;
        }
    };
    is_ours_alone(&path, &place, problems);
    let mut lines = text.lines();
    match (lines.next().unwrap_or_default(), lines.next().unwrap_or_default()) {
        (user, password) if !user.is_empty() && !password.is_empty() => {
            let (user, password) = (user.to_owned(), Zeroizing::new(password.to_owned()));
            Some(Arc::new(SmartHostAuth { way, user, password }))
        }
        _ => {
            let what = format!("{} does not hold a user and a password in UTF-8", path.display());
            problems.error(place, what, "write the user on the first line and the password on the second");
            None
        }
    }
}
