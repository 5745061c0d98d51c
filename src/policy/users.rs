//! Who may log in at our receive connectors, by what he is known, and as whom he may then send.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::mail::{Address, Domain, ReversePath};
use crate::smtp::sasl::{Shape, Verifier};
use crate::trust::{CertificateFacts, Requirement, proves_name};

/// Everyone in the users file.
#[derive(Default)]
pub struct Users {
    /// By name in lower case.
    by_name: BTreeMap<String, Arc<User>>,
    /// Of all their verifiers.
    shapes: BTreeSet<Shape>,
    /// What nobody else knows: it makes those who do not exist look as if they did.
    secret: Zeroizing<Vec<u8>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct User {
    /// In lower case.
    pub name: String,
    /// What is kept of his password; `None`: he has none.
    pub verifier: Option<Verifier>,
    /// What a certificate must prove to stand for him (EXTERNAL).
    pub certificate: Option<Requirement>,
    /// As whom he may send; empty: as anyone.
    pub senders: Vec<Sender>,
}

/// A member of `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    Address(Address),
    /// `@x.example`: everyone there, and nobody below it.
    Domain(Domain),
}

impl Users {
    /// `secret` is ours, and stays the same while users come and go.
    pub fn new(users: impl IntoIterator<Item = User>, secret: Vec<u8>) -> Self {
        let by_name: BTreeMap<_, _> =
            users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
        let verifiers = by_name.values().filter_map(|user| user.verifier.as_ref());
        let shapes = verifiers.map(Verifier::shape).collect();
        Self { by_name, shapes, secret: Zeroizing::new(secret) }
    }

    /// Names are the same in upper and lower case.
    pub fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    /// A user with a password, and what his is compared with. Whoever is none gets what no password
    /// fits, so that nothing tells a stranger which names exist.
    pub fn with_password(&self, name: &str) -> (Option<&Arc<User>>, Verifier) {
        let user = self.find(name).filter(|user| user.verifier.is_some());
        let verifier = user.and_then(|user| user.verifier.clone());
        let decoy = || Verifier::decoy(&name.to_ascii_lowercase(), &self.secret, &self.shapes);
        (user, verifier.unwrap_or_else(decoy))
    }

    /// The one user whose names a certificate holds; of several it says nothing.
    pub fn of_certificate(&self, facts: &CertificateFacts) -> Option<&Arc<User>> {
        let mut named = self.by_name.values().filter(|user| {
            user.certificate.as_ref().is_some_and(|demand| proves_name(&demand.names(), &facts.names))
        });
        let user = named.next()?;
        named.next().is_none().then_some(user)
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl User {
    /// The null reverse-path is nobody's and everybody's: reports of what happened to a message.
    pub fn may_send_as(&self, path: &ReversePath) -> bool {
        let ReversePath::Address(address) = path else { return true };
        self.senders.is_empty() || self.senders.iter().any(|sender| sender.is(address))
    }
}

impl Sender {
    fn is(&self, address: &Address) -> bool {
        match self {
            // Nobody tells two mailboxes apart by case, and who does does not let others do it.
            Sender::Address(own) => {
                own.host() == address.host() && own.local().eq_ignore_ascii_case(address.local())
            }
            Sender::Domain(domain) => address.domain() == Some(domain),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Address(address) => write!(f, "{address}"),
            Sender::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, senders: &[Sender]) -> User {
        let verifier = Verifier::of_password("s3cret", b"0123456789abcdef", 4096);
        User { name: name.to_owned(), verifier: Some(verifier), certificate: None, senders: senders.to_vec() }
    }

    fn path(text: &str) -> ReversePath {
        ReversePath::Address(Address::parse(text).unwrap())
    }

    #[test]
    fn a_name_that_is_none_is_compared_with_something_all_the_same() {
        let nobody = User { verifier: None, ..user("by-certificate", &[]) };
        let users = Users::new([user("alice", &[]), nobody], b"secret".to_vec());
        let (alice, verifier) = users.with_password("Alice");
        assert_eq!(alice.unwrap().name, "alice");
        assert!(verifier.is_of("s3cret"));
        for name in ["mallory", "by-certificate"] {
            let (user, verifier) = users.with_password(name);
            assert!(user.is_none() && !verifier.is_of("s3cret"), "{name}");
            assert_eq!(verifier, users.with_password(&name.to_uppercase()).1);
            // A user brought from elsewhere with other rounds does not stand out either.
            assert_eq!(verifier.shape(), users.with_password("alice").1.shape());
        }
    }

    #[test]
    fn a_user_sends_as_himself_and_reports_as_nobody() {
        let own = Sender::Address(Address::parse("alice@contoso.example").unwrap());
        let all = Sender::Domain(Domain::parse("branch.example").unwrap());
        let alice = user("alice", &[own, all]);
        for (from, may) in [
            ("Alice@contoso.example", true),
            ("anyone@branch.example", true),
            ("bob@contoso.example", false),
            ("alice@sub.branch.example", false),
        ] {
            assert_eq!(alice.may_send_as(&path(from)), may, "{from}");
        }
        assert!(alice.may_send_as(&ReversePath::Null));
        assert!(user("bob", &[]).may_send_as(&path("anyone@else.example")));
    }
}
