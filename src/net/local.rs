//! Whether an address belongs to this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Any port; nothing is sent to it.
const PORT: u16 = 9;

/// True for loopback, and where the system would send from `ip` to `ip`, which it does only with
/// its own addresses. Right after an address was added too. Binding to `ip` would not tell: with
/// `net.ipv4.ip_nonlocal_bind`, usual on machines that share an address, that always succeeds.
pub fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || source_towards(ip).is_ok_and(|source| source == ip)
}

/// The address a datagram to `ip` would come from; connecting a UDP socket asks the routing table
/// and sends nothing.
fn source_towards(ip: IpAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(ip, PORT))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_documentation_addresses_are_not() {
        let table = [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("203.0.113.77", false),
            ("2001:db8::1", false),
        ];
        for (ip, expected) in table {
            assert_eq!(is_local(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn the_address_we_speak_from_is_ours() {
        // A machine without a way out has no such address, and nothing to test.
        let Ok(source) = source_towards("203.0.113.77".parse().unwrap()) else { return };
        assert!(is_local(source), "{source}");
    }
}
