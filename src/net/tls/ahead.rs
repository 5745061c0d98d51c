//! The connection beneath TLS, read ahead. The TLS library asks for 4 KiB at a time, which is four
//! calls into the kernel for each record of 16 KiB and two for a message of 4 KiB; here one call
//! takes what has come, and the library is served from that.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Taken from the kernel at a time: two full records.
const AHEAD_BYTES: usize = 33 << 10;

/// `IO`, read ahead. What was read and not yet asked for takes memory, and nothing else does: an idle
/// connection has none.
#[derive(Debug)]
pub struct ReadAhead<IO> {
    io: IO,
    ahead: Vec<u8>,
    /// Octets of `ahead` that were asked for.
    taken: usize,
}

impl<IO> ReadAhead<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, ahead: Vec::new(), taken: 0 }
    }

    /// Serves from what was read before; the memory goes with the last octet.
    fn serve(&mut self, buffer: &mut ReadBuf<'_>) {
        let waiting = &self.ahead[self.taken..];
        let count = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..count]);
        self.taken += count;
        if self.taken == self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.serve(buffer);
            return Poll::Ready(Ok(()));
        }
        let mut room = [const { MaybeUninit::uninit() }; AHEAD_BYTES];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut room))?;
        let (now, later) = room.filled().split_at(room.filled().len().min(buffer.remaining()));
        buffer.put_slice(now);
        if !later.is_empty() {
            self.ahead = later.to_vec();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Gives what it has, a piece for each read, and counts them.
    struct Pieces {
        left: Vec<Vec<u8>>,
        reads: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            if self.left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let piece = self.left.remove(0);
            let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                self.left.insert(0, later.to_vec());
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn every_octet_comes_once_and_in_order_and_few_reads_are_needed() {
        let sent: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        let left = sent.chunks(40_000).map(<[u8]>::to_vec).collect();
        let mut stream = ReadAhead::new(Pieces { left, reads: 0 });
        let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut chunk).await.unwrap();
            if count == 0 {
                break;
            }
            read.extend_from_slice(&chunk[..count]);
        }
        assert!(read == sent);
        // 40,000, 40,000 and 20,000 octets in two, two and one, and the end.
        assert_eq!(stream.io.reads, 6);
    }

    #[tokio::test]
    async fn what_is_idle_holds_no_memory() {
        let mut stream = ReadAhead::new(Pieces { left: vec![vec![1; 5_000]], reads: 0 });
        let mut chunk = [0; 4096];
        assert_eq!(stream.read(&mut chunk).await.unwrap(), 4_096);
        assert_eq!(stream.ahead.len(), 904);
        assert_eq!(stream.read(&mut chunk).await.unwrap(), 904);
        assert_eq!(stream.ahead.capacity(), 0);
    }
}
