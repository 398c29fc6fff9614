//! Long form of the crash test; `cargo xtask crash` builds the server and runs it. Arguments:
//! `sqlite|postgres ROUNDS SEED NODES`.

use std::process::ExitCode;

use antar::fault::Point;
use antar_harness::{Database, crash};

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [database, rounds, seed, nodes] = words.as_slice() else {
        eprintln!("arguments: sqlite|postgres ROUNDS SEED NODES");
        return ExitCode::FAILURE;
    };
    let database = match database.as_str() {
        "sqlite" => Database::sqlite(),
        _ => Database::postgres().await.expect("PostgreSQL is not left out"),
    };
    let plan = crash::Plan {
        rounds: rounds.parse().expect("a number of rounds"),
        seed: seed.parse().expect("a seed"),
        nodes: nodes.parse().expect("a number of nodes"),
        points: Point::ALL.to_vec(),
        say: |text| println!("    {text}"),
    };
    let figures = crash::run(database, &plan).await;
    println!(
        "    {} accepted, {} received, {} of them again; ended by themselves at {} of {} points",
        figures.accepted,
        figures.received,
        figures.duplicates,
        figures.reached.len(),
        Point::ALL.len()
    );
    let missed: Vec<_> =
        Point::ALL.iter().map(|p| p.as_str()).filter(|p| !figures.reached.contains(p)).collect();
    // With fewer rounds, some points get no turn.
    if plan.rounds >= 4 * Point::ALL.len() && !missed.is_empty() {
        println!("    never reached: {}", missed.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
