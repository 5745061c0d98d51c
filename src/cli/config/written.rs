//! What a change of the configuration file came to: for the audit log, and for whoever made it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::print::{print_json, print_out};
use crate::cli::reload::{self, Taken};
use crate::cli::user;
use crate::config::{Change, Document, Loaded, differences, format};
use crate::observe::text::escape;
use crate::observe::{AuditEntry, AuditLog};

/// A change that is in the file.
pub struct Written {
    changes: Vec<Change>,
    data_directory: PathBuf,
    /// Domains that were on the send and on the receive list, and are on it no more.
    unsecured: Unsecured,
    /// Domains that either list holds now.
    listed: Vec<String>,
}

const LISTS: [&str; 2] = ["tls_send_domain_secure_list", "tls_receive_domain_secure_list"];

#[derive(Default)]
struct Unsecured {
    send: Vec<String>,
    receive: Vec<String>,
}

/// What became of `--reload`.
enum Reload {
    NotAsked,
    /// What came in force that this command has not changed.
    Took(Vec<Taken>),
    /// Told already; the exit status.
    Failed(u8),
}

impl Written {
    pub fn new(before: Option<&Document>, loaded: &Loaded) -> Self {
        let after = &loaded.document;
        Self {
            changes: before.map(|before| differences(before, after)).unwrap_or_default(),
            data_directory: loaded.settings.data_directory.clone(),
            unsecured: before.map(|before| Unsecured::between(before, after)).unwrap_or_default(),
            listed: LISTS.iter().flat_map(|list| members(after, list)).collect(),
        }
    }

    /// Whether a secure list holds this domain now.
    pub fn is_listed(&self, domain: &str) -> bool {
        self.listed.iter().any(|listed| listed == domain)
    }

    /// One line of `audit.log` a key; that it cannot be written is told, and stops nobody.
    pub fn audit(&self) {
        let log = AuditLog::new(&self.data_directory);
        let user = user::name();
        for change in &self.changes {
            let entry = AuditEntry {
                at: Timestamp::now(),
                user: &user,
                what: &format!("config set: {}", change.key),
                old: change.old.as_deref().unwrap_or_default(),
                new: change.new.as_deref().unwrap_or_default(),
                secure_list: change.secure_list,
            };
            if let Err(error) = log.append(&entry) {
                eprintln!("sealpost config: {error}");
                return;
            }
        }
    }

    /// Tells what changed and what is to be done so that it counts; with `reload` does it. `notes` are
    /// sentences to end with. Gives the exit status.
    pub fn tell(&self, config: &Path, reload: bool, json: bool, notes: &[String]) -> u8 {
        let needs = self.needs();
        let reload = match needs {
            _ if !reload => Reload::NotAsked,
            "restart" => {
                eprintln!(
                    "sealpost config: the file is written, and only a restart of the server takes it up"
                );
                Reload::Failed(1)
            }
            _ => match reload::reload(config) {
                Ok(taken) => Reload::Took(self.others(taken.unwrap_or_default())),
                Err(status) => Reload::Failed(status),
            },
        };
        if json {
            print_json(&self.to_json(needs, &reload, notes));
        } else {
            print_out(self.text(needs, &reload, notes).as_bytes());
        }
        match reload {
            Reload::NotAsked | Reload::Took(_) => 0,
            Reload::Failed(status) => status,
        }
    }

    fn needs(&self) -> &'static str {
        match self.changes.iter().any(|change| change.restart) {
            _ if self.changes.is_empty() => "nothing",
            true => "restart",
            false => "reload",
        }
    }

    fn others(&self, mut taken: Vec<Taken>) -> Vec<Taken> {
        taken.retain(|one| !self.changes.iter().any(|change| change.key == one.what));
        taken
    }

    fn to_json(&self, needs: &str, reload: &Reload, notes: &[String]) -> Value {
        let changes = self.changes.iter().map(|change| {
            json!({
                "key": change.key, "old": change.old, "new": change.new,
                "restart": change.restart, "secure_list": change.secure_list,
            })
        });
        let others = match reload {
            Reload::Took(others) => others.as_slice(),
            Reload::NotAsked | Reload::Failed(_) => &[],
        };
        let others = others.iter().map(|one| json!({"what": one.what, "old": one.old, "new": one.new}));
        json!({
            "changes": changes.collect::<Vec<_>>(),
            "needs": needs,
            "reloaded": matches!(reload, Reload::Took(_)),
            "also_in_force": others.collect::<Vec<_>>(),
            "no_longer_secured": {"send": self.unsecured.send, "receive": self.unsecured.receive},
            "notes": notes,
        })
    }

    fn text(&self, needs: &str, reload: &Reload, notes: &[String]) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let [old, new] =
                [&change.old, &change.new].map(|value| escape(value.as_deref().unwrap_or("(none)")));
            text.push_str(&format!("{}: {old} -> {new}\n", escape(&change.key)));
        }
        text.push_str(match (needs, reload) {
            ("nothing", _) => "nothing that counts has changed\n",
            ("restart", _) => "it takes effect when the server starts anew\n",
            (_, Reload::NotAsked) => "it takes effect with `sealpost config reload`\n",
            (_, Reload::Took(_)) => "the running server has taken it\n",
            (_, Reload::Failed(_)) => "the file is written, and the running server has not taken it\n",
        });
        if let Reload::Took(others) = reload
            && !others.is_empty()
        {
            text.push_str("with the reload came in force what else had changed since the last one:\n");
            others.iter().for_each(|one| text.push_str(&format!("  {one}\n")));
        }
        for sentence in self.unsecured.sentences().iter().chain(notes) {
            text.push_str(&format!("{sentence}\n"));
        }
        text
    }
}

impl Unsecured {
    fn between(before: &Document, after: &Document) -> Self {
        let [send, receive] = LISTS.map(|list| {
            let mut gone = members(before, list);
            let left = members(after, list);
            gone.retain(|domain| !left.contains(domain));
            gone
        });
        Self { send, receive }
    }

    /// What this means for mail, said plainly.
    fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.send.is_empty() {
            sentences.push(format!(
                "mail to {} is no longer secured: it leaves as ordinary mail does, in clear where neither a connector \
                 nor a policy of the other side asks for TLS, and to a host that has proved nothing",
                list(&self.send)
            ));
        }
        if !self.receive.is_empty() {
            sentences.push(format!(
                "mail from {} is no longer secured: it is accepted from anybody, without a certificate and in clear",
                list(&self.receive)
            ));
        }
        sentences
    }
}

/// A secure list, those included that partner entries put there, as domains are compared.
fn members(document: &Document, list: &str) -> Vec<String> {
    let domains = document.table("transport").read_all(list, format::domain);
    domains.iter().map(ToString::to_string).collect()
}

fn list(domains: &[String]) -> String {
    domains.iter().map(|domain| escape(domain)).collect::<Vec<_>>().join(", ")
}
