//! What a walk tells of a partner's server.

use rcgen::RevocationReason;
use sealpost::cli::demo::pki::{Authority, Validity};

use crate::common::{OURS, PARTNER, PARTNER_HOST, command};
use crate::peer::{Ask, Manner, Peer};
use crate::{World, flat, probe};

/// What one page must say besides the fault.
struct Told<'a> {
    theirs: &'a str,
    ours: &'a str,
}

/// Probes a partner that behaves like this; the fault and the words must be there.
async fn refused(world: &World, manner: Manner, config: std::path::PathBuf, fault: &str, told: Told<'_>) {
    let peer = world.peer(manner).await;
    let (status, page) = probe(&config, &[]);
    let flat = flat(&page);
    assert_eq!(status, 1, "{page}");
    assert!(flat.contains(&format!("not admitted: {fault}")), "{fault} in {page}");
    let theirs = flat.split("What woodgrove.example can change").nth(1).unwrap_or_default();
    let (theirs, ours) = theirs.split_once("What we can change").unwrap_or((theirs, ""));
    let ours =
        if ours.is_empty() { flat.split("What we can change").nth(1).unwrap_or_default() } else { ours };
    assert!(theirs.contains(told.theirs), "{:?} for them in {page}", told.theirs);
    for ours in [".crl", ".pem", "spki_pins", "trust_anchors", "certificate_names"] {
        assert!(!theirs.contains(ours), "a mail to them must not show {ours}: {page}");
    }
    assert!(ours.contains(told.ours), "{:?} for us in {page}", told.ours);
    assert!(!peer.was_sent_mail(), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_of_our_own_kind_is_admitted_step_by_step() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER, "mx.woodgrove.example"]);
    identity.write(&world.site.path(""), "woodgrove").unwrap();
    let address = world.site.network.at(PARTNER_HOST);
    let settings = format!(
        "hostname = \"mx.{PARTNER}\"\ndata_directory = \"theirs\"\n\
         [trust]\nanchors = [\"contoso-root.pem\"]\ncrl_files = [\"contoso.crl\"]\n\
         [[partner]]\nname = \"Contoso\"\ndomains = [\"{OURS}\"]\ndomain_secure = [\"send\", \"receive\"]\n\
         [[accepted_domain]]\nname = \"{PARTNER}\"\n\
         [[certificate]]\nchain = \"woodgrove.pem\"\nkey = \"woodgrove.key\"\n\
         [[receive_connector]]\nname = \"Internet\"\nbindings = [\"{address}\"]\n\
         [[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"*\"]\n\
         [admin]\nlisten = \"\"\n[dns]\nservers = [\"{}\"]\n",
        world.site.dns.address()
    );
    let theirs = world.site.path("theirs.toml");
    std::fs::write(&theirs, settings).unwrap();
    let log = world.site.path("theirs.log");
    let server = sealpost::cli::demo::server::Server::start(crate::common::executable(), &theirs, &log);
    let _server = server.unwrap();
    let config = world.config();

    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 0, "{told}");
    let told = flat(&told);
    for words in [
        "MX 10 mx.woodgrove.example",
        "send list yes: mutual TLS or no mail",
        "we present CN=contoso.example,O=Contoso",
        "> STARTTLS",
        "TLS TLSv1.3 TLS13_AES_256_GCM_SHA384, X25519MLKEM768",
        "names woodgrove.example, mx.woodgrove.example",
        "ours asked for, sent, and the session went on",
        "passed chain, revocation, name",
        "admitted by 1 of 1 next hops",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(!told.contains("MAIL FROM"), "{told}");
    assert!(!told.contains("can change"), "{told}");

    let (status, json) = {
        let (status, out, _) = command(&config, &["partner", "probe", PARTNER, "--json"]);
        (status, serde_json::from_str::<serde_json::Value>(&out).unwrap())
    };
    assert_eq!(status, 0);
    assert_eq!(json["admitted"], true);
    assert_eq!(json["targets"][0]["verdict"]["level"], "domain-secure");
    assert_eq!(json["targets"][0]["certificates"][0]["names"][0], PARTNER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_starttls() {
    let world = World::new().await;
    let told = Told { theirs: "does not offer STARTTLS to us (mx.contoso.example)", ours: "" };
    refused(&world, Manner::clear(), world.config(), "StartTlsNotOffered", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_asks_for_our_certificate() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let told = Told {
        theirs: "Set-ReceiveConnector -DomainSecureEnabled $true",
        ours: "require_client_certificate_request = false",
    };
    let manner = Manner::with(&identity, &Ask::Nobody);
    refused(&world, manner, world.config(), "ClientCertificateNotRequested", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_our_certificate_in_either_version() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut world = World::new().await;
        let identity = world.identity(&[PARTNER]);
        // It trusts its own authority alone.
        let ask = Ask::Those(world.site.path("woodgrove-root.pem"));
        let manner = Manner::of_versions(&identity, &ask, &[version]);
        let told = Told { theirs: "refuses our certificate", ours: "Send them our root certificate" };
        refused(&world, manner, world.config(), "ClientCertificateRefused", told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired() {
    let mut world = World::new().await;
    let identity = world.theirs.issue(&[PARTNER], Validity::Expired).unwrap();
    let manner = Manner::with(&identity, &world.our_root());
    let told = Told { theirs: "has expired", ours: "" };
    refused(&world, manner, world.config(), "Expired", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_valid_yet() {
    let mut world = World::new().await;
    let identity = world.theirs.issue(&[PARTNER], Validity::NotYet).unwrap();
    let manner = Manner::with(&identity, &world.our_root());
    let told = Told { theirs: "Please check your clock and ours", ours: "" };
    refused(&world, manner, world.config(), "NotYetValid", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_the_host_alone() {
    let mut world = World::new().await;
    let identity = world.identity(&["mx.woodgrove.example"]);
    let manner = Manner::with(&identity, &world.our_root());
    let told = Told {
        theirs: "Please have it issued with woodgrove.example in the subjectAltName",
        ours: "certificate_names = [\"mx.woodgrove.example\"]",
    };
    refused(&world, manner, world.config(), "NameMismatch", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_that_are_not_trusted_sent_or_not() {
    for (sent, fault) in [(true, "UntrustedRoot"), (false, "IncompleteChain")] {
        let world = World::new().await;
        let mut other = Authority::new("Another").unwrap();
        let identity = other.issue(&[PARTNER], Validity::Current).unwrap();
        let identity = if sent { identity.with_root(&other) } else { identity };
        let manner = Manner::with(&identity, &world.our_root());
        let told = Told {
            theirs: if sent { "send us your root certificate" } else { "send the whole chain" },
            ours: "trust_anchors",
        };
        refused(&world, manner, world.config(), fault, told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_revoked() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    world.theirs.revoke(&identity, RevocationReason::KeyCompromise);
    world.write_list();
    let manner = Manner::with(&identity, &world.our_root());
    let told = Told { theirs: "key compromise", ours: "" };
    refused(&world, manner, world.config(), "Revoked", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_revocation_list() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let text = world.site.settings("").replace("crl_files = [\"woodgrove.crl\"]", "");
    let config = world.site.write_settings(&text);
    let manner = Manner::with(&identity, &world.our_root());
    let told = Told { theirs: "needs a current revocation list", ours: "crl_files" };
    refused(&world, manner, config, "RevocationUnknown", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_not_agreed_on() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let manner = Manner::with(&identity, &world.our_root());
    let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let config = world.config_with(&format!("spki_pins = [\"{pin}\"]"));
    let told = Told { theirs: "Have you changed it?", ours: "to spki_pins in the partner entry" };
    refused(&world, manner, config, "PinMismatch", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_only_an_older_tls() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let manner = Manner::of_versions(&identity, &world.our_root(), &[&rustls::version::TLS12]);
    let config = world.config_with("minimum_tls = \"1.3\"");
    let told = Told { theirs: "uses TLSv1.2; we need TLSv1.3 or later", ours: "minimum_tls" };
    refused(&world, manner, config, "TlsVersionTooLow", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_something_else_than_tls() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let manner =
        Manner { instead_of_handshake: Some(b"500 what?\r\n"), ..Manner::with(&identity, &world.our_root()) };
    let told = Told { theirs: "what the peer sent is not TLS", ours: "" };
    refused(&world, manner, world.config(), "HandshakeFailed", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_certificate_for_this_partner_has_expired() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let mut ours = Authority::new("Contoso").unwrap();
    let old = ours.issue(&["old.contoso.example"], Validity::Expired).unwrap();
    old.write(&world.site.path(""), "old").unwrap();
    let config = world.config_with("certificate = \"old.contoso.example\"");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[[certificate]]\nchain = \"old.pem\"\nkey = \"old.key\"\n"))
        .unwrap();
    let manner = Manner::with(&identity, &Ask::Nobody);
    let told = Told { theirs: "", ours: "Renew or configure our own certificate" };
    refused(&world, manner, config, "OwnCertificateInvalid", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_faults_are_all_told() {
    let world = World::new().await;
    let mut other = Authority::new("Another").unwrap();
    let identity = other.issue(&["mx.litware.example"], Validity::Expired).unwrap().with_root(&other);
    let _peer = world.peer(Manner::with(&identity, &Ask::Nobody)).await;
    let (status, told) = probe(&world.config(), &[]);
    assert_eq!(status, 1);
    let told = flat(&told);
    for fault in ["UntrustedRoot", "Expired", "NameMismatch", "ClientCertificateNotRequested"] {
        assert!(told.contains(&format!("failed {fault}: ")), "{fault} in {told}");
    }
    assert!(told.contains("not admitted: UntrustedRoot"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_mail_host_is_visited_although_the_first_is_dead() {
    use sealpost::cli::demo::dns::{DnsServer, Zone};
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let network = world.site.network;
    let zone = Zone::default()
        .mx(PARTNER, 10, "dead.woodgrove.example")
        .mx(PARTNER, 15, "lost.woodgrove.example")
        .mx(PARTNER, 20, "mx.woodgrove.example")
        .address("dead.woodgrove.example", network.ip(7))
        .address("mx.woodgrove.example", network.ip(PARTNER_HOST));
    let dns = DnsServer::start(&zone).await.unwrap();
    let text = world.site.settings("");
    let config = world
        .site
        .write_settings(&text.replace(&world.site.dns.address().to_string(), &dns.address().to_string()));
    let _peer = world.peer(Manner::with(&identity, &world.our_root())).await;
    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 0, "{told}");
    let told = flat(&told);
    assert!(told.contains("connection no: Connection refused"), "{told}");
    assert!(told.contains("the mail host lost.woodgrove.example has no address"), "{told}");
    assert!(told.contains("admitted by 1 of 2 next hops"), "{told}");
    assert!(told.contains("We cannot connect to your mail server dead.woodgrove.example"), "{told}");
}

/// Whether DNS told the truth is said answer by answer, where the resolver's word counts.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_were_validated_are_told_from_others() {
    use sealpost::cli::demo::dns::{DnsServer, Zone};
    const MX: &str = "mx.hoster.example";
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let zone =
        Zone::default().mx(PARTNER, 10, MX).address(MX, world.site.network.ip(PARTNER_HOST)).signed(PARTNER);
    let dns = DnsServer::start(&zone).await.unwrap();
    let ours = world.site.dns.address().to_string();
    let settings = world.site.settings("").replace(&ours, &dns.address().to_string());
    let _peer = world.peer(Manner::with(&identity, &world.our_root())).await;
    let (status, told) = probe(&world.site.write_settings(&settings), &[]);
    assert_eq!(status, 0, "{told}");
    let told = flat(&told);
    assert!(told.contains("MX 10 mx.hoster.example signed, and validated by our resolver (AD)"), "{told}");
    let address = told.split("address mx.hoster.example:").nth(1).unwrap();
    assert!(address[..80].contains("not validated by our resolver"), "{told}");

    let off = settings.replace("[dns]", "[dns]\ndnssec = \"off\"");
    let (_, told) = probe(&world.site.write_settings(&off), &[]);
    assert!(!told.contains("validated by our resolver"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_walk_to() {
    let world = World::new().await;
    let config = world.config();
    let (status, told, _) = command(&config, &["partner", "probe", "nowhere.example"]);
    assert_eq!(status, 1, "{told}");
    let told = flat(&told);
    assert!(told.contains("not admitted: the domain nowhere.example does not exist in DNS"), "{told}");
    assert!(told.contains("send list no:"), "{told}");
    let (status, _, errors) = command(&config, &["partner", "probe", "no domain"]);
    assert_eq!(status, 2, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_turns_us_away_at_the_door() {
    let world = World::new().await;
    let manner = Manner { banner: "554 5.7.1 you are on a list", ..Manner::clear() };
    let _peer = world.peer(manner).await;
    let (status, told) = probe(&world.config(), &[]);
    assert_eq!(status, 1);
    let told = flat(&told);
    assert!(told.contains("broke off the peer answered connect with 554 5.7.1 you are on a list"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_write_on_our_terminal() {
    let world = World::new().await;
    let manner =
        Manner { extensions: vec!["X-\u{1b}[2J\u{202e}".to_owned(), "A".repeat(400)], ..Manner::clear() };
    let _peer = Peer::start(world.site.network.at(PARTNER_HOST), manner).await;
    // `probe` looks for control characters and wide lines.
    let (status, _) = probe(&world.config(), &[]);
    assert_eq!(status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn report_mode_is_said_and_judged_all_the_same() {
    let mut world = World::new().await;
    let identity = world.identity(&["mx.woodgrove.example"]);
    let _peer = world.peer(Manner::with(&identity, &world.our_root())).await;
    let (status, told) = probe(&world.config_with("mode = \"report\""), &[]);
    assert_eq!(status, 1);
    let told = flat(&told);
    assert!(told.contains("in report mode: mail goes whatever is found"), "{told}");
    assert!(told.contains("not admitted: NameMismatch"), "{told}");
}
