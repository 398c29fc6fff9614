//! Long form of the simulation; `cargo xtask simulate` builds and runs it. Arguments: `SEED STEPS`.

use std::process::ExitCode;

use antar_harness::simulation;

fn main() -> ExitCode {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [seed, steps] = words[..] else {
        eprintln!("arguments: SEED STEPS");
        return ExitCode::FAILURE;
    };
    let figures =
        simulation::run(&simulation::Plan { seed, steps, say: |text| println!("    {text}") });
    println!("    every promise held, in {} steps", figures.steps);
    ExitCode::SUCCESS
}
