//! The alert rules and the dashboard, by the programs they are made for: promtool, and a Prometheus
//! that scrapes a running server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealpost::cli::demo::client::{Client, Disguise, Letter, send};
use serde_json::Value;

use crate::common::{Network, OURS, PATIENCE, Site, tool};
use crate::web::request;

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(file)
}

#[test]
fn promtool_finds_the_rules_good_and_the_cases_hold() {
    let test = "promtool_finds_the_rules_good_and_the_cases_hold";
    let Some(promtool) = tool(test, "promtool") else { return };
    for (verb, file) in [("check", "alerts.yml"), ("test", "alerts_test.yml")] {
        let output = Command::new(&promtool).args([verb, "rules"]).arg(monitoring(file)).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{verb} {file}: {}", String::from_utf8_lossy(&text));
    }
}

/// A rule that no case has fired is one that may never fire.
#[test]
fn every_alert_fires_in_a_case() {
    let [rules, cases] =
        ["alerts.yml", "alerts_test.yml"].map(|file| std::fs::read_to_string(monitoring(file)).unwrap());
    let fired: BTreeSet<&str> = cases
        .split("alertname: ")
        .skip(1)
        .filter_map(|case| case.split_once('\n'))
        .filter(|(_, expected)| expected.trim_start().starts_with("exp_alerts:"))
        .map(|(name, _)| name)
        .collect();
    let named = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let silent: Vec<&str> = named.filter(|name| !fired.contains(name)).collect();
    assert!(!fired.is_empty() && silent.is_empty(), "{silent:?}");
}

/// A Prometheus of our own, ended when dropped.
struct Prometheus {
    address: SocketAddr,
    child: Child,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, site: &Site, scraped: SocketAddr) -> Self {
        let address = Network::reserve().free(1);
        let settings = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [{:?}]\nscrape_configs:\n  \
             - job_name: sealpost\n    static_configs:\n      - targets: [{:?}]\n",
            monitoring("alerts.yml"),
            scraped.to_string()
        );
        std::fs::write(site.path("prometheus.yml"), settings).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", site.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", site.path("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(site.path("prometheus.log")).unwrap())
            .spawn()
            .unwrap();
        Self { address, child }
    }

    async fn get(&self, path: &str) -> Value {
        request(self.address, &format!("GET {path}"), &[], None).await.json()
    }

    async fn query(&self, expression: &str) -> Value {
        let query: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        self.get(&format!("/api/v1/query?query={query}")).await
    }

    /// It listens before it can answer.
    async fn is_ready(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
            && request(self.address, "GET /-/ready", &[], None).await.status == 200
    }

    /// Waits until an expression has at least so many series.
    async fn until(&self, expression: &str, series: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if self.is_ready().await {
                let answer = self.query(expression).await;
                if answer["data"]["result"].as_array().is_some_and(|found| found.len() >= series) {
                    return;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "{expression}: nothing came");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What the rules in force and the panels of the dashboard ask.
async fn expressions(prometheus: &Prometheus) -> Vec<String> {
    let mut found = Vec::new();
    let groups = prometheus.get("/api/v1/rules").await["data"]["groups"].take();
    for rule in groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        found.push(rule["query"].as_str().unwrap().to_owned());
    }
    assert!(found.len() >= 20, "{} rules are loaded", found.len());
    let dashboard: Value =
        serde_json::from_slice(&std::fs::read(monitoring("dashboard.json")).unwrap()).unwrap();
    let before = found.len();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let asked = target["expr"].as_str().unwrap();
            found.push(asked.replace("$__rate_interval", "1m").replace("$instance", ".*"));
        }
    }
    assert!(found.len() > before + 20, "the dashboard asks little");
    found
}

/// The names of our families in an expression, without what a histogram adds to them.
fn families(expression: &str) -> BTreeSet<String> {
    let names = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = names.filter(|name| name.starts_with("sealpost_"));
    ours.map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_scrapes_a_server_and_every_rule_and_panel_finds_its_counters() {
    let test = "a_prometheus_scrapes_a_server_and_every_rule_and_panel_finds_its_counters";
    let Some(program) = tool(test, "prometheus") else { return };
    let site = Site::new().await;
    let errors = "name = \"Internet\"\nmax_protocol_errors = 1\nbindings";
    let settings = site.settings("").replace("name = \"Internet\"\nbindings", errors);
    let edge = site.start_edge_with(&settings);
    let mut nonsense = Client::connect(edge.internet, Disguise::Clear).await.unwrap();
    // The last of them is not answered any more.
    while nonsense.command("NONSENSE").await.is_ok_and(|reply| reply.code == 500) {}
    let letter = Letter::new("carol@litware.example", &format!("alice@{OURS}"), "hello");
    assert_eq!(send(edge.internet, Disguise::Clear, &letter).await.unwrap().code, 250);
    site.arrival("carol@litware.example").await;
    let prometheus = Prometheus::start(&program, &site, edge.admin);
    prometheus.until("up{job=\"sealpost\"} == 1", 1).await;
    // Two scrapes, or there is no rate.
    prometheus.until("count_over_time(up{job=\"sealpost\"}[1m]) >= 3", 1).await;
    prometheus.until("ALERTS or vector(1)", 1).await;

    let metrics = request(edge.admin, "GET /metrics", &[], None).await.body;
    let exposed: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut asked = BTreeSet::new();
    for expression in expressions(&prometheus).await {
        let answer = prometheus.query(&expression).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        asked.extend(families(&expression));
    }
    for family in &asked {
        let name = family.strip_suffix("_total").unwrap_or(family);
        assert!(exposed.contains(name), "{family} is asked for, and no counter is called so");
    }
    // Those that are there from the start are series, with the labels that are asked for.
    for (expression, series) in [
        ("sum by (domain) (sealpost_domain_secure_messages_received_total)", 1),
        ("sum by (domain, fault, mode) (sealpost_domain_secure_inbound_failures_total)", 10),
        ("sum by (status) (sealpost_queue_messages)", 4),
        ("max by (resource) (sealpost_back_pressure)", 3),
        ("min by (role, subject) (sealpost_certificate_expiry_timestamp_seconds)", 2),
        ("min by (issuer) (sealpost_crl_next_update_timestamp_seconds)", 1),
        ("sum by (connector) (sealpost_messages_received_total) == 1", 1),
        ("histogram_quantile(0.99, sum by (le) (sealpost_accept_to_delivered_seconds_bucket)) > 0", 1),
    ] {
        prometheus.until(expression, series).await;
    }
}
