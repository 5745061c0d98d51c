//! What is wrong with a configuration file, in sentences that name file, line, key and remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// The lines of a bundle's settings are counted from here, so that one number says which of the two
/// texts a place is in; a configuration has at most some million lines.
pub const SHARED_FROM: usize = 1 << 30;

/// Errors keep the settings from taking effect; warnings do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One thing wrong, or doubtful, in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    pub severity: Severity,
    /// The configuration file, or a file that it names (a list of recipients).
    pub file: PathBuf,
    /// From 1; `None` when the problem is that something is not there.
    pub line: Option<usize>,
    /// Such as `receive_connector.Internet.bindings`; empty for the file as a whole.
    pub key: String,
    pub what: String,
    pub remedy: String,
}

/// Where in a file a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: Option<usize>,
    pub key: String,
}

/// The problems found so far, so that all of them are told at once.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    /// What lines from `SHARED_FROM` on are reported under.
    shared: Option<PathBuf>,
    found: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}; {}", self.what, self.remedy)
    }
}

impl Place {
    /// The file as a whole.
    pub fn whole_file() -> Self {
        Self { line: None, key: String::new() }
    }
}

impl Problems {
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_path_buf(), shared: None, found: Vec::new() }
    }

    /// The lines of a bundle's settings are reported under this name.
    pub fn call_shared(&mut self, name: &str) {
        self.shared = Some(name.into());
    }

    pub fn error(&mut self, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, None, place, what.into(), remedy.into());
    }

    pub fn warning(&mut self, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, None, place, what.into(), remedy.into());
    }

    /// An error in a file that the configuration names.
    pub fn error_in(
        &mut self,
        file: &Path,
        place: Place,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, Some(file), place, what.into(), remedy.into());
    }

    /// A sentence of the house, which says what to do behind the last `; `.
    pub fn error_sentence(&mut self, place: Place, sentence: &str) {
        let (what, remedy) = halves(sentence);
        self.error(place, what, remedy);
    }

    pub fn warning_sentence(&mut self, place: Place, sentence: &str) {
        let (what, remedy) = halves(sentence);
        self.warning(place, what, remedy);
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All of them, in the order of the file; errors before warnings of the same line.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        let main = self.file;
        self.found.sort_by(|a, b| {
            let rank = |p: &Problem| (p.file != main, p.file.clone(), p.line, p.severity);
            rank(a).cmp(&rank(b))
        });
        self.found
    }

    fn add(&mut self, severity: Severity, file: Option<&Path>, place: Place, what: String, remedy: String) {
        let (own, line) = match (place.line, &self.shared) {
            (Some(line), Some(shared)) if line > SHARED_FROM => (shared, Some(line - SHARED_FROM)),
            (line, _) => (&self.file, line),
        };
        let file = file.unwrap_or(own).to_path_buf();
        let problem = Problem { severity, file, line, key: place.key, what, remedy };
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }
}

fn halves(sentence: &str) -> (&str, &str) {
    sentence.rsplit_once("; ").unwrap_or((sentence, "check the file"))
}
