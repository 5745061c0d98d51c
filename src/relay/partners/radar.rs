//! The expiry radar: gauges of what ends when, and an event at each mark before it does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::observe::{CertificateRole, Event};
use crate::policy::{expiry, own_certificate};
use crate::trust::certificate::distinguished_name;

use super::super::shared::Shared;
use super::expiring::{Ending, of_partners};
use super::{Site, describe, writer};

const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Things remembered as told; beyond it they are told again.
const TOLD_MAX: usize = 100_000;

/// What was told already: by role, subject and end the mark, and pins.
#[derive(Default)]
struct Told {
    marks: HashMap<(String, String, Timestamp), i64>,
    pins: HashSet<(String, String)>,
}

/// Looks every minute until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut told = Told::default();
    loop {
        look(&shared, &mut told);
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = shared.draining.cancelled() => return,
        }
    }
}

/// The gauges of the certificates in use: what each receive connector offers, what each send
/// connector presents, what partners last showed, and the anchors they are judged by.
pub fn show(shared: &Shared) {
    show_all(shared, &all(shared));
}

fn show_all(shared: &Shared, all: &[Ending]) {
    let shown = all.iter().map(|ending| (ending.role, ending.subject.clone(), ending.ends));
    shared.observer.set_certificate_expiry(shown);
}

fn look(shared: &Shared, told: &mut Told) {
    if told.marks.len() + told.pins.len() > TOLD_MAX {
        *told = Told::default();
    }
    let all = all(shared);
    show_all(shared, &all);
    let now = Shared::now().wall;
    for ending in all {
        // Of one that has ended the sessions themselves tell, and of ours an event every hour.
        let mark = expiry::mark(ending.begins, ending.ends, now).filter(|mark| *mark > 0);
        if told.is_news(ending.role.as_str(), &ending.subject, ending.ends, mark) {
            shared.observer.event(Event::CertificateExpiring {
                role: ending.role,
                subject: ending.subject,
                not_after: ending.ends,
                of: ending.of,
            });
        }
    }
    look_at_lists(shared, told, now);
    look_at_pins(shared, told, now);
}

fn look_at_lists(shared: &Shared, told: &mut Told, now: Timestamp) {
    for list in &shared.revocation.load().lists {
        let Some(next_update) = list.next_update else { continue };
        let mark = expiry::mark(list.this_update, next_update, now);
        if told.is_news("list", &list.source, next_update, mark) {
            shared.observer.event(Event::RevocationListExpiring {
                source: list.source.clone(),
                issuer: distinguished_name(&list.issuer),
                next_update,
            });
        }
    }
}

fn look_at_pins(shared: &Shared, told: &mut Told, now: Timestamp) {
    let (settings, lists) = (shared.settings.load(), shared.revocation.load());
    if settings.partners.iter().all(|partner| partner.policy.pins.is_empty()) {
        return;
    }
    let record = writer::snapshot(shared);
    let site = Site { settings: &settings, record: &record, lists: &lists, now };
    for partner in describe(site, None) {
        for pin in partner.pins.iter().filter(|pin| pin.tried && pin.matched.is_empty()) {
            let Ok(unmatched) = pin.pin.parse() else { continue };
            if told.pins.insert((partner.name.clone(), pin.pin.clone())) {
                let partner = partner.name.clone();
                shared.observer.event(Event::PinUnmatched { partner, pin: unmatched });
            }
        }
    }
}

/// Everything with an end, in no order.
pub fn all(shared: &Shared) -> Vec<Ending> {
    let settings = shared.settings.load();
    let now = Shared::now().wall;
    let own = |role, of: &str, certificate: &crate::policy::OwnCertificate| Ending {
        role,
        subject: certificate.subject.clone(),
        of: of.to_owned(),
        begins: certificate.not_before,
        ends: certificate.not_after,
    };
    let mut all = Vec::new();
    for (connector, listener) in shared.server_tls.load().iter() {
        all.push(own(CertificateRole::Server, connector, &listener.certificate));
    }
    for connector in &settings.send_connectors {
        let (certificates, hostname) = (&settings.certificates, &settings.hostname);
        let chosen = own_certificate::choose(certificates, None, &connector.fqdn, hostname, now);
        all.extend(chosen.ok().map(|chosen| own(CertificateRole::Client, &connector.name, chosen)));
    }
    for partner in settings.partners.iter().filter(|partner| partner.certificate.is_some()) {
        let (certificates, hostname) = (&settings.certificates, &settings.hostname);
        let wanted = partner.certificate.as_deref();
        let chosen = own_certificate::choose(certificates, wanted, hostname, hostname, now);
        all.extend(chosen.ok().map(|chosen| own(CertificateRole::Client, &partner.name, chosen)));
    }
    let (record, lists) = (writer::snapshot(shared), shared.revocation.load());
    all.extend(of_partners(Site { settings: &settings, record: &record, lists: &lists, now }));
    all
}

impl Told {
    /// Whether this mark was not told yet of this thing; notes that it was.
    fn is_news(&mut self, role: &str, subject: &str, ends: Timestamp, mark: Option<i64>) -> bool {
        let Some(mark) = mark else { return false };
        let key = (role.to_owned(), subject.to_owned(), ends);
        let before = self.marks.insert(key, mark);
        before.is_none_or(|before| mark < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_told_once() {
        let mut told = Told::default();
        let mut news = |mark| told.is_news("partner", "CN=a", Timestamp::UNIX_EPOCH, mark);
        assert!(!news(None));
        assert!(news(Some(30)));
        assert!(!news(Some(30)));
        assert!(news(Some(7)), "the server was down on the 14th day");
        assert!(!news(Some(7)));
        assert!(news(Some(1)));
    }
}
