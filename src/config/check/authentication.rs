//! Logging in, at receive connectors and at smart hosts: never in clear, never in vain, and not where all the world may guess.

use crate::policy::{ReceiveConnector, SendConnector, SmartHostName};
use crate::trust::Level;

use super::super::document::Table;
use super::super::problem::Problems;
use super::Subject;

pub fn receive(subject: &Subject<'_>, table: &Table, connector: &ReceiveConnector, problems: &mut Problems) {
    let ways = connector.authentication;
    if ways.is_offered() && !connector.offer_starttls {
        problems.error(
            table.place("auth_mechanism"),
            "lets users log in and offers no TLS, inside which alone they may",
            "add \"tls\" to the list",
        );
    }
    if ways.is_offered() && !subject.document.table("authentication").is_written("users_file") {
        problems.error(
            table.place("auth_mechanism"),
            "lets users log in, and there are none",
            "write users_file = \"users\" below [authentication], and add them with `sealpost user add`",
        );
    }
    if connector.permissions.authenticated_relay && !ways.is_offered() {
        problems.error(
            table.place("permissions"),
            "grants \"authenticated-relay\" where nobody can log in",
            "add \"scram-sha-256\", \"basic\" or \"external\" to auth_mechanism",
        );
    }
    let reachable = connector.bindings.iter().find(|binding| !binding.ip().to_canonical().is_loopback());
    if let (true, false, Some(binding)) =
        (ways.basic || ways.scram_sha_256, table.is_written("remote_ip_ranges"), reachable)
    {
        problems.warning(
            table.place("auth_mechanism"),
            format!("lets everyone who reaches {binding} guess at passwords"),
            "list the networks of the users in remote_ip_ranges",
        );
    }
}

/// A credential is told only to a host that has proved to be the one it is for.
pub fn send(table: &Table, connector: &SendConnector, problems: &mut Problems) {
    let mechanism = table.text("smart_host_auth_mechanism").unwrap_or("none");
    let has_credential = table.is_written("authentication_credential");
    let at = |key| table.place(key);
    if mechanism == "none" {
        if has_credential {
            let what = "is of no use without smart_host_auth_mechanism";
            problems.error(
                at("authentication_credential"),
                what,
                "write smart_host_auth_mechanism = \"scram-sha-256\"",
            );
        }
        return;
    }
    if connector.dns_routing_enabled {
        let what = "logs in at smart hosts, and there are none";
        problems.error(
            at("smart_host_auth_mechanism"),
            what,
            "write dns_routing_enabled = false and smart_hosts",
        );
    }
    if connector.tls_auth_level < Level::DomainValidation {
        let what = "would be told to a host that need not prove its name";
        problems.error(at("smart_host_auth_mechanism"), what, "write tls_auth_level = \"domain-validation\"");
    }
    let literal = connector.smart_hosts.iter().find(|host| matches!(host.host, SmartHostName::Address(_)));
    if let Some(host) = literal {
        let what = format!("logs in at {host}, and an address proves no name");
        problems.error(at("smart_host_auth_mechanism"), what, "write the smart host's name");
    }
    if (mechanism == "external") == has_credential {
        let (what, remedy) = match has_credential {
            true => ("external logs in with our certificate and needs no credential", "remove the line"),
            false => {
                ("needs a user and a password", "write authentication_credential = \"smart-host.secret\"")
            }
        };
        let key = if has_credential { "authentication_credential" } else { "smart_host_auth_mechanism" };
        problems.error(at(key), what, remedy);
    }
}
