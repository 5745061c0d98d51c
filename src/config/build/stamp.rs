//! What stamps are signed with.

use std::sync::Arc;

use crate::certstore::stamp_key;
use crate::policy::StampSigning;

use super::super::document::Document;
use super::super::format;
use super::super::problem::Problems;
use super::users::is_ours_alone;

/// `[stamp]`; the key is read and found fit. One of domain and key without the other is reported.
pub fn signing(document: &Document, problems: &mut Problems) -> Option<StampSigning> {
    let table = document.table("stamp");
    let domain = table.read("signing_domain", format::domain);
    let path = table.read("signing_key", format::path);
    let (domain, path) = match (domain, path) {
        (Some(domain), Some(path)) => (domain, document.resolve(path)),
        (None, None) => return None,
        (Some(_), None) => {
            let remedy = "write signing_key (`sealpost stamp key` makes one), or take signing_domain away";
            problems.error(table.place("signing_domain"), "signs with no key", remedy);
            return None;
        }
        (None, Some(_)) => {
            let remedy = "write signing_domain, or take signing_key away";
            problems.error(table.place("signing_key"), "signs in nobody's name", remedy);
            return None;
        }
    };
    let selector = table.read("selector", format::domain)?;
    match stamp_key::read(&path) {
        Ok(key) => {
            is_ours_alone(&path, &table.place("signing_key"), problems);
            Some(StampSigning { domain, selector, key: Arc::new(key) })
        }
        Err(error) => {
            problems.error_sentence(table.place("signing_key"), &error.to_string());
            None
        }
    }
}
