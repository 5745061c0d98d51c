//! swaks, the SMTP tester of the distribution, as a client over OpenSSL.

use std::path::Path;
use std::process::Command;

use crate::common::{Edge, OURS, PARTNER, STRANGER, Site, tool};

/// The whole conversation as swaks prints it, and whether it counts as a success.
fn swaks(program: &Path, edge: &Edge, sender: &str, more: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(["--server", &edge.internet.ip().to_string(), "--port", &edge.internet.port().to_string()])
        .args(["--from", sender, "--to", &format!("alice@{OURS}"), "--timeout", "20"])
        .args(more)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_with_the_partners_certificate_is_domain_secured() {
    let Some(program) = tool("swaks with a certificate", "swaks") else { return };
    let site = Site::new().await;
    let edge = site.start_edge("");
    let sender = format!("swaks@{PARTNER}");
    let chain = site.partner_files.chain.to_string_lossy().into_owned();
    let key = site.partner_files.key.to_string_lossy().into_owned();
    let (sent, said) = swaks(&program, &edge, &sender, &["--tls", "--tls-cert", &chain, "--tls-key", &key]);
    assert!(sent, "{said}");
    let stamp = site.arrival(&sender).await.field("Domain-Secured").expect("a stamp");
    assert!(stamp.contains(&format!("domain={PARTNER}")), "{stamp}");
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_without_certificate_or_without_tls_is_refused_at_mail() {
    let Some(program) = tool("swaks without a certificate", "swaks") else { return };
    let site = Site::new().await;
    let edge = site.start_edge("");
    let sender = format!("swaks@{PARTNER}");
    let rows: [(&[&str], &str, &str); 2] =
        [(&["--tls"], "550 5.7.5", "NoCertificate"), (&[], "530 5.7.0", "TlsNotStarted")];
    for (options, reply, fault) in rows {
        let (sent, said) = swaks(&program, &edge, &sender, options);
        assert!(!sent, "{said}");
        let refused = said.lines().any(|line| line.contains(reply) && line.contains(fault));
        assert!(refused, "no {reply} {fault} in:\n{said}");
    }
    assert!(site.mailbox.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_as_an_ordinary_sender_is_accepted_in_clear_and_over_tls() {
    let Some(program) = tool("swaks as an ordinary sender", "swaks") else { return };
    let site = Site::new().await;
    let edge = site.start_edge("");
    for (local_part, options) in [("clear", &[][..]), ("tls", &["--tls"][..])] {
        let sender = format!("{local_part}@{STRANGER}");
        let (sent, said) = swaks(&program, &edge, &sender, options);
        assert!(sent, "{said}");
        let kept = site.arrival(&sender).await;
        assert_eq!(kept.field("Domain-Secured"), None);
        assert_eq!(kept.content.contains("with ESMTPS"), local_part == "tls", "{}", kept.content);
    }
}
