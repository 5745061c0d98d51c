//! The documents are true: generated pages equal their tables, links lead somewhere, and every
//! command that a page shows exists with its options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// What makes a page.
type Generator = fn() -> String;

/// Each page with what makes it.
const GENERATED: &[(&str, Generator)] = &[
    ("docs/configuration.md", sealpost::config::reference::markdown),
    ("docs/faults.md", sealpost::trust::fault::reference),
    ("docs/counters.md", sealpost::observe::counters::reference),
    ("docs/events.md", sealpost::observe::events::reference),
];

/// With `SEALPOST_WRITE_DOCS=1` the pages are written instead of compared.
#[test]
fn generated_pages_are_current() {
    let write = std::env::var("SEALPOST_WRITE_DOCS").is_ok_and(|value| value == "1");
    for (page, make) in GENERATED {
        let file = root().join(page);
        if write {
            std::fs::write(&file, make()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == make(),
            "{page} is not what its table says: SEALPOST_WRITE_DOCS=1 cargo test --test docs"
        );
    }
}

#[test]
fn the_reference_command_prints_the_page() {
    let output = sealpost(&["config", "reference"]);
    assert!(output.status.success());
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.trim_end() == page.trim_end(), "config reference prints another page");
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = if target.is_empty() { page.clone() } else { resolve(&page, target) };
            if !file.exists() {
                broken.push(format!("{}: {link}", shown(&page)));
            } else if !anchor.is_empty() && !headings(&file).contains(anchor) {
                broken.push(format!("{}: {link}: no such heading", shown(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "links to nowhere:\n{}", broken.join("\n"));
}

#[test]
fn commands_in_documents_exist() {
    let mut help = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let mut found = 0;
    for page in pages() {
        for command in commands(&std::fs::read_to_string(&page).unwrap()) {
            found += 1;
            let words = words(&command);
            let options = words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len());
            let path: Vec<String> =
                words[..options].iter().take_while(|word| is_subcommand(word)).cloned().collect();
            let text = help.entry(path.clone()).or_insert_with(|| help_of(&path));
            let Some(text) = text else {
                broken.insert(format!("{}: sealpost {command}: no such command", shown(&page)));
                continue;
            };
            for option in words.iter().filter(|word| word.starts_with('-')) {
                let option = option.split('=').next().unwrap_or(option);
                if !text.split([' ', ',', '\n', '=', '[']).any(|word| word == option) {
                    broken.insert(format!("{}: sealpost {command}: no {option}", shown(&page)));
                }
            }
        }
    }
    assert!(found > 20, "only {found} commands found in the documents: the search is broken");
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_search_finds_links_and_commands() {
    let text = "See [a](docs/a.md#top), [web](https://x.example) and `sealpost queue list --json`.\n\
        ```\n[not](a-link.md)\n```\n    cargo run --release -- demo --once  # note\n    sealpost log show \"a b\"\n";
    assert_eq!(links(text), ["docs/a.md#top"]);
    assert_eq!(commands(text), ["queue list --json", "demo --once", "log show \"a b\""]);
    assert_eq!(words("log show \"a b\" c"), ["log", "show", "a b", "c"]);
    assert!(help_of(&["queue".into(), "lst".into()]).is_none());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "where are the documents?");
    found
}

fn shown(page: &Path) -> String {
    page.strip_prefix(root()).unwrap_or(page).display().to_string()
}

/// Lines outside of fenced blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line);
        }
    }
    lines
}

/// Targets of links within the repository.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut file = page.parent().unwrap_or(root()).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(file.pop()),
            Component::CurDir => {}
            other => file.push(other),
        }
    }
    file
}

/// Anchors as the usual renderers make them of headings.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(page).unwrap_or_default();
    let headings = prose(&text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// What follows `sealpost ` in code, indented or between backticks, and `cargo run … -- `.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.split('`').skip(1).step_by(2);
        let block = line.strip_prefix("    ").into_iter();
        for part in code.chain(block) {
            let part = part.split("  #").next().unwrap_or(part).trim();
            let command =
                part.strip_prefix("sealpost ").or_else(|| part.strip_prefix("cargo run --release -- "));
            found.extend(command.map(|command| command.trim().to_owned()));
        }
    }
    found
}

/// Split at blanks, quotes respected.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("never empty").push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_subcommand(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// The help of a subcommand, nothing if there is none.
fn help_of(path: &[String]) -> Option<String> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let output = sealpost(&arguments);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sealpost(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_sealpost")).args(arguments).output().unwrap()
}
