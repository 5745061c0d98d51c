//! Revocation unattended: lists fetched from where certificates say, by a whole server, from a
//! server on loopback that a test can break in every way.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, RevocationReason};
use sealpost::cli::demo::client::{Client, Disguise, Letter, Reply, send};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};
use sealpost::cli::demo::server::Server;

use common::http::{HttpServer, Page, redirect};
use common::{Edge, LIST_HOST, OURS, PARTNER, PARTNER_HOST, PATIENCE, Site, executable};

const HOST: &str = "crl.woodgrove.example";
/// Loopback is private.
const ALLOWED: &str = "crl_allow_private_addresses = true";

/// A site whose partner's certificate says where its authority publishes.
struct Scene {
    site: Site,
    server: HttpServer,
    partner: Identity,
}

impl Scene {
    async fn new() -> Self {
        Self::publishing(&["/root.crl"]).await
    }

    /// With a distribution point at each path.
    async fn publishing(paths: &[&str]) -> Self {
        let mut site = Site::new().await;
        let server = HttpServer::start(site.network.ip(LIST_HOST)).await;
        let urls: Vec<String> = paths.iter().map(|path| server.url(HOST, path)).collect();
        let partner = issue(&mut site.authority, &[PARTNER, &format!("mx.{PARTNER}")], &urls);
        Self { site, server, partner }
    }

    /// Publishes all that was revoked so far.
    fn publish(&mut self, validity: time::Duration) {
        let list = self.site.authority.revocation_list(validity).unwrap();
        self.server.put("/root.crl", Page::Body(list.der().to_vec()));
    }

    fn publish_for_a_week(&mut self) {
        self.publish(time::Duration::days(7));
    }

    async fn mail(&self, edge: &Edge) -> Reply {
        let letter = Letter::new(&format!("bob@{PARTNER}"), &format!("alice@{OURS}"), "hello");
        send(edge.internet, Disguise::Certificate(&self.partner), &letter).await.unwrap()
    }

    /// Mails until the reply has this code: what is published takes its time to be known.
    async fn mail_until(&self, edge: &Edge, code: u16) -> Reply {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.mail(edge).await;
            if reply.code == code {
                return reply;
            }
            assert!(Instant::now() < deadline, "still {reply}; server log:\n{}", self.site.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits for these words in the server's log.
    async fn await_log(&self, words: &str) {
        let deadline = Instant::now() + 2 * PATIENCE;
        while !self.site.log().contains(words) {
            assert!(Instant::now() < deadline, "no {words:?} in:\n{}", self.site.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn issue(authority: &mut Authority, names: &[&str], urls: &[String]) -> Identity {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.crl_distribution_points =
        urls.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] }).collect();
    authority.sign(params, Validity::Current).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_mail_of_a_partner_fetches_the_list_and_the_next_need_not() {
    let mut scene = Scene::new().await;
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 250, "{reply}\n{}", scene.site.log());
    let kept = scene.site.arrival(&format!("bob@{PARTNER}")).await;
    let stamp = kept.field("Domain-Secured").expect("a stamp");
    assert!(stamp.contains("verified=chain,revocation,name"), "{stamp}");
    assert_eq!(scene.mail(&edge).await.code, 250);
    assert_eq!(scene.server.requests().len(), 1);
    let metrics = sealpost::cli::demo::counters::fetch(edge.admin).await.unwrap();
    assert!(metrics.contains("sealpost_crl_fetches_total{result=\"fetched\"} 1"), "{metrics}");
    let gauge = metrics.lines().find(|line| line.starts_with("sealpost_crl_next_update_timestamp_seconds{"));
    assert!(gauge.is_some_and(|line| line.contains("Woodgrove Root CA")), "{metrics}");
    let (_, log, _) = edge.command(&["log", "show"]);
    assert!(log.contains("Fetching certificate revocation list"), "{log}");
    let files: Vec<_> = std::fs::read_dir(scene.site.path("data/crl-cache")).unwrap().collect();
    assert_eq!(files.len(), 1);
    let mode = files[0].as_ref().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_on_the_published_list_is_refused() {
    let mut scene = Scene::new().await;
    scene.site.authority.revoke(&scene.partner, RevocationReason::KeyCompromise);
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 550);
    assert!(reply.text.contains("5.7.5") && reply.text.contains("Revoked"), "{reply}");
    assert!(scene.site.log().contains("key compromise"), "{}", scene.site.log());
    assert!(scene.site.mailbox.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_good_list_on_disk_nobody_needs_the_server_even_after_a_restart() {
    let mut scene = Scene::new().await;
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    assert_eq!(scene.mail(&edge).await.code, 250);
    edge.server.kill().unwrap();
    let Scene { site, server, partner } = scene;
    let gone = server.address();
    drop(server);
    let edge = site.start_edge_trusting(ALLOWED, "");
    let scene = Scene { server: HttpServer::start(site.network.ip(LIST_HOST)).await, site, partner };
    assert_ne!(scene.server.address(), gone);
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 250, "{reply}\n{}", scene.site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_the_partner_is_told_to_come_again_and_we_are_told_why() {
    let scene = Scene::new().await;
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 454);
    assert!(reply.text.contains("4.7.5") && reply.text.contains("RevocationUnknown"), "{reply}");
    assert!(!reply.text.contains("http"), "the reply discloses what we asked: {reply}");
    assert!(scene.site.log().contains("failed: the server answered 404"), "{}", scene.site.log());
    assert!(scene.site.log().contains("RevocationListFetchFailed"), "{}", scene.site.log());
    // Nobody is asked again within a minute.
    assert_eq!(scene.mail(&edge).await.code, 454);
    assert_eq!(scene.server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_soft_fail_mail_passes_without_the_list_and_the_stamp_says_so() {
    let scene = Scene::new().await;
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\nrevocation = \"soft-fail\""), "");
    assert_eq!(scene.mail(&edge).await.code, 250);
    let kept = scene.site.arrival(&format!("bob@{PARTNER}")).await;
    assert!(kept.field("Domain-Secured").unwrap().contains("verified=chain,name"), "{}", kept.content);
    assert_eq!(scene.server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_soft_fail_a_list_that_names_the_partner_still_counts() {
    let mut scene = Scene::new().await;
    scene.site.authority.revoke(&scene.partner, RevocationReason::Superseded);
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\nrevocation = \"soft-fail\""), "");
    assert_eq!(scene.mail(&edge).await.code, 550);
}

/// The defaults: loopback is not asked, whatever a certificate says.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_never_asked_unless_allowed() {
    let mut scene = Scene::new().await;
    scene.publish_for_a_week();
    let port_80 = [format!("http://{HOST}/root.crl")];
    let on_port_80 = issue(&mut scene.site.authority, &[PARTNER], &port_80);
    let edge = scene.site.start_edge_trusting("", "");
    assert_eq!(scene.mail(&edge).await.code, 454);
    assert!(scene.site.log().contains("not one of 80 and 443"), "{}", scene.site.log());
    scene.partner = on_port_80;
    assert_eq!(scene.mail(&edge).await.code, 454);
    assert!(scene.site.log().contains("which is not public"), "{}", scene.site.log());
    assert!(scene.server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_crl_fetch_off_nobody_is_asked() {
    let mut scene = Scene::new().await;
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\ncrl_fetch = false"), "");
    assert_eq!(scene.mail(&edge).await.code, 454);
    assert!(scene.server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_the_issuers_own_of_today_is_not_kept() {
    let mut scene = Scene::new().await;
    let mut impostor = Authority::new("Woodgrove").unwrap();
    let mut stranger = Authority::new("Litware").unwrap();
    let week = time::Duration::days(7);
    let forged = impostor.revocation_list(week).unwrap();
    let foreign = stranger.revocation_list(week).unwrap();
    let outdated = scene.site.authority.revocation_list(-time::Duration::minutes(1)).unwrap();
    for (body, words) in [
        (forged.der().to_vec(), "the signature on the list is wrong"),
        (foreign.der().to_vec(), "the list is of another issuer"),
        (outdated.der().to_vec(), "the list is out of date"),
        (b"<html>Not found</html>".to_vec(), "neither PEM nor DER"),
    ] {
        scene.server.put("/root.crl", Page::Body(body));
        let edge = scene.site.start_edge_trusting(ALLOWED, "");
        assert_eq!(scene.mail(&edge).await.code, 454, "{words}");
        assert!(scene.site.log().contains(words), "no {words:?} in:\n{}", scene.site.log());
        assert!(!scene.site.path("data/crl-cache").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_distribution_point_does_not_disable_the_next() {
    let mut scene = Scene::publishing(&["/round", "/huge", "/slow", "/root.crl"]).await;
    scene.server.put("/round", redirect("/round"));
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    scene.server.put("/huge", Page::Raw(huge));
    scene.server.put("/slow", Page::Silence);
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\ncrl_fetch_timeout = \"6 s\""), "");
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 250, "{reply}\n{}", scene.site.log());
    for words in ["more than 5 redirects", "more than 20 MB", "no complete answer within"] {
        assert!(scene.site.log().contains(words), "no {words:?} in:\n{}", scene.site.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_holds_a_session_no_longer_than_crl_fetch_timeout() {
    let scene = Scene::new().await;
    scene.server.put("/root.crl", Page::Silence);
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\ncrl_fetch_timeout = \"1 s\""), "");
    assert_eq!(scene.mail(&edge).await.code, 454);
    assert!(scene.site.log().contains("no complete answer within 1.0 s"), "{}", scene.site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_at_once_make_one_request() {
    let mut scene = Scene::new().await;
    let list = scene.site.authority.revocation_list(time::Duration::days(7)).unwrap();
    // Long enough for all of them to come and wait.
    scene.server.put("/root.crl", Page::Late(Duration::from_secs(2), list.der().to_vec()));
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let m = || scene.mail(&edge);
    let replies = tokio::join!(m(), m(), m(), m(), m(), m(), m(), m());
    let replies: [Reply; 8] = replies.into();
    let replies = replies.map(|reply| reply.code);
    assert_eq!(replies, [250; 8]);
    assert_eq!(scene.server.requests().len(), 1);
}

/// A list runs out; the one that takes its place names the partner, whose session is still open.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_refreshed_in_the_background_and_open_sessions_are_judged_again() {
    let mut scene = Scene::new().await;
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let mut client = Client::connect(edge.internet, Disguise::Certificate(&scene.partner)).await.unwrap();
    let letter = Letter::new(&format!("bob@{PARTNER}"), &format!("alice@{OURS}"), "hello");
    scene.publish(time::Duration::seconds(30));
    assert_eq!(client.send(&letter).await.unwrap().code, 250);
    scene.site.authority.revoke(&scene.partner, RevocationReason::KeyCompromise);
    scene.publish_for_a_week();
    scene.server.await_requests(2, PATIENCE).await;
    scene.mail_until(&edge, 550).await;
    let reply = client.send(&letter).await.unwrap();
    assert_eq!(reply.code, 550, "{reply}");
    assert!(reply.text.contains("Revoked"), "{reply}");
}

/// While the list is good an unreachable server only makes us warn.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_is_told_and_stops_no_mail() {
    let mut scene = Scene::new().await;
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    scene.publish(time::Duration::seconds(40));
    assert_eq!(scene.mail(&edge).await.code, 250);
    scene.server.put("/root.crl", busy());
    scene.await_log("the server answered 503").await;
    assert_eq!(scene.mail(&edge).await.code, 250, "{}", scene.site.log());
    assert!(scene.site.log().contains("good_until=20"), "{}", scene.site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn crl_max_age_ends_a_list_that_is_no_longer_confirmed() {
    let mut scene = Scene::new().await;
    scene.publish_for_a_week();
    let edge = scene.site.start_edge_trusting(&format!("{ALLOWED}\ncrl_max_age = \"5 s\""), "");
    assert_eq!(scene.mail(&edge).await.code, 250);
    scene.server.put("/root.crl", busy());
    let reply = scene.mail_until(&edge, 454).await;
    assert!(reply.text.contains("RevocationUnknown"), "{reply}");
    assert!(scene.site.log().contains("crl_max_age"), "{}", scene.site.log());
}

fn busy() -> Page {
    Page::Raw(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_proxy_the_proxy_is_asked() {
    let mut scene = Scene::new().await;
    let url = "http://crl.public.example/root.crl".to_owned();
    scene.partner = issue(&mut scene.site.authority, &[PARTNER], std::slice::from_ref(&url));
    let list = scene.site.authority.revocation_list(time::Duration::days(7)).unwrap();
    scene.server.put(&url, Page::Body(list.der().to_vec()));
    let proxy = format!("crl_proxy = \"{HOST}:{}\"", scene.server.address().port());
    let edge = scene.site.start_edge_trusting(&proxy, "");
    let reply = scene.mail(&edge).await;
    assert_eq!(reply.code, 250, "{reply}\n{}", scene.site.log());
}

/// Outbound: the server's certificate is checked the same way before it gets any mail.
#[tokio::test(flavor = "multi_thread")]
async fn before_mail_goes_out_the_list_of_the_next_hop_is_fetched() {
    let mut scene = Scene::new().await;
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let _woodgrove = start_woodgrove(&scene);
    let letter = Letter::new(&format!("alice@{OURS}"), &format!("bob@{PARTNER}"), "outbound");
    assert_eq!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    scene.server.await_requests(1, PATIENCE).await;
    scene.await_log("RevocationUnknown").await;
    assert!(scene.site.mailbox.all().is_empty());
    let (_, why, _) = edge.command(&["queue", "list", "--json"]);
    assert!(why.contains("RevocationUnknown"), "{why}");
    scene.publish_for_a_week();
    // A failure is remembered for a minute; a server that starts anew has none.
    edge.server.stop().unwrap();
    let edge = scene.site.start_edge_trusting(ALLOWED, "");
    let (status, _, error) = edge.command(&["queue", "retry", "--all"]);
    assert_eq!(status, 0, "{error}");
    let kept = scene.site.arrival(&format!("alice@{OURS}")).await;
    assert_eq!(kept.to, [format!("bob@{PARTNER}")]);
    scene.server.await_requests(2, PATIENCE).await;
}

/// The partner's own edge, where its MX record points to.
fn start_woodgrove(scene: &Scene) -> Server {
    let site = &scene.site;
    scene.partner.write(&site.path("."), "published").unwrap();
    let mailbox = site.mailbox.address();
    let config = site.path("woodgrove.toml");
    let text = format!(
        r#"hostname = "mx.{PARTNER}"
data_directory = "woodgrove-data"

[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["contoso.crl"]

[[partner]]
name = "Contoso"
domains = ["{OURS}"]
domain_secure = ["receive"]
trust_anchors = ["contoso-root.pem"]

[[accepted_domain]]
name = "{PARTNER}"

[[certificate]]
chain = "published.pem"
key = "published.key"

[[receive_connector]]
name = "Internet"
bindings = ["{binding}"]

[[send_connector]]
name = "Mailboxes"
address_spaces = ["{PARTNER}"]
dns_routing_enabled = false
smart_hosts = ["[{ip}]:{port}"]

[dns]
servers = ["{dns}"]

[admin]
listen = ""
"#,
        binding = site.network.at(PARTNER_HOST),
        ip = mailbox.ip(),
        port = mailbox.port(),
        dns = site.dns.address(),
    );
    std::fs::write(&config, text).unwrap();
    Server::start(executable(), &config, &site.path("woodgrove.log")).unwrap()
}

/// Soft-fail forgives a list that is missing, so a file that is being replaced must not be missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_half_written_lets_no_revoked_partner_pass() {
    let mut scene = Scene::new().await;
    scene.site.authority.revoke(&scene.partner, RevocationReason::KeyCompromise);
    let list = scene.site.authority.revocation_list(time::Duration::days(7)).unwrap();
    let file = scene.site.path("partners.crl");
    std::fs::write(&file, list.der()).unwrap();
    let trust = "crl_fetch = false\nrevocation = \"soft-fail\"\ncrl_files = [\"partners.crl\"]";
    let edge = scene.site.start_edge_trusting(trust, "");
    assert_eq!(scene.mail(&edge).await.code, 550);
    let told = |scene: &Scene, event: &str| scene.site.log().matches(event).count();
    std::fs::write(&file, &list.der()[..40]).unwrap();
    scene.await_log("RevocationListKept").await;
    assert_eq!(told(&scene, "RevocationListLoaded"), 1, "each list is told once: {}", scene.site.log());
    assert_eq!(scene.mail(&edge).await.code, 550);
    std::fs::remove_file(&file).unwrap();
    scene.await_log("cannot read").await;
    assert_eq!(scene.mail(&edge).await.code, 550);
    std::fs::write(&file, list.der()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while told(&scene, "RevocationListLoaded") < 2 {
        assert!(Instant::now() < deadline, "{}", scene.site.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.mail(&edge).await.code, 550);
}
