//! `config apply`: an edge takes a bundle. Nothing that counts is changed before the whole of it has been
//! checked with this edge's own file; then one file is replaced, and the server reads its settings again.
//! When the server refuses, the bundle before comes back.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::admin::control::ControlError;
use crate::cli::config::report;
use crate::cli::reload::{AskError, Taken, ask, taken};
use crate::cli::user;
use crate::config::bundle::{BUNDLE_BYTES_MAX, Bundle, BundleError, PublicKey, Store, open};
use crate::config::{self, Document, Problem};
use crate::disk;
use crate::observe::{AuditEntry, AuditLog};
use crate::relay::control::Request;

use super::{EXIT_CONFIGURATION, EXIT_NO, fail, short};

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The bundle; `-` is standard input
    bundle: PathBuf,
    /// Only say whether it would be taken
    #[arg(long)]
    check: bool,
    /// Take an older bundle, or another one of the same serial
    #[arg(long)]
    force: bool,
}

/// Why the bundle is not in force.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("cannot read the bundle {path}: {error}; name a file, or - and hand it to standard input")]
    Read { path: String, error: std::io::Error },
    #[error("the bundle is refused: {0}")]
    Bundle(#[from] BundleError),
    #[error(
        "bundle {offered} is older than bundle {applied}, which this edge has; make a new one, or use --force to go back"
    )]
    Older { offered: u64, applied: u64 },
    #[error("this edge has another bundle {0} already; make one with a higher serial, or use --force")]
    SameSerial(u64),
    #[error("this edge's settings do not go with the bundle, and nothing was changed:")]
    Settings(Vec<Problem>),
    #[error("the server refused the settings, and the bundle before is back: {0}")]
    Refused(String),
    #[error("the bundle is in place, but the server does not answer: {0}")]
    Silent(ControlError),
}

/// What was done, in a sentence.
struct Done {
    sentence: String,
    /// What the server put in force; the edge's own file may have changed too.
    taken: Vec<Taken>,
    warnings: Vec<Problem>,
}

/// Exit status 0, 1 or 2: the settings, alone or with the bundle, hold an error.
pub fn run(args: &ApplyArgs, config: &Path) -> ExitCode {
    match apply(args, config) {
        Ok(done) => {
            report(&done.warnings);
            outln!("{}", done.sentence);
            done.taken.iter().for_each(|one| outln!("  {one}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let status = match &error {
                ApplyError::Settings(_) | ApplyError::Refused(_) => EXIT_CONFIGURATION,
                ApplyError::Read { .. }
                | ApplyError::Bundle(_)
                | ApplyError::Older { .. }
                | ApplyError::SameSerial(_)
                | ApplyError::Silent(_) => EXIT_NO,
            };
            let status = fail("apply", &error, status);
            if let ApplyError::Settings(problems) = &error {
                report(problems);
            }
            status
        }
    }
}

fn apply(args: &ApplyArgs, config: &Path) -> Result<Done, ApplyError> {
    let bytes = read(&args.bundle)
        .map_err(|error| ApplyError::Read { path: args.bundle.display().to_string(), error })?;
    let own = config::read_own(config).map_err(ApplyError::Settings)?;
    let bundle = open(&bytes, &trusted(&own))?;
    let data_directory = own.resolve(own.table("").text("data_directory").unwrap_or(".").as_ref());
    let store = Store::below(&data_directory);
    let writer = store.writer()?;
    let before = store.applied()?;
    let applied = before.as_deref().and_then(|bytes| open(bytes, &trusted(&own)).ok());
    check_serial(&bundle, applied.as_ref(), args.force)?;
    writer.add_files(&bundle)?;
    let kept = [Some(&bundle), applied.as_ref()];
    let sweep = |kept: &[Option<&Bundle>]| writer.sweep(&kept.iter().copied().flatten().collect::<Vec<_>>());
    let loaded = match config::load_with_bundle(config, &bytes) {
        Ok(loaded) => loaded,
        Err(problems) => {
            sweep(&kept[1..]);
            return Err(ApplyError::Settings(problems));
        }
    };
    let name = format!("bundle {} ({})", bundle.content.serial, short(&bundle.digest));
    if args.check {
        sweep(&kept[1..]);
        let sentence = format!("{name} would be taken");
        return Ok(Done { sentence, taken: Vec::new(), warnings: loaded.warnings });
    }
    let old = config::read(config).ok();
    let audit = Audit { log: AuditLog::new(&data_directory), user: format!("{} with {name}", user::name()) };
    writer.commit(&bytes)?;
    let running = match ask(config, &Request::Reload { user: audit.user.clone() }) {
        Ok(answer) => match refusal(&answer) {
            None => Some(taken(&answer)),
            Some(refusal) => {
                writer.restore(before.as_deref())?;
                sweep(&kept[1..]);
                return Err(ApplyError::Refused(refusal));
            }
        },
        Err(AskError::Control(ControlError::NotRunning { .. }) | AskError::Location(_)) => None,
        Err(AskError::Control(error)) => {
            // It is on the disk, and counts with the next reload or start at the latest.
            audit.applied(applied.as_ref(), &bundle, args.force);
            return Err(ApplyError::Silent(error));
        }
    };
    audit.applied(applied.as_ref(), &bundle, args.force);
    if running.is_none() {
        // The server would have told each key.
        audit.changes(old.as_ref(), &loaded.document);
    }
    sweep(&kept);
    let sentence = match running {
        Some(_) => format!("{name} is in force"),
        None => format!("{name} is in place; no server runs"),
    };
    Ok(Done { sentence, taken: running.unwrap_or_default(), warnings: loaded.warnings })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return disk::read(path, BUNDLE_BYTES_MAX);
    }
    let input = std::io::stdin().lock();
    if input.is_terminal() {
        return Err(std::io::Error::other("standard input is a terminal"));
    }
    disk::read_all(input, BUNDLE_BYTES_MAX)
}

fn trusted(own: &Document) -> Vec<PublicKey> {
    own.table("bundle").items("trusted_keys").iter().filter_map(|item| item.text.parse().ok()).collect()
}

fn check_serial(offered: &Bundle, applied: Option<&Bundle>, force: bool) -> Result<(), ApplyError> {
    let Some(applied) = applied.filter(|_| !force) else { return Ok(()) };
    let (new, old) = (offered.content.serial, applied.content.serial);
    if new < old {
        return Err(ApplyError::Older { offered: new, applied: old });
    }
    if new == old && offered.digest != applied.digest {
        return Err(ApplyError::SameSerial(new));
    }
    Ok(())
}

/// What the server said against the settings.
fn refusal(answer: &Value) -> Option<String> {
    let error = answer.get("error").and_then(Value::as_str)?;
    let problems = answer["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Some(std::iter::once(error).chain(problems).collect::<Vec<_>>().join("\n"))
}

/// A line that cannot be written does not undo what is in force.
struct Audit {
    log: AuditLog,
    user: String,
}

impl Audit {
    fn applied(&self, old: Option<&Bundle>, new: &Bundle, forced: bool) {
        let words = |bundle: &Bundle| {
            let Bundle { content, digest, key } = bundle;
            format!("bundle {} sha256:{digest} {key}", content.serial)
        };
        let what = if forced { "config apply --force" } else { "config apply" };
        self.append(what, &old.map(words).unwrap_or_default(), &words(new), false);
    }

    fn changes(&self, old: Option<&Document>, new: &Document) {
        for change in old.map(|old| config::differences(old, new)).unwrap_or_default() {
            let what = format!("settings: {}", change.key);
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            self.append(&what, &value(&change.old), &value(&change.new), change.secure_list);
        }
    }

    fn append(&self, what: &str, old: &str, new: &str, secure_list: bool) {
        let entry = AuditEntry { at: Timestamp::now(), user: &self.user, what, old, new, secure_list };
        if let Err(error) = self.log.append(&entry) {
            eprintln!("warning: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::config::bundle::{Content, SigningKey, gather, seal};

    #[test]
    fn what_a_silent_server_was_told_is_written_down() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("data")).unwrap();
        let key = SigningKey::generate().unwrap();
        let own = format!(
            "hostname = \"mx1.contoso.example\"\ndata_directory = \"data\"\n[bundle]\ntrusted_keys = [\"{}\"]\n\
             [[receive_connector]]\nname = \"Internet\"\nbindings = [\"127.0.0.1:0\"]\n\
             [dns]\nservers = [\"127.0.0.1:53\"]\n",
            key.public()
        );
        std::fs::write(path("sealpost.toml"), own).unwrap();
        let shared = "[[receive_connector]]\nname = \"Internet\"\nauth_mechanism = []\n\
                      [[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"*\"]\n";
        std::fs::write(path("organisation.toml"), shared).unwrap();
        let content = Content { serial: 7, ..gather(&path("organisation.toml")).unwrap() };
        std::fs::write(path("one.bundle"), seal(&content, &key).unwrap()).unwrap();

        // A server that hears the request and goes away.
        let listener = UnixListener::bind(path("data/control.sock")).unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            BufReader::new(stream).read_line(&mut String::new()).unwrap()
        });
        let args = ApplyArgs { bundle: path("one.bundle"), check: false, force: false };
        let failed = apply(&args, &path("sealpost.toml")).map(|done| done.sentence).unwrap_err();
        assert!(matches!(failed, ApplyError::Silent(_)), "{failed:?}");
        assert!(server.join().unwrap() > 0);
        assert!(Store::below(&path("data")).holds_a_bundle(), "it counts from the next start on");
        let audit = std::fs::read_to_string(path("data/audit.log")).unwrap();
        assert!(audit.contains("what=\"config apply\" old=\"\" -> new=\"bundle 7 sha256:"), "{audit}");
    }
}
