//! The world of the demo: two organisations with an authority each, a stranger, a DNS server, and
//! a partner whose MX record has been bent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use rcgen::RevocationReason;

use super::dns::{DnsServer, Zone};
use super::organisation::{Organisation, PartnerEntry, Profile, Surroundings};
use super::pki::{Authority, Identity, Validity};
use super::server::StartError;

/// A free port may be taken between being found and being used.
const ATTEMPTS: usize = 3;

/// A partner of Contoso with the same authority as Woodgrove. Somebody bent its MX record: mail
/// for it is led to Woodgrove's server.
pub const FABRIKAM: &str = "fabrikam.example";
/// Nobody's partner.
pub const LITWARE: &str = "litware.example";

/// All that runs, and the certificates the impostors use.
pub struct World {
    pub executable: PathBuf,
    pub contoso: Organisation,
    pub woodgrove: Organisation,
    pub woodgrove_identity: Identity,
    pub stranger: Identity,
    pub expired: Identity,
    pub revoked: Identity,
    _dns: DnsServer,
}

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error(
        "the demo's files or sockets could not be set up: {0}; it needs Linux, where all of 127.0.0.0/8 is local"
    )]
    Io(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The certificates of the story, and where those of the two organisations lie.
struct Certificates {
    woodgrove: Identity,
    stranger: Identity,
    expired: Identity,
    revoked: Identity,
}

impl World {
    /// Sets the stage below `directory`, which stays readable.
    pub async fn set_up(directory: &Path) -> Result<Self, WorldError> {
        let executable = std::env::current_exe()?;
        let mut attempt = 1;
        loop {
            match Self::try_set_up(directory, &executable).await {
                Err(WorldError::Start(_)) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn try_set_up(directory: &Path, executable: &Path) -> Result<Self, WorldError> {
        let (contoso, woodgrove, port) = profiles()?;
        let dns = DnsServer::start(&zone(&contoso, &woodgrove)).await?;
        let (contoso_home, woodgrove_home) = (directory.join("contoso"), directory.join("woodgrove"));
        std::fs::create_dir_all(&contoso_home)?;
        std::fs::create_dir_all(&woodgrove_home)?;
        let certificates = certificates(&contoso, &woodgrove, &contoso_home, &woodgrove_home)?;
        let partner =
            |profile: &Profile, anchor| PartnerEntry { name: profile.name, domain: profile.domain, anchor };
        let fabrikam = PartnerEntry { name: "Fabrikam", domain: FABRIKAM, anchor: "woodgrove-root.pem" };
        let of_contoso = Surroundings {
            partners: &[partner(&woodgrove, "woodgrove-root.pem"), fabrikam],
            revocation_lists: &["woodgrove.crl"],
            dns: dns.address(),
            port,
        };
        let of_woodgrove = Surroundings {
            partners: &[partner(&contoso, "contoso-root.pem")],
            revocation_lists: &["contoso.crl"],
            ..of_contoso
        };
        Ok(Self {
            contoso: Organisation::start(executable, &contoso_home, contoso, &of_contoso).await?,
            woodgrove: Organisation::start(executable, &woodgrove_home, woodgrove, &of_woodgrove).await?,
            executable: executable.to_owned(),
            woodgrove_identity: certificates.woodgrove,
            stranger: certificates.stranger,
            expired: certificates.expired,
            revoked: certificates.revoked,
            _dns: dns,
        })
    }
}

/// Two loopback addresses of our own with one port free on both, so that MX records can lead to
/// either: an MX record names no port.
fn profiles() -> io::Result<(Profile, Profile, u16)> {
    let network: u8 = rand::random_range(16..=250);
    let host = |third| IpAddr::V4(Ipv4Addr::new(127, network, third, 1));
    let contoso = Profile { name: "Contoso", domain: "contoso.example", address: host(1) };
    let woodgrove = Profile { name: "Woodgrove", domain: "woodgrove.example", address: host(2) };
    let probe = TcpListener::bind((contoso.address, 0))?;
    let port = probe.local_addr()?.port();
    TcpListener::bind((woodgrove.address, port))?;
    Ok((contoso, woodgrove, port))
}

fn zone(contoso: &Profile, woodgrove: &Profile) -> Zone {
    Zone::default()
        .mx(contoso.domain, 10, &contoso.host())
        .address(&contoso.host(), contoso.address)
        .mx(woodgrove.domain, 10, &woodgrove.host())
        .address(&woodgrove.host(), woodgrove.address)
        .mx(FABRIKAM, 10, &woodgrove.host())
}

/// Makes them all, and writes what each organisation has: its own identity and root, and the
/// partner's root and revocation list.
fn certificates(
    contoso: &Profile,
    woodgrove: &Profile,
    contoso_home: &Path,
    woodgrove_home: &Path,
) -> Result<Certificates, WorldError> {
    let mut contoso_authority = Authority::new(contoso.name)?;
    let mut woodgrove_authority = Authority::new(woodgrove.name)?;
    let mut stranger_authority = Authority::new("Stranger")?;
    let names = [woodgrove.domain];
    let certificates = Certificates {
        woodgrove: woodgrove.identity(&mut woodgrove_authority)?,
        stranger: stranger_authority.issue(&names, Validity::Current)?.with_root(&stranger_authority),
        expired: woodgrove_authority.issue(&names, Validity::Expired)?,
        revoked: woodgrove_authority.issue(&names, Validity::Current)?,
    };
    woodgrove_authority.revoke(&certificates.revoked, RevocationReason::KeyCompromise);
    contoso.identity(&mut contoso_authority)?.write(contoso_home, &contoso.slug())?;
    certificates.woodgrove.write(woodgrove_home, &woodgrove.slug())?;
    for home in [contoso_home, woodgrove_home] {
        for (profile, authority) in [(contoso, &mut contoso_authority), (woodgrove, &mut woodgrove_authority)]
        {
            std::fs::write(home.join(format!("{}-root.pem", profile.slug())), authority.root_pem())?;
            std::fs::write(home.join(format!("{}.crl", profile.slug())), authority.revocation_list_pem()?)?;
        }
    }
    Ok(certificates)
}
