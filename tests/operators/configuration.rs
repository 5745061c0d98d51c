//! `sealpost config set` and `sealpost partner add / remove` on the file of a running server.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::common::{OURS, PARTNER, Site, command, executable};

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
    for plain in
        ["mail to fabrikam.example, fabrikam.test is no longer secured", "without a certificate and in clear"]
    {
        assert!(out.contains(plain), "{out}");
    }
    assert_eq!(text(&site).trim_end(), before.trim_end(), "as it was");
    assert_eq!(std::fs::metadata(&edge.config).unwrap().permissions().mode() & 0o777, 0o640);
    let audit = std::fs::read_to_string(site.path("data/audit.log")).unwrap();
    let mine: Vec<&str> = audit.lines().filter(|line| line.contains("what=\"config set: ")).collect();
    assert!(
        mine.iter().any(|line| line.contains("tls_send_domain_secure_list") && line.ends_with("SECURE-LIST"))
    );
    assert!(mine.iter().any(|line| line.contains("fabrikam.test\\\"]")), "{audit}");
}

/// Whoever reloads puts everything in force that stands in the file, and must hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_it_put_in_force() {
    let site = Site::new().await;
    let edge = site.start_edge("# the last words\n");
    let (status, out, _) = edge.command(&["config", "reload"]);
    assert!(status == 0 && out.starts_with("nothing changed"), "{out}");
    assert_eq!(edge.command(&["config", "set", "queue.message_expiration", "3 days"]).0, 0);
    let (status, out, _) = edge.command(&["config", "reload"]);
    let told = "queue.message_expiration: \"2 days\" -> \"3 days\"\nthe running server has taken it\n";
    assert!(status == 0 && out.ends_with(told), "{out}");

    // A colleague is at work on a partner, and another one sets something else.
    assert_eq!(edge.command(&["partner", "add", "Fabrikam", "--domain", "fabrikam.example"]).0, 0);
    let set = ["config", "set", "queue.message_expiration", "2 days", "--reload"];
    let (status, out, _) = edge.command(&set);
    let (own, others) = out.split_once("with the reload came in force what else had changed").unwrap();
    assert_eq!(status, 0);
    assert!(own.contains("queue.message_expiration") && !own.contains("partner.Fabrikam: "), "{out}");
    assert!(others.contains("  partner.Fabrikam: (none) -> \"Fabrikam\"\n"), "{out}");
    assert!(!others.contains(" queue.message_expiration"), "{out}");
    let (_, out, _) = edge.command(&[&set[..], &["--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["reloaded"], &told["also_in_force"]), (&true.into(), &serde_json::json!([])), "{out}");
}

/// Keys that only make sense together are set together.
#[tokio::test(flavor = "multi_thread")]
async fn signing_is_switched_on_by_one_command() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings("# the last words\n"));
    let before = text(&site);
    let key = site.path("stamp.key");
    assert_eq!(command(&config, &["stamp", "key", key.to_str().unwrap(), "--domain", OURS]).0, 0);
    let set = |arguments: &[&str]| command(&config, &[&["config", "set"], arguments].concat());
    let domain = format!("stamp.signing_domain={OURS}");
    let (status, _, error) = set(&[&domain]);
    assert!(status == 2 && error.contains("signs with no key"), "{error}");
    assert_eq!(text(&site), before);
    let (status, out, error) = set(&[&domain, "stamp.selector=edge", "stamp.signing_key=stamp.key"]);
    assert_eq!(status, 0, "{out}{error}");
    let table =
        format!("[stamp]\nsigning_domain = \"{OURS}\"\nselector = \"edge\"\nsigning_key = \"stamp.key\"\n");
    assert!(text(&site).ends_with(&table), "{}", text(&site));
    let (status, _, error) =
        set(&["partner.Woodgrove.domains=a.example", "partner.Woodgrove.domains=b.example"]);
    assert!(status == 0 && text(&site).contains("domains = [\"a.example\", \"b.example\"]"), "{error}");
    let (status, _, error) = set(&["stamp.selectr=x"]);
    assert!(status == 2 && error.contains("did you mean `selector`?"), "{error}");
    let (status, _, error) = set(&["stamp.selector"]);
    assert!(status == 2 && error.contains("no value is given"), "{error}");
}

/// A list that names the domain by itself goes on when the partner's entry is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_whose_domain_is_listed_elsewhere_stays_secured() {
    let site = Site::new().await;
    let config = site.write_settings(&site.settings(""));
    assert_eq!(command(&config, &["partner", "add", "Fabrikam", "--domain", "fabrikam.example"]).0, 0);
    for list in ["tls_send_domain_secure_list", "tls_receive_domain_secure_list"] {
        let key = format!("transport.{list}");
        assert_eq!(command(&config, &["config", "set", &key, "--add", "fabrikam.example"]).0, 0, "{key}");
    }
    let (status, out, error) = command(&config, &["partner", "remove", "Fabrikam"]);
    assert_eq!(status, 0, "{error}");
    assert!(out.contains("fabrikam.example stays on a list of [transport]"), "{out}");
    assert!(!out.contains("no longer secured"), "{out}");
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

/// Whoever looks for the cause at night asks the server that runs, whatever stands in the file by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_file_keeps_nobody_from_the_running_server() {
    const WARNING: &str = "a reload would refuse this file";
    let site = Site::new().await;
    let edge = site.start_edge("");
    let good = text(&site);
    std::fs::write(&edge.config, format!("{good}\nthis is no TOML\n[queue\n")).unwrap();
    let commands: [(&[&str], &str); 4] = [
        (&["queue", "list"], "the queue holds no such message"),
        (&["queue", "why", "01A2000000000000"], ""),
        (&["partner", "show", PARTNER], "Judged by"),
        (&["counters"], "sealpost_certificate_expiry"),
    ];
    for (arguments, answer) in commands {
        let (_, out, error) = edge.command(arguments);
        assert!(out.contains(answer), "{arguments:?}: {out}{error}");
        assert_eq!(error.matches(WARNING).count(), 1, "{arguments:?}: {error}");
        assert!(error.contains(&format!(":{}: ", good.lines().count() + 2)), "the line is named: {error}");
    }
    let (_, _, error) = edge.command(&["queue", "retry", "--all"]);
    assert!(error.contains("no message in the queue"), "{error}");

    std::fs::write(&edge.config, format!("{good}\n[nonsense]\nkey = 1\n")).unwrap();
    let (_, out, error) = edge.command(&["partner", "probe", PARTNER]);
    assert!(out.contains(&format!("Walk to {PARTNER}")), "{out}{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("nonsense") && error.contains("a server would not take this file"), "{error}");
    let (status, _, error) = edge.command(&["queue", "list"]);
    assert_eq!((status, error.as_str()), (0, ""));
}
