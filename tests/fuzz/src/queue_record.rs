//! Jobs of the queue's journal: no panic and no memory beyond the input, and what is read as a job is
//! written and read again as the same.

pub fn run(input: &[u8]) {
    let Some(again) = sealpost_queue::reencode_job(input) else { return };
    assert!(again.len() <= 2 * input.len() + 64, "{} octets of {}", again.len(), input.len());
    assert_eq!(sealpost_queue::reencode_job(&again), Some(again.clone()));
}
