//! Those who are refused: who they are, how they come, and what they must be told.

use super::client::Disguise;
use super::world::{FABRIKAM, World};

/// One who claims to write for a secure domain without being able to prove it.
pub struct Impostor {
    pub title: &'static str,
    /// What happens, in plain words.
    pub words: &'static str,
    pub local_part: &'static str,
    pub domain: &'static str,
    pub dress: Dress,
    pub code: u16,
    pub enhanced: &'static str,
    pub fault: &'static str,
}

/// What the impostor has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    Clear,
    NoCertificate,
    Stranger,
    Expired,
    Revoked,
    /// Woodgrove's real certificate.
    Woodgrove,
}

const WOODGROVE: &str = "woodgrove.example";

/// All of them knock at Contoso's edge.
pub const IMPOSTORS: &[Impostor] = &[
    Impostor {
        title: "A sender without TLS",
        words: "Somebody claims to be Woodgrove over plain SMTP. Contoso's settings list Woodgrove \
                as a secure partner, so MAIL is refused before anything else is looked at.",
        local_part: "no-tls",
        domain: WOODGROVE,
        dress: Dress::Clear,
        code: 530,
        enhanced: "5.7.0",
        fault: "TlsNotStarted",
    },
    Impostor {
        title: "A sender with TLS, but no certificate",
        words: "Encrypted, yet nobody knows by whom. That is enough for strangers, not for a partner.",
        local_part: "no-certificate",
        domain: WOODGROVE,
        dress: Dress::NoCertificate,
        code: 550,
        enhanced: "5.7.5",
        fault: "NoCertificate",
    },
    Impostor {
        title: "A stranger's certificate",
        words: "It says woodgrove.example, but an authority signed it that Contoso never agreed on \
                with Woodgrove.",
        local_part: "stranger",
        domain: WOODGROVE,
        dress: Dress::Stranger,
        code: 550,
        enhanced: "5.7.5",
        fault: "UntrustedRoot",
    },
    Impostor {
        title: "An expired certificate",
        words: "Signed by Woodgrove's own authority, but it ended yesterday.",
        local_part: "expired",
        domain: WOODGROVE,
        dress: Dress::Expired,
        code: 550,
        enhanced: "5.7.5",
        fault: "Expired",
    },
    Impostor {
        title: "A revoked certificate",
        words: "Its key was stolen, and Woodgrove's authority put it on its revocation list an hour \
                ago.",
        local_part: "revoked",
        domain: WOODGROVE,
        dress: Dress::Revoked,
        code: 550,
        enhanced: "5.7.5",
        fault: "Revoked",
    },
    Impostor {
        title: "One partner's certificate, another partner's name",
        words: "Woodgrove's real certificate, but the mail claims to come from Fabrikam, whose \
                certificates the same authority signs. A certificate proves its own domain only.",
        local_part: "mallory",
        domain: FABRIKAM,
        dress: Dress::Woodgrove,
        code: 550,
        enhanced: "5.7.1",
        fault: "NameMismatch",
    },
];

impl Impostor {
    pub fn address(&self) -> String {
        format!("{}@{}", self.local_part, self.domain)
    }

    pub fn disguise<'a>(&self, world: &'a World) -> Disguise<'a> {
        match self.dress {
            Dress::Clear => Disguise::Clear,
            Dress::NoCertificate => Disguise::Anonymous,
            Dress::Stranger => Disguise::Certificate(&world.stranger),
            Dress::Expired => Disguise::Certificate(&world.expired),
            Dress::Revoked => Disguise::Certificate(&world.revoked),
            Dress::Woodgrove => Disguise::Certificate(&world.woodgrove_identity),
        }
    }
}
