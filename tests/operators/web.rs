//! A small HTTP/1.1 client, and a browser driven over WebDriver with it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{PATIENCE, tool};

const TIMEOUT: Duration = Duration::from_secs(60);

/// One answer, its head in lower case but for values.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Asks once, on a connection of its own; `fields` are whole lines.
pub async fn request(server: SocketAddr, line: &str, fields: &[&str], body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|field| field.starts_with("Host: ")) {
        text += &format!("Host: {server}\r\n");
    }
    for field in fields {
        text += &format!("{field}\r\n");
    }
    if line.starts_with("POST") {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    if line.starts_with("POST") {
        text += &body;
    }
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Not everybody closes the connection when asked to.
        while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
        answer
    };
    let answer =
        tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| panic!("{line}: no answer"));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer { status, head: head.to_owned(), body }
}

/// Whether nothing of an answer is missing, where it says how long it is.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| answer.len() >= head.len() + 4 + length)
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size @ 1..) = usize::from_str_radix(size.trim(), 16) else { break };
        whole += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// A headless Chromium with nothing of anybody's in it.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// `None`, loudly, where there is none.
    pub async fn start(test: &str) -> Option<Self> {
        let (driver, _) = (tool(test, "chromedriver")?, tool(test, "chromium")?);
        let profile = TempDir::new().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver names its port");
        // It must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self {
            driver,
            address: ([127, 0, 0, 1], port).into(),
            session: String::new(),
            _profile: profile,
        };
        let arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ]
        .iter()
        .map(|flag| (*flag).to_owned())
        .chain([format!("--user-data-dir={}", browser._profile.path().display())])
        .collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let made = request(browser.address, "POST /session", &[], Some(&wanted)).await.json();
        browser.session = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Some(browser)
    }

    async fn command(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let line = format!("{method} /session/{}{path}", self.session);
        let answer = request(self.address, &line, &[], body.as_ref()).await;
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        answer.json()["value"].take()
    }

    pub async fn open(&self, url: &str) {
        self.command("POST", "/url", Some(json!({ "url": url }))).await;
    }

    /// What a script of the test's own returns.
    pub async fn script(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", Some(json!({ "script": script, "args": [] }))).await
    }

    /// Waits until a script returns something true, and gives it.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.script(script).await;
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return found;
            }
            if tokio::time::Instant::now() > deadline {
                let text = self.script("return document.body.innerText").await;
                panic!("{what}: it never came; the page says:\n{}", text.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses keys one after the other; WebDriver's own codes for those without a letter.
    pub async fn press(&self, keys: &str) {
        let strokes = |key: char| {
            [
                json!({ "type": "keyDown", "value": key.to_string() }),
                json!({ "type": "keyUp", "value": key.to_string() }),
            ]
        };
        let strokes: Vec<Value> = keys.chars().flat_map(strokes).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.command("POST", "/actions", Some(actions)).await;
    }

    /// A command of Chromium's own protocol.
    pub async fn chromium(&self, command: &str, parameters: Value) {
        self.command("POST", "/goog/cdp/execute", Some(json!({ "cmd": command, "params": parameters })))
            .await;
    }

    /// What stands on the console since the last call, violations of the content security policy
    /// among it; not what is told to developers only.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", Some(json!({ "type": "browser" }))).await;
        let log = log.as_array().cloned().unwrap_or_default();
        let told = log.iter().filter(|entry| !matches!(entry["level"].as_str(), Some("DEBUG" | "INFO")));
        told.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Keeps a picture where `SEALPOST_SCREENSHOTS` names a directory.
    pub async fn picture(&self, name: &str) {
        let Some(directory) = std::env::var_os("SEALPOST_SCREENSHOTS") else { return };
        use base64ct::{Base64, Encoding};
        let picture = self.command("GET", "/screenshot", None).await;
        let picture = Base64::decode_vec(picture.as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&directory).join(format!("{name}.png")), picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It takes its browser with it when it is asked, not when it is killed.
        let ask = || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let line = format!(
                "DELETE /session/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.session, self.address
            );
            stream.write_all(line.as_bytes())?;
            stream.read_to_end(&mut Vec::new())
        };
        let _asked = ask();
        let _gone = self.driver.kill();
        let _reaped = self.driver.wait();
    }
}
