//! mailin-embedded as the peer that supports next to nothing: no SIZE, no PIPELINING, no STARTTLS,
//! parameters it does not know are syntax errors.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{io, thread};

use mailin_embedded::{Handler, Response, Server, response};
use sealpost::cli::demo::client::{Disguise, Letter, send};

use crate::common::{OURS, PATIENCE, STRANGER, STRANGER_HOST, Site};

/// Hands each message over when it is complete.
#[derive(Clone)]
struct Keeper {
    kept: Sender<Vec<u8>>,
    content: Vec<u8>,
}

impl Handler for Keeper {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, _to: &[String]) -> Response {
        self.content.clear();
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.kept.send(std::mem::take(&mut self.content)).map_or(response::INTERNAL_ERROR, |()| response::OK)
    }
}

/// Serves until the test process ends: this server cannot be told to stop.
fn start(site: &Site) -> Receiver<Vec<u8>> {
    let (kept, arrivals) = channel();
    let listener = TcpListener::bind(site.network.at(STRANGER_HOST)).unwrap();
    thread::spawn(move || {
        let mut server = Server::new(Keeper { kept, content: Vec::new() });
        server.with_name(format!("mx.{STRANGER}")).with_tcp_listener(listener);
        server.serve().unwrap();
    });
    arrivals
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_domain_with_a_meagre_server_gets_its_mail_in_clear() {
    let site = Site::new().await;
    let arrivals = start(&site);
    let edge = site.start_edge("");
    let mut letter = Letter::new(&format!("alice@{OURS}"), &format!("carol@{STRANGER}"), "in clear");
    letter.content.push_str(".dot\r\nlast line\r\n");
    let reply = send(edge.internal, Disguise::Clear, &letter).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let content = arrivals.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing came:\n{}", site.log()));
    let content = String::from_utf8(content).unwrap();
    assert!(content.contains("Subject: in clear\r\n"), "{content}");
    assert!(content.contains("dot\r\nlast line\r\n"), "{content}");
    assert!(!content.to_ascii_lowercase().contains("domain-secured"), "{content}");
}
