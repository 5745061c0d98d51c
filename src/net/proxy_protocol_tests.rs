use super::*;
use proptest::prelude::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn whole(bytes: &[u8], origin: Origin) -> Result<Header, ProxyError> {
    Ok(Header::Complete { origin, length: bytes.len() })
}

/// Version 2 with this command, family and payload.
fn v2(version_and_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = V2_BEGINS.to_vec();
    bytes.extend([version_and_command, family]);
    bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn v2_of(source: SocketAddr, destination: SocketAddr, behind: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => payload.extend(ip.octets()),
            IpAddr::V6(ip) => payload.extend(ip.octets()),
        }
    }
    payload.extend(source.port().to_be_bytes());
    payload.extend(destination.port().to_be_bytes());
    payload.extend_from_slice(behind);
    v2(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &payload)
}

#[test]
fn version_1_names_both_ends() {
    for (line, source, destination) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", "192.0.2.7:40000", "198.51.100.1:25"),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n", "[2001:db8::7]:65535", "[2001:db8::1]:0"),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 2\r\n", "192.0.2.7:1", "198.51.100.1:2"),
    ] {
        let origin = Origin::Client { source: address(source), destination: address(destination) };
        assert_eq!(parse(line.as_bytes()), whole(line.as_bytes(), origin), "{line}");
    }
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 x 1 2\r\n"] {
        assert_eq!(parse(unknown.as_bytes()), whole(unknown.as_bytes(), Origin::Balancer));
    }
}

#[test]
fn what_is_no_header_of_version_1_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 040 25\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +40 25\r\n",
        "PROXY TCP4 192.0.2.007 198.51.100.1 40000 25\r\n",
        "PROXY TCP4 2001:db8::7 198.51.100.1 40000 25\r\n",
        "PROXY TCP6 192.0.2.7 2001:db8::1 40000 25\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 40000 25\r\n",
        "PROXY \r\n",
        "PROXY unknown\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(ProxyError::Malformed), "{line}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(parse(endless.as_bytes()), Err(ProxyError::Endless));
    assert_eq!(parse(&endless.as_bytes()[..106]), Ok(Header::Incomplete));
    for smtp in ["EHLO mx.example\r\n", "proxy TCP4", "\r\n\r\n\r\n", "P\0"] {
        assert_eq!(parse(smtp.as_bytes()), Err(ProxyError::NoHeader), "{smtp:?}");
    }
}

#[test]
fn version_2_says_who_connected_or_that_it_was_the_balancer() {
    let (source, destination) = (address("192.0.2.7:40000"), address("198.51.100.1:25"));
    let padded = v2_of(source, destination, b"\x04\x00\x03abc");
    assert_eq!(parse(&padded), whole(&padded, Origin::Client { source, destination }));
    let (source, destination) = (address("[2001:db8::7]:1"), address("[2001:db8::1]:25"));
    let plain = v2_of(source, destination, b"");
    assert_eq!(parse(&plain), whole(&plain, Origin::Client { source, destination }));
    for own in [v2(0x20, 0, b""), v2(0x20, 0x11, b"\x00"), v2(0x21, 0, b"whatever")] {
        assert_eq!(parse(&own), whole(&own, Origin::Balancer));
    }
}

#[test]
fn what_is_no_header_of_version_2_is_refused() {
    assert_eq!(parse(&v2(0x11, 0x11, &[0; 12])), Err(ProxyError::Version));
    assert_eq!(parse(&v2(0x22, 0x11, &[0; 12])), Err(ProxyError::Command));
    assert_eq!(parse(&v2(0x21, 0x11, &[0; 11])), Err(ProxyError::TooShort));
    assert_eq!(parse(&v2(0x21, 0x21, &[0; 35])), Err(ProxyError::TooShort));
    for (family, what) in
        [(0x12, "UDP"), (0x22, "UDP over IPv6"), (0x31, "a Unix socket"), (0x41, "no family")]
    {
        assert_eq!(parse(&v2(0x21, family, &[0; 216])), Err(ProxyError::Family), "{what}");
    }
    // The length alone is enough to know.
    assert_eq!(parse(&v2(0x21, 0x11, &[0; V2_BYTES_MAX])[..V2_FIXED]), Err(ProxyError::TooLong));
}

fn any_address() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4], u16, u16)>().prop_map(|(a, b, p, q)| ((a, p).into(), (b, q).into())),
        any::<([u8; 16], [u8; 16], u16, u16)>().prop_map(|(a, b, p, q)| ((a, p).into(), (b, q).into())),
    ]
}

proptest! {
    /// In both versions every good header says what it was made of, and nothing before its last octet; what
    /// follows is left alone.
    #[test]
    fn headers_are_read_whole_and_no_further(
        (source, destination) in any_address(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        let v1 = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
        let origin = client(source, destination);
        for header in [v1.into_bytes(), v2_of(source, destination, &tail)] {
            for end in 0..header.len() {
                prop_assert_eq!(parse(&header[..end]), Ok(Header::Incomplete));
            }
            let behind = [header.as_slice(), &tail].concat();
            prop_assert_eq!(parse(&behind), whole(&header, origin));
        }
    }

    /// Whatever comes is refused, taken, or found incomplete while it is still short.
    #[test]
    fn nothing_is_waited_for_without_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for start in [&b""[..], V1_BEGINS, V2_BEGINS] {
            let bytes = [start, &bytes].concat();
            match parse(&bytes) {
                Ok(Header::Incomplete) => prop_assert!(bytes.len() < V2_BYTES_MAX),
                Ok(Header::Complete { length, .. }) => prop_assert!(length <= bytes.len()),
                Err(_) => {}
            }
        }
    }
}
