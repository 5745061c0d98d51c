//! One edge as seen from inside: a command that leads there, such as `ssh edge1 sealpost`, to which ours is
//! added. The shell here reads it, so that quoting is the operator's.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::observe::text::escape;

/// What is kept of what an edge says, octets.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// Longest name of an edge, octets.
const NAME_BYTES_MAX: usize = 64;

/// `NAME=COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    command: String,
}

/// What came back. `status` is none when a signal ended it, or the time was over.
#[derive(Debug)]
pub struct Answer {
    pub status: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').unwrap_or(("", text));
        let (name, command) = (name.trim(), command.trim());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) || command.is_empty() {
            return Err(format!(
                "{text:?} is not NAME=COMMAND; write for instance edge1=\"ssh edge1 sealpost\""
            ));
        }
        Ok(Self { name: name.to_owned(), command: command.to_owned() })
    }
}

impl Node {
    /// Runs `COMMAND words` with `input`, for at most `time`.
    pub fn call(&self, words: &str, input: &[u8], time: Duration) -> Answer {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{} {words}", self.command)).process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match shell.spawn() {
            Ok(child) => converse(child, input, time),
            Err(error) => Answer::failed(format!("cannot run sh: {error}; is it installed?")),
        }
    }
}

impl Answer {
    fn failed(errors: String) -> Self {
        Self { status: None, out: String::new(), errors }
    }

    pub fn is_yes(&self) -> bool {
        self.status == Some(0)
    }

    /// Why it is no, in lines for a terminal.
    pub fn reason(&self) -> Vec<String> {
        let said = if self.errors.trim().is_empty() { &self.out } else { &self.errors };
        let lines: Vec<String> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| escape(line).into_owned())
            .collect();
        match (lines.is_empty(), self.status) {
            (false, _) => lines,
            (true, Some(status)) => vec![format!("it ended with status {status} and said nothing")],
            (true, None) => vec!["it was ended by a signal".to_owned()],
        }
    }
}

fn converse(mut child: Child, input: &[u8], time: Duration) -> Answer {
    let group = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel::<()>();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = ended.recv_timeout(time).is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = kill_process_group(group, Signal::KILL);
            }
            late
        });
        // Who does not read its input has said no, and its status tells.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        let errors = scope.spawn(move || text(stderr));
        let out = text(stdout);
        let errors = errors.join().unwrap_or_default();
        let status = child.wait().ok().and_then(|status| status.code());
        drop(sender);
        if watch.join().unwrap_or_default() {
            return Answer::failed(format!("no answer within {} s", time.as_secs()));
        }
        Answer { status, out, errors }
    })
}

/// The beginning is kept; the rest is read, so that nobody waits.
fn text(source: Option<impl Read>) -> String {
    let Some(mut source) = source else { return String::new() };
    let mut bytes = Vec::new();
    let _ = source.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
    let _ = std::io::copy(&mut source, &mut std::io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}
