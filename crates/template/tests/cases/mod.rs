//! Checks random templates over random events. A case is identified by a number; the tests run some
//! thousand of them, `cargo xtask fuzz templates` any number.
//!
//! Most templates are generated together with a model that predicts the values to read back from the
//! result; they must compile. Others are broken on purpose: those that still compile must keep the
//! guarantees of their place.

use antar_json::Document;
use antar_template::{
    ContentType, Limits, Place, RenderError, Rendered, Scope, Template, Unresolved, resolve,
};

mod dice;
mod json;
mod model;
mod reader;
mod rough;
mod texts;
mod tree;

use dice::Dice;
use model::Model;
use rough::{mutate, soup};
use tree::Tree;

/// Value of the only secret.
const SECRET: &str = "s\"\\\r\nX: 1/..@&=<'%20é";

const POLICIES: [Unresolved; 4] =
    [Unresolved::Literal, Unresolved::Empty, Unresolved::Omit, Unresolved::Fail];

/// Result of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The template was refused, which is allowed for some.
    Refused,
    /// The output parses.
    Parsed,
    /// The output has the expected meaning.
    Meant,
}

/// A violated guarantee.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) template: String,
    pub(crate) event: String,
    pub(crate) what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\ntemplate:\n{}\nevent:\n{}", self.what, self.template, self.event)
    }
}

enum Subject {
    Json(json::Val),
    Url(texts::Url),
    Host,
    Header(texts::Header),
    Form(Vec<texts::Pair>),
    Xml(texts::Xml),
    /// Only the place is known.
    Any,
}

struct Case {
    template: String,
    place: Place,
    subject: Subject,
}

/// Runs case `number` of `seed`.
pub(crate) fn run(seed: u64, number: u64) -> Result<Outcome, Broken> {
    let mut dice = Dice::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    // Seeds that are close to each other produce similar first numbers.
    dice.next();
    let case = case(&mut dice);
    let event = tree::event(&mut dice);
    let posted = event.spaced(&mut dice);
    check(&case, &event, &posted).map_err(|what| Broken {
        template: format!("{:?}\n{}", case.place, case.template),
        event: posted,
        what,
    })
}

fn case(dice: &mut Dice) -> Case {
    let body = |kind| Place::Body(kind);
    match dice.below(20) {
        0..=6 => {
            let val = json::val(dice, &model::Around::default(), 3);
            let mut template = String::new();
            val.print(dice, &mut template);
            let place = body(ContentType::Json);
            if dice.one_in(4) {
                mutate(dice, &mut template, 0);
                return Case { template, place, subject: Subject::Any };
            }
            Case { template, place, subject: Subject::Json(val) }
        }
        7..=9 => {
            Case { template: soup(dice), place: body(ContentType::Json), subject: Subject::Any }
        }
        10..=12 => {
            let url = texts::url(dice);
            let place = Place::Url { hosts_allowed: Vec::new() };
            let mut template = url.print();
            if dice.one_in(4) {
                // Mutate only after the authority, which the check compares.
                mutate(dice, &mut template, url.authority.len() + 1);
            }
            Case { template, place, subject: Subject::Url(url) }
        }
        13 => {
            let hosts_allowed = vec!["*.crm.example".to_owned(), "eu.crm.test".to_owned()];
            let template = dice.pick(&[
                "https://{{a}}.crm.example/x",
                "https://{{a}}/{{b}}",
                "http://{{name}}:8080/{{a}}",
                "https://{{a}}.{{b}}.crm.example",
                "https://x{{#if a}}{{b}}{{/if}}.crm.example?{{c}}",
            ]);
            let place = Place::Url { hosts_allowed };
            Case { template: template.to_owned(), place, subject: Subject::Host }
        }
        14 | 15 => {
            let header = texts::header(dice);
            let mut template = header.print();
            if dice.one_in(4) {
                mutate(dice, &mut template, 0);
                return Case { template, place: Place::Header, subject: Subject::Any };
            }
            Case { template, place: Place::Header, subject: Subject::Header(header) }
        }
        16 | 17 => {
            let pairs = texts::pairs(dice);
            let mut template = String::new();
            texts::print_pairs(&pairs, &mut template);
            Case { template, place: body(ContentType::Form), subject: Subject::Form(pairs) }
        }
        _ => {
            let xml = texts::xml(dice);
            Case {
                template: xml.print(),
                place: body(ContentType::Xml),
                subject: Subject::Xml(xml),
            }
        }
    }
}

fn check(case: &Case, event: &Tree, posted: &str) -> Result<Outcome, String> {
    let place = case.place.clone();
    let template = match Template::compile(&case.template, &place, &Limits::default()) {
        Ok(template) => template,
        Err(errors) => {
            let sound = !matches!(case.subject, Subject::Any | Subject::Host)
                && case.template == printed(&case.subject).unwrap_or_else(|| case.template.clone());
            // The model may nest loops too deeply to be proved, or test for a first turn in a last one.
            let reasons = ["too large", "no event can lead here"];
            let with_reason = reasons.iter().any(|reason| errors[0].detail.contains(reason));
            let error = &errors[0];
            return if sound && !with_reason {
                Err(format!("refused: {error}"))
            } else {
                Ok(Outcome::Refused)
            };
        }
    };
    let document: Document = posted.parse().map_err(|error| format!("event: {error}"))?;
    let antar: Document = "{}".parse().map_err(|error| format!("meta: {error}"))?;
    let mut least = Outcome::Meant;
    for policy in POLICIES {
        let scope = Scope { root: document.root(), antar: antar.root(), attempt: None };
        let result = template.render(&scope, policy);
        let mut model = Model::new(event, policy);
        let outcome = meant(case, &mut model, &result).map_err(|what| {
            let sent = result.as_ref().map(Rendered::masked);
            format!("{policy:?}: {what}\nsent: {sent:?}")
        })?;
        if outcome != Outcome::Meant {
            least = outcome;
        }
    }
    Ok(least)
}

/// The template as the model prints it, if it may have been mutated since.
fn printed(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Url(url) => Some(url.print()),
        _ => None,
    }
}

fn meant(
    case: &Case,
    model: &mut Model,
    result: &Result<Rendered, RenderError>,
) -> Result<Outcome, String> {
    let rendered = match result {
        Ok(rendered) => rendered,
        Err(error) => return failed(case, model, error),
    };
    let sent = resolve(&rendered.pieces, |_| Some(SECRET.to_owned()));
    let sent = sent.map_err(|missing| missing.to_string())?;
    let same =
        |read: &dyn std::fmt::Debug, meant: &dyn std::fmt::Debug, equal: bool, model: &Model| {
            if model.unknown {
                return Ok(Outcome::Parsed);
            }
            if model.unresolved && model.policy == Unresolved::Fail {
                return Err("a token without a value did not fail".to_owned());
            }
            if equal {
                Ok(Outcome::Meant)
            } else {
                Err(format!("reads as {read:?}\nmeant is {meant:?}"))
            }
        };
    match &case.subject {
        Subject::Json(val) => {
            let read = json_of(&sent)?;
            let meant = val.eval(model).or_else(|| {
                // The outermost value can't be left out.
                model.policy = Unresolved::Empty;
                val.eval(model)
            });
            let equal = meant.as_ref() == Some(&read);
            same(&read, &meant, equal, model)
        }
        Subject::Any if case.place == Place::Header => one_line(&sent),
        Subject::Any => json_of(&sent).map(|_| Outcome::Parsed),
        Subject::Header(header) => {
            one_line(&sent)?;
            let (meant, omitted) = header.eval(model);
            let equal = omitted == rendered.omitted && (omitted || meant == sent);
            same(&sent, &meant, equal, model)
        }
        Subject::Form(pairs) => {
            let read = texts::counted(url::form_urlencoded::parse(sent.as_bytes()).into_owned());
            let meant = texts::eval_pairs(pairs, model);
            same(&read, &meant, read == meant, model)
        }
        Subject::Xml(xml) => {
            let read = xml_of(&sent)?;
            let meant = xml.eval(model);
            same(&read, &meant, read == meant, model)
        }
        Subject::Host => {
            let parsed = url::Url::parse(&sent).map_err(|error| error.to_string())?;
            let host = parsed.host_str().unwrap_or_default();
            let allowed = host == "eu.crm.test" || host.ends_with(".crm.example");
            let plain = parsed.username().is_empty() && parsed.password().is_none();
            if allowed && plain { Ok(Outcome::Meant) } else { Err(format!("the host is {host}")) }
        }
        Subject::Url(url) => {
            let parsed = url::Url::parse(&sent).map_err(|error| error.to_string())?;
            let fixed = url::Url::parse(url.authority).map_err(|error| error.to_string())?;
            let target = |url: &url::Url| url[..url::Position::BeforePath].to_owned();
            if target(&parsed) != target(&fixed) {
                return Err(format!("leads to {}", target(&parsed)));
            }
            if case.template != url.print() {
                return Ok(Outcome::Parsed);
            }
            let parts = url.eval(model);
            let decoded = |text: &str| {
                percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
            };
            let segments: Vec<String> =
                parsed.path_segments().into_iter().flatten().map(decoded).collect();
            let query = texts::counted(parsed.query_pairs().into_owned());
            let fragment = parsed.fragment().map(decoded);
            let equal =
                (&segments, &query, &fragment) == (&parts.segments, &parts.query, &parts.fragment);
            same(
                &(segments, query, fragment),
                &(parts.segments, parts.query, parts.fragment),
                equal,
                model,
            )
        }
    }
}

/// Whether rendering had a reason to fail.
fn failed(case: &Case, model: &mut Model, error: &RenderError) -> Result<Outcome, String> {
    let mut dots = false;
    match &case.subject {
        Subject::Json(val) => drop(val.eval(model)),
        Subject::Header(header) => drop(header.eval(model)),
        Subject::Form(pairs) => drop(texts::eval_pairs(pairs, model)),
        Subject::Xml(xml) => drop(xml.eval(model)),
        Subject::Url(url) if case.template == url.print() => {
            dots = url.eval(model).segments.iter().any(|segment| segment == "." || segment == "..");
        }
        _ => return Ok(Outcome::Parsed),
    }
    let scalar = matches!(case.place, Place::Url { .. } | Place::Header);
    let reason = match error {
        RenderError::Unresolved { .. } => model.unresolved && model.policy == Unresolved::Fail,
        RenderError::NotScalar { .. } => model.nested && scalar,
        RenderError::PathSegment { .. } => dots,
        _ => false,
    };
    if model.unknown {
        return Ok(Outcome::Parsed);
    }
    if reason { Ok(Outcome::Meant) } else { Err(format!("failed without reason: {error}")) }
}

/// Reads a text with two parsers, which must both accept it as JSON.
fn json_of(sent: &str) -> Result<Tree, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(sent)
        .map_err(|error| format!("no JSON: {error}"))?;
    reader::read(sent)
}

fn one_line(sent: &str) -> Result<Outcome, String> {
    match sent.find(char::is_control) {
        None => Ok(Outcome::Parsed),
        Some(at) => Err(format!("a control character at byte {at}")),
    }
}

fn xml_of(sent: &str) -> Result<Vec<String>, String> {
    let document = roxmltree::Document::parse(sent).map_err(|error| error.to_string())?;
    let root = document.root_element();
    let text = |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().to_owned();
    let attribute = |name| root.attribute(name).unwrap_or_default().to_owned();
    let mut read = vec![attribute("a"), attribute("b")];
    for child in root.children() {
        if child.children().any(|node| !node.is_text()) {
            return Err("an element that nobody wrote".to_owned());
        }
        read.push(text(child));
    }
    Ok(read)
}
