//! Revocation lists for a command that judges as the server would: files and cache are read, and
//! what a verdict lacks is fetched on the server's terms. Nothing is written: the cache is the
//! server's own, who may be another user.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::net::crl;
use crate::net::crl_cache::CrlCache;
use crate::net::crl_fetch::Client;
use crate::net::resolver::Resolver;
use crate::policy::{CrlFetchSettings, Settings};
use crate::trust::{RevocationSet, WantedList, printable};

use super::CACHE_DIRECTORY;
use super::fetch::{get, share};
use super::store::{RevocationLists, Standing};

/// Lists in the memory of one command.
pub struct ListsAtHand {
    lists: RevocationLists,
    settings: CrlFetchSettings,
    asked: Mutex<Vec<Asked>>,
}

/// One question for a list, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub url: String,
    /// Whose list it is.
    pub issuer: String,
    /// Until when the list is good that came.
    pub good_until: Option<String>,
    /// Why none came.
    pub error: Option<String>,
}

impl ListsAtHand {
    /// Reads files and cache; each file that cannot be used is told of. Blocks on the disk.
    pub fn open(settings: &Settings) -> (Self, Vec<(PathBuf, String)>) {
        let (files, mut problems) = crl::load(&settings.crl_files, 0);
        let cache = CrlCache::new(settings.data_directory.join(CACHE_DIRECTORY));
        let (cached, unusable) = cache.look();
        problems.extend(unusable.into_iter().map(|(file, error)| {
            let what = format!("{}: {error}; the server fetches that list again", file.display());
            (file, what)
        }));
        let fetch = settings.crl_fetch.clone();
        let lists = RevocationLists::new(cache, files.lists, cached, &fetch);
        (Self { lists, settings: fetch, asked: Mutex::default() }, problems)
    }

    /// What there is to judge by now.
    pub fn load(&self) -> Arc<RevocationSet> {
        Arc::clone(&self.lists.load())
    }

    /// Fetches what can be had of `wanted` within `crl_fetch_timeout`, all at once; false where
    /// nothing is fetched at all. Call inside the runtime.
    pub async fn obtain(self: &Arc<Self>, resolver: &Arc<Resolver>, wanted: &[WantedList]) -> bool {
        if !self.settings.enabled || wanted.is_empty() {
            return false;
        }
        let deadline = Instant::now() + self.settings.timeout;
        let mut all = JoinSet::new();
        for wanted in wanted {
            let (lists, resolver, wanted) = (Arc::clone(self), Arc::clone(resolver), wanted.clone());
            all.spawn(async move { lists.one_list(&resolver, &wanted, deadline).await });
        }
        all.join_all().await;
        true
    }

    /// Every question that was asked, in the order of the answers.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One distribution point after the other; each gets its share of the time that is left.
    async fn one_list(&self, resolver: &Resolver, wanted: &WantedList, deadline: Instant) {
        let client = Client { resolver, settings: &self.settings };
        let urls: Vec<&str> = wanted.urls().collect();
        for (index, url) in urls.iter().enumerate() {
            match self.lists.standing(wanted.key(url), Timestamp::now()) {
                Standing::Current => return,
                Standing::Failed => continue,
                Standing::Unknown => {}
            }
            let limit = share(deadline, urls.len() - index);
            let mut asked =
                Asked { url: printable(url), issuer: wanted.issuer(), good_until: None, error: None };
            match get(&self.lists, &client, wanted, url, limit).await {
                Ok(taken) => {
                    asked.good_until = taken.cached.list.good_until().map(|end| end.to_string());
                    self.lists.insert(taken.cached);
                }
                Err(error) => {
                    self.lists.failed(wanted.key(url), error.clone(), Timestamp::now());
                    asked.error = Some(error);
                }
            }
            let is_had = asked.error.is_none();
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
            if is_had {
                return;
            }
        }
    }
}
