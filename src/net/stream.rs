//! A connection that may turn from plain to TLS in the middle (RFC 3207).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::{ClientStream, ReadAhead};

/// One SMTP connection. `IO` is a TCP connection, or in tests a pipe in memory.
///
/// Written octets may wait in the TLS buffer until `flush`.
pub enum Stream<IO = TcpStream> {
    Plain(IO),
    /// We accepted the connection.
    Server(Box<tokio_rustls::server::TlsStream<ReadAhead<IO>>>),
    /// We opened the connection.
    Client(Box<ClientStream<IO>>),
}

impl<IO> Stream<IO> {
    /// The connection beneath, to be handed to a handshake; `None` when TLS is already on it.
    pub fn into_plain(self) -> Option<IO> {
        match self {
            Stream::Plain(io) => Some(io),
            Stream::Server(_) | Stream::Client(_) => None,
        }
    }

    pub fn is_tls(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Server(_) | Stream::Client(_) => true,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream<IO> {
    /// Has the next connection to the same server make a full handshake, with what it shows then.
    pub fn refuse_resumption(&self) {
        match self {
            Stream::Plain(_) | Stream::Server(_) => {}
            Stream::Client(tls) => tls.refuse_resumption(),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<IO> {
    /// A peer that closes without `close_notify` is common after QUIT, and reads as end of stream:
    /// SMTP marks the end of everything that counts itself, so nothing cut off passes for whole.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match self.get_mut() {
            Stream::Plain(io) => return Pin::new(io).poll_read(context, buffer),
            Stream::Server(tls) => ready!(Pin::new(tls).poll_read(context, buffer)),
            Stream::Client(tls) => ready!(tls.poll_read(context, buffer)),
        };
        Poll::Ready(match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read,
        })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write(context, octets),
            Stream::Server(tls) => Pin::new(tls).poll_write(context, octets),
            Stream::Client(tls) => tls.pinned().poll_write(context, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(context, slices),
            Stream::Server(tls) => Pin::new(tls).poll_write_vectored(context, slices),
            Stream::Client(tls) => tls.pinned().poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(io) => io.is_write_vectored(),
            // Both TLS streams gather slices into records themselves.
            Stream::Server(_) | Stream::Client(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_flush(context),
            Stream::Server(tls) => Pin::new(tls).poll_flush(context),
            Stream::Client(tls) => tls.pinned().poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(context),
            Stream::Server(tls) => Pin::new(tls).poll_shutdown(context),
            Stream::Client(tls) => tls.pinned().poll_shutdown(context),
        }
    }
}
