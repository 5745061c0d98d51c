use tokio::io::AsyncReadExt as _;

use super::*;

const SHORT: Limits = Limits {
    connections: 2,
    connection_time: Duration::from_secs(60),
    first_request_time: Duration::from_millis(100),
    idle_time: Duration::from_millis(400),
    look_every: Duration::from_millis(10),
};

async fn listener(limits: Limits) -> (Limited, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Limited::with(listener, limits), address)
}

/// Reads until the stream is closed from our side, and says how long that took.
async fn held(stream: &mut LimitedStream) -> Duration {
    let begun = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    begun.elapsed()
}

#[tokio::test]
async fn who_asks_nothing_is_not_kept_for_long() {
    let (mut listener, address) = listener(SHORT).await;
    let _client = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = listener.accept().await;
    let first = held(&mut stream).await;
    assert!(first >= SHORT.first_request_time && first < SHORT.idle_time, "{first:?}");

    let _client = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = listener.accept().await;
    drop(Busy::with(Arc::clone(&stream.seat)));
    let idle = held(&mut stream).await;
    assert!(idle >= SHORT.idle_time, "{idle:?}");
}

#[tokio::test]
async fn who_waits_for_an_answer_is_kept() {
    let (mut listener, address) = listener(SHORT).await;
    let _client = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = listener.accept().await;
    let busy = Busy::with(Arc::clone(&stream.seat));
    let waited = tokio::time::timeout(SHORT.idle_time * 2, stream.read_u8()).await;
    assert!(waited.is_err(), "a long answer takes its time");
    drop(busy);
    held(&mut stream).await;
}

#[tokio::test]
async fn the_one_that_was_idle_for_longest_makes_room() {
    let long = Duration::from_secs(60);
    let (mut listener, address) =
        listener(Limits { first_request_time: long, idle_time: long, ..SHORT }).await;
    let clients = [(); 3].map(|()| TcpStream::connect(address));
    let [first, second, third] = clients;
    let (_first, _second) = (first.await.unwrap(), second.await.unwrap());
    let (mut oldest, _) = listener.accept().await;
    let (second, _) = listener.accept().await;
    let gone = tokio::spawn(async move { held(&mut oldest).await });
    let _third = third.await.unwrap();
    let accepted = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await;
    assert!(accepted.is_ok(), "a place is free again");
    gone.await.unwrap();
    assert!(!second.seat.give_way.is_cancelled());
}

#[tokio::test]
async fn who_was_answered_a_moment_ago_keeps_its_place_and_one_at_a_time_goes() {
    let long = Duration::from_secs(60);
    let (mut listener, address) = listener(Limits { look_every: long, ..SHORT }).await;
    let (_first, _second) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    let ((first, _), (second, _)) = (listener.accept().await, listener.accept().await);
    drop(Busy::with(Arc::clone(&first.seat)));
    listener.make_room();
    assert!(!first.seat.give_way.is_cancelled() && !second.seat.give_way.is_cancelled());

    listener.limits.look_every = Duration::ZERO;
    listener.make_room();
    listener.make_room();
    assert!(second.seat.give_way.is_cancelled(), "it has been idle for longest");
    assert!(!first.seat.give_way.is_cancelled(), "one place is wanted");
}
