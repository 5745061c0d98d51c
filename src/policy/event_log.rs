//! `[event_log]`: what is written of events and of the libraries' records, how and where to.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Targets that have a level of their own.
const TARGETS_MAX: usize = 32;
/// Longest name of one, octets.
const TARGET_BYTES_MAX: usize = 100;

/// Where collectors listen for OTLP over HTTP (OTLP 1.x, "OTLP/HTTP Default Port").
const OTLP_PORT: u16 = 4318;

/// Our own records, as a target.
pub const OWN_TARGET: &str = "sealpost";
/// What is written unless somebody asks for more: the libraries only when they warn.
pub const DEFAULT_LEVELS: &str = "warn,sealpost=info";

/// `[event_log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLogSettings {
    pub levels: LogLevels,
    pub format: EventFormat,
    pub outputs: Vec<EventOutput>,
    pub syslog_address: SyslogAddress,
    pub syslog_facility: Facility,
    /// The datagram socket of systemd's journal.
    pub journald_socket: PathBuf,
    /// A collector's port for OTLP over HTTP.
    pub otlp_address: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// A line for people.
    Text,
    /// One object a line.
    Json,
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventOutput {
    Stderr,
    /// RFC 5424, one datagram a record.
    Syslog,
    /// systemd's journal, with a field for each field of an event.
    Journald,
    /// A collector of OpenTelemetry, over HTTP.
    Otlp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A datagram socket of this machine.
    Unix(PathBuf),
    /// RFC 5426.
    Udp(SocketAddr),
}

/// RFC 5424 section 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility {
    pub name: &'static str,
    pub code: u8,
}

/// How much of a record's importance it takes to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Levels by target: the longest one that a record's target begins with counts, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevels {
    pub default: LogLevel,
    pub targets: BTreeMap<String, LogLevel>,
}

/// Why a text names no levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogLevelError {
    #[error("{0:?} is no level; write off, error, warn, info, debug or trace")]
    Level(String),
    #[error("{0:?} is no target; write a name such as sealpost or hickory_resolver")]
    Target(String),
    #[error("there are more than {TARGETS_MAX} targets; take some back")]
    TooMany,
}

impl Default for EventLogSettings {
    /// As it is without a section `[event_log]`.
    fn default() -> Self {
        Self {
            levels: LogLevels::default(),
            format: EventFormat::Text,
            outputs: vec![EventOutput::Stderr],
            syslog_address: SyslogAddress::Unix("/dev/log".into()),
            syslog_facility: Facility::MAIL,
            journald_socket: "/run/systemd/journal/socket".into(),
            otlp_address: ([127, 0, 0, 1], OTLP_PORT).into(),
        }
    }
}

impl Facility {
    pub const MAIL: Self = Self { name: "mail", code: 2 };
    pub const NAMES: &'static [&'static str] = &[
        "user", "mail", "daemon", "auth", "local0", "local1", "local2", "local3", "local4", "local5",
        "local6", "local7",
    ];

    /// One of `NAMES`.
    pub fn from_name(name: &str) -> Option<Self> {
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        let name = Self::NAMES[place];
        let code = match place {
            0..4 => u8::try_from(place).ok()? + 1,
            // local0 is 16.
            _ => u8::try_from(place).ok()? + 12,
        };
        Some(Self { name, code })
    }
}

impl EventOutput {
    pub const ALL: [EventOutput; 4] =
        [EventOutput::Stderr, EventOutput::Syslog, EventOutput::Journald, EventOutput::Otlp];
    /// Those that do not make mail wait, and may lose records.
    pub const LOSING: [EventOutput; 3] = [EventOutput::Syslog, EventOutput::Journald, EventOutput::Otlp];

    /// As the option and the counter's label write it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventOutput::Stderr => "stderr",
            EventOutput::Syslog => "syslog",
            EventOutput::Journald => "journald",
            EventOutput::Otlp => "otlp",
        }
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyslogAddress::Unix(path) => write!(f, "{}", path.display()),
            SyslogAddress::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

impl FromStr for SyslogAddress {
    type Err = String;

    /// An absolute path, or `udp:192.0.2.1:514`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(SyslogAddress::Unix(text.into()));
        }
        let udp = text.strip_prefix("udp:").and_then(|address| address.parse().ok());
        udp.map(SyslogAddress::Udp).ok_or_else(|| format!("{text:?} is no socket of a syslog server"))
    }
}

impl LogLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let levels = [
            LogLevel::Off,
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ];
        let found = levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| LogLevelError::Level(text.to_owned()))
    }
}

impl Default for LogLevels {
    fn default() -> Self {
        Self { default: LogLevel::Warn, targets: BTreeMap::from([(OWN_TARGET.to_owned(), LogLevel::Info)]) }
    }
}

/// `warn,sealpost=info`
impl fmt::Display for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.default.as_str())?;
        self.targets.iter().try_for_each(|(target, level)| write!(f, ",{target}={}", level.as_str()))
    }
}

impl FromStr for LogLevels {
    type Err = LogLevelError;

    /// Levels as `tracing` programs take them: `debug`, or `warn,sealpost=debug,hickory_resolver=off`.
    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let mut levels = Self { default: LogLevel::Off, targets: BTreeMap::new() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((target, level)) => levels.set(target.trim(), level.trim().parse()?)?,
                None => levels.default = part.parse()?,
            }
        }
        Ok(levels)
    }
}

impl LogLevels {
    /// Gives one target a level.
    pub fn set(&mut self, target: &str, level: LogLevel) -> Result<(), LogLevelError> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
        if target.is_empty() || target.len() > TARGET_BYTES_MAX || !target.chars().all(good) {
            return Err(LogLevelError::Target(target.to_owned()));
        }
        if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(target) {
            return Err(LogLevelError::TooMany);
        }
        self.targets.insert(target.to_owned(), level);
        Ok(())
    }

    /// Takes `[TARGET=]LEVEL`: without a target, what this server itself writes. That then counts
    /// for all of it, whatever parts of it had levels of their own.
    pub fn change(&mut self, text: &str) -> Result<(), LogLevelError> {
        match text.split_once('=') {
            Some((target, level)) => self.set(target.trim(), level.trim().parse()?),
            None => {
                let level = text.trim().parse()?;
                let part = format!("{OWN_TARGET}::");
                self.targets.retain(|target, _| !target.starts_with(&part));
                self.set(OWN_TARGET, level)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_written_as_they_are_read() {
        for text in ["warn,sealpost=info", "debug", "off,a::b=trace,hickory_resolver=off"] {
            assert_eq!(text.parse::<LogLevels>().unwrap().to_string(), text);
        }
        assert_eq!("INFO, sealpost = debug".parse::<LogLevels>().unwrap().to_string(), "info,sealpost=debug");
        assert_eq!(DEFAULT_LEVELS.parse::<LogLevels>().unwrap(), LogLevels::default());
        for text in ["loud", "a=", "=info", "a b=info", "sealpost[span]=info"] {
            assert!(text.parse::<LogLevels>().is_err(), "{text}");
        }
        let many: Vec<String> = (0..=TARGETS_MAX).map(|n| format!("t{n}=info")).collect();
        assert_eq!(many.join(",").parse::<LogLevels>(), Err(LogLevelError::TooMany));
    }

    #[test]
    fn a_level_alone_is_that_of_our_own_records() {
        let mut levels: LogLevels = "warn,sealpost=info,sealpost::event=off".parse().unwrap();
        levels.change("debug").unwrap();
        assert_eq!(levels.to_string(), "warn,sealpost=debug");
        levels.change("hickory_resolver=trace").unwrap();
        assert_eq!(levels.to_string(), "warn,hickory_resolver=trace,sealpost=debug");
        assert!(levels.change("loud").is_err());
    }

    #[test]
    fn facilities_have_their_numbers() {
        let code = |name| Facility::from_name(name).map(|facility| facility.code);
        assert_eq!(code("user"), Some(1));
        assert_eq!(code("mail"), Some(2));
        assert_eq!(code("auth"), Some(4));
        assert_eq!(code("local0"), Some(16));
        assert_eq!(code("local7"), Some(23));
        assert_eq!(code("kern"), None);
    }

    #[test]
    fn a_syslog_server_is_a_socket_here_or_an_address() {
        for text in ["/dev/log", "udp:127.0.0.1:514", "udp:[::1]:514"] {
            assert_eq!(text.parse::<SyslogAddress>().unwrap().to_string(), text);
        }
        for text in ["dev/log", "udp:localhost:514", "127.0.0.1:514", "tcp:127.0.0.1:514", ""] {
            assert!(text.parse::<SyslogAddress>().is_err(), "{text}");
        }
    }
}
