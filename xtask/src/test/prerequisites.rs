//! Required programs other than a Rust toolchain.

use std::process::Command;

use anyhow::{Result, bail};

use super::postgres::Binaries;
use crate::command::{apt_install, cargo, in_path, read, works};

/// The version of the toolchain, which must include rustfmt and clippy.
pub(crate) fn toolchain(root: &std::path::Path) -> Result<String> {
    let version = read(cargo(root).arg("--version"))?;
    for (part, name) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !works(cargo(root).args([part, "--version"])) {
            bail!("`cargo {part}` is missing: rustup component add {name}");
        }
    }
    Ok(version.trim().to_owned())
}

/// A C compiler, which builds the SQLite that is compiled into the server.
pub(crate) fn c_compiler(say: &mut dyn FnMut(&str)) -> Result<String> {
    let find = || ["cc", "gcc", "clang"].iter().find_map(|name| in_path(name));
    let found = match find() {
        Some(found) => found,
        None => {
            say("no C compiler was found; SQLite is compiled from C");
            let installed = apt_install(&["gcc", "libc6-dev"], say)?;
            match find().filter(|_| installed) {
                Some(found) => found,
                None => bail!(
                    "a C compiler is missing: `apt-get install gcc libc6-dev` on Debian and Ubuntu, \
                     `xcode-select --install` on macOS"
                ),
            }
        }
    };
    let version = read(Command::new(&found).arg("--version"))?;
    Ok(version.lines().next().unwrap_or_default().to_owned())
}

/// PostgreSQL's programs, installed with apt-get if they are missing and that is possible.
pub(crate) fn postgres(say: &mut dyn FnMut(&str)) -> Result<Binaries> {
    if let Some(found) = Binaries::find() {
        return Ok(found);
    }
    say("PostgreSQL was not found; the suite runs on it as well as on SQLite");
    let installed = apt_install(&["postgresql"], say)?;
    match Binaries::find().filter(|_| installed) {
        Some(found) => Ok(found),
        None => bail!(
            "PostgreSQL is missing: `apt-get install --no-install-recommends postgresql` on Debian and \
             Ubuntu, `brew install postgresql` on macOS; or set ANTAR_TEST_DATABASE_URL to a running one \
             in which databases can be created"
        ),
    }
}

/// Plugin languages other than Rust whose programs are missing and can't be installed; their tests
/// are skipped.
pub(crate) fn missing_languages(say: &mut dyn FnMut(&str)) -> Result<Vec<&'static str>> {
    let is_there = |lang: &str| match lang {
        "js" => ["node", "npm"].iter().all(|name| in_path(name).is_some()),
        _ => works(Command::new("python3").args(["-c", "import venv, ensurepip"])),
    };
    let languages = [("js", ["nodejs", "npm"]), ("python", ["python3", "python3-venv"])];
    let mut missing = Vec::new();
    for (lang, packages) in languages {
        if is_there(lang) || (apt_install(&packages, say)? && is_there(lang)) {
            continue;
        }
        say(&format!(
            "LEFT OUT: the tests of plugins in {lang}. They need {}: `apt-get install {}` on Debian and Ubuntu",
            packages.join(" and "),
            packages.join(" ")
        ));
        missing.push(lang);
    }
    Ok(missing)
}
