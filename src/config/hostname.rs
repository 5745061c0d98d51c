//! The system's fully qualified name, for a configuration that does not write `hostname`.

use std::path::Path;

use crate::mail::Domain;

/// The node name if it is a full name, else the full name that /etc/hosts gives for it. Without
/// asking DNS: a server must come up when the resolver does not.
///
/// # Errors
/// One sentence, when neither is a domain of at least two labels.
pub fn system_fqdn() -> Result<String, String> {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let hosts = std::fs::read_to_string(Path::new("/etc/hosts")).unwrap_or_default();
    fqdn(&node, &hosts).ok_or_else(|| format!("it calls itself {node:?}"))
}

fn fqdn(node: &str, hosts: &str) -> Option<String> {
    let full = |name: &str| {
        let domain = Domain::parse_rooted(name).ok()?;
        domain.as_str().contains('.').then(|| domain.to_string())
    };
    full(node).or_else(|| {
        let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
        let mut entries = lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
        let entry = entries.find(|names| names.iter().any(|name| name.eq_ignore_ascii_case(node)))?;
        entry.into_iter().find_map(full)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_node_name_is_completed_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 Edge.contoso.example edge # us\n";
        assert_eq!(fqdn("mail1.contoso.example", hosts).as_deref(), Some("mail1.contoso.example"));
        assert_eq!(fqdn("edge", hosts).as_deref(), Some("edge.contoso.example"));
        assert_eq!(fqdn("localhost", hosts), None);
        assert_eq!(fqdn("vm", hosts), None);
        assert_eq!(fqdn("", hosts), None);
    }
}
