//! Asking DNS what a sender's domain publishes about its mail, and block lists about its address.
//! Records and signatures are read by the crate mail-auth; what it says becomes `policy::Finding`s.

mod content;
mod dns_block_list;
mod spf;

use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::TokioResolver;
use mail_auth::hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::policy::DnsSettings;

use super::resolver::{self, Resolver, ResolverError};

pub use content::{Question, check as check_content};
pub use dns_block_list::check as check_block_lists;
pub use spf::{Client, SpfEvidence, check as check_spf, unknown as spf_unknown};

/// Asks the servers of `[dns]`. It has a cache of its own, apart from the resolver's that routes
/// mail: what strangers make us ask must not push out what deliveries need.
pub struct Authenticator {
    pub(in crate::net) inner: MessageAuthenticator,
    /// For block lists, whose answers are plain addresses.
    lists: Resolver,
}

impl Authenticator {
    /// Call inside the runtime.
    pub fn new(settings: &DnsSettings) -> Result<Self, ResolverError> {
        let (config, options) = resolver::configuration_of(settings)?;
        let built = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build();
        let inner = built.map_err(|error| ResolverError::SetUp(error.to_string()))?;
        Ok(Self { inner: MessageAuthenticator(inner), lists: Resolver::new(settings)? })
    }
}
