//! The control socket `data_directory/control.sock`, mode 0600: one JSON object a line asks, one
//! answers, then the connection ends. What takes long says `{"progress": …}` before its answer, as
//! often as it likes. Who may open the socket may do everything; nobody else can.

use std::future::Future;
use std::io::{self, BufRead, BufReader as StdBufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Longest request and longest response, octets.
pub const REQUEST_BYTES_MAX: u64 = 1 << 20;
pub const RESPONSE_BYTES_MAX: u64 = 64 << 20;
/// How long a client may take to say its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client waits for an answer, as a reload may read many files, and may take to read it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// Reports of progress that wait for a client that reads slowly; the work waits with them.
const REPORTS_WAITING_MAX: usize = 4;
/// Requests in hand at one time.
const CONNECTIONS_MAX: usize = 64;

/// Why the control socket does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no server answers on {path}: {source}; start it, or name its configuration with -c", path = .path.display())]
    NotRunning { path: PathBuf, source: io::Error },
    #[error("may not open {path}; run this as the server's user or root", path = .0.display())]
    Forbidden(PathBuf),
    #[error("the request on {path} broke off: {source}; look at the server's log", path = .path.display())]
    Broken { path: PathBuf, source: io::Error },
    #[error("the request is larger than 1 MiB; ask for less at a time")]
    RequestTooLarge,
    #[error("the answer is larger than 64 MiB; narrow the request with a filter")]
    ResponseTooLarge,
    #[error("the server on {path} answered something that is no JSON: {source}; is it of another version?", path = .path.display())]
    BadResponse { path: PathBuf, source: serde_json::Error },
    #[error("another server answers on {path}; stop it or choose another data_directory", path = .0.display())]
    InUse(PathBuf),
    #[error("cannot make the control socket {path}: {source}; check the directory's owner", path = .path.display())]
    Bind { path: PathBuf, source: io::Error },
}

/// Where the socket of a data directory is.
pub fn socket_path(data_directory: &Path) -> PathBuf {
    data_directory.join("control.sock")
}

/// Makes the socket, replacing one that a dead server left. A live one is an error.
/// Must be called within a tokio runtime.
pub fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ControlError::InUse(path.to_owned()));
    }
    let failed = |source| ControlError::Bind { path: path.to_owned(), source };
    bind_private(path).map_err(failed)
}

/// Binds in a directory that nobody else may enter, and moves the socket to its place once its mode
/// is right: it listens from the moment it is bound.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let private = path.with_extension("new");
    match std::fs::remove_dir_all(&private) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let fresh = private.join("sock");
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    std::fs::remove_dir(&private)?;
    Ok(listener)
}

/// Answers requests with `handler` until `stop` is cancelled, then removes the socket. The handler
/// also gets the user id of who asks, and where to report progress; that channel is closed once the
/// client has gone away. What is no JSON or too long is answered `{"error": …}` without the handler.
pub async fn serve<H, F>(listener: UnixListener, path: PathBuf, handler: H, stop: CancellationToken)
where
    H: Fn(Value, Option<u32>, mpsc::Sender<Value>) -> F + Send + Sync + 'static,
    F: Future<Output = Value> + Send + 'static,
{
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: the next one may find some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            // A client that went away needs no answer.
            let _ = answer(stream, handler.as_ref()).await;
            drop(place);
        });
    }
    let _ = std::fs::remove_file(path);
}

async fn answer<H, F>(mut stream: UnixStream, handler: &H) -> io::Result<()>
where
    H: Fn(Value, Option<u32>, mpsc::Sender<Value>) -> F,
    F: Future<Output = Value>,
{
    let peer = stream.peer_cred().ok().map(|peer| peer.uid());
    let request = tokio::time::timeout(REQUEST_TIMEOUT, read_request(&mut stream))
        .await
        .unwrap_or(Ok(Err("the request took longer than 30 s")))?;
    let response = match request {
        Ok(request) => {
            let (report, reports) = mpsc::channel(REPORTS_WAITING_MAX);
            attend(&mut stream, handler(request, peer, report), reports).await
        }
        Err(error) => json!({ "error": error }),
    };
    let mut line = response.to_string().into_bytes();
    if line.len() as u64 >= RESPONSE_BYTES_MAX {
        line = json!({ "error": ControlError::ResponseTooLarge.to_string() }).to_string().into_bytes();
    }
    line.push(b'\n');
    let said = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(RESPONSE_TIMEOUT, said).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Passes reports on while the work goes on. It is not broken off when the client is gone: what it
/// has begun it must write down, and it learns from the closed channel that it may stop.
async fn attend(
    stream: &mut UnixStream,
    work: impl Future<Output = Value>,
    mut reports: mpsc::Receiver<Value>,
) -> Value {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            Some(report) = reports.recv() => {
                let line = format!("{}\n", json!({ "progress": report }));
                let said = tokio::time::timeout(RESPONSE_TIMEOUT, stream.write_all(line.as_bytes()));
                if !matches!(said.await, Ok(Ok(()))) {
                    reports.close();
                }
            }
            response = &mut work => return response,
        }
    }
}

async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Value, &'static str>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    reader.read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') && line.len() as u64 == REQUEST_BYTES_MAX {
        return Ok(Err("the request is larger than 1 MiB"));
    }
    Ok(serde_json::from_slice(&line).map_err(|_| "the request is no JSON"))
}

/// Asks the server of `path` one thing and waits for its answer, at most two minutes between two
/// signs of life. Blocking: for commands.
pub fn call(path: &Path, request: &Value) -> Result<Value, ControlError> {
    call_with(path, request, &mut |_| ())
}

/// The same, with what the server says of its progress.
pub fn call_with(
    path: &Path,
    request: &Value,
    progress: &mut dyn FnMut(&Value),
) -> Result<Value, ControlError> {
    let mut line = request.to_string();
    line.push('\n');
    if line.len() as u64 > REQUEST_BYTES_MAX {
        return Err(ControlError::RequestTooLarge);
    }
    let stream = std::os::unix::net::UnixStream::connect(path).map_err(|source| not_running(path, source))?;
    let broken = |source| ControlError::Broken { path: path.to_owned(), source };
    let mut answers = ask(stream, line.as_bytes()).map_err(broken)?;
    loop {
        let answer = read_answer(&mut answers).map_err(broken)?;
        if answer.len() as u64 >= RESPONSE_BYTES_MAX {
            return Err(ControlError::ResponseTooLarge);
        }
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|source| ControlError::BadResponse { path: path.to_owned(), source })?;
        match answer.get("progress") {
            Some(report) => progress(report),
            None => return Ok(answer),
        }
    }
}

fn not_running(path: &Path, source: io::Error) -> ControlError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::Forbidden(path.to_owned()),
        _ => ControlError::NotRunning { path: path.to_owned(), source },
    }
}

type Answers = StdBufReader<std::os::unix::net::UnixStream>;

fn ask(mut stream: std::os::unix::net::UnixStream, request: &[u8]) -> io::Result<Answers> {
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    stream.write_all(request)?;
    Ok(StdBufReader::new(stream))
}

fn read_answer(answers: &mut Answers) -> io::Result<Vec<u8>> {
    let mut response = Vec::new();
    answers.take(RESPONSE_BYTES_MAX).read_until(b'\n', &mut response)?;
    if response.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
