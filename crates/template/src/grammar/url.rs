//! The grammar of URLs: no hole in the scheme, none in the host without allowed hosts, and everything else
//! percent-encoded. Literal text must be in the form that a URL parser would produce, so that the URL that
//! is shown is the one that is sent.

use super::form::{percent, percent_unfinished};
use crate::Cause;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};
use crate::syntax::expression::Expression;

pub(crate) struct Url {
    pub(crate) host_may_vary: bool,
}

/// The parts of the URL that the output may be in.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum State {
    /// In the scheme and its slashes, with the characters read so far.
    Scheme(String),
    After(Parts),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Parts {
    host: bool,
    path: bool,
    query: bool,
    fragment: bool,
    /// Whether the host may be empty so far.
    hostless: bool,
    /// The path segment read so far, as long as it is the same in all branches and may turn out to be
    /// dots.
    segment: Option<String>,
    /// Hex digits that a `%` still lacks.
    percent_missing: u8,
}

const SCHEMES: [&str; 2] = ["https://", "http://"];

const HOST_DETAIL: &str = "a variable in the host could send data anywhere";

/// Longest spelling of `..`: `%2e%2e`.
const DOTS_CHARACTERS_MAX: usize = 6;

impl Grammar for Url {
    type State = State;

    fn start(&self) -> State {
        State::Scheme(String::new())
    }

    fn text(
        &self,
        state: &mut State,
        text: &str,
        events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck> {
        for (at, c) in text.char_indices() {
            if c.is_control() || c == ' ' {
                let stuck = Stuck::new(
                    Cause::UrlCharacter,
                    "a URL has no spaces, line breaks or control characters",
                );
                return Err(Stuck { at, ..stuck });
            }
            match state {
                State::Scheme(read) => {
                    read.push(c.to_ascii_lowercase());
                    if SCHEMES.contains(&read.as_str()) {
                        *state = State::After(Parts::authority());
                    } else if !SCHEMES.iter().any(|scheme| scheme.starts_with(read.as_str())) {
                        let stuck = Stuck::new(
                            Cause::UrlScheme,
                            "a URL begins with `https://` or `http://`",
                        );
                        return Err(Stuck { at, ..stuck });
                    }
                }
                State::After(parts) => {
                    parts.character(c).map_err(|stuck| Stuck { at, ..stuck })?;
                    let event = match c {
                        '?' => Some(Event::Query),
                        '&' => Some(Event::Parameter),
                        '#' => Some(Event::Fragment),
                        _ => None,
                    };
                    events.extend(event.map(|event| (at, event)));
                }
            }
        }
        Ok(())
    }

    fn hole(&self, state: &mut State, hole: &Hole) -> Result<Slot, Stuck> {
        let secret = matches!(hole.expression, Expression::Secret(_));
        match state {
            State::Scheme(_) => Err(Stuck::new(Cause::TagInScheme, "scheme and host can't come from a tag here")
                .suggest("begin with `https://` and the host; a URL that is secret may be one `{{antar.secret.NAME}}` alone")),
            State::After(Parts { host: true, .. }) if secret => {
                Err(Stuck::new(Cause::SecretInHost, "a secret can't stand in the host")
                    .suggest("make the whole URL one secret, or put it after the host"))
            }
            State::After(Parts { host: true, .. }) if !self.host_may_vary => {
                Err(Stuck::new(Cause::TagInHost, HOST_DETAIL).suggest("write the host out, or list the hosts that are allowed"))
            }
            State::After(parts) => {
                if parts.percent_missing > 0 {
                    return Err(percent_unfinished());
                }
                (parts.hostless, parts.segment) = (false, None);
                Ok(if parts.host { Slot::Host } else { Slot::Url })
            }
        }
    }

    fn join(&self, one: &State, other: &State) -> Result<State, Stuck> {
        match (one, other) {
            _ if one == other => Ok(one.clone()),
            (State::After(a), State::After(b)) if a.percent_missing == b.percent_missing => {
                Ok(State::After(Parts {
                    host: a.host || b.host,
                    path: a.path || b.path,
                    query: a.query || b.query,
                    fragment: a.fragment || b.fragment,
                    hostless: a.hostless || b.hostless,
                    segment: a.segment.clone().filter(|_| a.segment == b.segment),
                    percent_missing: a.percent_missing,
                }))
            }
            (State::After(_), State::After(_)) => Err(percent_unfinished()),
            _ => Err(Stuck::new(
                Cause::SchemeInBranch,
                "every way through this block must write scheme and host, or none",
            )),
        }
    }

    fn end(&self, state: &State) -> Result<(), Stuck> {
        match state {
            State::Scheme(_) => Err(Stuck::new(
                Cause::UrlScheme,
                "a URL begins with `https://` or `http://`, then the host",
            )),
            State::After(parts) if parts.percent_missing > 0 => Err(percent_unfinished()),
            State::After(parts) => parts.end_part(),
        }
    }
}

impl Parts {
    fn authority() -> Parts {
        Parts {
            host: true,
            path: false,
            query: false,
            fragment: false,
            hostless: true,
            segment: None,
            percent_missing: 0,
        }
    }

    fn character(&mut self, c: char) -> Result<(), Stuck> {
        percent(&mut self.percent_missing, c)?;
        if !self.may_stand(c) {
            return Err(self.unfit(c));
        }
        match c {
            '/' if self.host || self.path => {
                self.end_part()?;
                // If this may also be a query or fragment, the segment is not known.
                let sure = !self.query && !self.fragment;
                (self.path, self.segment) = (true, sure.then(String::new));
            }
            '?' if self.host || self.path => {
                self.end_part()?;
                (self.path, self.query, self.segment) = (false, true, None);
            }
            '#' => {
                self.end_part()?;
                (self.path, self.query, self.fragment) = (false, false, true);
                self.segment = None;
            }
            _ => {
                self.hostless = false;
                if let Some(segment) = &mut self.segment {
                    segment.push(c);
                }
                self.segment.take_if(|segment| segment.len() > DOTS_CHARACTERS_MAX);
            }
        }
        if matches!(c, '/' | '?' | '#') {
            self.host = false;
        }
        Ok(())
    }

    /// Checks the host or path segment that ends here.
    fn end_part(&self) -> Result<(), Stuck> {
        if self.host && self.hostless {
            return Err(Stuck::new(Cause::NoHost, "the URL can be without a host"));
        }
        match &self.segment {
            Some(segment) if is_dots(segment) => Err(Stuck::new(
                Cause::DotSegment,
                format!(
                    "`{segment}` in a path leads to another folder and would not be sent as written"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the URL standard neither changes nor refuses `c` here.
    fn may_stand(&self, c: char) -> bool {
        let host = c.is_ascii_alphanumeric() || "-._~:@[]!$&()*+,/?#".contains(c);
        let tail = c.is_ascii_graphic() && !"\"<>\\^`{}".contains(c);
        let quote = c == '\'' && self.query;
        (host || !self.host) && (tail || self.host) && !quote
    }

    fn unfit(&self, c: char) -> Stuck {
        let place = if self.host { "the host" } else { "a URL" };
        let stuck = Stuck::new(Cause::UrlCharacter, format!("`{c}` can't stand in {place}"));
        match c {
            '\\' => stuck.suggest("write `/`"),
            _ if self.host && !c.is_ascii() => {
                stuck.suggest("write the host as DNS has it, beginning with `xn--`")
            }
            _ if self.host => stuck.suggest("a host is made of letters, digits, `-` and `.`"),
            '\'' => stuck.suggest("write `%27`"),
            c => {
                let encoded = crate::escape::percent_encoded(c.encode_utf8(&mut [0; 4]));
                stuck.suggest(format!("write `{encoded}`"))
            }
        }
    }
}

/// Why a rendered URL can't be sent.
pub(crate) enum Wrong {
    Segment(String),
    Host(String),
}

/// Checks a rendered URL. `secrets` are the byte offsets at which secrets will be inserted. With `hosts`,
/// the host must be in that list.
pub(crate) fn check(url: &str, secrets: &[usize], hosts: Option<&[String]>) -> Result<(), Wrong> {
    let Some(scheme) = url.find("://") else { return Ok(()) };
    let authority_start = scheme + 3;
    let find =
        |from: usize, marks: &[char]| url[from..].find(marks).map_or(url.len(), |at| from + at);
    let authority_end = find(authority_start, &['/', '\\', '?', '#']);
    if let Some(hosts) = hosts {
        let authority = &url[authority_start..authority_end];
        let host = host_of(authority);
        if authority.contains('@') || !hosts.iter().any(|allowed| allows(allowed, host)) {
            return Err(Wrong::Host(authority.to_owned()));
        }
    }
    let path_end = find(authority_end, &['?', '#']);
    let mut start = authority_end;
    for segment in url[authority_end..path_end].split(['/', '\\']) {
        let end = start + segment.len();
        let holds_secret = secrets.iter().any(|at| (start..=end).contains(at));
        if !holds_secret && is_dots(segment) {
            return Err(Wrong::Segment(segment.to_owned()));
        }
        start = end + 1;
    }
    Ok(())
}

/// Whether this is a single-dot or double-dot segment of the URL standard, percent-encoded dots included.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn allows(allowed: &str, host: &str) -> bool {
    let (allowed, host) = (allowed.to_ascii_lowercase(), host.to_ascii_lowercase());
    match allowed.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .and_then(|below| below.strip_suffix('.'))
            .is_some_and(|below| !below.is_empty() && is_host(below)),
        None => host == allowed,
    }
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    })
}
