//! Writing the content of a message, with an ear for the peer: a server that has made up its mind
//! before the end is answered by closing, not by the rest of fifty megabytes.

use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::net::stream::Stream;
use crate::net::tls;
use crate::session::send::{Action, DATA_BLOCK_TIMEOUT, Framing, Input};
use crate::smtp::content::DataEncoder;

use super::SendConnection;

/// Content is written in pieces of about this size: with its dots it still goes to the TLS library,
/// which takes 64 KiB, and from there to the kernel at once.
const WRITE_BYTES: usize = 48 << 10;

/// Content as it goes over the wire.
enum Framer {
    Dot(DataEncoder),
    /// Octets of the chunk still to come.
    Counted(u64),
}

impl Framer {
    fn new(framing: Framing) -> Self {
        match framing {
            Framing::Dot => Framer::Dot(DataEncoder::new()),
            Framing::Counted(octets) => Framer::Counted(octets),
        }
    }

    /// Not one octet goes out that was not announced: the peer would take it for a command.
    fn add(&mut self, piece: &[u8], wire: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Framer::Dot(encoder) => {
                wire.reserve(piece.len());
                encoder.encode(piece, wire);
            }
            Framer::Counted(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or("it has more octets than were counted")?;
                wire.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// The peer would have all of it.
    fn is_complete(&self) -> bool {
        matches!(self, Framer::Counted(0))
    }

    fn finish(&mut self, wire: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Framer::Dot(encoder) => encoder.finish(wire),
            Framer::Counted(0) => {}
            Framer::Counted(_) => return Err("it has fewer octets than were counted"),
        }
        Ok(())
    }
}

/// What one go at writing came to.
enum Progress {
    /// All of it.
    Written,
    /// `written` octets, and then `heard` octets of the peer's.
    Heard { written: usize, heard: usize },
}

impl SendConnection {
    /// Writes the content, and its end with the last piece. Ends early when the session closes because
    /// of what the peer says meanwhile.
    pub(super) async fn send_content(&mut self, framing: Framing) {
        let mut framer = Framer::new(framing);
        let mut wire = std::mem::take(&mut self.out);
        while !self.is_closing() {
            let last = match self.frame_next(&mut framer, &mut wire) {
                Ok(last) => last,
                Err(error) => return self.input(Input::ContentFailed(error)),
            };
            let guard = self.guard.as_ref().filter(|_| last);
            if let Some(objection) = guard.and_then(|guard| guard.objection(&self.shared)) {
                return self.input(Input::ContentFailed(objection.to_owned()));
            }
            if last || wire.len() >= WRITE_BYTES {
                if let Err(error) = self.write_listening(&wire).await {
                    if last {
                        // The end of it may have arrived all the same.
                        self.input(Input::ContentSent);
                    }
                    return self.input(Input::Closed(error));
                }
                wire.clear();
            }
            if last && !self.is_closing() {
                return self.input(Input::ContentSent);
            }
        }
    }

    /// Appends the next piece; whether it is the last, with the end of all behind it. The last octet of
    /// a chunk is known to be that before it is written: there is no dot to withhold behind it.
    fn frame_next(&mut self, framer: &mut Framer, wire: &mut Vec<u8>) -> Result<bool, String> {
        let content = self.content.as_mut().ok_or("the content is gone")?;
        let mut piece = content.next().map_err(|error| error.to_string())?;
        if let Some(octets) = &piece {
            framer.add(octets, wire)?;
            if !framer.is_complete() {
                return Ok(false);
            }
            piece = content.next().map_err(|error| error.to_string())?;
        }
        match piece {
            None => framer.finish(wire).map(|()| true).map_err(str::to_owned),
            Some(_) => Err("it has more octets than were counted".to_owned()),
        }
    }

    /// The session has nothing more to say on this connection.
    fn is_closing(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Close))
    }

    /// Writes `octets`, unless the peer says something that ends the session.
    async fn write_listening(&mut self, octets: &[u8]) -> Result<(), String> {
        let mut rest = octets;
        while !rest.is_empty() && !self.is_closing() {
            let Some(stream) = self.stream.as_mut() else { return Ok(()) };
            let step = timeout(DATA_BLOCK_TIMEOUT, write_or_hear(stream, rest, &mut self.buffer)).await;
            match step {
                Ok(Ok(Progress::Written)) => return Ok(()),
                Ok(Ok(Progress::Heard { heard: 0, .. })) => {
                    return Err("the peer closed the connection".to_owned());
                }
                Ok(Ok(Progress::Heard { written, heard })) => {
                    rest = &rest[written..];
                    let buffer = std::mem::take(&mut self.buffer);
                    self.input(Input::Bytes(&buffer[..heard]));
                    self.buffer = buffer;
                }
                Ok(Err(error)) => return Err(tls::describe(&error)),
                Err(_) => return Err("the peer took no data for 3 minutes".to_owned()),
            }
        }
        Ok(())
    }
}

/// Writes and flushes, and listens whenever the peer takes nothing for the moment.
async fn write_or_hear(stream: &mut Stream, octets: &[u8], buffer: &mut [u8]) -> io::Result<Progress> {
    let mut written = 0;
    let heard = std::future::poll_fn(|context| {
        while written < octets.len() {
            match Pin::new(&mut *stream).poll_write(context, &octets[written..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero))),
                Poll::Ready(count) => written += count,
                Poll::Pending => {
                    let mut room = ReadBuf::new(buffer);
                    return match Pin::new(&mut *stream).poll_read(context, &mut room)? {
                        Poll::Ready(()) => Poll::Ready(Ok(Some(room.filled().len()))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
        Poll::Ready(Ok(None))
    })
    .await?;
    match heard {
        Some(heard) => Ok(Progress::Heard { written, heard }),
        None => stream.flush().await.map(|()| Progress::Written),
    }
}
