//! Names by which tables are called must be told apart.

use std::collections::HashMap;

use crate::mail::Domain;

use super::super::options::SECTIONS;
use super::super::problem::Problems;
use super::{Subject, reference};

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    for section in SECTIONS.iter().filter(|section| section.named_by == Some("name")) {
        let mut seen = HashMap::new();
        for table in subject.document.tables(section.name) {
            let Some(name) = table.name() else { continue };
            let same = match section.name {
                "accepted_domain" => {
                    Domain::parse_rooted(name).map_or(name.to_owned(), |domain| domain.to_string())
                }
                _ => name.to_lowercase(),
            };
            if let Some(first) = seen.get(&same) {
                let what = format!("the name {name:?} is taken by {first}");
                problems.error(
                    table.place("name"),
                    what,
                    "give each its own name, or make one entry of both",
                );
            } else {
                seen.insert(same, reference(table));
            }
        }
    }
}
