//! PROXY headers: no panic, bounded, and what is complete is so from its last octet on, whatever follows.

use sealpost::net::proxy_protocol::{Header, V2_BYTES_MAX, parse};

pub fn run(input: &[u8]) {
    match parse(input) {
        Ok(Header::Incomplete) => assert!(input.len() < V2_BYTES_MAX),
        Ok(whole @ Header::Complete { length, .. }) => {
            assert!((8..=V2_BYTES_MAX).contains(&length));
            assert_eq!(parse(&input[..length]), Ok(whole));
            assert_eq!(parse(&input[..length - 1]), Ok(Header::Incomplete));
        }
        Err(_) => {}
    }
}
