//! The sockets the receive connectors listen on: opened at the start, followed at a reload.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::net::listener;
use crate::net::service_manager::ServiceManager;
use crate::policy::{ReceiveConnector, Settings};

use super::listen;
use super::server::StartError;
use super::shared::Shared;

/// What is listened on: connectors that name the same address and port share it, port 0 is a port
/// of its own for each connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// As configured.
    pub address: SocketAddr,
    /// The one connector that has it, for port 0.
    pub connector: Option<String>,
}

/// The listeners that run.
#[derive(Default)]
pub struct Listeners(Mutex<HashMap<Binding, Bound>>);

/// Sockets that are bound and wait for their settings.
pub struct NewListeners(HashMap<Binding, (TcpListener, SocketAddr)>);

struct Bound {
    local: SocketAddr,
    stop: CancellationToken,
}

impl Binding {
    fn of(connector: &ReceiveConnector, address: SocketAddr) -> Self {
        Self { address, connector: (address.port() == 0).then(|| connector.name.clone()) }
    }

    /// Every binding of the settings with its connector, in the order of the file.
    fn all(settings: &Settings) -> impl Iterator<Item = (Self, &ReceiveConnector)> {
        settings.receive_connectors.iter().flat_map(|connector| {
            connector.bindings.iter().map(|&address| (Self::of(connector, address), &**connector))
        })
    }
}

impl Listeners {
    /// Binds what the settings name and is not bound, or takes it from the service manager; nobody is
    /// accepted there yet. On an error nothing new is kept.
    pub fn bind(&self, settings: &Settings, manager: &ServiceManager) -> Result<NewListeners, StartError> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = HashMap::new();
        for (binding, connector) in Binding::all(settings) {
            if running.contains_key(&binding) || new.contains_key(&binding) {
                continue;
            }
            let address = binding.address;
            let failed = |source| StartError::Bind { connector: connector.name.clone(), address, source };
            let listener = match manager.take(address) {
                Some(passed) => passed.and_then(TcpListener::from_std).map_err(failed)?,
                None => listener::bind(address).map_err(failed)?,
            };
            let local = listener.local_addr().map_err(failed)?;
            new.insert(binding, (listener, local));
        }
        Ok(NewListeners(new))
    }

    /// Accepts on `new`, and stops what the settings no longer name. The settings are in force by
    /// now: a connection must not meet a binding that its connector does not know.
    pub fn follow(&self, shared: &Arc<Shared>, settings: &Settings, NewListeners(new): NewListeners) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|binding, bound| {
            let kept = Binding::all(settings).any(|(named, _)| named == *binding);
            if !kept {
                bound.stop.cancel();
                if shared.manager.give_back(binding.address) {
                    shared.tell_unused_socket(binding.address);
                }
            }
            kept
        });
        for (binding, (listener, local)) in new {
            let stop = shared.draining.child_token();
            shared.tasks.spawn(listen::run(Arc::clone(shared), listener, binding.clone(), stop.clone()));
            running.insert(binding, Bound { local, stop });
        }
        shared.bound.store(Arc::new(running.values().map(|bound| bound.local).collect()));
    }

    /// `NAME=ADDR:PORT` of every connector and binding, in the order of the file; a name that would
    /// not stand alone is quoted.
    pub fn describe(&self, settings: &Settings) -> Vec<String> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Binding::all(settings)
            .filter_map(|(binding, connector)| {
                Some(format!("{}={}", quoted(&connector.name), running.get(&binding)?.local))
            })
            .collect()
    }
}

/// A name with blanks, one that begins as a quoted one does, and `admin`, which stands for another
/// listener, in double quotes, with `\` before quotes and backslashes.
fn quoted(name: &str) -> Cow<'_, str> {
    if name != "admin" && !name.starts_with('"') && !name.contains(char::is_whitespace) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_a_name_that_could_be_misread_is_quoted() {
        for plain in ["Internet", "In=ternal", "100%", "a\"b"] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted("Our users"), "\"Our users\"");
        assert_eq!(quoted("admin"), "\"admin\"");
        assert_eq!(quoted("\"a\\ b"), "\"\\\"a\\\\ b\"");
    }
}
