//! The event log on standard error: text for people, one JSON object a line for machines. Set up
//! once, by `serve`.

use std::fmt;
use std::fmt::Write;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::outlet::Outlet;
use super::record::TARGET;
use super::text;

/// Filter in `tracing` syntax, such as `debug` or `info,hickory_resolver=off`.
pub const FILTER_VARIABLE: &str = "SEALPOST_LOG";
/// `json` or `text`.
pub const FORMAT_VARIABLE: &str = "SEALPOST_LOG_FORMAT";

/// What is written unless `SEALPOST_LOG` says otherwise: the libraries only when they warn.
const DEFAULT_FILTER: &str = "warn,sealpost=info";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// The way to standard error while it is open. Dropped, it has written what was told before.
#[must_use]
pub struct EventLog(Option<Outlet>);

impl EventLog {
    /// Returns when all that was told is written, or nobody reads it for two seconds.
    pub fn flush(&self) {
        if let Some(outlet) = &self.0 {
            outlet.flush();
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Sends events and the libraries' records to standard error, as `SEALPOST_LOG` and
/// `SEALPOST_LOG_FORMAT` ask. A second call changes nothing.
pub fn start() -> EventLog {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let wanted = if filter.is_empty() { DEFAULT_FILTER } else { &filter };
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let format = match std::env::var(FORMAT_VARIABLE).as_deref() {
        Ok("json") => Format::Json,
        Ok(_) | Err(_) => Format::Text,
    };
    // Without a thread of its own each record is written by who tells it.
    let outlet = Outlet::start(std::io::stderr()).ok();
    let writer = match outlet.clone() {
        Some(outlet) => BoxMakeWriter::new(outlet),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).event_format(format).finish();
    // Already set: by an earlier call, which did the same.
    let _ = tracing::subscriber::set_global_default(subscriber);
    EventLog(outlet)
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let is_event = metadata.target() == TARGET;
        let unwanted = match self {
            Format::Text => Some("record"),
            Format::Json => is_event.then_some("message"),
        };
        let mut fields = Fields { unwanted, ..Fields::default() };
        event.record(&mut fields);
        match self {
            Format::Text => {
                let message = text::escape(&fields.message);
                writeln!(writer, "{:.3} {:5} {message}{}", Timestamp::now(), metadata.level(), fields.rest)
            }
            Format::Json => writeln!(writer, "{}", fields.json(metadata)),
        }
    }
}

/// The fields of one `tracing` record.
#[derive(Default)]
struct Fields {
    /// Not even formatted: an event comes as a sentence and as a record, and one of them is written.
    unwanted: Option<&'static str>,
    message: String,
    /// The event as JSON text, if it is one of ours.
    record: Option<String>,
    rest: String,
}

impl Fields {
    fn json(self, metadata: &tracing::Metadata<'_>) -> serde_json::Value {
        let record = self.record.and_then(|record| serde_json::from_str(&record).ok());
        let mut object = match record {
            Some(serde_json::Value::Object(object)) => object,
            Some(_) | None => {
                let mut object = serde_json::Map::new();
                object.insert("message".to_owned(), format!("{}{}", self.message, self.rest).into());
                object
            }
        };
        object.insert("time".to_owned(), format!("{:.3}", Timestamp::now()).into());
        object.insert("level".to_owned(), metadata.level().as_str().into());
        object.insert("target".to_owned(), metadata.target().into());
        object.into()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            name if Some(name) == self.unwanted => Ok(()),
            "message" => write!(self.message, "{value:?}"),
            "record" => {
                self.record = Some(format!("{value:?}"));
                Ok(())
            }
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.rest, " {name}={}", text::escape(&format!("{value:?}"))),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .event_format(format)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let event = crate::observe::Event::StorageFailed { error: "no space\nleft".to_owned() };
            crate::observe::record::write(crate::observe::record::Level::Error, &event);
            tracing::info!(peer = "a\u{1b}b", "from a library\n");
        });
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_is_one_line_an_event() {
        let text = written(Format::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("ERROR StorageFailed error=\"no space\\nleft\""), "{text}");
        assert!(lines[1].ends_with("INFO  from a library\\n peer=\"a\\u{1b}b\""), "{text}");
    }

    #[test]
    fn json_holds_the_fields_of_the_event() {
        let text = written(Format::Json);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["event"], "StorageFailed");
        assert_eq!(first["error"], "no space\\nleft");
        assert_eq!(first["level"], "ERROR");
        let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert!(second["message"].as_str().unwrap().starts_with("from a library"));
    }
}
