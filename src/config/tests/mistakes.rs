//! One of each mistake. In each text the line that must be named ends in `#!`.

use super::site::{CONNECTORS, Site, TOP, lines};
use crate::config::{Problem, Severity};

struct Mistake {
    title: &'static str,
    text: String,
    /// The end of the key.
    key: &'static str,
    what: &'static str,
    remedy: &'static str,
}

fn with(top: &str, rest: &str) -> String {
    format!("{top}{rest}")
}

fn marked_line(text: &str) -> usize {
    let marked = text.lines().position(|line| line.trim_end().ends_with("#!"));
    marked.expect("a line ends in #!") + 1
}

fn assert_only(mistake: &Mistake, severity: Severity, problems: &[Problem]) {
    let title = mistake.title;
    let all = lines(problems);
    let of_severity: Vec<_> = problems.iter().filter(|problem| problem.severity == severity).collect();
    let [problem] = of_severity[..] else { panic!("{title}: wanted one {severity:?}, got:\n{all}") };
    assert_eq!(problem.line, Some(marked_line(&mistake.text)), "{title}: {all}");
    assert!(problem.key.ends_with(mistake.key), "{title}: {all}");
    assert!(problem.what.contains(mistake.what), "{title}: {all}");
    assert!(problem.remedy.contains(mistake.remedy), "{title}: {all}");
    assert!(problem.file.ends_with("sealpost.toml"), "{title}: {all}");
}

const PARTNER: &str =
    "\n[[partner]]\nname = \"P\"\ndomains = [\"p.example\"]\ndomain_secure = [\"send\", \"receive\"]\n";

#[test]
fn every_contradiction_is_an_error_at_its_line_with_its_remedy() {
    let all = format!("{TOP}{CONNECTORS}");
    let partner = format!("{all}{PARTNER}");
    let receive = |rest: &str| format!("{TOP}\n[[receive_connector]]\nname = \"R\"\n{rest}\n");
    let send = |rest: &str| format!("{TOP}\n[[send_connector]]\nname = \"S\"\n{rest}\n");
    let mistakes = [
        Mistake {
            title: "a milter that is not there",
            text: receive("bindings = [\"127.0.0.1:0\"]\nmilters = [\"rspamd\"] #!"),
            key: "receive_connector.R.milters",
            what: "\"rspamd\" is the name of no milter",
            remedy: "[[milter]]",
        },
        Mistake {
            title: "a milter that is asked twice",
            text: format!(
                "{}\n[[milter]]\nname = \"M\"\naddress = \"inet:127.0.0.1:1\"\n",
                receive("bindings = [\"127.0.0.1:0\"]\nmilters = [\"M\", \"M\"] #!")
            ),
            key: "receive_connector.R.milters",
            what: "asked twice",
            remedy: "once",
        },
        Mistake {
            title: "an address that no milter has",
            text: with(&all, "[[milter]]\nname = \"M\"\naddress = \"127.0.0.1:11332\" #!\n"),
            key: "milter.M.address",
            what: "is not the address of a milter",
            remedy: "inet:127.0.0.1:11332",
        },
        Mistake {
            title: "a wildcard in a secure list",
            text: with(&all, "[transport]\ntls_receive_domain_secure_list = [\"*.a.example\"] #!\n"),
            key: "tls_receive_domain_secure_list",
            what: "wildcard",
            remedy: "list each domain by itself",
        },
        Mistake {
            title: "a wildcard among a partner's domains",
            text: with(&all, "[[partner]]\nname = \"P\"\ndomains = [\"a.example\",\n\".b.example\"] #!\ndomain_secure = [\"receive\"]\n"),
            key: "partner.P.domains",
            what: "wildcard",
            remedy: "list each domain by itself",
        },
        Mistake {
            title: "a domain in two partners",
            text: with(&partner, "[[partner]]\nname = \"Q\"\ndomains = [\"q.example\", \"P.example\"] #!\ndomain_secure = [\"send\"]\n"),
            key: "partner.Q.domains",
            what: "also a domain of partner.P",
            remedy: "one entry",
        },
        Mistake {
            title: "a partner that is secure in no direction",
            text: with(&all, "[[partner]] #!\nname = \"P\"\ndomains = [\"p.example\"]\n"),
            key: "partner.P.domain_secure",
            what: "none of the partner's domains is secure",
            remedy: "domain_secure = [\"send\", \"receive\"]",
        },
        Mistake {
            title: "a listed send domain without a connector",
            text: with(
                &send("address_spaces = [\"other.example\"]"),
                "[transport]\ntls_send_domain_secure_list = [\n\"a.example\"] #!\n",
            ),
            key: "transport.tls_send_domain_secure_list",
            what: "no send connector with domain_secure_enabled can serve it",
            remedy: "add a send connector",
        },
        Mistake {
            title: "a partner's send domain that only an unsecured connector serves",
            text: with(
                &send("address_spaces = [\"*\"]\ndomain_secure_enabled = false"),
                "[[partner]]\nname = \"P\"\ndomains = [\"p.example\"] #!\ndomain_secure = [\"send\"]\n",
            ),
            key: "partner.P.domains",
            what: "no send connector with domain_secure_enabled",
            remedy: "add a send connector",
        },
        Mistake {
            title: "a receive connector that looks away",
            text: with(&partner, "[[receive_connector]]\nname = \"R\"\nbindings = [\"0.0.0.0:26\"]\ndomain_secure_enabled = false #!\n"),
            key: "receive_connector.R.domain_secure_enabled",
            what: "anyone could send here as p.example",
            remedy: "domain_secure_enabled = true",
        },
        Mistake {
            title: "an open relay",
            text: receive("bindings = [\"127.0.0.1:25\", \"0.0.0.0:26\"]\npermissions = [\"submit\", \"relay\"] #!"),
            key: "receive_connector.R.permissions",
            what: "everyone who reaches 0.0.0.0:26",
            remedy: "remote_ip_ranges",
        },
        Mistake {
            title: "a relay for half the Internet",
            text: receive("bindings = [\"0.0.0.0:25\"]\npermissions = [\"relay\"]\nremote_ip_ranges = [\"10.0.0.0/8\",\n\"128.0.0.0/7\"] #!"),
            key: "remote_ip_ranges",
            what: "128.0.0.0/7 is too wide",
            remedy: "/8 (IPv6: /32)",
        },
        Mistake {
            title: "logging in without users",
            text: receive("bindings = [\"127.0.0.1:25\"]\nauth_mechanism = [\"tls\", \"basic\"] #!"),
            key: "receive_connector.R.auth_mechanism",
            what: "there are none",
            remedy: "sealpost user add",
        },
        Mistake {
            title: "relaying for nobody",
            text: receive("bindings = [\"127.0.0.1:25\"]\npermissions = [\"authenticated-relay\"] #!"),
            key: "receive_connector.R.permissions",
            what: "where nobody can log in",
            remedy: "scram-sha-256",
        },
        Mistake {
            title: "a password for whoever answers",
            text: send("address_spaces = [\"*\"]\ndns_routing_enabled = false\nsmart_hosts = [\"smart.example\"]\nsmart_host_auth_mechanism = \"external\" #!"),
            key: "send_connector.S.smart_host_auth_mechanism",
            what: "need not prove its name",
            remedy: "domain-validation",
        },
        Mistake {
            title: "a smart host without a name",
            text: send("address_spaces = [\"*\"]\ndns_routing_enabled = false\ntls_auth_level = \"domain-validation\"\nsmart_hosts = [\"[192.0.2.1]\"]\nsmart_host_auth_mechanism = \"external\" #!"),
            key: "send_connector.S.smart_host_auth_mechanism",
            what: "an address proves no name",
            remedy: "the smart host's name",
        },
        Mistake {
            title: "a balancer for everybody",
            text: receive("bindings = [\"0.0.0.0:25\"]\nproxy_protocol_from = [\"0.0.0.0/0\"] #!"),
            key: "receive_connector.R.proxy_protocol_from",
            what: "could name any address",
            remedy: "the balancers alone",
        },
        Mistake {
            title: "TLS from the first byte without a certificate",
            text: receive("bindings = [\"0.0.0.0:465\"]\nimplicit_tls = true\nauth_mechanism = [] #!"),
            key: "receive_connector.R.auth_mechanism",
            what: "implicit_tls = true begins every connection with TLS",
            remedy: "implicit_tls = false",
        },
        Mistake {
            title: "a relay for a wide IPv6 network",
            text: receive("bindings = [\"[::]:25\"]\npermissions = [\"relay\"]\nremote_ip_ranges = [\"2001::/31\"] #!"),
            key: "remote_ip_ranges",
            what: "2001::/31 is too wide",
            remedy: "/8 (IPv6: /32)",
        },
        Mistake {
            title: "no anchors and no pin",
            text: with(&partner, "trust_anchors = [] #!\n"),
            key: "partner.P.trust_anchors",
            what: "no pin",
            remedy: "spki_pins",
        },
        Mistake {
            title: "a certificate name at a public suffix",
            text: with(&partner, "certificate_names = [\".co.uk\"] #!\n"),
            key: "partner.P.certificate_names",
            what: "public suffix",
            remedy: "the partner's own",
        },
        Mistake {
            title: "a certificate name above public suffixes",
            text: with(&partner, "certificate_names = [\"kawasaki.jp\"] #!\n"),
            key: "partner.P.certificate_names",
            what: "public suffix",
            remedy: "the partner's own",
        },
        Mistake {
            title: "STARTTLS without a certificate of that name",
            text: format!(
                "{TOP}\n[[receive_connector]] #!\nname = \"R\"\nbindings = [\"0.0.0.0:25\"]\nfqdn = \"mx.fabrikam.example\"\n"
            )
            .replace("hostname = \"mail1.contoso.example\"", "hostname = \"mail1.fabrikam.example\""),
            key: "receive_connector.R.auth_mechanism",
            what: "offers STARTTLS",
            remedy: "import one for mx.fabrikam.example",
        },
        Mistake {
            title: "domain security through a smart host",
            text: send("address_spaces = [\"*\"]\ndns_routing_enabled = false\nsmart_hosts = [\"h.example\"]\ndomain_secure_enabled = true #!"),
            key: "send_connector.S.domain_secure_enabled",
            what: "a smart host's certificate proves the smart host",
            remedy: "domain_secure_enabled = false",
        },
        Mistake {
            title: "no DNS routing and no smart host",
            text: send("address_spaces = [\"*\"]\ndns_routing_enabled = false #!"),
            key: "send_connector.S.dns_routing_enabled",
            what: "no smart host",
            remedy: "smart_hosts",
        },
        Mistake {
            title: "DNS routing and a smart host",
            text: send("address_spaces = [\"*\"]\nsmart_hosts = [\"h.example\"] #!"),
            key: "send_connector.S.smart_hosts",
            what: "dns_routing_enabled = true",
            remedy: "dns_routing_enabled = false",
        },
        Mistake {
            title: "two source addresses of one family",
            text: send("address_spaces = [\"*\"]\nsource_addresses = [\"192.0.2.1\", \"192.0.2.2\"] #!"),
            key: "source_addresses",
            what: "more than one address of a family",
            remedy: "at most one IPv4",
        },
        Mistake {
            title: "binary content without chunks",
            text: receive("bindings = [\"0.0.0.0:25\"]\nchunking_enabled = false\nbinary_mime_enabled = true #!"),
            key: "binary_mime_enabled",
            what: "which only BDAT can carry",
            remedy: "write binary_mime_enabled = false, or chunking_enabled = true",
        },
        Mistake {
            title: "organization headers from strangers",
            text: receive("bindings = [\"0.0.0.0:25\"]\naccept_organization_headers = true #!"),
            key: "accept_organization_headers",
            what: "strangers",
            remedy: "\"relay\"",
        },
        Mistake {
            title: "TLS required and not offered",
            text: receive("bindings = [\"0.0.0.0:25\"]\nrequire_tls = true\nauth_mechanism = [] #!"),
            key: "auth_mechanism",
            what: "require_tls = true refuses all mail",
            remedy: "auth_mechanism = [\"tls\"]",
        },
        Mistake {
            title: "TLS reports in nobody's name",
            text: with(&all, "[tls_reporting]\nenabled = true #!\n"),
            key: "tls_reporting.enabled",
            what: "in nobody's name",
            remedy: "organization_name",
        },
        Mistake {
            title: "TLS reports of a day that leave the day after",
            text: with(&all, "[tls_reporting]\nmax_delay = \"1 day\" #!\n"),
            key: "tls_reporting.max_delay",
            what: "after the next day is over",
            remedy: "20 hours",
        },
        Mistake {
            title: "a wildcard binding beside one of its addresses",
            text: with(&all, "[[receive_connector]]\nname = \"R\"\nbindings = [\"192.0.2.1:25\"] #!\n"),
            key: "receive_connector.R.bindings",
            what: "cannot be bound beside 0.0.0.0:25",
            remedy: "remote_ip_ranges",
        },
        Mistake {
            title: "two connectors of one name",
            text: with(&all, "[[send_connector]]\nname = \"internet\" #!\naddress_spaces = [\"a.example\"]\n"),
            key: "send_connector.internet.name",
            what: "is taken by send_connector.Internet",
            remedy: "its own name",
        },
        Mistake {
            title: "a certificate of ours that we do not have",
            text: with(&partner, "certificate = \"mail9.contoso.example\" #!\n"),
            key: "partner.P.certificate",
            what: "mail9.contoso.example",
            remedy: "SAN name",
        },
        Mistake {
            title: "a hub's sender that can never prove itself",
            text: with(&partner, "[[accepted_domain]]\nname = \"p.example\"\nfrom = [\"p.example\",\n\"q.example\"] #!\n"),
            key: "accepted_domain.p.example.from",
            what: "q.example is not on the receive list",
            remedy: "receive list",
        },
        Mistake {
            title: "listed domains and no anchors at all",
            text: partner.replace("anchors = [\"root.pem\"]", "anchors = [] #!"),
            key: "trust.anchors",
            what: "nobody could be admitted for P",
            remedy: "anchors = [\"system\"]",
        },
        Mistake {
            title: "an anchor file that is not there",
            text: all.replace("\"root.pem\"]", "\"nowhere.pem\"] #!"),
            key: "trust.anchors",
            what: "cannot read",
            remedy: "PEM or DER",
        },
        Mistake {
            title: "an anchor file that holds no certificate",
            text: all.replace("\"root.pem\"]", "\"mail1.key\"] #!"),
            key: "trust.anchors",
            what: "neither PEM nor DER",
            remedy: "certificates",
        },
        Mistake {
            title: "a revocation list that is not there",
            text: all.replace("anchors = [\"root.pem\"]", "crl_files = [\"nowhere.crl\"] #!"),
            key: "trust.crl_files",
            what: "cannot read",
            remedy: "take it off with `sealpost config set trust.crl_files --remove \"nowhere.crl\"`",
        },
        Mistake {
            title: "a key of another certificate",
            text: all
                .replace("chain = \"mail1.pem\"", "chain = \"other.pem\"")
                .replace("key = \"mail1.key\"", "key = \"mail1.key\" #!"),
            key: "certificate.other.pem.key",
            what: "does not belong",
            remedy: "key",
        },
        Mistake {
            title: "a list of recipients that is not there",
            text: with(&all, "[[accepted_domain]]\nname = \"a.example\"\nrecipients = \"nowhere.txt\" #!\n"),
            key: "accepted_domain.a.example.recipients",
            what: "cannot read",
            remedy: "check the path",
        },
    ];
    let site = Site::new();
    site.certificate("other.pem", "other.key", &["mail1.contoso.example"], 2020, 2060);
    for mistake in &mistakes {
        let problems = site.load(&mistake.text).err().unwrap_or_else(|| panic!("{} loads", mistake.title));
        assert_only(mistake, Severity::Error, &problems);
    }
}

#[test]
fn every_slip_in_a_single_key_is_an_error_at_its_line() {
    let all = format!("{TOP}{CONNECTORS}");
    let table: &[(&str, &str, &str)] = &[
        ("[queue]\nmessage_expirtion = \"2 days\" #!", "unknown key", "did you mean `message_expiration`?"),
        ("[queue]\ncrl_files = [] #!", "unknown key", "it belongs to [trust]"),
        ("[queue]\nwhatever = 1 #!", "unknown key", "config reference"),
        ("[que] #!\n", "unknown key", "did you mean `queue`?"),
        ("[queue]\nmessage_expiration = 2 #!", "is an integer, not a string (duration)", "write a string"),
        ("[queue]\nmessage_expiration = \"2\" #!", "is not a duration with a unit", "\"5 min\""),
        ("[queue]\nmessage_expiration = \"0 s\" #!", "too short", "\"1 s\""),
        ("[queue]\nretry_intervals = [] #!", "is empty", "at least one"),
        ("[queue]\nretry_intervals = [\"1 min\", 5] #!", "holds an integer", "string (duration)"),
        ("[queue]\ncut_through = \"yes\" #!", "is a string, not true or false", "true or false"),
        ("[admin]\ntoken_file = \"token\" #!", "cannot read", "openssl rand -hex 32"),
        ("[admin]\nallow_steering = true #!", "nobody may sign in", "write token_file"),
        ("[admin]\nlisten = \"localhost:8025\" #!", "not an IP address with a port", "0.0.0.0:25"),
        ("[transport]\nheader_from = \"Mark\" #!", "not one of the words", "did you mean \"mark\"?"),
        (
            "[transport]\nheader_from = \"loudly\" #!",
            "not one of the words",
            "\"off\" or \"mark\" or \"reject\"",
        ),
        ("[transport]\npostmaster = \"postmaster\" #!", "not a mail address", "postmaster@contoso.example"),
        ("[protocol_log]\nmax_file_size = \"10\" #!", "not a size with a unit", "36 MiB"),
        ("[protocol_log]\nstop_mail_on_error = \"no\" #!", "is a string, not true or false", "true or false"),
        ("[dns]\nservers = [\"resolver.example\"] #!", "not an IP address", "0.0.0.0:25"),
        ("[[partner]] #!\ndomains = [\"p.example\"]\ndomain_secure = [\"send\"]", "is missing", "add `name`"),
        ("[[accepted_domain]]\nname = \"a..example\" #!", "is not a domain", "woodgrovebank.example"),
        ("[[accepted_domain]]\nname = \"a.example\"\nfrom = \"all\" #!", "not one of the words", "anyone"),
        (
            "[[partner]]\nname = \"\" #!\ndomains = [\"p.example\"]\ndomain_secure = [\"send\"]",
            "is not a name",
            "printable",
        ),
        (
            "[[partner]]\nname = \"P\"\ndomains = [\"p.example\"]\ndomain_secure = [\"send\"]\nspki_pins = [\"sha256/AA\"] #!",
            "is not a pin",
            "sha256/",
        ),
        (
            "[[partner]]\nname = \"P\"\ndomains = [\"p.example\"]\ndomain_secure = [\"send\"]\ncertificate_names = [\"*.p.example\"] #!",
            "is a wildcard",
            "\".x.example\"",
        ),
        (
            "[[partner]]\nname = \"P\"\ndomains = [\"p.example\"]\ndomain_secure = [\"send\"]\nminimum_tls = \"1.1\" #!",
            "not one of the words",
            "1.2",
        ),
        (
            "[[send_connector]]\nname = \"S\"\naddress_spaces = [\"a*.example\"] #!",
            "not an address space",
            "\"*.x.example\"",
        ),
        ("[[send_connector]]\nname = \"S\"\naddress_spaces = [] #!", "is empty", "at least one"),
        (
            "[[send_connector]]\nname = \"S\"\naddress_spaces = [\"a.example\"]\nport = 65536 #!",
            "out of range",
            "1 to 65535",
        ),
        (
            "[[send_connector]]\nname = \"S\"\naddress_spaces = [\"a.example\"]\nport = -1 #!",
            "out of range",
            "1 to 65535",
        ),
        (
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"0.0.0.0:25\"]\nmax_recipients_per_message = 10001 #!",
            "out of range",
            "1 to 10000",
        ),
        (
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"0.0.0.0\"] #!",
            "not an IP address with a port",
            "0.0.0.0:25",
        ),
        (
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:26\"]\nremote_ip_ranges = [\"10.0.0.0/33\"] #!",
            "not an IP address or range",
            "192.0.2.0/24",
        ),
        (
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:26\"]\nmax_message_size = \"0 B\" #!",
            "too small",
            "1 KiB",
        ),
        (
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:26\"]\npermissions = [\"anything\"] #!",
            "not one of the words",
            "submit",
        ),
        ("[receive_connectors] #!", "unknown key", "did you mean `receive_connector`?"),
    ];
    let site = Site::new();
    for (text, what, remedy) in table {
        let mistake = Mistake { title: text, text: format!("{all}\n{text}\n"), key: "", what, remedy };
        let problems = site.load(&mistake.text).err().unwrap_or_else(|| panic!("{text} loads"));
        assert_only(&mistake, Severity::Error, &problems);
    }
    for (key, what, remedy) in [
        ("crl_fetch_timeout = \"0 s\"", "too short", "1 s"),
        ("crl_max_age = \"never\"", "not a duration", "number with a unit"),
        ("crl_proxy = \"proxy.contoso.example\"", "with its port", "proxy.contoso.example:3128"),
        ("crl_proxy = \"user:secret@proxy.contoso.example:3128\"", "not an http proxy", "password"),
    ] {
        let text = all.replace("[trust]\n", &format!("[trust]\n{key} #!\n"));
        let mistake = Mistake { title: key, text, key: "", what, remedy };
        let problems = site.load(&mistake.text).err().unwrap();
        assert_only(&mistake, Severity::Error, &problems);
    }
}

#[test]
fn doubtful_choices_are_warnings_and_load() {
    let all = format!("{TOP}{CONNECTORS}");
    let partner = format!("{all}{PARTNER}");
    let mistakes = [
        Mistake {
            title: "a name outside the partner's domains under global anchors",
            text: with(&partner, "certificate_names = [\"mx.p.example\",\n\"mx.provider.example\"] #!\n"),
            key: "partner.P.certificate_names",
            what: "can speak for p.example",
            remedy: "trust_anchors or spki_pins",
        },
        Mistake {
            title: "a name shared by two partners",
            text: with(
                &partner,
                "certificate_names = [\"hub.example\"]\ntrust_anchors = [\"root.pem\"]\n[[partner]]\nname = \"Q\"\n\
                 domains = [\"q.example\"]\ndomain_secure = [\"receive\"]\ntrust_anchors = [\"root.pem\"]\n\
                 certificate_names = [\".q.example\", \"hub.example\"] #!\n",
            ),
            key: "partner.Q.certificate_names",
            what: "can speak for q.example and for p.example",
            remedy: "as a hub does",
        },
        Mistake {
            title: "a suffix that holds another partner's domain",
            text: with(
                &partner,
                "[[partner]]\nname = \"Q\"\ndomains = [\"q.example\"]\ndomain_secure = [\"receive\"]\n\
                 trust_anchors = [\"root.pem\"]\ncertificate_names = [\".q.example\", \"p.example\"] #!\n",
            ),
            key: "partner.Q.certificate_names",
            what: "certificates for p.example prove this partner and partner.P",
            remedy: "as a hub does",
        },
        Mistake {
            title: "an accepted domain that leads back to us",
            text: with(&all, "[[accepted_domain]]\nname = \"contoso.example\" #!\n"),
            key: "accepted_domain.contoso.example.name",
            what: "its MX leads back to us",
            remedy: "smart_hosts",
        },
        Mistake {
            title: "a partner in report mode",
            text: with(&partner, "mode = \"report\" #!\n"),
            key: "partner.P.mode",
            what: "without a good verdict",
            remedy: "mode = \"enforce\"",
        },
        Mistake {
            title: "a delay notice after the end",
            text: with(&partner, "message_expiration = \"1 h\"\ndelay_notification = \"2 h\" #!\n"),
            key: "partner.P.delay_notification",
            what: "expires before",
            remedy: "shorter",
        },
        Mistake {
            title: "two connectors for the same peers",
            text: with(&all, "[[receive_connector]] #!\nname = \"R\"\nbindings = [\"0.0.0.0:25\"]\n"),
            key: "receive_connector.R.remote_ip_ranges",
            what: "takes all its connections",
            remedy: "its own ranges",
        },
        Mistake {
            title: "an expired certificate beside a good one",
            text: with(&all, "[[certificate]]\nchain = \"old.pem\" #!\nkey = \"old.key\"\n"),
            key: "certificate.old.pem.chain",
            what: "expired at 2021-01-01",
            remedy: "successor",
        },
        Mistake {
            title: "a list that is no list",
            text: all.replace(
                "anchors = [\"root.pem\"]",
                "anchors = [\"root.pem\"]\ncrl_files = [\"root.crl\", \"root.pem\"] #!",
            ),
            key: "trust.crl_files",
            what: "neither PEM nor DER",
            remedy: "revocation list",
        },
    ];
    let site = Site::new();
    site.certificate("old.pem", "old.key", &["mail1.contoso.example"], 2020, 2021);
    for mistake in &mistakes {
        let loaded = site.loaded(&mistake.text);
        assert_only(mistake, Severity::Warning, &loaded.warnings);
    }
}

#[test]
fn an_expired_certificate_does_not_serve_starttls() {
    let site = Site::new();
    site.certificate("mail1.pem", "mail1.key", &["mail1.contoso.example"], 2020, 2021);
    let problems = site.load(&format!("{TOP}{CONNECTORS}")).unwrap_err();
    let error = problems.iter().find(|problem| problem.severity == Severity::Error).unwrap();
    assert!(error.what.contains("expired on 2021-01-01"), "{error}");
    assert!(error.remedy.contains("sealpost certificate import FILE"), "{error}");
    assert!(!error.to_string().contains("auth_mechanism = []"), "{error}");
    site.loaded(
        &format!("{TOP}{CONNECTORS}").replace("[\"0.0.0.0:25\"]", "[\"0.0.0.0:25\"]\nauth_mechanism = []"),
    );
}

#[test]
fn relay_is_granted_to_loopback_and_to_named_networks() {
    let site = Site::new();
    for rest in [
        "bindings = [\"127.0.0.1:25\", \"[::1]:25\"]",
        "bindings = [\"0.0.0.0:25\"]\nremote_ip_ranges = [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::/32\"]",
    ] {
        site.loaded(&format!(
            "{TOP}[[receive_connector]]\nname = \"R\"\npermissions = [\"submit\", \"relay\"]\n{rest}\n"
        ));
    }
}

#[test]
fn a_private_anchor_or_a_pin_vouches_for_a_foreign_name() {
    let site = Site::new();
    let pin = "spki_pins = [\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]";
    for more in ["trust_anchors = [\"root.pem\"]", pin] {
        let text =
            format!("{TOP}{CONNECTORS}{PARTNER}certificate_names = [\"mx.provider.example\"]\n{more}\n");
        let warnings = site.problems(&text);
        assert!(warnings.is_empty(), "{}", lines(&warnings));
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let site = Site::new();
    site.write("recipients.txt", "info@contoso.example\nx@elsewhere.example\nnonsense\n");
    let problems = site.problems(
        r#"
hostnme = "mail1.contoso.example"
hostname = "mail1.contoso.example"

[trust]
anchors = ["nowhere.pem"]
revocation = "no"

[[accepted_domain]]
name = "contoso.example"
recipients = "recipients.txt"

[[receive_connector]]
name = "Internet"
bindings = ["0.0.0.0:25"]
permissions = ["relay"]
colour = "red"
"#,
    );
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let places: Vec<_> = errors.iter().map(|problem| (problem.line, problem.key.as_str())).collect();
    assert_eq!(
        places,
        [
            (None, "data_directory"),
            (Some(2), "hostnme"),
            (Some(6), "trust.anchors"),
            (Some(7), "trust.revocation"),
            (Some(13), "receive_connector.Internet.auth_mechanism"),
            (Some(16), "receive_connector.Internet.permissions"),
            (Some(17), "receive_connector.Internet.colour"),
            (Some(2), "accepted_domain.contoso.example.recipients"),
            (Some(3), "accepted_domain.contoso.example.recipients"),
        ],
        "{}",
        lines(&problems)
    );
    assert!(errors[8].file.ends_with("recipients.txt"));
}

#[test]
fn a_syntax_error_stands_alone() {
    let site = Site::new();
    let problems = site.problems("hostname = \"a\"\nthis is no TOML\n[que]\n");
    assert!(problems.iter().all(|problem| problem.what.starts_with("the file is not TOML")), "{problems:?}");
    assert_eq!(problems[0].line, Some(2));
    let twice = site.problems("hostname = \"a.example\"\nhostname = \"b.example\"\n");
    assert_eq!(twice[0].line, Some(2), "{}", lines(&twice));
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let site = Site::new();
    for path in [site.path("nowhere.toml"), site.path("")] {
        let problems = crate::config::load(&path).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("cannot read the configuration"), "{}", problems[0]);
    }
    let problems = crate::config::load(&site.write("latin1.toml", b"# \xe4\n")).unwrap_err();
    assert!(problems[0].what.contains("not UTF-8"));
}

#[test]
fn a_token_is_of_some_length_and_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let text = format!("{TOP}{CONNECTORS}\n[admin]\ntoken_file = \"admin.token\"\n");
    for (token, mode, wanted) in [
        ("0123456789abcdef0123456789abcdef\n", 0o600, None),
        ("0123456789abcdef0123456789abcdef\n", 0o644, Some("can be read or written by others")),
        ("secret\n", 0o600, Some("does not hold one token of 20 to 200")),
        ("two tokens of some length in one\n", 0o600, Some("does not hold one token")),
        ("", 0o600, Some("does not hold one token")),
    ] {
        let file = site.write("admin.token", token);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        match (site.load(&text), wanted) {
            (Ok(loaded), None) => {
                let kept = loaded.settings.admin.token.as_ref().unwrap();
                assert!(kept.is(token.trim().as_bytes()), "white space around it does not count");
                assert!(loaded.settings.watched_files.contains(&std::path::absolute(&file).unwrap()));
            }
            (Err(problems), Some(wanted)) => {
                assert!(problems.iter().any(|problem| problem.what.contains(wanted)), "{}", lines(&problems));
            }
            (Ok(_), Some(wanted)) => panic!("{token:?}, {mode:o}: loads, but {wanted}"),
            (Err(problems), None) => panic!("{}", lines(&problems)),
        }
    }
}
