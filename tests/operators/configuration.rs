//! `sealpost config set` and `sealpost partner add / remove` on the file of a running server.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::common::{PARTNER, Site, command, executable};

/// The file as it is, and what one of our commands says.
fn text(site: &Site) -> String {
    std::fs::read_to_string(site.path("sealpost.toml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_comes_changes_and_goes_and_the_server_follows() {
    let site = Site::new().await;
    let edge = site.start_edge("# the last words\n");
    std::fs::set_permissions(&edge.config, std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = text(&site);

    let arguments = ["partner", "add", "Fabrikam \"Inc.\"", "--domain", "fabrikam.example", "--trust-anchor"];
    let arguments = [&arguments[..], &["woodgrove-root.pem", "--mode", "report", "--reload"]].concat();
    let (status, out, error) = edge.command(&arguments);
    assert_eq!(status, 0, "{out}{error}");
    assert!(out.contains("the running server has taken it"), "{out}");
    assert!(text(&site).starts_with(&before), "what was there is untouched");
    let (_, shown, _) = edge.command(&["partner", "list"]);
    assert!(shown.contains("Fabrikam"), "{shown}");

    let set = |arguments: &[&str]| edge.command(&[&["config", "set"], arguments].concat());
    let (status, out, _) = set(&["partner.Fabrikam \"Inc.\".domains", "--add", "fabrikam.test", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &told["needs"]), (0, &"reload".into()), "{out}");
    let changed: Vec<&str> =
        told["changes"].as_array().unwrap().iter().filter_map(|change| change["key"].as_str()).collect();
    assert!(changed.contains(&"transport.tls_send_domain_secure_list"), "{changed:?}");
    assert!(text(&site).contains(r#"domains = ["fabrikam.example", "fabrikam.test"]"#), "{}", text(&site));

    let (status, out, _) = set(&["data_directory", "elsewhere"]);
    assert_eq!(status, 0);
    assert!(out.contains("when the server starts anew"), "{out}");
    assert_eq!(set(&["data_directory", "data"]).0, 0);
    let (status, out, _) = set(&["data_directory", "data"]);
    assert_eq!((status, out.as_str()), (0, "nothing that counts has changed\n"));

    let (status, out, error) = edge.command(&["partner", "remove", "Fabrikam \"Inc.\"", "--reload"]);
    assert_eq!(status, 0, "{out}{error}");
    assert_eq!(text(&site).trim_end(), before.trim_end(), "as it was");
    assert_eq!(std::fs::metadata(&edge.config).unwrap().permissions().mode() & 0o777, 0o640);
    let audit = std::fs::read_to_string(site.path("data/audit.log")).unwrap();
    let mine: Vec<&str> = audit.lines().filter(|line| line.contains("what=\"config set: ")).collect();
    assert!(
        mine.iter().any(|line| line.contains("tls_send_domain_secure_list") && line.ends_with("SECURE-LIST"))
    );
    assert!(mine.iter().any(|line| line.contains("fabrikam.test\\\"]")), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_would_refuse_is_not_written() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings("# the last words\n"));
    let before = text(&site);
    let refused = |arguments: &[&str], part: &str| {
        let (status, out, error) = command(&config, arguments);
        assert_ne!(status, 0, "{arguments:?}: {out}");
        assert!(error.contains(part), "{arguments:?}: {error}");
        assert_eq!(text(&site), before, "{arguments:?}");
        status
    };
    let wildcard = ["config", "set", "transport.tls_send_domain_secure_list", "*.example"];
    assert_eq!(refused(&wildcard, "left as it is"), 2);
    assert_eq!(refused(&["config", "set", "partner.Woodgrove.mod", "report"], "did you mean `mode`?"), 2);
    assert_eq!(refused(&["config", "set", "partner.Nobody.mode", "report"], "it has \"Woodgrove\""), 2);
    assert_eq!(refused(&["config", "set", "partner.Woodgrove.domains", "--unset"], "is missing"), 2);
    assert_eq!(refused(&["partner", "add", "Other", "--domain", PARTNER], "left as it is"), 2);
    assert_eq!(refused(&["partner", "add", "Woodgrove", "--domain", "x.example"], "there already"), 1);
    assert_eq!(refused(&["partner", "remove", "Nobody"], "no partner is called"), 1);
    let left: Vec<_> = std::fs::read_dir(site.path("")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".sealpost-")), "{left:?}");
}

/// Eight at once: each finds what the others wrote.
#[tokio::test(flavor = "multi_thread")]
async fn commands_at_the_same_time_lose_nothing() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings(""));
    std::fs::create_dir(site.path("data")).unwrap();
    let add = |number: usize| {
        Command::new(executable())
            .args(["partner", "add", &format!("P{number}"), "--domain", &format!("p{number}.example"), "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..8).map(add).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let text = text(&site);
    assert!((0..8).all(|number| text.contains(&format!("name = \"P{number}\""))), "{text}");
    assert_eq!(command(&config, &["config", "check"]).0, 0);
    // A link stays a link.
    let link = site.path("link.toml");
    std::os::unix::fs::symlink(&config, &link).unwrap();
    assert_eq!(command(&link, &["config", "set", "queue.message_expiration", "3 days"]).0, 0);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read_to_string(&config).unwrap().contains("message_expiration = \"3 days\""));
}
