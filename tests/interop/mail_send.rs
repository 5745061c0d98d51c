//! The mail-send crate as a client with a certificate of its own.

use std::sync::Arc;
use std::time::Duration;

use mail_send::SmtpClientBuilder;
use mail_send::smtp::message::Message;
use sealpost::cli::demo::client::client_config;
use sealpost::cli::demo::pki::Identity;
use tokio_rustls::TlsConnector;

use crate::common::{Edge, OURS, PARTNER, Site};

/// Sends one message over STARTTLS with this certificate.
async fn send(edge: &Edge, identity: Option<&Identity>, sender: &str) -> mail_send::Result<()> {
    let connector = TlsConnector::from(Arc::new(client_config(identity).unwrap()));
    let (host, port) = (edge.internet.ip().to_string(), edge.internet.port());
    let mut client = SmtpClientBuilder::new_with_tls_connector(host, port, connector)
        .implicit_tls(false)
        .helo_host("client.woodgrove.example")
        .timeout(Duration::from_secs(20))
        .connect()
        .await?;
    let recipient = format!("alice@{OURS}");
    let body = format!("From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: from mail-send\r\n\r\nhello\r\n");
    client.send(Message::new(sender, [recipient.as_str()], body.into_bytes())).await?;
    client.quit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_its_certificate_is_domain_secured() {
    let site = Site::new().await;
    let edge = site.start_edge("");
    let sender = format!("bob@{PARTNER}");
    send(&edge, Some(&site.partner), &sender).await.unwrap();
    let kept = site.arrival(&sender).await;
    let stamp = kept.field("Domain-Secured").expect("a stamp");
    assert!(stamp.contains(&format!("domain={PARTNER}")), "{stamp}");
    assert!(stamp.contains("verified=chain,revocation,name"), "{stamp}");
    assert!(kept.content.contains("hello\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_or_with_a_revoked_certificate_it_is_refused() {
    let site = Site::new().await;
    let edge = site.start_edge("");
    for (identity, fault) in [(None, "NoCertificate"), (Some(&site.revoked), "Revoked")] {
        let error = send(&edge, identity, &format!("bob@{PARTNER}")).await.unwrap_err();
        let mail_send::Error::UnexpectedReply(reply) = error else { panic!("{fault}: {error}") };
        assert_eq!((reply.code, reply.esc), (550, [5, 7, 5]), "{fault}");
        assert!(reply.message.contains(fault), "{reply:?}");
    }
    assert!(site.mailbox.all().is_empty());
}
