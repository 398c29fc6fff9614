//! Parses a field's list of values and operators.

use antar_json::{Kind, Value};
use ipnet::IpNet;

use crate::decimal::Decimal;
use crate::matcher::{Accepts, Bound, Matcher, Range, address};
use crate::parse::{Parsed, Parser};
use crate::suggest;
use crate::wildcard::Wildcard;

/// A parsed element of a list.
enum Entry {
    Text(Box<str>),
    Other(Matcher),
    Absent,
}

#[derive(Default)]
struct Collected {
    texts: Vec<Box<str>>,
    others: Vec<Matcher>,
}

impl Collected {
    fn finish(mut self) -> Accepts {
        self.texts.sort_unstable();
        self.texts.dedup();
        Accepts { texts: self.texts.into(), others: self.others.into() }
    }
}

impl Parser<'_> {
    /// Parses a list; the second result is whether it accepts a missing field.
    pub(crate) fn list(&mut self, list: Value<'_>) -> Parsed<(Accepts, bool)> {
        let mut collected = Collected::default();
        let mut absent = false;
        for (i, element) in list.elements().enumerate() {
            match self.within(&i.to_string(), |parser| parser.element(element))? {
                Entry::Text(text) => collected.texts.push(text),
                Entry::Other(matcher) => collected.others.push(matcher),
                Entry::Absent => absent = true,
            }
        }
        if list.elements().next().is_none() {
            return self.refuse(
                "an empty list accepts nothing: remove the field, or write what it may be \
                 ([{\"exists\": true}] for anything)",
            );
        }
        Ok((collected.finish(), absent))
    }

    fn element(&mut self, element: Value<'_>) -> Parsed<Entry> {
        self.count(element)?;
        Ok(match element.kind() {
            Kind::Null => Entry::Other(Matcher::Null),
            Kind::Bool => Entry::Other(Matcher::Bool(element.as_bool() == Some(true))),
            Kind::Number => Entry::Other(Matcher::Number(Decimal::new(element.raw()))),
            Kind::String => {
                let text = element.as_str().unwrap_or_default();
                match address(&text) {
                    Some(ip) => Entry::Other(Matcher::Address(ip)),
                    None => Entry::Text(text.into()),
                }
            }
            Kind::Object => return self.operator(element),
            Kind::Array => {
                return self.refuse(
                    "a list holds values and operators, no lists: an array in an event matches \
                     where any of its elements does",
                );
            }
        })
    }

    fn count(&mut self, value: Value<'_>) -> Parsed<()> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return self.refuse(format!(
                "the pattern has more than {} values: a `prefix` or `wildcard` may stand for many",
                self.limits.values_max
            ));
        }
        let scalar = !matches!(value.kind(), Kind::Object | Kind::Array);
        if scalar && value.raw().len() > self.limits.value_bytes_max {
            return self
                .refuse(format!("the value is longer than {} bytes", self.limits.value_bytes_max));
        }
        Ok(())
    }

    /// The only member of an operator object.
    fn only<'v>(&self, object: Value<'v>) -> Parsed<(String, Value<'v>)> {
        let mut members = object.members();
        match (members.next(), members.next()) {
            (Some((key, value)), None) => Ok((key.as_str().unwrap_or_default().into(), value)),
            (None, _) => self.refuse("an operator is missing here: {\"prefix\": \"vip-\"}"),
            (Some(_), Some(_)) => self.refuse(
                "one operator for each object: [{\"prefix\": \"a\"}, {\"suffix\": \"b\"}] accepts \
                 either; for both at once use {\"wildcard\": \"a*b\"}",
            ),
        }
    }

    fn operator(&mut self, object: Value<'_>) -> Parsed<Entry> {
        let (name, value) = self.only(object)?;
        self.within(&name, |parser| {
            Ok(match &*name {
                "exactly" => Entry::Text(parser.text(value)?),
                "prefix" => {
                    Entry::Other(parser.affix(value, Matcher::Prefix, Matcher::FoldedPrefix)?)
                }
                "suffix" => {
                    Entry::Other(parser.affix(value, Matcher::Suffix, Matcher::FoldedSuffix)?)
                }
                "equals-ignore-case" => Entry::Other(Matcher::Folded(parser.text(value)?)),
                "wildcard" => Entry::Other(parser.wildcard(value)?),
                "numeric" => Entry::Other(parser.numeric(value)?),
                "cidr" => Entry::Other(parser.cidr(value)?),
                "anything-but" => Entry::Other(parser.anything_but(value)?),
                "exists" => match value.as_bool() {
                    Some(true) => Entry::Other(Matcher::Present),
                    Some(false) => Entry::Absent,
                    None => return parser.refuse("`exists` is true or false"),
                },
                other => {
                    let meant = suggest::operator(other);
                    return parser.refuse(format!("`{other}` is no operator: {meant}"));
                }
            })
        })
    }

    fn text(&mut self, value: Value<'_>) -> Parsed<Box<str>> {
        self.count(value)?;
        match value.as_str() {
            Some(text) => Ok(text.into()),
            None => self.refuse("a string must stand here"),
        }
    }

    fn affix(
        &mut self,
        value: Value<'_>,
        exact: fn(Box<str>) -> Matcher,
        folded: fn(Box<str>) -> Matcher,
    ) -> Parsed<Matcher> {
        if value.kind() != Kind::Object {
            return self.text(value).map(exact);
        }
        let (name, inner) = self.only(value)?;
        self.within(&name, |parser| match &*name {
            "equals-ignore-case" => parser.text(inner).map(folded),
            _ => {
                parser.refuse("only {\"equals-ignore-case\": \"text\"} or a string can stand here")
            }
        })
    }

    fn wildcard(&mut self, value: Value<'_>) -> Parsed<Matcher> {
        let text = self.text(value)?;
        self.wildcards += 1;
        if self.wildcards > self.limits.wildcards_max {
            let most = self.limits.wildcards_max;
            return self.refuse(format!("the pattern has more than {most} wildcards"));
        }
        match Wildcard::parse(&text) {
            Ok(wildcard) if wildcard.stars() > self.limits.stars_max => {
                self.refuse(format!("a wildcard has at most {} stars", self.limits.stars_max))
            }
            Ok(wildcard) => Ok(Matcher::Wildcard(wildcard)),
            Err(detail) => self.refuse(detail),
        }
    }

    fn cidr(&mut self, value: Value<'_>) -> Parsed<Matcher> {
        let text = self.text(value)?;
        match text.parse::<IpNet>() {
            Ok(net) => Ok(Matcher::Cidr(net.trunc())),
            Err(_) => self.refuse(
                "a network is an address, a slash and the number of its fixed bits: 10.0.0.0/24 \
                 or 2001:db8::/32",
            ),
        }
    }

    /// `[OP, NUMBER]`, or `[> or >=, NUMBER, < or <=, NUMBER]`.
    fn numeric(&mut self, value: Value<'_>) -> Parsed<Matcher> {
        const SHAPES: &str = "`numeric` takes an operator and a number, [\">=\", 5], or a range \
                              from below to above, [\">\", 0, \"<=\", 5]";
        let terms: Vec<_> = value.elements().take(5).collect();
        let (first, second) = match *terms {
            [op, number] => ((op, number), None),
            [op, number, op2, number2] => ((op, number), Some((op2, number2))),
            _ => return self.refuse(SHAPES),
        };
        let (name, number) = self.comparison(0, first)?;
        let below = |parser: &mut Self, second| -> Parsed<Option<Bound>> {
            let Some(second) = second else { return Ok(None) };
            let (name, at) = parser.comparison(2, second)?;
            match name {
                "<" | "<=" => Ok(Some(Bound { at, inclusive: name == "<=" })),
                _ => parser.refuse(SHAPES),
            }
        };
        match name {
            "=" if second.is_none() => Ok(Matcher::Number(number)),
            "<" | "<=" if second.is_none() => {
                let high = Some(Bound { at: number, inclusive: name == "<=" });
                Ok(Matcher::Range(Range { low: None, high }))
            }
            ">" | ">=" => {
                let high = below(self, second)?;
                if high.as_ref().is_some_and(|high| number.compare(high.at.text()).is_ge()) {
                    return self.refuse(
                        "the range is empty: its lower bound must be less than its upper bound \
                         (one number alone is [\"=\", 5])",
                    );
                }
                let low = Some(Bound { at: number, inclusive: name == ">=" });
                Ok(Matcher::Range(Range { low, high }))
            }
            _ => self.refuse(SHAPES),
        }
    }

    fn comparison(
        &mut self,
        at: usize,
        (name, number): (Value<'_>, Value<'_>),
    ) -> Parsed<(&'static str, Decimal)> {
        let name = self.within(&at.to_string(), |parser| {
            let written = name.as_str();
            let known = ["=", "<", "<=", ">", ">="]
                .into_iter()
                .find(|own| Some(*own) == written.as_deref());
            match known {
                Some(own) => Ok(own),
                None => {
                    parser.refuse("an operator stands here: \"=\", \"<\", \"<=\", \">\" or \">=\"")
                }
            }
        })?;
        self.within(&(at + 1).to_string(), |parser| {
            parser.count(number)?;
            match number.as_number() {
                Some(text) => Ok((name, Decimal::new(text))),
                None => parser.refuse("a number stands here, without quotes"),
            }
        })
    }

    fn anything_but(&mut self, value: Value<'_>) -> Parsed<Matcher> {
        let mut refused = Collected::default();
        match value.kind() {
            Kind::String | Kind::Number => self.plain(value, &mut refused)?,
            Kind::Array => {
                self.each(value, |parser, element| parser.plain(element, &mut refused))?
            }
            Kind::Object => {
                let (name, inner) = self.only(value)?;
                self.within(&name, |parser| match inner.kind() {
                    Kind::Array => parser.each(inner, |parser, element| {
                        parser.negated(&name, element, &mut refused)
                    }),
                    _ => parser.negated(&name, inner, &mut refused),
                })?;
            }
            Kind::Null | Kind::Bool => {
                return self.refuse(
                    "`anything-but` takes strings or numbers; for anything but null or a boolean \
                     list what is accepted instead",
                );
            }
        }
        if !refused.texts.is_empty() && !refused.others.is_empty() {
            return self.refuse(
                "`anything-but` takes strings or numbers, not both in one list: keep those of the type \
                 that the field has",
            );
        }
        Ok(Matcher::AnythingBut(refused.finish()))
    }

    /// Reads every element of a list, which must not be empty.
    fn each(
        &mut self,
        list: Value<'_>,
        mut read: impl FnMut(&mut Self, Value<'_>) -> Parsed<()>,
    ) -> Parsed<()> {
        if list.elements().next().is_none() {
            return self
                .refuse("an empty list forbids nothing: write what must not be, or remove it");
        }
        for (i, element) in list.elements().enumerate() {
            self.within(&i.to_string(), |parser| read(parser, element))?;
        }
        Ok(())
    }

    /// A value of a plain `anything-but`. Addresses are plain strings here, as in event-ruler.
    fn plain(&mut self, value: Value<'_>, refused: &mut Collected) -> Parsed<()> {
        self.count(value)?;
        match value.kind() {
            Kind::String => refused.texts.push(value.as_str().unwrap_or_default().into()),
            Kind::Number => refused.others.push(Matcher::Number(Decimal::new(value.raw()))),
            _ => return self.refuse("`anything-but` lists strings, or numbers"),
        }
        Ok(())
    }

    /// A value of `{"anything-but": {NAME: …}}`.
    fn negated(&mut self, name: &str, value: Value<'_>, refused: &mut Collected) -> Parsed<()> {
        let matcher = match name {
            "prefix" | "suffix" => {
                let text = self.text(value)?;
                if text.is_empty() {
                    return self.refuse(format!("every string has the empty {name}"));
                }
                if name == "prefix" { Matcher::Prefix(text) } else { Matcher::Suffix(text) }
            }
            "wildcard" => self.wildcard(value)?,
            "equals-ignore-case" => Matcher::Folded(self.text(value)?),
            _ => {
                return self.refuse(
                    "`anything-but` goes with `prefix`, `suffix`, `wildcard`, \
                     `equals-ignore-case`, or with values alone",
                );
            }
        };
        refused.others.push(matcher);
        Ok(())
    }
}
