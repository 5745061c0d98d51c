//! `sealpost certificate list`: what there is, what waits for a CA, and who uses what, and why.

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::certstore::{self, About, Entry, PendingRequest};
use crate::policy::{CertificateUse, OwnCertificate, Settings, certificate_uses};
use crate::trust::CertificateFacts;

use super::place::{Place, Refusal};
use crate::cli::print::{print_json, print_out};

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only certificates that have expired or will within this time
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30 days", value_parser = parse_time)]
    expiring: Option<Duration>,
    #[arg(long)]
    json: bool,
}

/// A certificate of ours as it is shown: from the store, or from files.
pub struct Row<'a> {
    pub certificate: &'a OwnCertificate,
    /// `None` for one that `[[certificate]]` names.
    pub about: Option<&'a About>,
    pub users: Option<Vec<String>>,
}

/// Everything that is shown, with the settings around it.
pub struct Inventory {
    entries: Vec<Entry>,
    pub requests: Vec<PendingRequest>,
    pub settings: Option<Settings>,
    now: Timestamp,
}

pub fn run(args: &ListArgs, place: &Place) -> Result<(), Refusal> {
    let inventory = Inventory::take(place);
    let soon = args.expiring.map(|time| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX));
    let ends_soon =
        |row: &Row<'_>| soon.is_none_or(|soon| row.certificate.not_after.duration_since(place.now) <= soon);
    let mut rows: Vec<Row<'_>> = inventory.rows().into_iter().filter(ends_soon).collect();
    if soon.is_some() {
        rows.sort_by_key(|row| row.certificate.not_after);
    }
    let uses = inventory.uses();
    // Who asks what expires wants nothing else.
    let requests: &[PendingRequest] = if soon.is_some() { &[] } else { &inventory.requests };
    if args.json {
        print_json(&json!({
            "certificates": rows.iter().map(|row| row.to_json(place.now)).collect::<Vec<_>>(),
            "requests": requests.iter().map(request_json).collect::<Vec<_>>(),
            "connectors": uses.as_deref().map(|uses| uses.iter().map(use_json).collect::<Vec<_>>()),
        }));
        return Ok(());
    }
    let mut text: String = rows.iter().map(|row| row.to_text(place.now)).collect();
    text.extend(requests.iter().map(request_text));
    if soon.is_none() {
        text.extend(uses.iter().flatten().map(use_text));
    }
    if text.is_empty() {
        text = if soon.is_some() { "nothing expires in that time\n" } else { "no certificates\n" }.to_owned();
    }
    print_out(text.as_bytes());
    Ok(())
}

impl Inventory {
    /// What the store and the settings hold now; what cannot be read is told on standard error.
    pub fn take(place: &Place) -> Self {
        let (entries, mut problems) = place.store.entries();
        let (requests, more) = place.store.requests();
        problems.extend(more);
        for problem in problems {
            eprintln!("sealpost certificate: {problem}");
        }
        Self { entries, requests, settings: place.settings(), now: place.now }
    }

    /// The certificates of files first, in their order, then those of the store, oldest first.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let uses = self.uses();
        let users = |certificate: &OwnCertificate| {
            let is_chosen = |used: &&CertificateUse<'_>| {
                used.choice.as_ref().is_ok_and(|choice| {
                    choice.certificate.thumbprint == certificate.thumbprint
                        && choice.certificate.source == certificate.source
                })
            };
            let uses = uses.as_ref()?;
            Some(uses.iter().filter(is_chosen).map(|used| used.user.to_string()).collect::<Vec<_>>())
        };
        let from_files = self.settings.iter().flat_map(|settings| &settings.certificates);
        let from_files = from_files.filter(|own| !own.is_managed());
        let rows = from_files.map(|own| Row { certificate: own, about: None, users: users(own) });
        let managed = self.entries.iter().map(|entry| Row {
            certificate: &entry.certificate,
            about: Some(&entry.about),
            users: users(&entry.certificate),
        });
        rows.chain(managed).collect()
    }

    /// `None` where the settings cannot be read.
    pub fn uses(&self) -> Option<Vec<CertificateUse<'_>>> {
        self.settings.as_ref().map(|settings| certificate_uses(settings, self.now))
    }
}

impl Row<'_> {
    fn status(&self, now: Timestamp) -> &'static str {
        if now > self.certificate.not_after {
            "expired"
        } else if now < self.certificate.not_before {
            "not-yet-valid"
        } else {
            "valid"
        }
    }

    fn source(&self) -> &str {
        if self.about.is_some() { "store" } else { &self.certificate.source }
    }

    fn enabled(&self) -> bool {
        self.about.is_none_or(|about| about.enabled)
    }

    pub fn to_json(&self, now: Timestamp) -> Value {
        let own = self.certificate;
        let facts = own.chain.first().and_then(|leaf| CertificateFacts::read(leaf).ok());
        json!({
            "thumbprint": own.thumbprint,
            "sha1": certstore::sha1(own),
            "subject": own.subject,
            "issuer": facts.as_ref().map(|facts| &facts.issuer),
            "serial": facts.as_ref().map(|facts| &facts.serial),
            "key": facts.as_ref().map(|facts| &facts.key),
            "names": own.names,
            "not_before": own.not_before,
            "not_after": own.not_after,
            "days_left": days_left(own, now),
            "status": self.status(now),
            "self_signed": own.self_signed,
            "pin": own.chain.first().and_then(certstore::pin).map(|pin| pin.to_string()),
            "source": self.source(),
            "enabled": self.enabled(),
            "enabled_by_hand": own.preferred_since,
            "exportable": self.about.map(|about| about.exportable),
            "created": self.about.map(|about| about.created),
            "origin": self.about.map(|about| about.origin),
            "missing": self.about.and_then(|about| about.missing.as_deref()),
            "in_use_by": self.users,
        })
    }

    pub fn to_text(&self, now: Timestamp) -> String {
        let own = self.certificate;
        let left = match days_left(own, now) {
            -1 => "less than a day ago".to_owned(),
            -2 => "1 day ago".to_owned(),
            days if days < 0 => format!("{} days ago", -days - 1),
            0 => "less than a day left".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        let mut state = vec![self.status(now).to_owned()];
        if !self.enabled() {
            state.push("not enabled".to_owned());
        }
        if self.about.is_some_and(|about| about.exportable) {
            state.push("exportable".to_owned());
        }
        if own.self_signed {
            state.push("self-signed".to_owned());
        }
        if let Some(missing) = self.about.and_then(|about| about.missing.as_deref()) {
            state.push(format!("chain lacks {missing}"));
        }
        let users = match &self.users {
            None => "not known, as the settings cannot be read".to_owned(),
            Some(users) if users.is_empty() => "nobody".to_owned(),
            Some(users) => users.join(", "),
        };
        let rows = [
            ("sha-1", certstore::sha1(own)),
            ("subject", own.subject.clone()),
            ("names", crate::trust::printable(&own.names.join(", "))),
            ("validity", format!("{} to {} ({left})", own.not_before, own.not_after)),
            ("state", state.join(", ")),
            ("from", self.source().to_owned()),
            ("in use by", users),
        ];
        block(&own.thumbprint, &rows)
    }
}

fn days_left(own: &OwnCertificate, now: Timestamp) -> i64 {
    own.not_after.duration_since(now).as_secs().div_euclid(86_400)
}

/// A heading and its rows.
pub fn block(heading: &str, rows: &[(&str, String)]) -> String {
    let rows: String = rows.iter().map(|(what, value)| format!("  {what:<10} {value}\n")).collect();
    format!("{heading}\n{rows}")
}

pub fn request_json(request: &PendingRequest) -> Value {
    json!({
        "id": request.id,
        "status": "pending",
        "subject": request.about.subject,
        "names": request.about.names,
        "key": request.about.key,
        "created": request.about.created,
        "exportable": request.about.exportable,
        "renews": request.about.renews,
    })
}

pub fn request_text(request: &PendingRequest) -> String {
    let mut rows = vec![
        ("subject", request.about.subject.clone()),
        ("names", request.about.names.join(", ")),
        ("key", request.about.key.clone()),
        ("state", format!("pending request since {:.0}", request.about.created)),
    ];
    rows.extend(request.about.renews.clone().map(|old| ("renews", old)));
    block(&request.id, &rows)
}

fn use_json(used: &CertificateUse<'_>) -> Value {
    let choice = used.choice.as_ref();
    json!({
        "kind": used.user.section(),
        "name": used.user.name(),
        "certificate": choice.ok().map(|choice| &choice.certificate.thumbprint),
        "source": choice.ok().map(|choice| &choice.certificate.source),
        "why": choice.map_or_else(ToString::to_string, ToString::to_string),
    })
}

fn use_text(used: &CertificateUse<'_>) -> String {
    match &used.choice {
        Ok(choice) => format!("{} uses {}: {choice}\n", used.user, &choice.certificate.thumbprint),
        Err(reason) => format!("{} has no certificate: {reason}\n", used.user),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).map_err(|_| "write a time such as \"30 days\"".to_owned())
}
