//! The end of a session that we close: unread input makes the kernel reset the connection, and the
//! peer may never see our last reply.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::net::stream::Stream;

/// After our last reply the peer gets this long, and this much, to stop sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 << 10;

/// Reads away what the peer still sends, until it is silent or has had its time.
pub async fn until_silent(stream: &mut Stream) {
    let _ = timeout(LINGER, discard(stream)).await;
}

async fn discard(stream: &mut Stream) -> std::io::Result<()> {
    let mut scratch = [0; 1024];
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        match stream.read(&mut scratch).await? {
            0 => return Ok(()),
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}
