//! Contradictions, which are errors, and doubtful choices, which are warnings (each reported where
//! the key that should change is written).

mod admin;
mod authentication;
mod certificates;
mod files;
mod milters;
mod names;
mod partners;
mod receive;
mod send;
mod tls_reporting;

pub use certificates::accepted_domains_are_named;

use jiff::Timestamp;

use crate::policy::Settings;

use super::document::{Document, Item, Table};
use super::problem::{Place, Problems, SHARED_FROM};

/// What the checks look at: the document for places, the settings for meaning. The connectors of
/// both, and the partners that are written, stand in the same order.
pub struct Subject<'a> {
    pub document: &'a Document,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    names::check(subject, problems);
    admin::check(subject, problems);
    partners::check(subject, problems);
    receive::check(subject, problems);
    milters::check(subject, problems);
    send::check(subject, problems);
    certificates::check(subject, problems);
    files::check(subject, problems);
    tls_reporting::check(subject, problems);
}

impl Subject<'_> {
    /// Whether every certificate that is written could be loaded; otherwise its absence has been
    /// reported already, and what follows from that is noise.
    fn all_certificates_loaded(&self) -> bool {
        let from_files = self.settings.certificates.iter().filter(|own| !own.is_managed());
        self.document.tables("certificate").count() == from_files.count()
    }
}

/// Where the first member of a list that `is_meant` stands, else where the list is written.
fn item_place(table: &Table, key: &str, is_meant: impl Fn(&Item) -> bool) -> Place {
    let item = table.items(key).iter().find(|item| is_meant(item));
    item.map_or_else(|| table.place(key), |item| item.place.clone())
}

/// "receive_connector.Internet (line 12)".
fn reference(table: &Table) -> String {
    match table.line {
        Some(line) if line > SHARED_FROM => {
            format!("{} (in the bundle, line {})", table.label(), line - SHARED_FROM)
        }
        Some(line) => format!("{} (line {line})", table.label()),
        None => table.label(),
    }
}
