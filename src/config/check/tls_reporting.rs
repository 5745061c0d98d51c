//! `[tls_reporting]`.

use super::Subject;
use crate::config::problem::Problems;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = &subject.settings.tls_reporting;
    let table = subject.document.table("tls_reporting");
    if settings.enabled && settings.organization_name.trim().is_empty() {
        problems.error(
            table.place("enabled"),
            "sends reports in nobody's name",
            "write organization_name, or enabled = false",
        );
    }
    if settings.max_delay > MAX_DELAY_MOST {
        problems.error(
            table.place("max_delay"),
            "is so long that a day's reports would leave after the next day is over",
            "write at most \"20 hours\"",
        );
    }
}

const MAX_DELAY_MOST: std::time::Duration = std::time::Duration::from_secs(20 * 3600);
