//! A next hop played by hand: it keeps every word that is said to it, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Where the conversation stands when a peer is asked what to do.
pub struct Moment<'a> {
    /// From 0, in the order of connecting.
    pub connection: usize,
    pub tls: bool,
    /// `CONNECT`, `DOT`, or the command's verb in capitals.
    pub verb: &'a str,
}

/// What a peer does.
pub enum Answer {
    /// Says this, lines without CRLF.
    Say(String),
    /// Says this, octet by octet as it is, and nothing more for this command.
    Raw(&'static [u8]),
    /// Says 220, listens, and answers with this.
    Nonsense(&'static [u8]),
    /// Says this and hangs up.
    SayAndClose(&'static str),
    Close,
    /// Waits, then answers as a server that behaves.
    Slow(Duration),
    /// As a server that behaves.
    Usual,
}

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub clear: Vec<String>,
    pub secured: Vec<String>,
    pub closed: bool,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub connection: usize,
    pub tls: bool,
    pub mail: String,
    pub recipients: Vec<String>,
    /// Dots unstuffed.
    pub content: Vec<u8>,
}

#[derive(Default)]
pub struct Heard {
    pub sessions: Vec<Session>,
    pub messages: Vec<Message>,
}

type Play = dyn Fn(&Moment<'_>) -> Answer + Send + Sync;

/// How a peer behaves; `Default` is a clear-text server with the usual extensions.
#[derive(Clone)]
pub struct Part {
    pub tls: Option<Arc<ServerConfig>>,
    pub extensions: &'static str,
    pub play: Arc<Play>,
}

pub struct Peer {
    heard: Arc<Mutex<Heard>>,
    task: tokio::task::JoinHandle<()>,
}

impl Default for Part {
    fn default() -> Self {
        let extensions = "PIPELINING\nSIZE 52428800\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES";
        Self { tls: None, extensions, play: Arc::new(|_| Answer::Usual) }
    }
}

impl Part {
    pub fn tls(config: ServerConfig) -> Self {
        Self { tls: Some(Arc::new(config)), ..Self::default() }
    }

    pub fn playing(self, play: impl Fn(&Moment<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self { play: Arc::new(play), ..self }
    }

    /// Answers one verb with these words, and everything else as usual.
    pub fn saying(self, verb: &'static str, words: &'static str) -> Self {
        self.playing(
            move |moment| {
                if moment.verb == verb { Answer::Say(words.to_owned()) } else { Answer::Usual }
            },
        )
    }
}

impl Peer {
    pub async fn start(address: SocketAddr, part: Part) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let keep = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = {
                    let mut heard = lock(&keep);
                    heard.sessions.push(Session::default());
                    heard.sessions.len() - 1
                };
                let conversation = Conversation {
                    part: part.clone(),
                    heard: Arc::clone(&keep),
                    connection,
                    tls: false,
                    mail: String::new(),
                    recipients: Vec::new(),
                };
                tokio::spawn(async move {
                    let heard = Arc::clone(&conversation.heard);
                    conversation.run(stream).await;
                    lock(&heard).sessions[connection].closed = true;
                });
            }
        });
        Self { heard, task }
    }

    pub fn messages(&self) -> Vec<Message> {
        lock(&self.heard).messages.clone()
    }

    pub fn sessions(&self) -> Vec<Session> {
        lock(&self.heard).sessions.clone()
    }

    /// Every verb heard so far, in clear and inside TLS.
    pub fn verbs(&self) -> Vec<String> {
        let sessions = self.sessions();
        let lines = sessions.iter().flat_map(|session| session.clear.iter().chain(&session.secured));
        lines.map(|line| verb_of(line)).collect()
    }

    /// The first message that fits, once it is there.
    pub async fn message(&self, fits: impl Fn(&Message) -> bool) -> Message {
        for _ in 0..3000 {
            if let Some(found) = lock(&self.heard).messages.iter().find(|message| fits(message)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the message did not come; heard: {:?}", self.sessions());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verb_of(line: &str) -> String {
    line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase()
}

struct Conversation {
    part: Part,
    heard: Arc<Mutex<Heard>>,
    connection: usize,
    tls: bool,
    mail: String,
    recipients: Vec<String>,
}

/// How a stretch of conversation ended.
enum End {
    Closed,
    StartTls,
}

impl Conversation {
    async fn run(mut self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        if let Ok(End::StartTls) = self.talk(&mut stream, true).await
            && let Some(config) = self.part.tls.clone()
        {
            let accepted = TlsAcceptor::from(config).accept(stream).await;
            self.tls = true;
            if let Ok(mut tls) = accepted {
                let _broken_off = self.talk(&mut tls, false).await;
                let _gone = tls.shutdown().await;
            }
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        greet: bool,
    ) -> std::io::Result<End> {
        if greet && !self.answer(stream, "CONNECT", "220 peer.invalid ESMTP".to_owned()).await? {
            return Ok(End::Closed);
        }
        let mut buffer = Vec::new();
        while let Some(line) = read_line(stream, &mut buffer).await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let verb = verb_of(&line);
            self.note(&line);
            let usual = match verb.as_str() {
                "EHLO" => self.ehlo(),
                "STARTTLS" => "220 go on".to_owned(),
                "MAIL" => {
                    let taken = matches!(self.ask("MAIL"), Answer::Usual | Answer::Slow(_));
                    self.mail = if taken { line.clone() } else { String::new() };
                    self.recipients.clear();
                    "250 2.1.0 ok".to_owned()
                }
                "RCPT" => {
                    let taken = matches!(self.ask("RCPT"), Answer::Usual | Answer::Slow(_));
                    if taken && !self.mail.is_empty() {
                        self.recipients.push(line.clone());
                    }
                    "250 2.1.5 ok".to_owned()
                }
                "DATA" => "354 go on".to_owned(),
                "BDAT" => {
                    let octets = line.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap();
                    let content = read_octets(stream, &mut buffer, octets).await?;
                    let taken = matches!(self.ask("BDAT"), Answer::Usual | Answer::Slow(_));
                    if taken && !self.recipients.is_empty() {
                        self.keep(content);
                    }
                    "250 2.6.0 kept".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 ok".to_owned(),
            };
            let usual_tls = verb == "STARTTLS" && matches!(self.ask("STARTTLS"), Answer::Usual);
            let data_goes_on = verb == "DATA" && matches!(self.ask("DATA"), Answer::Usual);
            if !self.answer(stream, &verb, usual).await? || verb == "QUIT" {
                return Ok(End::Closed);
            }
            if usual_tls {
                return Ok(End::StartTls);
            }
            if data_goes_on {
                let content = read_content(stream, &mut buffer).await?;
                // Behind refused recipients a client that pipelines sends the final dot alone.
                let kept =
                    !self.recipients.is_empty() && matches!(self.ask("DOT"), Answer::Usual | Answer::Slow(_));
                if kept {
                    self.keep(content);
                }
                if !self.answer(stream, "DOT", "250 2.6.0 kept".to_owned()).await? {
                    return Ok(End::Closed);
                }
            }
        }
        Ok(End::Closed)
    }

    fn ehlo(&self) -> String {
        let mut lines: Vec<&str> = self.part.extensions.lines().collect();
        if self.part.tls.is_some() && !self.tls {
            lines.push("STARTTLS");
        }
        let mut reply = "250".to_owned() + if lines.is_empty() { " " } else { "-" } + "peer.invalid";
        for (index, line) in lines.iter().enumerate() {
            reply += if index + 1 == lines.len() { "\r\n250 " } else { "\r\n250-" };
            reply += line;
        }
        reply
    }

    fn ask(&self, verb: &str) -> Answer {
        (self.part.play)(&Moment { connection: self.connection, tls: self.tls, verb })
    }

    /// Says what is to be said; false when the connection is to end.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        verb: &str,
        usual: String,
    ) -> std::io::Result<bool> {
        let (words, go_on) = match self.ask(verb) {
            Answer::Usual => (usual, true),
            Answer::Say(words) => (words, true),
            Answer::SayAndClose(words) => (words.to_owned(), false),
            Answer::Raw(octets) => {
                stream.write_all(octets).await?;
                stream.flush().await?;
                return Ok(true);
            }
            Answer::Nonsense(octets) => {
                stream.write_all(b"220 go on\r\n").await?;
                stream.flush().await?;
                let _heard = stream.read(&mut [0; 512]).await?;
                stream.write_all(octets).await?;
                return Ok(false);
            }
            Answer::Close => return Ok(false),
            Answer::Slow(wait) => {
                tokio::time::sleep(wait).await;
                (usual, true)
            }
        };
        stream.write_all(format!("{words}\r\n").as_bytes()).await?;
        stream.flush().await?;
        Ok(go_on)
    }

    fn note(&self, line: &str) {
        let mut heard = lock(&self.heard);
        let session = &mut heard.sessions[self.connection];
        if self.tls { &mut session.secured } else { &mut session.clear }.push(line.to_owned());
    }

    fn keep(&mut self, content: Vec<u8>) {
        let message = Message {
            connection: self.connection,
            tls: self.tls,
            mail: std::mem::take(&mut self.mail),
            recipients: std::mem::take(&mut self.recipients),
            content,
        };
        lock(&self.heard).messages.push(message);
    }
}

/// The next line without its CRLF; none at the end.
async fn read_line<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n") {
            let mut line: Vec<u8> = buffer.drain(..end + 2).collect();
            line.truncate(end);
            return Ok(Some(line));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// So many octets, whatever they are.
async fn read_octets<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    octets: usize,
) -> std::io::Result<Vec<u8>> {
    while buffer.len() < octets {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..octets).collect())
}

/// Everything up to the final dot, dots unstuffed.
async fn read_content<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n.\r\n";
    let mut wire = b"\r\n".to_vec();
    wire.append(buffer);
    let mut searched = 0;
    let end = loop {
        if let Some(found) = memchr::memmem::find(&wire[searched..], END) {
            break searched + found;
        }
        searched = wire.len().saturating_sub(END.len());
        if stream.read_buf(&mut wire).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    buffer.extend_from_slice(&wire[end + END.len()..]);
    let mut content = Vec::with_capacity(end);
    let mut rest = &wire[..end + 2];
    while let Some(dot) = memchr::memmem::find(rest, b"\r\n.") {
        content.extend_from_slice(&rest[..dot + 2]);
        rest = &rest[dot + 3..];
    }
    content.extend_from_slice(rest);
    content.drain(..2);
    Ok(content)
}
