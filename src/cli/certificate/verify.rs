//! `sealpost certificate verify`: the judgement the server makes, offline, on any PEM or DER.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::disk;
use crate::mail::Domain;
use crate::trust::{
    AnchorSet, CertificateDemand, CertificateFacts, CertificateFindings, Check, Fault, Level, NamePattern,
    RevocationDepth, RevocationList, RevocationListError, RevocationMode, RevocationSet, SpkiPin,
    TrustPolicy, UsagePolicy, certificates_from_pem_or_der, judge_certificates, printable,
};

/// Largest file read: revocation lists of public authorities reach some tens of megabytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// PEM or DER; the first certificate is the end-entity, the rest in any order
    #[arg(long, value_name = "FILE")]
    pub chain: PathBuf,
    /// Domain to be proved (".x.example": any host below it); of several any one suffices; none: no name check
    #[arg(long = "name", value_name = "DOMAIN", value_parser = parse_name)]
    pub names: Vec<NamePattern>,
    /// Trust anchors: a PEM or DER file, "system", "mozilla", or "none" with --pin [default: system]
    #[arg(long = "anchors", value_name = "FILE")]
    pub anchors: Vec<String>,
    /// Revocation lists: PEM or DER
    #[arg(long = "crl", value_name = "FILE")]
    pub crls: Vec<PathBuf>,
    /// OCSP response as a server staples it to its certificate: DER
    #[arg(long, value_name = "FILE")]
    pub ocsp: Option<PathBuf>,
    /// Judge as of this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// The usage that every certificate below the anchor must allow
    #[arg(long, value_enum, default_value = "either")]
    pub usage: UsageArg,
    /// What to do about certificates without a current revocation list
    #[arg(long, value_enum, default_value = "hard-fail")]
    pub revocation: RevocationArg,
    /// Which certificates need a revocation list
    #[arg(long, value_enum, default_value = "chain")]
    pub revocation_depth: DepthArg,
    /// sha256/BASE64 of the end-entity's key; of several any one must match
    #[arg(long = "pin", value_name = "PIN", value_parser = SpkiPin::from_str)]
    pub pins: Vec<SpkiPin>,
    /// Print the judgement as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum UsageArg {
    Client,
    Server,
    Either,
    Any,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RevocationArg {
    HardFail,
    SoftFail,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DepthArg {
    Chain,
    EndEntity,
}

/// Why no judgement was made: exit status 2.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("{path}: cannot be read ({error}); give a readable file", path = path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{path}: larger than 256 MiB; give the certificates alone", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("{path}: neither PEM nor DER; give a file of certificates", path = path.display())]
    NotCertificates { path: PathBuf },
    #[error("{0}")]
    NotLists(#[from] RevocationListError),
    #[error("no trust anchors; give --anchors with certificates, or --anchors none together with --pin")]
    NoAnchors,
}

/// The judgement and what it was made of.
struct Answer {
    findings: CertificateFindings,
    level: Level,
    end_entity: Option<CertificateFacts>,
    warnings: Vec<String>,
}

/// Exit status 0 admitted, 1 refused, 2 when there was nothing to judge.
pub fn run(args: &VerifyArgs) -> ExitCode {
    let answer = match answer(args) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("sealpost: {error}");
            return ExitCode::from(2);
        }
    };
    for warning in &answer.warnings {
        eprintln!("sealpost: {warning}");
    }
    if args.json {
        outln!("{:#}", answer.to_json());
    } else {
        crate::cli::print::print_out(answer.to_text().as_bytes());
    }
    if answer.is_admitted() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn answer(args: &VerifyArgs) -> Result<Answer, VerifyError> {
    let mut warnings = Vec::new();
    let chain = read_certificates(&args.chain)?;
    let anchors = read_anchors(&args.anchors, &mut warnings)?;
    if anchors.is_empty() && args.pins.is_empty() && args.anchors.iter().any(|source| source == "none") {
        return Err(VerifyError::NoAnchors);
    }
    let policy = TrustPolicy {
        pins: args.pins.clone(),
        usage: args.usage.policy(),
        revocation: args.revocation.mode(),
        revocation_depth: args.revocation_depth.depth(),
        ..TrustPolicy::of(Arc::new(anchors))
    };
    let lists = RevocationSet { lists: read_lists(&args.crls, &mut warnings)?, ..RevocationSet::default() };
    let demand = CertificateDemand { policy: &policy, usage: policy.usage, names: args.names.clone() };
    let staple = args.ocsp.as_deref().map(read_file).transpose()?;
    let now = args.at.unwrap_or_else(Timestamp::now);
    let findings = judge_certificates(&demand, &chain, staple.as_deref(), &lists, now);
    let level = level(&findings);
    let end_entity = chain.first().and_then(|leaf| CertificateFacts::read(leaf).ok());
    Ok(Answer { findings, level, end_entity, warnings })
}

/// What a session with this certificate would have reached, short of being mutual.
fn level(findings: &CertificateFindings) -> Level {
    let only_identity = |fault: Fault| matches!(fault, Fault::NameMismatch | Fault::PinMismatch);
    if !findings.facts.iter().all(|fact| only_identity(fact.fault)) {
        Level::EncryptionOnly
    } else if findings.facts.is_empty() && findings.verified.contains(&Check::Name) {
        Level::DomainValidation
    } else {
        Level::CertificateValidation
    }
}

impl Answer {
    fn is_admitted(&self) -> bool {
        self.findings.facts.is_empty()
    }

    fn fault(&self) -> Option<Fault> {
        self.findings.facts.first().map(|fact| fact.fault)
    }

    fn to_json(&self) -> Value {
        let verified: Vec<&str> = self.findings.verified.iter().map(|check| check.as_str()).collect();
        json!({
            "admitted": self.is_admitted(),
            "fault": self.fault().map(Fault::name),
            "level": self.level,
            "facts": self.findings.facts,
            "ocsp_staple": self.findings.staple.as_ref().map(ToString::to_string),
            "verified": verified,
            "matched_name": self.findings.matched_name,
            "subject": self.end_entity.as_ref().map(|facts| &facts.subject),
            "thumbprint": self.end_entity.as_ref().map(|facts| &facts.thumbprint),
        })
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        if let Some(facts) = &self.end_entity {
            let rows = [
                ("subject", facts.subject.clone()),
                ("issuer", facts.issuer.clone()),
                ("serial", facts.serial.clone()),
                ("names", facts.names.join(", ")),
                ("validity", format!("{} to {}", facts.not_before, facts.not_after)),
                ("key", facts.key.clone()),
                ("thumbprint", format!("sha256:{}", facts.thumbprint)),
            ];
            for (what, value) in rows {
                text.push_str(&format!("{what:<11}{value}\n"));
            }
        }
        if let Some(staple) = &self.findings.staple {
            text.push_str(&format!("OCSP       {}\n", printable(&staple.to_string())));
        }
        let verified: Vec<&str> = self.findings.verified.iter().map(|check| check.as_str()).collect();
        match self.fault() {
            None => {
                let name = self.findings.matched_name.as_deref();
                let proof = name.map_or(String::new(), |name| format!(" by the name {name}"));
                text.push_str(&format!("admitted{proof}; verified: {}\n", verified.join(", ")));
            }
            Some(fault) => {
                text.push_str(&format!("refused: {fault}\n"));
                for fact in &self.findings.facts {
                    text.push_str(&format!("- {}: {}\n", fact.fault, fact.detail));
                }
                text.push_str(&format!("To mend it: {}.\n", fault.row().remedy));
            }
        }
        text
    }
}

fn parse_name(text: &str) -> Result<NamePattern, String> {
    let (make, domain): (fn(Domain) -> NamePattern, &str) = match text.strip_prefix('.') {
        Some(parent) => (NamePattern::Below, parent),
        None => (NamePattern::Exact, text),
    };
    Domain::parse_rooted(domain).map(make).map_err(|error| error.to_string())
}

fn read_file(path: &Path) -> Result<Vec<u8>, VerifyError> {
    // A pipe will do: `--chain <(openssl s_client …)`.
    let read = disk::open_input(path).and_then(|file| disk::read_all(file, FILE_BYTES_MAX));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => VerifyError::TooLarge { path: path.to_owned() },
        _ => VerifyError::Unreadable { path: path.to_owned(), error },
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let bytes = read_file(path)?;
    certificates_from_pem_or_der(&bytes).ok_or_else(|| VerifyError::NotCertificates { path: path.to_owned() })
}

/// An anchor that breaks X.509 vouches for nobody: it is left out, and what it should have vouched
/// for is refused.
fn read_anchors(sources: &[String], warnings: &mut Vec<String>) -> Result<AnchorSet, VerifyError> {
    let system = ["system".to_owned()];
    let sources = if sources.is_empty() { &system } else { sources };
    let mut sets = Vec::new();
    for source in sources {
        sets.push(match source.as_str() {
            "none" => AnchorSet::new("none", Vec::new()),
            "system" => {
                AnchorSet::from_certificates("system", rustls_native_certs::load_native_certs().certs)
            }
            "mozilla" => AnchorSet::new("mozilla", webpki_roots::TLS_SERVER_ROOTS.to_vec()),
            file => {
                let certificates = read_certificates(Path::new(file))?;
                let given = certificates.len();
                let set = AnchorSet::from_certificates(file, certificates);
                if set.anchors.len() < given {
                    let bad = given - set.anchors.len();
                    warnings.push(format!(
                        "{file}: {bad} of {given} certificates cannot be read and vouch for nobody"
                    ));
                }
                set
            }
        });
    }
    Ok(AnchorSet::union(sets))
}

/// A list that cannot be used is told of and counts as absent; a file that holds none is an error.
fn read_lists(
    paths: &[PathBuf],
    warnings: &mut Vec<String>,
) -> Result<Vec<Arc<RevocationList>>, VerifyError> {
    let mut lists = Vec::new();
    for path in paths {
        let source = path.display().to_string();
        for list in RevocationList::parse_each(&source, &read_file(path)?) {
            match list {
                Ok(list) => lists.push(Arc::new(list)),
                Err(error @ RevocationListError::NotPemOrDer { .. }) => return Err(error.into()),
                Err(error) => warnings.push(printable(&error.to_string())),
            }
        }
    }
    Ok(lists)
}

impl UsageArg {
    fn policy(self) -> UsagePolicy {
        match self {
            UsageArg::Client => UsagePolicy::Client,
            UsageArg::Server => UsagePolicy::Server,
            UsageArg::Either => UsagePolicy::Either,
            UsageArg::Any => UsagePolicy::Any,
        }
    }
}

impl RevocationArg {
    fn mode(self) -> RevocationMode {
        match self {
            RevocationArg::HardFail => RevocationMode::HardFail,
            RevocationArg::SoftFail => RevocationMode::SoftFail,
            RevocationArg::Off => RevocationMode::Off,
        }
    }
}

impl DepthArg {
    fn depth(self) -> RevocationDepth {
        match self {
            DepthArg::Chain => RevocationDepth::Chain,
            DepthArg::EndEntity => RevocationDepth::EndEntity,
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
