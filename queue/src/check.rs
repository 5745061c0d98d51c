//! `check`: reads everything a queue has on the disk and tells what does not fit together. It changes
//! nothing, and may run beside the server.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::SystemDisk;
use crate::engine::{Body, Step};
use crate::ground::{Ground, system_clock};
use crate::index::Index;
use crate::journal::{self, Missing};
use crate::recovery::{Replay, content_files};
use crate::sqlite::{Look, Oddity};
use crate::{Error, MessageId, Options, content};

/// Beside a running server, what is found is believed when it is found so many times in a row.
const LOOKS: usize = 3;

/// What `check` found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// A server had the directory meanwhile. Files without a record are not told then: they may be
    /// messages coming in.
    pub running: bool,
    pub messages: usize,
    pub recipients: usize,
    /// Jobs in the journal that are not settled.
    pub jobs: usize,
    pub content_files: usize,
    /// What is wrong. Empty: all is well.
    pub findings: Vec<Finding>,
    /// Files without a record, which the next start deletes.
    pub orphans: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is none, or it cannot be read at all.
    NoIndex(String),
    /// SQLite says so of its file.
    IndexDamaged(String),
    /// A number of jobs cannot be read; they were before or in the file named.
    JournalDamaged {
        path: PathBuf,
        jobs: u64,
    },
    ContentFile {
        id: MessageId,
        what: &'static str,
    },
    WithoutRecipients(MessageId),
    WithoutContent(MessageId),
    WithoutMessage(MessageId),
    IdAboveCeiling(MessageId),
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIndex(why) => {
                write!(f, "the index cannot be read ({why}); `sealpost queue rebuild` makes a new one")
            }
            Self::IndexDamaged(what) => {
                write!(f, "the index is damaged: {what}; `sealpost queue rebuild` makes a new one")
            }
            Self::JournalDamaged { path, jobs } => write!(
                f,
                "{jobs} records are missing in the journal, at or before {}; `sealpost queue rebuild` goes on without them",
                path.display()
            ),
            Self::ContentFile { id, what } => {
                write!(f, "the content file of {id} {what}; restore it from a backup, or remove the message")
            }
            Self::WithoutRecipients(id) => {
                write!(f, "{id} has no recipients in the index; `sealpost queue rebuild` drops it")
            }
            Self::WithoutContent(id) => {
                write!(f, "{id} has no content in the index, or too little; remove the message")
            }
            Self::WithoutMessage(id) => {
                write!(
                    f,
                    "the index holds parts of {id}, but not the message; `sealpost queue rebuild` drops them"
                )
            }
            Self::IdAboveCeiling(id) => {
                write!(f, "{id} is above the ceiling of ids; `sealpost queue rebuild` raises it")
            }
        }
    }
}

/// Reads the queue in `directory` from end to end. Blocks for as long as that takes.
pub fn check(directory: &Path) -> Result<CheckReport, Error> {
    let ground = Ground::new(directory, Arc::new(SystemDisk), system_clock(), true, &Options::default());
    let locked = if directory.join(crate::recovery::LOCK_FILE).exists() {
        crate::recovery::lock(&ground)
    } else {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Error::io("find a queue in", directory, missing));
    };
    match locked {
        Ok(_lock) => look(&ground, false),
        Err(Error::Locked(_)) => look_beside_the_server(&ground),
        Err(error) => Err(error),
    }
}

/// What changes while it is read looks like damage: only what is there each time is told.
fn look_beside_the_server(ground: &Ground) -> Result<CheckReport, Error> {
    let mut report = look(ground, true)?;
    for _ in 1..LOOKS {
        if report.findings.is_empty() {
            break;
        }
        let again = look(ground, true)?;
        report.findings.retain(|finding| again.findings.contains(finding));
    }
    Ok(report)
}

fn look(ground: &Ground, running: bool) -> Result<CheckReport, Error> {
    let mut report = CheckReport { running, ..CheckReport::default() };
    let files = match Look::open(&ground.directory) {
        Ok(index) => look_at_index(ground, &index, &mut report)?,
        Err(error) => {
            report.findings.push(Finding::NoIndex(error.to_string()));
            return Ok(report);
        }
    };
    for (id, len) in &files {
        let what = content::verify(&*ground.disk, &ground.directory, *id, *len)?;
        report.findings.extend(what.map(|what| Finding::ContentFile { id: *id, what }));
    }
    report.content_files = files.len();
    if !running {
        let found = content_files(ground)?;
        report.orphans = found.iter().filter(|(id, _)| !files.contains_key(id)).count();
    }
    Ok(report)
}

/// Index and journal, read as a start would. Returns the messages with content files.
fn look_at_index(
    ground: &Ground,
    look: &Look,
    report: &mut CheckReport,
) -> Result<BTreeMap<MessageId, u64>, Error> {
    let complaints = look.complaints()?;
    if !complaints.is_empty() {
        report.findings.extend(complaints.into_iter().map(Finding::IndexDamaged));
        return Ok(BTreeMap::new());
    }
    report.findings.extend(look.oddities()?.into_iter().map(|(id, oddity)| match oddity {
        Oddity::WithoutRecipients => Finding::WithoutRecipients(id),
        Oddity::WithoutContent => Finding::WithoutContent(id),
        Oddity::WithoutMessage => Finding::WithoutMessage(id),
        Oddity::AboveCeiling => Finding::IdAboveCeiling(id),
    }));
    let mut files: BTreeMap<MessageId, u64> = look.files()?.into_iter().collect();
    let mut index = Index::default();
    look.each(|standing| index.load(&standing))?;
    let mut replay = Replay::new(&mut index, look.marks()?);
    let mut segments = journal::look(ground)?;
    let (mut missing, mut jobs) = (0, 0);
    journal::replay(&mut segments, replay.settled(), Missing::PassOver(&mut missing), &mut |record| {
        jobs += 1;
        files.extend(record.steps.iter().filter_map(|step| match step {
            Step::Insert(insert) => match insert.body {
                Body::Standing { len, in_file: true } => Some((insert.id, len)),
                Body::Standing { .. } | Body::Inline(_) | Body::File(_) => None,
            },
            _ => None,
        }));
        replay.record(&record);
    })?;
    if missing > 0 {
        let path = ground.directory.join(journal::DIRECTORY);
        report.findings.push(Finding::JournalDamaged { path, jobs: missing });
    }
    (report.messages, report.recipients) = index.counts();
    report.jobs = jobs;
    files.retain(|id, _| index.contains(*id));
    Ok(files)
}
