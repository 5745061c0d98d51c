//! The Debian package and the units, as far as they can be looked at without installing them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::common::{executable, tool};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_package_holds_what_belongs_on_a_system() {
    let Some(dpkg) = tool("Debian package", "dpkg-deb") else { return };
    if tool("Debian package", "dpkg-shlibdeps").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().to_str().unwrap();
    let binary = executable().to_str().unwrap();
    let built = run(
        &root().join("packaging/deb/build"),
        &["--binary", binary, "--output", output, "--compression", "none"],
    );
    let package = built.trim();
    let listed = run(&dpkg, &["-c", package]);
    let files: BTreeSet<(&str, &str, &str)> = listed
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            Some((*fields.first()?, *fields.get(1)?, *fields.get(5)?))
        })
        .collect();
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/sealpost"),
        ("drwxr-x---", "./etc/sealpost/"),
        ("-rw-r-----", "./etc/sealpost/sealpost.toml"),
        ("-rw-r--r--", "./lib/systemd/system/sealpost.service"),
        ("-rw-r--r--", "./lib/systemd/system/sealpost.socket"),
        ("-rw-r--r--", "./usr/lib/sysusers.d/sealpost.conf"),
        ("-rw-r--r--", "./usr/lib/tmpfiles.d/sealpost.conf"),
        ("-rw-r--r--", "./usr/share/man/man8/sealpost.8.gz"),
        ("-rw-r--r--", "./usr/share/man/man8/sealpost-queue-list.8.gz"),
        ("-rw-r--r--", "./usr/share/man/man5/sealpost.toml.5.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/sealpost"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_sealpost"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/sealpost.fish"),
        ("-rw-r--r--", "./usr/share/doc/sealpost/copyright"),
        ("-rw-r--r--", "./usr/share/doc/sealpost/changelog.gz"),
        ("-rw-r--r--", "./usr/share/doc/sealpost/docs/operations.md"),
        ("-rw-r--r--", "./usr/share/doc/sealpost/docs/monitoring/alerts.yml"),
        ("-rw-r--r--", "./usr/share/doc/sealpost/examples/edge.toml"),
    ] {
        assert!(files.contains(&(mode, "root/root", path)), "{mode} {path} is not in\n{listed}");
    }
    assert!(files.iter().all(|(mode, owner, _)| *owner == "root/root" && !mode.contains('s')), "{listed}");
    assert!(!listed.contains("./var/"), "made at the installation: {listed}");
    let version = run(&dpkg, &["-f", package, "Version"]);
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    assert!(run(&dpkg, &["-f", package, "Depends"]).contains("libc6"));
    assert_eq!(run(&dpkg, &["--info", package, "conffiles"]).trim(), "/etc/sealpost/sealpost.toml");
    // What is installed at first has no error, and nothing that listens.
    let unpacked = directory.path().join("unpacked");
    run(&dpkg, &["-x", package, unpacked.to_str().unwrap()]);
    let config = unpacked.join("etc/sealpost/sealpost.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(!text.lines().any(|line| line.starts_with("[[receive_connector]]")), "{text}");
    // The name of a machine in a test says nothing; with one, there is no error.
    let config = config.to_str().unwrap();
    run(executable(), &["config", "set", "hostname", "mail1.contoso.example", "-c", config]);
    run(executable(), &["config", "check", "-c", config]);
}

/// Each maintainer script at least parses, and dash is what runs it.
#[test]
fn scripts_are_good_shell() {
    for script in ["postinst", "prerm", "postrm"] {
        run(Path::new("/bin/sh"), &["-n", root().join("packaging/deb").join(script).to_str().unwrap()]);
    }
    run(Path::new("/bin/bash"), &["-n", root().join("packaging/deb/build").to_str().unwrap()]);
}

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let Some(analyze) = tool("units", "systemd-analyze") else { return };
    let directory = tempfile::tempdir().unwrap();
    for unit in ["sealpost.service", "sealpost.socket"] {
        let text = std::fs::read_to_string(root().join("packaging/systemd").join(unit)).unwrap();
        // The program is where it was built, not where it will be.
        let text = text.replace("/usr/bin/sealpost", executable().to_str().unwrap());
        std::fs::write(directory.path().join(unit), text).unwrap();
    }
    let path = |unit: &str| directory.path().join(unit).to_str().unwrap().to_owned();
    let (service, socket) = (path("sealpost.service"), path("sealpost.socket"));
    let output = Command::new(&analyze).args(["verify", "--man=no", &service, &socket]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("sealpost")).collect();
    assert!(output.status.success() && about_us.is_empty(), "{said}");
    // In tenths: systemd calls up to 2.0 "OK", and 9.6 is a service without any of it.
    run(&analyze, &["security", "--offline=true", "--threshold=20", "--no-pager", &service]);
}
