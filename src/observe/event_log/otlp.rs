//! Records for a collector of OpenTelemetry on this machine or beside it: the logs signal of OTLP 1.x
//! over HTTP, in JSON (opentelemetry-proto, `ExportLogsServiceRequest`), posted in batches by a thread
//! of its own. Mail never waits for it: what the collector does not take in time is lost and counted.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::buffer::{Buffer, Feed};
use super::render::Rendered;

/// Where collectors take logs.
const PATH: &str = "/v1/logs";
/// Records of one request.
const BATCH_MAX: usize = 512;
/// A request waits so long for more records than its first.
const GATHER: Duration = Duration::from_secs(1);
/// Connecting, the request and its answer together.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// A collector that is away or busy is tried again after so long, each time.
const RETRIES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];
const HEAD_BYTES_MAX: usize = 16 << 10;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest value of an attribute, and octets of all of one record.
const VALUE_BYTES_MAX: usize = 16 << 10;
const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;
/// What an element of a list takes besides its text.
const ELEMENT_BYTES: usize = 24;

/// One sender of requests, on its thread.
struct Sender {
    to: SocketAddr,
    /// The request up to its records.
    head: String,
}

/// What came of one request.
enum Posted {
    /// Taken, but for so many records.
    Taken {
        rejected: u64,
    },
    /// Another try may do.
    Busy,
    Refused,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    /// A number of 64 bits is text in the JSON of protobuf.
    time_unix_nano: String,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<&'a str>,
    body: AnyValue,
    attributes: Vec<KeyValue>,
}

#[derive(Serialize)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Serialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    /// A number of 64 bits, as text.
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[serde(rename = "arrayValue")]
    Array { values: Vec<AnyValue> },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: PartialSuccess,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    /// Text or a number.
    rejected_log_records: Value,
}

/// Starts the thread; `lost` rises with each record that the collector did not take.
pub(super) fn start(to: SocketAddr, hostname: &str, lost: Arc<AtomicU64>) -> io::Result<Feed> {
    let sender = Sender { to, head: head(hostname) };
    let buffer = Arc::new(Buffer::new(lost));
    let source = Arc::clone(&buffer);
    std::thread::Builder::new().name("event-log-otlp".to_owned()).spawn(move || sender.run(&source))?;
    Ok(Feed(buffer))
}

/// Who we are, up to the list of records.
fn head(hostname: &str) -> String {
    let text = |value: &str| AnyValue::Text(value.to_owned());
    let version = env!("CARGO_PKG_VERSION");
    let attributes = [
        KeyValue { key: "service.name".to_owned(), value: text("sealpost") },
        KeyValue { key: "service.version".to_owned(), value: text(version) },
        KeyValue { key: "service.instance.id".to_owned(), value: text(hostname) },
        KeyValue { key: "host.name".to_owned(), value: text(hostname) },
    ];
    let resource = serde_json::json!({ "attributes": attributes });
    let scope = serde_json::json!({ "name": "sealpost", "version": version });
    format!(r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":["#)
}

const TAIL: &str = "]}]}]}";

/// One record, as it stands in a request.
pub(super) fn log_record(rendered: &Rendered, at: Timestamp) -> Vec<u8> {
    let mut attributes = vec![KeyValue {
        key: "code.namespace".to_owned(),
        value: AnyValue::Text(rendered.target.to_owned()),
    }];
    let mut room = ATTRIBUTES_BYTES_MAX;
    let fields = rendered.fields.as_ref().and_then(Value::as_object);
    for (name, value) in fields.into_iter().flatten().filter(|(name, _)| *name != "event") {
        let Some(value) = any_value(value) else { continue };
        let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
        room = left;
        attributes.push(KeyValue { key: format!("sealpost.{name}"), value });
    }
    let time = at.as_nanosecond().to_string();
    let record = LogRecord {
        observed_time_unix_nano: time.clone(),
        time_unix_nano: time,
        severity_number: severity_number(rendered.level),
        severity_text: rendered.level.as_str(),
        event_name: rendered.event.as_deref(),
        body: AnyValue::Text(cut(&rendered.text())),
        attributes,
    };
    // Text and numbers can be written.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// `SeverityNumber`, the first of each range.
fn severity_number(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 17,
        tracing::Level::WARN => 13,
        tracing::Level::INFO => 9,
        tracing::Level::DEBUG => 5,
        tracing::Level::TRACE => 1,
    }
}

/// Nothing for null. An object, which no event has today, becomes its text.
fn any_value(value: &Value) -> Option<AnyValue> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => AnyValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => AnyValue::Int(number.to_string()),
            (None, Some(number)) => AnyValue::Double(number),
            (None, None) => AnyValue::Text(number.to_string()),
        },
        Value::String(text) => AnyValue::Text(cut(text)),
        Value::Array(values) => AnyValue::Array { values: values.iter().filter_map(any_value).collect() },
        Value::Object(_) => AnyValue::Text(cut(&value.to_string())),
    })
}

/// At most `VALUE_BYTES_MAX` octets.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(VALUE_BYTES_MAX)].to_owned()
}

impl AnyValue {
    fn len(&self) -> usize {
        match self {
            AnyValue::Text(text) | AnyValue::Int(text) => text.len(),
            AnyValue::Bool(_) | AnyValue::Double(_) => 8,
            AnyValue::Array { values } => values.iter().map(|value| ELEMENT_BYTES + value.len()).sum(),
        }
    }
}

impl Sender {
    fn run(&self, source: &Buffer) {
        // What this thread itself has to say would be records for the same collector.
        let _silence = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
        // Here, as a runtime must not be dropped by who tells records. Without one all is lost, and counted.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        while let Some(records) = source.take(BATCH_MAX, GATHER) {
            let count = records.len() as u64;
            let body = Bytes::from(format!("{}{}{TAIL}", self.head, join(&records)));
            drop(records);
            let lost = runtime.as_ref().map_or(count, |runtime| self.deliver(runtime, &body, count, source));
            source.lose(lost);
        }
    }

    /// Posts until the collector takes or refuses it, or was away too often; answers what is lost.
    fn deliver(&self, runtime: &Runtime, body: &Bytes, count: u64, source: &Buffer) -> u64 {
        for wait in RETRIES.into_iter().map(Some).chain([None]) {
            match runtime.block_on(post(self.to, body)) {
                Posted::Taken { rejected } => return rejected.min(count),
                Posted::Refused => return count,
                Posted::Busy => {
                    if !wait.is_some_and(|wait| source.pause(wait)) {
                        return count;
                    }
                }
            }
        }
        count
    }
}

/// With commas between them. Records are JSON, so they are UTF-8.
fn join(records: &[Vec<u8>]) -> String {
    let texts: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(record)).collect();
    texts.join(",")
}

async fn post(to: SocketAddr, body: &Bytes) -> Posted {
    let posting = tokio::time::timeout(POST_TIMEOUT, request(to, body));
    // Whoever does not answer, or not in HTTP, may be about to start.
    posting.await.ok().flatten().unwrap_or(Posted::Busy)
}

/// `None` where the connection failed.
async fn request(to: SocketAddr, body: &Bytes) -> Option<Posted> {
    let request = Request::post(PATH)
        .header(header::HOST, to.to_string())
        .header(header::USER_AGENT, concat!("Sealpost/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body.clone()))
        .ok()?;
    let stream = TcpStream::connect(to).await.ok()?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await.ok()?;
    let answered = async move { Some(answer(sender.send_request(request).await.ok()?).await) };
    let (mut connection, mut answered) = (pin!(connection), pin!(answered));
    // The connection ends with this request, however that ends. When it is closed the answer may be there.
    let mut is_open = true;
    loop {
        tokio::select! {
            posted = &mut answered => return posted,
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

async fn answer(response: Response<Incoming>) -> Posted {
    let status = response.status();
    if status.is_success() {
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let answer = answer.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Posted::Taken { rejected: rejected(&answer) };
    }
    if is_retryable(status) { Posted::Busy } else { Posted::Refused }
}

/// OTLP 1.x, "Retryable response codes".
fn is_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What an answer says of records that were not taken; an unreadable one says nothing.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    match answer.partial_success.rejected_log_records {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
