//! `sealpost man`: the manual pages, made from the definitions of the commands and from the options
//! table: sealpost(8), one page a command, and sealpost.toml(5).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::config::options::{self, SECTIONS};
use crate::config::reference::{self, Described};

use super::VERSION;
use crate::cli::print::print_out;

/// Commands of administrators.
const COMMANDS: &str = "8";
const FILES: &str = "5";
const MANUAL: &str = "Sealpost";
const CONFIGURATION: &str = "sealpost.toml";

#[derive(Debug, Args)]
pub struct ManArgs {
    /// A page to print, such as `sealpost-queue-list` or `sealpost.toml`; or a directory, which must exist, to write
    /// every page into [default: print `sealpost`]
    #[arg(value_name = "PAGE|DIRECTORY")]
    what: Option<PathBuf>,
    /// Print this page
    #[arg(long, value_name = "NAME", conflicts_with = "what")]
    page: Option<String>,
}

struct Page {
    name: String,
    section: &'static str,
    roff: Vec<u8>,
}

impl Page {
    /// `sealpost-queue-list`, as a file `sealpost-queue-list.8`, or the command alone, `queue-list`.
    fn is_called(&self, name: &str) -> bool {
        let name = name.strip_suffix(&format!(".{}", self.section)).unwrap_or(name);
        self.name == name || self.name.strip_prefix("sealpost-") == Some(name)
    }
}

/// Exit status 0, 1 (a page could not be written) or 2 (there is no such page).
pub fn run(args: &ManArgs) -> ExitCode {
    let done = match (&args.what, &args.page) {
        (Some(directory), _) if directory.is_dir() => write_all(directory),
        (Some(page), _) => print_one(&page.to_string_lossy()),
        (None, page) => print_one(page.as_deref().unwrap_or("sealpost")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, sentence)) => {
            eprintln!("sealpost man: {sentence}");
            ExitCode::from(status)
        }
    }
}

fn write_all(directory: &Path) -> Result<(), (u8, String)> {
    let pages = pages();
    for page in &pages {
        let file = directory.join(format!("{}.{}", page.name, page.section));
        std::fs::write(&file, &page.roff).map_err(|error| {
            (1, format!("cannot write {}: {error}; name a directory that can be written", file.display()))
        })?;
    }
    print_out(format!("{} pages in {}\n", pages.len(), directory.display()).as_bytes());
    Ok(())
}

fn print_one(name: &str) -> Result<(), (u8, String)> {
    let all = pages();
    let Some(page) = all.iter().find(|page| page.is_called(name)) else {
        let names: Vec<&str> = all.iter().map(|page| page.name.as_str()).collect();
        return Err((
            2,
            format!("there is no page and no directory {name:?}; pages are {}", names.join(", ")),
        ));
    };
    print_out(&page.roff);
    Ok(())
}

fn pages() -> Vec<Page> {
    let mut root = super::Cli::command();
    root.build();
    let mut pages = vec![configuration()];
    collect(&root, "sealpost", &mut pages);
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

/// The page of a command and those below it; `help` says the same in another way.
fn collect(command: &Command, name: &str, pages: &mut Vec<Page>) {
    let mut roff = Vec::new();
    let man = Man::new(command.clone().display_name(name.to_owned()))
        .title(name)
        .section(COMMANDS)
        .source(format!("sealpost {VERSION}"))
        .manual(MANUAL);
    if man.render(&mut roff).is_ok() {
        pages.push(Page { name: name.to_owned(), section: COMMANDS, roff });
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, &format!("{name}-{}", below.get_name()), pages);
    }
}

/// sealpost.toml(5), from the options table.
fn configuration() -> Page {
    let mut roff = Roff::new();
    let source = format!("sealpost {VERSION}");
    roff.control("TH", [CONFIGURATION, FILES, "", &source, MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("sealpost.toml - configuration of the Sealpost edge mail transport agent")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut roff,
        "One TOML file, read by every command: the one given with `-c`, else `$SEALPOST_CONFIG`, else \
         `/etc/sealpost/sealpost.toml`. Relative paths are relative to the file. `sealpost config check` tells \
         every error and warning at once, `sealpost config show` what is in force, `sealpost config set` changes \
         one key and keeps the comments. A reload takes up every change but those of keys marked *restart*.",
    );
    paragraph(
        &mut roff,
        "Durations are strings with units `ms`, `s`, `min`, `hours`, `days`, `weeks` (`\"1 h 30 min\"`); sizes \
         with `B`, `KiB`, `MiB`, `GiB`, `TiB` or the decimal `kB`, `MB`, `GB`, `TB`.",
    );
    for section in SECTIONS {
        let heading = reference::heading(section).replace('`', "");
        let heading = if heading.starts_with('[') { heading } else { heading.to_uppercase() };
        roff.control("SH", [heading.as_str()]);
        paragraph(&mut roff, section.doc);
        for key in options::of(section.name) {
            let Described { kind, default, meaning } = reference::describe(key);
            roff.control("TP", []);
            roff.text([bold(key.name)]);
            let restart = if key.restart { " A change needs a *restart*." } else { "" };
            roff.text(inline(&format!("{meaning}{restart}")));
            roff.control("br", []);
            roff.text(inline(&format!("Type: {kind}. Default: {default}.")));
        }
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []);
    roff.text([italic("/etc/sealpost/sealpost.toml")]);
    roff.text([roman("the configuration of the service")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sealpost"), roman("(8), "), bold("sealpost-config"), roman("(8)")]);
    Page { name: CONFIGURATION.to_owned(), section: FILES, roff: roff.to_roff().into_bytes() }
}

fn paragraph(roff: &mut Roff, markdown: &str) {
    roff.control("PP", []);
    roff.text(inline(markdown));
}

/// Markdown of one paragraph: what stands between backticks is bold, between asterisks italic.
fn inline(markdown: &str) -> Vec<Inline> {
    let mut pieces = Vec::new();
    for (index, piece) in markdown.split('`').enumerate() {
        if index % 2 == 1 {
            pieces.push(bold(piece));
            continue;
        }
        let words = piece.split('*').enumerate();
        pieces.extend(words.map(|(index, word)| if index % 2 == 1 { italic(word) } else { roman(word) }));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command_and_every_key() {
        let pages = pages();
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(page.roff.clone()).unwrap()
        };
        for name in ["sealpost", "sealpost-serve", "sealpost-queue-list", "sealpost-partner-probe"] {
            let page = text(name);
            assert!(page.contains(&format!(".TH {name} 8")), "{page}");
            assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{page}");
        }
        let configuration = text("sealpost.toml");
        for key in options::all() {
            assert!(configuration.contains(&key.name.replace('-', "\\-")), "{} is missing", key.name);
        }
        assert!(!pages.iter().any(|page| page.name.contains("help")));
        assert!(!pages.iter().any(|page| String::from_utf8_lossy(&page.roff).contains("\\\\[")));
        for name in ["sealpost-queue-list", "sealpost-queue-list.8", "queue-list"] {
            assert_eq!(pages.iter().filter(|page| page.is_called(name)).count(), 1, "{name}");
        }
    }

    #[test]
    fn what_roff_would_take_for_a_request_is_escaped() {
        let mut roff = Roff::new();
        roff.text(inline(".so /etc/passwd with `\\fB` and *this*"));
        let text = roff.to_roff();
        assert!(text.contains("\\&.so /etc/passwd"), "{text}");
        assert!(text.contains("\\fB\\\\fB\\fR") && text.contains("\\fIthis\\fR"), "{text}");
    }
}
