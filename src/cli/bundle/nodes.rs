//! `config push` and `config drift`: all edges at once, from inside.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::config::bundle::{BUNDLE_BYTES_MAX, peek};
use crate::disk;
use crate::observe::text::escape;
use crate::policy::BundleInForce;

use super::node::{Answer, Node};
use super::status::{NodeStatus, words};
use super::{EXIT_CONFIGURATION, EXIT_NO, fail};

/// Edges that are asked at one time: all of them.
const NODES_MAX: usize = 100;
/// Largest list of edges, octets.
const LIST_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Args)]
struct Which {
    /// An edge and the command that reaches `sealpost` there, such as edge1="ssh edge1 sealpost"; may be repeated
    #[arg(long = "node", value_name = "NAME=COMMAND")]
    node: Vec<Node>,
    /// A file with one NAME=COMMAND a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Seconds that each edge is waited for
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// The bundle
    bundle: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Apply it where it is taken, even if another edge refuses or does not answer
    #[arg(long)]
    each: bool,
    /// Let edges take an older bundle, or another one of the same serial
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct DriftArgs {
    #[command(flatten)]
    which: Which,
    /// What the edges should have [default: the newest that one of them has]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// What an edge's own file says beside the bundle counts as drift too
    #[arg(long)]
    strict: bool,
}

/// One edge's line of a report.
struct Line {
    node: String,
    good: bool,
    words: Vec<String>,
    json: Value,
}

/// Exit status 0: in force everywhere; 1: not; 2: usage.
pub fn push(args: &PushArgs) -> ExitCode {
    let nodes = match args.which.all() {
        Ok(nodes) => nodes,
        Err(error) => return fail("push", &error, EXIT_CONFIGURATION),
    };
    let bundle = match disk::read(&args.bundle, BUNDLE_BYTES_MAX) {
        Ok(bundle) => bundle,
        Err(error) => {
            let sentence = format!("cannot read {}: {error}; name the bundle", args.bundle.display());
            return fail("push", &sentence, EXIT_NO);
        }
    };
    let force = if args.force { " --force" } else { "" };
    let asked = args.which.call(&nodes, &format!("config apply --check{force} -"), &bundle);
    let refused = asked.iter().any(|answer| !answer.is_yes());
    let (answers, applied) = if refused && !args.each {
        (asked, false)
    } else {
        let willing: Vec<Node> = nodes
            .iter()
            .zip(&asked)
            .filter(|(_, answer)| answer.is_yes())
            .map(|(node, _)| node.clone())
            .collect();
        let mut done = args.which.call(&willing, &format!("config apply{force} -"), &bundle).into_iter();
        let merged = asked
            .into_iter()
            .map(|answer| if answer.is_yes() { done.next().unwrap_or(answer) } else { answer });
        (merged.collect(), true)
    };
    let lines: Vec<Line> = nodes.iter().zip(&answers).map(|(node, answer)| pushed(node, answer)).collect();
    args.which.print(&lines);
    if !applied {
        return fail(
            "push",
            &"nothing was applied, because not every edge takes the bundle; mend that, or use --each",
            EXIT_NO,
        );
    }
    exit(&lines)
}

fn pushed(node: &Node, answer: &Answer) -> Line {
    let good = answer.is_yes();
    let said = if good {
        answer.out.lines().map(|line| escape(line).into_owned()).collect()
    } else {
        answer.reason()
    };
    let json = json!({"node": node.name, "ok": good, "said": said});
    Line { node: node.name.clone(), good, words: said, json }
}

/// Exit status 0: no drift; 1: there is some; 2: usage.
pub fn drift(args: &DriftArgs) -> ExitCode {
    let nodes = match args.which.all() {
        Ok(nodes) => nodes,
        Err(error) => return fail("drift", &error, EXIT_CONFIGURATION),
    };
    let expected = match args.bundle.as_deref().map(expected).transpose() {
        Ok(expected) => expected,
        Err(sentence) => return fail("drift", &sentence, EXIT_NO),
    };
    let answers = args.which.call(&nodes, "config status --json", b"");
    let statuses: Vec<Result<NodeStatus, Vec<String>>> = answers.iter().map(read_status).collect();
    let newest = || {
        let applied = statuses.iter().flatten().filter_map(|status| status.applied.clone());
        applied.max_by_key(|bundle| bundle.serial)
    };
    let expected = expected.or_else(newest);
    let compared = nodes.iter().zip(&statuses);
    let lines: Vec<Line> =
        compared.map(|(node, status)| compare(node, status, expected.as_ref(), args.strict)).collect();
    args.which.print(&lines);
    exit(&lines)
}

fn expected(path: &Path) -> Result<BundleInForce, String> {
    let bytes = disk::read(path, BUNDLE_BYTES_MAX);
    let bytes = bytes.map_err(|error| format!("cannot read {}: {error}; name the bundle", path.display()))?;
    peek(&bytes).map(|bundle| bundle.in_force()).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_status(answer: &Answer) -> Result<NodeStatus, Vec<String>> {
    if !answer.is_yes() {
        return Err(answer.reason());
    }
    serde_json::from_str(&answer.out)
        .map_err(|error| error.to_string().escape_debug().to_string())
        .map_err(|error| vec![format!("its answer is not understood: {error}; is it of another version?")])
}

fn compare(
    node: &Node,
    status: &Result<NodeStatus, Vec<String>>,
    expected: Option<&BundleInForce>,
    strict: bool,
) -> Line {
    let status = match status {
        Ok(status) => status,
        Err(reason) => {
            let json = json!({"node": node.name, "ok": false, "said": reason});
            return Line { node: node.name.clone(), good: false, words: reason.clone(), json };
        }
    };
    let mut said = Vec::new();
    let mut good = true;
    if status.applied.as_ref() == expected {
        said.push(words(expected));
    } else {
        good = false;
        said.push(format!("has {} and should have {}", words(status.applied.as_ref()), words(expected)));
    }
    if let Some(lag) = status.lag() {
        good = false;
        said.push(lag);
    }
    good &= !strict || status.beside.is_empty();
    said.extend(status.beside.iter().map(|line| format!("beside the bundle: {}", escape(line))));
    let json = json!({"node": node.name, "ok": good, "said": said, "status": status});
    Line { node: node.name.clone(), good, words: said, json }
}

fn exit(lines: &[Line]) -> ExitCode {
    if lines.iter().all(|line| line.good) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }
}

impl Which {
    fn all(&self) -> Result<Vec<Node>, String> {
        let mut nodes = self.node.clone();
        if let Some(path) = &self.nodes {
            let shown = path.display();
            let bytes = disk::read(path, LIST_BYTES_MAX)
                .map_err(|error| format!("cannot read {shown}: {error}; name a list of edges"))?;
            for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
                if !line.is_empty() && !line.starts_with('#') {
                    nodes.push(line.parse().map_err(|error| format!("{shown}: {error}"))?);
                }
            }
        }
        let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two edges are called {}; give each a name of its own", twice[0]));
        }
        match nodes.len() {
            0 => Err("no edge is named; use --node NAME=COMMAND or --nodes FILE".to_owned()),
            1..=NODES_MAX => Ok(nodes),
            count => Err(format!("{count} edges are more than {NODES_MAX}; do it in parts")),
        }
    }

    /// All at once; the answers in the order of the nodes.
    fn call(&self, nodes: &[Node], words: &str, input: &[u8]) -> Vec<Answer> {
        let time = Duration::from_secs(self.timeout);
        std::thread::scope(|scope| {
            let calls: Vec<_> =
                nodes.iter().map(|node| scope.spawn(move || node.call(words, input, time))).collect();
            calls.into_iter().map(|call| call.join().expect("a call does not panic")).collect()
        })
    }

    fn print(&self, lines: &[Line]) {
        if self.json {
            let all: Vec<&Value> = lines.iter().map(|line| &line.json).collect();
            outln!("{:#}", json!(all));
            return;
        }
        let width = lines.iter().map(|line| line.node.len()).max().unwrap_or_default();
        for line in lines {
            let mark = if line.good { "ok  " } else { "DIFF" };
            for (index, words) in line.words.iter().enumerate() {
                let (name, mark) = if index == 0 { (line.node.as_str(), mark) } else { ("", "") };
                outln!("{name:width$}  {mark:4}  {words}");
            }
        }
    }
}
