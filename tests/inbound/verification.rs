//! Recipients that next hops are asked about: one that knows who is there, one that takes anybody,
//! one that is down.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::client::Smtp;
use super::rig::{Rig, until};

const SETTINGS: &str = r#"
[trust]
anchors = ["contoso-root.pem"]

[[accepted_domain]]
name = "known.example"
recipient_verification = "enforce"

[[accepted_domain]]
name = "watched.example"
recipient_verification = "mark"

[[accepted_domain]]
name = "any.example"
recipient_verification = "enforce"

[[accepted_domain]]
name = "down.example"
recipient_verification = "enforce"

[[accepted_domain]]
name = "unasked.example"

[recipient_verification]
timeout = "5 s"

[[certificate]]
chain = "contoso.pem"
key = "contoso.key"

[[receive_connector]]
name = "Internet"
bindings = ["{ip}:0"]
tarpit_interval = "0 s"

[[receive_connector]]
name = "Internal"
bindings = ["{ip5}:0"]
permissions = ["submit", "relay"]

[[send_connector]]
name = "Known"
address_spaces = ["known.example", "watched.example", "elsewhere.example"]
dns_routing_enabled = false
smart_hosts = ["[{known}]"]

[[send_connector]]
name = "Down"
address_spaces = ["down.example"]
dns_routing_enabled = false
smart_hosts = ["[{down}]"]
"#;

/// Knows bob, has no room for full, and has never time for busy.
struct NextHop {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl NextHop {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || {
                    let _ended = serve(stream, &notes);
                });
            }
        });
        Self { address, heard }
    }

    /// How often a line with this in it came.
    fn count(&self, what: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 known.example\r\n")?;
    for line in lines {
        let line = line?;
        heard.lock().unwrap().push(line.clone());
        let reply = match line.split_once(' ').map_or(line.as_str(), |(verb, _)| verb) {
            "EHLO" => "250-known.example\r\n250 PIPELINING",
            "RCPT" if line.contains("<bob@") => "250 2.1.5 OK",
            "RCPT" if line.contains("<full@") => "552 5.2.2 full",
            "RCPT" if line.contains("<busy@") => "450 4.2.1 busy",
            "RCPT" => "550 5.1.1 who?",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 2.0.0 OK",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

#[test]
fn next_hops_say_who_is_there() {
    let next_hop = NextHop::start();
    let literal = |address: SocketAddr| format!("{}]:{}", address.ip(), address.port());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings =
        SETTINGS.replace("{known}]", &literal(next_hop.address)).replace("{down}]", &literal(nobody));
    let rig = Rig::start(|_, _| settings);
    let mut client = Smtp::clear(rig.at("Internet"));
    assert!(client.mail("a@litware.example").starts_with("250"));
    for (to, reply) in [
        ("bob@known.example", "250 2.1.5 "),
        ("nobody@known.example", "550 5.1.1 "),
        ("NOBODY@known.example", "550 5.1.1 "),
        ("full@known.example", "451 4.1.1 "),
        ("busy@known.example", "451 4.1.1 "),
        ("nobody@watched.example", "250 2.1.5 "),
        ("anybody@any.example", "250 2.1.5 "),
        ("someone@any.example", "250 2.1.5 "),
        ("bob@down.example", "451 4.1.1 "),
        ("nobody@unasked.example", "250 2.1.5 "),
    ] {
        let said = client.rcpt(to);
        assert!(said.starts_with(reply), "{to}: {said}\n{}", rig.events());
    }
    client.quit();
    assert_eq!(next_hop.count("nobody@known.example"), 1, "the second answer was remembered");
    assert_eq!(next_hop.count("no-such-user-"), 2, "one stranger a domain");
    assert_eq!(next_hop.count("MAIL FROM:<>"), next_hop.count("MAIL"));
    assert_eq!(next_hop.count("DATA"), 0);
    until("goodbyes", || (next_hop.count("QUIT") == next_hop.count("MAIL")).then_some(()));
    until("the event", || rig.events().contains("AnyRecipientTaken").then_some(()));
    assert_eq!(rig.events().matches("AnyRecipientTaken").count(), 1);
    let counted = |result| rig.find_counter("sealpost_recipient_verifications_total", &[("result", result)]);
    let all = ["exists", "missing", "unknown", "any-is-taken"].map(counted);
    assert_eq!(all, [Some(1), Some(3), Some(3), Some(2)]);
    // What is relayed elsewhere is nobody's to verify.
    let mut inside = Smtp::clear(rig.at("Internal"));
    assert!(inside.mail("a@contoso.example").starts_with("250"));
    assert!(inside.rcpt("nobody@elsewhere.example").starts_with("250"));
    assert_eq!(next_hop.count("elsewhere"), 0);
    inside.quit();
}
