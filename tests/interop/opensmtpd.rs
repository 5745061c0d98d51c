//! OpenSMTPD as the partner. Its folders are fixed when it is built, so each instance gets a view of
//! the file system of its own. Debian 12's build can sign no handshake (OpenSSL 3 and its privilege
//! separation do not agree): it can neither be a TLS server nor show a certificate as a client.

use crate::common::{OURS, PARTNER, STRANGER};
use crate::peers::{
    self, Exchange, Keys, Peer, Setup, Shows, Tls, body, hand_in, ip_and_port, its_user_is_told,
};

fn start(setup: &Setup) -> Option<Peer> {
    let program = peers::unpacked("OpenSMTPD", "opensmtpd/usr/sbin/smtpd")?;
    let configuration = setup.write("smtpd.conf", &configuration(setup));
    let helpers = program.ancestors().nth(2).unwrap().join("libexec/opensmtpd");
    let script = format!(
        "set -e
mount -t tmpfs none /var/spool; mkdir -m 711 /var/spool/smtpd
mount -t tmpfs none /usr/libexec; mkdir /usr/libexec/opensmtpd; cp {helpers}/* /usr/libexec/opensmtpd/
mount -t tmpfs none /var/lib; mkdir -p /var/lib/opensmtpd/empty; chmod -R go-w /var/lib/opensmtpd
mount -t tmpfs none /run
exec {program} -d -f {configuration}",
        helpers = helpers.display(),
        program = program.display(),
        configuration = configuration.display(),
    );
    setup.start(&mut peers::apart("OpenSMTPD", "-m", &script)?, Vec::new())
}

fn configuration(setup: &Setup) -> String {
    let (internet_ip, internet_port) = ip_and_port(setup.internet);
    let (submission_ip, submission_port) = ip_and_port(setup.submission);
    let (inner, hop) = (setup.inner, setup.next_hop);
    format!(
        "listen on {internet_ip} port {internet_port} hostname mx.{PARTNER}
listen on {submission_ip} port {submission_port} hostname mx.{PARTNER}
action partner relay host \"smtp+tls://{hop}\" helo mx.{PARTNER} tls no-verify
action inner relay host \"smtp://{inner}\" helo mx.{PARTNER}
match from any for domain {OURS} action partner
match from any for domain {PARTNER} action inner
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn opensmtpd_without_a_certificate_is_told_so() {
    its_user_is_told(start, Shows::Nothing, "NoCertificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opensmtpd_brings_the_mail_of_others_over_tls_without_a_stamp() {
    let Some(exchange) = Exchange::start(start, Tls::V13, Keys::Rsa, Shows::Nothing).await else { return };
    let from = format!("carol@{STRANGER}");
    hand_in(exchange.setup.submission, &from, &format!("alice@{OURS}"), "ordinary").await;
    let kept = exchange.arrival(&exchange.site.mailbox, |kept| kept.from == from).await;
    assert_eq!(kept.field("Domain-Secured"), None);
    assert!(
        kept.content.contains("with ESMTPS") && kept.content.contains("using TLSv1.3"),
        "{}",
        kept.content
    );
    assert!(kept.content.ends_with(&body("ordinary")), "{}", kept.content);
}
