//! Dialogues: transcripts in protocol-log grammar, played against the sessions in memory. An
//! excerpt of a protocol log becomes a regression test by saving it to `tests/dialogues/`.
//!
//! `: key value` chooses settings and evidence; `<` is received, `>` must be sent (`...` stands
//! for any text); `*` must stand among the information lines, in order; `!` is an event that is
//! no line (`! timeout`, `! closed`, `! shutdown`, `! deliver ...`); `=` is an action that is no
//! line; `|` is a line of the stored message; `-` is the end of the connection; `#` a comment.
//! Lines received in a row arrive in one piece.

#[path = "dialogues/milter.rs"]
mod milter;
#[path = "dialogues/pki.rs"]
mod pki;
#[path = "dialogues/play_receive.rs"]
mod play_receive;
#[path = "dialogues/play_send.rs"]
mod play_send;
#[path = "dialogues/script.rs"]
mod script;
#[path = "dialogues/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealpost::trust::Fault;

use pki::Pki;
use script::Script;

fn dialogues(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues").join(kind);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no dialogues in {kind}");
    files
}

fn play_all(kind: &str, play: impl Fn(&Script, &mut Pki) -> Result<(), String>) {
    let mut pki = Pki::new();
    let mut failures = Vec::new();
    for file in dialogues(kind) {
        let script = Script::parse(&std::fs::read_to_string(&file).unwrap());
        if let Err(error) = play(&script, &mut pki) {
            failures.push(format!("{}: {error}", file.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn receive_dialogues() {
    play_all("receive", play_receive::play);
}

#[test]
fn send_dialogues() {
    play_all("send", play_send::play);
}

/// Every row of the fault table and every command has its dialogue.
#[test]
fn nothing_is_left_out() {
    let mut text = String::new();
    for file in dialogues("receive").iter().chain(&dialogues("send")) {
        text.push_str(&std::fs::read_to_string(file).unwrap());
    }
    let judged: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| {
            ["= judged ", "= handshake failed ", "= failed "]
                .iter()
                .find_map(|start| line.strip_prefix(start))
        })
        .filter_map(|rest| rest.split([' ', ':']).next())
        .collect();
    for fault in Fault::all() {
        assert!(judged.contains(fault.name()), "no dialogue ends in {}", fault.name());
    }
    for verb in [
        "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "HELP", "STARTTLS",
        "AUTH",
    ] {
        assert!(text.lines().any(|line| line.starts_with(&format!("< {verb}"))), "{verb} is never said");
    }
}

/// The player itself must notice a wrong answer, an answer too many and one that is missing.
#[test]
fn a_wrong_dialogue_fails() {
    let mut pki = Pki::new();
    for wrong in [
        "+\n> 221 ...\n",
        "+\n> 220 ...\n< NOOP\n",
        "+\n> 220 ...\n> 250 ...\n",
        "+\n> 220 ...\n* no such line\n",
        "+\n> 220 ...\n-\n",
    ] {
        assert!(play_receive::play(&Script::parse(wrong), &mut pki).is_err(), "{wrong}");
    }
}
