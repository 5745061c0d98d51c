//! An entry made from what was seen admits what was seen.

use sealpost::cli::demo::pki::{Authority, Identity, Validity};

use crate::common::{PARTNER, STRANGER, STRANGER_HOST, command};
use crate::peer::{Ask, Manner, Peer};
use crate::{World, fits_a_terminal, probe};

/// Puts the suggested entry in the place of the present one, and the suggested root beside it.
fn adopt(world: &World, json: &serde_json::Value) -> std::path::PathBuf {
    let entry = json["toml"].as_str().unwrap();
    fits_a_terminal(entry);
    assert!(entry.starts_with("# UNVERIFIED"), "{entry}");
    if let (Some(file), Some(pem)) = (json["anchor_file"].as_str(), json["anchor_pem"].as_str()) {
        std::fs::write(world.site.path(file), pem).unwrap();
    }
    let text = world.site.settings("");
    let start = text.find("[[partner]]").unwrap();
    let end = start + text[start..].find("[[accepted_domain]]").unwrap();
    world.site.write_settings(&format!("{}{entry}\n{}", &text[..start], &text[end..]))
}

async fn admitted_once_adopted(world: &World, identity: &Identity, ask: &Ask) {
    let _peer = world.peer(Manner::with(identity, ask)).await;
    let (status, told) = probe(&world.config(), &["--suggest"]);
    assert_eq!(status, 1, "{told}");
    assert!(told.contains("# UNVERIFIED") && told.contains("\n[[partner]]\n"), "{told}");
    let (_, json, _) = command(&world.config(), &["partner", "probe", PARTNER, "--suggest", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["suggestion"]["remaining"], serde_json::json!([]));
    let config = adopt(world, &json["suggestion"]);
    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 0, "{told}\n{}", json["suggestion"]["toml"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_root_another_name_and_no_question() {
    let world = World::new().await;
    let mut other = Authority::new("Another").unwrap();
    let identity = other.issue(&["mx.woodgrove.example"], Validity::Current).unwrap().with_root(&other);
    admitted_once_adopted(&world, &identity, &Ask::Nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_issuer_is_pinned() {
    let world = World::new().await;
    let mut other = Authority::new("Another").unwrap();
    let identity = other.issue(&[PARTNER], Validity::Current).unwrap();
    admitted_once_adopted(&world, &identity, &world.our_root()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_entry_admits_what_has_expired() {
    let mut world = World::new().await;
    let identity = world.theirs.issue(&[PARTNER], Validity::Expired).unwrap();
    let _peer = world.peer(Manner::with(&identity, &world.our_root())).await;
    let (status, told) = probe(&world.config(), &["--suggest"]);
    assert_eq!(status, 1);
    assert!(told.contains("# No entry can admit Expired: the partner must change it."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_suggest_without_a_certificate() {
    let world = World::new().await;
    let _peer = world.peer(Manner::clear()).await;
    let (status, told) = probe(&world.config(), &["--suggest"]);
    assert_eq!(status, 1);
    assert!(told.contains("None: no server showed a certificate"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_no_partner_yet_becomes_one() {
    let world = World::new().await;
    let mut other = Authority::new("Litware").unwrap();
    let identity = other.issue(&[STRANGER], Validity::Current).unwrap().with_root(&other);
    let address = world.site.network.at(STRANGER_HOST);
    let _peer = Peer::start(address, Manner::with(&identity, &world.our_root())).await;
    let arguments = ["partner", "probe", STRANGER, "--suggest", "--json"];
    let (status, json, _) = command(&world.config(), &arguments);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((status, &json["listed"]), (1, &false.into()));
    let suggestion = &json["suggestion"];
    std::fs::write(world.site.path("litware.example-root.pem"), suggestion["anchor_pem"].as_str().unwrap())
        .unwrap();
    let entry = suggestion["toml"].as_str().unwrap();
    let config = world.site.write_settings(&format!("{}\n{entry}", world.site.settings("")));
    let (status, told, _) = command(&config, &["partner", "probe", STRANGER]);
    assert_eq!(status, 0, "{told}\n{entry}");
}

/// An entry stricter than what the partner has is relaxed as far as that needs, and no further.
#[tokio::test(flavor = "multi_thread")]
async fn algorithms_of_the_entry_are_widened_by_what_was_seen() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let _peer = world.peer(Manner::with(&identity, &world.our_root())).await;
    let config = world.config_with("signature_algorithms = [\"ed25519\"]\nminimum_rsa_bits = 4096");
    let (status, told) = probe(&config, &["--suggest"]);
    assert_eq!(status, 1, "{told}");
    assert!(told.contains("signature_algorithms = [\"ed25519\", \"ecdsa-sha256\"]"), "{told}");
    assert!(told.contains("minimum_rsa_bits = 2048"), "{told}");
    let (_, json, _) = command(&config, &["partner", "probe", PARTNER, "--suggest", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (status, told) = probe(&adopt(&world, &json["suggestion"]), &[]);
    assert_eq!(status, 0, "{told}");
}

/// A middlebox that takes no first flight of more than one packet.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_fails_at_the_post_quantum_exchange_is_told_from_others() {
    let mut world = World::new().await;
    let identity = world.identity(&[PARTNER]);
    let manner = Manner { first_flight_max: Some(1000), ..Manner::with(&identity, &world.our_root()) };
    let _peer = world.peer(manner).await;
    let (status, told) = probe(&world.config(), &["--suggest"]);
    assert_eq!(status, 1, "{told}");
    let flat = crate::flat(&told);
    assert!(flat.contains("not admitted: HandshakeFailed"), "{told}");
    assert!(flat.contains("post_quantum_key_exchange = false on the send connector"), "{told}");
    assert!(told.contains("# post_quantum_key_exchange = false"), "{told}");
    let spaces = "address_spaces = [\"*\"]";
    let text =
        world.site.settings("").replace(spaces, &format!("{spaces}\npost_quantum_key_exchange = false"));
    let (status, told) = probe(&world.site.write_settings(&text), &[]);
    assert_eq!(status, 0, "{told}");
}

/// What vouches for itself is no authority: its key is pinned, and the words say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_pinned() {
    let world = World::new().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec![PARTNER.to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls =
        rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
    let _peer = world.peer(Manner { tls: Some(tls), ..Manner::clear() }).await;
    let config = world.config_with("require_client_certificate_request = false");
    let (status, told) = probe(&config, &["--suggest"]);
    assert_eq!(status, 1, "{told}");
    let flat = crate::flat(&told);
    assert!(flat.contains("not admitted: UntrustedRoot"), "{told}");
    assert!(flat.contains("is signed by itself. Please tell us its SHA-256 fingerprint"), "{told}");
    assert!(flat.contains("pin its key in the partner entry: trust_anchors = [] and spki_pins"), "{told}");
    let (_, json, _) = command(&config, &["partner", "probe", PARTNER, "--suggest", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (status, told) = probe(&adopt(&world, &json["suggestion"]), &[]);
    assert_eq!(status, 0, "{told}");
}
