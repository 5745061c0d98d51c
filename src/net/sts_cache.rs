//! Fetched MTA-STS policies on disk, so that a restart forgets none and an attacker who keeps a
//! domain's policy from us gains nothing until it runs out (RFC 8461 10.2). One file a domain.

use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk;
use crate::mail::Domain;
use crate::policy::limits::STS_POLICY_BYTES_MAX;
use crate::policy::mta_sts::StsPolicy;
use crate::trust::certificate::hex;

/// Another format gets another number.
const VERSION: u32 = 1;
/// A policy in JSON with the rest.
const FILE_BYTES_MAX: u64 = 2 * STS_POLICY_BYTES_MAX as u64;
const EXTENSION: &str = "policy";

/// A policy as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPolicy {
    pub domain: Domain,
    /// Of the TXT record that announced it.
    pub id: String,
    pub fetched: Timestamp,
    pub policy: Arc<StsPolicy>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    domain: Domain,
    id: String,
    fetched: Timestamp,
    policy: Vec<String>,
}

/// The directory; only its owner may look inside.
pub struct StsCache {
    directory: PathBuf,
}

impl KeptPolicy {
    /// Until when it holds (RFC 8461 3.2 `max_age`).
    pub fn expires(&self) -> Timestamp {
        later(self.fetched, self.policy.max_age)
    }
}

/// `at` plus `wait`, or the end of time.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

impl StsCache {
    /// The directory is made when the first policy is stored.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Every policy that has not run out, the latest fetched first, at most `most`; other files are
    /// removed. Blocks on the disk.
    pub fn load(&self, now: Timestamp, most: usize) -> Vec<KeptPolicy> {
        let mut kept = Vec::new();
        for file in self.files() {
            match read(&file).filter(|policy| policy.expires() > now) {
                Some(policy) => kept.push(policy),
                None => {
                    // What cannot be removed either is met again at the next start.
                    let _gone = std::fs::remove_file(&file);
                }
            }
        }
        kept.sort_by_key(|policy| std::cmp::Reverse(policy.fetched));
        for surplus in kept.split_off(kept.len().min(most)) {
            self.remove(&surplus.domain);
        }
        kept
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|file| file.extension().is_some_and(|extension| extension == EXTENSION)).collect()
    }

    /// Writes the policy beside its place and then into it, so that a crash leaves the old one.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The disk's; nothing changed then.
    pub fn store(&self, kept: &KeptPolicy) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let content = File {
            version: VERSION,
            domain: kept.domain.clone(),
            id: kept.id.clone(),
            fetched: kept.fetched,
            policy: kept.policy.lines(),
        };
        // Mode 0600, and removed by itself if anything fails.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer(&mut file, &content)?;
        file.as_file().sync_all()?;
        file.persist(self.path(&kept.domain)).map_err(|error| error.error)?;
        Ok(())
    }

    /// One that is not there is as good as removed.
    pub fn remove(&self, domain: &Domain) {
        let _gone = std::fs::remove_file(self.path(domain));
    }

    /// A domain may be as long as a file name.
    fn path(&self, domain: &Domain) -> PathBuf {
        let name = hex(&Sha256::digest(domain.as_str().as_bytes())[..16]);
        self.directory.join(format!("{name}.{EXTENSION}"))
    }
}

fn read(path: &Path) -> Option<KeptPolicy> {
    let mut bytes = Vec::new();
    disk::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let file: File = serde_json::from_slice(&bytes).ok().filter(|file: &File| file.version == VERSION)?;
    let policy = StsPolicy::parse(file.policy.join("\n").as_bytes()).ok()?;
    Some(KeptPolicy { domain: file.domain, id: file.id, fetched: file.fetched, policy: Arc::new(policy) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(domain: &str, mode: &str, fetched: i64) -> KeptPolicy {
        let text = format!("version: STSv1\nmode: {mode}\nmx: *.{domain}\nmax_age: 86400\n");
        KeptPolicy {
            domain: Domain::parse(domain).unwrap(),
            id: "20261121".to_owned(),
            fetched: Timestamp::from_second(fetched).unwrap(),
            policy: Arc::new(StsPolicy::parse(text.as_bytes()).unwrap()),
        }
    }

    #[test]
    fn a_policy_outlives_a_restart_and_not_its_max_age() {
        let directory = tempfile::tempdir().unwrap();
        let cache = StsCache::new(directory.path().join("mta-sts"));
        let (old, new) = (kept("old.example", "enforce", 1_000), kept("new.example", "testing", 80_000));
        let long = kept(&format!("{}.example", ["a".repeat(60).as_str(); 4].join(".")), "enforce", 70_000);
        for policy in [&old, &new, &long] {
            cache.store(policy).unwrap();
        }
        std::fs::write(directory.path().join("mta-sts/rubbish.policy"), "{").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(cache.load(at(87_401), 10), [new.clone(), long.clone()], "one ran out a second ago");
        assert_eq!(cache.load(at(1), 10), [new.clone(), long], "and is gone for good");
        assert_eq!(cache.load(at(1), 1), std::slice::from_ref(&new), "the latest stay");
        assert_eq!(std::fs::read_dir(directory.path().join("mta-sts")).unwrap().count(), 1);
        cache.remove(&new.domain);
        assert_eq!(cache.load(at(1), 10), []);
    }

    #[test]
    fn a_policy_fetched_again_takes_the_place_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let cache = StsCache::new(directory.path().to_owned());
        cache.store(&kept("x.example", "testing", 1_000)).unwrap();
        cache.store(&kept("x.example", "enforce", 2_000)).unwrap();
        let found = cache.load(Timestamp::from_second(3_000).unwrap(), 10);
        assert_eq!(found, [kept("x.example", "enforce", 2_000)]);
    }
}
