//! A walk judges by the lists that the server would have: from files, from its cache, and fetched.

use rcgen::{CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, RevocationReason};
use sealpost::cli::demo::client::{Disguise, Letter, send};
use sealpost::cli::demo::pki::{Identity, Validity};

use crate::common::http::{HttpServer, Page};
use crate::common::{LIST_HOST, OURS, PARTNER, command};
use crate::peer::Manner;
use crate::{World, flat, probe};

const HOST: &str = "crl.woodgrove.example";
/// Loopback is private.
const ALLOWED: &str = "crl_allow_private_addresses = true";

struct Scene {
    world: World,
    server: HttpServer,
    partner: Identity,
}

impl Scene {
    /// A partner whose certificate says where its authority publishes.
    async fn new() -> Self {
        let mut world = World::new().await;
        let server = HttpServer::start(world.site.network.ip(LIST_HOST)).await;
        let url = server.url(HOST, "/root.crl");
        let mut params = CertificateParams::new(vec![PARTNER.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url] }];
        let partner = world.theirs.sign(params, Validity::Current).unwrap();
        Self { world, server, partner }
    }

    fn publish(&mut self) {
        let list = self.world.theirs.revocation_list(time::Duration::days(7)).unwrap();
        self.server.put("/root.crl", Page::Body(list.der().to_vec()));
    }

    /// Settings without lists from files.
    fn config(&self, trust: &str) -> std::path::PathBuf {
        let text = self.world.site.settings("").replace("crl_files = [\"woodgrove.crl\"]", trust);
        self.world.site.write_settings(&text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_missing_is_fetched_as_the_server_would_and_left_to_it() {
    let mut scene = Scene::new().await;
    let config = scene.config(ALLOWED);
    let _peer = scene.world.peer(Manner::with(&scene.partner, &scene.world.our_root())).await;

    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 1, "{told}");
    assert!(flat(&told).contains("not admitted: RevocationUnknown"), "{told}");
    assert!(flat(&told).contains("failed: the server answered 404"), "{told}");

    scene.publish();
    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 0, "{told}");
    assert!(flat(&told).contains("CN=Woodgrove Root CA,O=Woodgrove: good until"), "{told}");
    assert!(flat(&told).contains("passed chain, revocation, name"), "{told}");
    assert!(!scene.world.site.path("data/crl-cache").exists(), "the cache is the server's");

    // A suggestion for what needs nothing says nothing of revocation.
    let (_, told) = probe(&config, &["--suggest"]);
    assert!(!told.contains("soft-fail"), "{told}");

    scene.world.theirs.revoke(&scene.partner, RevocationReason::KeyCompromise);
    scene.publish();
    let (status, told) = probe(&config, &[]);
    assert_eq!(status, 1, "{told}");
    assert!(flat(&told).contains("not admitted: Revoked"), "{told}");
    let file = scene.partner.write(&scene.world.site.path(""), "mailed").unwrap().chain;
    let arguments = ["partner", "probe", PARTNER, "--inbound", file.to_str().unwrap()];
    let (status, told, _) = command(&config, &arguments);
    assert_eq!(status, 1, "{told}");
    assert!(flat(&told).contains("not admitted: Revoked"), "{told}");

    let asked = scene.server.requests().len();
    let (_, told) = probe(&scene.config(&format!("{ALLOWED}\ncrl_fetch = false")), &[]);
    assert!(flat(&told).contains("not admitted: RevocationUnknown"), "{told}");
    assert_eq!(scene.server.requests().len(), asked, "crl_fetch = false asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_the_servers_cache_is_used_and_kept() {
    let mut scene = Scene::new().await;
    scene.publish();
    let edge = scene.world.site.start_edge_trusting(ALLOWED, "");
    let letter = Letter::new(&format!("bob@{PARTNER}"), &format!("alice@{OURS}"), "hello");
    let reply = send(edge.internet, Disguise::Certificate(&scene.partner), &letter).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    edge.server.kill().unwrap();
    let Scene { world, server, partner } = scene;
    drop(server);
    let cache = world.site.path("data/crl-cache");
    let damaged = cache.join("damaged.crl");
    std::fs::write(&damaged, "{}").unwrap();

    let _peer = world.peer(Manner::with(&partner, &world.our_root())).await;
    let (status, told, errors) = command(&edge.config, &["partner", "probe", PARTNER]);
    assert_eq!(status, 0, "{told}\n{errors}");
    assert!(flat(&told).contains("list http://crl.woodgrove.example"), "{told}");
    assert!(errors.contains("damaged.crl"), "{errors}");
    let (status, told, _) = command(&edge.config, &["partner", "show", PARTNER]);
    assert_eq!(status, 0, "{told}");
    assert!(damaged.exists() && std::fs::read_dir(cache).unwrap().count() == 2, "a command only looks");
}
