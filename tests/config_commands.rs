//! `sealpost config` as an operator calls it: what is printed where, and the exit status.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

const CLEAN: &str = r#"
hostname = "mail1.contoso.example"
data_directory = "data"

[trust]
anchors = ["mozilla"]

[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:0"]
auth_mechanism = []

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
"#;

fn sealpost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
    command.env_remove("SEALPOST_CONFIG").arg("config").args(arguments);
    command
}

fn file(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("sealpost.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_is_quiet_about_a_good_file_and_tells_all_of_a_bad_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), CLEAN);
    let good = sealpost(&["check", "-c", path.to_str().unwrap()]).assert().code(0).get_output().clone();
    assert!(text(&good.stdout).ends_with("no errors, 0 warnings\n"), "{}", text(&good.stdout));
    assert_eq!(text(&good.stderr), "");

    let path = file(directory.path(), &CLEAN.replace("hostname", "hostnam").replace("\"*\"", "5"));
    let bad = sealpost(&["check"]).env("SEALPOST_CONFIG", &path).assert().code(2).get_output().clone();
    let errors = text(&bad.stderr);
    assert!(errors.contains("sealpost.toml:2: hostnam: unknown key; did you mean `hostname`?"), "{errors}");
    assert!(
        errors.contains("sealpost.toml:15: send_connector.Internet.address_spaces: holds an integer"),
        "{errors}"
    );
    assert_eq!(text(&bad.stdout), "");

    let json =
        sealpost(&["check", "--json", "-c", path.to_str().unwrap()]).assert().code(2).get_output().clone();
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    let error = answer["errors"].as_array().unwrap().iter().find(|error| error["line"] == 15).unwrap();
    assert_eq!(error["key"], "send_connector.Internet.address_spaces");
}

#[test]
fn show_answers_for_one_connector_and_says_no_to_one_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), CLEAN);
    let path = path.to_str().unwrap();
    let shown =
        sealpost(&["show", "send_connector.Internet", "-c", path]).assert().code(0).get_output().clone();
    let shown = text(&shown.stdout);
    assert!(
        shown.starts_with("[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"*\"]\n"),
        "{shown}"
    );
    assert!(shown.contains("port = 25  # derived\n"), "{shown}");
    let json = sealpost(&["show", "--json", "queue", "-c", path]).assert().code(0).get_output().clone();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json[0]["retry_intervals"][10], "30 min");
    let no = sealpost(&["show", "send_connector.Inside", "-c", path]).assert().code(1).get_output().clone();
    assert!(text(&no.stderr).contains("there is no send_connector.Inside"), "{}", text(&no.stderr));
}

#[test]
fn reference_is_the_page_in_docs() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let printed = sealpost(&["reference"]).assert().code(0).get_output().clone();
    assert_eq!(text(&printed.stdout), page);
}

#[test]
fn a_file_that_is_not_there_is_one_sentence_and_exit_status_2() {
    let output =
        sealpost(&["check", "-c", "/nonexistent/sealpost.toml"]).assert().code(2).get_output().clone();
    let errors = text(&output.stderr);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("cannot read the configuration"), "{errors}");
}
