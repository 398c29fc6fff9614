//! The short form of `cargo xtask simulate`.

use antar_harness::simulation::{Plan, run};

const SEEDS: [u64; 2] = [1, 2];

#[test]
fn every_promise_holds_in_a_world_that_fails() {
    for seed in SEEDS {
        println!("seed {seed}");
        let figures = run(&Plan { seed, steps: 8_000, say: |text| println!("{text}") });
        assert!(figures.accepted > 300 && figures.crashes > 0 && figures.again > 0, "{figures:?}");
    }
}
