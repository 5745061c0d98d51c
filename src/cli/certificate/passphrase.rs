//! Passphrases: from a file, from the environment, or asked for without echo; never from the
//! command line, which everybody on the machine can read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use super::place::{Refusal, read_file};

/// Asked where neither option is given.
const VARIABLE: &str = "SEALPOST_PASSPHRASE";
/// Longest passphrase typed; a terminal's line is no longer.
const PASSPHRASE_BYTES_MAX: usize = 4096;
/// Ctrl-C.
const INTERRUPT: u8 = 3;

#[derive(Debug, Args)]
pub struct PassphraseArgs {
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_env")]
    passphrase_file: Option<PathBuf>,
    /// Environment variable that holds the passphrase [default: SEALPOST_PASSPHRASE, else asked for]
    #[arg(long, value_name = "VARIABLE")]
    passphrase_env: Option<String>,
}

impl PassphraseArgs {
    /// The passphrase that was given in advance, if any.
    pub fn given(&self) -> Result<Option<Zeroizing<String>>, Refusal> {
        if let Some(path) = &self.passphrase_file {
            let text = Zeroizing::new(read_file(path)?);
            let line = text.split(|&octet| octet == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = std::str::from_utf8(line).map_err(|_| {
                Refusal::usage(format!("{}: the passphrase is not UTF-8; write it anew", path.display()))
            })?;
            return Ok(Some(Zeroizing::new(line.to_owned())));
        }
        match &self.passphrase_env {
            Some(name) => match std::env::var(name) {
                Ok(value) => Ok(Some(Zeroizing::new(value))),
                Err(_) => Err(Refusal::usage(format!(
                    "the environment has no variable {name}; set it, or give another"
                ))),
            },
            None => Ok(std::env::var(VARIABLE).ok().map(Zeroizing::new)),
        }
    }

    /// The passphrase that opens something.
    pub fn to_open(&self, what: &str) -> Result<Zeroizing<String>, Refusal> {
        match self.given()? {
            Some(passphrase) => Ok(passphrase),
            None => ask(&format!("Passphrase of {what}: ")),
        }
    }

    /// A new passphrase, asked for twice.
    pub fn to_protect(&self, what: &str) -> Result<Zeroizing<String>, Refusal> {
        let passphrase = match self.given()? {
            Some(passphrase) => passphrase,
            None => {
                let first = ask(&format!("New passphrase for {what}: "))?;
                if *ask("The same again: ")? != *first {
                    return Err(Refusal::usage("the two passphrases differ; try again"));
                }
                first
            }
        };
        if passphrase.is_empty() {
            return Err(Refusal::usage("an empty passphrase protects nothing; give another"));
        }
        Ok(passphrase)
    }
}

pub fn ask(prompt: &str) -> Result<Zeroizing<String>, Refusal> {
    let no_terminal = |_: io::Error| {
        Refusal::usage(format!(
            "a passphrase is needed and there is no terminal to ask at; give --passphrase-file or --passphrase-env, \
             or set {VARIABLE}"
        ))
    };
    // Standard input may be the file itself; but who sees no message is not there to answer.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(no_terminal(io::ErrorKind::NotFound.into()));
    }
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    // Silent before the question is put, so that nothing typed is ever shown.
    let silent = Silent::make(&terminal).map_err(|error| no_terminal(error.into()))?;
    let answer = put(&terminal, prompt);
    drop(silent);
    let line = answer.map_err(|error| {
        Refusal::usage(format!("the passphrase cannot be read ({error}); give --passphrase-file"))
    })?;
    if line.ends_with(char::from(INTERRUPT)) {
        return Err(Refusal::no("interrupted; nothing was changed"));
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn put(mut terminal: &File, prompt: &str) -> io::Result<Zeroizing<String>> {
    terminal.write_all(prompt.as_bytes())?;
    let mut line = Zeroizing::new(String::with_capacity(PASSPHRASE_BYTES_MAX));
    BufReader::new(terminal.take(PASSPHRASE_BYTES_MAX as u64)).read_line(&mut line)?;
    terminal.write_all(b"\n")?;
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn make(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        // Ctrl-C must not leave a silent terminal behind: it ends the line, and we see it.
        silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        termios::tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
