//! One organisation of the demo: its certificates and its settings as files that can be read, and
//! its running edge server.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::mailbox::Mailbox;
use super::pki::{Authority, Identity, Validity};
use super::server::{Server, StartError};

/// Name and domain of an organisation, and where its edge listens.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub domain: &'static str,
    pub address: IpAddr,
}

/// Beside the settings: who knows it may look at the status page.
const TOKEN_FILE: &str = "admin.token";

/// A partner as the other side's settings describe it.
pub struct PartnerEntry<'a> {
    pub name: &'a str,
    pub domain: &'a str,
    pub anchor: &'a str,
}

/// Everything the settings of one organisation say beyond its own profile.
pub struct Surroundings<'a> {
    pub partners: &'a [PartnerEntry<'a>],
    pub revocation_lists: &'a [&'a str],
    pub dns: SocketAddr,
    /// On which every edge of the demo listens.
    pub port: u16,
}

/// An organisation with its server running.
pub struct Organisation {
    pub profile: Profile,
    pub mailbox: Mailbox,
    pub server: Server,
    pub config: PathBuf,
    pub data_directory: PathBuf,
    /// Where the Internet reaches it.
    pub internet: SocketAddr,
    /// Where its own users hand in mail.
    pub internal: SocketAddr,
    pub admin: SocketAddr,
    /// Of its status page.
    pub token: String,
}

impl Profile {
    /// The host name of its edge.
    pub fn host(&self) -> String {
        format!("mx.{}", self.domain)
    }

    /// Lower-case name, for files.
    pub fn slug(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// The certificate that proves its domain and its edge.
    pub fn identity(&self, authority: &mut Authority) -> Result<Identity, rcgen::Error> {
        authority.issue(&[self.domain, &self.host()], Validity::Current)
    }
}

impl Organisation {
    /// A link that signs in to its status page. What stands behind the `#` no server sees, and the
    /// page takes it out of the address.
    pub fn status_page(&self) -> String {
        format!("http://{}/#token={}", self.admin, self.token)
    }

    /// Writes the settings into `directory`, where the certificates already lie, and starts the
    /// server.
    pub async fn start(
        executable: &Path,
        directory: &Path,
        profile: Profile,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, StartError> {
        let spawn = |error| StartError::Spawn(directory.to_owned(), error);
        let mailbox = Mailbox::start((profile.address, 0).into()).await.map_err(spawn)?;
        let config = directory.join("sealpost.toml");
        std::fs::write(&config, settings(&profile, surroundings, mailbox.address())).map_err(spawn)?;
        let token = make_token(&directory.join(TOKEN_FILE)).map_err(spawn)?;
        let server = Server::start(executable, &config, &directory.join("server.log"))?;
        let missing = |what: &str| spawn(io::Error::other(format!("its ready line names no {what}")));
        Ok(Self {
            internet: server.ready.connector("Internet").ok_or_else(|| missing("Internet connector"))?,
            internal: server.ready.connector("Internal").ok_or_else(|| missing("Internal connector"))?,
            admin: server.ready.admin.ok_or_else(|| missing("admin listener"))?,
            token,
            data_directory: directory.join("data"),
            profile,
            mailbox,
            server,
            config,
        })
    }
}

/// A fresh token in a file that only we may read.
fn make_token(path: &Path) -> io::Result<String> {
    let token: String = rand::random::<[u8; 32]>().iter().map(|octet| format!("{octet:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(token.as_bytes())?;
    Ok(token)
}

/// The settings of an edge: what `config/partner.toml` shows, with the demo's names and addresses.
fn settings(profile: &Profile, surroundings: &Surroundings<'_>, mailbox: SocketAddr) -> String {
    let Profile { name, domain, address } = profile;
    let (host, slug, port) = (profile.host(), profile.slug(), surroundings.port);
    let lists = surroundings.revocation_lists.iter().map(|file| format!("{file:?}"));
    let lists = lists.collect::<Vec<_>>().join(", ");
    let partners: String = surroundings.partners.iter().map(partner).collect();
    let dns = surroundings.dns;
    format!(
        r#"# {name}'s edge, as `sealpost demo` set it up.

hostname       = "{host}"
data_directory = "data"

[trust]
anchors   = ["{slug}-root.pem"]
crl_files = [{lists}]

{partners}
[[accepted_domain]]
name = "{domain}"

[[certificate]]
chain = "{slug}.pem"
key   = "{slug}.key"

# Strangers and partners reach this one. It asks everyone for a certificate and judges at MAIL.
[[receive_connector]]
name     = "Internet"
bindings = ["{address}:{port}"]
protocol_logging_level = "verbose"

# {name}'s own mail server hands in outgoing mail here.
[[receive_connector]]
name                  = "Internal"
bindings              = ["{address}:0"]
domain_secure_enabled = false
permissions           = ["submit", "relay"]

[[send_connector]]
name                   = "Internet"
address_spaces         = ["*"]
port                   = {port}
source_addresses       = ["{address}"]
protocol_logging_level = "verbose"

# Mail for {domain} goes to the mailbox server inside.
[[send_connector]]
name                = "Mailboxes"
address_spaces      = ["{domain}"]
dns_routing_enabled = false
smart_hosts         = ["[{mailbox_ip}]:{mailbox_port}"]

[dns]
servers = ["{dns}"]

[admin]
listen = "127.0.0.1:0"
token_file = "{TOKEN_FILE}"
"#,
        mailbox_ip = mailbox.ip(),
        mailbox_port = mailbox.port(),
    )
}

fn partner(entry: &PartnerEntry<'_>) -> String {
    format!(
        r#"[[partner]]
name          = "{}"
domains       = ["{}"]
domain_secure = ["send", "receive"]
trust_anchors = ["{}"]

"#,
        entry.name, entry.domain, entry.anchor
    )
}
