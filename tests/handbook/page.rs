//! A page as a script: what stands between "```sh" and "```", one block after the other.
//!
//! "```sh contoso" is typed at Contoso's machine, "```sh woodgrove" at Woodgrove's, "```sh both" at
//! each: a directory of its own, in which lie `etc/sealpost`, `var/lib/sealpost` and `home/root`. What a
//! side exports holds for its later blocks. `/media/stick` is carried from one to the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::common::executable;

const SIDES: [&str; 2] = ["contoso", "woodgrove"];
/// For a whole page, seconds.
const TIME_MAX: &str = "90";

pub struct Page {
    name: String,
    blocks: Vec<Block>,
}

#[derive(Clone)]
pub struct Block {
    /// What stands behind "```", such as `sh contoso`.
    pub info: String,
    pub text: String,
}

/// What of a page's commands is put where nobody else is, in order.
#[derive(Default)]
pub struct Replaced(Vec<(String, String)>);

impl Replaced {
    #[expect(clippy::needless_pass_by_value, reason = "so that callers need no borrow for a port or a path")]
    pub fn with(mut self, old: &str, new: impl ToString) -> Self {
        self.0.push((old.to_owned(), new.to_string()));
        self
    }

    /// # Panics
    /// If something to be replaced is not there: the page has changed and its test has not.
    fn apply(&self, commands: &str) -> String {
        self.0.iter().fold(commands.to_owned(), |text, (old, new)| {
            assert!(text.contains(old), "{old} is not in the page");
            text.replace(old, new)
        })
    }
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let blocks: Vec<Block> =
            blocks(&text).into_iter().filter(|block| block.info.starts_with("sh")).collect();
        assert!(blocks.len() >= 2, "{name} has {} blocks of commands", blocks.len());
        Self { name: name.to_owned(), blocks }
    }

    /// Leaves out the one block that begins with these words.
    pub fn without_block(mut self, begins: &str) -> Self {
        let before = self.blocks.len();
        self.blocks.retain(|block| !block.text.starts_with(begins));
        assert_eq!(self.blocks.len() + 1, before, "one block of {} begins with {begins:?}", self.name);
        self
    }

    /// A block of the test's own before all others.
    pub fn with_first(mut self, info: &str, text: &str) -> Self {
        self.blocks.insert(0, Block { info: info.to_owned(), text: text.to_owned() });
        self
    }

    /// A block of the test's own behind all others.
    pub fn with_last(mut self, info: &str, text: &str) -> Self {
        self.blocks.push(Block { info: info.to_owned(), text: text.to_owned() });
        self
    }

    fn script(&self) -> String {
        let mut script = String::from(
            "set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\nROOT=$PWD\nmkdir -p stick\n",
        );
        let mut exported: BTreeMap<&str, String> = BTreeMap::new();
        for block in &self.blocks {
            let sides: &[&str] = match block.info.as_str() {
                "sh" => &[],
                "sh contoso" => &SIDES[..1],
                "sh woodgrove" => &SIDES[1..],
                "sh both" => &SIDES,
                other => panic!("{}: nobody runs blocks of {other:?}", self.name),
            };
            if sides.is_empty() {
                script.push_str(&block.text);
            }
            for side in sides {
                let home = format!("$ROOT/{side}");
                let known = exported.entry(side).or_default();
                let _ =
                    writeln!(script, "mkdir -p {home}/etc/sealpost {home}/var/lib/sealpost {home}/home/root");
                let _ = write!(script, "cd {home}/home/root\n{known}");
                let here = block.text.replace("/etc/sealpost", &format!("{home}/etc/sealpost"));
                let here = here.replace("/var/lib/sealpost", "../../var/lib/sealpost");
                let here = here.replace("/media/stick", "$ROOT/stick");
                script.push_str(&here);
                let exports = here.lines().filter(|line| line.starts_with("export "));
                known.extend(exports.flat_map(|line| [line, "\n"]));
            }
        }
        script
    }
}

/// Every fenced block of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        found.push(Block { info: info.to_owned(), text: inside.join("\n") + "\n" });
    }
    found
}

/// Runs the page in an empty directory, with `sealpost` found as on a machine where it is installed,
/// and gives what it said. With `SEALPOST_PAGE_OUTPUT` set, prints that too.
pub async fn run(page: &Page, replaced: &Replaced) -> String {
    let directory = tempfile::Builder::new().prefix("sealpost-page-").tempdir().unwrap();
    let file = directory.path().join("page.sh");
    std::fs::write(&file, replaced.apply(&page.script())).unwrap();
    let home = directory.path().to_owned();
    let bash = move || {
        let folder = executable().parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let mut bash = Command::new("timeout");
        bash.args([TIME_MAX, "bash", "-x"]).arg(file).current_dir(home).env("PATH", path);
        bash.env_remove("SEALPOST_CONFIG").output().unwrap()
    };
    let output = tokio::task::spawn_blocking(bash).await.unwrap();
    let told =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if std::env::var_os("SEALPOST_PAGE_OUTPUT").is_some() {
        println!("{told}");
    }
    assert!(output.status.success(), "{}:\n{told}", page.name);
    told
}
