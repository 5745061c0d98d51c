//! The PROXY protocol (HAProxy's specification, versions 1 and 2): a balancer that ends connections
//! in front of us says in a header before the first byte who really connected. Reading it is pure; how
//! the header is taken off a stream stands in `balancer`.

use std::net::{IpAddr, SocketAddr};

/// Longest header of version 1, CRLF included, as the specification has it.
const V1_BYTES_MAX: usize = 107;
/// Longest header of version 2 that we take: addresses, and room for what a balancer adds of its own
/// (names, certificates in words, padding).
pub const V2_BYTES_MAX: usize = 4096;
const V1_BEGINS: &[u8] = b"PROXY ";
const V2_BEGINS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The balancer's own, such as a look whether we are alive (`LOCAL`), or one of whose beginning it
    /// says nothing (`UNKNOWN`, `AF_UNSPEC`): the addresses of the connection itself hold.
    Balancer,
    Client {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

/// A header, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Incomplete,
    /// The header was the first `length` octets.
    Complete {
        origin: Origin,
        length: usize,
    },
}

/// Why what came is no header that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("the connection does not begin with a PROXY header")]
    NoHeader,
    #[error("the PROXY header of version 1 has no end within 107 octets")]
    Endless,
    #[error("the PROXY header of version 1 is malformed")]
    Malformed,
    #[error("the PROXY header has a version other than 1 and 2")]
    Version,
    #[error("the PROXY header has a command other than LOCAL and PROXY")]
    Command,
    #[error("the PROXY header is of a connection that is neither TCP over IPv4 nor over IPv6")]
    Family,
    #[error("the PROXY header is too short for the addresses it announces")]
    TooShort,
    #[error("the PROXY header is longer than 4096 octets")]
    TooLong,
}

/// Reads the header at the beginning of `bytes`; what stands behind it is the client's.
///
/// # Errors
/// As soon as it is certain that no good header comes.
pub fn parse(bytes: &[u8]) -> Result<Header, ProxyError> {
    if begins_alike(bytes, V2_BEGINS) {
        return if bytes.len() < V2_FIXED { Ok(Header::Incomplete) } else { version_2(bytes) };
    }
    if begins_alike(bytes, V1_BEGINS) {
        return version_1(bytes);
    }
    Err(ProxyError::NoHeader)
}

/// Whether `bytes` begin with `start`, as far as they have come.
fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(came, wanted)| came == wanted)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 40000 25` and CRLF.
fn version_1(bytes: &[u8]) -> Result<Header, ProxyError> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if within.len() < V1_BYTES_MAX { Ok(Header::Incomplete) } else { Err(ProxyError::Endless) };
    };
    let line = std::str::from_utf8(&within[..end]).map_err(|_| ProxyError::Malformed)?;
    let words: Vec<&str> = line.split(' ').collect();
    let origin = match words[..] {
        ["PROXY", "UNKNOWN", ..] => Origin::Balancer,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let address = |ip: &str, port| Some(SocketAddr::new(address_of(family, ip)?, port_of(port)?));
            let both = address(source, source_port).zip(address(destination, destination_port));
            let (source, destination) = both.ok_or(ProxyError::Malformed)?;
            client(source, destination)
        }
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Header::Complete { origin, length: end + 2 })
}

fn address_of(family: &str, text: &str) -> Option<IpAddr> {
    match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        _ => text.parse().ok().map(IpAddr::V6),
    }
}

/// Decimal, without sign and leading zeros.
fn port_of(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| canonical)
}

/// `bytes` hold the fixed part.
fn version_2(bytes: &[u8]) -> Result<Header, ProxyError> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 0xF);
    if version != 2 {
        return Err(ProxyError::Version);
    }
    if command > 1 {
        return Err(ProxyError::Command);
    }
    let length = V2_FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(payload) = bytes.get(V2_FIXED..length) else { return Ok(Header::Incomplete) };
    // What follows the addresses (checksum, names, certificates) is the balancer's own affair.
    let origin = match (command, bytes[13]) {
        // The family of a LOCAL is to be ignored.
        (0, _) | (_, 0x00) => Origin::Balancer,
        (_, 0x11) => addresses::<4>(payload)?,
        (_, 0x21) => addresses::<16>(payload)?,
        (_, _) => return Err(ProxyError::Family),
    };
    Ok(Header::Complete { origin, length })
}

/// Both addresses of `N` octets, then both ports.
fn addresses<const N: usize>(payload: &[u8]) -> Result<Origin, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    let ip = |at: usize| payload.get(at..at + N)?.try_into().ok().map(|octets: [u8; N]| octets.into());
    let port = |at: usize| payload.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    let address = |ip_at, port_at| Some(SocketAddr::new(ip(ip_at)?, port(port_at)?));
    let both = address(0, 2 * N).zip(address(N, 2 * N + 2));
    both.map(|(source, destination)| client(source, destination)).ok_or(ProxyError::TooShort)
}

/// An IPv4 address is one however it is written.
fn client(source: SocketAddr, destination: SocketAddr) -> Origin {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Origin::Client { source: canonical(source), destination: canonical(destination) }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
