//! `sealpost partner probe`: the walk told step by step, its verdict, and what to change.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use crate::cli::page::Page;
use crate::cli::print::print_out;
use crate::mail::Domain;
use crate::net::resolver::Resolver;
use crate::observe::partners::SeenCertificate;
use crate::policy::Settings;
use crate::relay::Asked;
use crate::relay::probe::{self, Advice, Gear, Judgement, Side, TargetWalk, Walk, suggest};

use crate::trust::{Direction, Mode, Verdict};

use super::{EXIT_CONFIGURATION, EXIT_NO, Failure, certificate, lists, load, words};

#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The partner's mail domain; with --inbound it may be left out
    #[arg(value_name = "DOMAIN", required_unless_present = "inbound", value_parser = parse_domain)]
    domain: Option<Domain>,
    /// Print a [[partner]] entry that would admit what was seen; it is unverified
    #[arg(long, conflicts_with = "inbound")]
    suggest: bool,
    /// Judge this certificate (PEM, DER or PKCS#7) as the one the partner sends mail with
    #[arg(long, value_name = "FILE")]
    inbound: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse_rooted(text).map_err(|error| error.to_string())
}

pub(super) fn run(args: &ProbeArgs, config: &Path) -> Result<ExitCode, Failure> {
    let settings = load(config)?;
    let chain = match args.inbound.as_deref().map(certificate::read).transpose() {
        Ok(chain) => chain,
        Err(error) => {
            eprintln!("sealpost partner: {error}");
            return Ok(ExitCode::from(EXIT_CONFIGURATION));
        }
    };
    let lists = Arc::new(lists(&settings));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::Answer(format!("cannot start threads: {error}; see how many processes this user may have"))
    })?;
    runtime.block_on(async {
        let resolver = Resolver::new(&settings.dns).map_err(|error| Failure::Answer(error.to_string()))?;
        let gear = Gear { settings: &settings, lists: &lists, resolver: &Arc::new(resolver) };
        match (&args.domain, &chain) {
            (_, Some(chain)) => inbound(args, judgements(gear, args.domain.as_ref(), chain).await),
            (Some(domain), None) => {
                let walk = probe::walk(gear, domain).await;
                Ok(outbound(args, gear, &walk).await)
            }
            (None, None) => Err(Failure::Answer("name the domain to walk to".to_owned())),
        }
    })
}

async fn judgements(
    gear: Gear<'_>,
    domain: Option<&Domain>,
    chain: &[CertificateDer<'static>],
) -> Vec<Judgement> {
    let listed = || gear.settings.transport.tls_receive_domain_secure_list.iter().cloned().collect();
    let domains: Vec<Domain> = domain.map_or_else(listed, |domain| vec![domain.clone()]);
    let mut all = Vec::new();
    for domain in &domains {
        all.push(probe::judge_inbound(gear, domain, chain).await);
    }
    all
}

async fn outbound(args: &ProbeArgs, gear: Gear<'_>, walk: &Walk) -> ExitCode {
    let suggestion = if args.suggest { suggest::suggest(gear, walk).await } else { None };
    if args.json {
        let mut value = json!(walk);
        if args.suggest {
            value["suggestion"] = json!(suggestion);
        }
        print_out(format!("{value:#}\n"));
    } else {
        let mut page = Page::default();
        walk_text(&mut page, gear.settings, walk);
        if args.suggest {
            suggestion_text(&mut page, suggestion.as_ref());
        }
        print_out(page.into_text());
    }
    if walk.admitted { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }
}

fn walk_text(page: &mut Page, settings: &Settings, walk: &Walk) {
    page.heading(&format!("Walk to {} at {}", walk.domain, walk.at));
    page.row("  ", "partner", walk.partner.as_deref().unwrap_or("none configured"));
    let list = match (walk.listed, walk.mode) {
        (true, Mode::Enforce) => "yes: mutual TLS or no mail",
        (true, Mode::Report) => "yes, in report mode: mail goes whatever is found here",
        (false, _) => "no: today mail goes without mutual TLS; judged here as if it were",
    };
    page.row("  ", "send list", list);
    page.row("  ", "connector", walk.connector.as_deref().unwrap_or("none"));
    match (&walk.own_certificate, &walk.own_problem) {
        (Some(own), _) => {
            page.row("  ", "we present", &format!("{}, until {}", own.subject, own.not_after));
            page.words("    ", &format!("sha256:{}", own.thumbprint));
        }
        (None, Some(problem)) => page.row("  ", "we present", &format!("nothing: {problem}")),
        (None, None) => {}
    }
    dns_text(page, walk);
    for target in &walk.targets {
        target_text(page, target);
    }
    lists_text(page, &walk.lists);
    policies_text(page, walk);
    verdict_text(page, walk);
    let advice = walk.advice.iter().chain(walk.targets.iter().flat_map(|target| &target.advice));
    advice_text(page, settings, &walk.domain, &advice.collect::<Vec<_>>());
}

fn dns_text(page: &mut Page, walk: &Walk) {
    let dns = &walk.dns;
    for exchange in &dns.exchanges {
        page.row("  ", "MX", &format!("{} {}", exchange.preference, exchange.host));
    }
    if let Some(note) = &dns.note {
        page.row("  ", "MX", note);
    }
    if let Some(validated) = dns.validated {
        page.row("  ", "", words::validated(validated));
    }
    if !dns.signed.is_empty() {
        page.row("  ", "DNSSEC", &dns.signed);
    }
    for host in &dns.hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let words = host.problem.clone().unwrap_or_else(|| addresses.join(", "));
        page.row("  ", "address", &format!("{}: {words}", host.host));
        if let Some(validated) = host.validated {
            page.row("  ", "", words::validated(validated));
        }
    }
}

/// Which policy rules over mail today, and what it wants and gets.
fn policies_text(page: &mut Page, walk: &Walk) {
    let policies = &walk.policies;
    if policies.hosts.is_empty() {
        return;
    }
    page.heading("Policy that rules over mail today");
    page.row("  ", "DNSSEC here", if policies.dnssec { "yes" } else { "no: DANE is not used" });
    if let Some(words) = &policies.mta_sts {
        page.row("  ", "MTA-STS", words);
    }
    for host in &policies.hosts {
        let mode = if host.mode == Mode::Report { ", report mode" } else { "" };
        let judged = host.wanted_got.as_deref().unwrap_or("not judged");
        page.row(
            "  ",
            "policy",
            &format!("{} ({}): {}{mode}, {judged}", host.host, host.address, host.policy),
        );
        for record in &host.tlsa {
            page.row("  ", "TLSA", record);
        }
        if let Some(problem) = &host.problem {
            page.words("    ", problem);
        }
    }
}

fn target_text(page: &mut Page, target: &TargetWalk) {
    page.heading(&format!("{} ({})", target.host, target.address));
    if let Some(why) = &target.unreachable {
        page.row("  ", "connection", &format!("no: {why}"));
        return;
    }
    page.row("  ", "connection", "yes");
    for line in &target.conversation {
        page.words("    ", line);
    }
    if let Some(tls) = &target.tls {
        let key_exchange = tls.key_exchange.as_deref().map(|kx| format!(", {kx}")).unwrap_or_default();
        page.row("  ", "TLS", &format!("{} {}{key_exchange}", tls.protocol, tls.cipher_suite));
    }
    for (index, certificate) in target.certificates.iter().enumerate() {
        certificate_text(page, if index == 0 { "certificate" } else { "chain" }, certificate);
    }
    if let Some(own) = &target.own_certificate {
        page.row("  ", "ours", own);
    }
    if let Some(why) = &target.broke_off {
        page.row("  ", "broke off", why);
    }
    match &target.verdict {
        Some(verdict) => checks(page, verdict),
        None => page.row("  ", "verdict", "none: it did not come to TLS"),
    }
}

fn certificate_text(page: &mut Page, label: &str, certificate: &SeenCertificate) {
    page.row("  ", label, &format!("{}, {}", certificate.subject, certificate.key));
    page.row("  ", "", &format!("issued by {}", certificate.issuer));
    page.row("  ", "", &format!("valid {} to {}", certificate.not_before, certificate.not_after));
    if !certificate.names.is_empty() {
        page.row("  ", "", &format!("names {}", certificate.names.join(", ")));
    }
    if label == "certificate" {
        page.row("  ", "", &format!("pin {}", certificate.pin));
    }
    page.words("    ", &format!("sha256:{}", certificate.thumbprint));
}

/// Every check that was made, passed and failed.
fn checks(page: &mut Page, verdict: &Verdict) {
    let passed: Vec<&str> = verdict.verified.iter().map(|check| check.as_str()).collect();
    if !passed.is_empty() {
        page.row("  ", "passed", &passed.join(", "));
    }
    for list in &verdict.lists_used {
        let end = list.good_until().map_or_else(String::new, |end| format!(", good until {end}"));
        page.row("  ", "list", &format!("{}{end}", crate::trust::printable(&list.source)));
    }
    for fact in &verdict.facts {
        page.row("  ", "failed", &format!("{}: {}", fact.fault, fact.detail));
    }
    let words = match verdict.fault() {
        None if verdict.is_good() => "admitted".to_owned(),
        None => "not admitted".to_owned(),
        Some(fault) => format!("not admitted: {fault}"),
    };
    page.row("  ", "verdict", &words);
}

/// What was fetched for this walk; what files and cache hold is told with the verdict.
fn lists_text(page: &mut Page, lists: &[Asked]) {
    if lists.is_empty() {
        return;
    }
    page.heading("Revocation lists asked for");
    for asked in lists {
        let outcome = match (&asked.good_until, &asked.error) {
            (_, Some(error)) => format!("failed: {error}"),
            (Some(end), None) => format!("good until {end}"),
            (None, None) => "without an end".to_owned(),
        };
        page.words("  ", &asked.url);
        page.words("    ", &format!("of {}: {outcome}", asked.issuer));
    }
}

fn verdict_text(page: &mut Page, walk: &Walk) {
    page.heading("Verdict");
    let good = walk.targets.iter().filter(|target| target.admitted()).count();
    let words = match (&walk.obstacle, walk.admitted) {
        (Some(obstacle), _) => format!("not admitted: {obstacle}"),
        (None, true) => format!("admitted by {good} of {} next hops", walk.targets.len()),
        (None, false) => "not admitted: no next hop would get mail under mutual TLS".to_owned(),
    };
    page.words("  ", &words);
}

/// What to change: theirs as a mail, ours as a list.
fn advice_text(page: &mut Page, settings: &Settings, domain: &Domain, advice: &[&Advice]) {
    let of = |side| {
        let mut words: Vec<&str> =
            advice.iter().filter(|a| a.side == side).map(|a| a.words.as_str()).collect();
        words.dedup();
        words
    };
    let (theirs, ours) = (of(Side::Theirs), of(Side::Ours));
    if !theirs.is_empty() {
        page.heading(&format!("What {domain} can change (to be pasted into a mail)"));
        page.words("  ", &format!("To postmaster@{domain}:"));
        page.words(
            "  ",
            &format!("Our server {} wants to exchange mail with you over mutual TLS.", settings.hostname),
        );
        theirs.iter().for_each(|words| page.item("  ", words));
    }
    if !ours.is_empty() {
        page.heading("What we can change");
        ours.iter().for_each(|words| page.item("  ", words));
    }
}

fn suggestion_text(page: &mut Page, suggestion: Option<&suggest::Suggestion>) {
    page.heading("Suggested entry");
    let Some(suggestion) = suggestion else {
        page.words("  ", "None: no server showed a certificate, and no entry admits that.");
        return;
    };
    suggestion.toml.lines().for_each(|line| page.verbatim("", line));
    let files = [
        (&suggestion.anchor_file, &suggestion.anchor_pem),
        (&suggestion.intermediates_file, &suggestion.intermediates_pem),
    ];
    for file in files {
        let (Some(name), Some(pem)) = file else { continue };
        page.heading(&format!("{name}, to be saved beside the configuration"));
        pem.lines().for_each(|line| page.verbatim("", line));
    }
}

/// With a domain its judgement; without one whom on the receive list the certificate would prove.
fn inbound(args: &ProbeArgs, all: Vec<Judgement>) -> Result<ExitCode, Failure> {
    let admitted = all.iter().any(|judgement| judgement.verdict.is_good());
    if all.is_empty() {
        return Err(Failure::Answer("the receive list is empty; name a domain".to_owned()));
    }
    let shown: Vec<Judgement> = match (&args.domain, admitted) {
        (None, true) => all.into_iter().filter(|judgement| judgement.verdict.is_good()).collect(),
        (Some(_), _) | (None, false) => all,
    };
    if args.json {
        let value = match args.domain {
            Some(_) => json!(shown.first()),
            None => json!(shown),
        };
        print_out(format!("{value:#}\n"));
    } else {
        let mut page = Page::default();
        for judgement in &shown {
            judgement_text(&mut page, judgement);
        }
        print_out(page.into_text());
    }
    Ok(if admitted { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn judgement_text(page: &mut Page, judgement: &Judgement) {
    let direction = super::words::direction(Direction::Inbound);
    page.heading(&format!("{direction} mail from {}", judgement.domain));
    page.row("  ", "partner", judgement.partner.as_deref().unwrap_or("none configured"));
    if !judgement.listed {
        page.row("  ", "receive list", "no: judged as if it were");
    }
    for (index, certificate) in judgement.certificates.iter().enumerate() {
        certificate_text(page, if index == 0 { "certificate" } else { "chain" }, certificate);
    }
    checks(page, &judgement.verdict);
    if let Some(reply) = &judgement.reply {
        page.row("  ", "MAIL hears", reply);
    }
    let of = |side| judgement.advice.iter().filter(move |advice| advice.side == side);
    if of(Side::Theirs).next().is_some() {
        page.heading(&format!("What {} can change (to be pasted into a mail)", judgement.domain));
        of(Side::Theirs).for_each(|advice| page.item("  ", &advice.words));
    }
    if of(Side::Ours).next().is_some() {
        page.heading("What we can change");
        of(Side::Ours).for_each(|advice| page.item("  ", &advice.words));
    }
}
