//! Rewrites uploads before they are compiled, so that calls take less time. Guests don't notice.
//!
//! * A memory that grows gets a reserve of spare pages: [`reserve`].
//! * A small memory gets its data by instructions, not by a mapping, so that its slot can serve any
//!   plugin afterwards.
//! * A module writes log lines without two more modules around it: [`direct_log`].

mod direct_log;
mod facts;
mod reserve;

use std::{borrow::Cow, convert::Infallible};

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, Component, ComponentSectionId, ConstExpr, DataSection, FunctionSection,
    GlobalSection, ImportSection, Instruction, MemoryType, Module, RawSection, TypeSection,
};
use wasmparser::{DataKind, Operator, Parser, Payload};

use self::{direct_log::DirectLog, facts::Facts, reserve::Reserve};

pub(super) use self::direct_log::NAME as DIRECT_LOG;

/// Version of the rewrite. Increment it with every change, so that older code is not used.
pub(super) const VERSION: u8 = 3;

/// The largest memory, in pages of 64 KiB, that is zeroed as a whole after a call. For larger ones
/// that costs more than querying the kernel for the written pages, which takes 1.8 µs.
pub(super) const CLEARED_PAGES_MAX: u64 = 3;

type Error = reencode::Error<Infallible>;

/// Spare memory of a guest at the start of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Enough for most events. Finding out which of it was written takes longer than a small call.
    Ample,
    /// Only what small events need, so that the whole memory can be cleared.
    Tight,
}

/// Rewrites a module, or all modules of a component. An upload that can't be parsed is returned
/// unchanged; the compiler refuses it.
pub(super) fn rewritten(wasm: &[u8], room: Room) -> Cow<'_, [u8]> {
    let is_module = Parser::is_core_wasm(wasm);
    let made = if is_module { module(wasm, true, room) } else { component(wasm, room) };
    made.ok().flatten().map_or(Cow::Borrowed(wasm), Cow::Owned)
}

/// Whether it is worth compiling the tight form as well: the upload has one memory, which grows,
/// starts small enough to be cleared, and then has room for a small event.
pub(super) fn can_be_tight(wasm: &[u8]) -> bool {
    let Ok(facts) = facts_of_all(wasm) else { return false };
    let mut with_memory = facts.iter().filter(|facts| facts.memories > 0);
    let (Some(facts), None) = (with_memory.next(), with_memory.next()) else { return false };
    let ample = Reserve::of(facts, Room::Ample);
    let tight = Reserve::of(facts, Room::Tight);
    let has_room = tight.is_some() || facts.has_arena;
    ample.is_some() && has_room && is_cleared(facts, tight.as_ref())
}

/// Whether the memory with its reserve is small enough to be cleared.
fn is_cleared(facts: &Facts, reserve: Option<&Reserve>) -> bool {
    facts.memory_pages() + reserve.map_or(0, Reserve::pages) <= CLEARED_PAGES_MAX
}

/// Facts of a module, or of all modules in a component at any depth.
fn facts_of_all(wasm: &[u8]) -> Result<Vec<Facts>, Error> {
    if Parser::is_core_wasm(wasm) {
        return Ok(vec![Facts::of(wasm)?]);
    }
    let mut facts = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ModuleSection { unchecked_range, .. } = payload? {
            facts.push(Facts::of(part(wasm, &unchecked_range)?)?);
        }
    }
    Ok(facts)
}

/// Rewrites the modules of a component. None if no module changes.
fn component(bytes: &[u8], room: Room) -> Result<Option<Vec<u8>>, Error> {
    let mut made = Component::new();
    let mut is_changed = false;
    // Depth of nested modules and components; 0 is the outermost.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } if depth == 0 => {
                let inner = part(bytes, unchecked_range)?;
                let changed = module(inner, false, room)?;
                is_changed |= changed.is_some();
                let data = changed.as_deref().unwrap_or(inner);
                made.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data });
                depth += 1;
            }
            Payload::ComponentSection { unchecked_range, .. } if depth == 0 => {
                let data = part(bytes, unchecked_range)?;
                made.section(&RawSection { id: ComponentSectionId::Component.into(), data });
                depth += 1;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            other if depth == 0 => {
                if let Some((id, range)) = other.as_section() {
                    made.section(&RawSection { id, data: part(bytes, &range)? });
                }
            }
            _ => {}
        }
    }
    Ok(is_changed.then(|| made.finish()))
}

fn part<'a>(bytes: &'a [u8], range: &std::ops::Range<u64>) -> Result<&'a [u8], Error> {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    bytes.get(at(range.start)..at(range.end)).ok_or(Error::InvalidCodeSectionSize)
}

/// Rewrites a module. None if there is nothing to change. `is_whole` is true if the module is the
/// upload itself; within a component, its imports are already fixed.
fn module(bytes: &[u8], is_whole: bool, room: Room) -> Result<Option<Vec<u8>>, Error> {
    let facts = Facts::of(bytes)?;
    let mut rewrite = Rewrite::of(&facts, is_whole, room);
    if rewrite.changes_nothing() {
        return Ok(None);
    }
    let mut module = Module::new();
    rewrite.parse_core_module(&mut module, Parser::new(0), bytes)?;
    let module = module.finish();
    Ok(match rewrite.direct_log {
        Some(_) => direct_log::with_import(module),
        None => Some(module),
    })
}

/// Changes to one module.
struct Rewrite {
    reserve: Option<Reserve>,
    direct_log: Option<DirectLog>,
    has_data_by_instructions: bool,
}

impl Rewrite {
    fn of(facts: &Facts, is_whole: bool, room: Room) -> Rewrite {
        let reserve = Reserve::of(facts, room);
        let (added_types, added_functions) = if reserve.is_some() { (1, 1) } else { (0, 0) };
        Rewrite {
            direct_log: is_whole
                .then(|| DirectLog::of(facts, added_types, added_functions))
                .flatten(),
            has_data_by_instructions: facts.has_data && is_cleared(facts, reserve.as_ref()),
            reserve,
        }
    }

    fn changes_nothing(&self) -> bool {
        let Rewrite { reserve, direct_log, has_data_by_instructions } = self;
        reserve.is_none() && direct_log.is_none() && !has_data_by_instructions
    }
}

impl Reencode for Rewrite {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let written = self.direct_log.as_ref().and_then(|log| log.in_place_of(function));
        Ok(written.unwrap_or(function))
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Result<Instruction<'a>, Error> {
        let changed = self.reserve.as_ref().and_then(|reserve| reserve.instruction(&operator));
        changed.map_or_else(|| utils::instruction(self, operator), Ok)
    }

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, Error> {
        let memory = utils::memory_type(self, memory);
        let more = self.reserve.as_ref().map_or(0, Reserve::pages);
        Ok(MemoryType { minimum: memory.minimum + more, ..memory })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_type_section(self, types, section)?;
        self.reserve.iter().for_each(|reserve| reserve.add_type(types));
        self.direct_log.iter().for_each(|log| log.add_type(types));
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import?;
            match &self.direct_log {
                Some(log) if facts::is_log(&import) => log.add_import(imports),
                _ => self.parse_import(imports, import)?,
            }
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        self.reserve.iter().for_each(|reserve| reserve.add_function(functions));
        self.direct_log.iter().for_each(|log| log.add_function(functions));
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_global_section(self, globals, section)?;
        self.reserve.iter().for_each(|reserve| reserve.add_globals(globals));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        self.reserve.iter().for_each(|reserve| reserve.add_code(code));
        self.direct_log.iter().for_each(|log| log.add_code(code));
        Ok(())
    }

    /// Writes addresses as sums. These are computed at instantiation, so the data is copied then.
    fn parse_data(
        &mut self,
        data: &mut DataSection,
        segment: wasmparser::Data<'_>,
    ) -> Result<(), Error> {
        if let DataKind::Active { memory_index, offset_expr } = &segment.kind
            && self.has_data_by_instructions
            && let Some(Ok(Operator::I32Const { value })) =
                offset_expr.get_operators_reader().into_iter().next()
        {
            let offset = ConstExpr::i32_const(value).with_i32_const(0).with_i32_add();
            data.active(*memory_index, &offset, segment.data.iter().copied());
            return Ok(());
        }
        utils::parse_data(self, data, segment)
    }

    /// Drops function names: they are for debuggers, and would now be those of other functions.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error> {
        if section.name() == "name" {
            return Ok(());
        }
        utils::parse_custom_section(self, module, section)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    #[test]
    fn data_is_where_it_was() {
        let text = r#"(module
            (memory (export "memory") 1)
            (data (i32.const 16) "first")
            (data (i32.const 18) "over")
            (data "passive")
            (data (i32.const 65532) "last"))"#;
        let plain = wat::parse_str(text).unwrap();
        let made = module(&plain, false, Room::Ample).unwrap().unwrap();
        let engine = Engine::default();
        let [plain, made] = [plain, made].map(|bytes| {
            let module = Module::new(&engine, bytes).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            instance.get_memory(&mut store, "memory").unwrap().data(&store).to_vec()
        });
        assert!(plain == made);
        let larger = wat::parse_str(text.replace("\"memory\") 1)", "\"memory\") 4)")).unwrap();
        assert!(module(&larger, false, Room::Ample).unwrap().is_none());
    }

    #[test]
    fn what_is_no_wasm_stays_as_it_is() {
        assert!(matches!(rewritten(b"no component", Room::Tight), Cow::Borrowed(b"no component")));
        assert!(matches!(rewritten(b"\0asm\x01\0\0\0\xff", Room::Tight), Cow::Borrowed(_)));
    }
}
