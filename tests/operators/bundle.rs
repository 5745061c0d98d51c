//! Bundles of shared settings on running edges: what is told, what is refused, what is left when the
//! command is killed, and what is done where not every edge answers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sealpost::cli::demo::server::Server;
use tempfile::TempDir;

use crate::common::executable;

const SHARED: &str = r#"[trust]
anchors = ["mozilla"]

[[partner]]
name = "Woodgrove"
domains = ["woodgrove.example"]
domain_secure = ["send", "receive"]

[[accepted_domain]]
name = "contoso.example"
recipients = "recipients.txt"

[[receive_connector]]
name = "Internet"

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
"#;

/// An organisation, and the edge `edge1` that has taken its first bundle.
struct Organisation {
    directory: TempDir,
    key: String,
}

impl Organisation {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("sealpost-bundle-").tempdir().unwrap();
        let (status, key, errors) = sealpost(directory.path(), &["config", "bundle-key", "bundle.key"]);
        assert_eq!(status, 0, "{errors}");
        let organisation = Self { directory, key };
        std::fs::write(organisation.path("recipients.txt"), "ann@contoso.example\n").unwrap();
        organisation.add_edge("edge1");
        organisation.make(SHARED);
        organisation.well(&["config", "apply", "one.bundle", "-c", "edge1/sealpost.toml"]);
        organisation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn own(&self) -> String {
        format!(
            "hostname = \"mx1.contoso.example\"\ndata_directory = \"data\"\n\n[bundle]\n{}\n\
             [[receive_connector]]\nname = \"Internet\"\nbindings = [\"127.0.0.1:0\"]\n\n\
             [admin]\nlisten = \"\"\n",
            self.key
        )
    }

    fn add_edge(&self, name: &str) {
        std::fs::create_dir_all(self.path(name).join("data")).unwrap();
        let config = self.path(name).join("sealpost.toml");
        std::fs::write(&config, self.own()).unwrap();
        let config = config.to_str().unwrap();
        self.well(&["certificate", "request", "--self-signed", "-c", config]);
    }

    /// Writes the shared settings and makes `one.bundle` of them, with the next serial.
    fn make(&self, shared: &str) {
        std::fs::write(self.path("organisation.toml"), shared).unwrap();
        self.well(&["config", "bundle", "organisation.toml", "--key", "bundle.key", "--out", "one.bundle"]);
    }

    fn start(&self, edge: &str) -> Server {
        let edge = self.path(edge);
        Server::start(executable(), &edge.join("sealpost.toml"), &edge.join("server.log")).unwrap()
    }

    fn call(&self, arguments: &[&str]) -> (i32, String, String) {
        sealpost(self.directory.path(), arguments)
    }

    /// Runs a command that must succeed; what it printed.
    fn well(&self, arguments: &[&str]) -> String {
        let (status, out, errors) = self.call(arguments);
        assert_eq!(status, 0, "{arguments:?}: {out}{errors}");
        out
    }

    fn apply(&self, more: &[&str]) -> (i32, String, String) {
        self.call(&[&["config", "apply", "one.bundle", "-c", "edge1/sealpost.toml"], more].concat())
    }

    fn status(&self, edge: &str) -> serde_json::Value {
        let config = self.path(edge).join("sealpost.toml");
        let told = self.well(&["config", "status", "--json", "-c", config.to_str().unwrap()]);
        serde_json::from_str(&told).unwrap()
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.path("edge1/data/audit.log")).unwrap_or_default()
    }
}

fn sealpost(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(executable());
    command.args(arguments).current_dir(directory).env_remove("SEALPOST_CONFIG").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_running_edge_takes_a_bundle_whole_and_writes_down_what_changed() {
    let organisation = Organisation::new();
    let _server = organisation.start("edge1");
    assert_eq!(organisation.status("edge1")["running"]["bundle"]["serial"], 1);
    organisation
        .make(&SHARED.replace("[\"woodgrove.example\"]", "[\"woodgrove.example\", \"bank.example\"]"));
    let (status, out, errors) = organisation.apply(&[]);
    assert_eq!(
        (status, out.contains("bundle 2 (") && out.contains("is in force")),
        (0, true),
        "{out}{errors}"
    );
    let status = organisation.status("edge1");
    assert_eq!(status["running"]["bundle"], status["applied"]);
    assert_eq!(status["applied"]["serial"], 2);
    let counters = organisation.well(&["counters", "-c", "edge1/sealpost.toml"]);
    let gauge = format!(
        "sealpost_configuration_bundle_info{{serial=2,digest={}}}",
        status["applied"]["digest"].as_str().unwrap()
    );
    assert!(counters.replace('"', "").contains(&gauge), "no {gauge} in {counters}");
    assert!(!counters.contains("serial=1,"), "{counters}");
    // The partner is known, though no session of it.
    let sessions =
        organisation.call(&["log", "sessions", "--partner", "woodgrove", "-c", "edge1/sealpost.toml"]);
    assert!(sessions.2.contains("no session below"), "{}", sessions.2);
    let audit = organisation.audit();
    let applied = audit.lines().find(|line| line.contains("what=\"config apply\" old=\"bundle 1 ")).unwrap();
    assert!(applied.contains("new=\"bundle 2 sha256:") && applied.contains("ed25519/"), "{applied}");
    let lists: Vec<&str> = audit.lines().filter(|line| line.ends_with(" SECURE-LIST")).collect();
    let changed = |line: &&str| line.contains("bank.example") && line.contains("bundle 2 (");
    assert_eq!(lists.iter().filter(|line| changed(line)).count(), 2, "{audit}");
    assert!(!audit.contains("recipients"), "what did not change is not told: {audit}");
}

#[test]
fn what_is_refused_changes_nothing() {
    let organisation = Organisation::new();
    let _server = organisation.start("edge1");
    let before = organisation.status("edge1");
    let kept = std::fs::read(organisation.path("edge1/data/bundle/applied.bundle")).unwrap();
    let unchanged = |why: &str| {
        assert_eq!(organisation.status("edge1"), before, "{why}");
        let now = std::fs::read(organisation.path("edge1/data/bundle/applied.bundle")).unwrap();
        assert!(now == kept, "{why}");
    };
    // Two contradictions, both told.
    let contradictions = "domain_secure_enabled = false\n\n[[partner]]\nname = \"Bank\"\n\
                          domains = [\"woodgrove.example\"]\ndomain_secure = [\"send\"]\n";
    organisation.make(&(SHARED.to_owned() + contradictions));
    let (status, _, errors) = organisation.apply(&[]);
    assert!(status == 2 && errors.contains("nothing was changed"), "{errors}");
    let told = errors.lines().filter(|line| line.starts_with("organisation.toml (bundle 2):"));
    assert!(told.count() >= 2, "{errors}");
    unchanged("contradictions");
    // Asked only.
    organisation.make(SHARED);
    organisation.make(&SHARED.replace("recipients = ", "# a change\nrecipients = "));
    let (status, out, _) = organisation.apply(&["--check"]);
    assert!(status == 0 && out.contains("would be taken"), "{out}");
    unchanged("--check");
    // Changed on the way.
    let mut bytes = std::fs::read(organisation.path("one.bundle")).unwrap();
    *bytes.last_mut().unwrap() = b' ';
    std::fs::write(organisation.path("bent.bundle"), &bytes).unwrap();
    let (status, _, errors) =
        organisation.call(&["config", "apply", "bent.bundle", "-c", "edge1/sealpost.toml"]);
    assert!(status == 1 && errors.contains("its signature is wrong"), "{errors}");
    unchanged("a bent bundle");
    // Of a stranger.
    organisation.well(&["config", "bundle-key", "strange.key"]);
    let strange =
        ["config", "bundle", "organisation.toml", "--key", "strange.key", "--out", "strange.bundle"];
    organisation.well(&strange);
    let (status, _, errors) =
        organisation.call(&["config", "apply", "strange.bundle", "-c", "edge1/sealpost.toml"]);
    assert!(status == 1 && errors.contains("trusted_keys does not name"), "{errors}");
    unchanged("a stranger's bundle");
    assert!(!organisation.audit().contains("bundle 2"), "{}", organisation.audit());
}

#[test]
fn when_the_server_refuses_the_bundle_before_comes_back() {
    let organisation = Organisation::new();
    let _server = organisation.start("edge1");
    // Somebody changed a key that only a start reads: the check passes, the reload does not.
    let own = organisation.own().replace("listen = \"\"", "listen = \"127.0.0.1:0\"");
    std::fs::write(organisation.path("edge1/sealpost.toml"), own).unwrap();
    organisation.make(&SHARED.replace("recipients = ", "# a change\nrecipients = "));
    let (status, _, errors) = organisation.apply(&[]);
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("the bundle before is back") && errors.contains("admin.listen"), "{errors}");
    let status = organisation.status("edge1");
    assert_eq!(
        (&status["applied"]["serial"], &status["running"]["bundle"]["serial"]),
        (&1.into(), &1.into())
    );
    std::fs::write(organisation.path("edge1/sealpost.toml"), organisation.own()).unwrap();
    assert_eq!(organisation.apply(&[]).0, 0);
}

#[test]
fn an_older_bundle_needs_a_word_more() {
    let organisation = Organisation::new();
    std::fs::copy(organisation.path("one.bundle"), organisation.path("first.bundle")).unwrap();
    organisation.make(&SHARED.replace("woodgrove.example", "bank.example"));
    assert_eq!(organisation.apply(&[]).0, 0);
    let first = ["config", "apply", "first.bundle", "-c", "edge1/sealpost.toml"];
    let (status, _, errors) = organisation.call(&first);
    assert!(status == 1 && errors.contains("bundle 1 is older than bundle 2"), "{errors}");
    let other = ["config", "bundle", "organisation.toml", "--key", "bundle.key", "--serial", "2"];
    std::fs::write(organisation.path("organisation.toml"), SHARED).unwrap();
    organisation.well(&[&other[..], &["--out", "other.bundle"]].concat());
    let (status, _, errors) =
        organisation.call(&["config", "apply", "other.bundle", "-c", "edge1/sealpost.toml"]);
    assert!(status == 1 && errors.contains("another bundle 2 already"), "{errors}");
    organisation.well(&[&first[..], &["--force"]].concat());
    assert_eq!(organisation.status("edge1")["applied"]["serial"], 1);
    let audit = organisation.audit();
    assert!(audit.contains("what=\"config apply --force\" old=\"bundle 2 "), "{audit}");
    // No server ran: the command told what changed.
    assert!(
        audit.lines().any(|line| line.contains("settings: transport") && line.ends_with("SECURE-LIST")),
        "{audit}"
    );
}

#[test]
fn a_command_that_is_killed_leaves_the_old_bundle_or_the_new_one() {
    let organisation = Organisation::new();
    let _server = organisation.start("edge1");
    let mut seen = [0; 2];
    for round in 0..16_u64 {
        let before = organisation.status("edge1")["applied"]["serial"].as_u64().unwrap();
        std::fs::write(organisation.path("recipients.txt"), format!("user{round}@contoso.example\n"))
            .unwrap();
        organisation.make(&SHARED.replace("name = \"Woodgrove\"", &format!("name = \"Woodgrove {round}\"")));
        let mut apply = Command::new(executable());
        apply.args(["config", "apply", "one.bundle", "-c", "edge1/sealpost.toml"]);
        let mut apply = apply.current_dir(organisation.path("")).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 12));
        apply.kill().unwrap();
        apply.wait().unwrap();
        let after = organisation.status("edge1")["applied"]["serial"].as_u64().unwrap();
        seen[usize::from(after > before)] += 1;
        organisation.well(&["config", "check", "-c", "edge1/sealpost.toml"]);
        organisation.well(&["config", "reload", "-c", "edge1/sealpost.toml"]);
        let status = organisation.status("edge1");
        assert_eq!(status["running"]["bundle"], status["applied"]);
    }
    assert_eq!(organisation.apply(&[]).0, 0);
    let files = std::fs::read_dir(organisation.path("edge1/data/bundle/files")).unwrap().count();
    assert!(files <= 2, "{files} files are kept; {seen:?}");
    assert!(seen[0] > 0, "no command was killed in time: {seen:?}");
}

#[test]
fn a_push_is_for_all_edges_or_says_for_which() {
    let organisation = Organisation::new();
    organisation.add_edge("edge2");
    organisation.well(&["config", "apply", "one.bundle", "-c", "edge2/sealpost.toml"]);
    let _servers = [organisation.start("edge1"), organisation.start("edge2")];
    let node = |edge: &str| format!("{edge}='{}' -c {edge}/sealpost.toml", executable().display());
    let (first, second) = (node("edge1"), node("edge2"));
    let both = ["--node", &first, "--node", &second];
    organisation.make(&SHARED.replace("woodgrove.example", "bank.example"));
    // The third does not answer in time, the fourth is not there.
    let slow = "edge3=sleep 30;";
    let (status, out, errors) = organisation.call(
        &[
            &["config", "push", "one.bundle", "--timeout", "2"],
            &both[..],
            &["--node", slow, "--node", "edge4=false"],
        ]
        .concat(),
    );
    assert_eq!(status, 1, "{out}{errors}");
    assert!(
        out.contains("edge3  DIFF  no answer within 2 s") && errors.contains("nothing was applied"),
        "{out}{errors}"
    );
    assert!(out.contains("edge4  DIFF  it ended with status 1 and said nothing"), "{out}");
    assert_eq!(organisation.status("edge1")["applied"]["serial"], 1);
    let (status, out, _) = organisation
        .call(&[&["config", "push", "one.bundle", "--each", "--node", "edge4=false"], &both[..2]].concat());
    assert_eq!(status, 1);
    assert!(out.contains("edge1  ok    bundle 2 ("), "{out}");
    let (status, out, _) = organisation.call(&[&["config", "drift"], &both[..]].concat());
    assert_eq!(status, 1);
    assert!(
        out.contains("edge2  DIFF  has bundle 1 (") && out.contains("and should have bundle 2 ("),
        "{out}"
    );
    let out = organisation.well(&[&["config", "push", "one.bundle"], &both[..]].concat());
    assert_eq!(out.matches("is in force").count(), 2, "{out}");
    let json =
        organisation.well(&[&["config", "drift", "--json", "--bundle", "one.bundle"], &both[..]].concat());
    let nodes: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(nodes[1]["ok"] == true && nodes[1]["status"]["applied"]["serial"] == 2, "{json}");
    let (status, _, errors) =
        organisation.call(&["config", "drift", "--node", "edge1=a", "--node", "edge1=b"]);
    assert!(status == 2 && errors.contains("two edges are called edge1"), "{errors}");
}
