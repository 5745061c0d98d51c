//! `sealpost queue hold` and `release`: rules for mail to come.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::user;
use crate::mail::text::escape;
use crate::relay::control::{Request, plural};
use crate::relay::holds::HoldSubject;

use super::progress::Progress;
use super::which::{address_as_stored, domain_as_stored, milliseconds};
use super::{Failure, Server, text};

/// What a rule is about; all conditions must hold.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// A recipient's domain
    #[arg(long)]
    domain: Option<String>,
    /// The reverse-path; "<>" is the null one
    #[arg(long)]
    sender: Option<String>,
    /// A recipient's address
    #[arg(long)]
    recipient: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    subject: Subject,
    /// When the rule ends by itself: an RFC 3339 time, or from now on "2 hours"
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show the rules
    #[arg(long, conflicts_with_all = ["domain", "sender", "recipient", "until"])]
    list: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// Number of a rule, as `queue hold --list` shows it
    rule: Option<u64>,
    #[command(flatten)]
    subject: Subject,
    /// Every rule
    #[arg(long)]
    all: bool,
    #[arg(long)]
    json: bool,
}

pub(super) fn hold(args: &HoldArgs, server: Server<'_>) -> Result<ExitCode, Failure> {
    if args.list {
        return list(server, args.json);
    }
    let subject = args.subject.as_stored();
    if subject.is_empty() {
        let text = "name what to hold: --domain, --sender or --recipient; or --list shows the rules";
        return Err(Failure::Usage(text.to_owned()));
    }
    let until = args.until.as_deref().map(end).transpose()?;
    let answer = server.ask(&Request::Hold { subject, until, user: user::name() })?;
    if args.json {
        outln!("{:#}", answer["rule"]);
    } else {
        outln!("{}", escape(&line(&answer["rule"])));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn release(args: &ReleaseArgs, server: Server<'_>) -> Result<ExitCode, Failure> {
    let subject = args.subject.as_stored();
    if args.rule.is_none() && subject.is_empty() && !args.all {
        let text = "name a rule by its number or what it holds, or say --all for every rule";
        return Err(Failure::Usage(text.to_owned()));
    }
    let numbers: Vec<u64> = rules(server)?
        .iter()
        .filter(|rule| args.rule.is_none_or(|number| rule["number"] == number))
        .filter(|rule| subject.is_empty() || subject_of(rule) == subject)
        .filter_map(|rule| rule["number"].as_u64())
        .collect();
    if numbers.is_empty() {
        let text = "no hold rule is about that; `sealpost queue hold --list` shows them";
        return Err(Failure::Answer(text.to_owned()));
    }
    let mut progress = Progress::new("let go");
    let request = Request::Release { numbers, user: user::name() };
    let answer = server.ask_long(&request, &mut progress)?;
    drop(progress);
    if args.json {
        outln!("{answer}");
    } else {
        let count = |key: &str| usize::try_from(answer[key].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
        let (rules, messages) = (count("rules"), count("messages"));
        outln!("{} ended, {} let go", plural(rules, "rule"), plural(messages, "message"));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(server: Server<'_>, json: bool) -> Result<ExitCode, Failure> {
    let rules = rules(server)?;
    if json {
        outln!("{:#}", Value::Array(rules));
    } else if rules.is_empty() {
        outln!("no rule holds mail to come");
    } else {
        rules.iter().for_each(|rule| outln!("{}", escape(&line(rule))));
    }
    Ok(ExitCode::SUCCESS)
}

fn rules(server: Server<'_>) -> Result<Vec<Value>, Failure> {
    match server.ask(&Request::HoldList)?["rules"].take() {
        Value::Array(rules) => Ok(rules),
        _ => Err(Failure::other_version()),
    }
}

fn subject_of(rule: &Value) -> HoldSubject {
    let text = |key: &str| rule[key].as_str().map(str::to_owned);
    HoldSubject { domain: text("domain"), sender: text("sender"), recipient: text("recipient") }
}

/// `1  domain woodgrovebank.example  until released  since 2026-11-22T01:43:17Z by root`
fn line(rule: &Value) -> String {
    let mut line = rule["number"].to_string();
    for key in ["domain", "sender", "recipient"] {
        if let Some(value) = rule[key].as_str() {
            line += &format!("  {key} {}", if value.is_empty() { "<>" } else { value });
        }
    }
    let until = if rule["until"].is_null() { "released".to_owned() } else { text::moment(rule, "until") };
    line + &format!("  until {until}  since {} by {}", text::moment(rule, "since"), text::field(rule, "by"))
}

impl Subject {
    fn as_stored(&self) -> HoldSubject {
        HoldSubject {
            domain: self.domain.as_deref().map(domain_as_stored),
            sender: self.sender.as_deref().map(address_as_stored),
            recipient: self.recipient.as_deref().map(address_as_stored),
        }
    }
}

/// A time, or a duration from now on; one that is over would hold nothing.
fn end(text: &str) -> Result<Timestamp, Failure> {
    let now = Timestamp::now();
    let end = match text.parse::<Timestamp>() {
        Ok(end) => end,
        Err(_) => {
            let millis = milliseconds(text, "--until")
                .map_err(|_| Failure::Usage(format!("--until: {text} is neither an RFC 3339 time nor a duration; write \"2026-11-22T18:00:00Z\" or \"2 hours\"")))?;
            Timestamp::from_millisecond(now.as_millisecond().saturating_add(millis)).unwrap_or(Timestamp::MAX)
        }
    };
    if end <= now {
        return Err(Failure::Usage(format!("--until: {text} is over already; name a time to come")));
    }
    Ok(end)
}
