//! What a delivery costs: the real server under load, beside a floor from the same run.
//!
//! The floor is the least that a durable webhook server can be: it accepts a POST, appends it to a
//! file that is synced for many at once, signs it and posts it on. It knows no rules, no retries and
//! no second event of the same id. With tables of SQLite in place of the file it also keeps what became of
//! each delivery, as a server must that shows or repeats it.

mod delivery;
mod event;
mod floor;
mod hostile;
mod load;
mod process;
mod receiver;
mod recovery;
mod server;
mod soak;
mod table;
mod wire;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure deliveries through the server and through the floor.
    Delivery(DeliveryArguments),
    /// Post at a share of what the server can do, for long, and see that nothing grows.
    Soak(SoakArguments),
    /// Kill the server with deliveries open, start it again, and see when they arrive.
    Recovery(RecoveryArguments),
    /// Attack one tenant's server while another tenant's events are delivered.
    Hostile(HostileArguments),
    /// Be the attacker (started by `hostile`).
    Attack(AttackArguments),
    /// Be the floor (started by `delivery`).
    Floor(FloorArguments),
}

#[derive(clap::Args)]
struct DeliveryArguments {
    /// The program `antar`, a release build.
    #[arg(long)]
    antar: PathBuf,
    /// A PostgreSQL in which databases can be created; without it SQLite alone is measured.
    #[arg(long)]
    database_url: Option<String>,
    /// A filter plugin, built for WASM, for the lines with a plugin.
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// Events of each line under full load.
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Connections that post at once under full load.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Events a second, and for how many seconds, of the lines at a steady rate.
    #[arg(long, default_value_t = 100)]
    rate_per_s: u32,
    #[arg(long, default_value_t = 20)]
    rate_s: u32,
    /// Events of the line with many events stored that are stored before it begins; 2.2 KiB each on the disk.
    #[arg(long, default_value_t = 1_000_000)]
    stored: usize,
    /// Only lines whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds that the server stays up after the last line, to be looked at.
    #[arg(long, default_value_t = 0)]
    linger_s: u64,
}

#[derive(clap::Args)]
struct SoakArguments {
    /// The program `antar`, a release build.
    #[arg(long)]
    antar: PathBuf,
    /// A PostgreSQL in which databases can be created; without it SQLite.
    #[arg(long)]
    database_url: Option<String>,
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// The share of the most that it can do.
    #[arg(long, default_value_t = 0.7)]
    share: f64,
    /// How long events are kept, in seconds.
    #[arg(long, default_value_t = 120)]
    keep_s: u64,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 30)]
    every_s: u64,
}

#[derive(clap::Args)]
struct RecoveryArguments {
    /// The program `antar`, a release build.
    #[arg(long)]
    antar: PathBuf,
    /// A PostgreSQL in which databases can be created; without it SQLite.
    #[arg(long)]
    database_url: Option<String>,
    /// Deliveries that are stored and done.
    #[arg(long, default_value_t = 50_000)]
    stored: usize,
    /// Deliveries that are open when it is killed.
    #[arg(long, default_value_t = 5_000)]
    open: usize,
}

#[derive(clap::Args)]
struct HostileArguments {
    /// The program `antar`.
    #[arg(long)]
    antar: PathBuf,
    /// A PostgreSQL in which databases can be created; without it SQLite.
    #[arg(long)]
    database_url: Option<String>,
    /// Pairs of phases: one without the attack, one with it.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a phase lasts.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Events that the other tenant posts in a second.
    #[arg(long, default_value_t = 200)]
    rate_per_s: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only attacks whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The most memory that the server may have, in MiB.
    #[arg(long, default_value_t = 2_048)]
    rss_mib_max: u64,
    /// How long the server may take to say that it is well, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    health_ms_max: u64,
    /// Print the attacks.
    #[arg(long)]
    list: bool,
}

#[derive(clap::Args)]
struct AttackArguments {
    /// `127.0.0.1:PORT`
    #[arg(long)]
    address: String,
    #[arg(long)]
    tenant: String,
    #[arg(long)]
    key: String,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    seconds: u32,
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(clap::Args)]
struct FloorArguments {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    to: String,
    /// The file that it keeps events in.
    #[arg(long)]
    keep: PathBuf,
    /// It is SQLite's, and keeps outcomes too.
    #[arg(long)]
    tables: bool,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Delivery(arguments) => delivery::run(&arguments),
        What::Soak(arguments) => soak::run(&arguments),
        What::Recovery(arguments) => recovery::run(&arguments),
        What::Hostile(arguments) => hostile::run(&arguments),
        What::Attack(arguments) => hostile::attack::run(arguments),
        What::Floor(arguments) => floor::run(&arguments),
    }
}
