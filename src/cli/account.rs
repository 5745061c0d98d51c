//! `sealpost user`: who may log in at receive connectors. Works on the users file; a running server
//! takes what changes within seconds.

mod file;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::certificate::passphrase;
use crate::cli::certificate::place::Refusal;
use crate::cli::page::Page;
use crate::cli::print::{print_json, print_out};
use crate::config::format::{self, Wrong};
use crate::config::users_file::{self, Entry};
use crate::smtp::sasl::{ITERATIONS, SALT_BYTES, Verifier};

use file::UsersFile;

/// Octets of a password; shorter ones are guessed.
const PASSWORD_BYTES_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 256;

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add a user; the password is asked for, or read from standard input
    Add(AddArgs),
    /// Remove a user; a session in which he is logged in ends with its next message
    Remove(RemoveArgs),
    /// List the users: how they log in, and as whom they may send
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// Letters, digits and . _ @ + -; the same in upper and lower case
    name: String,
    /// As whom the user may send: an address, or @DOMAIN [default: anyone]
    #[arg(long = "from", value_name = "SENDER")]
    from: Vec<String>,
    /// A name in the certificate that may log in as this user (EXTERNAL)
    #[arg(long = "certificate", value_name = "HOST")]
    certificate: Vec<String>,
    /// No password: the certificate is the only way
    #[arg(long, requires = "certificate")]
    no_password: bool,
    /// Put this in the place of a user who is there
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    name: String,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long)]
    json: bool,
}

pub fn run(command: &AccountCommand, config: &Path) -> ExitCode {
    let done = match command {
        AccountCommand::Add(args) => add(args, config),
        AccountCommand::Remove(args) => remove(args, config),
        AccountCommand::List(args) => list(args, config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("sealpost user: {}", refusal.sentence);
            ExitCode::from(refusal.status)
        }
    }
}

fn add(args: &AddArgs, config: &Path) -> Result<(), Refusal> {
    let name = users_file::name(&args.name).map_err(|wrong| usage(&wrong))?;
    let certificate = args.certificate.iter().map(|name| format::domain(name)).collect::<Result<_, _>>();
    let from = args.from.iter().map(|sender| users_file::sender(sender)).collect::<Result<_, _>>();
    let (certificate, from) =
        (certificate.map_err(|wrong| usage(&wrong))?, from.map_err(|wrong| usage(&wrong))?);
    let mut file = UsersFile::open(config)?;
    if file.find(&name).is_some() && !args.replace {
        let sentence = format!("{name} is there already; give --replace to set password and rights anew");
        return Err(Refusal::no(sentence));
    }
    let verifier = match args.no_password {
        true => None,
        false => Some(verifier_of(&password(&name)?)),
    };
    let entry = Entry { name, verifier, certificate, from };
    let before = file.put(&entry)?;
    let what = if before.is_some() { "user replace" } else { "user add" };
    file.audit(what, &before.as_ref().map(told).unwrap_or_default(), &told(&entry));
    let done = if before.is_some() { "replaced" } else { "added" };
    print_out(format!("{} {done}\n", entry.name).as_bytes());
    Ok(())
}

fn remove(args: &RemoveArgs, config: &Path) -> Result<(), Refusal> {
    let name = users_file::name(&args.name).map_err(|wrong| usage(&wrong))?;
    let mut file = UsersFile::open(config)?;
    let Some(before) = file.remove(&name)? else {
        return Err(Refusal::no(format!("there is no user {name}; `sealpost user list` shows who there is")));
    };
    file.audit("user remove", &told(&before), "");
    print_out(format!("{name} removed\n").as_bytes());
    Ok(())
}

fn list(args: &ListArgs, config: &Path) -> Result<(), Refusal> {
    let entries = UsersFile::open(config)?.entries();
    if args.json {
        let users: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "password": entry.verifier.is_some(),
                    "certificate": words(&entry.certificate),
                    "from": words(&entry.from),
                })
            })
            .collect();
        print_json(&json!(users));
        return Ok(());
    }
    let mut page = Page::default();
    for entry in &entries {
        page.heading(&entry.name);
        page.row("  ", "logs in", &ways(entry));
        let from = if entry.from.is_empty() { "anyone".to_owned() } else { words(&entry.from).join(", ") };
        page.row("  ", "sends as", &from);
    }
    page.heading(&format!("{} user{}", entries.len(), if entries.len() == 1 { "" } else { "s" }));
    print_out(page.into_text().as_bytes());
    Ok(())
}

fn words(members: &[impl ToString]) -> Vec<String> {
    members.iter().map(ToString::to_string).collect()
}

fn ways(entry: &Entry) -> String {
    let password = entry.verifier.as_ref().map(|_| "by password".to_owned());
    let names = words(&entry.certificate).join(" or ");
    let certificate = (!names.is_empty()).then(|| format!("with the certificate of {names}"));
    password.into_iter().chain(certificate).collect::<Vec<_>>().join(", ")
}

/// For the audit log, without what is kept of the password.
fn told(entry: &Entry) -> String {
    let from = words(&entry.from).join(",");
    format!(
        "{} logs in {}{}{from}",
        entry.name,
        ways(entry),
        if from.is_empty() { "" } else { ", sends as " }
    )
}

fn usage(wrong: &Wrong) -> Refusal {
    Refusal::usage(format!("{}; {}", wrong.what, wrong.remedy))
}

fn verifier_of(password: &str) -> Verifier {
    Verifier::of_password(password, &rand::random::<[u8; SALT_BYTES]>(), ITERATIONS)
}

/// Asked for twice at a terminal, else the first line of standard input; never of the command line.
fn password(name: &str) -> Result<Zeroizing<String>, Refusal> {
    let password = if io::stdin().is_terminal() {
        let first = passphrase::ask(&format!("Password of {name}: "))?;
        if *passphrase::ask("The same again: ")? != *first {
            return Err(Refusal::usage("the two passwords differ; try again"));
        }
        first
    } else {
        let mut line = Zeroizing::new(String::with_capacity(PASSWORD_BYTES_MAX * 2));
        io::stdin().lock().read_line(&mut line).map_err(|error| {
            Refusal::usage(format!("the password cannot be read ({error}); give it on standard input"))
        })?;
        Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    // Letters that have several forms would need preparing (RFC 4013), and few clients do.
    let is_plain = password.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
    if !is_plain || !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(Refusal::usage(format!(
            "a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} printable ASCII characters; give another"
        )));
    }
    Ok(password)
}
