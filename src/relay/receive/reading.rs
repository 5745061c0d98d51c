//! Hearing the peer: how much is read at a time, and until when.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::session::receive::Input;

use super::Driver;

/// Read at a time.
const READ_BYTES: usize = 64 << 10;

pub(super) enum Heard {
    /// The session has them.
    Bytes,
    /// Nothing more will come.
    End,
}

impl Driver {
    /// Hands the session what the peer says next. It is read onto the stack: however many sessions
    /// wait, none of them waits with a buffer.
    pub(super) async fn hear(&mut self) -> Heard {
        std::future::poll_fn(|context| {
            let Some(stream) = self.stream.as_mut() else { return Poll::Ready(Heard::End) };
            let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut room = ReadBuf::uninit(&mut room);
            let read = ready!(Pin::new(stream).poll_read(context, &mut room));
            if read.is_err() || room.filled().is_empty() {
                return Poll::Ready(Heard::End);
            }
            self.read_octets += room.filled().len() as u64;
            self.input(Input::Bytes(room.filled()));
            Poll::Ready(Heard::Bytes)
        })
        .await
    }
}

pub(super) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
