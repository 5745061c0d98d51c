//! Rules that hold mail to come (`sealpost queue hold`): what they name enters the queue suspended.
//! They lie in `data_directory/holds.json`, so that a restart lets nothing through, and are few.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use sealpost_queue::NewMessage;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

/// Rules at one time: each is looked at for each recipient that comes in.
pub const RULES_MAX: usize = 1_000;
/// Largest file read, octets; a full one has some 300 KB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a rule holds; all conditions must hold, texts as the queue writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSubject {
    /// Of the recipient.
    pub domain: Option<String>,
    /// Empty: the null reverse-path.
    pub sender: Option<String>,
    pub recipient: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRule {
    /// Its name, never given twice while another rule exists.
    pub number: u64,
    #[serde(flatten)]
    pub subject: HoldSubject,
    pub since: Timestamp,
    /// When it ends by itself, and what it held goes on.
    pub until: Option<Timestamp>,
    /// Who made it.
    pub by: String,
}

/// Why a rule is not made or kept.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error("cannot read the hold rules {path}: {source}; check the owner of the file", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the hold rules {path} are not understood: {why}; restore the file, or remove it to hold nothing",
        path = .path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error("cannot write the hold rules {path}: {source}; check the free space", path = .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there are {RULES_MAX} hold rules already; release some, or hold a whole domain by one")]
    TooMany,
    #[error("a hold rule needs a domain, a sender or a recipient")]
    Everything,
}

/// The rules in force.
pub struct Holds {
    path: PathBuf,
    rules: ArcSwap<Vec<HoldRule>>,
    changing: Mutex<()>,
    /// Read while a message that a rule may hold is being stored; written by who ends a rule, so
    /// that nothing is held by a rule that is gone.
    storing: RwLock<()>,
    ending: Mutex<()>,
}

impl HoldSubject {
    pub fn is_empty(&self) -> bool {
        let Self { domain, sender, recipient } = self;
        domain.is_none() && sender.is_none() && recipient.is_none()
    }

    pub fn matches(&self, sender: &str, address: &str) -> bool {
        let of_address = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let is = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(text))
        };
        is(&self.domain, of_address) && is(&self.sender, sender) && is(&self.recipient, address)
    }
}

impl HoldRule {
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Holds {
    /// Reads the rules of a data directory. A file that is not understood is an error: without it,
    /// mail would go that somebody wanted to see first.
    pub fn open(data_directory: &Path) -> Result<Self, HoldError> {
        let path = data_directory.join("holds.json");
        let rules = read(&path)?;
        Ok(Self {
            path,
            rules: ArcSwap::from_pointee(rules),
            changing: Mutex::default(),
            storing: RwLock::default(),
            ending: Mutex::default(),
        })
    }

    pub fn rules(&self) -> Arc<Vec<HoldRule>> {
        self.rules.load_full()
    }

    /// To be held from the look at the rules until the message is stored; `None`: there are none.
    pub async fn storing(&self) -> Option<RwLockReadGuard<'_, ()>> {
        if self.rules.load().is_empty() { None } else { Some(self.storing.read().await) }
    }

    /// Returns when every message that was judged by the rules before is stored.
    pub async fn stored(&self) {
        drop(self.storing.write().await);
    }

    /// Held by who ends rules: the operator, or the clock.
    pub async fn ending(&self) -> MutexGuard<'_, ()> {
        self.ending.lock().await
    }

    /// Places of the recipients that a rule holds, ascending.
    pub fn held(&self, message: &NewMessage, now: Timestamp) -> Vec<u32> {
        let rules = self.rules.load();
        if rules.is_empty() {
            return Vec::new();
        }
        let holds = |address: &str| {
            rules.iter().any(|rule| !rule.is_over(now) && rule.subject.matches(&message.sender, address))
        };
        let recipients = message.recipients.iter().zip(0..);
        recipients.filter(|(recipient, _)| holds(&recipient.address)).map(|(_, number)| number).collect()
    }

    /// Adds a rule, or gives the one for the same subject another end. It is in force and durable
    /// on return.
    pub async fn add(
        &self,
        subject: HoldSubject,
        until: Option<Timestamp>,
        by: &str,
    ) -> Result<HoldRule, HoldError> {
        if subject.is_empty() {
            return Err(HoldError::Everything);
        }
        let _one_at_a_time = self.changing.lock().await;
        let mut rules = Vec::clone(&self.rules.load());
        let number = rules.iter().map(|rule| rule.number).max().unwrap_or(0) + 1;
        let mut rule = HoldRule { number, subject, since: Timestamp::now(), until, by: by.to_owned() };
        let full = rules.len() >= RULES_MAX;
        match rules.iter_mut().find(|known| known.subject == rule.subject) {
            Some(known) => {
                rule.number = known.number;
                *known = rule.clone();
            }
            None if full => return Err(HoldError::TooMany),
            None => rules.push(rule.clone()),
        }
        self.replace(rules).await?;
        Ok(rule)
    }

    /// Lets these rules be over at `now`: they hold nothing more, and stay until they are dropped.
    pub async fn end(&self, numbers: &[u64], now: Timestamp) -> Result<(), HoldError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut rules = Vec::clone(&self.rules.load());
        for rule in rules.iter_mut().filter(|rule| numbers.contains(&rule.number)) {
            rule.until = Some(rule.until.map_or(now, |until| until.min(now)));
        }
        self.replace(rules).await
    }

    /// Forgets a rule.
    pub async fn drop_rule(&self, number: u64) -> Result<(), HoldError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut rules = Vec::clone(&self.rules.load());
        rules.retain(|rule| rule.number != number);
        self.replace(rules).await
    }

    async fn replace(&self, rules: Vec<HoldRule>) -> Result<(), HoldError> {
        let path = self.path.clone();
        let failed = |source| HoldError::Write { path: self.path.clone(), source };
        let rules = Arc::new(rules);
        let written = Arc::clone(&rules);
        let task = tokio::task::spawn_blocking(move || write(&path, &written));
        task.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        self.rules.store(rules);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<HoldRule>, HoldError> {
    let failed = |source| HoldError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| HoldError::Damaged { path: path.to_owned(), why: error.to_string() })
}

/// Whole beside the old ones, then renamed: there is never half a file. Mode 0600.
fn write(path: &Path, rules: &[HoldRule]) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(rules).map_err(io::Error::other)?;
    let fresh = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_queue::{Destination, NewRecipient};

    fn subject(domain: Option<&str>, sender: Option<&str>, recipient: Option<&str>) -> HoldSubject {
        let own = |text: Option<&str>| text.map(str::to_owned);
        HoldSubject { domain: own(domain), sender: own(sender), recipient: own(recipient) }
    }

    fn message(sender: &str, recipients: &[&str]) -> NewMessage {
        let recipient = |address: &&str| NewRecipient {
            address: (*address).to_owned(),
            destination: Destination {
                next_hop: String::new(),
                connector: String::new(),
                tls_domain: String::new(),
            },
            due: 0,
            expires: 0,
            notify_delay_at: None,
        };
        let recipients = recipients.iter().map(recipient).collect();
        NewMessage { sender: sender.to_owned(), received: 0, meta: Vec::new(), recipients }
    }

    #[tokio::test]
    async fn a_rule_holds_what_it_names_until_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let holds = Holds::open(directory.path()).unwrap();
        assert!(holds.storing().await.is_none());
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let mail = message("anna@contoso.example", &["bob@Woodgrove.example", "eve@fabrikam.example"]);
        for (subject, held) in [
            (subject(Some("woodgrove.example"), None, None), vec![0]),
            (subject(Some("e.example"), None, None), vec![]),
            (subject(None, Some("ANNA@contoso.example"), None), vec![0, 1]),
            (subject(None, Some(""), None), vec![]),
            (subject(None, Some("anna@contoso.example"), Some("eve@fabrikam.example")), vec![1]),
        ] {
            let rule = holds.add(subject.clone(), None, "root").await.unwrap();
            assert_eq!(holds.held(&mail, now), held, "{subject:?}");
            holds.end(&[rule.number], now).await.unwrap();
            assert_eq!(holds.held(&mail, now), [0; 0], "{subject:?} is over");
            holds.drop_rule(rule.number).await.unwrap();
        }
        assert!(matches!(
            holds.add(subject(None, None, None), None, "root").await,
            Err(HoldError::Everything)
        ));
    }

    #[tokio::test]
    async fn rules_outlive_the_server_and_a_subject_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let holds = Holds::open(directory.path()).unwrap();
        let until = "2026-11-23T00:00:00Z".parse().unwrap();
        let partner = subject(Some("woodgrove.example"), None, None);
        holds.add(partner.clone(), None, "root").await.unwrap();
        holds.add(subject(None, Some(""), None), None, "root").await.unwrap();
        holds.add(partner.clone(), Some(until), "anna").await.unwrap();
        let again = Holds::open(directory.path()).unwrap();
        assert_eq!(again.rules(), holds.rules());
        let rules = again.rules();
        assert_eq!(rules.iter().map(|rule| rule.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((rules[0].until, rules[0].by.as_str()), (Some(until), "anna"));
        std::fs::write(directory.path().join("holds.json"), "[{").unwrap();
        let error = Holds::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("holds.json") && error.contains("restore"), "{error}");
    }
}
