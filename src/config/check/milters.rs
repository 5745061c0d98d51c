//! Receive connectors ask milters that exist, each once.

use crate::policy::limits;

use super::super::problem::Problems;
use super::Subject;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    let known: Vec<&str> = subject.document.tables("milter").filter_map(|table| table.name()).collect();
    for table in subject.document.tables("receive_connector") {
        let named = table.items("milters");
        for (at, item) in named.iter().enumerate() {
            if !known.contains(&item.text.as_str()) {
                problems.error(
                    item.place.clone(),
                    format!("{:?} is the name of no milter", item.text),
                    format!("add [[milter]] with name = {:?}, or write one of its names", item.text),
                );
            } else if named[..at].iter().any(|before| before.text == item.text) {
                problems.error(
                    item.place.clone(),
                    format!("{:?} is asked twice", item.text),
                    "name each milter once; they are asked in this order",
                );
            }
        }
        if named.len() > limits::MILTERS_MAX {
            problems.error(
                table.place("milters"),
                format!("names {} milters", named.len()),
                format!("a message is shown to {} at most", limits::MILTERS_MAX),
            );
        }
    }
}
