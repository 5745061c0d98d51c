//! Reads a dialogue and compares what happened with what it says.

use std::collections::VecDeque;

pub struct Script {
    settings: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

pub enum Step {
    Connect,
    /// Bytes from the peer.
    Received(Vec<u8>),
    Event(String),
    /// `> line`, `= action` or `-`.
    Expected(String),
    Information(String),
    Content(String),
}

impl Script {
    pub fn parse(text: &str) -> Self {
        let mut script = Script { settings: Vec::new(), steps: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let rest = line.get(2..).unwrap_or_default();
            match line.as_bytes()[0] {
                b':' => {
                    let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                    script.settings.push((key.to_owned(), value.to_owned()));
                }
                b'+' => script.steps.push(Step::Connect),
                b'<' => match script.steps.last_mut() {
                    Some(Step::Received(bytes)) => bytes.extend(wire(rest)),
                    _ => script.steps.push(Step::Received(wire(rest))),
                },
                b'!' => script.steps.push(Step::Event(rest.to_owned())),
                b'>' | b'=' | b'-' => script.steps.push(Step::Expected(line.trim_end().to_owned())),
                b'*' => script.steps.push(Step::Information(rest.to_owned())),
                b'|' => script.steps.push(Step::Content(rest.to_owned())),
                _ => panic!("a dialogue has no line such as {line:?}"),
            }
        }
        script
    }

    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A line as it goes over the wire. `\n`, `\r`, `\0` and `\xNN` are octets, `{5000*x}` repeats, and a
/// line that ends in `\c` has no CRLF.
fn wire(line: &str) -> Vec<u8> {
    let (line, end): (&str, &[u8]) = match line.strip_suffix("\\c") {
        Some(line) => (line, b""),
        None => (line, b"\r\n"),
    };
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let (octets, used) = match c {
            '\\' => escape(rest),
            '{' => repetition(rest).unwrap_or((b"{".to_vec(), 1)),
            c => (c.to_string().into_bytes(), c.len_utf8()),
        };
        bytes.extend(octets);
        rest = &rest[used..];
    }
    bytes.extend_from_slice(end);
    bytes
}

fn escape(rest: &str) -> (Vec<u8>, usize) {
    match rest.as_bytes()[1] {
        b'r' => (b"\r".to_vec(), 2),
        b'n' => (b"\n".to_vec(), 2),
        b'0' => (b"\0".to_vec(), 2),
        b'x' => (vec![u8::from_str_radix(&rest[2..4], 16).unwrap()], 4),
        other => (vec![other], 2),
    }
}

fn repetition(rest: &str) -> Option<(Vec<u8>, usize)> {
    let (inside, _) = rest[1..].split_once('}')?;
    let (count, text) = inside.split_once('*')?;
    let text = text.replace("\\r\\n", "\r\n");
    Some((text.repeat(count.parse().ok()?).into_bytes(), inside.len() + 2))
}

/// What a session did, waiting to be compared.
#[derive(Default)]
pub struct Record {
    actions: VecDeque<String>,
    information: VecDeque<String>,
    pub content: Vec<u8>,
    content_lines: Option<VecDeque<String>>,
}

impl Record {
    pub fn action(&mut self, text: impl Into<String>) {
        self.actions.push_back(text.into().trim_end().to_owned());
    }

    pub fn sent(&mut self, bytes: &[u8]) {
        let text = String::from_utf8(bytes.to_vec()).expect("replies are UTF-8");
        let lines = text.strip_suffix("\r\n").expect("a whole line is sent");
        for line in lines.split("\r\n") {
            self.action(format!("> {line}"));
        }
    }

    pub fn information(&mut self, data: &str, context: &str) {
        self.information.push_back(format!("{data},{context}"));
    }

    pub fn expect_action(&mut self, wanted: &str) -> Result<(), String> {
        match self.actions.pop_front() {
            Some(got) if fits(wanted, &got) => Ok(()),
            Some(got) => Err(format!("wanted {wanted:?}, got {got:?}, then {:?}", self.actions)),
            None => Err(format!("wanted {wanted:?}, got nothing; log: {:?}", self.information)),
        }
    }

    pub fn expect_information(&mut self, wanted: &str) -> Result<(), String> {
        let mut skipped = Vec::new();
        while let Some(got) = self.information.pop_front() {
            if fits(wanted, &got) {
                return Ok(());
            }
            skipped.push(got);
        }
        Err(format!("no line {wanted:?} among {skipped:?}"))
    }

    /// A line `...` stands for any number of lines.
    pub fn expect_content(&mut self, wanted: &str) -> Result<(), String> {
        let content = &self.content;
        let lines = self.content_lines.get_or_insert_with(|| {
            String::from_utf8_lossy(content).split_terminator("\r\n").map(str::to_owned).collect()
        });
        if let Some(wanted) = wanted.strip_prefix("... ") {
            while let Some(got) = lines.pop_front() {
                if fits(wanted, &got) {
                    return Ok(());
                }
            }
            return Err(format!("no stored line {wanted:?} from there on"));
        }
        match lines.pop_front() {
            Some(got) if fits(wanted, &got) => Ok(()),
            got => Err(format!("wanted the stored line {wanted:?}, got {got:?}, then {lines:?}")),
        }
    }

    pub fn expect_end(&self) -> Result<(), String> {
        if !self.actions.is_empty() {
            return Err(format!("left over: {:?}", self.actions));
        }
        match &self.content_lines {
            Some(lines) if !lines.is_empty() => Err(format!("stored lines left over: {lines:?}")),
            _ => Ok(()),
        }
    }
}

/// `...` in `pattern` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}
