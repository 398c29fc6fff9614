//! A filter that imports WASI, as the tool chains of some languages do whether it is called or
//! not, for tests. It calls it when its config is `{"call":true}`.

#![cfg(target_arch = "wasm32")]
#![expect(unsafe_code, reason = "the exports are made by wit-bindgen")]

wit_bindgen::generate!({
    path: "../../../sdk/wit",
    inline: "
        package test:guest;

        world guest {
            include antar:plugin/filter-plugin@1.0.0;
            import wasi:cli/environment@0.2.0;
        }

        package wasi:cli@0.2.0 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
            }
        }
    ",
    world: "test:guest/guest",
    generate_all,
});

use exports::antar::plugin::filter::{About, Event, Guest, Problem, Verdict};

struct Wasi;

impl Guest for Wasi {
    fn describe() -> About {
        About { description: "Imports WASI.".into(), config_schema: String::new() }
    }

    fn run(_event: Event, config: String) -> Result<Verdict, Problem> {
        if config != "{\"call\":true}" {
            return Ok(Verdict::Pass);
        }
        let variables = wasi::cli::environment::get_environment();
        Ok(Verdict::Drop(format!("{variables:?}")))
    }
}

export!(Wasi);
