//! The options table: every key of the configuration file once, with type, default, unit and
//! meaning. The parser, the defaults, `config show`, `config reference` and docs/configuration.md
//! are all made from it.

mod access;
mod bundle;
mod connectors;
mod event_log;
mod general;
mod inbound_checks;
mod inbound_limits;
mod look_ups;
mod milters;
mod stamp;
mod tls_reporting;
mod tracking;
mod verification;

use super::format::Format;

/// One key.
#[derive(Clone, Copy)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// Of an integer; strings carry their unit in the value.
    pub unit: &'static str,
    /// A change takes effect only when the server starts anew; otherwise a reload suffices.
    pub restart: bool,
    /// One line of Markdown.
    pub doc: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    Integer {
        min: u64,
        max: u64,
    },
    One(Scalar),
    Many(Scalar),
    /// One of the words, or a list in this format.
    WordOrMany(&'static [&'static str], Format),
}

/// The type of a string.
#[derive(Clone, Copy)]
pub enum Scalar {
    Format(Format),
    Word(&'static [&'static str]),
}

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It must be written.
    Required,
    /// Nothing; the feature is not used.
    Nothing,
    Bool(bool),
    Integer(u64),
    Text(&'static str),
    List(&'static [&'static str]),
    /// Follows from other keys; the text says how.
    Derived(&'static str),
}

/// One table of the file, or an array of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Empty for the keys above the first table.
    pub name: &'static str,
    /// For `[[name]]`: the key by which one of them is called.
    pub named_by: Option<&'static str>,
    pub doc: &'static str,
}

const fn single(name: &'static str, doc: &'static str) -> Section {
    Section { name, named_by: None, doc }
}

const fn repeated(name: &'static str, named_by: &'static str, doc: &'static str) -> Section {
    Section { name, named_by: Some(named_by), doc }
}

/// In the order in which reference and `config show` list them.
pub const SECTIONS: &[Section] = &[
    single("", "Above the first table."),
    single("transport", "What Exchange keeps in `Set-TransportConfig`."),
    single("trust", "How certificates are judged, unless a partner entry says otherwise."),
    repeated(
        "partner",
        "name",
        "A partner organisation: one entry for both directions. It refines listed domains.",
    ),
    repeated(
        "accepted_domain",
        "name",
        "A domain of ours: anyone may submit mail for it, and a send connector says where it goes.",
    ),
    repeated("certificate", "chain", "A certificate of ours with its private key."),
    repeated(
        "receive_connector",
        "name",
        "Where mail comes in: addresses, who may connect, what is asked of them.",
    ),
    repeated(
        "milter",
        "name",
        "A filter program that speaks the milter protocol, such as rspamd or a virus scanner; receive connectors say which they ask.",
    ),
    repeated("send_connector", "name", "Where mail goes out: which domains, which way, on what terms."),
    single("stamp", "The signature over the stamp `Domain-Secured` (docs/stamp.md)."),
    single(
        "recipient_verification",
        "Asking next hops whether they know a recipient; accepted domains say whether that is done.",
    ),
    single("authentication", "Who may log in at receive connectors that offer AUTH (`sealpost user`)."),
    single("queue", "How long mail waits and how often it is tried."),
    single("dns", "Name servers."),
    single(
        "mta_sts",
        "Fetching the MTA-STS policies of recipients' domains (RFC 8461); send connectors say whether they are asked for.",
    ),
    single(
        "tls_reporting",
        "Daily reports to the domains that ask for them how TLS with their mail hosts went (RFC 8460).",
    ),
    single("protocol_log", "The SMTP conversations, as Exchange logs them (docs/protocol-log.md)."),
    single(
        "message_tracking",
        "What became of each message, as Exchange tracks it (docs/message-tracking.md).",
    ),
    single("event_log", "What happens and is worth telling (docs/events.md), and what libraries say."),
    single(
        "bundle",
        "Settings that several edges share, handed to each as one signed file (docs/several-edges.md).",
    ),
    single("admin", "The HTTP listener for health, counters and the status page."),
];

/// Every key, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Key> {
    let tables = [
        general::KEYS,
        tracking::KEYS,
        event_log::KEYS,
        connectors::KEYS,
        access::KEYS,
        bundle::KEYS,
        inbound_checks::KEYS,
        inbound_limits::KEYS,
        look_ups::KEYS,
        milters::KEYS,
        stamp::KEYS,
        tls_reporting::KEYS,
        verification::KEYS,
    ];
    SECTIONS
        .iter()
        .flat_map(move |section| tables.into_iter().flatten().filter(move |key| key.section == section.name))
}

/// The keys of one section.
pub fn of(section: &str) -> impl Iterator<Item = &'static Key> {
    all().filter(move |key| key.section == section)
}

pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    all().find(|key| key.section == section && key.name == name)
}

impl Key {
    const fn new(
        section: &'static str,
        name: &'static str,
        kind: Kind,
        default: Default,
        doc: &'static str,
    ) -> Self {
        Self { section, name, kind, default, unit: "", restart: false, doc }
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    const fn restart(mut self) -> Self {
        self.restart = true;
        self
    }
}

const fn one(format: Format) -> Kind {
    Kind::One(Scalar::Format(format))
}

const fn many(format: Format) -> Kind {
    Kind::Many(Scalar::Format(format))
}

const fn word(words: &'static [&'static str]) -> Kind {
    Kind::One(Scalar::Word(words))
}

const fn words(words: &'static [&'static str]) -> Kind {
    Kind::Many(Scalar::Word(words))
}

/// A count that makes no sense as zero.
const COUNT: Kind = Kind::Integer { min: 1, max: u32::MAX as u64 };

impl Key {
    /// Whether `[]` says something; a list that must be written, or that has members by default,
    /// is otherwise meant to have some.
    pub fn may_be_empty(&self) -> bool {
        const MEANINGFUL: &[&str] = &["anchors", "auth_mechanism"];
        match self.default {
            Default::List(members) => members.is_empty() || MEANINGFUL.contains(&self.name),
            Default::Required => false,
            Default::Nothing
            | Default::Derived(_)
            | Default::Bool(_)
            | Default::Integer(_)
            | Default::Text(_) => true,
        }
    }
}

impl Kind {
    /// With an article: "a domain", "true or false".
    pub fn noun(self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::One(scalar) => scalar.noun(),
            Kind::Many(scalar) => format!("a list, each member {}", scalar.noun()),
            Kind::WordOrMany(words, format) => {
                format!("{}, or a list of {} strings", Scalar::Word(words).noun(), format.name)
            }
        }
    }
}

impl Scalar {
    pub fn noun(self) -> String {
        match self {
            Scalar::Format(format) => format!("a string ({})", format.name),
            Scalar::Word(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
        }
    }
}

impl Default {
    /// As it would be written; for derived values the words that say how.
    pub fn toml(&self) -> String {
        match self {
            Default::Required => "required".to_owned(),
            Default::Nothing => "none".to_owned(),
            Default::Bool(value) => value.to_string(),
            Default::Integer(value) => value.to_string(),
            Default::Text(text) => format!("\"{text}\""),
            Default::List(texts) => {
                let quoted: Vec<_> = texts.iter().map(|text| format!("\"{text}\"")).collect();
                format!("[{}]", quoted.join(", "))
            }
            Default::Derived(how) => (*how).to_owned(),
        }
    }
}
