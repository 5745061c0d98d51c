//! Whether a report of failure may return the message itself (RFC 3461 4.3, 6.2). What travels over
//! mutually authenticated TLS only must not come back in a report that does not.

use crate::mail::dsn::Withheld;
use crate::mail::dsn::request::Return;
use crate::mail::{Address, Domain};
use crate::trust::Mode;

use super::{Settings, limits};

/// A message that could not be delivered.
#[derive(Clone, Copy, Debug)]
pub struct Undelivered<'a> {
    /// What its sender asked for; nothing is taken to mean the header section.
    pub asked: Option<Return>,
    /// Octets.
    pub size: u64,
    /// It came in domain-secured.
    pub secured: bool,
    pub sender: &'a Address,
}

/// What a report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    Headers,
    Content,
    /// The header section, where more was asked for.
    Withheld(Withheld),
}

/// What the report on these recipients returns.
pub fn decide<'a>(
    settings: &Settings,
    message: &Undelivered<'_>,
    recipients: impl IntoIterator<Item = &'a Address>,
) -> Returned {
    match message.asked {
        None | Some(Return::Headers) => return Returned::Headers,
        Some(Return::Full) => {}
    }
    let transport = &settings.transport;
    let came_from_partner = message
        .sender
        .domain()
        .is_some_and(|domain| transport.tls_receive_domain_secure_list.contains(domain));
    let goes_to_partner = |address: &Address| {
        address.domain().is_some_and(|domain| transport.tls_send_domain_secure_list.contains(domain))
    };
    let is_secured = message.secured || came_from_partner || recipients.into_iter().any(goes_to_partner);
    if is_secured && !message.sender.domain().is_some_and(|domain| goes_back_secured(settings, domain)) {
        return Returned::Withheld(Withheld::Secured);
    }
    if message.size > limits::RETURNED_CONTENT_BYTES_MAX {
        return Returned::Withheld(Withheld::TooLarge(limits::RETURNED_CONTENT_BYTES_MAX));
    }
    Returned::Content
}

/// Whether mail to this domain goes over mutual TLS or not at all; in report mode it may go otherwise.
fn goes_back_secured(settings: &Settings, domain: &Domain) -> bool {
    settings.transport.tls_send_domain_secure_list.contains(domain)
        && settings.partner_of(domain).is_none_or(|partner| partner.mode == Mode::Enforce)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::test_settings::with_lists;
    use crate::policy::{Partner, Priority};
    use crate::trust::{AnchorSet, OnFailure, TrustPolicy};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn what_came_or_goes_secured_returns_secured_or_not_at_all() {
        // Woodgrove on both lists, Fabrikam on the receive list only, Tailspin on the send list only.
        let lists = with_lists(
            &["woodgrove.example", "fabrikam.example"],
            &["woodgrove.example", "tailspin.example"],
        );
        let withheld = Returned::Withheld(Withheld::Secured);
        for (from, to, secured, expected) in [
            ("ann@litware.example", "bob@contoso.example", false, Returned::Content),
            ("ann@litware.example", "bob@woodgrove.example", false, withheld),
            ("ann@litware.example", "bob@contoso.example", true, withheld),
            ("ann@fabrikam.example", "bob@contoso.example", true, withheld),
            ("ann@fabrikam.example", "bob@litware.example", false, withheld),
            ("ann@woodgrove.example", "bob@contoso.example", true, Returned::Content),
            ("ann@tailspin.example", "bob@woodgrove.example", true, Returned::Content),
            ("ann@[192.0.2.1]", "bob@woodgrove.example", false, withheld),
        ] {
            let (sender, recipient) = (address(from), address(to));
            let message = Undelivered { asked: Some(Return::Full), size: 1, secured, sender: &sender };
            assert_eq!(decide(&lists, &message, [&recipient]), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_way_back_in_report_mode_is_no_secured_one() {
        let mut settings = with_lists(&["woodgrove.example"], &["woodgrove.example"]);
        settings.partners.push(Arc::new(Partner {
            name: "Woodgrove Bank".to_owned(),
            domains: vec![Domain::parse("woodgrove.example").unwrap()],
            policy: Arc::new(TrustPolicy::of(Arc::new(AnchorSet::new("none", Vec::new())))),
            on_inbound_failure: OnFailure::Reject,
            on_outbound_failure: OnFailure::Defer,
            message_expiration: None,
            delay_notification: None,
            retry_intervals: None,
            priority: Priority::Normal,
            mode: Mode::Report,
            certificate: None,
            remote_ip_ranges: Vec::new(),
            limits: crate::policy::PartnerLimits::default(),
        }));
        let sender = address("ann@woodgrove.example");
        let message = Undelivered { asked: Some(Return::Full), size: 1, secured: true, sender: &sender };
        let recipient = address("bob@contoso.example");
        assert_eq!(decide(&settings, &message, [&recipient]), Returned::Withheld(Withheld::Secured));
    }

    #[test]
    fn only_what_was_asked_for_and_is_not_too_large_returns_whole() {
        let settings = with_lists(&[], &[]);
        let (sender, recipient) = (address("ann@litware.example"), address("bob@contoso.example"));
        let limit = limits::RETURNED_CONTENT_BYTES_MAX;
        for (asked, size, expected) in [
            (None, 1, Returned::Headers),
            (Some(Return::Headers), 1, Returned::Headers),
            (Some(Return::Full), limit, Returned::Content),
            (Some(Return::Full), limit + 1, Returned::Withheld(Withheld::TooLarge(limit))),
        ] {
            let message = Undelivered { asked, size, secured: false, sender: &sender };
            assert_eq!(decide(&settings, &message, [&recipient]), expected, "{asked:?} {size}");
        }
    }
}
