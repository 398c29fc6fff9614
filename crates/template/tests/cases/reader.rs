//! A strict parser for RFC 8259 that returns a [`Tree`].

use super::tree::{Text, Tree};

/// Reads all of `text` as one JSON value, or returns what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Tree, String> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    let value = reader.value()?;
    reader.spaces();
    if reader.at == text.len() { Ok(value) } else { reader.wrong("more text") }
}

struct Reader<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {}", self.at))
    }

    fn spaces(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Skips spaces, and the next byte if it is `byte`; returns whether it was.
    fn take(&mut self, byte: u8) -> bool {
        self.spaces();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Tree, String> {
        self.spaces();
        let rest = &self.text[self.at..];
        for (word, value) in
            [("null", Tree::Null), ("true", Tree::Bool(true)), ("false", Tree::Bool(false))]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.bytes.get(self.at) {
            Some(b'"') => self.string().map(Tree::Text),
            Some(b'[') => self.array(),
            Some(b'{') => self.object(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.wrong("no value"),
        }
    }

    fn array(&mut self) -> Result<Tree, String> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Tree::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.take(b']') {
                return Ok(Tree::Array(elements));
            }
            if !self.take(b',') {
                return self.wrong("no comma");
            }
        }
    }

    fn object(&mut self) -> Result<Tree, String> {
        self.at += 1;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Tree::Object(members));
        }
        loop {
            self.spaces();
            let key = self.string()?;
            if !self.take(b':') {
                return self.wrong("no colon");
            }
            members.push((key, self.value()?));
            if self.take(b'}') {
                return Ok(Tree::Object(members));
            }
            if !self.take(b',') {
                return self.wrong("no comma");
            }
        }
    }

    fn string(&mut self) -> Result<Text, String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return self.wrong("no string");
        }
        self.at += 1;
        let mut units = Vec::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else { return self.wrong("end") };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(Text::units(units)),
                '\0'..='\u{1f}' => return self.wrong("control character"),
                '\\' => units.push(self.escape()?),
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Result<u16, String> {
        let Some(kind) = self.bytes.get(self.at) else { return self.wrong("end") };
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => u16::from(*kind),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
                let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let Some(unit) = u16::from_str_radix(digits, 16).ok().filter(|_| hex) else {
                    return self.wrong("no hex digits");
                };
                self.at += 4;
                unit
            }
            _ => return self.wrong("unknown escape"),
        })
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Tree, String> {
        let from = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits();
        if whole == 0 || (zero && whole > 1) {
            return self.wrong("no number");
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.wrong("no decimals");
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return self.wrong("no exponent");
            }
        }
        Ok(Tree::Number(self.text[from..self.at].to_owned()))
    }
}
