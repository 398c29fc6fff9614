//! The short form of `cargo xtask hostile`, with a development build of the server.

use std::process::Command;

/// A development build takes ten times as long, on a machine that runs other tests meanwhile.
const HEALTH_MS_MAX: &str = "20000";
const RSS_MIB_MAX: &str = "2048";

#[test]
fn a_tenant_is_not_hurt_by_another_ones_attack() {
    let output = Command::new(env!("CARGO_BIN_EXE_antar-delivery-bench"))
        .args([
            "hostile",
            "--rounds",
            "1",
            "--seconds",
            "12",
            "--rate-per-s",
            "40",
            "--seed",
            "1",
            "--antar",
        ])
        .arg(antar_harness::binary())
        .args(["--health-ms-max", HEALTH_MS_MAX, "--rss-mib-max", RSS_MIB_MAX])
        .output()
        .unwrap_or_else(|error| panic!("the bench does not start: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}");
    // An attack that never reached the server would prove nothing.
    assert!(said.contains("bodies       "), "{said}");
}
