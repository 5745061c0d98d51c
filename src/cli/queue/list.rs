//! `sealpost queue list`: a queue of any size, page by page as the server gives them.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use sealpost_queue::MessageId;
use serde_json::Value;

use crate::mail::text::escape;
use crate::relay::control::{Request, Selection, plural};

use super::which::{Which, queue_id};
use super::{Failure, Server, text};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// At most this many, oldest first [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Begin behind this message
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[arg(long)]
    json: bool,
}

/// Walks through what is meant. The server is asked for a page at a time, so that neither side
/// holds the whole queue and mail goes on between two pages.
pub(super) struct Walk<'a> {
    server: Server<'a>,
    selection: Selection,
    page: std::vec::IntoIter<Value>,
    finished: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(server: Server<'a>, selection: Selection) -> Self {
        Self { server, selection, page: Vec::new().into_iter(), finished: false }
    }

    /// The next message, as `--json` shows it.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            if let Some(message) = self.page.next() {
                return Ok(Some(message));
            }
            if self.finished {
                return Ok(None);
            }
            let mut answer = self.server.ask(&Request::QueueList { filter: self.selection.clone() })?;
            let next: Option<MessageId> = serde_json::from_value(answer["next"].take()).unwrap_or(None);
            self.finished = next.is_none();
            self.selection.queue.after = next;
            let Value::Array(messages) = answer["messages"].take() else {
                return Err(Failure::other_version());
            };
            self.page = messages.into_iter();
        }
    }
}

pub(super) fn run(args: &ListArgs, server: Server<'_>) -> Result<ExitCode, Failure> {
    let mut selection = args.which.selection()?;
    selection.queue.after = args.after.as_deref().map(queue_id).transpose()?;
    let mut walk = Walk::new(server, selection);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match print(args, &mut walk, &mut out) {
        // Whoever reads has seen enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => result.map(|()| ExitCode::SUCCESS),
    }
}

fn print(args: &ListArgs, walk: &mut Walk<'_>, out: &mut impl Write) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut count = 0;
    let mut last = String::new();
    while count < limit
        && let Some(message) = walk.next()?
    {
        if args.json {
            write!(out, "{}{message:#}", if count == 0 { "[\n" } else { ",\n" })?;
        } else {
            // Addresses and replies are a stranger's words.
            for line in text::listed(&message).lines() {
                writeln!(out, "{}", escape(line))?;
            }
        }
        text::field(&message, "id").clone_into(&mut last);
        count += 1;
    }
    match (args.json, count) {
        (true, 0) => writeln!(out, "[]")?,
        (true, _) => writeln!(out, "\n]")?,
        (false, 0) => writeln!(out, "the queue holds no such message")?,
        (false, _) => writeln!(out, "{}", plural(usize::try_from(count).unwrap_or(usize::MAX), "message"))?,
    }
    out.flush()?;
    if count == limit && walk.next()?.is_some() {
        eprintln!("sealpost queue: there are more than {limit}; `--after {last}` goes on, or say no --limit");
    }
    Ok(())
}
