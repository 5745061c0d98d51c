//! `openssl s_client` and `gnutls-cli`: TLS by OpenSSL and GnuTLS, SMTP by hand, over TLS 1.2 and 1.3.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use sealpost::cli::demo::pki::IdentityFiles;

use crate::common::{Edge, OURS, PARTNER, PATIENCE, Site, tool};

/// A session that is typed; the tool ends with it.
struct Typed {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Typed {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (line, output) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for read in stdout.split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&read).trim_end().to_owned();
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take().unwrap(), output, child }
    }

    fn send(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Types one line, and waits for the end of the reply with that code.
    fn type_line(&mut self, line: &str, code: &str) -> String {
        self.send(line);
        let end = format!("{code} ");
        let mut seen = Vec::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(said) if said.starts_with(&end) => return said,
                Ok(said) => seen.push(said),
                Err(error) => panic!("no {code} to {line}: {error}\n{}", seen.join("\n")),
            }
        }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn openssl(edge: &Edge, version: &str, shows: Option<&IdentityFiles>) -> Option<Command> {
    let mut command = Command::new(tool("openssl s_client", "openssl")?);
    command.args(["s_client", "-quiet", "-crlf", "-starttls", "smtp", "-name", "client.example"]);
    command.arg("-connect").arg(edge.internet.to_string()).arg(version);
    if let Some(files) = shows {
        command.arg("-cert").arg(&files.chain).arg("-key").arg(&files.key);
    }
    Some(command)
}

fn gnutls(edge: &Edge, version: &str, shows: Option<&IdentityFiles>) -> Option<Command> {
    let mut command = Command::new(tool("gnutls-cli", "gnutls-cli")?);
    command.args(["--no-ca-verification", "--crlf", "--starttls-proto=smtp", "--disable-sni"]);
    command.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}"));
    command.arg(format!("--port={}", edge.internet.port())).arg(edge.internet.ip().to_string());
    if let Some(files) = shows {
        command.arg("--x509certfile").arg(&files.chain).arg("--x509keyfile").arg(&files.key);
    }
    Some(command)
}

async fn typed_over(tool: fn(&Edge, &str, Option<&IdentityFiles>) -> Option<Command>, versions: [&str; 2]) {
    let site = Site::new().await;
    let edge = site.start_edge("");
    for (version, stamped) in versions.into_iter().zip(["tls=TLSv1.2", "tls=TLSv1.3"]) {
        let sender = format!("{}@{PARTNER}", &stamped[4..].to_ascii_lowercase());
        let Some(mut command) = tool(&edge, version, None) else { return };
        let mut anonymous = Typed::start(&mut command);
        anonymous.type_line("EHLO client.example", "250");
        let refused = anonymous.type_line(&format!("MAIL FROM:<{sender}>"), "550");
        assert!(refused.contains("NoCertificate"), "{refused}");

        let Some(mut command) = tool(&edge, version, Some(&site.partner_files)) else { return };
        let mut partner = Typed::start(&mut command);
        partner.type_line("EHLO client.example", "250");
        partner.type_line(&format!("MAIL FROM:<{sender}>"), "250");
        partner.type_line(&format!("RCPT TO:<alice@{OURS}>"), "250");
        partner.type_line("DATA", "354");
        // gnutls-cli takes one line a read.
        for line in ["Subject: typed", "", "by hand"] {
            partner.send(line);
            thread::sleep(Duration::from_millis(100));
        }
        partner.type_line(".", "250");
        partner.type_line("QUIT", "221");
        let kept = site.arrival(&sender).await;
        let stamp = kept.field("Domain-Secured").expect("a stamp");
        assert!(stamp.contains(stamped), "{stamp}");
        assert!(kept.content.ends_with("by hand\r\n"), "{}", kept.content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_s_client_by_hand_over_both_versions() {
    typed_over(openssl, ["-tls1_2", "-tls1_3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gnutls_cli_by_hand_over_both_versions() {
    typed_over(gnutls, ["TLS1.2", "TLS1.3"]).await;
}
