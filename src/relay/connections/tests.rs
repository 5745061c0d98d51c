//! Strangers, subnets and partners at the door, without a socket.

use crate::mail::Domain;
use crate::observe::test_settings::with_lists;
use crate::policy::{
    AuthenticationWays, InboundLimits, PartnerLimits, Permissions, Priority, ProtocolLogging,
};
use crate::trust::{Mode, OnFailure};

use super::*;

fn connector(limits: InboundLimits) -> ReceiveConnector {
    ReceiveConnector {
        name: "Internet".to_owned(),
        bindings: Vec::new(),
        remote_ip_ranges: Vec::new(),
        proxy_protocol_from: Vec::new(),
        fqdn: Domain::parse("mx.contoso.example").unwrap(),
        offer_starttls: true,
        authentication: AuthenticationWays::default(),
        implicit_tls: false,
        post_quantum_key_exchange: true,
        domain_secure_enabled: true,
        require_tls: false,
        permissions: Permissions { submit: true, relay: false, authenticated_relay: false },
        offer_dsn: true,
        offer_chunking: true,
        offer_binary_mime: true,
        accept_organization_headers: false,
        protocol_logging: ProtocolLogging::None,
        max_message_size: 1 << 20,
        max_recipients_per_message: 100,
        max_inbound_connections: 10,
        max_inbound_connections_per_source: 2,
        limits,
        connection_timeout: Duration::from_secs(300),
        connection_inactivity_timeout: Duration::from_secs(60),
        checks: Arc::default(),
        milters: Arc::default(),
        tarpit_interval: Duration::ZERO,
    }
}

fn partner(limits: PartnerLimits) -> Partner {
    let settings = with_lists(&[], &[]);
    Partner {
        name: "Woodgrove Bank".to_owned(),
        domains: Vec::new(),
        policy: Arc::clone(&settings.default_policy),
        on_inbound_failure: OnFailure::Reject,
        on_outbound_failure: OnFailure::Defer,
        message_expiration: None,
        delay_notification: None,
        retry_intervals: None,
        priority: Priority::Normal,
        mode: Mode::Enforce,
        certificate: None,
        remote_ip_ranges: vec!["203.0.113.0/28".parse().unwrap()],
        limits,
    }
}

/// A door with one connector, and how it answers.
struct Door {
    connections: Arc<Connections>,
    settings: Settings,
    connector: ReceiveConnector,
    now: Instant,
}

impl Door {
    fn new(limits: InboundLimits) -> Self {
        let mut settings = with_lists(&["woodgrove.example"], &[]);
        settings.partners.push(Arc::new(partner(PartnerLimits::default())));
        Self { connections: Arc::default(), settings, connector: connector(limits), now: Instant::now() }
    }

    fn enter(&self, remote: &str) -> Result<Counted, (Limit, Scope)> {
        let entered =
            self.connections.enter(&self.settings, &self.connector, remote.parse().unwrap(), self.now);
        entered.map_err(|Reached { limit, scope }| (limit, scope))
    }
}

/// As many strangers as get in, each from a subnet of its own.
fn flood(door: &Door) -> Vec<Counted> {
    let remotes = (0..1000).map(|number| format!("10.{}.{}.1", number / 250, number % 250));
    remotes.filter_map(|remote| door.enter(&remote).ok()).collect()
}

#[test]
fn a_flood_of_strangers_cannot_take_the_places_of_partners() {
    let door = Door::new(InboundLimits { reserved_partner_connections: 3, ..InboundLimits::default() });
    let strangers = flood(&door);
    assert_eq!(strangers.len(), 10);
    assert_eq!(door.enter("192.0.2.1").err(), Some((Limit::Connections, Scope::Connector)));
    let named = door.enter("203.0.113.5").unwrap();
    assert!(named.is_known(), "the partner entry names its range");
    door.connections.proved("192.0.2.1".parse().unwrap(), door.now);
    let proved = door.enter("192.0.2.1").unwrap();
    let _last = door.enter("203.0.113.6").unwrap();
    assert_eq!(door.enter("203.0.113.7").err(), Some((Limit::Connections, Scope::Connector)), "all in use");
    drop((named, proved));
    assert!(door.enter("203.0.113.7").is_ok());
    assert_eq!(door.enter("192.0.2.9").err(), Some((Limit::Connections, Scope::Connector)));
    drop(strangers);
    assert!(door.enter("192.0.2.9").is_ok());
}

#[test]
fn one_source_and_one_subnet_have_their_share() {
    let door = Door::new(InboundLimits { max_connections_per_subnet: 3, ..InboundLimits::default() });
    let _held = [door.enter("192.0.2.1").unwrap(), door.enter("192.0.2.1").unwrap()];
    assert_eq!(door.enter("192.0.2.1").err(), Some((Limit::Connections, Scope::Source)));
    let third = door.enter("192.0.2.2").unwrap();
    assert_eq!(door.enter("192.0.2.3").err(), Some((Limit::Connections, Scope::Subnet)));
    door.connections.proved("192.0.2.4".parse().unwrap(), door.now);
    assert!(door.enter("192.0.2.4").is_ok(), "a partner does not answer for its neighbours");
    drop(third);
    assert!(door.enter("192.0.2.3").is_ok());
    let _six = [door.enter("2001:db8::1").unwrap(), door.enter("2001:db8::2").unwrap()];
    assert_eq!(door.enter("2001:db8::3").err(), Some((Limit::Connections, Scope::Source)), "a /64 is one");
}

#[test]
fn what_a_source_took_in_this_minute_counts_against_it_and_its_subnet() {
    let rates = Rates { connections: 4, messages: 2, recipients: 5, bytes: 1000, protocol_errors: 3 };
    let mut door = Door::new(InboundLimits { rates, subnet_rate_factor: 2, ..InboundLimits::default() });
    let ask = |door: &Door, counted: &Counted| {
        counted.ask_message(&door.connector, door.now).map_err(|Reached { limit, scope }| (limit, scope))
    };
    for (charge, amount, limit) in [
        (Charge::Recipient, 5, Limit::RecipientRate),
        (Charge::Byte, 1000, Limit::ByteRate),
        (Charge::Message, 2, Limit::MessageRate),
    ] {
        let one = door.enter("192.0.2.1").unwrap();
        one.charge(charge, amount - 1, door.now);
        assert_eq!(ask(&door, &one), Ok(()));
        one.charge(charge, 1, door.now);
        assert_eq!(ask(&door, &one), Err((limit, Scope::Source)));
        let two = door.enter("192.0.2.2").unwrap();
        assert_eq!(ask(&door, &two), Ok(()));
        two.charge(charge, amount, door.now);
        let three = door.enter("192.0.2.3").unwrap();
        assert_eq!(ask(&door, &three), Err((limit, Scope::Subnet)));
        door.now += Duration::from_secs(60);
        assert_eq!(ask(&door, &one), Ok(()));
        door.now += Duration::from_secs(60);
    }
    for _ in 0..4 {
        door.enter("192.0.2.1").unwrap();
    }
    assert_eq!(door.enter("192.0.2.1").err(), Some((Limit::ConnectionRate, Scope::Source)));
    let wrong = door.enter("192.0.2.2").unwrap();
    wrong.charge(Charge::ProtocolError, 3, door.now);
    assert_eq!(door.enter("192.0.2.2").err(), Some((Limit::ProtocolErrorRate, Scope::Source)));
}

#[test]
fn all_sessions_of_a_partner_share_what_its_entry_allows() {
    let door = Door::new(InboundLimits::default());
    let rates = Rates { messages: 3, ..Rates::default() };
    let partner = partner(PartnerLimits { max_connections: 2, rates });
    let ask = |counted: &mut Counted| {
        counted.ask_partner(&partner, door.now).map_err(|Reached { limit, scope }| (limit, scope))
    };
    let mut sessions =
        ["203.0.113.1", "203.0.113.2", "198.51.100.1"].map(|remote| door.enter(remote).unwrap());
    let [one, two, three] = &mut sessions;
    assert_eq!((ask(one), ask(one), ask(two)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(ask(three), Err((Limit::Connections, Scope::Partner)));
    assert_eq!(ask(two), Err((Limit::MessageRate, Scope::Partner)));
    drop(sessions);
    let mut later = door.enter("198.51.100.1").unwrap();
    assert_eq!(later.ask_partner(&partner, door.now + Duration::from_secs(60)), Ok(()));
}

#[test]
fn a_flood_of_refusals_leaves_the_protocol_log_alone() {
    let (mut refusals, now) = (Refusals::default(), Instant::now());
    let logged = (0..5000).filter(|_| refusals.may_log(now)).count();
    assert_eq!(logged, REFUSALS_LOGGED_PER_SECOND as usize);
    assert!(refusals.may_log(now + Duration::from_secs(1)));
}
