//! Anchors, revocation lists and our own certificates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::certstore;
use crate::disk;
use crate::policy::{CrlFetchSettings, MtaStsSettings, OwnCertificate};
use crate::trust::{
    AlgorithmPolicy, AnchorSet, CertificateFacts, RevocationDepth, RevocationList, RevocationMode,
    SignatureAlgorithm, TlsVersion, TrustPolicy, UsagePolicy, certificates_from_pem_or_der,
    distinguished_name, printable,
};

use super::super::document::{Document, Table};
use super::super::format;
use super::super::problem::{Place, Problems};
use super::files;

/// Certificates of `intermediates` for one policy: each is looked at for every chain judged anew.
const INTERMEDIATES_MAX: usize = 200;

/// Reads each set of anchors once: partners that name the same sources share it.
pub struct Anchors<'d> {
    document: &'d Document,
    sets: BTreeMap<Vec<String>, Arc<AnchorSet>>,
}

impl<'d> Anchors<'d> {
    pub fn new(document: &'d Document) -> Self {
        Self { document, sets: BTreeMap::new() }
    }

    /// The anchors that `key` of `table` names.
    pub fn load(&mut self, table: &Table, key: &str, problems: &mut Problems) -> Arc<AnchorSet> {
        let sources: Vec<String> = table.items(key).iter().map(|item| item.text.clone()).collect();
        if let Some(set) = self.sets.get(&sources) {
            return Arc::clone(set);
        }
        let written = table.is_written(key);
        let sets = table.items(key).iter().map(|item| {
            let set = self.source(&item.text, &item.place, written, problems);
            set.unwrap_or_else(|| AnchorSet::new(item.text.clone(), Vec::new()))
        });
        let set = Arc::new(AnchorSet::union(sets.collect::<Vec<_>>()));
        self.sets.insert(sources, Arc::clone(&set));
        set
    }

    fn source(&self, name: &str, place: &Place, written: bool, problems: &mut Problems) -> Option<AnchorSet> {
        match name {
            "system" => Some(system(place, written, problems)),
            "mozilla" => Some(AnchorSet::new("mozilla", webpki_roots::TLS_SERVER_ROOTS.to_vec())),
            file => {
                let path = self.document.resolve(file.as_ref());
                let bytes = disk::read(&path, files::TRUST_FILE_BYTES_MAX).map_err(|error| {
                    let what = format!("cannot read {}: {error}", path.display());
                    problems.error(
                        place.clone(),
                        what,
                        "name a PEM or DER file that can be read, or \"system\" or \"mozilla\"",
                    );
                });
                AnchorSet::from_pem_or_der(file, &bytes.ok()?)
                    .map_err(|error| problems.error_sentence(place.clone(), &error.to_string()))
                    .ok()
            }
        }
    }
}

/// A host without any is an error only where the operator asked for them; the default of a host
/// whose partners all have anchors of their own does no harm.
fn system(place: &Place, written: bool, problems: &mut Problems) -> AnchorSet {
    let found = rustls_native_certs::load_native_certs();
    let set = AnchorSet::from_certificates("system", found.certs);
    if set.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let what = format!("the system has no trust anchors{why}");
        let remedy = "install the package ca-certificates, or name PEM files or \"mozilla\"";
        if written {
            problems.error(place.clone(), what, remedy);
        } else {
            problems.warning(place.clone(), what, remedy);
        }
    }
    set
}

/// How everyone without a partner entry is judged.
pub fn default_policy(
    document: &Document,
    anchors: &mut Anchors<'_>,
    problems: &mut Problems,
) -> Arc<TrustPolicy> {
    let table = document.table("trust");
    Arc::new(TrustPolicy {
        revocation: revocation(table),
        intermediates: intermediates(document, None, problems),
        ..TrustPolicy::of(anchors.load(table, "anchors", problems))
    })
}

/// How a partner is judged.
pub fn partner_policy(table: &Table, anchors: &mut Anchors<'_>, problems: &mut Problems) -> TrustPolicy {
    let document = anchors.document;
    TrustPolicy {
        certificate_names: table.read_all("certificate_names", format::certificate_name),
        pins: table.read_all("spki_pins", format::pin),
        usage: match table.text("extended_key_usage") {
            Some("client") => UsagePolicy::Client,
            Some("server") => UsagePolicy::Server,
            _ => UsagePolicy::Either,
        },
        revocation: revocation(table),
        revocation_depth: match table.text("revocation_depth") {
            Some("end-entity") => RevocationDepth::EndEntity,
            _ => RevocationDepth::Chain,
        },
        minimum_tls: match table.text("minimum_tls") {
            Some("1.3") => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        require_client_certificate_request: table.bool("require_client_certificate_request"),
        intermediates: intermediates(document, Some(table), problems),
        algorithms: AlgorithmPolicy {
            minimum_rsa_bits: table.integer::<u32>("minimum_rsa_bits") as usize,
            signature_algorithms: table
                .items("signature_algorithms")
                .iter()
                .filter_map(|item| SignatureAlgorithm::from_name(&item.text))
                .collect(),
        },
        ..TrustPolicy::of(anchors.load(table, "trust_anchors", problems))
    }
}

/// Those of `[trust]`, and the partner's own: they only help to find a path, so one bundle more
/// can admit nobody whom the anchors do not vouch for.
fn intermediates(
    document: &Document,
    partner: Option<&Table>,
    problems: &mut Problems,
) -> Arc<[CertificateDer<'static>]> {
    let mut found = Vec::new();
    for (table, report) in [(Some(document.table("trust")), partner.is_none()), (partner, true)] {
        for item in table.into_iter().flat_map(|table| table.items("intermediates")) {
            let path = document.resolve(item.text.as_ref());
            let read = disk::read(&path, files::TRUST_FILE_BYTES_MAX)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))
                .and_then(|bytes| readable_certificates(&path, &bytes));
            match read {
                Ok(certificates) => found.extend(certificates),
                // What is wrong with those of `[trust]` is said once, not for every partner.
                Err(what) if report => {
                    problems.error(item.place.clone(), what, "name a PEM or DER file of certificates");
                }
                Err(_) => {}
            }
        }
    }
    if found.len() > INTERMEDIATES_MAX {
        let place = partner.unwrap_or(document.table("trust")).place("intermediates");
        let what = format!("{} intermediate certificates are more than {INTERMEDIATES_MAX}", found.len());
        problems.error(place, what, "name those that partners leave out, not a whole store");
        found.truncate(INTERMEDIATES_MAX);
    }
    found.into()
}

fn readable_certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = certificates_from_pem_or_der(bytes)
        .ok_or_else(|| format!("{} is neither PEM nor DER", path.display()))?;
    for (index, certificate) in certificates.iter().enumerate() {
        CertificateFacts::read(certificate)
            .map_err(|error| format!("{}: certificate {}: {error}", path.display(), index + 1))?;
    }
    Ok(certificates)
}

fn revocation(table: &Table) -> RevocationMode {
    match table.text("revocation") {
        Some("off") => RevocationMode::Off,
        Some("soft-fail") => RevocationMode::SoftFail,
        _ => RevocationMode::HardFail,
    }
}

/// Absolute paths; each must be readable now, for a list that is misspelt is a list that is missed.
pub fn crl_files(document: &Document, problems: &mut Problems) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    let mut lists = Vec::new();
    for item in document.table("trust").items("crl_files") {
        let path = document.resolve(item.text.as_ref());
        let source = path.display().to_string();
        match disk::read(&path, files::TRUST_FILE_BYTES_MAX) {
            Ok(bytes) => {
                for list in RevocationList::parse_each(&source, &bytes) {
                    match list {
                        Ok(list) => lists.push((item.place.clone(), list)),
                        Err(error) => problems.warning_sentence(item.place.clone(), &error.to_string()),
                    }
                }
            }
            Err(error) => problems.error(
                item.place.clone(),
                format!("cannot read {source}: {error}"),
                format!(
                    "check the path and its permissions and put the issuer's current list there; or take it off with \
                     `sealpost config set trust.crl_files --remove \"{}\"`: under hard-fail, mail with partners whose \
                     certificates it is for then waits with RevocationUnknown, unless a list can be fetched",
                    item.text
                ),
            ),
        }
        paths.push(path);
    }
    if is_hard_fail_somewhere(document) {
        outdated(&lists, problems);
    }
    paths
}

fn is_hard_fail_somewhere(document: &Document) -> bool {
    let tables = std::iter::once(document.table("trust")).chain(document.tables("partner"));
    tables.map(revocation).any(|mode| mode == RevocationMode::HardFail)
}

/// Lists that are out of date, where no other file has a current one of the same issuer.
fn outdated(lists: &[(Place, RevocationList)], problems: &mut Problems) {
    let now = Timestamp::now();
    let is_current_of =
        |issuer: &[u8]| lists.iter().any(|(_, list)| list.issuer == issuer && list.is_current_at(now));
    for (place, list) in lists.iter().filter(|(_, list)| !is_current_of(&list.issuer)) {
        let when = match list.good_until() {
            Some(end) if end < now => format!("is out of date since {end}"),
            Some(_) => format!("is valid only from {}", list.this_update),
            None => "does not say until when it is current".to_owned(),
        };
        let (source, issuer) = (printable(&list.source), distinguished_name(&list.issuer));
        problems.warning(
            place.clone(),
            format!(
                "{source}: the list of {issuer} {when}: under hard-fail, mail of those whose certificates it is for \
                 waits with RevocationUnknown, unless a current list can be fetched"
            ),
            "put the issuer's current list in its place, and see that something renews it",
        );
    }
}

/// How lists that are not at hand are fetched.
pub fn crl_fetch(table: &Table) -> CrlFetchSettings {
    CrlFetchSettings {
        enabled: table.bool("crl_fetch"),
        timeout: table.read("crl_fetch_timeout", format::duration).unwrap_or_default(),
        allow_private_addresses: table.bool("crl_allow_private_addresses"),
        proxy: table.read("crl_proxy", format::http_proxy).flatten(),
        max_age: table.read("crl_max_age", format::duration).filter(|age| !age.is_zero()),
    }
}

/// How policies of MTA-STS are fetched, and by what they and the hosts they name are judged.
pub fn mta_sts(table: &Table, default: &Arc<TrustPolicy>) -> MtaStsSettings {
    let revocation = match default.revocation {
        RevocationMode::HardFail | RevocationMode::SoftFail => RevocationMode::SoftFail,
        RevocationMode::Off => RevocationMode::Off,
    };
    MtaStsSettings {
        port: table.integer("port"),
        allow_private_addresses: table.bool("allow_private_addresses"),
        trust: Arc::new(TrustPolicy { revocation, ..TrustPolicy::clone(default) }),
    }
}

/// Those that can be read and fit their keys: the files in their order, then the managed store.
pub fn certificates(document: &Document, problems: &mut Problems) -> Vec<Arc<OwnCertificate>> {
    let mut certificates = Vec::new();
    for table in document.tables("certificate") {
        let (Some(chain), Some(key)) = (table.text("chain"), table.text("key")) else { continue };
        let (chain_path, key_path) = (document.resolve(chain.as_ref()), document.resolve(key.as_ref()));
        match certstore::load(&chain_path, &key_path) {
            Ok(certificate) => {
                certificates.push(Arc::new(OwnCertificate { source: chain.to_owned(), ..certificate }));
            }
            Err(error) => {
                let at_fault = if error.is_about_key(&chain_path, &key_path) { "key" } else { "chain" };
                problems.error_sentence(table.place(at_fault), &error.to_string());
            }
        }
    }
    let data_directory = document.table("").read("data_directory", format::path).unwrap_or(".".as_ref());
    let store = certstore::Store::below(&document.resolve(data_directory));
    let (managed, damaged) = store.enabled();
    certificates.extend(managed.into_iter().map(Arc::new));
    for problem in damaged {
        // One bad entry must not keep the server from using the others.
        problems.warning_sentence(document.table("").place("data_directory"), &problem.to_string());
    }
    certificates
}
