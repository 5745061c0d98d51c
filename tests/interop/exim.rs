//! Exim (Debian's heavy daemon, over GnuTLS) as the partner.

use std::process::Command;

use crate::common::{OURS, PARTNER};
use crate::peers::{
    self, Keys, Peer, Setup, Shows, Tls, ip_and_port, it_gets_no_mail, its_user_is_told, mail_goes_both_ways,
};

fn start(setup: &Setup) -> Option<Peer> {
    let program = peers::unpacked("Exim", "exim/usr/sbin/exim4")?;
    setup.folder("spool", "Debian-exim");
    setup.folder("log", "Debian-exim");
    let configuration = setup.write("exim.conf", &configuration(setup, &program.display().to_string()));
    let mut command = Command::new(&program);
    command.arg("-C").arg(configuration).args(["-bdf", "-q1m", "-oP"]).arg(setup.file("exim.pid"));
    setup.start(&mut command, vec![setup.file("log/main"), setup.file("log/panic")])
}

fn configuration(setup: &Setup, program: &str) -> String {
    let (internet_ip, internet_port) = ip_and_port(setup.internet);
    let (submission_ip, submission_port) = ip_and_port(setup.submission);
    let (inner_ip, inner_port) = ip_and_port(setup.inner);
    let (hop_ip, hop_port) = ip_and_port(setup.next_hop);
    let ciphers = match setup.tls {
        Tls::V12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
        Tls::V13 => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    };
    let client = setup.client.as_ref().map_or_else(String::new, |pair| {
        format!("  tls_certificate = {}\n  tls_privatekey = {}\n", pair.chain.display(), pair.key.display())
    });
    let from_world = format!("${{if eq{{$received_port}}{{{internet_port}}}{{*}}{{}}}}");
    format!(
        "exim_path = {program}
spool_directory = {home}/spool
log_file_path = {home}/log/%s
log_selector = +tls_certificate_verified +tls_peerdn
primary_hostname = mx.{PARTNER}
local_interfaces = <; [{internet_ip}]:{internet_port} ; [{submission_ip}]:{submission_port}
smtp_accept_max_per_host = 0
deliver_drop_privilege = true
acl_smtp_rcpt = accept
acl_smtp_data = accept
never_users =
keep_environment =
tls_advertise_hosts = {from_world}
tls_verify_hosts = {from_world}
tls_certificate = {server_chain}
tls_privatekey = {server_key}
tls_verify_certificates = {root}
tls_require_ciphers = {ciphers}
begin routers
partner:
  driver = manualroute
  domains = {OURS}
  route_data = {hop_ip}
  self = send
  transport = partner
inner:
  driver = manualroute
  domains = {PARTNER}
  route_data = {inner_ip}
  self = send
  transport = inner
begin transports
partner:
  driver = smtp
  port = {hop_port}
  hosts_require_tls = *
  tls_verify_certificates = {root}
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  tls_require_ciphers = {ciphers}
  hosts_request_ocsp =
{client}inner:
  driver = smtp
  port = {inner_port}
  hosts_avoid_tls = *
begin retry
* * F,2h,1m
",
        home = setup.home.display(),
        server_chain = setup.server.chain.display(),
        server_key = setup.server.key.display(),
        root = setup.root.display(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_and_we_exchange_mail_over_tls_1_3() {
    mail_goes_both_ways(start, Tls::V13, Keys::Ecdsa, "CV=yes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_and_we_exchange_mail_over_tls_1_2_with_rsa() {
    mail_goes_both_ways(start, Tls::V12, Keys::Rsa, "CV=yes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_without_a_certificate_is_told_so() {
    its_user_is_told(start, Shows::Nothing, "NoCertificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_with_a_strangers_certificate_is_told_so() {
    its_user_is_told(start, Shows::AStrangers, "IncompleteChain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_under_another_name_gets_no_mail() {
    it_gets_no_mail(start, Shows::AnotherName, "NameMismatch").await;
}
