//! Benchmarks matching with ten to a hundred thousand rules, by index and by evaluating all of them.
//!
//! `cargo run --release -p antar-rules --example bench [LARGEST]`. Prints a table on a terminal, otherwise
//! one JSON object per line. The ratio is the number that counts: both sides run in the same process on
//! the same events.

#![expect(clippy::expect_used, reason = "a bench that cannot read its own rules must stop")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use antar_json::{Document, Steps};
use antar_rules::{Index, Pattern};

/// Pseudo-random numbers, the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

const TYPES: u64 = 20;
const CUSTOMERS: u64 = 5_000;
const INBOXES: u64 = 200;

/// 60 % exact type and customer, 5 % prefix, 5 % suffix, 8 % wildcard (half with a leading star),
/// 5 % anything-but, 5 % numeric, 4 % `$or`, 4 % ignore-case, 4 % network.
fn rule(dice: &mut Dice) -> String {
    let (type_, customer) = (dice.below(TYPES), dice.below(CUSTOMERS));
    let n = dice.below(100_000);
    let inbox = dice.below(INBOXES);
    match dice.below(100) {
        0..60 => format!(
            r#"{{"type":["event.{type_}"],"data":{{"customer":{{"id":["cus_{customer}"]}}}}}}"#
        ),
        60..65 => format!(
            r#"{{"type":["event.{type_}"],"data":{{"order":[{{"prefix":"ord_{n:05}"}}]}}}}"#
        ),
        65..70 => format!(r#"{{"data":{{"email":[{{"suffix":"@shop{n}.example"}}]}}}}"#),
        70..74 => format!(r#"{{"data":{{"email":[{{"wildcard":"user{n}@*.example"}}]}}}}"#),
        74..78 => format!(r#"{{"data":{{"url":[{{"wildcard":"*/p/{n}/*"}}]}}}}"#),
        78..83 => format!(
            r#"{{"type":["event.{type_}"],"data":{{"inbox":{{"name":["Inbox {inbox}"]}},"status":[{{"anything-but":"closed"}}]}}}}"#
        ),
        83..88 => format!(
            r#"{{"type":["event.{type_}"],"data":{{"total":[{{"numeric":[">=",{n},"<",{}]}}]}}}}"#,
            n + 20
        ),
        88..92 => format!(
            r#"{{"type":["event.{type_}"],"$or":[{{"data.customer.id":["cus_{customer}"]}},{{"data.order":["ord_{n:05}"]}}]}}"#
        ),
        92..96 => format!(
            r#"{{"data":{{"email":[{{"equals-ignore-case":"USER{n}@Shop{inbox}.Example"}}]}}}}"#
        ),
        _ => format!(r#"{{"data":{{"address":[{{"cidr":"10.{}.{}.0/26"}}]}}}}"#, n % 256, n / 391),
    }
}

/// An event of about 850 bytes.
fn event(dice: &mut Dice) -> String {
    let n = dice.below(100_000);
    let filler =
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod. ".repeat(4);
    format!(
        r#"{{"id":"evt_{n}","type":"event.{}","timestamp":"2026-03-10T12:00:00.000Z","tenant":"default","attributes":{{"platform":"web","source":"shop"}},"data":{{"customer":{{"id":"cus_{}","name":"Someone"}},"order":"ord_{n:05}","email":"user{}@shop{}.example","url":"https://shop.example/p/{}/show","inbox":{{"name":"Inbox {}"}},"status":"open","total":{}.5,"address":"10.{}.{}.{}","labels":["new","vip"],"items":[{{"sku":"a-1","count":2,"price":12.5}},{{"sku":"b-2","count":1,"price":3}}],"note":"{filler}"}}}}"#,
        dice.below(TYPES),
        dice.below(CUSTOMERS),
        dice.below(100_000),
        dice.below(INBOXES),
        dice.below(100_000),
        dice.below(INBOXES),
        dice.below(100_000),
        dice.below(256),
        dice.below(256),
        dice.below(256),
    )
}

fn micros(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

/// The median of five runs over `events` in µs per event, and the matches per event.
fn time(events: &[Document], mut run: impl FnMut(&Document) -> usize) -> (f64, f64) {
    let mut hits = 0;
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            hits = events.iter().map(|event| black_box(run(event))).sum();
            micros(start.elapsed(), events.len())
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[2], hits as f64 / events.len() as f64)
}

/// Generates one rule.
type Make = fn(&mut Dice) -> String;

struct Row {
    rules: usize,
    index_us: f64,
    all_us: f64,
    hits: f64,
    candidates: f64,
    add_us: f64,
    delete_us: f64,
    memory_mb: f64,
}

/// Resident memory in MB; 0 without /proc.
fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1e6
}

fn measure(count: usize, make: Make) -> Row {
    let mut dice = Dice(count as u64);
    let rules: Vec<Pattern> = (0..count)
        .map(|_| {
            let text: Document = make(&mut dice).parse().expect("the bench writes JSON");
            Pattern::parse(text.root()).expect("the bench writes patterns")
        })
        .collect();
    let events: Vec<Document> =
        (0..2_000).map(|_| event(&mut dice).parse().expect("the bench writes JSON")).collect();
    let before = resident_mb();
    let mut index = Index::new();
    let start = Instant::now();
    for (key, rule) in rules.iter().enumerate() {
        index.insert(key, rule.clone());
    }
    let add_us = micros(start.elapsed(), count);
    let memory_mb = resident_mb() - before;
    let (index_us, hits) = time(&events, |event| index.matches(event.root()).len());
    let (_, candidates) = time(&events, |event| {
        index.candidates(event.root(), &Steps::unlimited()).map_or(0, |keys| keys.len())
    });
    // The slow side gets fewer events, so that it takes about as long; both find the same matches.
    let few = &events[..(2_000_000 / count).clamp(4, events.len())];
    let by_all = |event: &Document| rules.iter().filter(|rule| rule.matches(event.root())).count();
    assert!(few.iter().all(|event| index.matches(event.root()).len() == by_all(event)));
    let (all_us, _) = time(few, by_all);
    let start = Instant::now();
    for key in 0..count {
        index.remove(&key);
    }
    let delete_us = micros(start.elapsed(), count);
    assert!(index.is_blank());
    Row { rules: count, index_us, all_us, hits, candidates, add_us, delete_us, memory_mb }
}

/// A rule for one popular event: all rules require `event.0`; inbox, label and status differ, each common
/// on its own and rare only in combination.
fn popular(dice: &mut Dice) -> String {
    format!(
        r#"{{"type":["event.0"],"data":{{"inbox":{{"name":["Inbox {}"]}},"total":[{{"numeric":[">",{}]}}],"status":["{}"],"labels":["{}"]}}}}"#,
        dice.below(INBOXES),
        dice.below(100) * 1_000,
        ["open", "closed", "waiting"][usize::try_from(dice.below(3)).unwrap_or(0)],
        ["new", "vip", "spam", "lead", "cold", "hot"][usize::try_from(dice.below(6)).unwrap_or(0)],
    )
}

fn main() {
    let largest = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let table = std::io::stdout().is_terminal();
    if table {
        println!(
            "µs per event and per change; machine: {} cores",
            std::thread::available_parallelism().map_or(1, usize::from)
        );
    }
    let mixes: [(&str, Make); 2] = [("mixed", rule), ("popular", popular)];
    for (mix, make) in mixes {
        if table {
            println!(
                "\n{mix:>8}  rules   index     all  ratio    hits  candidates   add  delete     MB"
            );
        }
        for count in [10, 100, 1_000, 10_000, 100_000].into_iter().filter(|n| *n <= largest) {
            print_row(mix, &measure(count, make), table);
        }
    }
}

fn print_row(mix: &str, row: &Row, table: bool) {
    let Row { rules, index_us, all_us, hits, candidates, add_us, delete_us, memory_mb } = row;
    let ratio = all_us / index_us;
    let mut line = String::new();
    let written = if table {
        write!(
            line,
            "{rules:>15} {index_us:>7.2} {all_us:>7.0} {ratio:>6.0} {hits:>7.2} {candidates:>11.2} {add_us:>5.2} {delete_us:>7.2} {memory_mb:>6.1}"
        )
    } else {
        write!(
            line,
            r#"{{"bench":"rules","mix":"{mix}","rules":{rules},"index_us":{index_us:.3},"all_us":{all_us:.3},"ratio":{ratio:.1},"hits":{hits:.3},"candidates":{candidates:.3},"add_us":{add_us:.3},"delete_us":{delete_us:.3},"memory_mb":{memory_mb:.1}}}"#
        )
    };
    if written.is_ok() {
        println!("{line}");
    }
}
