//! The rules of the house as tests (docs/architecture.md): which module may use which, what stays
//! pure, and how long a file and a function may be. Test code is exempt.

#[path = "architecture/source.rs"]
mod source;

use std::path::{Path, PathBuf};

use source::{below, functions, tokens, without_tests};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Which modules of this crate a module may name. What is not listed may name nothing.
const FLOORS: &[(&str, &[&str])] = &[
    ("mail", &[]),
    ("smtp", &["mail"]),
    // What filter programs are asked and answer.
    ("milter", &["mail", "smtp"]),
    ("trust", &["mail", "smtp"]),
    ("policy", &["mail", "smtp", "milter", "trust"]),
    ("session", &["mail", "smtp", "milter", "trust", "policy"]),
    // Bounded reading, for whoever reads files.
    ("disk", &[]),
    // What a handshake found is handed to the send session in the session's own words.
    ("net", &["mail", "smtp", "milter", "trust", "policy", "session", "disk"]),
    ("certstore", &["mail", "smtp", "trust", "policy", "disk"]),
    // Checked settings hold certificates that have been read and found to fit their keys.
    ("config", &["mail", "smtp", "trust", "policy", "certstore", "disk"]),
    // The transcript's lines are what the protocol log writes.
    ("observe", &["mail", "smtp", "trust", "policy", "session", "disk"]),
    (
        "relay",
        &["mail", "smtp", "milter", "trust", "policy", "session", "net", "certstore", "config", "observe"],
    ),
    (
        "admin",
        &["mail", "smtp", "trust", "policy", "session", "net", "certstore", "config", "observe", "relay"],
    ),
    (
        "cli",
        &[
            "mail",
            "smtp",
            "trust",
            "policy",
            "session",
            "disk",
            "net",
            "certstore",
            "config",
            "observe",
            "relay",
            "admin",
        ],
    ),
];

/// Floors 1 to 3: no socket, file, clock, runtime, random source or logger.
const PURE: &[&str] = &["mail", "smtp", "milter", "trust", "policy", "session"];
const IMPURE_CRATES: &[&str] =
    &["tokio", "tokio_rustls", "tokio_util", "rand", "tracing", "socket2", "rustix"];
const IMPURE_STD: &[&str] = &["fs", "env", "process", "thread", "os"];
const IMPURE_NAMES: &[&str] =
    &["TcpStream", "TcpListener", "UdpSocket", "SystemTime", "println", "eprintln", "print", "eprint", "dbg"];
const CLOCKS: &[&str] = &["Instant", "Timestamp", "Zoned", "OffsetDateTime"];

/// Who may speak to the queue crate: the relay, and the command that shows what it answers.
const QUEUE_USERS: &[&str] = &["relay", "cli"];

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Functions that may be longer, as `file: function`, with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

#[test]
fn arrows_only_point_down() {
    let mut broken = Vec::new();
    for file in sources("src") {
        let Some(module) = module_of(&file.path) else { continue };
        let allowed = FLOORS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
        let tokens = tokens(&file.text);
        for used in below(&tokens, "crate") {
            if used.text != module && !allowed.contains(&used.text.as_str()) {
                broken
                    .push(format!("{}:{}: {module} may not use crate::{}", file.path, used.line, used.text));
            }
        }
        for line in supers_to_the_root(&file.path, &tokens) {
            broken.push(format!("{}:{line}: say crate:: instead of climbing out of the module", file.path));
        }
        let queue = tokens.iter().find(|token| token.text == "sealpost_queue");
        if let Some(token) = queue.filter(|_| !QUEUE_USERS.contains(&module.as_str())) {
            broken.push(format!(
                "{}:{}: only the relay and its commands know the queue",
                file.path, token.line
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let mut modules: Vec<String> = sources("src").iter().filter_map(|file| module_of(&file.path)).collect();
    modules.sort();
    modules.dedup();
    for module in modules {
        assert!(FLOORS.iter().any(|(name, _)| *name == module), "src/{module} stands on no floor");
    }
}

#[test]
fn words_judgement_and_conversation_are_pure() {
    let mut broken = Vec::new();
    for file in sources("src") {
        if module_of(&file.path).is_some_and(|module| PURE.contains(&module.as_str())) {
            broken.extend(impurities(&file.text).iter().map(|what| format!("{}:{what}", file.path)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_and_functions_stay_short() {
    let mut broken = Vec::new();
    let mut used = Vec::new();
    for file in sources("src").into_iter().chain(sources("queue/src")) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX && !excepted(LONG_FILES, &file.path, &mut used) {
            broken.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path));
        }
        for function in functions(&tokens(&file.text)) {
            let key = format!("{}: {}", file.path, function.name);
            if function.lines > FUNCTION_LINES_MAX && !excepted(LONG_FUNCTIONS, &key, &mut used) {
                let (line, lines) = (function.line, function.lines);
                broken.push(format!("{key} (line {line}): {lines} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    for (what, _) in LONG_FILES.iter().chain(LONG_FUNCTIONS) {
        if !used.iter().any(|seen| seen == what) {
            broken.push(format!("{what}: no longer too long, drop its exception"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("queue/src"))
        .filter(|file| !file.path.ends_with("main.rs") && !file.text.trim_start().starts_with("//!"))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no //! at the top of:\n{}", silent.join("\n"));
}

#[test]
fn the_reader_finds_what_it_should() {
    let code = r##"
        use crate::{mail::Domain, policy::{self, limits}, trust};
        // crate::comment
        fn short<'a>(x: [u8; 2]) -> &'a str { "crate::string \" }" }
        fn declared(&self);
        fn long() {
            let c = '"'; let r = r#"crate::raw " "#; /* crate::block /* nested */ } */
            std::fs::read("x"); Instant::now(); tokio::spawn(x);
        }
        #[cfg(test)]
        mod tests {
            use crate::relay;
        }
    "##;
    let tokens_found = tokens(without_tests(code));
    let used: Vec<&str> = below(&tokens_found, "crate").iter().map(|token| token.text.as_str()).collect();
    assert_eq!(used, ["mail", "policy", "trust"]);
    let lengths: Vec<(String, usize)> =
        functions(&tokens_found).into_iter().map(|function| (function.name, function.lines)).collect();
    assert_eq!(lengths, [("short".to_owned(), 1), ("long".to_owned(), 4)]);
    assert_eq!(supers_to_the_root("src/mail/mod.rs", &tokens("use super::Domain;")), [1]);
    assert!(supers_to_the_root("src/mail/domain.rs", &tokens("use super::Address;")).is_empty());
    let impure = impurities(without_tests(code)).join("\n");
    for what in ["std::fs", "Instant::now", "tokio"] {
        assert!(impure.contains(what), "{what} was overlooked in {impure}");
    }
    assert!(impurities("fn now(at: Timestamp) { at.as_second(); brand::x() }").is_empty());
}

struct File {
    /// Relative to the package, with `/`.
    path: String,
    /// Without the inline test module.
    text: String,
}

/// All sources below `directory` but those that hold only tests.
fn sources(directory: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join(directory), &mut found);
    assert!(!found.is_empty(), "no source below {directory}");
    let mut files: Vec<File> = found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            File { path, text: without_tests(&text).to_owned() }
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let only_tests = matches!(name.as_str(), "tests" | "tests.rs") || name.ends_with("_tests.rs");
        if path.is_dir() && !only_tests {
            collect(&path, found);
        } else if name.ends_with(".rs") && !only_tests {
            found.push(path);
        }
    }
}

/// `src/trust/chain.rs` → `trust`; nothing for `src/lib.rs` and `src/main.rs`.
fn module_of(path: &str) -> Option<String> {
    let (module, _) = path.strip_prefix("src/")?.split_once('/')?;
    Some(module.to_owned())
}

/// Lines on which a chain of `super::` leaves the top module, past the eye of the rule above.
fn supers_to_the_root(path: &str, tokens: &[source::Token]) -> Vec<usize> {
    let depth = path.trim_end_matches("/mod.rs").split('/').count() - 1;
    let supers = |at: usize| tokens[at..].iter().step_by(3).take_while(|token| token.text == "super").count();
    (0..tokens.len()).filter(|&at| supers(at) >= depth).map(|at| tokens[at].line).collect()
}

/// What a pure module may not name, as `LINE: NAME`.
fn impurities(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for used in below(&tokens, "std").into_iter().filter(|used| IMPURE_STD.contains(&used.text.as_str())) {
        found.push(format!("{}: std::{}", used.line, used.text));
    }
    for (at, token) in tokens.iter().enumerate() {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        let path = text(1) == ":" && text(2) == ":";
        let impure_crate = IMPURE_CRATES.contains(&text(0)) && path;
        if impure_crate || IMPURE_NAMES.contains(&text(0)) {
            found.push(format!("{}: {}", token.line, token.text));
        }
        if CLOCKS.contains(&text(0)) && path && text(3).starts_with("now") {
            found.push(format!("{}: {}::{}", token.line, token.text, text(3)));
        }
    }
    found
}

fn excepted(exceptions: &[(&'static str, &'static str)], what: &str, used: &mut Vec<&'static str>) -> bool {
    let found = exceptions.iter().find(|(name, _)| *name == what);
    used.extend(found.map(|(name, _)| *name));
    found.is_some()
}
