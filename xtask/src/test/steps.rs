//! The steps of `cargo xtask test`, in order.

use anyhow::{Context, Result, bail};

use super::postgres::Postgres;
use super::{Outcome, Step, Workshop, prerequisites};
use crate::command::{TESTED, build, cargo, must, read, run_streaming, works};
use crate::guests::Guests;

pub(crate) const ALL: &[Step] = &[
    Step {
        name: "prerequisites",
        about: "toolchain, C compiler, WASM target, PostgreSQL, Node, Python",
        fix: "install what the message names and start again",
        run: check_prerequisites,
    },
    Step { name: "format", about: "cargo fmt --check", fix: "cargo fmt --all", run: check_format },
    Step {
        name: "clippy",
        about: "lints over all targets, warnings are errors",
        fix: "change what clippy names; an exception is #[expect(lint, reason = \"…\")]",
        run: check_lints,
    },
    Step {
        name: "tidy",
        about: "who imports whom, lengths, forbidden words, linked pages, licences",
        fix: "the message of the failed test names file, line and rule; the rules are in tests/tidy",
        run: check_tidy,
    },
    Step {
        name: "deny",
        about: "advisories, sources and bans with cargo-deny, where it is installed",
        fix: "update the dependency that is named, or add an exception with its reason to deny.toml",
        run: check_deny,
    },
    Step {
        name: "guests",
        about: "bundled plugins and test guests, compiled to WASM from source",
        fix: "the compiler's message names the guest; all are in plugins/ and tests/wasm/",
        run: build_guests,
    },
    Step {
        name: "postgres",
        about: "a PostgreSQL of our own in a temporary folder",
        fix: "read PostgreSQL's words above, or set ANTAR_TEST_DATABASE_URL to a running one",
        run: start_postgres,
    },
    Step {
        name: "tests",
        about: "cargo test --workspace, on SQLite and on PostgreSQL",
        fix: "`cargo test -p PACKAGE NAME` runs one test again; the message of the failed one is above",
        run: run_tests,
    },
    Step {
        name: "docs",
        about: "cargo doc, warnings are errors",
        fix: "the links and examples that rustdoc names",
        run: build_docs,
    },
];

/// What takes longer: `cargo xtask test --long` runs these after the others.
pub(crate) const LONG: &[Step] = &[
    Step {
        name: "long fuzz",
        about: "each target of `cargo xtask fuzz` for a minute",
        fix: "the input is kept below tests/fuzz/seeds: `antar-fuzz read TARGET FILE` repeats it",
        run: |shop| again(shop, &["fuzz", "--minutes", "1"]),
    },
    Step {
        name: "long growth",
        about: "the work of every parser for 1, 4 and 16 times an input, counted",
        fix: "`cargo xtask growth NAME` measures a part again; look for a loop in a loop, or a text that is copied again and again",
        run: |shop| again(shop, &["growth"]),
    },
    Step {
        name: "long templates",
        about: "10,000,000 random templates over random events",
        fix: "the message has the seed and the case that repeat it",
        run: |shop| again(shop, &["fuzz", "templates"]),
    },
    Step {
        name: "long simulation",
        about: "three simulated nodes for a million steps",
        fix: "`cargo xtask simulate --seed N` repeats it",
        run: |shop| again(shop, &["simulate"]),
    },
    Step {
        name: "long crash",
        about: "100 kills of the server under load on each database",
        fix: "`cargo xtask crash --seed N` repeats the kills",
        run: |shop| again(shop, &["crash"]),
    },
    Step {
        name: "long hostile",
        about: "five attacks of one tenant on the server of another",
        fix: "`cargo xtask hostile --seed N --only NAME` repeats one kind of attack",
        run: |shop| again(shop, &["hostile"]),
    },
];

/// Runs another command of this program, with the same PostgreSQL.
fn again(shop: &mut Workshop, words: &[&str]) -> Result<Outcome> {
    let url = shop.database_url()?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    must(command.args(words).current_dir(&shop.root).env("ANTAR_TEST_DATABASE_URL", url))?;
    Ok(Outcome::Passed(String::new()))
}

fn check_prerequisites(shop: &mut Workshop) -> Result<Outcome> {
    let screen = shop.screen;
    let mut say = |text: &str| screen.note(text);
    say(&prerequisites::toolchain(&shop.root)?);
    let compiler = prerequisites::c_compiler(&mut say)?;
    say(&compiler);
    shop.find_guests()?;
    if std::env::var_os("ANTAR_TEST_DATABASE_URL").is_none() {
        let version = prerequisites::postgres(&mut say)?.version()?;
        say(&version);
    }
    for language in prerequisites::missing_languages(&mut say)? {
        let why = "its tools are missing and could not be installed".to_owned();
        shop.skipped.push((format!("plugins in {language}"), why));
    }
    Ok(Outcome::Passed(String::new()))
}

fn check_format(shop: &mut Workshop) -> Result<Outcome> {
    must(cargo(&shop.root).args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed(String::new()))
}

fn check_lints(shop: &mut Workshop) -> Result<Outcome> {
    let mut command = cargo(&shop.root);
    command.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    must(&mut command)?;
    Ok(Outcome::Passed(String::new()))
}

fn check_tidy(shop: &mut Workshop) -> Result<Outcome> {
    shop.cargo_test(&["--package", "antar-tidy"], &[])
}

fn check_deny(shop: &mut Workshop) -> Result<Outcome> {
    if !works(cargo(&shop.root).args(["deny", "--version"])) {
        let why = "cargo-deny is not installed (`cargo install cargo-deny --locked`); tidy has checked licences";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    must(cargo(&shop.root).args(["deny", "check", "bans", "licenses", "sources"]))?;
    match read(cargo(&shop.root).args(["deny", "check", "advisories"])) {
        Ok(_) => Ok(Outcome::Passed(String::new())),
        Err(error) if format!("{error:#}").contains("failed to fetch advisory database") => {
            Ok(Outcome::Passed(
                "advisories left out, their database can't be reached from here".to_owned(),
            ))
        }
        Err(error) => Err(error),
    }
}

fn build_guests(shop: &mut Workshop) -> Result<Outcome> {
    let screen = shop.screen;
    let root = shop.root.clone();
    let built = shop.find_guests()?.build_all(&root, &mut |text| screen.note(text))?;
    Ok(Outcome::Passed(format!("{built} guests")))
}

fn start_postgres(shop: &mut Workshop) -> Result<Outcome> {
    let url = shop.database_url()?;
    Ok(Outcome::Passed(url))
}

fn run_tests(shop: &mut Workshop) -> Result<Outcome> {
    let url = shop.database_url()?;
    // Tests that kill the server need its binary.
    let binary = build(&shop.root, &TESTED, &["--bins", "--tests"])?.join("antar");
    let binary = binary.to_str().context("the path of the target folder is no UTF-8")?.to_owned();
    let screen = shop.screen;
    let missing = prerequisites::missing_languages(&mut |text| screen.note(text))?.join(",");
    let mut env = vec![("ANTAR_TEST_DATABASE_URL", url.as_str()), ("ANTAR_BIN", &binary)];
    if !missing.is_empty() {
        env.push(("ANTAR_TEST_LEAVE_OUT", &missing));
    }
    shop.cargo_test(&[TESTED.names, &["--no-fail-fast"]].concat(), &env)
}

fn build_docs(shop: &mut Workshop) -> Result<Outcome> {
    let mut command = cargo(&shop.root);
    command.env("RUSTDOCFLAGS", "-D warnings");
    must(command.args(["doc", "--locked", "--workspace", "--no-deps", "--quiet"]))?;
    Ok(Outcome::Passed("target/doc".to_owned()))
}

impl Workshop {
    /// Runs `cargo test` with these words and this environment, and counts its results.
    fn cargo_test(&mut self, words: &[&str], env: &[(&str, &str)]) -> Result<Outcome> {
        let before = self.counts;
        let mut command = cargo(&self.root);
        command.args(["test", "--locked"]).args(words).envs(env.iter().copied());
        let counts = &mut self.counts;
        let ok = run_streaming(&mut command, |line| counts.add(line))?;
        let (passed, failed) =
            (self.counts.passed - before.passed, self.counts.failed - before.failed);
        if !ok {
            bail!("{failed} of {} tests failed, or did not compile", passed + failed);
        }
        if passed == 0 {
            bail!("no test ran");
        }
        Ok(Outcome::Passed(format!("{passed} tests")))
    }

    /// URL of the server on which tests create their databases; it is started on first use.
    fn database_url(&mut self) -> Result<String> {
        if let Ok(url) = std::env::var("ANTAR_TEST_DATABASE_URL") {
            return Ok(url);
        }
        if let Some(postgres) = &self.postgres {
            return Ok(postgres.url.clone());
        }
        let screen = self.screen;
        let mut say = |text: &str| screen.note(text);
        let binaries = prerequisites::postgres(&mut say)?;
        let postgres = Postgres::start(&binaries, &self.at_exit, &mut say)?;
        Ok(self.postgres.insert(postgres).url.clone())
    }

    fn find_guests(&mut self) -> Result<&mut Guests> {
        let screen = self.screen;
        match &mut self.guests {
            Some(guests) => Ok(guests),
            none => Ok(none.insert(Guests::find(&mut |text| screen.note(text))?)),
        }
    }
}
