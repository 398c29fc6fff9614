//! Reads the arguments and options of blocks.

use handlebars::template::{HelperTemplate, Parameter};

use super::{BLOCKS, Reader};
use crate::Cause;
use crate::plan::Text;
use crate::syntax::expression::Expression;
use crate::syntax::scan::{Fault, Tag};
use crate::syntax::suggest;

impl Reader<'_> {
    pub(super) fn one_argument(&mut self, name: &str, tag: Tag) -> Expression {
        let detail = format!("`{name}` takes one argument, written before any option");
        let mut fault = Fault::new(Cause::BlockArguments, tag.start, tag.end, detail);
        if name == "each" {
            fault = fault.suggest("a text between the turns is written `join=\",\"`");
        }
        self.faults.push(fault);
        super::null()
    }

    pub(super) fn unknown_block(&mut self, name: &str, tag: Tag) {
        let detail = format!("there is no block `{name}`; blocks are if, unless, each and with");
        let mut fault = Fault::new(Cause::UnknownBlock, tag.start, tag.end, detail);
        fault = match suggest::nearest(name, BLOCKS) {
            Some(near) => fault.suggest(format!("did you mean `{{{{#{near} …}}}}`?")),
            None => fault.suggest(format!(
                "for a section write `{{{{#if {name}}}}}` or `{{{{#each {name}}}}}`"
            )),
        };
        self.faults.push(fault);
    }

    pub(super) fn include_zero(&mut self, spec: &HelperTemplate, tag: Tag) -> bool {
        let mut zero_is_true = false;
        for (name, value) in &spec.hash {
            match (name.as_str(), value) {
                ("includeZero", Parameter::Literal(serde_json::Value::Bool(yes))) => {
                    zero_is_true = *yes;
                }
                ("join", _) => {
                    let at = self.option_place("join", tag);
                    self.faults.push(
                        Fault::new(
                            Cause::JoinOutsideEach,
                            at.start,
                            at.end,
                            "`join` puts a text between the turns of a loop: it belongs to `each`",
                        )
                        .suggest("write it as `{{#each … join=\",\"}}`"),
                    );
                }
                _ => {
                    self.fault(
                        Cause::UnknownOption,
                        tag,
                        "the only option here is `includeZero=true`",
                    );
                }
            }
        }
        zero_is_true
    }

    /// The `join` option of `each`. It has to be a constant, because the text between the turns is part of
    /// the proof.
    pub(super) fn separator(
        &mut self,
        spec: &HelperTemplate,
        tag: Tag,
        is_loop: bool,
    ) -> Option<Text> {
        let mut separator = None;
        for (name, value) in &spec.hash {
            let at = self.option_place(name, tag);
            let fault = match (name.as_str(), value, is_loop) {
                ("join", Parameter::Literal(serde_json::Value::String(text)), true) => {
                    let text = super::placed(text, self.place);
                    separator = Some(Text { text, start: at.start, end: at.end, events: None });
                    continue;
                }
                ("join", _, true) => Fault::new(Cause::JoinNotConstant, at.start, at.end, "`join` takes a text in quotes: what stands between the turns can't come from an event")
                    .suggest("write it like `join=\",\"`"),
                ("join", ..) => Fault::new(Cause::JoinOutsideEach, at.start, at.end, "`join` puts a text between the turns of a loop: it belongs to `each`")
                    .suggest("write it as `{{#each … join=\",\"}}`"),
                (_, _, true) => Fault::new(Cause::UnknownOption, at.start, at.end, format!("`each` has no option `{name}`"))
                    .suggest("the only one is `join=\",\"`, a text that is put between the turns"),
                _ => Fault::new(Cause::UnknownOption, at.start, at.end, "`with` has no options"),
            };
            self.faults.push(fault);
        }
        separator
    }
}
