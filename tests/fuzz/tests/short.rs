//! The short form of `cargo xtask fuzz`: the same cases each time, and every kept input.

use std::process::Command;

/// Cases of each target; `cargo xtask test --long` runs every target for a minute.
const CASES: &str = "2000";

fn run(words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_antar-fuzz")).args(words).output();
    let Ok(output) = output else { return (false, "antar-fuzz does not start".to_owned()) };
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn no_parser_breaks_a_promise() {
    let (good, said) = run(&["run", "--seed", "1", "--cases", CASES, "--patience-s", "60"]);
    println!("{said}");
    assert!(good, "{said}");
    for target in antar_fuzz::ALL {
        assert!(said.contains(&format!("\n{:14} ", target.name)), "{} did not run", target.name);
    }
}

#[test]
fn allocations_grow_no_faster_than_inputs() {
    let (good, said) = run(&["growth"]);
    assert!(good, "{said}");
}

/// What the targets start from is taken, or their cases would prove little.
#[test]
fn valid_inputs_are_valid() {
    for target in antar_fuzz::ALL {
        assert!(!(target.corpus)().is_empty(), "{}", target.name);
        (target.corpus)().iter().for_each(|input| (target.read)(input));
    }
    let uploads = antar_fuzz::named("plugins").map(|target| (target.corpus)()).unwrap_or_default();
    let taken = uploads.iter().filter(|wasm| antar::plugin::inspect(wasm).is_ok()).count();
    assert_eq!(taken, 3, "a component, and modules by the names of their exports");
}
