//! `sealpost partner` as a postmaster calls it: a walk to servers that do one thing wrong each, an
//! entry that would admit them, a certificate that came by mail, and what was seen of a partner.

#[path = "../common/mod.rs"]
mod common;

mod inbound;
mod lists;
mod peer;
mod probe;
mod seen;
mod suggest;

use std::path::PathBuf;

use common::{PARTNER, PARTNER_HOST, Site, command};
use peer::{Manner, Peer};
use sealpost::cli::demo::pki::{Authority, Identity, Validity};

/// A site whose partner has an authority that can issue more certificates.
struct World {
    site: Site,
    theirs: Authority,
}

impl World {
    async fn new() -> Self {
        let site = Site::new().await;
        let theirs = Authority::new("Woodgrove").unwrap();
        let mut world = Self { site, theirs };
        std::fs::write(world.site.path("woodgrove-root.pem"), world.theirs.root_pem()).unwrap();
        world.write_list();
        world
    }

    fn write_list(&mut self) {
        let list = self.theirs.revocation_list_pem().unwrap();
        std::fs::write(self.site.path("woodgrove.crl"), list).unwrap();
    }

    fn identity(&mut self, names: &[&str]) -> Identity {
        self.theirs.issue(names, Validity::Current).unwrap()
    }

    /// The partner's server, behaving like this.
    async fn peer(&self, manner: Manner) -> Peer {
        Peer::start(self.site.network.at(PARTNER_HOST), manner).await
    }

    /// Asked for by servers of the partner that know us.
    fn our_root(&self) -> peer::Ask {
        peer::Ask::Those(self.site.path("contoso-root.pem"))
    }

    fn config(&self) -> PathBuf {
        self.site.write_settings(&self.site.settings(""))
    }

    /// With one line of the partner's entry added.
    fn config_with(&self, line: &str) -> PathBuf {
        let anchors = "trust_anchors = [\"woodgrove-root.pem\"]";
        let text = self.site.settings("");
        assert!(text.contains(anchors));
        self.site.write_settings(&text.replace(anchors, &format!("{anchors}\n{line}")))
    }
}

/// Status and standard output of `partner probe` of the partner, which must fit any terminal.
fn probe(config: &std::path::Path, more: &[&str]) -> (i32, String) {
    let mut arguments = vec!["partner", "probe", PARTNER];
    arguments.extend(more);
    let (status, told, errors) = command(config, &arguments);
    assert_eq!(errors, "", "{told}");
    fits_a_terminal(&told);
    (status, told)
}

fn fits_a_terminal(told: &str) {
    let wide: Vec<&str> = told.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "wider than 80 columns: {wide:#?}");
    assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
}

/// Words of a page, however they were wrapped.
fn flat(told: &str) -> String {
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}
