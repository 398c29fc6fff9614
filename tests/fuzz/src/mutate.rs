//! Damages inputs: flips, cuts, repeats, splices, and words that parsers treat in a special way.

use crate::dice::Dice;

/// Longest input that mutation makes.
pub(crate) const BYTES_MAX: usize = 64 << 10;

/// Words of all formats, to put anywhere.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[",
    b"{\"a\":",
    b",",
    b":",
    b"null",
    b"true",
    b"-",
    b"-0",
    b"1e999999999",
    b"99999999999999999999999",
    b"0.1e-400",
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
    b"%",
    b"%00",
    b"%zz",
    b"&",
    b"=",
    b"+",
    b";",
    b"a[]=",
    b"{{",
    b"}}",
    b"{{{",
    b"{{#each data}}",
    b"{{/each}}",
    b"{{else}}",
    b"{{!--",
    b"~",
    b"../",
    b"@index",
    b"$ref",
    b"\"$or\":[",
    b"*",
    b"**",
    b"---\n",
    b"...\n",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!binary ",
    b"|\n",
    b">-\n",
    b"\t",
    b"\r\n",
    b"\n\n",
    b"#",
    b"://",
    b"@",
    b"[::1]",
    b"0x7f.1",
    b"localhost",
    b"xn--",
    b"\xef\xbc\x8e",
    b"ce-",
    b"application/json",
    b"multipart/form-data; boundary=x",
    b"--x\r\n",
    b"Retry-After: ",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff\x0f",
    b"\0asm\x01\0\0\0",
    b"\0asm\x0d\0\x01\0",
];

/// A damaged copy of `input`; `others` are spliced in now and then.
pub(crate) fn mutate(dice: &mut Dice, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.count(8) {
        once(dice, &mut bytes, others);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn once(dice: &mut Dice, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(11) {
        0 => flip(dice, bytes),
        1 => bytes.insert(at, dice.byte()),
        2 => {
            let end = (at + 1 + dice.count(64)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        3 | 4 => {
            let word = dice.pick(WORDS);
            bytes.splice(at..at, word.iter().copied());
        }
        5 => {
            let word = dice.pick(WORDS);
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        6 => repeat(dice, bytes, at),
        7 => {
            let (from, length) = (dice.below(bytes.len() + 1), dice.count(256));
            let part = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        8 if !others.is_empty() => {
            let other = &others[dice.below(others.len())];
            let from = dice.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        9 => number(dice, bytes),
        _ => flip(dice, bytes),
    }
}

fn flip(dice: &mut Dice, bytes: &mut [u8]) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if dice.one_in(2) { dice.byte() } else { *byte ^ (1 << dice.below(8)) };
    }
}

/// Writes a part many times over: what grows faster than its input shows here.
fn repeat(dice: &mut Dice, bytes: &mut Vec<u8>, at: usize) {
    let length = 1 + dice.count(32);
    let part = bytes[at..(at + length).min(bytes.len())].to_vec();
    let room = BYTES_MAX.saturating_sub(bytes.len()) / part.len().max(1);
    let times = dice.count(2_000).min(room);
    bytes.splice(at..at, part.repeat(times));
}

/// Puts another number where one is.
fn number(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let from = dice.below(bytes.len() + 1);
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
    let start = from + start;
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = match dice.below(6) {
        0 => "0".to_owned(),
        1 => u64::MAX.to_string(),
        2 => i64::MIN.to_string(),
        3 => "1".repeat(1 + dice.count(5_000)),
        4 => format!("{}e{}", dice.below(100), dice.below(100_000)),
        _ => dice.below(100_000).to_string(),
    };
    bytes.splice(start..start + length, value.into_bytes());
}
