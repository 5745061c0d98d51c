//! Work that a stranger can cause before anyone knows who it is: keys too large to check, chains that
//! never end, handshakes that stall, certificates nobody has seen.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, SignatureScheme};
use socket2::{Domain, Socket, Type};

use super::client::{Smtp, tls, tls_with};
use super::pki::{Card, self_signed};
use super::rig::{Rig, until};

const SETTINGS: &str = r#"
[trust]
anchors = ["woodgrove-root.pem"]
crl_files = ["woodgrove.crl"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["receive"]

[[accepted_domain]]
name = "contoso.example"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"
"#;

#[test]
fn strangers_cause_little_work_before_they_are_known() {
    let mut rig = Rig::start(|_, _| SETTINGS.to_owned());
    let card = rig.pki.woodgrove(&["woodgrove.example"]);
    let partner = |source: &str| {
        let mut client = from(source, rig.at("Internet"));
        client.greet();
        client.start_tls(&tls(&TLS13, Some(&card))).unwrap();
        client.ehlo();
        client.mail("kim@woodgrove.example")
    };
    assert!(partner("127.80.0.1").starts_with("250"));
    keys_too_large(&rig);
    long_chains(&rig, &card);
    certificates_nobody_has_seen(&rig);
    stalled_handshakes(&rig, || {
        let began = Instant::now();
        assert!(partner("127.80.0.1").starts_with("250"), "known partners have places of their own");
        began.elapsed()
    });
}

fn from(source: &str, to: SocketAddr) -> Smtp {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: std::net::TcpStream = socket.into();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Smtp::over(stream)
}

/// An RSA public key of so many bits, whose private half nobody has.
struct Oversized(Vec<u8>);

impl Oversized {
    fn of(bits: usize) -> Self {
        // SEQUENCE { INTEGER modulus, INTEGER 65537 }
        let mut modulus = vec![0x5a; bits / 8];
        (modulus[0], modulus[bits / 8 - 1]) = (0xc3, 0x01);
        modulus.insert(0, 0);
        let length = |octets: usize| {
            let [high, low] = u16::try_from(octets).unwrap().to_be_bytes();
            [0x82, high, low]
        };
        let mut inside = vec![0x02];
        inside.extend(length(modulus.len()));
        inside.extend(modulus);
        inside.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        let mut key = vec![0x30];
        key.extend(length(inside.len()));
        key.extend(inside);
        Self(key)
    }
}

impl PublicKeyData for Oversized {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// Signs with octets of the right length, which is all that a key so large lets it do in time.
#[derive(Debug)]
struct Pretender(usize);

impl SigningKey for Pretender {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PSS_SHA256).then(|| Box::new(Self(self.0)) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::RSA
    }
}

impl Signer for Pretender {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![0x5a; self.0 / 8])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

fn issuer() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Issuer::new(params, KeyPair::generate().unwrap())
}

/// The signature of a key of 16,384 bits is never looked at: to check it takes time by the square.
fn keys_too_large(rig: &Rig) {
    let params = CertificateParams::new(vec!["woodgrove.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&Oversized::of(16_384), &issuer()).unwrap();
    let pretender = || {
        let chain = vec![certificate.der().clone()];
        Arc::new(CertifiedKey::new(chain, Arc::new(Pretender(16_384))))
    };
    for version in [&TLS12, &TLS13] {
        let mut client = Smtp::clear(rig.at("Internet"));
        let shaken = client.start_tls(&tls_with(version, pretender()));
        let over = shaken.is_err() || client.try_write(b"EHLO x\r\n").is_err() || client.is_over();
        assert!(over, "a key of 16,384 bits was taken");
    }
    until("why", || rig.log_text().contains("RSA key of 16384 bits").then_some(()));
}

/// What else is in the chain costs a partner nothing, and a chain beyond 64 KB is never read whole
/// (`misbehaviour_is_answered_and_harms_nobody`).
fn long_chains(rig: &Rig, card: &Card) {
    let mut chain = card.chain.clone();
    let mut octets = chain[0].len();
    while octets < 60 << 10 {
        let junk = self_signed("junk.example", -1..9).chain;
        octets += junk[0].len() + 3;
        // The time goes into making them: each is sent many times.
        for _ in 0..20 {
            chain.push(junk[0].clone());
            octets += junk[0].len() + 3;
        }
    }
    chain.truncate(chain.len() - 20);
    assert!(chain.len() > 50);
    let long = Card { chain, key: card.key.clone_key() };
    let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&long)));
    let reply = client.mail("kim@woodgrove.example");
    assert!(reply.starts_with("250"), "{reply}");
}

fn certificates_nobody_has_seen(rig: &Rig) {
    let before = rig.failures("woodgrove.example", "UntrustedRoot", "enforce");
    for _ in 0..30 {
        let stranger = self_signed("woodgrove.example", -1..9);
        let mut client = Smtp::secure(rig.at("Internet"), &tls(&TLS13, Some(&stranger)));
        assert!(client.mail("kim@woodgrove.example").starts_with('5'));
    }
    let after = rig.failures("woodgrove.example", "UntrustedRoot", "enforce");
    assert_eq!(after - before, 30);
}

/// As many as may, from many networks, say STARTTLS and then nothing.
fn stalled_handshakes(rig: &Rig, partner: impl Fn() -> Duration) {
    let at = rig.at("Internet");
    let reached = || {
        let labels = [("connector", "Internet"), ("limit", "handshake-time"), ("scope", "session")];
        rig.find_counter("sealpost_limits_reached_total", &labels).unwrap_or(0)
    };
    let stalled: Vec<Smtp> = (0..520)
        .map(|number| {
            let mut client = from(&format!("127.81.{}.{}", number / 20, number % 20 + 1), at);
            client.greet();
            client.write(b"STARTTLS\r\n");
            client
        })
        .collect();
    let waited = partner();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    // While half of the places are taken, nobody keeps one for more than five seconds.
    until("those that stall lose their places", || (reached() >= 200).then_some(()));
    drop(stalled);
    let mut stranger = from("127.82.0.1", at);
    stranger.greet();
    assert!(stranger.start_tls(&tls(&TLS13, None)).is_ok(), "there is room again");
}
