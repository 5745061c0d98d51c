//! docs/lab.md, command by command as a newcomer types it, on addresses of the test's own; only the
//! name server is ours, whether or not dnsmasq is installed.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Network, executable, tool};
use sealpost::cli::demo::dns::{DnsServer, Zone};

const TEST: &str = "the_lab_page_works_command_by_command";

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_page_works_command_by_command() {
    for program in ["openssl", "curl", "bash"] {
        if tool(TEST, program).is_none() {
            return;
        }
    }
    let directory = tempfile::Builder::new().prefix("sealpost-lab-").tempdir().unwrap();
    let network = Network::reserve();
    let mut zone = Zone::default();
    for (domain, host) in [("contoso.example", 1), ("woodgrove.example", 2)] {
        let name = format!("mx.{domain}");
        zone = zone.mx(domain, 10, &name).address(&name, network.ip(host));
    }
    let dns = DnsServer::start(&zone).await.unwrap();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lab.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    let (named, commands): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|block| block.starts_with("dnsmasq "));
    assert_eq!(named.len(), 1, "one block is for the name server");
    let script = format!(
        "set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{}",
        here(&commands.concat(), &network, &dns)
    );
    let file = directory.path().join("lab.sh");
    std::fs::write(&file, script).unwrap();
    let home = directory.path().to_owned();
    let run = move || {
        // `sealpost` is found as on a machine where it is installed.
        let folder = executable().parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let mut bash = Command::new("timeout");
        bash.args(["120", "bash", "-x"]).arg(file).current_dir(home).env("PATH", path);
        bash.env_remove("SEALPOST_CONFIG").output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if std::env::var_os("SEALPOST_LAB_OUTPUT").is_some() {
        println!("{told}");
    }
    assert!(output.status.success(), "{told}");
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

/// What stands between "```sh" and "```".
fn blocks(page: &str) -> Vec<String> {
    let fenced = page.split("\n```sh\n").skip(1);
    fenced.map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

/// The page's addresses and ports, put where nobody else is.
fn here(commands: &str, network: &Network, dns: &DnsServer) -> String {
    let port = network.port.to_string();
    let (inside, mailboxes) = (network.free(1).port().to_string(), network.free(3).port().to_string());
    let [ours, theirs] = [1, 2].map(|host| network.ip(host).to_string());
    let replaced = [
        ("127.0.10.1:5353", dns.address().to_string()),
        (r"127\.0\.11\.1", ours.replace('.', r"\.")),
        ("127.0.11.1", ours),
        ("127.0.12.1", theirs),
        ("2525", port),
        ("2526", inside),
        ("2527", mailboxes),
    ];
    replaced.iter().fold(commands.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in the page");
        text.replace(old, new)
    })
}
