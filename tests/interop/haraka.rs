//! Haraka (Node.js) as the partner. It asks clients for certificates, but takes what it likes: that
//! ours was asked for and came is all that it can show. It cannot be without a certificate: where none
//! is set for sending, it shows that of its server.

use std::process::Command;

use crate::common::{OURS, PARTNER, tool};
use crate::peers::{
    self, Keys, Peer, Setup, Shows, Tls, ip_and_port, it_gets_no_mail, its_user_is_told, mail_goes_both_ways,
};

fn start(setup: &Setup) -> Option<Peer> {
    let program = peers::unpacked("Haraka", "node/node_modules/Haraka/bin/haraka")?;
    let (node, openssl) = (tool("Haraka", "node")?, tool("Haraka", "openssl")?);
    let shipped = program.ancestors().nth(2).unwrap().join("config");
    let copied = Command::new("cp").arg("-r").arg(shipped).arg(setup.file("config")).status().unwrap();
    assert!(copied.success());
    // Otherwise it makes some of its own at every start, for long.
    let group = Command::new(openssl)
        .args(["genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "dh_param:ffdhe2048", "-out"])
        .arg(setup.file("config/dhparams.pem"))
        .output()
        .unwrap();
    assert!(group.status.success(), "{group:?}");
    let (internet, submission) = (setup.internet, setup.submission);
    setup.write("config/me", &format!("mx.{PARTNER}"));
    setup.write("config/smtp.ini", &format!("listen={internet},{submission}\nnodes=0\n"));
    setup.write("config/plugins", "tls\nwoodgrove\n");
    setup.write("config/loglevel", "INFO");
    setup.write("config/outbound.ini", "enable_tls=true\nlocal_mx_ok=true\n");
    setup.write("config/tls.ini", &tls_ini(setup));
    setup.write("plugins/woodgrove.js", &plugin(setup));
    std::fs::create_dir_all(setup.file("queue")).unwrap();
    let (least, most) = match setup.tls {
        Tls::V12 => ("--tls-min-v1.2", "--tls-max-v1.2"),
        Tls::V13 => ("--tls-min-v1.3", "--tls-max-v1.3"),
    };
    let mut command = Command::new(node);
    command.args([least, most]).arg(program).arg("-c").arg(&setup.home);
    command.env("NODE_EXTRA_CA_CERTS", &setup.root).current_dir(&setup.home);
    setup.start(&mut command, Vec::new())
}

fn tls_ini(setup: &Setup) -> String {
    let client = setup.client.as_ref().map_or_else(String::new, |pair| {
        format!("key={}\ncert={}\n", pair.key.display(), pair.chain.display())
    });
    format!(
        "key={key}\ncert={chain}\nca={root}\nrequestCert=true\nrejectUnauthorized=false\n\
         no_starttls_ports[]={submission}\n[outbound]\nrejectUnauthorized=false\n{client}",
        key = setup.server.key.display(),
        chain = setup.server.chain.display(),
        root = setup.root.display(),
        submission = setup.submission.port(),
    )
}

/// Relays for everyone, and knows two ways.
fn plugin(setup: &Setup) -> String {
    let ((inner, inner_port), (hop, hop_port)) = (ip_and_port(setup.inner), ip_and_port(setup.next_hop));
    format!(
        "exports.hook_connect_init = (next, connection) => {{ connection.relaying = true; next() }}
exports.hook_rcpt = (next, connection) => {{
  const peer = connection.client?.getPeerCertificate?.()
  connection.loginfo(`the client shows ${{peer?.subject?.CN ?? 'nothing'}}`)
  next(OK)
}}
exports.hook_get_mx = (next, hmail, domain) => {{
  const ways = {{
    '{OURS}': {{ exchange: '{hop}', port: {hop_port}, priority: 0 }},
    '{PARTNER}': {{ exchange: '{inner}', port: {inner_port}, priority: 0 }},
  }}
  next(OK, ways[domain])
}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn haraka_and_we_exchange_mail_over_tls_1_3() {
    mail_goes_both_ways(start, Tls::V13, Keys::Ecdsa, "the client shows").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haraka_and_we_exchange_mail_over_tls_1_2_with_rsa() {
    mail_goes_both_ways(start, Tls::V12, Keys::Rsa, "the client shows").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haraka_with_a_strangers_certificate_is_told_so() {
    its_user_is_told(start, Shows::AStrangers, "IncompleteChain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haraka_under_another_name_gets_no_mail() {
    it_gets_no_mail(start, Shows::AnotherName, "NameMismatch").await;
}
