//! Compiles a template's text into a proved plan.

use antar_json::{Document, Steps};

use crate::grammar::form::Form;
use crate::grammar::json::Json;
use crate::grammar::markup::Markup;
use crate::grammar::url::Url;
use crate::grammar::xml::Xml;
use crate::plan::{Event, Hole, Node, Slot};
use crate::prove::{self, Grammar, Stuck};
use crate::render::{self, Check};
use crate::syntax::expression::Expression;
use crate::syntax::parse::{self, Use};
use crate::syntax::scan::Fault;
use crate::{
    Cause, ContentType, Limits, Place, RenderError, Rendered, Scope, TemplateError, Unresolved,
};

mod lone;

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    source: String,
    nodes: Vec<Node>,
    place: Place,
    limits: Limits,
    secrets: Vec<String>,
    uses_attempt: bool,
    uses_meta: bool,
    host_varies: bool,
    /// The output of a template without tags.
    constant: Option<Rendered>,
}

/// A path below the root that a template reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Dotted path from the root, with enclosing blocks, `../`, `this` and block parameters resolved.
    /// `[]` stands for each element of an array (or member of an object): `items[].name`. Empty for the
    /// whole payload. Keys are written as in the event: a key with a dot (`[a.b]`) looks like two, which
    /// [`antar_json::Value::at`] still finds; `steps` distinguishes them.
    pub path: String,
    /// The same path, one key per step: `user.[a.b]` is `user`, `a.b`. `[]` is a step of its own:
    /// `items[].name` is `items`, `[]`, `name`. Empty for the whole payload.
    pub steps: Vec<String>,
    /// Position in the template. Lines and columns count from 1, columns in characters.
    pub line: usize,
    pub column: usize,
    /// The path as written; for a path that `lookup` or `join` assembles from constants
    /// (`{{lookup user "name"}}`), the whole tag.
    pub token: String,
    /// Whether the value must be text, a number or a boolean.
    pub scalar_only: bool,
    /// Whether it is read from the context of an enclosing `each` or `with`, not from the root.
    pub relative: bool,
}

impl Template {
    /// Compiles and proves `source` for `place`. Drops the spaces around a URL, a header's value or a
    /// form.
    pub fn compile(
        source: &str,
        place: &Place,
        limits: &Limits,
    ) -> Result<Template, Vec<TemplateError>> {
        let located = Located::new(source, place);
        if source.len() > limits.source_bytes_max {
            let detail = format!("the template is longer than {} bytes", limits.source_bytes_max);
            return Err(vec![located.error(Fault::new(Cause::SourceTooLong, 0, 80, detail))]);
        }
        let errors = |faults: Vec<Fault>| {
            faults.into_iter().map(|fault| located.error(fault)).collect::<Vec<_>>()
        };
        let mut parsed = parse::parse(located.text, place, limits).map_err(errors)?;
        prove(located.text, place, limits, &mut parsed.nodes)
            .map_err(|fault| vec![located.error(fault)])?;
        lone::find(&mut parsed.nodes, place);
        let mut template = Template {
            source: source.to_owned(),
            host_varies: any_hole(&parsed.nodes, &|hole| hole.slot == Some(Slot::Host)),
            nodes: parsed.nodes,
            place: place.clone(),
            limits: limits.clone(),
            secrets: parsed.secrets,
            uses_attempt: parsed.uses_attempt,
            uses_meta: parsed.uses_meta,
            constant: None,
        };
        if let [] | [Node::Text(_)] = template.nodes.as_slice() {
            let nothing = Document::empty_object();
            let scope = Scope { root: nothing.root(), antar: nothing.root(), attempt: None };
            // If it can't be rendered, each rendering returns the error.
            template.constant = template.render(&scope, Unresolved::Empty).ok();
        }
        Ok(template)
    }

    /// The template's text, unchanged.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The paths of the event that the template reads, in order, once for each occurrence. Leaves out
    /// paths below a value that is only known while rendering (`{{#with (lookup a b)}}{{x}}…`); `antar` is
    /// not part of the event. They are read from the text again: they are needed when a template is saved,
    /// and would take more memory than the rest of it.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        let located = Located::new(&self.source, &self.place);
        let parsed = parse::parse(located.text, &self.place, &self.limits);
        // What has been parsed before can be parsed again.
        let variables = parsed.map(|parsed| parsed.variables).unwrap_or_default();
        variables.into_iter().map(|used| located.variable(used)).collect()
    }

    /// Names of the secrets that the template uses, each once.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(String::as_str).collect()
    }

    /// Whether `antar.attempt` is read, so that the value differs between attempts.
    #[must_use]
    pub fn uses_attempt(&self) -> bool {
        self.uses_attempt
    }

    /// Whether anything of [`Scope::antar`] is read.
    #[must_use]
    pub fn uses_meta(&self) -> bool {
        self.uses_meta
    }

    /// Renders over one event. The same arguments give the same result.
    pub fn render(
        &self,
        scope: &Scope<'_>,
        unresolved: Unresolved,
    ) -> Result<Rendered, RenderError> {
        self.render_within(scope, unresolved, &Steps::unlimited())
    }

    /// Like [`Template::render`], with a budget that several renderings may share.
    ///
    /// # Errors
    /// `OutOfSteps` if the budget is used up before the template's own limits are.
    pub fn render_within(
        &self,
        scope: &Scope<'_>,
        unresolved: Unresolved,
        steps: &Steps,
    ) -> Result<Rendered, RenderError> {
        if let Some(constant) = &self.constant {
            return Ok(constant.clone());
        }
        let check = match &self.place {
            Place::Url { hosts_allowed } => {
                Check::Url { hosts: self.host_varies.then_some(hosts_allowed.as_slice()) }
            }
            Place::Body(ContentType::Form) => Check::Form,
            _ => Check::None,
        };
        let capacity = self.source.len() + scope.root.raw().len() / 2;
        render::render(&self.nodes, scope, unresolved, &self.limits, steps, &check, capacity)
    }
}

fn any_hole(nodes: &[Node], test: &dyn Fn(&Hole) -> bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Hole(hole) => test(hole),
        Node::If(block) => any_hole(&block.then, test) || any_hole(&block.otherwise, test),
        Node::Each(block) | Node::With(block) => {
            any_hole(&block.body, test) || any_hole(&block.otherwise, test)
        }
    })
}

fn any_loop(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Hole(_) => false,
        Node::If(block) => any_loop(&block.then) || any_loop(&block.otherwise),
        Node::Each(_) => true,
        Node::With(block) => any_loop(&block.body) || any_loop(&block.otherwise),
    })
}

fn prove(source: &str, place: &Place, limits: &Limits, nodes: &mut [Node]) -> Result<(), Fault> {
    match place {
        Place::Url { hosts_allowed } => {
            if let [Node::Hole(hole)] = nodes
                && matches!(hole.expression, Expression::Secret(_))
            {
                hole.slot = Some(Slot::WholeUrl);
                return Ok(());
            }
            prove::prove(&Url { host_may_vary: !hosts_allowed.is_empty() }, source, nodes)
        }
        Place::Header => prove::prove(&Anything(Some(Slot::Header)), source, nodes),
        Place::Body(ContentType::Json) => {
            let loops = any_loop(nodes);
            prove::prove(&Json { depth_max: limits.depth_max, loops }, source, nodes)
        }
        Place::Body(ContentType::Form) => prove::prove(&Form, source, nodes),
        Place::Body(ContentType::Xml) => {
            prove::prove(&Xml { depth_max: limits.depth_max }, source, nodes)
        }
        Place::Body(ContentType::Html) => prove::prove(&Markup, source, nodes),
        Place::Body(ContentType::Text) => prove::prove(&Anything(Some(Slot::Text)), source, nodes),
        Place::Body(ContentType::Unknown) => prove::prove(&Anything(None), source, nodes),
    }
}

/// A place where any text is valid and all holes are escaped in the same way. Without a slot no escaping is
/// known, and holes are refused.
struct Anything(Option<Slot>);

impl Grammar for Anything {
    type State = ();

    fn start(&self) {}

    fn text(&self, (): &mut (), _: &str, _: &mut Vec<(usize, Event)>) -> Result<(), Stuck> {
        Ok(())
    }

    fn hole(&self, (): &mut (), _hole: &Hole) -> Result<Slot, Stuck> {
        self.0.ok_or_else(|| {
            Stuck::new(
                Cause::ContentTypeUnknown,
                "Antar knows no way to put a value safely into a body of this Content-Type",
            )
        })
    }

    fn join(&self, (): &(), (): &()) -> Result<(), Stuck> {
        Ok(())
    }

    fn end(&self, (): &()) -> Result<(), Stuck> {
        Ok(())
    }
}

/// Joins the steps with dots; `[]` directly follows the step that it belongs to.
fn dotted(steps: &[String]) -> String {
    let mut path = String::new();
    for step in steps {
        if !path.is_empty() && step != parse::EACH {
            path.push('.');
        }
        path.push_str(step);
    }
    path
}

/// The text that is compiled, and the number of bytes trimmed before it.
struct Located<'s> {
    whole: &'s str,
    text: &'s str,
    cut: usize,
}

impl<'s> Located<'s> {
    fn new(whole: &'s str, place: &Place) -> Located<'s> {
        match place {
            Place::Body(
                ContentType::Json
                | ContentType::Xml
                | ContentType::Html
                | ContentType::Text
                | ContentType::Unknown,
            ) => Located { whole, text: whole, cut: 0 },
            Place::Url { .. } | Place::Header | Place::Body(ContentType::Form) => {
                Located { whole, text: whole.trim(), cut: whole.len() - whole.trim_start().len() }
            }
        }
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let end = self.whole.floor_char_boundary((self.cut + at).min(self.whole.len()));
        let before = &self.whole[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn piece(&self, start: usize, end: usize) -> String {
        let at = |at: usize| self.whole.floor_char_boundary((self.cut + at).min(self.whole.len()));
        let piece = &self.whole[at(start)..at(end).max(at(start))];
        piece.chars().take(80).collect()
    }

    fn error(&self, fault: Fault) -> TemplateError {
        let (line, column) = self.position(fault.start);
        let suggestion = fault.suggestion.unwrap_or_else(|| fault.cause.advice().to_owned());
        TemplateError {
            cause: fault.cause,
            line,
            column,
            token: self.piece(fault.start, fault.end),
            detail: fault.detail,
            suggestion: Some(suggestion),
        }
    }

    fn variable(&self, used: Use) -> Variable {
        let (line, column) = self.position(used.start);
        let token = self.piece(used.start, used.end);
        let Use { steps, scalar_only, relative, .. } = used;
        Variable { path: dotted(&steps), steps, line, column, token, scalar_only, relative }
    }
}
