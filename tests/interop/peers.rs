//! What the foreign servers have in common: how one is set up as Woodgrove's, kept and stopped, and
//! what a postmaster wants to see of each of them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use sealpost::cli::demo::client::{Client, Disguise};
use sealpost::cli::demo::mailbox::{Delivered, Mailbox};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};

use crate::common::{Edge, OURS, PARTNER, PARTNER_HOST, PATIENCE, STRANGER_HOST, Site, missing};

/// The one version of TLS that the peer is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    V12,
    V13,
}

/// The kind of key in the certificates of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Rsa,
    Ecdsa,
}

/// What the peer shows, as a client and as a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    ItsCertificate,
    /// As a client nothing; as a server it needs one.
    Nothing,
    /// One for the partner's names from an authority that nobody trusts.
    AStrangers,
    /// One of the partner's authority for another name.
    AnotherName,
}

/// What a foreign server is to be. It takes mail from the world on the shared port of
/// `PARTNER_HOST`, from clients with a certificate of Contoso's authority if it can insist on one.
pub struct Setup {
    pub home: PathBuf,
    /// Where the world reaches it.
    pub internet: SocketAddr,
    /// Where Woodgrove's own users hand in mail, in clear.
    pub submission: SocketAddr,
    /// Where mail for woodgrove.example ends, in clear.
    pub inner: SocketAddr,
    /// Where mail for contoso.example goes, over TLS.
    pub next_hop: SocketAddr,
    pub tls: Tls,
    /// Chain and key of what it shows as a client, if anything.
    pub client: Option<Pair>,
    pub server: Pair,
    /// Contoso's root.
    pub root: PathBuf,
}

/// Files that every user can read: many servers read their key after they have dropped root.
#[derive(Clone)]
pub struct Pair {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// A running foreign server; stopped when dropped.
pub struct Peer {
    child: Child,
    log: Vec<PathBuf>,
}

/// How a foreign server is started; none where it is missing.
pub type Start = fn(&Setup) -> Option<Peer>;

/// A site with a foreign server as Woodgrove's and our edge as Contoso's.
pub struct Exchange {
    pub site: Site,
    pub edge: Edge,
    pub inner: Mailbox,
    pub setup: Setup,
    pub peer: Peer,
}

impl Setup {
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A folder below the server's own, belonging to that user.
    pub fn folder(&self, name: &str, owner: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(&path).unwrap();
        let owned = Command::new("chown").arg(owner).arg(&path).status().unwrap();
        assert!(owned.success(), "there is no user named {owner}; .ci/setup makes it");
        path
    }

    /// A server that stays in the foreground and whose output goes to `output.log`. It is running
    /// once it listens to the world and to its own users.
    pub fn start(&self, command: &mut Command, log: Vec<PathBuf>) -> Option<Peer> {
        let output = std::fs::File::create(self.file("output.log")).unwrap();
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut peer = Peer { child, log };
        peer.log.push(self.file("output.log"));
        for address in [self.internet, self.submission] {
            peer.await_listener(address);
        }
        Some(peer)
    }
}

impl Peer {
    fn await_listener(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the peer ended ({ended:?}):\n{}", self.log());
            assert!(Instant::now() < deadline, "the peer does not listen on {address}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn log(&self) -> String {
        let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&self.log.iter().flat_map(read).collect::<Vec<u8>>()).into_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A clean stop first: it takes the peer's own children with it.
        if let Some(process) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _sent = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Exchange {
    /// Starts our edge and that server; none where it is missing.
    pub async fn start(start: Start, tls: Tls, keys: Keys, shows: Shows) -> Option<Self> {
        Self::start_with(start, tls, keys, shows, str::to_owned).await
    }

    /// As `start`, with our settings changed.
    pub async fn start_with(
        start: Start,
        tls: Tls,
        keys: Keys,
        shows: Shows,
        change: impl Fn(&str) -> String,
    ) -> Option<Self> {
        let mut site = Site::new().await;
        use_keys(&mut site, keys);
        let inner = Mailbox::start((site.network.ip(STRANGER_HOST), 0).into()).await.unwrap();
        let edge = site.start_edge_with(&change(&site.settings("")));
        let setup = set_up(&mut site, inner.address(), edge.internet, tls, keys, shows);
        let peer = start(&setup)?;
        Some(Self { site, edge, inner, setup, peer })
    }

    /// Everything that was written down on both sides.
    pub fn logs(&self) -> String {
        format!("the peer's log:\n{}\nour log:\n{}", self.peer.log(), self.site.log())
    }

    /// Woodgrove's user hands in a message for Contoso's.
    pub async fn hand_in_theirs(&self, subject: &str) {
        hand_in(self.setup.submission, &format!("bob@{PARTNER}"), &format!("alice@{OURS}"), subject).await;
    }

    /// Contoso's user hands in a message for Woodgrove's.
    pub async fn hand_in_ours(&self, subject: &str) {
        hand_in(self.edge.internal, &format!("alice@{OURS}"), &format!("bob@{PARTNER}"), subject).await;
    }

    /// What came into that mailbox and fits.
    pub async fn arrival(&self, mailbox: &Mailbox, fits: impl Fn(&Delivered) -> bool) -> Delivered {
        let kept = mailbox.wait_for(fits, PATIENCE).await;
        kept.unwrap_or_else(|| panic!("nothing came\n{}", self.logs()))
    }

    /// Why our message for the peer waits, once it does.
    pub fn why_it_waits(&self, fault: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, list, _) = self.edge.command(&["queue", "list", "--json"]);
            if list.contains(fault) {
                return list;
            }
            assert!(Instant::now() < deadline, "no {fault} in {list}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Mail goes both ways over that version of TLS with those keys: the peer's is stamped with its
/// certificate, ours is known to the peer by our certificate, as `verified` in what it writes into
/// `Received` or its log says. Octets above 127 and dots arrive as they were.
pub async fn mail_goes_both_ways(start: Start, tls: Tls, keys: Keys, verified: &str) {
    let Some(exchange) = Exchange::start(start, tls, keys, Shows::ItsCertificate).await else { return };
    comes_in_stamped(&exchange).await;
    exchange.hand_in_ours("to the peer").await;
    let kept = exchange.arrival(&exchange.inner, |kept| kept.to == [format!("bob@{PARTNER}")]).await;
    assert!(kept.content.ends_with(&body("to the peer")), "{}", kept.content);
    assert_eq!(kept.field("Domain-Secured"), None, "the stamp is ours and stays inside");
    let told = kept.content.replace("\r\n\t", " ").replace("\r\n ", " ") + &exchange.peer.log();
    assert!(told.contains(verified), "no {verified:?}\n{}\n{}", kept.content, exchange.logs());
}

async fn comes_in_stamped(exchange: &Exchange) {
    exchange.hand_in_theirs("from the peer").await;
    let from = format!("bob@{PARTNER}");
    let kept = exchange.arrival(&exchange.site.mailbox, |kept| kept.from == from).await;
    let stamp = kept.field("Domain-Secured").unwrap_or_else(|| panic!("no stamp\n{}", exchange.logs()));
    let version = match exchange.setup.tls {
        Tls::V12 => "tls=TLSv1.2",
        Tls::V13 => "tls=TLSv1.3",
    };
    for part in [&format!("domain={PARTNER}"), version, "verified=chain,revocation,name"] {
        assert!(stamp.contains(part), "no {part} in {stamp}");
    }
    assert!(kept.content.ends_with(&body("from the peer")), "{}", kept.content);
}

/// What the peer shows is not taken: its user gets our reply back, with the fault in it, and
/// nothing arrives.
pub async fn its_user_is_told(start: Start, shows: Shows, fault: &str) {
    let Some(exchange) = Exchange::start(start, Tls::V13, Keys::Ecdsa, shows).await else { return };
    exchange.hand_in_theirs("refused").await;
    let bounced = |kept: &Delivered| kept.from.is_empty() && kept.to == [format!("bob@{PARTNER}")];
    let bounce = exchange.arrival(&exchange.inner, bounced).await;
    let words = bounce.content.replace("\r\n", " ").replace("  ", " ");
    assert!(words.contains("550") && words.contains("5.7."), "{}", bounce.content);
    assert!(words.contains(fault), "no {fault} in {}", bounce.content);
    assert!(exchange.site.mailbox.all().is_empty());
}

/// Nothing goes to a peer that shows what it should not, or does not ask for our certificate: the
/// message waits with that fault.
pub async fn it_gets_no_mail(start: Start, shows: Shows, fault: &str) {
    let Some(exchange) = Exchange::start(start, Tls::V13, Keys::Ecdsa, shows).await else { return };
    exchange.hand_in_ours("kept back").await;
    exchange.why_it_waits(fault);
    assert!(exchange.inner.all().is_empty());
}

/// Gives Contoso a certificate with a key of that kind, before its edge starts.
pub fn use_keys(site: &mut Site, keys: Keys) {
    match keys {
        Keys::Ecdsa => {}
        Keys::Rsa => {
            let names = [OURS.to_owned(), format!("mx.{OURS}")];
            let home = site.path("");
            with_rsa(&mut site.own_authority, &names).write(&home, "contoso").unwrap();
        }
    }
}

/// A folder of `.ci/peers`; `SEALPOST_PEERS` names another place. Servers of the distribution need
/// root for their users.
pub fn unpacked(test: &str, program: &str) -> Option<PathBuf> {
    let peers = std::env::var_os("SEALPOST_PEERS").unwrap_or_else(|| "/opt/sealpost-peers".into());
    let path = Path::new(&peers).join(program);
    if !path.exists() {
        missing(test, &format!("{} not found, which .ci/peers unpacks", path.display()));
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        missing(test, "it needs root to start");
        return None;
    }
    Some(path)
}

/// A shell in a namespace of its own, for servers that take something of the system for granted.
pub fn apart(test: &str, namespace: &str, script: &str) -> Option<Command> {
    let allowed = Command::new("unshare").args([namespace, "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        missing(test, "it needs a namespace of its own, and none is to be had here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args([namespace, "sh", "-c", script]);
    Some(command)
}

fn set_up(
    site: &mut Site,
    inner: SocketAddr,
    next_hop: SocketAddr,
    tls: Tls,
    keys: Keys,
    shows: Shows,
) -> Setup {
    let names = [PARTNER.to_owned(), format!("mx.{PARTNER}")];
    let issue = |authority: &mut Authority, names: &[String]| match keys {
        Keys::Rsa => with_rsa(authority, names),
        Keys::Ecdsa => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            authority.issue(&names, Validity::Current).unwrap()
        }
    };
    let genuine = issue(&mut site.authority, &names);
    let shown = match shows {
        Shows::ItsCertificate | Shows::Nothing => None,
        Shows::AStrangers => Some(issue(&mut Authority::new("Stranger").unwrap(), &names)),
        Shows::AnotherName => Some(issue(&mut site.authority, &["other.example".to_owned()])),
    };
    let home = site.path("peer");
    std::fs::create_dir(&home).unwrap();
    let genuine = open_pair(&genuine, &home, "genuine");
    let shown = shown.map(|identity| open_pair(&identity, &home, "shown"));
    let server = shown.unwrap_or(genuine);
    Setup {
        internet: site.network.at(PARTNER_HOST),
        submission: site.network.free(PARTNER_HOST),
        inner,
        next_hop,
        tls,
        client: (shows != Shows::Nothing).then(|| server.clone()),
        server,
        root: site.path("contoso-root.pem"),
        home,
    }
}

fn with_rsa(authority: &mut Authority, names: &[String]) -> Identity {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::new(names.to_vec()).unwrap();
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    authority.sign_key(&key, params, Validity::Current).unwrap()
}

fn open_pair(identity: &Identity, home: &Path, name: &str) -> Pair {
    use std::os::unix::fs::PermissionsExt;
    let files = identity.write(home, name).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    Pair { chain: files.chain, key: files.key }
}

/// Hands in a message with octets above 127 and lines that begin with dots, in clear.
pub async fn hand_in(server: SocketAddr, from: &str, to: &str, subject: &str) {
    let mut client = Client::connect(server, Disguise::Clear).await.unwrap();
    let mail = format!("MAIL FROM:<{from}> BODY=8BITMIME");
    for command in [mail, format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
        let reply = client.command(&command).await.unwrap();
        assert!(reply.is_positive(), "{command}: {reply}");
    }
    let head = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Mon, 02 Nov 2026 09:00:00 +0000\r\n\
         Message-ID: <{:016x}@{PARTNER}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n",
        rand::random::<u64>()
    );
    let reply = client.content(format!("{head}{}", body(subject)).as_bytes()).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    client.quit().await;
}

/// What it says.
pub fn body(subject: &str) -> String {
    format!("{subject}\r\n.a dot\r\n..two dots\r\nGrüße\r\n")
}

/// Apart: there are as many ways to write them together as servers.
pub fn ip_and_port(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip(), address.port())
}
