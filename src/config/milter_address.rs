//! Where a milter listens, as Sendmail and Postfix write it.

use crate::policy::SmartHost;
use crate::policy::milter::MilterAddress;

use super::format::{Format, Wrong, parse_smart_host, path};

pub const FORMAT: Format = Format { name: "milter address", check: |text| milter_address(text).map(drop) };

/// `inet:host:port`, `inet:[::1]:port`, Sendmail's `inet:port@host`, `unix:/path` or `local:/path`.
pub fn milter_address(text: &str) -> Result<MilterAddress, Wrong> {
    let wrong = || Wrong {
        what: format!("{text:?} is not the address of a milter"),
        remedy: "write \"inet:127.0.0.1:11332\" or \"unix:/run/rspamd/milter.sock\"".to_owned(),
    };
    let (family, rest) = text.split_once(':').ok_or_else(wrong)?;
    match family {
        "unix" | "local" => Ok(MilterAddress::Unix(path(rest)?.to_owned())),
        "inet" | "inet6" => inet(rest).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn inet(text: &str) -> Option<MilterAddress> {
    let turned = text.split_once('@').map(|(port, host)| match host.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    });
    let SmartHost { host, port } = parse_smart_host(turned.as_deref().unwrap_or(text))?;
    Some(MilterAddress::Inet { host, port: port? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_their_programs_write_them() {
        for (text, read) in [
            ("inet:127.0.0.1:11332", "inet:127.0.0.1:11332"),
            ("inet:[::1]:11332", "inet:[::1]:11332"),
            ("inet6:[::1]:11332", "inet:[::1]:11332"),
            ("inet:8891@localhost.example", "inet:localhost.example:8891"),
            ("inet:8891@::1", "inet:[::1]:8891"),
            ("unix:/run/clamav/milter.sock", "unix:/run/clamav/milter.sock"),
            ("local:run/milter.sock", "unix:run/milter.sock"),
        ] {
            assert_eq!(milter_address(text).unwrap().to_string(), read);
        }
        for bad in ["", "127.0.0.1:11332", "inet:127.0.0.1", "inet:x:0", "inet:x:99999", "unix:", "tcp:x:1"] {
            assert!(milter_address(bad).is_err(), "{bad}");
        }
    }
}
