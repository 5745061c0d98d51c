//! `sealpost queue export`: one message to standard output, or many into a directory as `.eml` files,
//! each with its envelope beside it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::relay::control::{Request, plural, text_to_octets};

use super::list::Walk;
use super::progress::Progress;
use super::which::{Which, queue_id};
use super::{Failure, Server, text};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// Every message in the queue
    #[arg(long, requires = "to")]
    all: bool,
    /// Directory for ID.eml (the content, octet by octet) and ID.json (the envelope)
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[arg(long, requires = "to")]
    json: bool,
}

pub(super) fn run(args: &ExportArgs, server: Server<'_>) -> Result<ExitCode, Failure> {
    let Some(directory) = &args.to else { return to_standard_output(args, server) };
    if args.which.is_empty() && !args.all {
        return Err(Failure::unnamed());
    }
    let written = to_directory(args, server, directory)?;
    if args.json {
        outln!("{}", json!({ "ok": true, "messages": written, "directory": directory }));
    } else if written > 0 {
        outln!("{} in {}", plural(written, "message"), directory.display());
    }
    if written == 0 {
        return Err(Failure::Answer("the queue holds no such message; nothing was written".to_owned()));
    }
    Ok(ExitCode::SUCCESS)
}

fn to_standard_output(args: &ExportArgs, server: Server<'_>) -> Result<ExitCode, Failure> {
    let Some(id) = &args.which.id else {
        let text = "name a queue id, or a directory with --to for many messages";
        return Err(Failure::Usage(text.to_owned()));
    };
    let id = queue_id(id)?.to_string();
    // Nothing is written before all of it came.
    let mut content = Vec::new();
    each_piece(server, &id, |piece| {
        content.extend_from_slice(piece);
        Ok(())
    })?;
    io::stdout().lock().write_all(&content)?;
    Ok(ExitCode::SUCCESS)
}

/// How many were written. A message that leaves the queue meanwhile is passed over.
fn to_directory(args: &ExportArgs, server: Server<'_>, directory: &Path) -> Result<usize, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| cannot("make", directory, &error))?;
    let mut walk = Walk::new(server, args.which.selection()?);
    let mut progress = Progress::new("exported");
    let (mut seen, mut written) = (0, 0);
    while let Some(message) = walk.next()? {
        seen += 1;
        let id = text::field(&message, "id").to_owned();
        match write_message(server, directory, &id, &message) {
            Ok(()) => written += 1,
            Err(Failure::Answer(error)) => eprintln!("sealpost queue: {id}: {error}"),
            Err(other) => return Err(other),
        }
        progress.show(seen, written);
    }
    Ok(written)
}

/// The envelope last: where it stands the content is whole.
fn write_message(server: Server<'_>, directory: &Path, id: &str, envelope: &Value) -> Result<(), Failure> {
    let path = directory.join(format!("{id}.eml"));
    let fresh = directory.join(format!("{id}.eml.part"));
    let result = write_content(server, id, &fresh);
    if result.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    result?;
    std::fs::rename(&fresh, &path).map_err(|error| cannot("write", &path, &error))?;
    let path = directory.join(format!("{id}.json"));
    let mut file = create(&path)?;
    writeln!(file, "{envelope:#}").map_err(|error| cannot("write", &path, &error))
}

fn write_content(server: Server<'_>, id: &str, path: &Path) -> Result<(), Failure> {
    let mut file = create(path)?;
    each_piece(server, id, |piece| file.write_all(piece).map_err(|error| cannot("write", path, &error)))
}

fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.map_err(|error| cannot("write", path, &error))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Write(io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display())))
}

/// Asks for the content piece by piece.
fn each_piece(
    server: Server<'_>,
    id: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut offset = 0;
    loop {
        let answer = server.ask(&Request::QueueExport { id: id.to_owned(), offset })?;
        let piece = answer["content"].as_str().and_then(text_to_octets).ok_or_else(Failure::other_version)?;
        if piece.is_empty() {
            return Ok(());
        }
        take(&piece)?;
        offset += piece.len() as u64;
    }
}
