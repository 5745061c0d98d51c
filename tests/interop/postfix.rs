//! Postfix as the partner, over mutual TLS in both directions. It runs as a private instance with
//! its own configuration, queue and ports; the system's Postfix, if any, is left alone.

use std::process::Command;

use sealpost::cli::demo::client::{Client, Disguise};
use sealpost::cli::demo::mailbox::Delivered;

use crate::common::{OURS, PARTNER, missing, tool};
use crate::peers::{
    Exchange, Keys, Peer, Setup, Shows, Tls, ip_and_port, it_gets_no_mail, its_user_is_told,
    mail_goes_both_ways,
};

/// Takes mail from the world only from clients with a certificate of Contoso's authority.
fn start(setup: &Setup) -> Option<Peer> {
    let program = tool("Postfix", "postfix")?;
    if !rustix::process::geteuid().is_root() {
        missing("Postfix", "it needs root to start");
        return None;
    }
    setup.folder("queue", "root");
    setup.folder("data", "postfix");
    setup.write("main.cf", &main_cf(setup));
    setup.write("master.cf", &master_cf(setup));
    let mut command = Command::new(program);
    command.arg("-c").arg(&setup.home).arg("start-fg");
    setup.start(&mut command, vec![setup.file("postfix.log")])
}

fn main_cf(setup: &Setup) -> String {
    let (inner_ip, inner_port) = ip_and_port(setup.inner);
    let (hop_ip, hop_port) = ip_and_port(setup.next_hop);
    let versions = match setup.tls {
        Tls::V12 => ">=TLSv1.2, <=TLSv1.2",
        Tls::V13 => ">=TLSv1.3",
    };
    let client = setup.client.as_ref().map_or_else(String::new, |pair| {
        let (chain, key) = (pair.chain.display(), pair.key.display());
        format!("smtp_tls_cert_file = {chain}\nsmtp_tls_key_file = {key}\n")
    });
    format!(
        "compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/postfix.log
maillog_file_prefixes = {home}
myhostname = mx.{PARTNER}
mydestination =
relay_domains = {PARTNER}
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
smtp_host_lookup = native
notify_classes =
transport_maps = inline:{{ {{ {OURS} = smtp:[{hop_ip}]:{hop_port} }} {{ {PARTNER} = inner:[{inner_ip}]:{inner_port} }} }}
smtp_tls_security_level = encrypt
smtp_tls_mandatory_protocols = {versions}
{client}smtp_tls_CAfile = {root}
smtp_tls_loglevel = 1
smtpd_tls_mandatory_protocols = {versions}
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {key}
smtpd_tls_CAfile = {root}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
",
        home = setup.home.display(),
        chain = setup.server.chain.display(),
        key = setup.server.key.display(),
        root = setup.root.display(),
    )
}

fn master_cf(setup: &Setup) -> String {
    let Setup { internet, submission, .. } = setup;
    format!(
        "{internet} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes
{submission} inet n - n - - smtpd -o smtpd_tls_security_level=none
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
inner unix - - n - - smtp -o smtp_tls_security_level=none
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_and_we_exchange_mail_over_tls_1_3() {
    mail_goes_both_ways(start, Tls::V13, Keys::Ecdsa, "(verified OK)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_and_we_exchange_mail_over_tls_1_2_with_rsa() {
    mail_goes_both_ways(start, Tls::V12, Keys::Rsa, "(verified OK)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_without_a_certificate_is_told_so() {
    its_user_is_told(start, Shows::Nothing, "NoCertificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_with_a_strangers_certificate_is_told_so() {
    its_user_is_told(start, Shows::AStrangers, "IncompleteChain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_under_another_name_gets_no_mail() {
    it_gets_no_mail(start, Shows::AnotherName, "NameMismatch").await;
}

/// Neither mailbox speaks DSN, so that whoever hands over to one has to tell: we, what Postfix passed on
/// to us, and Postfix, what we passed on to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_asks_to_hear_goes_through_postfix_and_us_both_ways() {
    let exchange = Exchange::start(start, Tls::V13, Keys::Ecdsa, Shows::ItsCertificate).await;
    let Some(exchange) = exchange else { return };
    let Exchange { site, edge, inner, setup, .. } = &exchange;
    let (alice, bob) = (format!("alice@{OURS}"), format!("bob@{PARTNER}"));
    // From, to, where the sender hands in, and where he hears of it.
    let ways = [
        (&bob, &alice, setup.submission, inner, format!("mx.{OURS}")),
        (&alice, &bob, edge.internal, &site.mailbox, format!("mx.{PARTNER}")),
    ];
    for (from, to, submission, home, relay) in ways {
        let commands = [
            format!("MAIL FROM:<{from}> RET=HDRS ENVID=QQ+2B{from}"),
            format!("RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;The+20Other@{to}"),
            "DATA".to_owned(),
        ];
        let mut client = Client::connect(submission, Disguise::Clear).await.unwrap();
        for command in commands {
            let reply = client.command(&command).await.unwrap();
            assert!(reply.is_positive(), "{command}: {reply}");
        }
        let reply = client.content(b"Subject: tell me\r\n\r\ntell me\r\n").await.unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        let told = |kept: &Delivered| {
            kept.from.is_empty() && kept.to.contains(from) && kept.content.contains("Action: relayed")
        };
        let report = exchange.arrival(home, told).await;
        let report = report.content.to_lowercase().replace("\r\n", "\n");
        for field in [
            format!("\nreporting-mta: dns; {relay}\n"),
            format!("\noriginal-envelope-id: qq+{from}\n"),
            "\noriginal-recipient: rfc822;".to_owned(),
            format!("the other@{to}\n"),
            format!("\nfinal-recipient: rfc822; {to}\n"),
        ] {
            assert!(report.contains(&field), "{field:?} is missing in\n{report}");
        }
    }
}
