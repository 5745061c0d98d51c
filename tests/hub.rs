//! The hub: `config/partner-hub.toml` between two partner organisations, all three of them real
//! servers. Mail of either reaches the other with a certificate shown and checked on each leg;
//! nobody else gets anything through.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::{Network, PATIENCE, executable};
use sealpost::cli::demo::client::{Client, Disguise, Letter, send};
use sealpost::cli::demo::dns::{DnsServer, Zone};
use sealpost::cli::demo::mailbox::Mailbox;
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use sealpost::cli::demo::server::Server;

const HUB: u8 = 1;
const WOODGROVE: u8 = 2;
const FABRIKAM: u8 = 3;
const MAILBOX: u8 = 4;
const WOODGROVE_INSIDE: u8 = 5;
const FABRIKAM_INSIDE: u8 = 6;

/// Keys of one organisation, and its files in `home`: certificate, key, root and list.
fn organisation(home: &Path, name: &str, names: &[&str]) -> Identity {
    let mut authority = Authority::new(name).unwrap();
    let identity = authority.issue(names, Validity::Current).unwrap();
    identity.write(home, name).unwrap();
    std::fs::write(home.join(format!("{name}-root.pem")), authority.root_pem()).unwrap();
    std::fs::write(home.join(format!("{name}.crl")), authority.revocation_list_pem().unwrap()).unwrap();
    identity
}

/// The sample settings, with addresses of this test in place of the real ones.
fn hub_settings(network: &Network, dns: SocketAddr) -> String {
    let sample =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/partner-hub.toml"));
    let mut settings = sample.unwrap();
    let (address, port) = (network.at(HUB), network.port);
    let changes = [
        ("\"/var/lib/sealpost\"", "\"hub-data\"".to_owned()),
        ("[\"0.0.0.0:25\", \"[::]:25\"]", format!("[\"{address}\"]")),
        ("name           = \"Partners\"", format!("name = \"Partners\"\nport = {port}")),
    ];
    for (old, new) in changes {
        assert_eq!(settings.matches(old).count(), 1, "{old} in config/partner-hub.toml");
        settings = settings.replace(old, &new);
    }
    format!("{settings}\n[dns]\nservers = [\"{dns}\"]\n\n[admin]\nlisten = \"\"\n")
}

/// One partner's edge: the other partner is reached through the hub, and the hub's certificate
/// may speak for it.
fn partner_settings(
    us: &str,
    them: &str,
    listen: SocketAddr,
    inside: SocketAddr,
    mailbox: SocketAddr,
    dns: SocketAddr,
) -> String {
    format!(
        r#"hostname = "mail.{us}.example"
data_directory = "{us}-data"
[trust]
crl_files = ["hub.crl"]
[[partner]]
name = "The other, through the hub"
domains = ["{them}.example"]
domain_secure = ["send", "receive"]
trust_anchors = ["hub-root.pem"]
certificate_names = ["hub.example"]
[[accepted_domain]]
name = "{us}.example"
[[certificate]]
chain = "{us}.pem"
key = "{us}.key"
[[receive_connector]]
name = "Internet"
bindings = ["{listen}"]
[[receive_connector]]
name = "Inside"
bindings = ["{inside}"]
domain_secure_enabled = false
permissions = ["submit", "relay"]
[[send_connector]]
name = "Internet"
address_spaces = ["*"]
port = {port}
[[send_connector]]
name = "Mailboxes"
address_spaces = ["{us}.example"]
dns_routing_enabled = false
smart_hosts = ["{mailbox_host}"]
[dns]
servers = ["{dns}"]
[admin]
listen = ""
"#,
        port = listen.port(),
        mailbox_host = format_args!("[{}]:{}", mailbox.ip(), mailbox.port()),
    )
}

fn start(home: &Path, name: &str, settings: &str) -> Server {
    let file = home.join(format!("{name}.toml"));
    std::fs::write(&file, settings).unwrap();
    let log = home.join(format!("{name}.log"));
    Server::start(executable(), &file, &log).unwrap_or_else(|error| {
        panic!("{name}: {error}\n{}", std::fs::read_to_string(&log).unwrap_or_default())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_passes_between_the_two_partners_and_for_nobody_else() {
    between_two_partners("").await;
}

/// Each server may answer when the next one has the message; what is shown, checked and stamped is the
/// same.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_cut_through_on_all_three_servers() {
    between_two_partners("\n[queue]\ncut_through = true\n").await;
}

async fn between_two_partners(more: &str) {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    organisation(home, "hub", &["hub.example"]);
    let woodgrove = organisation(home, "woodgrove", &["woodgrovebank.example", "mail.woodgrovebank.example"]);
    organisation(home, "fabrikam", &["fabrikam.example", "mail.fabrikam.example"]);
    rename_for(home, "woodgrove", "woodgrovebank");
    let network = Network::reserve();
    // What the partners are told leads to the hub; the hub is told of the partners' own edges.
    let outside = Zone::default()
        .mx("woodgrovebank.example", 10, "hub.example")
        .mx("fabrikam.example", 10, "hub.example")
        .address("hub.example", network.ip(HUB));
    let behind = Zone::default()
        .mx("woodgrovebank.example", 10, "mail.woodgrovebank.example")
        .mx("fabrikam.example", 10, "mail.fabrikam.example")
        .address("mail.woodgrovebank.example", network.ip(WOODGROVE))
        .address("mail.fabrikam.example", network.ip(FABRIKAM));
    let outside = DnsServer::start(&outside).await.unwrap();
    let behind = DnsServer::start(&behind).await.unwrap();
    let mailbox = Mailbox::start((network.ip(MAILBOX), 0).into()).await.unwrap();
    let partner = |us, them, host, inside| {
        let (listen, inside) = (network.at(host), network.at(inside));
        partner_settings(us, them, listen, inside, mailbox.address(), outside.address()) + more
    };
    let _hub = start(home, "hub", &(hub_settings(&network, behind.address()) + more));
    let _woodgrove =
        start(home, "woodgrovebank", &partner("woodgrovebank", "fabrikam", WOODGROVE, WOODGROVE_INSIDE));
    let _fabrikam = start(home, "fabrikam", &partner("fabrikam", "woodgrovebank", FABRIKAM, FABRIKAM_INSIDE));

    for (from, to, inside) in [
        ("bob@woodgrovebank.example", "dave@fabrikam.example", WOODGROVE_INSIDE),
        ("dave@fabrikam.example", "bob@woodgrovebank.example", FABRIKAM_INSIDE),
    ] {
        let letter = Letter::new(from, to, "through the hub");
        let reply = send(network.at(inside), Disguise::Clear, &letter).await.unwrap();
        assert!(reply.is_positive(), "{reply:?}");
        let kept = mailbox.wait_for(|kept| kept.from == from, PATIENCE).await;
        let kept = kept.unwrap_or_else(|| panic!("{from} -> {to} did not arrive"));
        let stamp = kept.field("Domain-Secured").expect("a stamp of the last edge");
        let domain = from.split_once('@').unwrap().1;
        assert!(stamp.contains(&format!("domain={domain};")), "{stamp}");
        assert!(stamp.contains("names=\"hub.example\""), "the hub's certificate spoke for it: {stamp}");
        assert_eq!(kept.content.matches("Domain-Secured:").count(), 1, "one stamp, ours:\n{}", kept.content);
        assert_eq!(kept.content.matches("with ESMTPS").count(), 2, "TLS on both legs:\n{}", kept.content);
    }

    nobody_else(network.at(HUB), &woodgrove).await;
}

/// A stranger is refused before the recipient is looked at, for the connector requires TLS; with
/// TLS, and even with the other partner's name, nothing passes.
async fn nobody_else(hub: SocketAddr, woodgrove: &Identity) {
    let to_fabrikam = |from: &str| Letter::new(from, "dave@fabrikam.example", "let me through");
    let reply = send(hub, Disguise::Clear, &to_fabrikam("eve@litware.example")).await.unwrap();
    assert_eq!((reply.code, &reply.text[..5]), (530, "5.7.0"), "{reply:?}");
    let reply = send(hub, Disguise::Anonymous, &to_fabrikam("eve@litware.example")).await.unwrap();
    assert_eq!((reply.code, &reply.text[..5]), (550, "5.7.1"), "{reply:?}");
    // A partner's own certificate does not make it the recipient's other partner.
    let as_itself = Letter::new("bob@woodgrovebank.example", "bob@woodgrovebank.example", "to ourselves");
    let reply = send(hub, Disguise::Certificate(woodgrove), &as_itself).await.unwrap();
    assert_eq!((reply.code, &reply.text[..5]), (550, "5.7.1"), "{reply:?}");
    // Nor does the hub relay for a partner to the rest of the world.
    let outward = Letter::new("bob@woodgrovebank.example", "eve@litware.example", "out");
    let reply = send(hub, Disguise::Certificate(woodgrove), &outward).await.unwrap();
    assert_eq!((reply.code, &reply.text[..5]), (550, "5.7.1"), "{reply:?}");
    let mut client = Client::connect(hub, Disguise::Certificate(woodgrove)).await.unwrap();
    let reply = client.command("MAIL FROM:<>").await.unwrap();
    assert!(reply.is_positive(), "{reply:?}");
    let reply = client.command("RCPT TO:<dave@fabrikam.example>").await.unwrap();
    assert!(reply.is_positive(), "a report of the proved partner passes: {reply:?}");
    tokio::time::timeout(Duration::from_secs(10), client.quit()).await.unwrap();
}

/// The sample names its files after the short name, the domain is the long one.
fn rename_for(home: &Path, short: &str, long: &str) {
    for ending in ["pem", "key"] {
        std::fs::copy(home.join(format!("{short}.{ending}")), home.join(format!("{long}.{ending}"))).unwrap();
    }
}
