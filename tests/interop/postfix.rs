//! Postfix as the partner, over mutual TLS in both directions. It runs as a private instance with
//! its own configuration, queue and ports; the system's Postfix, if any, is left alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sealpost::cli::demo::client::{Client, Disguise, Letter, send};
use sealpost::cli::demo::mailbox::Mailbox;

use crate::common::{EDGE, OURS, PARTNER, PARTNER_HOST, PATIENCE, STRANGER_HOST, Site, missing, tool};

/// A private instance; stopped when dropped.
struct Postfix {
    program: PathBuf,
    configuration: PathBuf,
    /// Where Woodgrove's own users hand in mail, in clear.
    submission: SocketAddr,
    log: PathBuf,
}

impl Postfix {
    /// Postfix for woodgrove.example: takes mail on the shared port only from clients with a
    /// certificate of Contoso's authority, and keeps it in `inner`; sends mail for contoso.example
    /// to `next_hop` with Woodgrove's certificate.
    fn start(site: &Site, inner: SocketAddr, next_hop: SocketAddr) -> Option<Self> {
        let program = tool("Postfix", "postfix")?;
        if !rustix::process::geteuid().is_root() {
            missing("Postfix", "it needs root to start");
            return None;
        }
        let configuration = site.path("postfix");
        let submission = site.network.free(PARTNER_HOST);
        for folder in ["postfix", "postfix-queue", "postfix-data"] {
            std::fs::create_dir(site.path(folder)).unwrap();
        }
        let owner = Command::new("chown").arg("postfix").arg(site.path("postfix-data")).status().unwrap();
        assert!(owner.success(), "there is no user named postfix");
        std::fs::write(configuration.join("main.cf"), main_cf(site, inner, next_hop)).unwrap();
        let master = master_cf(site.network.at(PARTNER_HOST), submission);
        std::fs::write(configuration.join("master.cf"), master).unwrap();
        let log = site.path("postfix.log");
        let postfix = Self { program, configuration, submission, log };
        let output = postfix.control("start");
        assert!(output.status.success(), "postfix did not start: {output:?}\n{}", postfix.log());
        postfix.await_listener(site.network.at(PARTNER_HOST));
        postfix.await_listener(submission);
        Some(postfix)
    }

    fn control(&self, command: &str) -> std::process::Output {
        Command::new(&self.program).arg("-c").arg(&self.configuration).arg(command).output().unwrap()
    }

    fn await_listener(&self, address: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "postfix does not listen on {address}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _stopped = self.control("abort");
    }
}

fn main_cf(site: &Site, inner: SocketAddr, next_hop: SocketAddr) -> String {
    let path = |name: &str| site.path(name).display().to_string();
    let (inner_ip, inner_port) = (inner.ip(), inner.port());
    let (hop_ip, hop_port) = (next_hop.ip(), next_hop.port());
    format!(
        "compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {log}
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
smtp_tls_cert_file = {chain}
smtp_tls_key_file = {key}
smtp_tls_CAfile = {root}
smtp_tls_loglevel = 1
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {key}
smtpd_tls_CAfile = {root}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
",
        queue = path("postfix-queue"),
        data = path("postfix-data"),
        log = path("postfix.log"),
        home = path("").trim_end_matches('/'),
        chain = site.partner_files.chain.display(),
        key = site.partner_files.key.display(),
        root = path("contoso-root.pem"),
    )
}

fn master_cf(internet: SocketAddr, submission: SocketAddr) -> String {
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
async fn postfix_sends_to_us_with_its_certificate_and_is_domain_secured() {
    let site = Site::new().await;
    let inner = Mailbox::start((site.network.ip(STRANGER_HOST), 0).into()).await.unwrap();
    let edge = site.start_edge("");
    let Some(postfix) = Postfix::start(&site, inner.address(), edge.internet) else { return };
    let sender = format!("bob@{PARTNER}");
    let mut letter = Letter::new(&sender, &format!("alice@{OURS}"), "from Postfix");
    letter.content.push_str(".a line with a dot\r\n");
    let reply = send(postfix.submission, Disguise::Clear, &letter).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let fits = |kept: &sealpost::cli::demo::mailbox::Delivered| kept.from == sender;
    let kept = site.mailbox.wait_for(fits, PATIENCE).await;
    let kept = kept.unwrap_or_else(|| panic!("nothing came:\n{}\n{}", postfix.log(), site.log()));
    let stamp = kept.field("Domain-Secured").expect("a stamp");
    assert!(stamp.contains(&format!("domain={PARTNER}")), "{stamp}");
    assert!(kept.content.ends_with("from Postfix\r\n.a line with a dot\r\n"), "{}", kept.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn we_send_to_postfix_which_insists_on_our_certificate() {
    let site = Site::new().await;
    let inner = Mailbox::start((site.network.ip(STRANGER_HOST), 0).into()).await.unwrap();
    let edge = site.start_edge("");
    let Some(postfix) = Postfix::start(&site, inner.address(), site.network.at(EDGE)) else { return };
    let recipient = format!("bob@{PARTNER}");
    let mut letter = Letter::new(&format!("alice@{OURS}"), &recipient, "to Postfix");
    letter.content.push_str("..two dots\r\n");
    let reply = send(edge.internal, Disguise::Clear, &letter).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let kept = inner.wait_for(|kept| kept.to.contains(&recipient), PATIENCE).await;
    let kept = kept.unwrap_or_else(|| panic!("nothing came:\n{}\n{}", postfix.log(), site.log()));
    assert!(kept.content.ends_with("to Postfix\r\n..two dots\r\n"), "{}", kept.content);
    // Postfix writes into Received whether the client's certificate was verified, and whose it was.
    let received = kept.content.replace("\r\n\t", " ").replace("\r\n ", " ");
    assert!(received.contains("(verified OK)"), "{received}");
    assert_eq!(kept.field("Domain-Secured"), None, "the stamp is ours and stays inside");
}

/// Neither mailbox speaks DSN, so that whoever hands over to one has to tell: we, what Postfix passed on
/// to us, and Postfix, what we passed on to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_asks_to_hear_goes_through_postfix_and_us_both_ways() {
    let site = Site::new().await;
    let inner = Mailbox::start((site.network.ip(STRANGER_HOST), 0).into()).await.unwrap();
    let edge = site.start_edge("");
    let Some(postfix) = Postfix::start(&site, inner.address(), edge.internet) else { return };
    let (alice, bob) = (format!("alice@{OURS}"), format!("bob@{PARTNER}"));
    // From, to, where the sender hands in, and where he hears of it.
    let ways = [
        (&bob, &alice, postfix.submission, &inner, format!("mx.{OURS}")),
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
        let told = |kept: &sealpost::cli::demo::mailbox::Delivered| {
            kept.from.is_empty() && kept.to.contains(from) && kept.content.contains("Action: relayed")
        };
        let report = home.wait_for(told, PATIENCE).await;
        let report = report.unwrap_or_else(|| panic!("no report:\n{}\n{}", postfix.log(), site.log()));
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

/// The instance by itself, without us: when this fails, the fault is not in our wire.
#[tokio::test(flavor = "multi_thread")]
async fn the_private_postfix_relays_by_itself() {
    let site = Site::new().await;
    let inner = Mailbox::start((site.network.ip(STRANGER_HOST), 0).into()).await.unwrap();
    let Some(postfix) = Postfix::start(&site, inner.address(), site.network.at(EDGE)) else { return };
    let letter = Letter::new(&format!("eve@{PARTNER}"), &format!("bob@{PARTNER}"), "inside");
    assert_eq!(send(postfix.submission, Disguise::Clear, &letter).await.unwrap().code, 250);
    let kept = inner.wait_for(|kept| kept.from == letter.from, PATIENCE).await;
    assert!(kept.is_some(), "nothing came:\n{}", postfix.log());
}
