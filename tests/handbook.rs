//! The pages that are to be followed by hand, command by command as a newcomer types them, on
//! addresses of the test's own; and every command of the pages to look things up in, against a
//! running edge.

mod common;
#[path = "handbook/looked_up.rs"]
mod looked_up;
#[path = "handbook/page.rs"]
mod page;

use common::{Network, tool};
use page::{Page, Replaced, run};
use sealpost::cli::demo::dns::{DnsServer, Zone};
use sealpost::cli::demo::mailbox::Mailbox;

/// `name` is the test that asks.
fn tools_are_there(name: &str) -> bool {
    ["openssl", "curl", "bash"].into_iter().all(|program| tool(name, program).is_some())
}

async fn name_server(network: &Network) -> DnsServer {
    let mut zone = Zone::default();
    for (domain, host) in [("contoso.example", 1), ("woodgrove.example", 2)] {
        let name = format!("mx.{domain}");
        zone = zone.mx(domain, 10, &name).address(&name, network.ip(host));
    }
    DnsServer::start(&zone).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_page_works_command_by_command() {
    if !tools_are_there("the_lab_page_works_command_by_command") {
        return;
    }
    let network = Network::reserve();
    let dns = name_server(&network).await;
    let page = Page::read("docs/lab.md");
    // Only the name server is ours, whether or not dnsmasq is installed.
    let page = page.without_block("dnsmasq ");
    let [ours, theirs] = [1, 2].map(|host| network.ip(host).to_string());
    let replaced = Replaced::default()
        .with("127.0.10.1:5353", dns.address())
        .with(r"127\.0\.11\.1", ours.replace('.', r"\."))
        .with("127.0.11.1", ours)
        .with("127.0.12.1", theirs)
        .with("2525", network.port)
        .with("2526", network.free(1).port())
        .with("2527", network.free(3).port());
    let told = run(&page, &replaced).await;
    for words in [
        "chain of 1, complete",
        "admitted by 1 of 1 next hops",
        "sealpost_domain_secure_messages_received_total{domain=contoso.example}",
        "key compromise",
        "not admitted: Revoked",
    ] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
}

/// The addresses of the tutorial are those of two networks; here each is one of ours, all on one port.
#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_leads_from_nothing_to_a_stamped_message() {
    if !tools_are_there("the_tutorial_leads_from_nothing_to_a_stamped_message") {
        return;
    }
    let network = Network::reserve();
    let dns = name_server(&network).await;
    let mailbox = Mailbox::start(network.at(6)).await.unwrap();
    let replaced = Replaced::default()
        .with("127.0.0.1:53\"", format!("{}\"", dns.address()))
        .with("192.0.2.1", network.ip(1))
        .with("198.51.100.1", network.ip(2))
        .with("10.1.0.25", network.ip(4))
        .with("10.2.0.25", network.ip(6))
        .with("10.1.0.1", network.ip(3))
        .with("10.2.0.1", network.ip(5))
        .with("port                = 25", format!("port = {}", network.port))
        .with(":25", format!(":{}", network.port))
        .with("127.0.0.1:8025", "");
    let told = run(&Page::read("docs/tutorial.md"), &replaced).await;
    for words in [
        "enforcing would have refused 0",
        "Domain-Secured: domain=contoso.example",
        "530 5.7.0",
        "sealpost_domain_secure_messages_received_total{domain=contoso.example}",
    ] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
    let arrived = mailbox.wait_for(|kept| kept.from == "ann@contoso.example", common::PATIENCE).await;
    assert!(arrived.unwrap().content.contains("\r\nDomain-Secured: domain=contoso.example;"));
}

/// Postfix's own look-ups included.
#[tokio::test(flavor = "multi_thread")]
async fn a_postfix_policy_map_becomes_our_settings() {
    const TEST: &str = "a_postfix_policy_map_becomes_our_settings";
    if !tools_are_there(TEST) || tool(TEST, "postmap").is_none() {
        return;
    }
    let told = run(&Page::read("docs/migration-postfix.md"), &Replaced::default()).await;
    for words in [
        "fingerprint match=",
        "no errors",
        r#"tls_send_domain_secure_list = ["woodgrove.example", "fabrikam.example"]"#,
        "admitted",
    ] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exchange_had_becomes_our_settings() {
    if !tools_are_there("what_exchange_had_becomes_our_settings") {
        return;
    }
    let told = run(&Page::read("docs/migration-exchange.md"), &Replaced::default()).await;
    for words in ["Ann@contoso.example\ninfo@contoso.example\n", "no errors", "mail.contoso.example"] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
    assert!(!told.contains("\nroom1@contoso.local"), "{told}");
}

/// A new program in the place of the old one and back, under a server with a queue.
#[tokio::test(flavor = "multi_thread")]
async fn the_upgrade_page_leads_there_and_back() {
    if !tools_are_there("the_upgrade_page_leads_there_and_back") {
        return;
    }
    let network = Network::reserve();
    let settings = format!(
        r#"export SEALPOST_CONFIG=/etc/sealpost/sealpost.toml
cat > /etc/sealpost/sealpost.toml <<'TOML'
hostname = "mx.contoso.example"
data_directory = "/var/lib/sealpost"
[[accepted_domain]]
name = "contoso.example"
[[receive_connector]]
name = "Internet"
bindings = ["{}"]
[[send_connector]]
name = "Mailboxes"
address_spaces = ["contoso.example"]
dns_routing_enabled = false
smart_hosts = ["[{}]:9"]
[admin]
listen = ""
TOML
sealpost certificate request --self-signed
sealpost serve 2> server.log & echo $! > server.pid
until grep "^ready" server.log; do sleep 0.2; done
printf 'Subject: waits\r\n\r\nHi.\r\n' > waits.eml
curl --silent --show-error smtp://{} --mail-from ann@fabrikam.example \
    --mail-rcpt bob@contoso.example --upload-file waits.eml
"#,
        network.at(1),
        network.ip(2),
        network.at(1)
    );
    let page = Page::read("docs/upgrade.md")
        .with_first("sh contoso", &settings)
        .with_last("sh contoso", "sealpost queue list | grep bob@contoso.example\nkill $(cat server.pid)\n");
    run(&page, &Replaced::default()).await;
}

/// Inside and two edges on one machine: made, applied, pushed, compared, taken back.
#[tokio::test(flavor = "multi_thread")]
async fn several_edges_take_one_bundle() {
    if !tools_are_there("several_edges_take_one_bundle") {
        return;
    }
    let told = run(&Page::read("docs/several-edges.md"), &Replaced::default()).await;
    for words in [
        "contoso.bundle: bundle 2 (",
        r#"max_message_size = "50 MiB""#,
        r#"beside the bundle: transport.header_from = "off""#,
        "bundle 1 is older than bundle 2, which this edge has",
        "DIFF  has bundle 1 (",
    ] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
}
