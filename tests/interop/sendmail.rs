//! sendmail as the partner, configured by its own macros.

use std::process::Command;

use crate::common::{OURS, PARTNER, tool};
use crate::peers::{
    self, Keys, Peer, Setup, Shows, Tls, ip_and_port, it_gets_no_mail, its_user_is_told, mail_goes_both_ways,
};

fn start(setup: &Setup) -> Option<Peer> {
    let program = peers::unpacked("sendmail", "sendmail/usr/libexec/sendmail/sendmail")?;
    let macros = peers::unpacked("sendmail", "sendmail/usr/share/sendmail/cf")?;
    let m4 = tool("sendmail", "m4")?;
    setup.folder("mqueue", "root");
    setup.write("aliases", "");
    // sendmail mistrusts keys that others can read.
    for pair in std::iter::once(&setup.server).chain(&setup.client) {
        let mode = Command::new("chmod").arg("600").arg(&pair.key).status().unwrap();
        assert!(mode.success());
    }
    let master = setup.write("sendmail.mc", &configuration(setup));
    let made = Command::new(m4)
        .arg(format!("-D_CF_DIR_={}/", macros.display()))
        .arg(macros.join("m4/cf.m4"))
        .arg(master)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let configuration = setup.file("sendmail.cf");
    std::fs::write(&configuration, made.stdout).unwrap();
    // Without a full host name it sleeps for a minute, in the hope of one.
    let script = format!(
        "hostname mx.{PARTNER} && exec {} -C {} -bD -q1m -X {}",
        program.display(),
        configuration.display(),
        setup.file("traffic").display()
    );
    let mut command = peers::apart("sendmail", "-u", &script)?;
    setup.start(&mut command, vec![setup.file("traffic")])
}

/// `-bD` keeps it in the foreground; what it writes into `Received` tells whether it found the
/// client's certificate good.
fn configuration(setup: &Setup) -> String {
    let (internet_ip, internet_port) = ip_and_port(setup.internet);
    let (submission_ip, submission_port) = ip_and_port(setup.submission);
    let (inner_ip, inner_port) = ip_and_port(setup.inner);
    let (hop_ip, hop_port) = ip_and_port(setup.next_hop);
    let versions = match setup.tls {
        Tls::V12 => "SSL_OP_NO_SSLv2 SSL_OP_NO_SSLv3 SSL_OP_NO_TLSv1 SSL_OP_NO_TLSv1_1 SSL_OP_NO_TLSv1_3",
        Tls::V13 => "SSL_OP_NO_SSLv2 SSL_OP_NO_SSLv3 SSL_OP_NO_TLSv1 SSL_OP_NO_TLSv1_1 SSL_OP_NO_TLSv1_2",
    }
    .split(' ')
    .map(|option| format!("+{option}"))
    .collect::<Vec<_>>()
    .join(" ");
    let client = setup.client.as_ref().map_or_else(String::new, |pair| {
        format!(
            "define(`confCLIENT_CERT', `{}')dnl\ndefine(`confCLIENT_KEY', `{}')dnl\n",
            pair.chain.display(),
            pair.key.display()
        )
    });
    let home = setup.home.display();
    format!(
        "divert(0)dnl
VERSIONID(`interop')dnl
OSTYPE(`linux')dnl
define(`QUEUE_DIR', `{home}/mqueue')dnl
define(`ALIAS_FILE', `{home}/aliases')dnl
define(`STATUS_FILE', `{home}/statistics')dnl
define(`confPID_FILE', `{home}/sendmail.pid')dnl
define(`confCONTROL_SOCKET_NAME', `')dnl
define(`confDOMAIN_NAME', `mx.{PARTNER}')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confREJECT_LOG_INTERVAL', `1m')dnl
define(`confCACERT', `{root}')dnl
define(`confCACERT_PATH', `{home}')dnl
define(`confSERVER_CERT', `{server_chain}')dnl
define(`confSERVER_KEY', `{server_key}')dnl
{client}define(`confSERVER_SSL_OPTIONS', `{versions}')dnl
define(`confCLIENT_SSL_OPTIONS', `{versions}')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {hop_port}')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {inner_port}')dnl
DAEMON_OPTIONS(`Name=Internet, Addr={internet_ip}, Port={internet_port}')dnl
DAEMON_OPTIONS(`Name=Submission, Addr={submission_ip}, Port={submission_port}, M=S')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unresolvable_domains')dnl
MAILER(`smtp')dnl
LOCAL_RULE_0
R$* < @ {OURS} . > $*	$#esmtp $@ [{hop_ip}] $: $1 < @ {OURS} . > $2
R$* < @ {OURS} > $*	$#esmtp $@ [{hop_ip}] $: $1 < @ {OURS} > $2
R$* < @ {PARTNER} . > $*	$#relay $@ [{inner_ip}] $: $1 < @ {PARTNER} . > $2
R$* < @ {PARTNER} > $*	$#relay $@ [{inner_ip}] $: $1 < @ {PARTNER} > $2
",
        root = setup.root.display(),
        server_chain = setup.server.chain.display(),
        server_key = setup.server.key.display(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sendmail_and_we_exchange_mail_over_tls_1_3() {
    mail_goes_both_ways(start, Tls::V13, Keys::Ecdsa, "verify=OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sendmail_and_we_exchange_mail_over_tls_1_2_with_rsa() {
    mail_goes_both_ways(start, Tls::V12, Keys::Rsa, "verify=OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sendmail_without_a_certificate_is_told_so() {
    its_user_is_told(start, Shows::Nothing, "NoCertificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sendmail_with_a_strangers_certificate_is_told_so() {
    its_user_is_told(start, Shows::AStrangers, "IncompleteChain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sendmail_under_another_name_gets_no_mail() {
    it_gets_no_mail(start, Shows::AnotherName, "NameMismatch").await;
}
