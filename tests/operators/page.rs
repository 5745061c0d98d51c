//! The status page: who gets in, who does not, what is shown, and what may be done.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sealpost::cli::demo::client::{Client, Disguise, Letter, send};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::common::{Edge, OURS, PARTNER, PARTNER_HOST, PATIENCE, STRANGER, STRANGER_HOST, Site};
use crate::web::{Answer, Browser, request};

const TOKEN: &str = "correct-horse-battery-staple";
/// What somebody would like the page to run.
const MARKUP: &str = "<img src=x onerror=window.owned=1>";
/// How the keyboard's place is shown; behind the last stop the document itself has it.
const OUTLINE: &str = "const one = document.activeElement; \
     return one === document.body ? 'solid' : getComputedStyle(one).outlineStyle";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

fn write_token(site: &Site, token: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(site.path("admin.token"), format!("{token}\n")).unwrap();
    std::fs::set_permissions(site.path("admin.token"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Contoso's edge with a status page.
fn start(site: &Site, allow_steering: bool) -> Edge {
    write_token(site, TOKEN);
    site.start_edge_with(&settings(site, allow_steering))
}

fn settings(site: &Site, allow_steering: bool) -> String {
    let page = format!(
        "listen = \"127.0.0.1:0\"\ntoken_file = \"admin.token\"\nallow_steering = {allow_steering}\n"
    );
    let verbose = "name = \"Internet\"\naddress_spaces = [\"*\"]\nprotocol_logging_level = \"verbose\"\n";
    site.settings("")
        .replace("listen = \"127.0.0.1:0\"\n", &page)
        .replace("name = \"Internet\"\naddress_spaces = [\"*\"]\n", verbose)
}

/// A next hop that answers everything behind its greeting with one line.
async fn next_hop(address: SocketAddr, greeting: String, answer: String) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (greeting, answer) = (greeting.clone(), answer.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                // The edge may hang up at any time.
                let _ = stream.write_all(format!("{greeting}\r\n").as_bytes()).await;
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
                    line.clear();
                }
            });
        }
    });
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

async fn api(edge: &Edge, line: &str, body: Option<&Value>) -> Answer {
    request(edge.admin, line, &[&bearer(TOKEN)], body).await
}

/// Waits until `/api` shows it.
async fn until(edge: &Edge, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = api(edge, &format!("GET {path}"), None).await.json();
        if holds(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{path}: {answer:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn audit(site: &Site) -> String {
    std::fs::read_to_string(site.path("data/audit.log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_no_page() {
    let site = Site::new().await;
    let edge = site.start_edge("");
    for line in [
        "GET /",
        "GET /page/main.js",
        "GET /session",
        "GET /api/overview",
        "POST /sign-in",
        "POST /api/queue/retry",
    ] {
        let answer = request(edge.admin, line, &[&bearer("")], Some(&json!({ "token": "" }))).await;
        assert_eq!(answer.status, 404, "{line}: {answer:?}");
    }
    assert_eq!(request(edge.admin, "GET /healthz", &[], None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_holds_the_token_gets_in_and_other_sites_never() {
    let site = Site::new().await;
    let edge = start(&site, false);
    let page = request(edge.admin, "GET /", &[], None).await;
    assert_eq!(page.status, 200);
    let policy = page.field("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none'",
        "trusted-types 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.field(name), Some(value));
    }

    let get = async |fields: &[&str]| request(edge.admin, "GET /api/overview", fields, None).await.status;
    assert_eq!(get(&[]).await, 401);
    assert_eq!(get(&[&bearer("wrong")]).await, 401);
    assert_eq!(get(&["Authorization: Basic Y29ycmVjdA=="]).await, 401);
    assert_eq!(get(&[&bearer(TOKEN)]).await, 200);
    assert_eq!(get(&[&bearer(TOKEN), "Host: rebound.example"]).await, 421);

    let origin = format!("Origin: http://{}", edge.admin);
    let token = json!({ "token": TOKEN });
    let sign_in =
        async |fields: &[&str], body: &Value| request(edge.admin, "POST /sign-in", fields, Some(body)).await;
    assert_eq!(sign_in(&[], &token).await.status, 403, "a form of another site sends no Origin of ours");
    assert_eq!(sign_in(&["Origin: http://evil.example"], &token).await.status, 403);
    assert_eq!(sign_in(&[&origin], &json!({ "token": "wrong" })).await.status, 401);
    let signed_in = sign_in(&[&origin], &token).await;
    assert_eq!(signed_in.status, 200);
    let cookie = signed_in.field("set-cookie").unwrap();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "over plain HTTP a browser would not send it back");
    let https = format!("Origin: https://{}", edge.admin);
    assert!(sign_in(&[&https], &token).await.field("set-cookie").unwrap().ends_with("; Secure"));

    let cookie = format!("Cookie: a=b; {}", cookie.split(';').next().unwrap());
    assert_eq!(get(&[&cookie]).await, 200);
    let session = request(edge.admin, "GET /session", &[&cookie], None).await.json();
    assert_eq!((&session["signed_in"], &session["allow_steering"]), (&json!(true), &json!(false)));
    let retry = json!({ "next_hop": "x.example" });
    let steer = async |fields: &[&str]| {
        request(edge.admin, "POST /api/queue/retry", fields, Some(&retry)).await.status
    };
    assert_eq!(steer(&[&cookie]).await, 403, "a cookie without an Origin");
    assert_eq!(steer(&[&cookie, "Origin: http://evil.example"]).await, 403);
    assert_eq!(steer(&[&cookie, &origin]).await, 403, "steering is off");
    assert_eq!(request(edge.admin, "POST /sign-out", &[&cookie, &origin], None).await.status, 200);
    assert_eq!(get(&[&cookie]).await, 401);

    let again = sign_in(&[&origin], &token).await;
    let cookie = format!("Cookie: {}", again.field("set-cookie").unwrap().split(';').next().unwrap());
    write_token(&site, "another-token-of-some-length");
    edge.server.signal(Signal::HUP).unwrap();
    let mut status = 200;
    for _ in 0..100 {
        status = get(&[&cookie]).await;
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 401, "the session ended with its token");
    assert_eq!(get(&[&bearer("another-token-of-some-length")]).await, 200);
    let audit = audit(&site);
    assert_eq!(audit.matches("what=\"sign-in refused\"").count(), 2, "{audit}");
    assert!(audit.contains("what=\"sign-in\"") && audit.contains("what=\"sign-out\""), "{audit}");
    assert!(!audit.contains(TOKEN) && !site.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_soon_not_heard_any_more() {
    let site = Site::new().await;
    let edge = start(&site, false);
    let offer = async |token: &str| request(edge.admin, "GET /api/overview", &[&bearer(token)], None).await;
    for guess in 0..10 {
        assert_eq!(offer(&guess.to_string()).await.status, 401);
    }
    let blocked = offer("11").await;
    assert_eq!(blocked.status, 429, "{blocked:?}");
    assert!(blocked.json()["error"].as_str().unwrap().contains("too many wrong tokens"));
    assert_eq!(offer(TOKEN).await.status, 200, "who knows the token is not kept out by who guesses");
    let metrics = request(edge.admin, "GET /metrics", &[], None).await.body;
    for (result, count) in [("ok", 0), ("failed", 10), ("blocked", 1)] {
        let series = format!("sealpost_admin_sign_ins_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&series), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_shows_what_happened_and_does_what_it_is_asked() {
    let site = Site::new().await;
    next_hop(site.network.at(PARTNER_HOST), "220 mx".to_owned(), "250 mx".to_owned()).await;
    let edge = start(&site, true);
    let letter = Letter::new(&format!("alice@{OURS}"), &format!("bob@{PARTNER}"), "one");
    assert_eq!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    let found =
        until(&edge, "/api/destinations", |answer| answer["destinations"][0]["fault"].is_string()).await;
    let queue = &found["destinations"][0];
    assert_eq!(queue["fault"], "StartTlsNotOffered", "{found:#}");
    assert_eq!((&queue["tls_domain"], &queue["recipients"]), (&json!(PARTNER), &json!(1)));

    let listed = api(&edge, &format!("GET /api/messages?recipient=bob@{PARTNER}"), None).await.json();
    let id = listed["messages"][0]["id"].as_str().unwrap();
    let one = api(&edge, &format!("GET /api/messages/{id}"), None).await.json();
    assert_eq!((&one["why"]["fault"], &one["message"]["id"]), (&json!("StartTlsNotOffered"), &json!(id)));
    assert!(api(&edge, "GET /api/messages/01A2", None).await.json()["error"].is_string());
    let traced = until(&edge, &format!("/api/trace?sender=alice@{OURS}"), |answer| {
        answer["messages"][0]["events"].as_array().is_some_and(|events| events.len() >= 2)
    })
    .await;
    assert_eq!(traced["messages"][0]["queue_id"], id, "{traced:#}");
    let partners = api(&edge, "GET /api/partners", None).await.json();
    let failed = &partners["partners"][0]["seen"][0]["last_failed"];
    let session = failed["session"].as_str().unwrap();
    let lines =
        until(&edge, &format!("/api/sessions/{session}?at={}", failed["at"].as_str().unwrap()), |answer| {
            answer["lines"].as_array().is_some_and(|lines| lines.len() > 3)
        })
        .await;
    assert_eq!(lines["lines"][0]["session"], session);
    let history = until(&edge, "/api/history", |answer| {
        answer["history"][0]["points"]
            .as_array()
            .is_some_and(|points| points.iter().any(|point| point["received"] == 1))
    })
    .await;
    assert_eq!(history["history"][1]["step"], 60);

    // The live log begins with who looks, and tells a partner's sessions from others.
    let first = api(&edge, "GET /api/log", None).await.json();
    let live = async |from: &Value| {
        api(&edge, &format!("GET /api/log?from={from}&partner=Woodgrove"), None).await.json()
    };
    let mut stranger = Client::connect(edge.internet, Disguise::Clear).await.unwrap();
    let mut impostor = Client::connect(edge.internet, Disguise::Clear).await.unwrap();
    stranger.command(&format!("MAIL FROM:<carol@{STRANGER}>")).await.unwrap();
    impostor.command(&format!("MAIL FROM:<bob@{PARTNER}>")).await.unwrap();
    let shown = live(&first["next"]).await;
    let texts: Vec<&str> =
        shown["lines"].as_array().unwrap().iter().filter_map(|line| line["data"].as_str()).collect();
    assert!(texts.iter().any(|text| text.contains(PARTNER)), "{shown:#}");
    assert!(!texts.iter().any(|text| text.contains(STRANGER)), "{shown:#}");
    assert_eq!(api(&edge, "GET /api/log?partner=nobody", None).await.status, 400);

    assert_eq!(api(&edge, "GET /api/queue/retry", None).await.status, 405, "nothing is changed by GET");
    let none = api(&edge, "POST /api/queue/remove", Some(&json!({}))).await;
    assert_eq!(none.status, 400, "nobody means everything by saying nothing: {none:?}");
    let done = api(&edge, "POST /api/queue/suspend", Some(&json!({ "id": id }))).await.json();
    assert_eq!(done["messages"], 1, "{done}");
    until(&edge, "/api/destinations", |answer| answer["destinations"][0]["suspended"] == 1).await;
    let rule = api(&edge, "POST /api/holds", Some(&json!({ "domain": "Fabrikam.example" }))).await.json();
    assert_eq!(rule["rule"]["domain"], "fabrikam.example", "{rule}");
    let number = &rule["rule"]["number"];
    let released = api(&edge, "POST /api/holds/release", Some(&json!({ "numbers": [number] }))).await;
    assert_eq!(released.status, 200, "{released:?}");
    let removed = api(&edge, "POST /api/queue/remove", Some(&json!({ "id": id, "dsn": false }))).await.json();
    assert_eq!(removed["messages"], 1, "{removed}");
    let audit = audit(&site);
    for what in ["queue suspend", "queue hold", "queue release", "queue remove --no-dsn"] {
        let line = audit.lines().find(|line| line.contains(&format!("what=\"{what}")));
        assert!(line.is_some_and(|line| line.contains("user=\"api from 127.0.0.1:")), "{what}: {audit}");
    }
}

/// The page on which the status stands, as a browser shows it.
struct Shown<'a> {
    browser: &'a Browser,
}

impl Shown<'_> {
    async fn view(&self, hash: &str, heading: &str) {
        self.browser.script(&format!("location.hash = {}", json!(hash))).await;
        self.headed(heading).await;
    }

    async fn headed(&self, heading: &str) {
        let script = format!("return document.querySelector('#view h1')?.textContent === {}", json!(heading));
        self.browser.until(heading, &script).await;
    }

    async fn says(&self, text: &str) {
        let script = format!("return document.querySelector('#view').innerText.includes({})", json!(text));
        self.browser.until(text, &script).await;
    }
}

/// Mail that goes and mail that does not, names and replies that are markup.
async fn trouble(site: &Site, edge: &Edge) {
    let good = Letter::new(&format!("bob@{PARTNER}"), &format!("alice@{OURS}"), "good");
    let reply = send(edge.internet, Disguise::Certificate(&site.partner), &good).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let bad = Letter::new(&format!("eve@{PARTNER}"), &format!("alice@{OURS}"), "bad");
    assert_eq!(send(edge.internet, Disguise::Anonymous, &bad).await.unwrap().code, 550);
    for to in [PARTNER, STRANGER] {
        let letter = Letter::new(&format!("alice@{OURS}"), &format!("bob@{to}"), "out");
        assert_eq!(send(edge.internal, Disguise::Clear, &letter).await.unwrap().code, 250);
    }
    until(edge, "/api/destinations", |answer| {
        let queues = answer["destinations"].as_array().unwrap();
        queues.len() == 2 && queues.iter().all(|queue| queue["last_reply"].is_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_it_all_and_runs_nothing_of_others() {
    let site = Site::new().await;
    let markup = format!("250 {MARKUP}");
    next_hop(site.network.at(PARTNER_HOST), format!("220 {MARKUP}"), markup).await;
    next_hop(site.network.at(STRANGER_HOST), "220 mx".to_owned(), format!("451 4.3.0 {MARKUP}")).await;
    let edge = start(&site, true);
    trouble(&site, &edge).await;
    let Some(browser) = Browser::start("a_browser_shows_it_all_and_runs_nothing_of_others").await else {
        return;
    };
    let shown = Shown { browser: &browser };

    // Signing in by the keyboard alone.
    browser.open(&format!("http://{}/", edge.admin)).await;
    browser
        .until(
            "the sign-in form",
            "return !document.getElementById('sign-in').hidden && document.activeElement.id === 'token'",
        )
        .await;
    browser.press(&format!("wrong{ENTER}")).await;
    browser
        .until(
            "the refusal",
            "return document.getElementById('status').textContent.includes('not the admin token')",
        )
        .await;
    assert_eq!(browser.complaints().await.len(), 1, "the console names the refused request and nothing else");
    browser.press(&format!("{TOKEN}{ENTER}")).await;
    shown.headed("Overview").await;
    shown.says(&format!("{PARTNER}: StartTlsNotOffered; 1 recipient waits")).await;
    let told = "return document.querySelector('#view').innerText.split('StartTlsNotOffered').length - 1";
    assert_eq!(browser.script(told).await, 1, "what is wrong is said once");
    browser.until("the zone", "return document.querySelector('#view').innerText.includes(' UTC')").await;
    browser.picture("overview").await;

    // And walking: to a view, and past the navigation to the content.
    let mut steps = 0;
    while browser.script("return document.activeElement.textContent").await != "Partners" {
        steps += 1;
        assert!(steps < 40, "the views are not among the stops of the keyboard");
        browser.press(TAB).await;
        let outline = browser.script(OUTLINE).await;
        assert_eq!(outline, "solid", "where the keyboard stands must be seen");
    }
    browser.press(ENTER).await;
    shown.headed("Partners").await;
    for text in [
        "failing",
        "last one refused",
        "NoCertificate",
        "StartTlsNotOffered",
        "CN=woodgrove.example,O=Woodgrove",
        "Serves until",
    ] {
        shown.says(text).await;
    }
    browser.picture("partners").await;

    // What others wrote is text.
    shown.view("queues", "Queues").await;
    browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })").await;
    shown.says(MARKUP).await;
    browser.picture("queues").await;
    shown.view("log", "Protocol log").await;
    shown.says("0 lines").await;
    let mut client = Client::connect(edge.internet, Disguise::Clear).await.unwrap();
    client.command(&format!("EHLO {MARKUP}")).await.unwrap();
    client.command(&format!("MAIL FROM:<eve@{PARTNER}>")).await.unwrap();
    shown.says(MARKUP).await;
    shown.says("TlsNotStarted").await;
    browser.picture("log").await;
    shown.view(&format!("messages?what=recipient&text=@{STRANGER}"), "Messages").await;
    shown.says(MARKUP).await;
    shown.says("DEFER").await;
    browser.picture("messages").await;
    assert_eq!(
        browser.script("return window.owned ?? document.querySelectorAll('img[src=x]').length").await,
        0
    );

    steering(&site, &edge, &shown).await;
    layout(&edge, &shown).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// Buttons where they are allowed, none where they are not, and every press in the audit log.
async fn steering(site: &Site, edge: &Edge, shown: &Shown<'_>) {
    let browser = shown.browser;
    shown.view("queues", "Queues").await;
    let press = format!(
        "const button = document.querySelector('[aria-label=\"Suspend mail for {STRANGER}\"]'); button?.click(); return button !== null"
    );
    browser.until("the button", &press).await;
    browser
        .until("what was done", "return document.getElementById('status').textContent.includes('1 message')")
        .await;
    shown.says("suspended").await;
    let line = audit(site).lines().find(|line| line.contains("queue suspend")).map(str::to_owned).unwrap();
    assert!(line.contains("user=\"status page session ") && line.contains(STRANGER), "{line}");

    // What cannot be undone is asked about, and Escape means no.
    shown.view(&format!("messages?what=recipient&text=bob@{STRANGER}"), "Messages").await;
    browser.until("its link", "const link = document.querySelector('#view td a, #view th a'); link?.click(); return link !== null").await;
    browser.until("the button", "const all = [...document.querySelectorAll('button')]; const one = all.find((b) => b.textContent === 'Remove…'); one?.click(); return one !== undefined").await;
    browser.until("the question", "return document.querySelector('dialog')?.open").await;
    browser.press("\u{e00c}").await;
    browser.until("its end", "return document.querySelector('dialog') === null").await;
    until(edge, "/api/destinations", |answer| answer["count"] == 2).await;

    site.write_settings(&settings(site, false));
    edge.server.signal(Signal::HUP).unwrap();
    let session = format!("http://{}/", edge.admin);
    let off = "return document.getElementById('view').innerText.includes('Steering is off')";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        browser.open(&session).await;
        shown.headed("Overview").await;
        shown.view("queues", "Queues").await;
        shown.says(STRANGER).await;
        if browser.script(off).await == true {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the page does not hear of the setting");
    }
    assert_eq!(browser.script("return document.querySelectorAll('#view button').length").await, 0);
    let refused = api(edge, "POST /api/queue/resume", Some(&json!({ "next_hop": STRANGER }))).await;
    assert_eq!(refused.status, 403, "{refused:?}");
}

/// Every view on a phone, and in the dark.
async fn layout(edge: &Edge, shown: &Shown<'_>) {
    let browser = shown.browser;
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    browser.chromium("Emulation.setDeviceMetricsOverride", phone).await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.script(ground).await;
    browser
        .chromium(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
        )
        .await;
    assert_ne!(browser.script(ground).await, light, "dark is not light");
    browser.open(&format!("http://{}/", edge.admin)).await;
    for (hash, heading) in [
        ("overview", "Overview"),
        ("partners", "Partners"),
        ("queues", "Queues"),
        ("messages?what=sender&text=alice@contoso.example", "Messages"),
        ("log", "Protocol log"),
    ] {
        shown.view(hash, heading).await;
        browser.until("its content", "return document.querySelectorAll('#view > *').length > 1").await;
        browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })").await;
        let width = browser.script("return document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= 360, "{heading} is {width} wide");
        browser.picture(&format!("phone-{}", heading.to_lowercase().replace(' ', "-"))).await;
    }
    // Tables keep what they are when they are shown as cards, and every field has a name.
    let unnamed = "return [...document.querySelectorAll('input, select, button')].filter((one) => !one.hidden && !one.closest('[hidden]') && one.labels?.length === 0 && !one.textContent && !one.ariaLabel).length";
    assert_eq!(browser.script(unnamed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_although_somebody_follows_its_log() {
    let site = Site::new().await;
    let edge = start(&site, false);
    let first = api(&edge, "GET /api/log", None).await.json();
    let (admin, line) = (edge.admin, format!("GET /api/log?from={}", first["next"]));
    let follower = tokio::spawn(async move { request(admin, &line, &[&bearer(TOKEN)], None).await.status });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let server = edge.server;
    let stopped = tokio::task::spawn_blocking(move || server.stop()).await.unwrap().unwrap();
    assert!(stopped.success(), "{stopped}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(follower.await.unwrap(), 200, "who follows hears the end");
}
