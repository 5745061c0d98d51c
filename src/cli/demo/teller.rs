//! Prints the story: at most 80 columns, colour only on a terminal that wants it.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use crate::cli::page::wrap;
use crate::session::transcript::Line;

/// Writes to standard output. A reader who has gone away (a closed pipe) stops nothing.
pub struct Teller {
    colour: bool,
    acts: Cell<usize>,
}

/// What a line is, and so how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Heading,
    Plain,
    Quote,
    Good,
    Bad,
}

impl Teller {
    /// `NO_COLOR` in the environment is respected.
    pub fn new() -> Self {
        Self {
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            acts: Cell::new(0),
        }
    }

    /// Begins the next act.
    pub fn act(&self, title: &str) {
        self.acts.set(self.acts.get() + 1);
        self.say(Tone::Plain, "", "");
        self.say(Tone::Heading, "", &format!("{}. {title}", self.acts.get()));
    }

    pub fn heading(&self, text: &str) {
        self.say(Tone::Plain, "", "");
        self.say(Tone::Heading, "", text);
    }

    pub fn words(&self, text: &str) {
        self.say(Tone::Plain, "  ", text);
    }

    /// A line of a log, a header or a command's answer.
    pub fn quote(&self, text: &str) {
        self.say(Tone::Quote, "    ", text);
    }

    pub fn log_line(&self, line: &Line) {
        let mut text = format!("{} {}", line.kind.as_char(), line.data);
        if !line.context.is_empty() {
            text.push_str(&format!(" [{}]", line.context));
        }
        self.quote(&text);
    }

    pub fn good(&self, text: &str) {
        self.say(Tone::Good, "  ", &format!("ok: {text}"));
    }

    pub fn bad(&self, text: &str) {
        self.say(Tone::Bad, "  ", &format!("NOT AS TOLD: {text}"));
    }

    /// A line that must stay whole, such as a command to copy.
    pub fn verbatim(&self, text: &str) {
        self.write(&format!("    {text}\n"));
    }

    fn say(&self, tone: Tone, indent: &str, text: &str) {
        let hanging = if tone == Tone::Quote { format!("{indent}  ") } else { indent.to_owned() };
        for line in wrap(text, indent, &hanging) {
            let line = if self.colour { tone.paint(&line) } else { line };
            self.write(&format!("{line}\n"));
        }
    }

    fn write(&self, text: &str) {
        // A closed pipe is the reader's choice; the verdict is the exit status.
        let _closed = io::stdout().lock().write_all(text.as_bytes());
    }
}

impl Tone {
    fn paint(self, line: &str) -> String {
        let code = match self {
            Self::Plain => return line.to_owned(),
            Self::Heading => "1",
            Self::Quote => "36",
            Self::Good => "32",
            Self::Bad => "1;31",
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }
}
