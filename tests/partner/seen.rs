//! What was seen of a partner: while the server runs, after it was killed, in report mode.

use std::time::{Duration, Instant};

use sealpost::cli::demo::client::{Disguise, Letter, send};
use sealpost::cli::demo::pki::Validity;
use serde_json::Value;

use crate::common::{Edge, OURS, PARTNER, PATIENCE, command};
use crate::peer::Manner;
use crate::{World, fits_a_terminal, flat};

fn letter() -> Letter {
    Letter::new(&format!("carol@{PARTNER}"), &format!("alice@{OURS}"), "seen")
}

fn show(config: &std::path::Path) -> (String, Value) {
    let (status, told, errors) = command(config, &["partner", "show", "woodgrove"]);
    assert_eq!((status, errors.as_str()), (0, ""), "{told}");
    fits_a_terminal(&told);
    let (_, json, _) = command(config, &["partner", "show", PARTNER, "--json"]);
    (flat(&told), serde_json::from_str(&json).unwrap())
}

/// What was seen in one direction.
fn seen<'a>(json: &'a Value, direction: &str) -> &'a Value {
    let all = json["seen"].as_array().unwrap();
    all.iter().find(|seen| seen["direction"] == direction).unwrap_or(&Value::Null)
}

/// Until the answer is yes, or nobody is patient any more.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_remembered_past_a_kill() {
    let mut world = World::new().await;
    let expired = world.theirs.issue(&[PARTNER], Validity::Expired).unwrap();
    let ending = world.theirs.issue(&[PARTNER], Validity::Ending).unwrap();
    let edge = world.site.start_edge("");
    let (told, _) = show(&edge.config);
    assert!(told.contains("Nothing has been seen of this partner yet"), "{told}");

    let refused = send(edge.internet, Disguise::Certificate(&expired), &letter()).await.unwrap();
    assert_eq!(refused.code, 550, "{refused}");
    let taken = send(edge.internet, Disguise::Certificate(&ending), &letter()).await.unwrap();
    assert_eq!(taken.code, 250, "{taken}");

    let (told, json) = show(&edge.config);
    let inbound = seen(&json, "inbound");
    assert_eq!(inbound["good"], 1);
    assert_eq!(inbound["failures"][0]["fault"], "Expired");
    assert_eq!(inbound["last_good"]["certificates"][0]["names"][0], PARTNER);
    let session = inbound["last_failed"]["session"].as_str().unwrap();
    assert!(refused.text.contains(session), "the reply and the record name one session: {refused}");
    assert!(told.contains("their certificate CN=woodgrove.example,O=Woodgrove ends in 4 days"), "{told}");
    assert!(told.contains("woodgrove-root.pem (1 anchor)"), "{told}");

    let (status, list, _) = command(&edge.config, &["partner", "list"]);
    assert_eq!(status, 0);
    fits_a_terminal(&list);
    let list = flat(&list);
    assert!(list.contains("Woodgrove (woodgrove.example)") && list.contains("1 partner"), "{list}");
    assert!(list.contains(&format!("{session} Expired")), "{list}");

    // What an impostor shows is on record as failed, and is no certificate of the partner.
    let mut impostor = sealpost::cli::demo::pki::Authority::new("Impostor").unwrap();
    let forged = impostor.issue(&[PARTNER], Validity::Ending).unwrap();
    let refused = send(edge.internet, Disguise::Certificate(&forged), &letter()).await.unwrap();
    assert_eq!(refused.code, 550, "{refused}");
    let (_, json) = show(&edge.config);
    let inbound = seen(&json, "inbound");
    assert_eq!(inbound["last_failed"]["facts"][0]["fault"], "IncompleteChain");
    let session = inbound["last_failed"]["session"].as_str().unwrap();
    let expiring = json["expiring"].as_array().unwrap();
    assert!(
        expiring.iter().all(|ending| !ending["subject"].as_str().unwrap().contains("Impostor")),
        "{json}"
    );

    let Edge { server, config, .. } = edge;
    let record = world.site.path("data/partners.json");
    until("the record on disk", || {
        std::fs::read_to_string(&record)
            .is_ok_and(|text| text.contains(session) && text.contains("last_good"))
    });
    server.kill().unwrap();
    let (offline, after) = show(&config);
    assert_eq!(seen(&after, "inbound"), inbound, "{offline}");

    let edge = world.site.start_edge("");
    let (_, again) = show(&edge.config);
    assert_eq!(seen(&again, "inbound"), inbound, "a new run goes on with the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_failure_names_host_and_fault() {
    let mut world = World::new().await;
    let host_only = world.identity(&["mx.woodgrove.example"]);
    let peer = world.peer(Manner::with(&host_only, &world.our_root())).await;
    let edge = world.site.start_edge("");
    let out = Letter::new(&format!("alice@{OURS}"), &format!("carol@{PARTNER}"), "out");
    assert_eq!(send(edge.internal, Disguise::Clear, &out).await.unwrap().code, 250);
    until("the outbound session", || !show(&edge.config).1["seen"].as_array().unwrap().is_empty());
    let (told, json) = show(&edge.config);
    let failed = &seen(&json, "outbound")["last_failed"];
    assert_eq!(failed["facts"][0]["fault"], "NameMismatch");
    assert_eq!(failed["peer"], "mx.woodgrove.example");
    assert_eq!(failed["certificates"][0]["names"][0], "mx.woodgrove.example");
    assert!(told.contains("NameMismatch: Certificate"), "{told}");
    assert!(!peer.was_sent_mail());
}

#[tokio::test(flavor = "multi_thread")]
async fn report_mode_tells_what_enforcing_would_have_refused() {
    let mut world = World::new().await;
    let good = world.identity(&[PARTNER]);
    let host_only = world.identity(&["mx.woodgrove.example"]);
    let text = world.site.settings("");
    let config = world.config_with("mode = \"report\"");
    let settings = std::fs::read_to_string(&config).unwrap();
    assert_ne!(settings, text);
    let log = world.site.path("report.log");
    let server =
        sealpost::cli::demo::server::Server::start(crate::common::executable(), &config, &log).unwrap();
    let internet = server.ready.connector("Internet").unwrap();
    for (identity, times) in [(&host_only, 3), (&good, 2)] {
        for _ in 0..times {
            let reply = send(internet, Disguise::Certificate(identity), &letter()).await.unwrap();
            assert_eq!(reply.code, 250, "report mode refuses nothing: {reply}");
        }
    }
    let reply = send(internet, Disguise::Clear, &letter()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");

    let (told, json) = show(&config);
    assert_eq!(json["report"]["judged"], 6);
    assert_eq!(json["report"]["would_refuse"], 4);
    assert!(told.contains("Judged 6; enforcing would have refused 4."), "{told}");
    assert!(told.contains("3 inbound woodgrove.example: NameMismatch (550 5.7.1)"), "{told}");
    assert!(told.contains("1 inbound woodgrove.example: TlsNotStarted (530 5.7.0)"), "{told}");
    let (_, list, _) = command(&config, &["partner", "list"]);
    assert!(flat(&list).contains("of 6 in report mode 4 would have failed"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_radar_warns_of_what_ends_and_of_pins_that_match_nothing() {
    let mut world = World::new().await;
    let ending = world.theirs.issue(&[PARTNER], Validity::Ending).unwrap();
    let leaf = &ending.chain[0];
    let pin = sealpost::trust::spki_pin(leaf).unwrap();
    let stale = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let config = world.config_with(&format!("spki_pins = [\"{pin}\", \"{stale}\"]"));
    let start = || {
        let log = world.site.path("radar.log");
        sealpost::cli::demo::server::Server::start(crate::common::executable(), &config, &log).unwrap()
    };
    let server = start();
    let internet = server.ready.connector("Internet").unwrap();
    let reply = send(internet, Disguise::Certificate(&ending), &letter()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let (told, json) = show(&config);
    assert!(told.contains(&format!("pin {stale} (the key of nothing seen last)")), "{told}");
    assert_eq!(json["pins"][0]["matched"][0], "inbound");
    server.stop().unwrap();

    // The radar looks at the start, and every minute.
    let server = start();
    let log = world.site.path("radar.log");
    let mut text = String::new();
    until("the warnings", || {
        text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("PinUnmatched") && text.contains("CertificateExpiring")
    });
    let warning = text.lines().find(|line| line.contains("CertificateExpiring")).unwrap();
    assert!(warning.contains("WARN") && warning.contains("role=partner"), "{warning}");
    assert!(warning.contains("of=Woodgrove"), "{warning}");
    assert!(text.lines().any(|line| line.contains("PinUnmatched") && line.contains(stale)), "{text}");
    assert_eq!(text.matches("CertificateExpiring").count(), 1, "once a mark: {text}");
    let (_, counters, _) = command(&config, &["counters"]);
    assert!(counters.contains("role=partner"), "{counters}");
    assert!(counters.contains("role=anchor"), "{counters}");
    drop(server);
}
