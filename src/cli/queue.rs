//! `sealpost queue`: see and steer what waits (Exchange: Get-, Retry-, Suspend-, Resume-,
//! Remove-, Export-Message).

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use sealpost_queue::{Filter, MessageId, Status};
use serde_json::Value;

use crate::mail::text::escape;
use crate::mail::{Address, Domain};
use crate::relay::control::{Request, text_to_octets};

use super::reload::AskError;
use super::{reload, user};

#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List messages, oldest first
    List {
        #[command(flatten)]
        which: Which,
        #[arg(long)]
        json: bool,
    },
    /// Show one message with all its recipients
    Show {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Say why a message is still here, what was wanted and what was got
    Why {
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Try messages again now
    Retry(Action),
    /// Hold messages until they are resumed
    Suspend(Action),
    /// Let suspended messages go
    Resume(Action),
    /// Take messages out of the queue, with a delivery status notification to their senders
    Remove {
        #[command(flatten)]
        action: Action,
        /// Tell the senders nothing
        #[arg(long)]
        no_dsn: bool,
    },
    /// Write the content of one message to standard output
    Export { id: String },
}

/// Which messages; all conditions must hold.
#[derive(Debug, Args)]
struct Which {
    /// Queue id
    id: Option<String>,
    /// A recipient's domain, or the next hop
    #[arg(long)]
    domain: Option<String>,
    /// The reverse-path
    #[arg(long)]
    sender: Option<String>,
    /// A recipient's address
    #[arg(long)]
    recipient: Option<String>,
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
    /// In the queue for longer than this: "30 min", "2 hours"
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
}

#[derive(Debug, Args)]
struct Action {
    #[command(flatten)]
    which: Which,
    /// Every message in the queue
    #[arg(long)]
    all: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusArg {
    Active,
    Ready,
    Retry,
    Suspended,
}

/// Runs a queue command against the server of these settings.
pub fn run(args: &QueueArgs, config: &Path) -> ExitCode {
    match execute(args, config) {
        Ok(status) => status,
        Err(Failure::Usage(error)) => {
            eprintln!("sealpost queue: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Answer(error)) => {
            eprintln!("sealpost queue: {error}");
            ExitCode::from(1)
        }
    }
}

enum Failure {
    Usage(String),
    Answer(String),
}

fn execute(args: &QueueArgs, config: &Path) -> Result<ExitCode, Failure> {
    let ask = |request: Request| ask(config, &request);
    match &args.command {
        QueueCommand::List { which, json } => {
            let answer = ask(Request::QueueList { filter: which.filter()? })?;
            print_answer(&answer, *json, list_text)
        }
        QueueCommand::Show { id, json } => {
            let answer = ask(Request::QueueShow { id: queue_id(id)?.to_string() })?;
            print_answer(&answer, *json, show_text)
        }
        QueueCommand::Why { id, json } => {
            let answer = ask(Request::QueueWhy { id: queue_id(id)?.to_string() })?;
            print_answer(&answer, *json, why_text)
        }
        QueueCommand::Export { id } => {
            let content = export(config, queue_id(id)?)?;
            let written = std::io::stdout().lock().write_all(&content);
            written.map_err(|error| Failure::Answer(format!("cannot write the content: {error}")))?;
            Ok(ExitCode::SUCCESS)
        }
        QueueCommand::Retry(action) => {
            let (filter, user) = action.filter()?;
            action.print(&ask(Request::QueueRetry { filter, user })?)
        }
        QueueCommand::Suspend(action) => {
            let (filter, user) = action.filter()?;
            action.print(&ask(Request::QueueSuspend { filter, user })?)
        }
        QueueCommand::Resume(action) => {
            let (filter, user) = action.filter()?;
            action.print(&ask(Request::QueueResume { filter, user })?)
        }
        QueueCommand::Remove { action, no_dsn } => {
            let (filter, user) = action.filter()?;
            action.print(&ask(Request::QueueRemove { filter, user, dsn: !no_dsn })?)
        }
    }
}

/// The whole content, asked for piece by piece; nothing is written before all of it came.
fn export(config: &Path, id: MessageId) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    loop {
        let answer = ask(config, &Request::QueueExport { id: id.to_string(), offset: content.len() as u64 })?;
        let piece = answer["content"].as_str().and_then(text_to_octets);
        let piece = piece.ok_or_else(|| {
            Failure::Answer("the server answered without content; is it of another version?".to_owned())
        })?;
        if piece.is_empty() {
            return Ok(content);
        }
        content.extend_from_slice(&piece);
    }
}

fn queue_id(text: &str) -> Result<MessageId, Failure> {
    text.parse()
        .map_err(|_| Failure::Usage(format!("{text} is not a queue id; it has 16 hexadecimal digits")))
}

fn ask(config: &Path, request: &Request) -> Result<Value, Failure> {
    let answer = reload::ask(config, request).map_err(|error| match error {
        AskError::Location(error) => Failure::Usage(error.to_string()),
        AskError::Control(error) => Failure::Answer(error.to_string()),
    })?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(Failure::Answer(error.to_owned())),
        None => Ok(answer),
    }
}

impl Which {
    fn filter(&self) -> Result<Filter, Failure> {
        let id = self.id.as_deref().map(queue_id).transpose()?;
        let received_before = match &self.older_than {
            None => None,
            Some(text) => {
                let age = crate::config::parse_duration(text).map_err(|_| {
                    Failure::Usage(format!(
                        "--older-than: {text} is not a duration; write \"30 min\" or \"2 hours\""
                    ))
                })?;
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Some(jiff::Timestamp::now().as_millisecond().saturating_sub(age))
            }
        };
        Ok(Filter {
            id,
            after: None,
            domain: self.domain.as_deref().map(as_stored),
            sender: self.sender.as_deref().map(address_as_stored),
            recipient: self.recipient.as_deref().map(address_as_stored),
            status: self.status.map(StatusArg::status),
            received_before,
            limit: None,
        })
    }

    fn is_empty(&self) -> bool {
        let Self { id, domain, sender, recipient, status, older_than } = self;
        id.is_none()
            && domain.is_none()
            && sender.is_none()
            && recipient.is_none()
            && status.is_none()
            && older_than.is_none()
    }
}

/// A domain as the queue writes it; what is none is looked for as it stands.
fn as_stored(domain: &str) -> String {
    Domain::parse_rooted(domain).map_or_else(|_| domain.to_ascii_lowercase(), |domain| domain.to_string())
}

/// An address as the queue writes it, with or without angle brackets; `<>` is the null reverse-path.
fn address_as_stored(text: &str) -> String {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    Address::parse(inner).map_or_else(|_| inner.to_owned(), |address| address.to_string())
}

impl Action {
    /// The filter and who asks. An action on everything must be asked for by name.
    fn filter(&self) -> Result<(Filter, String), Failure> {
        if self.which.is_empty() && !self.all {
            let text = "name a queue id or a filter, or say --all for every message";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok((self.which.filter()?, user::name()))
    }

    /// Exit status 1 when nothing matched.
    fn print(&self, answer: &Value) -> Result<ExitCode, Failure> {
        let count = answer["messages"].as_u64().unwrap_or(0);
        if self.json {
            println!("{answer}");
        } else if count > 0 {
            println!("{count} message{}", if count == 1 { "" } else { "s" });
        }
        if count == 0 {
            return Err(Failure::Answer(
                "no message in the queue that this could be done to; see `sealpost queue list`".to_owned(),
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl StatusArg {
    fn status(self) -> Status {
        match self {
            StatusArg::Active => Status::Active,
            StatusArg::Ready => Status::Ready,
            StatusArg::Retry => Status::Retry,
            StatusArg::Suspended => Status::Suspended,
        }
    }
}

fn print_answer(answer: &Value, json: bool, text: fn(&Value) -> String) -> Result<ExitCode, Failure> {
    if json {
        println!("{answer:#}");
    } else {
        // Addresses and replies are a stranger's words.
        text(answer).lines().for_each(|line| println!("{}", escape(line)));
    }
    Ok(ExitCode::SUCCESS)
}

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

/// Times without the fraction of a second.
fn moment(value: &Value, key: &str) -> String {
    let text = field(value, key);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

fn list_text(answer: &Value) -> String {
    let messages = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if messages.is_empty() {
        return "the queue holds no such message\n".to_owned();
    }
    let mut text = String::new();
    for message in messages {
        let secure = message["tls_domain"]
            .as_str()
            .map_or(String::new(), |domain| format!(" (domain-secured: {domain})"));
        text += &format!(
            "{}  {:9} {}  {} bytes\n  from <{}>  next hop {}{secure}\n",
            field(message, "id"),
            field(message, "status"),
            moment(message, "received"),
            message["size"],
            message["sender"].as_str().unwrap_or_default(),
            field(message, "next_hop"),
        );
        for recipient in message["recipients"].as_array().into_iter().flatten() {
            text += &recipient_text(recipient);
        }
    }
    text + &format!("{} message{}\n", messages.len(), if messages.len() == 1 { "" } else { "s" })
}

fn recipient_text(recipient: &Value) -> String {
    let mut text = format!("  to   <{}>  {}", field(recipient, "address"), field(recipient, "status"));
    if recipient["status"] == "retry" {
        text += &format!(", next attempt {}", moment(recipient, "next_attempt"));
    }
    text.push('\n');
    if let Some(fault) = recipient["fault"].as_str() {
        text += &format!("       {fault}\n");
    }
    if let Some(reply) = recipient["last_reply"].as_str() {
        text += &format!("       {reply}\n");
    }
    text
}

fn show_text(message: &Value) -> String {
    let mut text = String::new();
    let lines = ["id", "sender", "status", "received", "expires", "next_hop", "connector", "tls_domain"];
    for key in lines {
        text += &format!("{key:<10} {}\n", field(message, key));
    }
    text += &format!("{:<10} {} bytes\n", "size", message["size"]);
    for recipient in message["recipients"].as_array().into_iter().flatten() {
        text += &recipient_text(recipient);
    }
    text
}

fn why_text(why: &Value) -> String {
    let mut text = format!("{}  to <{}>\n", field(why, "id"), field(why, "recipient"));
    if let Some(fault) = why["fault"].as_str() {
        text += &format!("fault         {fault}\n");
    }
    text += &format!("reason        {}\n", field(why, "reason"));
    for (key, label) in [
        ("wanted", "wanted"),
        ("got", "got"),
        ("remedy", "remedy"),
        ("host", "host"),
        ("last_reply", "reply"),
    ] {
        // The reason of a failed check ends with its remedy.
        let told =
            key == "remedy" && why[key].as_str().is_some_and(|remedy| field(why, "reason").contains(remedy));
        if let Some(value) = why[key].as_str().filter(|value| !value.is_empty() && !told) {
            text += &format!("{label:<13} {value}\n");
        }
    }
    text += &format!("attempts      {}\n", why["attempts"]);
    text += &format!("next attempt  {}\n", moment(why, "next_attempt"));
    text += &format!("expires       {}\n", moment(why, "expires"));
    let transcript = why["transcript"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !transcript.is_empty() {
        text += "last lines of the conversation\n";
    }
    for line in transcript {
        text += &format!("  {}\n", line.as_str().unwrap_or_default());
    }
    text
}
