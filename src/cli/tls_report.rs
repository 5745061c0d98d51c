//! `sealpost tls-report show`: what would be told to the domains that ask for TLS reports.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use crate::admin::control::{self, ControlError};
use crate::mail::tls_report::{PolicyType, Report};
use crate::observe::text::escape;
use crate::relay::control::Request;

use super::location::{Location, LocationError};

#[derive(Debug, Subcommand)]
pub enum TlsReportCommand {
    /// Show the reports of a day: today's as they would be sent now, or earlier ones still to be sent
    Show {
        /// UTC day, such as 2026-11-22 [default: today]
        #[arg(long, value_name = "DAY")]
        day: Option<String>,
        /// Only the report to this domain
        #[arg(long)]
        domain: Option<String>,
        /// {day, enabled, reports: [{domain, report, sending}]}, the report as RFC 8460 has it
        #[arg(long)]
        json: bool,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("{0}")]
    Refused(String),
    #[error("the server's answer is not understood; is it of another version?")]
    Answer,
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Exit status 0, 1 (it failed) or 2 (configuration).
pub fn run(command: &TlsReportCommand, config: &Path) -> ExitCode {
    let TlsReportCommand::Show { day, domain, json } = command;
    match show(config, day.as_deref(), domain.as_deref(), *json) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(ShowError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost tls-report: {error}");
            ExitCode::from(if matches!(error, ShowError::Location(_)) { 2 } else { 1 })
        }
    }
}

fn show(config: &Path, day: Option<&str>, domain: Option<&str>, json: bool) -> Result<(), ShowError> {
    let socket = control::socket_path(&Location::read(config)?.data_directory()?);
    let request = Request::TlsReports { day: day.map(str::to_owned) };
    let request = serde_json::to_value(request).map_err(|_| ShowError::Answer)?;
    let mut answer = control::call(&socket, &request)?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        return Err(ShowError::Refused(error.to_owned()));
    }
    let reports = answer.get_mut("reports").and_then(Value::as_array_mut).ok_or(ShowError::Answer)?;
    if let Some(domain) = domain {
        reports
            .retain(|report| report["domain"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(domain)));
    }
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer).map_err(|_| ShowError::Answer)?)?;
    } else {
        print(&answer, &mut out)?;
    }
    Ok(out.flush()?)
}

fn print(answer: &Value, out: &mut impl Write) -> Result<(), ShowError> {
    let day = answer["day"].as_str().unwrap_or_default();
    if answer["enabled"] == false {
        writeln!(out, "TLS reporting is off; organization_name in [tls_reporting] switches it on.")?;
    }
    let reports = answer["reports"].as_array().ok_or(ShowError::Answer)?;
    if reports.is_empty() {
        writeln!(out, "No sessions of {day} are to be reported.")?;
    }
    for entry in reports {
        let report: Report =
            serde_json::from_value(entry["report"].clone()).map_err(|_| ShowError::Answer)?;
        writeln!(out, "{}", escape(entry["domain"].as_str().unwrap_or_default()))?;
        for result in &report.policies {
            let sums = result.summary;
            writeln!(
                out,
                "  {} {}: {} succeeded, {} failed",
                name(result.policy.policy_type),
                result.policy.policy_domain,
                sums.total_successful_session_count,
                sums.total_failure_session_count
            )?;
            for failure in &result.failure_details {
                let host = failure.receiving_mx_hostname.as_deref().unwrap_or("-");
                let reason = failure.failure_reason_code.as_deref().unwrap_or("-");
                let (kind, count) = (&failure.result_type, failure.failed_session_count);
                writeln!(out, "    {count} x {} at {} ({})", escape(kind), escape(host), escape(reason))?;
            }
        }
        if let Some(next) = entry["sending"]["next_attempt"].as_str() {
            writeln!(out, "  tried {} times, again at {}", entry["sending"]["attempts"], escape(next))?;
        }
    }
    Ok(())
}

fn name(kind: PolicyType) -> &'static str {
    match kind {
        PolicyType::Tlsa => "tlsa",
        PolicyType::Sts => "sts",
        PolicyType::NoPolicyFound => "no-policy-found",
    }
}
