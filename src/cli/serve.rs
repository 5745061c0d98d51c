//! `sealpost serve`: run until told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, control};
use crate::net::service_manager::ServiceManager;
use crate::observe::Event;
use crate::observe::event_log::{self, EventLog};
use crate::relay::{Server, StartError};

/// Open files asked of the system at start: sessions, content and log files.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// For tasks and threads that are still at work when everything is written.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs the server. Exit status 2 where the settings are refused, 1 where the start fails otherwise.
pub fn run(config: &Path) -> ExitCode {
    let log = event_log::start();
    let status = run_with(config, &log);
    log.flush();
    status
}

fn run_with(config: &Path, log: &EventLog) -> ExitCode {
    let limit_low = raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(
                1,
                &format!("cannot start threads: {error}; see how many processes this user may have"),
            );
        }
    };
    let status = runtime.block_on(serve(config, limit_low, log));
    // Not even a thread that waits for a dead disk keeps the process.
    runtime.shutdown_timeout(LAST_WAIT);
    status
}

async fn serve(config: &Path, limit_low: Option<Event>, log: &EventLog) -> ExitCode {
    // Handlers first: a signal that comes while we start must not kill us half-way.
    let signals =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return fail(1, "cannot install signal handlers; the system refuses them to this process");
    };
    let manager = match ServiceManager::from_environment() {
        Ok(manager) => manager,
        Err(error) => {
            return fail(
                1,
                &format!("the service manager at $NOTIFY_SOCKET cannot be reached: {error}; unset it"),
            );
        }
    };
    let server = match Server::start(config, log.clone(), manager).await {
        Ok(server) => server,
        Err(StartError::Settings(problems)) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::from(2);
        }
        Err(error) => return fail(1, &error.to_string()),
    };
    if let Some(event) = limit_low {
        server.observer().event(event);
    }
    let doors = open_doors(&server).await;
    // What led here stands before the line that says that we are here.
    log.flush();
    match doors {
        Ok(admin) => {
            eprintln!("ready {}{admin}", server.listening());
            server.ready();
        }
        Err(error) => return fail(1, &error),
    }
    let reason = loop {
        tokio::select! {
            _ = hangup.recv() => {
                if let Err(problems) = server.reload("SIGHUP").await {
                    for problem in problems {
                        eprintln!("{problem}");
                    }
                }
            }
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
        }
    };
    server.stop(reason).await;
    ExitCode::SUCCESS
}

/// Opens the control socket and, if configured, the HTTP listener; gives ` admin=ADDR:PORT`.
async fn open_doors(server: &Server) -> Result<String, String> {
    let settings = server.settings();
    let socket = control::socket_path(&settings.data_directory);
    let listener = control::bind(&socket).map_err(|error| error.to_string())?;
    let operator = server.operator();
    let answer = move |request, peer, report| {
        let operator = operator.clone();
        async move { operator.answer(request, peer, report).await }
    };
    server.spawn(control::serve(listener, socket, answer, server.draining()));
    let Some(address) = settings.admin.listen else { return Ok(String::new()) };
    let failed = |error: std::io::Error| {
        format!("[admin] cannot listen on {address}: {error}; free that address or name another in `listen`")
    };
    let listener = match server.passed_socket(address) {
        Some(passed) => passed.and_then(TcpListener::from_std),
        None => TcpListener::bind(address).await,
    };
    let listener = listener.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let observer = server.observer();
    let serving = admin::serve(listener, server.observer(), Some(server.operator()), server.draining());
    server.spawn(async move {
        if let Err(error) = serving.await {
            observer.event(Event::AdminFailed { error: error.to_string() });
        }
    });
    Ok(format!(" admin={local}"))
}

fn fail(status: u8, error: &str) -> ExitCode {
    eprintln!("sealpost serve: {error}");
    ExitCode::from(status)
}

/// Asks for as many open files as the hard limit allows, up to what we can use. What is to be told
/// when there is somebody to tell it to.
fn raise_descriptor_limit() -> Option<Event> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |maximum| maximum.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        let failed = setrlimit(Resource::Nofile, raised).err();
        return failed.map(|error| Event::DescriptorLimitLow { wanted, error: error.to_string() });
    }
    None
}
