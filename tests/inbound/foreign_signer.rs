//! Messages that dkimpy has signed and sealed: another reading of RFC 6376, 8463 and 8617 than ours.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::common::missing;

/// Where the distribution's own Python lies; others do not know its packages.
const PYTHON: &str = "/usr/bin/python3";

const SCRIPT: &str = r"
import sys, dkim
what, key, message = sys.argv[1], sys.argv[2].encode(), sys.stdin.buffer.read()
if what == 'ed25519':
    out = [dkim.sign(message, b's2', b'signed.example', key, signature_algorithm=b'ed25519-sha256',
                     canonicalize=(b'relaxed', b'relaxed'))]
elif what == 'rsa':
    out = [dkim.sign(message, b's1', b'signed.example', key, canonicalize=(b'simple', b'simple'))]
else:
    out = dkim.arc_sign(message, b's1', b'signed.example', key, b'lists.example')
sys.stdout.buffer.write(b''.join(out) + message)
";

/// Whether the signer is here; says so where it is not.
pub fn is_there() -> bool {
    let modules = "import dkim, nacl, authres";
    let found = Path::new(PYTHON).is_file()
        && Command::new(PYTHON).args(["-c", modules]).stderr(Stdio::null()).status().unwrap().success();
    if !found {
        missing("inbound checks", "python3-dkim, python3-nacl or python3-authres not found");
    }
    found
}

/// `message` with what `what` (`ed25519`, `rsa` or `arc`) puts in front of it.
pub fn sign(what: &str, key: &str, message: &str) -> String {
    let mut signer = Command::new(PYTHON)
        .args(["-c", SCRIPT, what, key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    signer.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    let output = signer.wait_with_output().unwrap();
    assert!(output.status.success(), "{what} failed");
    String::from_utf8(output.stdout).unwrap()
}
