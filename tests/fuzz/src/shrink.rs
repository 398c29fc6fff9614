//! Makes an input that fails smaller.

/// The smallest input found, within `tries`, that still fails.
pub(crate) fn shrink(
    input: &[u8],
    mut tries: usize,
    mut fails: impl FnMut(&[u8]) -> bool,
) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut part = best.len().div_ceil(2).max(1);
    while tries > 0 {
        let (mut at, mut smaller) = (0, false);
        while at < best.len() && tries > 0 {
            let end = (at + part).min(best.len());
            let candidate = [&best[..at], &best[end..]].concat();
            tries -= 1;
            if fails(&candidate) {
                best = candidate;
                smaller = true;
            } else {
                at = end;
            }
        }
        match part {
            1 if !smaller => break,
            _ => part = part.div_ceil(2).max(1),
        }
        if part == 1 && best.len() > 4_096 {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn only_what_fails_is_left() {
        let input = [b"a long beginning ".as_slice(), b"!", b" and an end".as_slice()].concat();
        assert_eq!(shrink(&input, 1_000, |bytes| bytes.contains(&b'!')), b"!");
        assert_eq!(shrink(&input, 0, |_| true), input);
        assert_eq!(shrink(b"xy", 1_000, |bytes| bytes == b"xy"), b"xy");
    }
}
