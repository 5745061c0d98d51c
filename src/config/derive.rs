//! Defaults that follow from other keys, and the secure lists as the partner entries extend them.
//! After this a document says what is in force.

use super::document::{Document, Entry, Item, Origin, Table, Value};
use super::problem::Problems;

/// Fills in every `Default::Derived` that has one value for the whole table.
pub fn derive(document: &mut Document, problems: &mut Problems) {
    let hostname = hostname(document, problems);
    let postmaster = postmaster(document, &hostname);
    extend_secure_lists(document);
    let queue_expiration = document.table("queue").entry("message_expiration").value.clone();
    let protocol_log = document.table("protocol_log").entry("directory").value.clone();
    let reporter = document.table("transport").text("postmaster").unwrap_or(&postmaster).to_owned();
    let trust = document.table("trust");
    let (anchors, revocation) =
        (trust.entry("anchors").value.clone(), trust.entry("revocation").value.clone());
    for table in &mut document.tables {
        match table.section.name {
            "" => table.fill("hostname", Value::Text(hostname.clone())),
            "transport" => table.fill("postmaster", Value::Text(postmaster.clone())),
            "partner" => {
                table.fill("trust_anchors", anchors.clone());
                table.fill("revocation", revocation.clone());
                table.fill("message_expiration", queue_expiration.clone());
            }
            "authentication" => table.fill("trust_anchors", anchors.clone()),
            "message_tracking" => table.fill("directory", protocol_log.clone()),
            "receive_connector" | "send_connector" => connector(table, &hostname),
            "tls_reporting" => tls_reporting(table, &reporter),
            _ => {}
        }
    }
}

fn connector(table: &mut Table, hostname: &str) {
    table.fill("fqdn", Value::Text(hostname.to_owned()));
    if table.section.name == "send_connector" {
        let secure = table.bool("dns_routing_enabled");
        table.fill("domain_secure_enabled", Value::Bool(secure));
        let port = if table.bool("implicit_tls") { 465 } else { 25 };
        table.fill("port", Value::Integer(port));
    } else {
        inbound_limits(table);
    }
    if table.section.name == "receive_connector" {
        let chunking = table.bool("chunking_enabled");
        table.fill("binary_mime_enabled", Value::Bool(chunking));
    }
    let logging = if table.bool("domain_secure_enabled") { "verbose" } else { "none" };
    table.fill("protocol_logging_level", Value::Text(logging.to_owned()));
}

/// A limit that somebody raised takes along what would otherwise stand in its way.
fn inbound_limits(table: &mut Table) {
    const MAX: u64 = u32::MAX as u64;
    let number = |key| table.integer::<u64>(key);
    let (all, of_source) = (number("max_inbound_connections"), number("max_inbound_connections_per_source"));
    let messages = number("message_rate_limit");
    for (key, value) in [
        ("max_inbound_connections_per_subnet", of_source * 5),
        ("reserved_partner_connections", all / 10),
        ("connection_rate_limit", messages.max(of_source * 60)),
        ("recipient_rate_limit", messages * 50),
        ("protocol_error_rate_limit", messages),
    ] {
        table.fill(key, Value::Integer(value.min(MAX)));
    }
}

fn tls_reporting(table: &mut Table, postmaster: &str) {
    let named = table.text("organization_name").is_some_and(|name| !name.is_empty());
    table.fill("enabled", Value::Bool(named));
    table.fill("from", Value::Text(postmaster.to_owned()));
    let from = table.entry("from").value.clone();
    table.fill("contact_info", from);
}

fn hostname(document: &Document, problems: &mut Problems) -> String {
    let top = document.table("");
    if let Some(written) = top.text("hostname") {
        return written.to_owned();
    }
    super::hostname::system_fqdn().unwrap_or_else(|error| {
        let what = format!("is not written, and the system has no full name for this host: {error}");
        problems.error(top.place("hostname"), what, "write hostname = \"mail1.contoso.example\"");
        "localhost".to_owned()
    })
}

/// At the first accepted domain; an edge that only relays answers under its own name.
fn postmaster(document: &Document, hostname: &str) -> String {
    let domain = document.tables("accepted_domain").find_map(Table::name).unwrap_or(hostname);
    format!("postmaster@{}", domain.trim_end_matches('.'))
}

/// Puts the partners' domains on the lists that their `domain_secure` names.
fn extend_secure_lists(document: &mut Document) {
    for (word, key) in
        [("send", "tls_send_domain_secure_list"), ("receive", "tls_receive_domain_secure_list")]
    {
        let partners = document.tables("partner").filter(|partner| partner.holds("domain_secure", word));
        let added: Vec<Item> = partners.flat_map(|partner| partner.items("domains").to_vec()).collect();
        let transport = document.tables.iter_mut().find(|table| table.section.name == "transport");
        let entry = transport.and_then(|table| table.entries.get_mut(key));
        if let Some(Entry { value: Value::List(items), .. }) = entry {
            let new = added.into_iter().filter(|add| items.iter().all(|item| item.text != add.text));
            let new: Vec<_> = new.collect();
            items.extend(new);
        }
    }
}

impl Table {
    fn fill(&mut self, key: &'static str, value: Value) {
        let line = self.line;
        let entry =
            self.entries.entry(key).or_insert(Entry { value: Value::Nothing, line, origin: Origin::Default });
        if entry.value == Value::Nothing {
            *entry = Entry { value, line, origin: Origin::Derived };
        }
    }
}
