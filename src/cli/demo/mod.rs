//! `sealpost demo`: the whole job on real sockets, TLS, DNS and disk, on one machine and in a few
//! seconds: two organisations, mail both ways, and impostors who are refused.

pub mod client;
pub mod counters;
pub mod dns;
mod impostors;
pub mod mailbox;
mod organisation;
pub mod pki;
mod protocol_log;
mod queue;
pub mod server;
mod story;
mod teller;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use rustls::crypto::aws_lc_rs;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use teller::Teller;
use world::World;

/// Show the whole job on this machine: two organisations, mail both ways, impostors refused.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Leave after the story, with status 0 only if all went as told.
    #[arg(long)]
    once: bool,
    /// Put keys, settings, logs and queues here and leave them; else a directory that goes with
    /// the demo.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Where everything lies; a temporary one is removed at the end unless something went wrong.
enum Home {
    Given(PathBuf),
    Temporary(TempDir),
}

/// Runs the demo. Status 0: all went as told; 1: something did not, or the stage could not be set.
pub fn run(args: &DemoArgs) -> ExitCode {
    // Another part of the process may have installed the same provider before us.
    let _installed = aws_lc_rs::default_provider().install_default();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime did not start: {error}"))
        .and_then(|runtime| runtime.block_on(perform(args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("sealpost demo: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Sets the stage, plays, and either leaves or stays up until told to stop.
async fn perform(args: &DemoArgs) -> Result<bool, String> {
    let home = Home::new(args.directory.clone())?;
    let teller = Teller::new();
    teller.heading("Sealpost: two organisations, mutual TLS, and those who are refused");
    teller.words(
        "Contoso and Woodgrove each get an authority, certificates, revocation lists and a complete \
         edge server, all on loopback; a small DNS server tells them where to find each other. Their \
         settings, keys, logs and queues are in",
    );
    teller.verbatim(&home.path().display().to_string());
    let mut stop = stop_signal()?;
    let play = async {
        let world = World::set_up(home.path()).await.map_err(|error| error.to_string())?;
        let failures = story::play(&world, &teller).await;
        Ok::<_, String>((world, failures))
    };
    let (world, failures) = tokio::select! {
        played = play => match played {
            Ok(played) => played,
            Err(sentence) => {
                home.keep();
                return Err(sentence);
            }
        },
        () = &mut stop => return Ok(false),
    };
    epilogue(&world, failures, args.once);
    if !args.once {
        stop.await;
    }
    end(world).await;
    if failures > 0 {
        home.keep();
    }
    Ok(failures == 0)
}

/// The verdict, and where to look next.
fn epilogue(world: &World, failures: usize, once: bool) {
    let teller = Teller::new();
    teller.heading("The end");
    if failures == 0 {
        teller.good("all went as told");
    } else {
        teller.bad(&format!("{failures} of the acts above; look into the files named at the start"));
    }
    if once {
        return;
    }
    teller.words("Both edges stay up until Ctrl-C. In another terminal:");
    let config = world.contoso.config.display();
    teller.verbatim(&format!("export SEALPOST_CONFIG={config}"));
    for command in ["sealpost queue list", "sealpost log sessions", "sealpost counters"] {
        teller.verbatim(command);
    }
    teller.words("Their status pages, signed in by the link:");
    for organisation in [&world.contoso, &world.woodgrove] {
        teller.verbatim(&format!("{}   {}", organisation.status_page(), organisation.profile.name));
    }
    teller.words("Counters, as Prometheus reads them:");
    for organisation in [&world.contoso, &world.woodgrove] {
        teller.verbatim(&format!("http://{}/metrics   {}", organisation.admin, organisation.profile.name));
    }
    teller.words("README.md says how to set up a first partner of your own.");
}

/// Lets both servers drain.
async fn end(world: World) {
    let servers = [world.contoso.server, world.woodgrove.server];
    let stops = servers.map(|server| tokio::task::spawn_blocking(move || server.stop()));
    for stop in stops {
        if let Ok(Err(error)) = stop.await {
            eprintln!("sealpost demo: a server could not be stopped: {error}");
        }
    }
}

/// Ctrl-C, SIGTERM, or the terminal going away.
fn stop_signal() -> Result<std::pin::Pin<Box<dyn Future<Output = ()>>>, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be handled: {error}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }))
}

impl Home {
    fn new(given: Option<PathBuf>) -> Result<Self, String> {
        let Some(directory) = given else {
            let made = tempfile::Builder::new().prefix("sealpost-demo-").tempdir();
            return made.map(Self::Temporary).map_err(|error| format!("no temporary directory: {error}"));
        };
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("{} could not be made: {error}", directory.display()))?;
        let absolute = directory.canonicalize();
        absolute.map(Self::Given).map_err(|error| format!("{}: {error}", directory.display()))
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    /// Leaves the files for whoever looks into what went wrong.
    fn keep(self) {
        if let Self::Temporary(directory) = self {
            eprintln!("sealpost demo: its files stay in {}", directory.keep().display());
        }
    }
}
