//! Inbound checks by a whole server: a real DNS server on loopback, messages that are really signed.

use std::path::Path;

use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use sealpost::cli::demo::dns::{DnsServer, Zone};
use tokio::runtime::Runtime;

use super::client::{Smtp, tls};
use super::foreign_signer;
use super::rig::{Rig, until};

/// `{dns}` is the name server's address.
const SETTINGS: &str = r#"
[transport]
tls_receive_domain_secure_list = ["woodgrove.example"]

[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]

[dns]
servers = ["{dns}"]

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Marking"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
spf = "mark"
dkim = "mark"
dmarc = "mark"
arc = "mark"
dns_block_lists = ["clean.example"]
dns_block_list_action = "mark"

[[receive_connector]]
name = "Enforcing"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
spf = "enforce"
dkim = "enforce"
dmarc = "enforce"
arc = "enforce"
check_timeout = "5 s"

[[receive_connector]]
name = "Policies"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
dmarc = "enforce"

[[receive_connector]]
name = "Listed"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
dns_block_lists = ["clean.example", "block.example"]

[[receive_connector]]
name = "Plain"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
"#;

struct Site {
    rig: Rig,
    key: KeyPair,
    /// Base64 of the seed, as dkimpy wants it.
    seed: String,
    _dns: DnsServer,
    _runtime: Runtime,
}

fn site() -> Site {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let public = base64(&key.subject_public_key_info());
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let (seed, edwards) = (base64(&ed25519.serialize_der()[16..48]), base64(ed25519.public_key_raw()));
    let zone = Zone::default()
        .text("pass.example", "v=spf1 ip4:127.0.0.0/8 -all")
        .text("_dmarc.pass.example", "v=DMARC1; p=reject")
        .text("fail.example", "v=spf1 ip4:192.0.2.1 -all")
        .text("soft.example", "v=spf1 include:fail.example ~all")
        .text("twice.example", "v=spf1 +all")
        .text("twice.example", "v=spf1 -all")
        .text("broken.example", "v=spf1 ip4:nonsense -all")
        .text("broken.example", "unrelated")
        .failing("silent.example")
        .text("s1._domainkey.signed.example", &format!("v=DKIM1; k=rsa; p={public}"))
        .text("s2._domainkey.signed.example", &format!("v=DKIM1; k=ed25519; p={edwards}"))
        .failing("s1._domainkey.unheard.example")
        .text("_dmarc.signed.example", "v=DMARC1; p=reject; adkim=s")
        .text("_dmarc.mild.example", "v=DMARC1; p=quarantine")
        .text("woodgrove.example", "v=spf1 -all")
        .address("1.0.0.127.block.example", [127, 0, 0, 2])
        .text("1.0.0.127.block.example", "open relay, see https://block.example")
        .address("1.0.0.127.clean.example", [203, 0, 113, 1]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dns = runtime.block_on(DnsServer::start(&zone)).unwrap();
    let settings = SETTINGS.replace("{dns}", &dns.address().to_string());
    let rig = Rig::start(move |_, _: &Path| settings);
    Site { rig, key, seed, _dns: dns, _runtime: runtime }
}

fn base64(octets: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(octets)
}

impl Site {
    fn client(&self, connector: &str) -> Smtp {
        Smtp::clear(self.rig.at(connector))
    }

    fn send(&self, connector: &str, from: &str, message: &str) -> String {
        self.client(connector).send(from, "bob@contoso.example", message)
    }

    /// The message as it arrives, and what our field says of it, unfolded.
    fn results(&self, connector: &str, from: &str, subject: &str, message: &str) -> String {
        let reply = self.send(connector, from, message);
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
        let arrived = self.rig.arrival(subject);
        let field = arrived.field("Authentication-Results").unwrap_or_default();
        field.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// `message` with a DKIM signature of `domain`.
    fn signed(&self, domain: &str, message: &str) -> String {
        let der = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let key = RsaKey::<Sha256>::from_key_der(der).unwrap();
        let signer = DkimSigner::from_key(key).domain(domain).selector("s1");
        let signature = signer.headers(["From", "Subject"]).sign(message.as_bytes()).unwrap();
        format!("{}{message}", signature.to_header())
    }
}

fn message(from: &str, subject: &str) -> String {
    format!("From: {from}\r\nSubject: {subject}\r\n\r\nThe statement for November.\r\n")
}

#[test]
fn senders_and_content_are_checked() {
    let site = site();
    spf(&site);
    dkim(&site);
    if foreign_signer::is_there() {
        signed_elsewhere(&site);
    }
    dmarc(&site);
    unknown(&site);
    forged_results(&site);
    block_lists(&site);
    large(&site);
    counted(&site);
    partner(site);
}

fn spf(site: &Site) {
    for (domain, result) in [
        ("pass.example", "spf=pass"),
        ("fail.example", "spf=fail"),
        ("soft.example", "spf=softfail"),
        ("twice.example", "spf=permerror"),
        ("broken.example", "spf=permerror"),
        ("nothing.example", "spf=none"),
        ("silent.example", "spf=temperror"),
    ] {
        let from = format!("a@{domain}");
        let field = site.results("Marking", &from, domain, &message("x@nothing.example", domain));
        assert!(field.starts_with("mx.contoso.example; x-dns-block-list=pass"), "{field}");
        assert!(field.contains(result) && field.contains(&format!("smtp.mailfrom={from}")), "{field}");
    }
    let mut client = site.client("Enforcing");
    assert!(client.mail("a@pass.example").starts_with("250 "));
    assert!(client.say("RSET").starts_with("250 "));
    let reply = client.mail("a@fail.example");
    assert_eq!(reply, "550 5.7.23 SPF fail: fail.example does not permit 127.0.0.1 to send in its name");
    assert!(client.mail("a@soft.example").starts_with("250 "));
    client.say("RSET");
    assert!(client.mail("a@silent.example").starts_with("451 4.7.24 SPF temperror"));
    // The HELO name alone stands for a null reverse-path.
    assert!(client.say("EHLO fail.example").starts_with("250"));
    assert!(client.mail("").starts_with("550 5.7.23 "));
}

fn dkim(site: &Site) {
    let good = site.signed("signed.example", &message("kim@signed.example", "signed"));
    let field = site.results("Enforcing", "a@pass.example", "signed", &good);
    assert!(field.contains("dkim=pass header.d=signed.example header.s=s1"), "{field}");
    assert!(field.contains("dmarc=pass") && field.contains("header.from=signed.example"), "{field}");
    assert!(field.contains("arc=none"), "{field}");
    // What is relayed is what was signed.
    let arrived = site.rig.arrival("signed").content;
    assert!(arrived.ends_with(&good), "{arrived}");

    let altered = site.signed("signed.example", &message("kim@signed.example", "altered"));
    let altered = altered.replace("November", "December");
    let field = site.results("Marking", "a@pass.example", "altered", &altered);
    assert!(field.contains("dkim=fail") && field.contains("dmarc=fail"), "{field}");
    let reply = site.send("Enforcing", "a@pass.example", &altered);
    assert!(reply.starts_with("550 5.7.20 DKIM fail"), "{reply}");

    let field =
        site.results("Enforcing", "a@pass.example", "unsigned", &message("a@pass.example", "unsigned"));
    assert!(field.contains("dkim=none"), "{field}");
    let unheard = site.signed("unheard.example", &message("kim@unheard.example", "unheard"));
    let reply = site.send("Enforcing", "a@pass.example", &unheard);
    assert!(reply.starts_with("451 4.7.20 DKIM temperror"), "{reply}");
}

/// Signatures and a chain of another implementation: as they came, and after somebody changed the body.
fn signed_elsewhere(site: &Site) {
    let text = |subject: &str| message("kim@signed.example", subject);
    for (what, key) in [("ed25519", site.seed.clone()), ("rsa", site.key.serialize_pem())] {
        let signed = foreign_signer::sign(what, &key, &text(what));
        let field = site.results("Enforcing", "a@pass.example", what, &signed);
        assert!(field.contains("dkim=pass header.d=signed.example"), "{field}");
        let reply = site.send("Enforcing", "a@pass.example", &signed.replace("November", "December"));
        assert!(reply.starts_with("550 5.7.20 DKIM fail"), "{what}: {reply}");
    }
    let listed = format!(
        "Authentication-Results: lists.example; spf=pass smtp.mailfrom=a@b.example\r\n{}",
        message("a@pass.example", "sealed")
    );
    let sealed = foreign_signer::sign("arc", &site.key.serialize_pem(), &listed);
    let field = site.results("Enforcing", "a@pass.example", "sealed", &sealed);
    assert!(field.contains("arc=pass smtp.remote-ip=127.0.0.1"), "{field}");
    let reply = site.send("Enforcing", "a@pass.example", &sealed.replace("November", "December"));
    assert!(reply.starts_with("550 5.7.29 ARC fail"), "{reply}");
}

fn dmarc(site: &Site) {
    // Aligned by SPF; by a parent of the reverse-path's domain; and not at all.
    let field = site.results("Policies", "a@pass.example", "aligned", &message("b@pass.example", "aligned"));
    assert_eq!(field, "mx.contoso.example; dmarc=pass policy.dmarc=reject header.from=pass.example");
    let field =
        site.results("Policies", "a@pass.example", "below", &message("b@lists.pass.example", "below"));
    assert!(field.contains("dmarc=pass"), "{field}");
    let reply = site.send("Policies", "a@nothing.example", &message("b@pass.example", "forged"));
    assert_eq!(
        reply,
        "550 5.7.26 DMARC fail: neither SPF nor DKIM proves pass.example, whose policy is reject"
    );
    // A good signature of somebody else proves nothing of the author.
    let foreign = site.signed("signed.example", &message("b@pass.example", "foreign"));
    assert!(site.send("Policies", "a@nothing.example", &foreign).starts_with("550 5.7.26 "));
    // Nor one below, where the domain asks for itself.
    let below = site.signed("signed.example", &message("b@news.signed.example", "strict"));
    assert!(site.send("Policies", "a@nothing.example", &below).starts_with("550 5.7.26 "));
    let field = site.results("Policies", "a@nothing.example", "mild", &message("b@mild.example", "mild"));
    assert!(field.contains("dmarc=fail") && field.contains("policy.dmarc=quarantine"), "{field}");
    let two = format!("From: b@nothing.example\r\n{}", message("b@pass.example", "two authors"));
    assert!(site.send("Policies", "a@nothing.example", &two).starts_with("550 5.7.26 "), "two authors");
    let field =
        site.results("Policies", "a@pass.example", "no policy", &message("b@other.test", "no policy"));
    assert!(field.contains("dmarc=none"), "{field}");
}

/// What DNS does not tell is put off where it is enforced, and only noted where it is marked.
fn unknown(site: &Site) {
    let reply = site.send("Policies", "a@silent.example", &message("b@pass.example", "unproved"));
    assert!(reply.starts_with("550 5.7.26 "), "another domain's silence does not help: {reply}");
    let reply = site.send("Enforcing", "a@silent.example", &message("b@pass.example", "silent"));
    assert!(reply.starts_with("451 4.7.24 "), "{reply}");
}

fn forged_results(site: &Site) {
    let forged = format!(
        "Authentication-Results: MX.Contoso.Example 1;\r\n\tdmarc=pass\r\n\
         authentication-results : (x) \"mx.contoso.example\"; spf=pass\r\n\
         Authentication-Results: mx.litware.example; spf=pass\r\n{}",
        message("a@pass.example", "forged results")
    );
    for connector in ["Plain", "Marking"] {
        let subject = format!("forged results, {connector}");
        let reply = site.send(connector, "a@pass.example", &forged.replace("forged results", &subject));
        assert!(reply.starts_with("250 "), "{reply}");
        let arrived = site.rig.arrival(&subject).content;
        let names: Vec<&str> = arrived
            .split("\r\n")
            .filter(|line| line.to_lowercase().starts_with("authentication-results"))
            .collect();
        let ours = "Authentication-Results: mx.contoso.example;";
        let foreign = "Authentication-Results: mx.litware.example; spf=pass";
        let wanted = if connector == "Plain" { vec![foreign] } else { vec![ours, foreign] };
        assert_eq!(names, wanted, "{arrived}");
    }
}

fn block_lists(site: &Site) {
    let reply = site.client("Listed").mail("a@pass.example");
    assert_eq!(
        reply,
        "550 5.7.1 DNS block list fail: 127.0.0.1 is listed by block.example: open relay, see https://block.example"
    );
    let field = site.results("Marking", "a@pass.example", "clean", &message("a@pass.example", "clean"));
    assert!(field.contains("x-dns-block-list=pass policy.ip=127.0.0.1"), "{field}");
}

/// Larger than what is held in memory: through a file, and still octet by octet.
fn large(site: &Site) {
    let lines = "A line of the annual report, which is long.\r\n".repeat(60_000);
    let large = site.signed("signed.example", &format!("{}{lines}", message("kim@signed.example", "large")));
    let field = site.results("Enforcing", "a@pass.example", "large", &large);
    assert!(field.contains("dkim=pass") && field.contains("dmarc=pass"), "{field}");
    let arrived = site.rig.arrival("large").content;
    assert!(arrived.len() > 2 << 20 && arrived.ends_with(&large), "not what was sent");
    assert_eq!(std::fs::read_dir(site.rig.path("data/held")).unwrap().count(), 0);
}

fn counted(site: &Site) {
    let counted = |connector: &str, check: &str, result: &str| {
        let labels = [("connector", connector), ("check", check), ("result", result)];
        site.rig.find_counter("sealpost_checks_total", &labels).unwrap_or(0)
    };
    assert_eq!(counted("Listed", "x-dns-block-list", "fail"), 1);
    assert_eq!(counted("Enforcing", "spf", "temperror"), 2);
    assert!(counted("Marking", "spf", "softfail") >= 1 && counted("Policies", "dmarc", "fail") >= 4);
    assert_eq!(counted("Plain", "spf", "pass"), 0);
    let line = until("the line of the check", || {
        let sessions = site.rig.log();
        let mut lines = sessions.values().flatten();
        lines.find(|line| line.context == "Inbound check" && line.data.starts_with("dmarc=fail")).cloned()
    });
    assert!(line.data.contains("header.from=") && line.event == "*", "{line:?}");
    let event = "InboundChecked check=dmarc connector=Policies mode=enforce of=\"policy.dmarc=reject header.from=pass.example\"";
    assert!(site.rig.events().contains(event), "{}", site.rig.events());
}

/// A partner that has proved itself is checked and told of, and its mail is taken.
fn partner(mut site: Site) {
    let card = site.rig.pki.woodgrove(&["woodgrove.example"]);
    let mut client = Smtp::secure(site.rig.at("Enforcing"), &tls(&TLS13, Some(&card)));
    let text = message("kim@woodgrove.example", "partner");
    let reply = client.send("kim@woodgrove.example", "bob@contoso.example", &text);
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = site.rig.arrival("partner");
    let field = arrived.field("Authentication-Results").unwrap();
    assert!(field.contains("spf=fail") && arrived.field("Domain-Secured").is_some(), "{arrived:?}");
    let line = until("the rule for partners", || {
        let sessions = site.rig.log();
        let mut lines = sessions.values().flatten();
        lines.find(|line| line.context == "Partner checks").cloned()
    });
    assert_eq!(line.data, "woodgrove.example is proved: inbound checks are made and refuse nothing");
}

/// Nothing is known within the time given, and nobody waits longer for it.
#[test]
fn a_silent_name_server_puts_off_what_is_enforced() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let settings = SETTINGS
        .replace("check_timeout = \"5 s\"\n", "")
        .replace("tarpit_interval = \"0 s\"\n", "tarpit_interval = \"0 s\"\ncheck_timeout = \"1 s\"\n")
        .replace("{dns}", &silent.local_addr().unwrap().to_string());
    let rig = Rig::start(move |_, _: &Path| settings);
    let text = message("b@pass.example", "unheard");
    let reply = Smtp::clear(rig.at("Enforcing")).mail("a@pass.example");
    assert_eq!(reply, "451 4.7.24 SPF temperror: not known in time, try again later");
    let reply = Smtp::clear(rig.at("Listed")).mail("a@pass.example");
    assert!(reply.starts_with("451 4.7.1 DNS block list temperror"), "{reply}");
    let reply = Smtp::clear(rig.at("Policies")).send("a@pass.example", "bob@contoso.example", &text);
    assert_eq!(reply, "451 4.7.26 DMARC temperror: not known in time, try again later");
    let reply = Smtp::clear(rig.at("Marking")).send("a@pass.example", "bob@contoso.example", &text);
    assert!(reply.starts_with("250 "), "{reply}");
    let field = rig.arrival("unheard").field("Authentication-Results").unwrap();
    for result in ["x-dns-block-list=temperror", "spf=temperror", "dkim=none", "dmarc=temperror"] {
        assert!(field.contains(result), "{field}");
    }
}
