//! sslscan looks at STARTTLS of our receive connector, with either kind of key, and must find nothing
//! to complain about: no version below 1.2, no cipher suite without forward secrecy and authenticated
//! encryption, no compression, no renegotiation by the client, no heartbeat. That it finds no fallback
//! SCSV is as it should be: there is nothing below 1.2 to fall back to, and a client of 1.3 sees a
//! forced 1.2 in the server's random (RFC 8446 4.1.3).

use std::process::Command;

use crate::common::{Site, tool};
use crate::peers::{Keys, use_keys};

async fn scan(keys: Keys) {
    let Some(program) = tool("sslscan", "sslscan") else { return };
    let mut site = Site::new().await;
    use_keys(&mut site, keys);
    let edge = site.start_edge("");
    let output = Command::new(program)
        .args(["--starttls-smtp", "--no-colour", "--show-certificate"])
        .arg(edge.internet.to_string())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let words: Vec<Vec<&str>> = report.lines().map(|line| line.split_whitespace().collect()).collect();
    for (version, state) in [
        ("SSLv2", "disabled"),
        ("SSLv3", "disabled"),
        ("TLSv1.0", "disabled"),
        ("TLSv1.1", "disabled"),
        ("TLSv1.2", "enabled"),
        ("TLSv1.3", "enabled"),
    ] {
        assert!(words.iter().any(|line| line[..] == [version, state]), "{version} is not {state}:\n{report}");
    }
    let accepted = words.iter().filter(|line| matches!(line.first(), Some(&"Accepted" | &"Preferred")));
    let mut suites = 0;
    for line in accepted {
        suites += 1;
        let suite = line.get(4).copied().unwrap_or_default();
        let forward = suite.starts_with("TLS_") || suite.starts_with("ECDHE-");
        let authenticated = ["GCM", "POLY1305"].iter().any(|mode| suite.contains(mode));
        assert!(forward && authenticated, "{suite}:\n{report}");
    }
    assert!(suites >= 6, "{report}");
    assert!(report.contains("Session renegotiation not supported"), "{report}");
    for complaint in ["Compression enabled", "Insecure", " vulnerable to heartbleed"] {
        let complained = report.lines().any(|line| line.contains(complaint) && !line.contains(" not "));
        assert!(!complained, "{complaint}:\n{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sslscan_finds_nothing_to_complain_about() {
    scan(Keys::Ecdsa).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sslscan_finds_nothing_to_complain_about_with_an_rsa_key() {
    scan(Keys::Rsa).await;
}
