//! Where records go: standard error, syslog, systemd's journal, a collector, or several of these.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use jiff::Timestamp;

use super::buffer::Feed;
use super::datagrams::{self, Destination};
use super::journald;
use super::otlp;
use super::outlet::Outlet;
use super::render::{Rendered, Wanted};
use super::syslog::Syslog;
use crate::policy::{EventFormat, EventLogSettings, EventOutput, Facility, SyslogAddress};

/// Records that an output lost, counted for as long as the program runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    pub(super) syslog: Arc<AtomicU64>,
    pub(super) journald: Arc<AtomicU64>,
    pub(super) otlp: Arc<AtomicU64>,
}

/// All that is open under one setting.
pub(super) struct Outputs {
    /// What they were opened by: format and name beside the settings, as these can be overridden.
    by: Option<(EventLogSettings, EventFormat, String)>,
    format: EventFormat,
    stderr: Option<Stderr>,
    syslog: Option<(Syslog, Feed)>,
    journald: Option<(Facility, Feed)>,
    otlp: Option<Feed>,
}

/// Without a thread of its own each record is written by who tells it.
#[derive(Clone)]
pub(super) enum Stderr {
    Outlet(Outlet),
    Direct,
}

impl Stderr {
    pub(super) fn start() -> Self {
        Outlet::start(std::io::stderr()).map_or(Self::Direct, Self::Outlet)
    }

    fn write(&self, record: &str) {
        match self {
            Stderr::Outlet(outlet) => outlet.push(record.as_bytes()),
            // There is nobody left to tell that standard error is gone.
            Stderr::Direct => drop(std::io::stderr().write_all(record.as_bytes())),
        }
    }
}

impl Outputs {
    /// Only standard error: what is told before the settings are read.
    pub(super) fn early(format: EventFormat, stderr: Stderr) -> Self {
        Self { by: None, format, stderr: Some(stderr), syslog: None, journald: None, otlp: None }
    }

    /// Opens what the settings name. An output without a thread is left out: there is no other way
    /// to it, and standard error then says so.
    pub(super) fn open(
        settings: &EventLogSettings,
        format: EventFormat,
        hostname: &str,
        stderr: Stderr,
        losses: &Losses,
    ) -> Self {
        let wants = |output| settings.outputs.contains(&output);
        let start = |to, lost: &Arc<AtomicU64>| datagrams::start(to, Arc::clone(lost)).ok();
        let syslog = || {
            let to = match &settings.syslog_address {
                SyslogAddress::Unix(path) => Destination::Unix(path.clone()),
                SyslogAddress::Udp(address) => Destination::Udp(*address),
            };
            let syslog = Syslog { facility: settings.syslog_facility, hostname: hostname.to_owned() };
            start(to, &losses.syslog).map(|feed| (syslog, feed))
        };
        let journald = || {
            let to = Destination::Unix(settings.journald_socket.clone());
            start(to, &losses.journald).map(|feed| (settings.syslog_facility, feed))
        };
        let syslog = if wants(EventOutput::Syslog) { syslog() } else { None };
        let journald = if wants(EventOutput::Journald) { journald() } else { None };
        let otlp = || otlp::start(settings.otlp_address, hostname, Arc::clone(&losses.otlp)).ok();
        let otlp = if wants(EventOutput::Otlp) { otlp() } else { None };
        let missing = (wants(EventOutput::Syslog) && syslog.is_none())
            || (wants(EventOutput::Journald) && journald.is_none())
            || (wants(EventOutput::Otlp) && otlp.is_none());
        let stderr = (wants(EventOutput::Stderr) || missing).then_some(stderr);
        let by = Some((settings.clone(), format, hostname.to_owned()));
        Self { by, format, stderr, syslog, journald, otlp }
    }

    /// Whether the settings would open the same; levels are none of an output's.
    pub(super) fn are_of(&self, settings: &EventLogSettings, format: EventFormat, hostname: &str) -> bool {
        self.by.as_ref().is_some_and(|(opened, of_format, of_host)| {
            let levels = settings.levels.clone();
            EventLogSettings { levels, ..opened.clone() } == *settings
                && (*of_format, of_host.as_str()) == (format, hostname)
        })
    }

    pub(super) fn wanted(&self) -> Wanted {
        let lines = self.stderr.is_some() || self.syslog.is_some();
        let both = self.journald.is_some() || self.otlp.is_some();
        Wanted {
            text: both || (lines && self.format == EventFormat::Text),
            fields: both || (lines && self.format == EventFormat::Json),
        }
    }

    pub(super) fn write(&self, record: &Rendered) {
        let at = Timestamp::now();
        // What an output lost is not told to itself, where it would be the next to be lost.
        let loser = record.loser().filter(|_| self.stderr.is_some());
        let may_have = |output| loser != Some(output);
        let json = (self.format == EventFormat::Json && (self.stderr.is_some() || self.syslog.is_some()))
            .then(|| record.json(at).to_string());
        if let Some(stderr) = &self.stderr {
            match &json {
                Some(json) => stderr.write(&format!("{json}\n")),
                None => stderr.write(&record.line(at)),
            }
        }
        if let Some((syslog, feed)) = self.syslog.as_ref().filter(|_| may_have(EventOutput::Syslog)) {
            let text = json.unwrap_or_else(|| record.text());
            feed.push(syslog.message(at, record, &text));
        }
        if let Some((facility, feed)) = self.journald.as_ref().filter(|_| may_have(EventOutput::Journald)) {
            feed.push(journald::record(record, *facility));
        }
        if let Some(feed) = self.otlp.as_ref().filter(|_| may_have(EventOutput::Otlp)) {
            feed.push(otlp::log_record(record, at));
        }
    }

    /// What does not go to standard error.
    fn feeds(&self) -> impl Iterator<Item = &Feed> {
        let syslog = self.syslog.iter().map(|(_, feed)| feed);
        syslog.chain(self.journald.iter().map(|(_, feed)| feed)).chain(&self.otlp)
    }

    /// Returns when all that was told is written, or nobody takes it until then.
    pub(super) fn flush(&self, until: Instant) {
        if let Some(Stderr::Outlet(outlet)) = &self.stderr {
            outlet.flush();
        }
        // One that nobody reads must not use up the time of the others.
        self.feeds().for_each(|feed| feed.hurry());
        self.feeds().for_each(|feed| feed.flush(until));
    }
}
