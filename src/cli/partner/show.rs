//! `sealpost partner show`: one partner on a page.

use crate::cli::page::Page;
use crate::observe::partners::Sighting;
use crate::relay::partners::{PartnerView, ReportView, SeenView, SettingsView};
use crate::trust::{Direction, Mode};

use super::words;

pub fn text(view: &PartnerView) -> String {
    let mut page = Page::default();
    page.heading(&view.name);
    page.row("  ", "domains", &view.domains.join(", "));
    page.row("  ", "send list", &some(&view.send));
    page.row("  ", "receive list", &some(&view.receive));
    page.row("  ", "mode", words::mode(view.mode));
    if !view.written {
        page.words("  ", "No [[partner]] entry: judged by [trust] and the defaults.");
    }
    judged_by(&mut page, view);
    ours(&mut page, view);
    for seen in &view.seen {
        sessions(&mut page, seen);
    }
    if view.seen.is_empty() {
        page.heading("Nothing has been seen of this partner yet.");
    }
    if !view.expiring.is_empty() {
        page.heading("Expires");
        for ending in &view.expiring {
            let end = words::days(ending.days_left);
            page.item("  ", &format!("{} {} {end} ({})", ending.what, ending.subject, ending.ends));
        }
    }
    if view.mode == Mode::Report || view.report.judged > 0 {
        report(&mut page, &view.report, view.mode);
    }
    page.into_text()
}

fn some(domains: &[String]) -> String {
    if domains.is_empty() { "-".to_owned() } else { domains.join(", ") }
}

/// What a certificate must satisfy, in sentences.
fn judged_by(page: &mut Page, view: &PartnerView) {
    let settings = &view.settings;
    page.heading("Judged by");
    let anchors = match settings.anchors {
        0 => "none; the pin stands for chain and revocation".to_owned(),
        1 => format!("{} (1 anchor)", settings.trust_anchors),
        count => format!("{} ({count} anchors)", settings.trust_anchors),
    };
    page.row("  ", "anchors", &anchors);
    let names = match settings.certificate_names.as_slice() {
        [] => "the domain itself, in the subjectAltName".to_owned(),
        names => format!("the domain itself, or {}", names.join(", ")),
    };
    page.row("  ", "names", &names);
    let usage = format!("server outbound; inbound {}", settings.extended_key_usage);
    page.row("  ", "usage", &usage);
    page.row("  ", "revocation", &format!("{}, {}", settings.revocation, settings.revocation_depth));
    page.row("  ", "TLS", &format!("{} or later", settings.minimum_tls));
    if settings.minimum_rsa_bits > 0 {
        let signatures = match settings.signature_algorithms.as_slice() {
            [] => "any signature that the library takes".to_owned(),
            names => format!("signed with {}", names.join(", ")),
        };
        let words = format!("RSA of {} bits or more, {signatures}", settings.minimum_rsa_bits);
        page.row("  ", "algorithms", &words);
    }
    if settings.intermediates > 0 {
        page.row("  ", "paths", &format!("{} intermediate certificates at hand", settings.intermediates));
    }
    let asked = if settings.require_client_certificate_request { "must" } else { "need not" };
    page.row("  ", "mutual", &format!("their server {asked} ask for our certificate"));
    for pin in &view.pins {
        let state = match (pin.tried, pin.matched.as_slice()) {
            (false, _) => "nothing seen yet".to_owned(),
            (true, []) => "the key of nothing seen last".to_owned(),
            (true, matched) => {
                let directions: Vec<&str> = matched.iter().map(|d| words::direction(*d)).collect();
                format!("in use {}", directions.join(" and "))
            }
        };
        page.row("  ", "pin", &format!("{} ({state})", pin.pin));
    }
    failure(page, settings);
}

fn failure(page: &mut Page, settings: &SettingsView) {
    let SettingsView { on_inbound_failure, on_outbound_failure, .. } = settings;
    page.row("  ", "on failure", &format!("inbound {on_inbound_failure}, outbound {on_outbound_failure}"));
    let hours = |seconds: u64| match seconds {
        0..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    let (delay, end) = (hours(settings.delay_notification), hours(settings.message_expiration));
    page.row("  ", "patience", &format!("senders hear of a delay after {delay}, mail returns after {end}"));
}

fn ours(page: &mut Page, view: &PartnerView) {
    for outbound in &view.outbound {
        page.heading(&format!("Mail to {}", outbound.domain));
        page.row("  ", "connector", outbound.connector.as_deref().unwrap_or("-"));
        page.row("  ", "policy", "this entry, whatever the domain publishes for DANE and MTA-STS");
        if outbound.post_quantum_key_exchange == Some(false) {
            page.row("  ", "key exchange", "without X25519MLKEM768");
        }
        if let Some(own) = &outbound.certificate {
            let text = format!("{}, {} ({})", own.subject, words::days(own.days_left), own.source);
            page.row("  ", "we present", &text);
        }
        if let Some(problem) = &outbound.problem {
            page.row("  ", "problem", problem);
        }
    }
}

fn sessions(page: &mut Page, seen: &SeenView) {
    let (what, unit) = match seen.direction {
        Direction::Inbound => ("From", "MAIL command"),
        Direction::Outbound => ("To", "session"),
    };
    let plural = if seen.good == 1 { "" } else { "s" };
    page.heading(&format!("{what} {}", seen.domain));
    let bad: u64 = seen.failures.iter().map(|row| row.count).sum();
    page.row("  ", "30 days", &format!("{} {unit}{plural} good, {bad} not", seen.good));
    for row in &seen.failures {
        let fault = row.fault.map_or("BelowLevel", |fault| fault.name());
        page.row("  ", "", &format!("{} {fault} ({})", row.count, words::mode(row.mode)));
    }
    page.row("  ", "last good", &words::last(seen.last_good.as_ref()));
    if let Some(good) = &seen.last_good {
        session(page, good);
    }
    page.row("  ", "last failed", &words::last(seen.last_failed.as_ref()));
    if let Some(failed) = &seen.last_failed {
        session(page, failed);
        for fact in &failed.facts {
            page.item("    ", &format!("{}: {}", fact.fault, fact.detail));
        }
        if let Some(fault) = failed.fault().filter(|_| seen.is_failing()) {
            page.row("  ", "mended by", fault.row().mended_by);
            page.row("  ", "what to do", fault.row().remedy);
            page.row("  ", "", &format!("docs/runbook.md, {fault}, has words for the partner"));
        }
    }
}

fn session(page: &mut Page, sighting: &Sighting) {
    let tls = match (&sighting.tls, &sighting.cipher_suite) {
        (Some(tls), Some(suite)) => format!("{tls} {suite}"),
        _ => "no TLS".to_owned(),
    };
    page.words("    ", &format!("{} over {}, {tls}", sighting.peer, sighting.connector));
    if let Some(ruling) = &sighting.ruling {
        page.words("    ", &format!("policy {ruling}"));
    }
    if let Some(name) = &sighting.matched_name {
        page.words("    ", &format!("carries the name {name}"));
    }
    for certificate in &sighting.certificates {
        page.item("    ", &format!("{}, until {}", certificate.subject, certificate.not_after));
        page.words("      ", &format!("sha256:{}", certificate.thumbprint));
    }
    if let Some(leaf) = sighting.certificates.first() {
        page.words("    ", &format!("issued by {}; pin {}", leaf.issuer, leaf.pin));
    }
}

fn report(page: &mut Page, report: &ReportView, mode: Mode) {
    page.heading("Report mode, last 30 days");
    let ReportView { judged, would_refuse, by_fault } = report;
    page.words("  ", &format!("Judged {judged}; enforcing would have refused {would_refuse}."));
    for row in by_fault {
        let fault = row.fault.map_or("BelowLevel", |fault| fault.name());
        let direction = words::direction(row.direction);
        page.item("  ", &format!("{} {direction} {}: {fault} ({})", row.count, row.domain, row.reply));
    }
    if *judged > 0 && *would_refuse == 0 {
        let words = match mode {
            Mode::Report => "Nothing would have been refused: mode = \"enforce\" can be set.",
            Mode::Enforce => {
                "Nothing would have been refused while it was in report mode; it is enforced now."
            }
        };
        page.words("  ", words);
    }
}
