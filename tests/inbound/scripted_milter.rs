//! A milter that does at one step what the sender's local part says, and goes on at all others:
//! `STEP.DEED@…`, where the step is the letter of the command.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Running until the test ends.
pub struct ScriptedMilter {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

type Heard = Arc<Mutex<Vec<String>>>;

impl ScriptedMilter {
    /// Asks for these steps (SMFIP_*).
    pub fn start(steps: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Heard::default();
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || {
                    // The end of the conversation, however it comes, ends the thread.
                    let _ended = serve(stream, steps, &notes);
                });
            }
        });
        Self { address, heard }
    }

    /// Everything it was told so far, one command a line: its letter, and its strings by `|`.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Forgets it.
    pub fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }
}

pub fn packet(letter: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + body.len()).unwrap();
    [&length.to_be_bytes()[..], &[letter], body].concat()
}

fn serve(mut stream: TcpStream, steps: u32, heard: &Heard) -> std::io::Result<()> {
    let (mut step, mut deed) = (0, String::new());
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut body)?;
        let letter = body.remove(0);
        let text = String::from_utf8_lossy(&body).trim_end_matches('\0').replace('\0', "|");
        heard.lock().unwrap().push(format!("{} {text}", char::from(letter)));
        match letter {
            b'O' => {
                let answer: Vec<u8> = [6, 0x1ff, steps].iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
                stream.write_all(&packet(b'O', &answer))?;
            }
            b'D' | b'A' => {}
            b'Q' => return Ok(()),
            _ => {
                if letter == b'M' {
                    let local = text.trim_start_matches('<').split('@').next().unwrap().to_owned();
                    (step, deed) = match local.split_once('.') {
                        Some((step, deed)) if step.len() == 1 => (step.as_bytes()[0], deed.to_owned()),
                        Some(_) | None => (0, String::new()),
                    };
                }
                let helo = letter == b'H' && text.starts_with("reject");
                let word = if letter == step {
                    deed.as_str()
                } else if helo {
                    "reject"
                } else {
                    ""
                };
                act(&mut stream, word, letter)?;
            }
        }
    }
}

fn act(stream: &mut TcpStream, deed: &str, letter: u8) -> std::io::Result<()> {
    let go_on = packet(b'c', b"");
    let answer = match deed {
        "" => go_on,
        "accept" => packet(b'a', b""),
        "reject" => packet(b'r', b""),
        "tempfail" => packet(b't', b""),
        "discard" => packet(b'd', b""),
        "shutdown" => packet(b'4', b""),
        "skip" => packet(b's', b""),
        "reply" => packet(b'y', b"554-5.7.9 100%% sure\r\n554 5.7.9 that is spam\0"),
        "forged-reply" => packet(b'y', b"250 2.0.0 fine\0"),
        "progress" => {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(1200));
                stream.write_all(&packet(b'p', b""))?;
            }
            go_on
        }
        "quarantine" => [packet(b'q', b"looks odd\0"), go_on].concat(),
        "change" => [
            packet(b'h', b"X-Spam\0no\n\tnone at all\0"),
            packet(b'i', b"\0\0\0\0X-First\0yes\0"),
            packet(b'm', b"\0\0\0\x01Subject\0changed\0"),
            packet(b'm', b"\0\0\0\x01X-Gone\0\0"),
            packet(b'h', b"Domain-Secured\0domain=woodgrove.example; verified=chain\0"),
            packet(b'+', b"<added@contoso.example>\0"),
            packet(b'+', b"<spy@anywhere.example>\0"),
            packet(b'-', b"<bob@contoso.example>\0"),
            packet(b'e', b"<bounces@litware.example>\0"),
            packet(b'b', b"new body\n"),
            packet(b'b', b"in two pieces\n"),
            go_on,
        ]
        .concat(),
        "bad-body" => [packet(b'b', b"bare\rcr\n"), go_on].concat(),
        "early-change" => [packet(b'h', b"X-Spam\0no\0"), go_on].concat(),
        "hang" => {
            std::thread::sleep(Duration::from_secs(10));
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        "close" => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        "garbage" => b"HTTP/1.0 400 what\r\n\r\n".to_vec(),
        "unknown" => packet(b'!', b"x"),
        "huge" => [&0x7fff_ffff_u32.to_be_bytes()[..], b"h"].concat(),
        "half" => packet(b'h', b"X-Spam\0no\0")[..9].to_vec(),
        other => panic!("no deed {other} at {letter}"),
    };
    stream.write_all(&answer)
}
