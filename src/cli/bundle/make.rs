//! `config bundle-key` and `config bundle`: what is done inside.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::certstore::{Owner, replace};
use crate::cli::config::report;
use crate::config::bundle::{BUNDLE_BYTES_MAX, Bundle, BundleError, Content, SigningKey, gather, open, seal};
use crate::disk;

use super::{EXIT_CONFIGURATION, EXIT_NO, fail, short};

/// Largest file with a key, octets.
const KEY_BYTES_MAX: u64 = 16 << 10;

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Where the key is, or shall be: PKCS#8 in PEM, mode 0600. Keep it off the edges
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The shared settings; files that they name lie below their directory
    settings: PathBuf,
    /// The key that signs, as `bundle-key` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the bundle goes; one that lies there says which serial is next
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Serial number [default: one more than that of the bundle in --out, the same if nothing changed, else 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    #[arg(long)]
    json: bool,
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("{path}: {source}", path = .path.display())]
    Bundle { path: PathBuf, source: BundleError },
    #[error("{path} can be read or written by others (mode {mode:03o}); chmod 600 {path}", path = .path.display())]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("cannot {action} {path}: {source}; check the path and its owner", path = .path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl MakeError {
    fn of(path: &Path) -> impl FnOnce(BundleError) -> Self {
        let path = path.to_owned();
        move |source| Self::Bundle { path, source }
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// Prints the line for `[bundle]`. Exit status 0 or 1.
pub fn key(args: &KeyArgs) -> ExitCode {
    match make_key(&args.file) {
        Ok(key) => {
            outln!("trusted_keys = [\"{}\"]", key.public());
            ExitCode::SUCCESS
        }
        Err(error) => fail("bundle-key", &error, EXIT_NO),
    }
}

fn make_key(path: &Path) -> Result<SigningKey, MakeError> {
    if path.exists() {
        return read_key(path);
    }
    let key = SigningKey::generate().map_err(MakeError::of(path))?;
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(MakeError::file("make", path))?;
    let written = file.write_all(key.to_pem().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(MakeError::file("write", path))?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<SigningKey, MakeError> {
    let mode = path.metadata().map_err(MakeError::file("read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MakeError::OpenToOthers { path: path.to_owned(), mode });
    }
    let text = disk::read(path, KEY_BYTES_MAX).map_err(MakeError::file("read", path))?;
    SigningKey::from_pem(&zeroize::Zeroizing::new(text)).map_err(MakeError::of(path))
}

/// Exit status 0, 1 or 2: the settings hold an error.
pub fn bundle(args: &BundleArgs) -> ExitCode {
    let content = match gather(&args.settings) {
        Ok(content) => content,
        Err(problems) => {
            report(&problems);
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    match make(args, content) {
        Ok(bundle) => {
            let (serial, digest, files) = (bundle.content.serial, &bundle.digest, bundle.content.files.len());
            if args.json {
                let answer = json!({"serial": serial, "digest": digest, "key": bundle.key.to_string(), "files": files});
                outln!("{answer:#}");
            } else {
                outln!("{}: bundle {serial} ({}), {files} files", args.out.display(), short(digest));
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail("bundle", &error, EXIT_NO),
    }
}

fn make(args: &BundleArgs, mut content: Content) -> Result<Bundle, MakeError> {
    let key = read_key(&args.key)?;
    content.serial = match args.serial {
        Some(serial) => serial,
        None => next_serial(&args.out, &key, &mut content)?,
    };
    let bytes = seal(&content, &key).map_err(MakeError::of(&args.out))?;
    let out = std::path::absolute(&args.out).map_err(MakeError::file("write", &args.out))?;
    let directory = out.parent().unwrap_or(Path::new("/"));
    let written = Owner::of(directory).and_then(|owner| replace(&out, &bytes, owner));
    written.map_err(MakeError::file("write", &args.out))?;
    open(&bytes, &[key.public()]).map_err(MakeError::of(&args.out))
}

fn next_serial(out: &Path, key: &SigningKey, content: &mut Content) -> Result<u64, MakeError> {
    if !out.exists() {
        return Ok(1);
    }
    let bytes = disk::read(out, BUNDLE_BYTES_MAX).map_err(MakeError::file("read", out))?;
    let before = open(&bytes, &[key.public()]).map_err(MakeError::of(out))?.content;
    content.serial = before.serial;
    Ok(if *content == before { before.serial } else { before.serial + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.key");
        let public = make_key(&path).unwrap().public();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match make_key(&path) {
                Ok(key) => assert!(good && key.public() == public, "{mode:o}"),
                Err(error) => {
                    assert!(
                        !good && error.to_string().contains(&format!("(mode {mode:o}); chmod 600")),
                        "{error}"
                    );
                }
            }
        }
    }
}
