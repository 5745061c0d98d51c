//! The event log: events and the libraries' records, as text for people or as one JSON object each
//! for machines, to standard error, syslog, systemd's journal or a collector of OpenTelemetry. `serve`
//! sets it up once, with what the environment says; the settings follow, and levels can be changed
//! while it runs.

mod buffer;
mod datagrams;
mod journald;
mod otlp;
mod outlet;
mod outputs;
mod render;
mod syslog;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry, reload};

use crate::policy::{EventFormat, EventLogSettings, EventOutput, LogLevel, LogLevels};

use outputs::{Losses, Outputs, Stderr};
use render::Rendered;

/// Levels, such as `debug` or `info,hickory_resolver=off`; they then count instead of `level`.
pub const LEVEL_VARIABLE: &str = "SEALPOST_LOG";
/// `json` or `text`; it then counts instead of `format`.
pub const FORMAT_VARIABLE: &str = "SEALPOST_LOG_FORMAT";

/// How long the end of the program waits for somebody who takes no records.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The event log of this program; copies are the same one.
#[derive(Clone)]
pub struct EventLog(Arc<Inner>);

struct Inner {
    filter: reload::Handle<Targets, Registry>,
    outputs: ArcSwap<Outputs>,
    stderr: Stderr,
    losses: Losses,
    /// Told of `losses` so far.
    told: [AtomicU64; 3],
    levels: Mutex<Levels>,
    /// What the environment says, which counts before the settings.
    forced: (Option<LogLevels>, Option<EventFormat>),
}

/// What is in force, and what a reload would bring back.
struct Levels {
    now: LogLevels,
    configured: LogLevels,
}

/// Hands records to the outputs.
struct Output(Arc<Inner>);

impl<S: Subscriber> Layer<S> for Output {
    fn on_event(&self, record: &tracing::Event<'_>, _: Context<'_, S>) {
        let outputs = self.0.outputs.load();
        outputs.write(&Rendered::of(record, outputs.wanted()));
    }
}

/// Sends events and the libraries' records to standard error until `configure` says more. A second
/// call in one program is not heard.
pub fn start() -> EventLog {
    let levels = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let levels = levels.and_then(|text| text.parse().ok());
    let format = match std::env::var(FORMAT_VARIABLE).as_deref() {
        Ok("json") => Some(EventFormat::Json),
        Ok("text") => Some(EventFormat::Text),
        Ok(_) | Err(_) => None,
    };
    let (log, subscriber) = make((levels, format), Stderr::start());
    // Already set: by an earlier call, which did the same.
    let _ = tracing::subscriber::set_global_default(subscriber);
    log
}

fn make(
    forced: (Option<LogLevels>, Option<EventFormat>),
    stderr: Stderr,
) -> (EventLog, impl Subscriber + Send + Sync) {
    let levels = forced.0.clone().unwrap_or_default();
    let (filter, handle) = reload::Layer::new(targets(&levels));
    let early = Outputs::early(forced.1.unwrap_or(EventFormat::Text), stderr.clone());
    let inner = Arc::new(Inner {
        filter: handle,
        outputs: ArcSwap::from_pointee(early),
        stderr,
        losses: Losses::default(),
        told: Default::default(),
        levels: Mutex::new(Levels { now: levels.clone(), configured: levels }),
        forced,
    });
    let subscriber = Registry::default().with(filter).with(Output(Arc::clone(&inner)));
    (EventLog(inner), subscriber)
}

impl EventLog {
    /// An event log that nobody hears, for programs that have another or none.
    pub fn unheard() -> Self {
        make((None, None), Stderr::Direct).0
    }

    /// Takes the settings over, of a start or a reload: changed levels go back to what they say.
    pub fn configure(&self, settings: &EventLogSettings, hostname: &str) {
        let inner = &self.0;
        let format = inner.forced.1.unwrap_or(settings.format);
        // What is open already keeps what waits in it.
        if !inner.outputs.load().are_of(settings, format, hostname) {
            let opened = Outputs::open(settings, format, hostname, inner.stderr.clone(), &inner.losses);
            inner.outputs.store(Arc::new(opened));
        }
        let configured = inner.forced.0.clone().unwrap_or_else(|| settings.levels.clone());
        let mut levels = inner.lock();
        self.filter(&configured);
        *levels = Levels { now: configured.clone(), configured };
    }

    /// The levels in force, and those that a reload would bring back.
    pub fn levels(&self) -> (LogLevels, LogLevels) {
        let levels = self.0.lock();
        (levels.now.clone(), levels.configured.clone())
    }

    /// Changes the levels until the next change, reload or restart; answers what they were.
    pub fn set_levels(&self, new: LogLevels) -> LogLevels {
        let mut levels = self.0.lock();
        self.filter(&new);
        std::mem::replace(&mut levels.now, new)
    }

    /// Records that outputs have lost since the last call.
    pub fn take_losses(&self) -> Vec<(EventOutput, u64)> {
        let Losses { syslog, journald, otlp } = &self.0.losses;
        let outputs =
            [(EventOutput::Syslog, syslog), (EventOutput::Journald, journald), (EventOutput::Otlp, otlp)];
        let lost = outputs.into_iter().zip(&self.0.told).map(|((output, lost), told)| {
            let lost = lost.load(Ordering::Relaxed);
            (output, lost - told.swap(lost, Ordering::Relaxed))
        });
        lost.filter(|(_, lost)| *lost > 0).collect()
    }

    /// Returns when all that was told is written, or nobody takes it for two seconds.
    pub fn flush(&self) {
        self.0.outputs.load().flush(Instant::now() + LAST_WAIT);
    }

    fn filter(&self, levels: &LogLevels) {
        // Without the subscriber there is nobody to filter for.
        let _ = self.0.filter.reload(targets(levels));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn targets(levels: &LogLevels) -> Targets {
    let filter = |level: &LogLevel| match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let own = levels.targets.iter().map(|(target, level)| (target.clone(), filter(level)));
    Targets::new().with_default(filter(&levels.default)).with_targets(own)
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventLog")
    }
}

#[cfg(test)]
mod tests;
