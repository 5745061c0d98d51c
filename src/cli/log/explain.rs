//! `sealpost log explain`: sessions as a story, with the line that decided and who must act.

use std::io::{self, Write};

use crate::cli::page::Page;
use crate::observe::log_reader::Session;
use crate::observe::log_reader::explain::{Explanation, explain};

/// Prints one explanation after the other, as text or as one JSON array.
#[derive(Debug)]
pub(super) struct Explanations {
    json: bool,
    pub(super) count: usize,
}

impl Explanations {
    pub(super) fn new(json: bool) -> Self {
        Self { json, count: 0 }
    }

    pub(super) fn session(&mut self, session: &Session, out: &mut impl Write) -> io::Result<()> {
        let explanation = explain(session);
        let first = self.count == 0;
        self.count += 1;
        if self.json {
            let opening = if first { "[" } else { ",\n" };
            return write!(out, "{opening}{}", serde_json::to_string(&explanation)?);
        }
        if !first {
            writeln!(out)?;
        }
        out.write_all(page(&explanation).as_bytes())
    }

    pub(super) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        match (self.json, self.count) {
            (true, 0) => writeln!(out, "[]"),
            (true, _) => writeln!(out, "]"),
            (false, _) => Ok(()),
        }
    }
}

fn page(explanation: &Explanation) -> String {
    let mut page = Page::default();
    page.heading(&format!("Session {}", explanation.session));
    for sentence in &explanation.story {
        page.item("  ", sentence);
    }
    match &explanation.deciding {
        None => page.row("  ", "decided by", "nothing: all went well"),
        Some(deciding) => {
            page.row("  ", "decided by", &format!("line {}: {}", deciding.sequence, deciding.line));
            page.row("  ", "fault", deciding.fault.unwrap_or("none of docs/faults.md"));
            page.row("  ", "meaning", &deciding.meaning);
            page.row("  ", "what to do", &deciding.remedy);
            page.row("  ", "who acts", &deciding.who);
        }
    }
    page.into_text()
}
