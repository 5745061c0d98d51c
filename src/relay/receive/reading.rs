//! How much is read at a time, and until when.

/// Read buffer of a quiet session, and of one that sends content faster than that.
pub(super) const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

pub(super) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A full read asks for a larger buffer next time, a small one gives the memory back.
pub(super) fn resize(buffer: &mut Vec<u8>, count: usize) {
    if count == buffer.len() && buffer.len() < READ_BYTES_MAX {
        buffer.resize(READ_BYTES_MAX, 0);
    } else if count < READ_BYTES_MIN && buffer.len() > READ_BYTES_MIN {
        *buffer = vec![0; READ_BYTES_MIN];
    }
}
