//! A filter that imports WASI, as the tool chains of some languages do whether it is called or
//! not, for tests. It calls the part that its config names, and drops with what it saw.

#![cfg(target_arch = "wasm32")]
#![expect(unsafe_code, reason = "the exports are made by wit-bindgen")]

wit_bindgen::generate!({
    path: "../../../sdk/wit",
    inline: "
        package test:guest;

        world guest {
            include antar:plugin/filter-plugin@1.0.0;
            import wasi:cli/environment@0.2.0;
            import wasi:cli/exit@0.2.6;
            import wasi:cli/stdout@0.2.3;
            import wasi:clocks/monotonic-clock@0.2.3;
            import wasi:clocks/wall-clock@0.2.12;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:random/random@0.2.9;
            import wasi:sockets/tcp-create-socket@0.2.0;
        }

        package wasi:cli@0.2.0 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
                initial-cwd: func() -> option<string>;
            }
        }
        package wasi:cli@0.2.6 {
            interface exit { exit: func(status: result); }
        }
        package wasi:cli@0.2.3 {
            interface stdout {
                use wasi:io/streams@0.2.3.{output-stream};
                get-stdout: func() -> output-stream;
            }
        }
        package wasi:io@0.2.3 {
            interface poll {
                resource pollable { ready: func() -> bool; block: func(); }
                poll: func(in: list<borrow<pollable>>) -> list<u32>;
            }
            interface error { resource error; }
            interface streams {
                use error.{error};
                use poll.{pollable};
                variant stream-error { last-operation-failed(error), closed }
                resource output-stream {
                    check-write: func() -> result<u64, stream-error>;
                    write: func(contents: list<u8>) -> result<_, stream-error>;
                    subscribe: func() -> pollable;
                }
            }
        }
        package wasi:clocks@0.2.3 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.3.{pollable};
                now: func() -> u64;
                subscribe-duration: func(when: u64) -> pollable;
            }
        }
        package wasi:clocks@0.2.12 {
            interface wall-clock {
                record datetime { seconds: u64, nanoseconds: u32 }
                now: func() -> datetime;
            }
        }
        package wasi:filesystem@0.2.0 {
            interface types {
                enum error-code { access, no-entry, not-permitted }
                resource descriptor { sync: func() -> result<_, error-code>; }
            }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }
        package wasi:random@0.2.9 {
            interface random {
                get-random-bytes: func(len: u64) -> list<u8>;
                get-random-u64: func() -> u64;
            }
        }
        package wasi:sockets@0.2.0 {
            interface network { enum error-code { unknown, access-denied, not-supported } }
            interface tcp { resource tcp-socket; }
            interface tcp-create-socket {
                use network.{error-code};
                use tcp.{tcp-socket};
                enum ip-address-family { ipv4, ipv6 }
                create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>;
            }
        }
    ",
    world: "test:guest/guest",
    generate_all,
});

use exports::antar::plugin::filter::{About, Event, Guest, Problem, Verdict};
// Versions differ, as they do in components that were put together from several tool chains.
use wasi::{
    cli0_2_0::environment, cli0_2_3::stdout, cli0_2_6::exit, clocks0_2_3::monotonic_clock,
    clocks0_2_12::wall_clock, filesystem::preopens, io::poll, random::random,
    sockets::tcp_create_socket,
};

struct Wasi;

impl Guest for Wasi {
    fn describe() -> About {
        About { description: "Imports WASI.".into(), config_schema: String::new() }
    }

    fn run(_event: Event, config: String) -> Result<Verdict, Problem> {
        let seen = match config.as_str() {
            "{}" => return Ok(Verdict::Pass),
            "\"environment\"" => {
                format!("{:?} {:?}", environment::get_environment(), environment::initial_cwd())
            }
            "\"files\"" => format!("{}", preopens::get_directories().len()),
            "\"network\"" => {
                let socket =
                    tcp_create_socket::create_tcp_socket(tcp_create_socket::IpAddressFamily::Ipv4);
                format!("{:?}", socket.map(drop))
            }
            "\"clock\"" => {
                let at = wall_clock::now();
                format!("{}.{}", at.seconds, at.nanoseconds)
            }
            "\"sleep\"" => sleep(),
            "\"random\"" => {
                format!("{} {:?}", random::get_random_u64(), random::get_random_bytes(3))
            }
            "\"much\"" => format!("{}", random::get_random_bytes(1 << 40).len()),
            "\"print\"" => {
                let out = stdout::get_stdout();
                let room = out.check_write();
                let written = out.write(b"one\ntw").and_then(|()| out.write(b"o\nthree"));
                out.subscribe().block();
                format!("{room:?} {written:?}")
            }
            "\"handles\"" => loop {
                // Never dropped.
                core::mem::forget(stdout::get_stdout().subscribe());
            },
            _ => {
                exit::exit(Ok(()));
                String::new()
            }
        };
        Ok(Verdict::Drop(seen))
    }
}

fn sleep() -> String {
    let before = monotonic_clock::now();
    let (long, short) = (
        monotonic_clock::subscribe_duration(60_000_000_000),
        monotonic_clock::subscribe_duration(5_000_000_000),
    );
    let ready = (long.ready(), poll::poll(&[&long, &short]));
    let waited = monotonic_clock::now() - before;
    format!("{ready:?} {} s, then {} s", waited / 1_000_000_000, wall_clock::now().seconds % 60)
}

export!(Wasi);
