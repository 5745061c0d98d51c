//! chasquid as a server. It never asks a client for a certificate, and as a client it shows none and
//! finds its way by MX and port 25 alone; so it is a partner only for those who do without the
//! second half of mutual TLS, and say so.

use std::process::Command;
use std::time::{Duration, Instant};

use sealpost::cli::demo::client::{Disguise, Letter, send};

use crate::common::{OURS, PARTNER, PATIENCE};
use crate::peers::{self, Exchange, Keys, Peer, Setup, Shows, Tls, it_gets_no_mail};

fn start(setup: &Setup) -> Option<Peer> {
    let program = peers::unpacked("chasquid", "chasquid/usr/bin/chasquid")?;
    let util = program.with_file_name("chasquid-util");
    let certificates = format!("etc/certs/mx.{PARTNER}");
    for (from, to) in [(&setup.server.chain, "fullchain.pem"), (&setup.server.key, "privkey.pem")] {
        let text = std::fs::read_to_string(from).unwrap();
        setup.write(&format!("{certificates}/{to}"), &text);
    }
    std::fs::create_dir_all(setup.file("data")).unwrap();
    let keep = setup.write("keep", &format!("#!/bin/sh\ncat >>{}\n", setup.file("kept").display()));
    assert!(Command::new("chmod").arg("755").arg(&keep).status().unwrap().success());
    setup.write(
        "etc/chasquid.conf",
        &format!(
            "hostname: \"mx.{PARTNER}\"\nsmtp_address: \"{internet}\"\nsubmission_address: \"{submission}\"\n\
             data_dir: \"{home}/data\"\nmail_log_path: \"{home}/mail.log\"\nmail_delivery_agent_bin: \"{keep}\"\n",
            internet = setup.internet,
            submission = setup.submission,
            home = setup.home.display(),
            keep = keep.display(),
        ),
    );
    std::fs::create_dir_all(setup.file(&format!("etc/domains/{PARTNER}"))).unwrap();
    let added = Command::new(util)
        .arg(format!("-C={}", setup.file("etc").display()))
        .args(["user-add", &format!("bob@{PARTNER}"), "--password=secret"])
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let mut command = Command::new(program);
    command.arg(format!("-config_dir={}", setup.file("etc").display()));
    setup.start(&mut command, vec![setup.file("mail.log")])
}

#[tokio::test(flavor = "multi_thread")]
async fn chasquid_asks_for_no_certificate_and_so_gets_no_mail() {
    it_gets_no_mail(start, Shows::ItsCertificate, "ClientCertificateNotRequested").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_entry_that_does_without_it_reaches_chasquid() {
    let settings = |text: &str| {
        text.replacen("trust_anchors", "require_client_certificate_request = false\ntrust_anchors", 1)
    };
    let Some(exchange) =
        Exchange::start_with(start, Tls::V13, Keys::Ecdsa, Shows::ItsCertificate, settings).await
    else {
        return;
    };
    let mut letter = Letter::new(&format!("alice@{OURS}"), &format!("bob@{PARTNER}"), "to chasquid");
    letter.content.push_str("..two dots\r\n");
    assert_eq!(send(exchange.edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    let deadline = Instant::now() + PATIENCE;
    let kept = loop {
        let kept = std::fs::read_to_string(exchange.setup.file("kept")).unwrap_or_default();
        if kept.contains("..two dots") {
            break kept;
        }
        assert!(Instant::now() < deadline, "nothing came\n{}", exchange.logs());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(kept.contains("Subject: to chasquid"), "{kept}");
    assert!(kept.contains("TLS"), "{kept}");
}
