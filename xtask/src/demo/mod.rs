//! `cargo xtask demo`: all of Antar in one round, with real requests to a real receiver.

mod api;
mod receiver;
mod round;
mod server;
mod setup;
mod show;
mod verify;
mod wire;

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::at_exit::AtExit;
use receiver::Receiver;
use server::Server;
pub(crate) use server::build_server;
use show::Show;

/// Port to which `examples/manifests/demo.yaml` sends everything.
const RECEIVER_PORT: u16 = 8099;

/// See five platforms' webhooks arrive: start Antar, post the platforms' example events, print what arrives.
///
/// Builds the server and the bundled plugins, starts Antar on SQLite in a data folder, applies
/// examples/platforms/ and examples/manifests/demo.yaml, posts examples/manifests/events/, and
/// receives on port 8099. Prints every request as it arrived, who did not want an event and why,
/// a retry, an upsert without a phone number, and a missed event replayed. Then it stays up, with
/// commands to try.
///
/// The first run compiles everything in a development build, about five minutes on two cores;
/// later ones start in seconds. In a pipe it prints JSON lines.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End after the round: with 0 when everything arrived, else with 1.
    #[arg(long)]
    once: bool,
    /// Port of Antar's API on this machine.
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Keep the data there, and go on with it the next time. Left out: antar-data/demo, made anew each time.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = crate::root();
    let show = Show::new();
    for port in [arguments.port, RECEIVER_PORT] {
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            bail!(
                "port {port} is taken on this machine: end the program that listens there{}",
                if port == arguments.port { ", or choose another with --port" } else { "" }
            );
        }
    }
    let at_exit = AtExit::new()?;
    let data_dir = match &arguments.data_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => server::fresh_folder(&root)?,
    };

    show.section("Building");
    let binary = server::build(&root, show)?;
    let mut say = |text: &str| show.step(text);
    let plugins = crate::guests::Guests::find(&mut say)?.build(&root, "plugins", &mut say)?;

    show.section("Starting Antar");
    let server = Server::start(&binary, &data_dir, arguments.port, &at_exit)?;
    show.step(&format!(
        "listens on {}, data in {}, log in {}",
        server.api.base,
        data_dir.display(),
        server.log.display()
    ));
    let receiver = Receiver::start(RECEIVER_PORT, show)?;

    show.section("Setting up five platforms");
    let tenants = setup::apply(&root, &server, &plugins, &receiver, show)?;

    let complaints = round::run(&root, &server.api, &receiver, &tenants, show)?;
    if arguments.once {
        return round::verdict(&complaints, show);
    }
    for complaint in &complaints {
        show.complaint(complaint);
    }
    round::what_next(&server, &tenants, show);
    show.step("Antar and the receiver stay up. Ctrl-c ends both.");
    loop {
        std::thread::park();
    }
}
