//! `sealpost counters`: the counters of the running server.

mod watch;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::admin::control::{self, ControlError};

use super::exposition::{Sample, parse};
use super::location::{Location, LocationError};

use watch::{Canvas, Watch};

/// How often `--watch` asks.
const ASK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct CountersArgs {
    /// Show them again every second, with rates and the last half minute; NO_COLOR is respected
    #[arg(long)]
    watch: bool,
    /// JSON: an array of {name, labels, value}; with --watch one a line
    #[arg(long)]
    json: bool,
    /// Histogram buckets and zeros too
    #[arg(long)]
    all: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CountersError {
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the server answered without counters: {0}; is it of another version?")]
    Answer(String),
    #[error("cannot write to standard output: {0}; see where it leads and whether that disk has space")]
    Write(#[from] io::Error),
}

/// Exit status 0, 1 (no server answers) or 2 (configuration).
pub fn run(args: &CountersArgs, config: &Path) -> ExitCode {
    match show(args, config, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(CountersError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealpost: {error}");
            ExitCode::from(if matches!(error, CountersError::Location(_)) { 2 } else { 1 })
        }
    }
}

fn show(args: &CountersArgs, config: &Path, out: &mut impl Write) -> Result<(), CountersError> {
    let socket = control::socket_path(&Location::read(config)?.data_directory()?);
    let mut before = Vec::new();
    let mut watch = Watch::default();
    loop {
        let samples = ask(&socket)?;
        // A window may grow meanwhile.
        let canvas = Canvas::of_stdout().filter(|_| args.watch && !args.json);
        if args.json {
            writeln!(out, "{}", to_json(&samples))?;
        } else if let Some(canvas) = canvas {
            if before.is_empty() {
                write!(out, "\u{1b}[2J")?;
            }
            watch.note(&samples);
            let title = format!("Sealpost counters, every second ({}); Ctrl-C ends", socket.display());
            write!(out, "{}", watch.draw(&samples, &title, canvas, args.all))?;
        } else {
            print(&samples, &before, args.all, out)?;
        }
        out.flush()?;
        if !args.watch {
            return Ok(());
        }
        before = samples;
        std::thread::sleep(ASK_EVERY);
    }
}

fn ask(socket: &Path) -> Result<Vec<Sample>, CountersError> {
    let answer = control::call(socket, &json!({ "command": "counters" }))?;
    match answer.get("metrics").and_then(Value::as_str) {
        Some(metrics) => Ok(parse(metrics)),
        None => Err(CountersError::Answer(answer.to_string())),
    }
}

/// One series a line; `+n` is what was added since the last look.
fn print(samples: &[Sample], before: &[Sample], all: bool, out: &mut impl Write) -> io::Result<()> {
    let wanted = |sample: &&Sample| all || (sample.value != 0.0 && !sample.name.ends_with("_bucket"));
    let mut nothing = true;
    for sample in samples.iter().filter(wanted) {
        nothing = false;
        let series = sample.series();
        write!(out, "{:>12}  {series}", readable(sample))?;
        let old = before.iter().find(|old| old.name == sample.name && old.labels == sample.labels);
        match old.map(|old| sample.value - old.value) {
            Some(added) if added > 0.0 && !sample.is_moment() => writeln!(out, "  +{}", short(added))?,
            Some(_) | None => writeln!(out)?,
        }
    }
    if nothing { writeln!(out, "all counters are 0 (--all shows them)") } else { Ok(()) }
}

/// A moment as UTC, anything else as a number.
fn readable(sample: &Sample) -> String {
    // As of the year 9999 it is a number again.
    let moment = Timestamp::from_second(sample.value as i64).ok();
    match moment.filter(|_| sample.is_moment() && sample.value > 0.0) {
        Some(moment) => moment.to_string(),
        None => short(sample.value),
    }
}

/// Without the digits in which binary fractions differ from what was meant.
fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        return value.to_string();
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if matches!(text, "0" | "-0") { format!("{value:.1e}") } else { text.to_owned() }
}

fn to_json(samples: &[Sample]) -> Value {
    let member = |sample: &Sample| {
        let labels: Map<String, Value> =
            sample.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "name": sample.name, "labels": labels, "value": sample.value })
    };
    samples.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP a A.\n# TYPE a counter\na_total{connector=\"In \\\"x\\\", y\"} 3\n\
                           b_total 0\nc_seconds_bucket{le=\"+Inf\"} 1\nd 2.5\n# EOF\n";

    #[test]
    fn zeros_and_buckets_are_for_those_who_ask() {
        let samples = parse(METRICS);
        let shown = |all, before: &[Sample]| {
            let mut out = Vec::new();
            print(&samples, before, all, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let before = parse("a_total{connector=\"In \\\"x\\\", y\"} 1\n");
        assert_eq!(
            shown(false, &before),
            "           3  a_total{connector=In \"x\", y}  +2\n         2.5  d\n"
        );
        assert_eq!(shown(true, &[]).lines().count(), 4);
    }

    #[test]
    fn moments_and_fractions_are_for_people() {
        let shown = |now: &str, before: &str| {
            let mut out = Vec::new();
            print(&parse(now), &parse(before), false, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown("s_expiry_timestamp_seconds 1795996800\n", "s_expiry_timestamp_seconds 1\n"),
            "2026-11-30T00:00:00Z  s_expiry_timestamp_seconds\n"
        );
        assert_eq!(shown("a_sum 0.361\n", "a_sum 0.3\n"), "       0.361  a_sum  +0.061\n");
        assert_eq!(shown("a_sum 0.06099999999999999\n", ""), "       0.061  a_sum\n");
        assert_eq!(shown("a_sum 0.0000002\n", ""), "      2.0e-7  a_sum\n");
    }

    #[test]
    fn json_has_every_series() {
        let value = to_json(&parse(METRICS));
        assert_eq!(value[0]["labels"]["connector"], "In \"x\", y");
        assert_eq!(value.as_array().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_running_server_answers_and_a_stopped_one_is_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let socket = control::socket_path(directory.path());
        let error = ask(&socket).unwrap_err().to_string();
        assert!(error.contains("no server answers"), "{error}");

        let listener = control::bind(&socket).unwrap();
        let handler = |request: Value, _, _| async move {
            assert_eq!(request["command"], "counters");
            json!({ "metrics": METRICS })
        };
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::spawn(control::serve(listener, socket.clone(), handler, stop.clone()));
        let samples = tokio::task::spawn_blocking(move || ask(&socket)).await.unwrap().unwrap();
        assert_eq!(samples.len(), 4);
        stop.cancel();
    }
}
