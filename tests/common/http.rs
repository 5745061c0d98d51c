//! A small HTTP server on loopback that gives whatever a test puts under a path, and remembers what
//! it was asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is at a path.
#[derive(Clone, Debug)]
pub enum Page {
    /// 200 with this body.
    Body(Vec<u8>),
    /// The whole response, head and all.
    Raw(Vec<u8>),
    /// 200 with this body, after a while.
    Late(Duration, Vec<u8>),
    /// The request is taken, and nothing is ever said.
    Silence,
}

/// Ends, and refuses connections, when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    pages: HashMap<String, Page>,
    /// Heads of the requests, in order.
    requests: Vec<String>,
}

impl HttpServer {
    /// On a free port of this address.
    pub async fn start(ip: IpAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let state = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&state)));
            }
        });
        Self { address, shared, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT/PATH` with this server's port.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    pub fn put(&self, path: &str, page: Page) {
        self.shared.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// Waits for request number `count`, counted from one.
    pub async fn await_requests(&self, count: usize, patience: Duration) {
        let enough = async {
            while self.requests().len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(patience, enough).await;
        assert!(came.is_ok(), "{} requests instead of {count}", self.requests().len());
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A redirect to `location`.
pub fn redirect(location: &str) -> Page {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    Page::Raw(head.into_bytes())
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn answer(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut octet).await, Ok(1)) {
        head.push(octet[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let page = {
        let mut shared = shared.lock().unwrap();
        shared.requests.push(head.clone());
        shared.pages.get(target).cloned()
    };
    let response = match page {
        Some(Page::Body(body)) => ok(&body),
        Some(Page::Late(after, body)) => {
            tokio::time::sleep(after).await;
            ok(&body)
        }
        Some(Page::Raw(response)) => response,
        Some(Page::Silence) => std::future::pending().await,
        None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    };
    // The client may have had enough before the end.
    let _ = stream.write_all(&response).await;
    let _ = stream.shutdown().await;
}
