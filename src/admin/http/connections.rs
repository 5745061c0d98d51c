//! Connections to the admin listener: few, each for a bounded time, and none for long that asks nothing.
//! Where all places are taken the connection that has been idle for longest makes room.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{self, Body};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::BODY_BYTES_MAX;

/// What one listener allows.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at one time; the next one waits until one has made room.
    connections: usize,
    /// After this long a connection is closed, whatever it does: a scrape takes milliseconds.
    connection_time: Duration,
    /// From the connection to the end of the first request's header.
    first_request_time: Duration,
    /// From an answer to the end of the next request's header; the answer must have been read by then.
    idle_time: Duration,
    /// A deadline that has come nearer meanwhile is seen after this long at the latest.
    look_every: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    connection_time: Duration::from_secs(300),
    first_request_time: Duration::from_secs(10),
    idle_time: Duration::from_secs(30),
    look_every: Duration::from_secs(1),
};

/// From the header of a request to the end of its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Remote {
    pub address: SocketAddr,
    seat: Arc<Seat>,
}

/// One connection, as its stream and its requests see it.
#[derive(Debug)]
struct Seat {
    limits: Limits,
    state: Mutex<State>,
    give_way: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered.
    requests: usize,
    /// Nothing has been asked since.
    idle_since: Instant,
    answered_before: bool,
}

/// A request is being answered until this is dropped.
struct Busy(Arc<Seat>);

/// A listener that takes a bounded number of connections, each for a bounded time.
pub(super) struct Limited {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    seats: Vec<Arc<Seat>>,
}

pub(super) struct LimitedStream {
    stream: TcpStream,
    seat: Arc<Seat>,
    end: Instant,
    look: Pin<Box<Sleep>>,
    give_way: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connected<IncomingStream<'_, Limited>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self { address: *stream.remote_addr(), seat: Arc::clone(&stream.io().seat) }
    }
}

/// Marks the connection as busy while a request is answered, and reads its body, which must not be long in
/// coming.
pub(super) async fn attend(request: Request, next: Next) -> Response {
    let seat = request.extensions().get::<ConnectInfo<Remote>>().map(|info| Arc::clone(&info.0.seat));
    let _busy = seat.map(Busy::with);
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIME_MAX, body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    next.run(Request::from_parts(head, Body::from(body))).await
}

impl Seat {
    fn new(limits: Limits) -> Arc<Self> {
        let state = State { requests: 0, idle_since: Instant::now(), answered_before: false };
        Arc::new(Self { limits, state: Mutex::new(state), give_way: CancellationToken::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when nothing is asked; `None` while a request is answered.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.idle_since)
    }

    /// When it is to be closed unless something is asked.
    fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        let time = match state.answered_before {
            true => self.limits.idle_time,
            false => self.limits.first_request_time,
        };
        (state.requests == 0).then(|| state.idle_since + time)
    }
}

impl Busy {
    fn with(seat: Arc<Seat>) -> Self {
        seat.state().requests += 1;
        Self(seat)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
        state.answered_before = true;
    }
}

impl Limited {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with(listener, LIMITS)
    }

    fn with(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, places: Arc::new(Semaphore::new(limits.connections)), seats: Vec::new() }
    }

    /// A place, for which the connection that has been idle for longest may have to go.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            if self.places.available_permits() == 0 {
                self.make_room();
            }
            let free = Arc::clone(&self.places).acquire_owned();
            // Where all are busy one may be idle in a moment.
            if let Ok(place) = tokio::time::timeout(self.limits.look_every, free).await {
                return place.ok();
            }
        }
    }

    /// Has the connection go that has asked nothing for longest, if there is one that asks nothing. One
    /// that was answered a moment ago may be reading the answer still.
    fn make_room(&mut self) {
        self.forget_closed();
        if self.seats.iter().any(|seat| seat.give_way.is_cancelled()) {
            return;
        }
        let idle = self.seats.iter().filter_map(|seat| Some((seat.idle_since()?, seat)));
        let longest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, seat)) = longest.filter(|(since, _)| since.elapsed() >= self.limits.look_every) {
            seat.give_way.cancel();
        }
    }

    /// A seat that nobody else holds is of a connection that is closed.
    fn forget_closed(&mut self) {
        self.seats.retain(|seat| Arc::strong_count(seat) > 1);
    }
}

impl Listener for Limited {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, remote) = Listener::accept(&mut self.listener).await;
        let place = self.place().await;
        let seat = Seat::new(self.limits);
        self.forget_closed();
        self.seats.push(Arc::clone(&seat));
        let stream = LimitedStream {
            stream,
            end: Instant::now() + self.limits.connection_time,
            look: Box::pin(sleep_until(Instant::now() + self.limits.look_every)),
            give_way: Box::pin(seat.give_way.clone().cancelled_owned()),
            seat,
            _place: place,
        };
        (stream, remote)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl LimitedStream {
    /// Whether its time is over. Wakes the connection again when that may be so.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = || Err(io::Error::from(io::ErrorKind::TimedOut));
        if self.give_way.as_mut().poll(context).is_ready() {
            return over();
        }
        while self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let deadline = self.seat.deadline().map_or(self.end, |deadline| deadline.min(self.end));
            if now >= deadline {
                return over();
            }
            let next = deadline.min(now + self.seat.limits.look_every);
            self.look.as_mut().reset(next);
        }
        Ok(())
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
