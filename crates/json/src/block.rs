//! Bit masks of quotes, backslashes and brackets in a block of sixteen bytes, with SIMD on WASM.

/// Bytes in one block.
pub(crate) const BYTES: usize = 16;

/// Masks with one bit per byte of a block; the lowest bit is the first byte.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) quotes: u32,
    pub(crate) backslashes: u32,
    /// `{` and `[`.
    pub(crate) opens: u32,
    /// `}` and `]`.
    pub(crate) closes: u32,
}

impl Block {
    /// The masks of the block that starts at `at`; bits beyond the end of `text` are 0.
    #[inline]
    pub(crate) fn at(text: &[u8], at: usize) -> Block {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(bytes) = rest.first_chunk::<BYTES>() {
            return Block::of(*bytes);
        }
        match text.last_chunk::<BYTES>() {
            // Shift the bytes before `at` out on the low side.
            Some(bytes) => Block::of(*bytes).skip(BYTES - rest.len()),
            None => {
                let mut bytes = [0; BYTES];
                bytes[..rest.len()].copy_from_slice(rest);
                Block::of(bytes)
            }
        }
    }

    /// Drops the first `count` bytes.
    fn skip(self, count: usize) -> Block {
        Block {
            quotes: self.quotes >> count,
            backslashes: self.backslashes >> count,
            opens: self.opens >> count,
            closes: self.closes >> count,
        }
    }

    #[cfg(not(target_feature = "simd128"))]
    #[inline]
    fn of(bytes: [u8; BYTES]) -> Block {
        let mask = |is: fn(u8) -> bool| {
            let bits = bytes.iter().enumerate().map(|(at, byte)| u32::from(is(*byte)) << at);
            bits.fold(0, |all, bit| all | bit)
        };
        Block {
            quotes: mask(|byte| byte == b'"'),
            backslashes: mask(|byte| byte == b'\\'),
            opens: mask(|byte| byte | 0x20 == b'{'),
            closes: mask(|byte| byte | 0x20 == b'}'),
        }
    }

    #[cfg(target_feature = "simd128")]
    #[inline]
    fn of(bytes: [u8; BYTES]) -> Block {
        use core::arch::wasm32::{i8x16_bitmask, i8x16_eq, i8x16_splat, i64x2, v128_or};

        let [low, high] = [0, 8].map(|at| {
            let half = bytes[at..].first_chunk().copied();
            i64::from_le_bytes(half.unwrap_or_default())
        });
        let block = i64x2(low, high);
        // Brackets and braces differ only in this bit.
        let folded = v128_or(block, i8x16_splat(0x20));
        let mask = |block, byte: u8| {
            u32::from(i8x16_bitmask(i8x16_eq(block, i8x16_splat(i8::from_ne_bytes([byte])))))
        };
        Block {
            quotes: mask(block, b'"'),
            backslashes: mask(block, b'\\'),
            opens: mask(folded, b'{'),
            closes: mask(folded, b'}'),
        }
    }
}
