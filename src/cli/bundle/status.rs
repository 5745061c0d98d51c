//! `config status`: what an edge has, what it runs with, and what its own file says beside the bundle.
//! `config drift` reads it from every edge.

use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::cli::config::report;
use crate::cli::reload::ask;
use crate::config;
use crate::policy::BundleInForce;
use crate::relay::control::Request;

use super::{EXIT_CONFIGURATION, short};

/// One edge, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub hostname: String,
    /// The bundle on its disk.
    pub applied: Option<BundleInForce>,
    /// Who signed it.
    pub key: Option<String>,
    /// What the server runs with; none when no server answers.
    pub running: Option<Running>,
    /// Keys and tables that the bundle could say and the edge's own file says.
    pub beside: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub epoch: u64,
    pub bundle: Option<BundleInForce>,
}

impl NodeStatus {
    /// What the server has not taken up yet, or that there is none.
    pub fn lag(&self) -> Option<String> {
        match &self.running {
            None => Some("no server runs".to_owned()),
            Some(running) if running.bundle != self.applied => Some(format!(
                "runs with {}; reload it with `sealpost config reload`",
                words(running.bundle.as_ref())
            )),
            Some(_) => None,
        }
    }
}

pub fn words(bundle: Option<&BundleInForce>) -> String {
    bundle.map_or_else(
        || "no bundle".to_owned(),
        |bundle| format!("bundle {} ({})", bundle.serial, short(&bundle.digest)),
    )
}

/// Exit status 0, or 2 when the settings hold an error.
pub fn run(config: &Path, json: bool) -> ExitCode {
    let document = match config::read(config) {
        Ok(document) => document,
        Err(problems) => {
            report(&problems);
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let running = ask(config, &Request::Configuration).ok();
    let status = NodeStatus {
        hostname: document.table("").text("hostname").unwrap_or_default().to_owned(),
        applied: document.bundle.as_ref().map(|joined| joined.in_force.clone()),
        key: document.bundle.as_ref().map(|joined| joined.key.clone()),
        running: running.and_then(|answer| serde_json::from_value(answer).ok()),
        beside: document.bundle.as_ref().map(|joined| joined.beside.clone()).unwrap_or_default(),
    };
    if json {
        outln!("{:#}", serde_json::json!(status));
        return ExitCode::SUCCESS;
    }
    outln!("{}: {}", status.hostname, words(status.applied.as_ref()));
    if let Some(lag) = status.lag() {
        outln!("  {lag}");
    }
    for line in &status.beside {
        outln!("  beside the bundle: {line}");
    }
    ExitCode::SUCCESS
}
