//! Which lines somebody wants to see. A session is about a partner from its first line that names one
//! of the partner's domains; then its earlier lines are shown too.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::trust::Direction;

use super::LiveLine;

/// All conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub direction: Option<Direction>,
    pub connector: Option<String>,
    /// As the log writes it.
    pub session: Option<String>,
    /// In lower case; a session must name one of them or a host below one. Empty: any.
    pub domains: Vec<String>,
}

impl Selection {
    /// Those of `lines` that are to be shown to who has seen everything before number `from`.
    pub(super) fn of(&self, lines: &VecDeque<Arc<LiveLine>>, from: u64) -> Vec<Arc<LiveLine>> {
        let mut named: HashMap<&str, u64> = HashMap::new();
        if !self.domains.is_empty() {
            for line in lines.iter().filter(|line| self.meets(line)) {
                if !named.contains_key(line.session.as_str()) && self.is_about(line) {
                    named.insert(&line.session, line.number);
                }
            }
        }
        let is_new = |line: &&Arc<LiveLine>| {
            let since = named.get(line.session.as_str());
            match since {
                Some(since) => line.number >= from || *since >= from,
                None => self.domains.is_empty() && line.number >= from,
            }
        };
        lines.iter().filter(|line| self.meets(line)).filter(is_new).cloned().collect()
    }

    fn meets(&self, line: &LiveLine) -> bool {
        self.direction.is_none_or(|direction| direction == line.direction)
            && self.connector.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&line.connector))
            && self.session.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&line.session))
    }

    fn is_about(&self, line: &LiveLine) -> bool {
        [&line.data, &line.context].into_iter().any(|text| {
            let text = text.to_ascii_lowercase();
            self.domains.iter().any(|domain| names(&text, domain))
        })
    }
}

/// Whether `text` holds `domain`, or a name below it, as a whole name. Both in lower case.
fn names(text: &str, domain: &str) -> bool {
    let is_label = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    let bytes = text.as_bytes();
    text.match_indices(domain).any(|(start, _)| {
        let before = start.checked_sub(1).map(|at| bytes[at]);
        let behind = &bytes[start + domain.len()..];
        let goes_on = match behind {
            [b'.', next, ..] => is_label(*next),
            [next, ..] => is_label(*next),
            [] => false,
        };
        !before.is_some_and(is_label) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_named_as_a_whole() {
        for (text, wanted) in [
            ("<bob@x.example>", true),
            ("mx.x.example says", true),
            ("x.example", true),
            ("x.example. it ends", true),
            ("x.example.org", false),
            ("ax.example", false),
            ("a-x.example", false),
            ("x.example-y", false),
            ("x.exampl", false),
        ] {
            assert_eq!(names(text, "x.example"), wanted, "{text}");
        }
    }
}
