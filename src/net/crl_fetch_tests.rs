//! Against a server on loopback that gives what it should not.

use std::net::Ipv4Addr;

use super::*;
use crate::cli::demo::dns::{DnsServer, Zone};
use crate::policy::{DnsSettings, Dnssec};

#[path = "../../tests/common/http.rs"]
#[allow(dead_code, reason = "the whole-process tests use more of it")]
mod http;

use http::{HttpServer, Page, redirect};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Scene {
    server: HttpServer,
    resolver: Resolver,
    settings: CrlFetchSettings,
    _dns: DnsServer,
}

impl Scene {
    /// crl.example is the server; both.example is somewhere private as well; 8.8.8.8 is nowhere.
    async fn new() -> Self {
        let server = HttpServer::start(LOOPBACK).await;
        let zone = Zone::default()
            .address("crl.example", LOOPBACK)
            .alias("alias.example", "crl.example")
            .address("metadata.example", Ipv4Addr::new(169, 254, 169, 254));
        let dns = DnsServer::start(&zone).await.unwrap();
        let resolver =
            Resolver::new(&DnsSettings { servers: vec![dns.address()], dnssec: Dnssec::Off }).unwrap();
        let settings = CrlFetchSettings {
            enabled: true,
            timeout: Duration::from_secs(60),
            allow_private_addresses: true,
            proxy: None,
            max_age: None,
        };
        Self { server, resolver, settings, _dns: dns }
    }

    async fn fetch(&self, url: &str, validators: &Validators) -> Result<Fetched, FetchError> {
        Client { resolver: &self.resolver, settings: &self.settings }.fetch(url, validators).await
    }

    async fn list(&self, host: &str, path: &str) -> Result<Vec<u8>, FetchError> {
        match self.fetch(&self.server.url(host, path), &Validators::default()).await? {
            Fetched::List { bytes, .. } => Ok(bytes),
            Fetched::Unchanged => panic!("unchanged of nothing"),
        }
    }

    async fn error(&self, path: &str) -> String {
        self.list("crl.example", path).await.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn a_list_comes_as_it_is_by_name_alias_or_address() {
    let scene = Scene::new().await;
    scene.server.put("/root.crl?x=1", Page::Body(b"the list".to_vec()));
    for host in ["crl.example", "CRL.example.", "alias.example", "127.0.0.1"] {
        assert_eq!(scene.list(host, "/root.crl?x=1").await.unwrap(), b"the list", "{host}");
    }
    let head = scene.server.requests().remove(0).to_ascii_lowercase();
    assert!(head.contains(&format!("host: crl.example:{}\r\n", scene.server.address().port())), "{head}");
    assert!(!head.contains("if-none-match"), "{head}");
}

#[tokio::test]
async fn a_list_in_pieces_is_put_together() {
    let scene = Scene::new().await;
    let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nthe \r\n4\r\nlist\r\n0\r\n\r\n";
    scene.server.put("/root.crl", Page::Raw(raw.to_vec()));
    assert_eq!(scene.list("crl.example", "/root.crl").await.unwrap(), b"the list");
}

#[tokio::test]
async fn a_server_is_asked_whether_there_is_another_list() {
    let scene = Scene::new().await;
    let raw = "HTTP/1.1 200 OK\r\nETag: \"7\"\r\nLast-Modified: Mon, 02 Nov 2026 09:00:00 GMT\r\nContent-Length: 1\r\n\r\nx";
    scene.server.put("/root.crl", Page::Raw(raw.into()));
    let url = scene.server.url("crl.example", "/root.crl");
    let Ok(Fetched::List { validators, .. }) = scene.fetch(&url, &Validators::default()).await else {
        panic!("no list");
    };
    scene.server.put("/root.crl", Page::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
    assert!(matches!(scene.fetch(&url, &validators).await, Ok(Fetched::Unchanged)));
    let head = scene.server.requests().pop().unwrap().to_ascii_lowercase();
    assert!(head.contains("if-none-match: \"7\""), "{head}");
    assert!(head.contains("if-modified-since: mon, 02 nov 2026 09:00:00 gmt"), "{head}");
    let unasked = scene.fetch(&url, &Validators::default()).await.unwrap_err().to_string();
    assert!(unasked.contains("304"), "{unasked}");
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever_and_only_over_http() {
    let scene = Scene::new().await;
    scene.server.put("/root.crl", Page::Body(b"the list".to_vec()));
    scene.server.put("/moved", redirect("root.crl"));
    assert_eq!(scene.list("crl.example", "/moved").await.unwrap(), b"the list");
    scene.server.put("/round", redirect("/round"));
    let before = scene.server.requests().len();
    assert!(scene.error("/round").await.contains("more than 5 redirects"));
    assert_eq!(scene.server.requests().len() - before, 6);
    for (location, words) in [
        ("https://crl.example/root.crl", "not http"),
        ("file:///etc/passwd", "not http"),
        ("ldap://crl.example/x", "not http"),
        ("http://user:secret@crl.example/", "not a URL that we can ask"),
        ("http://[::1", "without a usable target"),
    ] {
        scene.server.put("/away", redirect(location));
        let error = scene.error("/away").await;
        assert!(error.contains(words), "{location}: {error}");
        assert!(!error.contains("secret") || location.contains("user"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_complete_list_is_an_error() {
    let scene = Scene::new().await;
    let too_large = vec![b'x'; usize::try_from(LIST_BYTES_MAX).unwrap() + 1];
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend_from_slice(&too_large);
    for (page, words) in [
        (Page::Raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec()), "answered 500"),
        (Page::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\nx".to_vec()), "more than 20 MB"),
        (Page::Raw(endless), "more than 20 MB"),
        (Page::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()), "broke off"),
        (Page::Raw(b"220 mail ESMTP\r\n".to_vec()), "broke off"),
        (
            Page::Raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx".to_vec()),
            "encoded as gzip",
        ),
    ] {
        scene.server.put("/bad", page);
        let error = scene.error("/bad").await;
        assert!(error.contains(words), "{error} (wanted: {words})");
    }
    assert!(scene.error("/absent").await.contains("answered 404"));
}

/// Nothing of ours may be reached by a name or number that somebody put into a certificate.
#[tokio::test]
async fn private_addresses_and_odd_ports_are_refused_unless_allowed() {
    let mut scene = Scene::new().await;
    scene.settings.allow_private_addresses = false;
    let error = scene.error("/root.crl").await;
    assert!(error.contains("is not one of 80 and 443"), "{error}");
    for (url, words) in [
        ("http://crl.example/x", "127.0.0.1, which is not public"),
        ("http://crl.example:443/x", "127.0.0.1, which is not public"),
        ("http://metadata.example/latest", "169.254.169.254, which is not public"),
        ("http://127.0.0.1/", "not public"),
        ("http://2130706433/", "not public"),
        ("http://0x7f.1/", "not public"),
        ("http://[::1]/", "not public"),
        ("http://[::ffff:127.0.0.1]/", "not public"),
        ("http://0.0.0.0/", "no address"),
        ("http://crl.example:25/", "port 25"),
        ("http://nowhere.example/", "no address"),
    ] {
        let error = scene.fetch(url, &Validators::default()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{url}: {error} (wanted: {words})");
    }
    assert!(scene.server.requests().is_empty());
}

/// Also behind a redirect from where we were allowed to ask.
#[tokio::test]
async fn every_hop_is_checked() {
    let scene = Scene::new().await;
    let allowed = Client { resolver: &scene.resolver, settings: &scene.settings };
    let target = Url::parse("http://crl.example/").unwrap();
    assert!(allowed.connect(&target).await.is_err_and(|error| matches!(error, FetchError::Connect { .. })));
    let strict = CrlFetchSettings { allow_private_addresses: false, ..scene.settings.clone() };
    let strict = Client { resolver: &scene.resolver, settings: &strict };
    let addresses = vec![LOOPBACK, "8.8.8.8".parse().unwrap(), "::1".parse().unwrap()];
    let permitted = strict.permitted("both.example", addresses).unwrap();
    assert_eq!(permitted, ["8.8.8.8".parse::<IpAddr>().unwrap()]);
    scene.server.put("/inside", redirect("http://127.0.0.1/"));
    let moved = Url::parse(&scene.server.url("crl.example", "/inside")).unwrap();
    let Ok(Answer::MovedTo(next)) = allowed.ask(&moved, &Validators::default()).await else {
        panic!("no redirect");
    };
    let error = strict.ask(&next, &Validators::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, FetchError::PrivateAddress { .. }), "{error}");
}

#[tokio::test]
async fn a_proxy_is_given_the_whole_url_and_may_be_private_itself() {
    let mut scene = Scene::new().await;
    let port = scene.server.address().port();
    let host = SmartHostName::Name("crl.example".parse().unwrap());
    scene.settings.proxy = Some(HttpProxy { host, port });
    scene.settings.allow_private_addresses = false;
    scene.server.put("http://crl.public.example/root.crl", Page::Body(b"the list".to_vec()));
    let url = "http://crl.public.example/root.crl";
    let fetched = scene.fetch(url, &Validators::default()).await.unwrap();
    assert!(matches!(fetched, Fetched::List { bytes, .. } if bytes == b"the list"));
    for (url, words) in [("http://10.0.0.1/", "not public"), ("http://crl.public.example:8080/", "port 8080")]
    {
        let error = scene.fetch(url, &Validators::default()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{url}: {error}");
    }
    assert_eq!(scene.server.requests().len(), 1);
}
