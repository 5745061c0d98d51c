//! `[authentication]`: who may log in.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::disk;
use crate::mail::Domain;
use crate::policy::{User, Users};
use crate::trust::{
    Direction, Level, Mode, NamePattern, OnFailure, Requirement, RuledBy, ServerProof, TrustPolicy,
};

use super::super::document::Document;
use super::super::format;
use super::super::problem::{Place, Problems};
use super::super::users_file::{self, Entry, Line};
use super::trust::Anchors;

/// Everyone in the users file, if one is named.
pub fn users(
    document: &Document,
    default_policy: &TrustPolicy,
    anchors: &mut Anchors<'_>,
    problems: &mut Problems,
) -> Arc<Users> {
    let table = document.table("authentication");
    let Some(path) = table.read("users_file", format::path) else { return Arc::default() };
    let policy = TrustPolicy {
        anchors: anchors.load(table, "trust_anchors", problems),
        ..TrustPolicy::clone(default_policy)
    };
    let resolved = document.resolve(path);
    let place = table.place("users_file");
    let Some(text) = read(&resolved, &place, problems) else { return Arc::default() };
    let (mut users, mut secret) = (BTreeMap::new(), None);
    for (index, line) in text.lines().enumerate() {
        let at = Place { line: Some(index + 1), key: place.key.clone() };
        match users_file::line(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Secret(found)) => secret = Some(found),
            Ok(Line::User(entry)) if users.contains_key(&entry.name) => {
                let what = format!("{} stands there twice", entry.name);
                problems.error_in(&resolved, at, what, "remove one of the lines");
            }
            Ok(Line::User(entry)) => {
                users.insert(entry.name.clone(), user(entry, &policy));
            }
            Err(wrong) => problems.error_in(&resolved, at, wrong.what, wrong.remedy),
        }
    }
    // A file that somebody wrote by hand: what is in it is as secret.
    let secret = secret.unwrap_or_else(|| Sha256::digest(text.as_bytes()).to_vec());
    Arc::new(Users::new(users.into_values(), secret))
}

fn read(path: &Path, place: &Place, problems: &mut Problems) -> Option<String> {
    let shown = path.display();
    let text = match disk::read(path, users_file::BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.error(place.clone(), format!("{shown} is not UTF-8"), "save the file as UTF-8");
            return None;
        }
        Err(error) => {
            let what = format!("cannot read {shown}: {error}");
            problems.error(place.clone(), what, "make it with `sealpost user add`, or check the path");
            return None;
        }
    };
    is_ours_alone(path, place, problems);
    Some(text)
}

/// What is kept of a password can be guessed at by whoever reads it, and is as good as the server to him.
pub(super) fn is_ours_alone(path: &Path, place: &Place, problems: &mut Problems) {
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let what = format!("{} can be read or written by others (mode {mode:03o})", path.display());
        problems.error(place.clone(), what, format!("chmod 600 {}", path.display()));
    }
}

fn user(entry: Entry, policy: &TrustPolicy) -> User {
    let Entry { name, verifier, certificate, from } = entry;
    User { certificate: demand(certificate, policy), name, verifier, senders: from }
}

/// A certificate is judged for one of the names and nothing else.
fn demand(names: Vec<Domain>, policy: &TrustPolicy) -> Option<Requirement> {
    let mut names = names.into_iter();
    let domain = names.next()?;
    let others = names.map(NamePattern::Exact).collect();
    Some(Requirement {
        ruled_by: RuledBy::Connector,
        proof: ServerProof::Domain,
        direction: Direction::Inbound,
        domain,
        level: Level::DomainSecure,
        mode: Mode::Enforce,
        on_failure: OnFailure::Reject,
        policy: Arc::new(TrustPolicy { certificate_names: others, ..policy.clone() }),
    })
}
