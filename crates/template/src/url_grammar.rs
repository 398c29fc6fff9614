//! A URL's parts, for the proof of URL templates: no hole in the scheme, none in the host without
//! allowed hosts, and everything else percent-encoded.

use crate::Cause;
use crate::expression::Expression;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};

pub(crate) struct Url {
    pub(crate) host_may_vary: bool,
}

/// The parts that the output may be in.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum State {
    /// In the scheme and its slashes; what was read of them.
    Scheme(String),
    After {
        host: bool,
        tail: bool,
    },
}

const SCHEMES: [&str; 2] = ["https://", "http://"];

const HOST_DETAIL: &str = "a variable in the host could send data anywhere";

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
                        *state = State::After { host: true, tail: false };
                    } else if !SCHEMES.iter().any(|scheme| scheme.starts_with(read.as_str())) {
                        let stuck = Stuck::new(
                            Cause::UrlScheme,
                            "a URL begins with `https://` or `http://`",
                        );
                        return Err(Stuck { at, ..stuck });
                    }
                }
                State::After { host, tail } => {
                    if matches!(c, '/' | '\\' | '?' | '#') {
                        (*host, *tail) = (false, true);
                    }
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
            State::After { host: true, .. } if secret => {
                Err(Stuck::new(Cause::SecretInHost, "a secret can't stand in the host")
                    .suggest("make the whole URL one secret, or put it after the host"))
            }
            State::After { host: true, .. } if !self.host_may_vary => {
                Err(Stuck::new(Cause::TagInHost, HOST_DETAIL).suggest("write the host out, or list the hosts that are allowed"))
            }
            State::After { host: true, .. } => Ok(Slot::Host),
            State::After { .. } => Ok(Slot::Url),
        }
    }

    fn join(&self, one: &State, other: &State) -> Result<State, Stuck> {
        match (one, other) {
            _ if one == other => Ok(one.clone()),
            (State::After { host: a, tail: b }, State::After { host: c, tail: d }) => {
                Ok(State::After { host: *a || *c, tail: *b || *d })
            }
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
            State::After { .. } => Ok(()),
        }
    }
}

/// Why a rendered URL can't be sent.
pub(crate) enum Wrong {
    Segment(String),
    Host(String),
}

/// Checks a rendered URL: `secrets` are the places where one will be put in. With `hosts`, the host
/// must be in that list.
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

/// The URL standard's single-dot and double-dot segments, percent-encoded dots included.
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
