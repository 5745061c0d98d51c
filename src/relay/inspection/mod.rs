//! Carrying out what a receive session wants found out: who the sender is at MAIL, and what the
//! content is worth behind the final dot. Nothing here decides; findings go back to the session.

mod held;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::{Instant, timeout_at};

use crate::mail::{Domain, ReversePath};
use crate::net::authentication::{self, Authenticator, Client, Question, SpfEvidence};
use crate::net::resolver::ResolverError;
use crate::policy::{Check, CheckMode, DnsSettings, Finding, InboundChecks, Outcome};
use crate::smtp::HeloName;

use held::Memory;
pub use held::{Held, Loaded};

/// Below `data_directory`: content that waits to be checked and is too large for memory.
const DIRECTORY: &str = "held";

/// What all sessions share.
pub struct Inspector {
    authenticator: ArcSwap<Authenticator>,
    memory: Memory,
    directory: PathBuf,
}

/// Who has said MAIL.
pub struct Sender<'a> {
    pub checks: &'a InboundChecks,
    pub ip: IpAddr,
    pub helo: &'a HeloName,
    pub reverse_path: &'a ReversePath,
    pub hostname: &'a Domain,
}

/// Why there is no inspector.
#[derive(Debug, thiserror::Error)]
pub enum InspectorError {
    #[error("{0}")]
    Resolver(#[from] ResolverError),
    #[error("the directory {path} for content that waits to be checked cannot be emptied: {source}; give it to the server's user", path = .0.display(), source = .1)]
    Directory(PathBuf, std::io::Error),
}

impl Inspector {
    /// Files that a crash has left are of messages that were never acknowledged.
    pub fn open(data_directory: &Path, dns: &DnsSettings) -> Result<Self, InspectorError> {
        let directory = data_directory.join(DIRECTORY);
        held::sweep(&directory).map_err(|error| InspectorError::Directory(directory.clone(), error))?;
        let authenticator = ArcSwap::from_pointee(Authenticator::new(dns)?);
        Ok(Self { authenticator, memory: Memory::default(), directory })
    }

    /// `[dns]` changed, or may have.
    pub fn take(&self, authenticator: Authenticator) {
        self.authenticator.store(Arc::new(authenticator));
    }

    /// Begins to hold a message.
    pub fn hold(&self) -> Held {
        Held::new(self.memory.clone(), self.directory.clone())
    }

    /// Block lists and SPF, side by side.
    pub async fn inspect_sender(&self, sender: &Sender<'_>) -> (Vec<Finding>, Option<SpfEvidence>) {
        let Sender { checks, ip, helo, reverse_path, hostname } = *sender;
        let authenticator = self.authenticator.load_full();
        let deadline = Instant::now() + checks.timeout;
        let listed = async {
            if checks.dns_block_list == CheckMode::Off {
                return Vec::new();
            }
            let asked = authentication::check_block_lists(&authenticator, ip, &checks.dns_block_lists);
            let late = || vec![Finding::new(Check::DnsBlockList, Outcome::TempError, "not known in time")];
            timeout_at(deadline, asked).await.unwrap_or_else(|_| late())
        };
        let spf = async {
            if checks.spf == CheckMode::Off && checks.dmarc == CheckMode::Off {
                return (Vec::new(), None);
            }
            let client = Client { ip, helo, reverse_path, hostname };
            match timeout_at(deadline, authentication::check_spf(&authenticator, &client)).await {
                Ok((findings, evidence)) => (findings, Some(evidence)),
                Err(_) => (
                    vec![authentication::spf_unknown(&client, "not known in time")],
                    Some(SpfEvidence::unknown(&client)),
                ),
            }
        };
        let (mut findings, (of_spf, evidence)) = tokio::join!(listed, spf);
        if checks.spf != CheckMode::Off {
            findings.extend(of_spf);
        }
        (findings, evidence)
    }

    /// DKIM, ARC and DMARC of what is held. It is in memory afterwards where it could be had there.
    pub async fn inspect_content(
        &self,
        checks: &InboundChecks,
        client: IpAddr,
        spf: Option<&SpfEvidence>,
        held: &mut Held,
        head: usize,
    ) -> std::io::Result<Vec<Finding>> {
        if !checks.concern_content() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + checks.timeout;
        match held.load(deadline).await? {
            Loaded::Whole(message) => {
                let authenticator = self.authenticator.load_full();
                let question = Question { checks, client, spf, message, head, deadline };
                Ok(authentication::check_content(&authenticator, &question).await)
            }
            Loaded::TooLarge => Ok(unchecked(checks, "the message is too large to be checked")),
            Loaded::NoMemory => Ok(unchecked(checks, "too much is being checked at this moment")),
        }
    }
}

/// Every content check that is on, not made.
fn unchecked(checks: &InboundChecks, why: &str) -> Vec<Finding> {
    let of_content = [Check::Dkim, Check::Arc, Check::Dmarc];
    let on = of_content.into_iter().filter(|check| checks.mode(*check) != CheckMode::Off);
    on.map(|check| Finding::new(check, Outcome::TempError, why)).collect()
}
