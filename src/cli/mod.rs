//! The doors for people at a terminal: one command line, exit status 0, 1 (the answer is no, or it
//! failed) or 2 (usage or configuration).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[macro_use]
mod print;

pub mod account;
pub mod bundle;
pub mod certificate;
pub mod completions;
pub mod config;
pub mod counters;
pub mod demo;
pub mod exposition;
mod fault_names;
mod location;
pub mod log;
pub mod manual;
mod page;
pub mod partner;
pub mod queue;
pub mod reload;
pub mod serve;
pub mod stamp;
mod status_line;
pub mod tls_report;
pub mod trace;
pub mod user;

/// What `--version` says; a build with the feature `fips` calls itself so.
#[cfg(not(feature = "fips"))]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(feature = "fips")]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (FIPS)");

/// An edge mail transport agent that exchanges mail with partners over mutually authenticated TLS.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version = VERSION, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Configuration file [default: $SEALPOST_CONFIG, else /etc/sealpost/sealpost.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: receive, queue and deliver mail
    Serve,
    /// Show two organisations exchanging domain-secured mail on loopback, and impostors refused
    Demo(demo::DemoArgs),
    /// Check, show, change and reload the configuration, alone or as a bundle for several edges
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Request, import, choose and judge certificates
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Add, list and remove those who may log in at receive connectors
    #[command(subcommand)]
    User(account::AccountCommand),
    /// Add, remove and see partners: what they are judged by, what was seen of them, what would happen now
    #[command(subcommand)]
    Partner(partner::PartnerCommand),
    /// See and steer the messages in the queue of the running server
    Queue(queue::QueueArgs),
    /// Read protocol logs, session by session
    Log(log::LogArgs),
    /// Follow a message from receipt to delivery or report
    Trace(trace::TraceArgs),
    /// See the daily TLS reports as they would be sent
    #[command(subcommand)]
    TlsReport(tls_report::TlsReportCommand),
    /// The counters of the running server
    Counters(counters::CountersArgs),
    /// Make a key for signing stamps, and verify the stamp of a message
    #[command(subcommand)]
    Stamp(stamp::StampCommand),
    /// Print the script that lets a shell complete commands and options
    Completions(completions::CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(manual::ManArgs),
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version are answers, everything else is a usage error.
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let config = cli.config.unwrap_or_else(crate::config::default_path);
    match cli.command {
        Command::Serve => serve::run(&config),
        Command::Demo(args) => demo::run(&args),
        Command::Config(args) => config::run(&args, &config),
        Command::Certificate(command) => command.run(&config),
        Command::User(command) => account::run(&command, &config),
        Command::Partner(command) => partner::run(&command, &config),
        Command::Queue(args) => queue::run(&args, &config),
        Command::Log(args) => log::run(&args, &config),
        Command::Trace(args) => trace::run(&args, &config),
        Command::TlsReport(command) => tls_report::run(&command, &config),
        Command::Counters(args) => counters::run(&args, &config),
        Command::Stamp(command) => stamp::run(&command, &config),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => manual::run(&args),
    }
}
