//! The formats of strings in the configuration: what each accepts, and the sentence for what it
//! does not. The same functions check a value and later read it, so the two cannot disagree.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

use crate::mail::{Address, Domain, DomainError};
use crate::policy::{AddressSpace, HttpProxy, LogLevels, SmartHost, SmartHostName, SyslogAddress};
use crate::trust::{NamePattern, PinError, SpkiPin};

use super::bundle::PublicKey;
use super::quantity::{self, QuantityError};

/// Longest name of a connector or partner, in octets; it stands in every line of the protocol log.
const NAME_BYTES_MAX: usize = 100;
/// The DNS port of a server that is written without one.
const DNS_PORT: u16 = 53;

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub remedy: String,
}

/// A named string format; the name stands in the reference.
#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    pub check: fn(&str) -> Result<(), Wrong>,
}

pub const DURATION: Format = Format { name: "duration", check: |text| duration(text).map(drop) };
pub const POSITIVE_DURATION: Format =
    Format { name: "duration", check: |text| positive_duration(text).map(drop) };
pub const SIZE: Format = Format { name: "size", check: |text| size(text).map(drop) };
pub const DOMAIN: Format = Format { name: "domain", check: |text| domain(text).map(drop) };
pub const SECURE_DOMAIN: Format = Format { name: "domain", check: |text| secure_domain(text).map(drop) };
pub const ADDRESS: Format = Format { name: "address", check: |text| address(text).map(drop) };
pub const BINDING: Format = Format { name: "IP:port", check: |text| binding(text).map(drop) };
pub const LISTEN: Format = Format { name: "IP:port or \"\"", check: |text| listen(text).map(drop) };
pub const DNS_SERVER: Format = Format { name: "IP:port", check: |text| dns_server(text).map(drop) };
pub const RANGE: Format = Format { name: "IP range", check: |text| range(text).map(drop) };
pub const IP: Format = Format { name: "IP address", check: |text| ip(text).map(drop) };
pub const ADDRESS_SPACE: Format =
    Format { name: "address space", check: |text| address_space(text).map(drop) };
pub const SMART_HOST: Format = Format { name: "host", check: |text| smart_host(text).map(drop) };
pub const HTTP_PROXY: Format = Format { name: "host:port or \"\"", check: |text| http_proxy(text).map(drop) };
pub const CERTIFICATE_NAME: Format =
    Format { name: "name or .suffix", check: |text| certificate_name(text).map(drop) };
pub const PIN: Format = Format { name: "pin", check: |text| pin(text).map(drop) };
pub const PATH: Format = Format { name: "path", check: |text| path(text).map(drop) };
pub const BUNDLE_KEY: Format = Format { name: "ed25519/BASE64", check: |text| bundle_key(text).map(drop) };
pub const NAME: Format = Format { name: "name", check: |text| name(text).map(drop) };
pub const LOG_LEVELS: Format = Format { name: "levels", check: |text| log_levels(text).map(drop) };
pub const SYSLOG_ADDRESS: Format =
    Format { name: "path or udp:IP:port", check: |text| syslog_address(text).map(drop) };
pub const COLLECTOR: Format = Format { name: "IP:port", check: |text| collector(text).map(drop) };
pub const TEXT: Format = Format { name: "text", check: |_| Ok(()) };

fn wrong<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), remedy: remedy.into() })
}

pub fn bundle_key(text: &str) -> Result<PublicKey, Wrong> {
    text.parse().or_else(|_| {
        wrong(
            format!("{text:?} is not a key for bundles"),
            "write ed25519/ and the base64 that `sealpost config bundle-key` prints",
        )
    })
}

pub fn duration(text: &str) -> Result<std::time::Duration, Wrong> {
    quantity::duration(text).or_else(|error| {
        wrong(
            quantity_sentence(text, error, "a duration", "ten years"),
            "write a number with a unit (ms, s, min, hours, days, weeks), such as \"5 min\"",
        )
    })
}

pub fn positive_duration(text: &str) -> Result<std::time::Duration, Wrong> {
    let duration = duration(text)?;
    if duration < std::time::Duration::from_secs(1) {
        return wrong(format!("{text:?} is too short"), "write at least \"1 s\"");
    }
    Ok(duration)
}

/// Bytes; at least 1 KiB, for no size here makes sense below.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let bytes = quantity::size(text).or_else(|error| {
        wrong(
            quantity_sentence(text, error, "a size", "one exbibyte"),
            "write a number with a unit (B, KiB, MiB, GiB, kB, MB, GB), such as \"36 MiB\"",
        )
    })?;
    if bytes < 1024 {
        return wrong(format!("{text:?} is too small"), "write at least \"1 KiB\"");
    }
    Ok(bytes)
}

fn quantity_sentence(text: &str, error: QuantityError, noun: &str, most: &str) -> String {
    match error {
        QuantityError::Malformed => format!("{text:?} is not {noun} with a unit"),
        QuantityError::UnknownUnit => format!("{text:?} has a unit that is not one of {noun}"),
        QuantityError::TooLarge => format!("{text:?} is more than {most}"),
    }
}

pub fn domain(text: &str) -> Result<Domain, Wrong> {
    Domain::parse_rooted(text).or_else(|error| domain_wrong(text, &error))
}

fn domain_wrong<T>(text: &str, error: &DomainError) -> Result<T, Wrong> {
    wrong(format!("{text:?} is not a domain: {error}"), "write a domain such as \"woodgrovebank.example\"")
}

/// A member of a secure list: exact, for a wildcard would secure names nobody has agreed on.
pub fn secure_domain(text: &str) -> Result<Domain, Wrong> {
    if text.contains('*') || text.starts_with('.') {
        return wrong(
            format!("{text:?} is a wildcard, and secure domains are exact"),
            "list each domain by itself; a subdomain is another domain",
        );
    }
    domain(text)
}

pub fn address(text: &str) -> Result<Address, Wrong> {
    Address::parse(text).or_else(|error| {
        wrong(
            format!("{text:?} is not a mail address: {error}"),
            "write an address such as \"postmaster@contoso.example\"",
        )
    })
}

pub fn binding(text: &str) -> Result<SocketAddr, Wrong> {
    socket_address(text, "write it like \"0.0.0.0:25\" or \"[::]:25\"")
}

pub fn collector(text: &str) -> Result<SocketAddr, Wrong> {
    socket_address(text, "write it like \"127.0.0.1:4318\"")
}

fn socket_address(text: &str, remedy: &str) -> Result<SocketAddr, Wrong> {
    text.parse().or_else(|_| wrong(format!("{text:?} is not an IP address with a port"), remedy))
}

pub fn listen(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text.is_empty() { Ok(None) } else { binding(text).map(Some) }
}

/// With port 53 where none is written.
pub fn dns_server(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, DNS_PORT));
    }
    binding(text)
}

/// A network, or one address (which is the network that holds it alone).
pub fn range(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    text.parse().or_else(|_| {
        wrong(
            format!("{text:?} is not an IP address or range"),
            "write it like \"192.0.2.0/24\" or \"2001:db8::/32\"",
        )
    })
}

pub fn ip(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().or_else(|_| {
        wrong(
            format!("{text:?} is not an IP address"),
            "write it like \"192.0.2.1\" or \"2001:db8::1\", without a port",
        )
    })
}

/// `*`, `x.example`, or `*.x.example` (which holds x.example too).
pub fn address_space(text: &str) -> Result<AddressSpace, Wrong> {
    if text == "*" {
        return Ok(AddressSpace::All);
    }
    let parsed = match text.strip_prefix("*.") {
        Some(parent) => Domain::parse_rooted(parent).map(AddressSpace::Subdomains),
        None => Domain::parse_rooted(text).map(AddressSpace::Exact),
    };
    parsed.or_else(|error| {
        wrong(
            format!("{text:?} is not an address space: {error}"),
            "write \"x.example\", \"*.x.example\" or \"*\"",
        )
    })
}

/// `host`, `host:port`, `[192.0.2.1]`, `[192.0.2.1]:25`, `[2001:db8::1]:25`.
pub fn smart_host(text: &str) -> Result<SmartHost, Wrong> {
    parse_smart_host(text).map_or_else(
        || {
            wrong(
                format!("{text:?} is not a smart host"),
                "write \"host\", \"host:port\" or \"[192.0.2.1]:25\"",
            )
        },
        Ok,
    )
}

pub fn parse_smart_host(text: &str) -> Option<SmartHost> {
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => {
            let (inner, behind) = literal.split_once(']')?;
            let inner = inner.strip_prefix("IPv6:").unwrap_or(inner);
            let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
            (SmartHostName::Address(inner.parse().ok()?), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(n, p)| (n, Some(p)));
            let host = match name.parse::<IpAddr>() {
                Ok(ip) => SmartHostName::Address(ip),
                Err(_) => SmartHostName::Name(Domain::parse_rooted(name).ok()?),
            };
            (host, port)
        }
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
        None => None,
    };
    Some(SmartHost { host, port })
}

/// `host:port` or `[2001:db8::1]:3128`, with or without `http://` before it; empty is none.
pub fn http_proxy(text: &str) -> Result<Option<HttpProxy>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text.strip_prefix("http://").unwrap_or(text);
    match parse_smart_host(rest.strip_suffix('/').unwrap_or(rest)) {
        Some(SmartHost { host, port: Some(port) }) => Ok(Some(HttpProxy { host, port })),
        Some(SmartHost { port: None, .. }) | None => wrong(
            format!("{text:?} is not an http proxy with its port"),
            "write \"proxy.contoso.example:3128\"; a proxy that asks for a password cannot be used",
        ),
    }
}

/// `mail.x.example`, or `.x.example` for any host below x.example; never at or above a public
/// suffix, for that would let strangers prove the partner.
pub fn certificate_name(text: &str) -> Result<NamePattern, Wrong> {
    if text.contains('*') {
        return wrong(
            format!("{text:?} is a wildcard"),
            "write \".x.example\" for every host below x.example, or one host's full name",
        );
    }
    let pattern = match text.strip_prefix('.') {
        Some(parent) => NamePattern::Below(domain(parent)?),
        None => NamePattern::Exact(domain(text)?),
    };
    let (NamePattern::Below(name) | NamePattern::Exact(name)) = &pattern;
    if is_public_suffix(name) {
        return wrong(
            format!("{text:?} lies at or above a public suffix, where anyone can register a name"),
            "write the partner's own host name, or \".\" and the partner's own domain",
        );
    }
    Ok(pattern)
}

/// Whether `name` is a public suffix, or every name directly below it is one.
fn is_public_suffix(name: &Domain) -> bool {
    let suffix_of = |text: &str| psl::suffix_str(text).map(str::to_owned);
    let ascii = name.as_str();
    let (unicode, _) = idna::domain_to_unicode(ascii);
    [ascii, unicode.as_str()].into_iter().any(|name| {
        let below = format!("x.{name}");
        suffix_of(name).as_deref() == Some(name) || suffix_of(&below).as_deref() == Some(below.as_str())
    })
}

/// `sha256/` and the base64 of the SHA-256 of a SubjectPublicKeyInfo.
pub fn pin(text: &str) -> Result<SpkiPin, Wrong> {
    text.parse().or_else(|error: PinError| {
        wrong(
            format!("{text:?} is not a pin: {error}"),
            "write \"sha256/\" and the base64 that `sealpost certificate verify` shows",
        )
    })
}

pub fn path(text: &str) -> Result<&Path, Wrong> {
    if text.is_empty() || text.contains('\0') {
        return wrong("the path is empty or holds a NUL", "write the path of a file or directory");
    }
    Ok(Path::new(text))
}

pub fn log_levels(text: &str) -> Result<LogLevels, Wrong> {
    text.parse().or_else(|error| {
        wrong(
            format!("{text:?} holds no levels: {error}"),
            "write \"info\", or \"warn,sealpost=debug\" with targets",
        )
    })
}

pub fn syslog_address(text: &str) -> Result<SyslogAddress, Wrong> {
    text.parse().or_else(|error: String| wrong(error, "write \"/dev/log\" or \"udp:192.0.2.1:514\""))
}

pub fn name(text: &str) -> Result<&str, Wrong> {
    if text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return wrong(
            format!("{text:?} is not a name"),
            format!("write 1 to {NAME_BYTES_MAX} octets of printable text"),
        );
    }
    Ok(text)
}
