//! Runs some thousand random cases; `cargo xtask fuzz templates` runs any number.

use crate::cases::{Outcome, run};

#[test]
fn random_templates_keep_their_promises_over_random_events() {
    let (mut refused, mut meant) = (0, 0);
    for number in 0..6_000 {
        match run(1, number) {
            Ok(Outcome::Refused) => refused += 1,
            Ok(Outcome::Meant) => meant += 1,
            Ok(Outcome::Parsed) => {}
            Err(broken) => panic!("case {number}: {broken}"),
        }
    }
    // A generator that reaches only one outcome would prove little.
    assert!(refused > 300 && meant > 2_500, "{refused} refused, {meant} compared");
}
