//! All paths from the end-entity upwards, anchors first, within bounds (RFC 4158 section 2.4).

use super::pool::Pool;
use crate::trust::anchors::AnchorSet;

/// Certificates of one path; webpki stops at eight.
const PATH_CERTIFICATES_MAX: usize = 10;
/// Paths examined of one chain: enough for every cross-signing seen, too few to be worth an attack.
const PATHS_MAX: usize = 32;
/// Steps of the search, for chains made to have no end.
const STEPS_MAX: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Positions in the pool, end-entity first.
    pub members: Vec<usize>,
    pub top: Top,
}

/// How a path ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// The last member's issuer has the name of this anchor.
    Anchor(usize),
    /// The last member names itself as issuer and is no anchor.
    SelfIssued,
    /// The last member's issuer was neither sent nor is it an anchor.
    Missing,
    TooLong,
}

/// Anchored paths first.
pub(super) fn all(pool: &Pool<'_>, anchors: &AnchorSet) -> Vec<Path> {
    let mut search = Search { pool, anchors, steps: 0, found: Vec::new() };
    search.extend(&mut vec![0]);
    let mut found = search.found;
    found.sort_by_key(|path| !matches!(path.top, Top::Anchor(_)));
    found
}

struct Search<'a> {
    pool: &'a Pool<'a>,
    anchors: &'a AnchorSet,
    steps: usize,
    found: Vec<Path>,
}

impl Search<'_> {
    fn extend(&mut self, members: &mut Vec<usize>) {
        self.steps += 1;
        let Some(&head) = members.last() else { return };
        if self.steps > STEPS_MAX || self.found.len() >= PATHS_MAX {
            return;
        }
        let head = &self.pool.certificates[head];
        let mut open_end = true;
        for (index, anchor) in self.anchors.anchors.iter().enumerate() {
            if anchor.subject.as_ref() == head.issuer_content() {
                open_end = false;
                self.found.push(Path { members: members.clone(), top: Top::Anchor(index) });
            }
        }
        for candidate in 1..self.pool.certificates.len() {
            if !self.may_issue(candidate, members) {
                continue;
            }
            open_end = false;
            if members.len() >= PATH_CERTIFICATES_MAX {
                self.found.push(Path { members: members.clone(), top: Top::TooLong });
                return;
            }
            members.push(candidate);
            self.extend(members);
            members.pop();
        }
        if open_end {
            let top = if head.is_self_issued() { Top::SelfIssued } else { Top::Missing };
            self.found.push(Path { members: members.clone(), top });
        }
    }

    /// The name fits, and neither this certificate nor its name and key are on the path already.
    fn may_issue(&self, candidate: usize, members: &[usize]) -> bool {
        let certificates = &self.pool.certificates;
        let issuer = &certificates[candidate];
        members.last().is_some_and(|&head| certificates[head].issuer_content() == issuer.subject_content())
            && members.iter().all(|&member| {
                certificates[member].subject_content() != issuer.subject_content()
                    || certificates[member].key_content() != issuer.key_content()
            })
    }
}
