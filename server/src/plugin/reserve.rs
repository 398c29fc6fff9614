//! Room for guests that ask for memory.
//!
//! Most allocators begin with `memory.grow`. In a fresh instance that costs more than a small call:
//! two changes of page protection, for which the threads of the process wait for each other. So a
//! module's memory begins a little larger than it says, and its `memory.grow` is a function that
//! hands out this reserve first. The guest sees the sizes that it would have seen.

use std::borrow::Cow;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentSectionId, ConstExpr, Function, FunctionSection,
    GlobalSection, GlobalType, Instruction, MemoryType, Module, RawSection, TypeSection, ValType,
};
use wasmparser::{BinaryReaderError, Operator, Parser, Payload, TypeRef};

/// A change of what is done to modules changes this, so that older code is not used.
pub(super) const VERSION: u8 = 1;

/// 256 KiB: what one call with a small event takes.
const RESERVE_PAGES: u32 = 4;
/// Larger memories are left as they are, so that none outgrows its slot by the reserve.
const PAGES_MAX: u64 = 100;

type Error = reencode::Error<Infallible>;

/// The component, its modules with a reserve. What can't have one stays as it is.
pub(super) fn with_reserve(component: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match rewritten(&component) {
        Ok(Some(made)) => Cow::Owned(made),
        // A file that can't be read is for the compiler to refuse.
        Ok(None) | Err(_) => component,
    }
}

/// None when no module is changed.
fn rewritten(bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut made = Component::new();
    let mut is_changed = false;
    // Modules and components inside of this one.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } if depth == 0 => {
                let module = part(bytes, unchecked_range)?;
                let changed = module_with_reserve(module)?;
                is_changed |= changed.is_some();
                let data = changed.as_deref().unwrap_or(module);
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

/// None when it has no memory of its own that grows.
fn module_with_reserve(bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let Some(mut reserve) = Reserve::of(bytes)? else { return Ok(None) };
    let mut module = Module::new();
    reserve.parse_core_module(&mut module, Parser::new(0), bytes)?;
    Ok(Some(module.finish()))
}

/// Numbers of what is added to a module.
struct Reserve {
    /// The memory's size as the guest sees it, in pages.
    size_global: u32,
    /// Pages of the reserve that are left.
    left_global: u32,
    grow_type: u32,
    grow_function: u32,
    pages: u32,
}

impl Reserve {
    fn of(bytes: &[u8]) -> Result<Option<Reserve>, BinaryReaderError> {
        let (mut types, mut functions, mut globals) = (0, 0, 0);
        let mut memories = Vec::new();
        let (mut grows, mut has_globals, mut imports_memory) = (false, false, false);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => functions += 1,
                            TypeRef::Global(_) => globals += 1,
                            TypeRef::Memory(_) => imports_memory = true,
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => functions += section.count(),
                Payload::GlobalSection(section) => {
                    has_globals = true;
                    globals += section.count();
                }
                Payload::MemorySection(section) => {
                    memories = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::CodeSectionEntry(body) if !grows => {
                    for operator in body.get_operators_reader()? {
                        grows |= matches!(operator?, Operator::MemoryGrow { mem: 0 });
                    }
                }
                _ => {}
            }
        }
        let [memory] = &memories[..] else { return Ok(None) };
        let is_plain = !memory.memory64 && !memory.shared && memory.page_size_log2.is_none();
        let larger = memory.initial + u64::from(RESERVE_PAGES);
        let fits = larger <= PAGES_MAX && memory.maximum.is_none_or(|most| larger <= most);
        let wanted = grows && has_globals && !imports_memory && is_plain && fits;
        Ok(wanted.then(|| Reserve {
            size_global: globals,
            left_global: globals.saturating_add(1),
            grow_type: types,
            grow_function: functions,
            pages: u32::try_from(memory.initial).unwrap_or(0),
        }))
    }

    /// `memory.grow`, from the reserve while that is enough.
    fn grow(&self) -> Function {
        let (size, left) = (self.size_global, self.left_global);
        let (wanted, before) = (0, 1);
        let mut grow = Function::new([(1, ValType::I32)]);
        let mut write = grow.instructions();
        write.local_get(wanted).global_get(left).i32_le_u().if_(BlockType::Empty);
        write.global_get(size).local_set(before);
        write.global_get(size).local_get(wanted).i32_add().global_set(size);
        write.global_get(left).local_get(wanted).i32_sub().global_set(left);
        write.else_();
        write.local_get(wanted).memory_grow(0).local_tee(before);
        write.i32_const(-1).i32_ne().if_(BlockType::Empty);
        // What is left of the reserve lies below the new pages now, and is given up.
        write.local_get(before).local_get(wanted).i32_add().global_set(size);
        write.i32_const(0).global_set(left);
        write.end().end().local_get(before).end();
        grow
    }
}

impl Reencode for Reserve {
    type Error = Infallible;

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Result<Instruction<'a>, Error> {
        match operator {
            Operator::MemoryGrow { mem: 0 } => Ok(Instruction::Call(self.grow_function)),
            Operator::MemorySize { mem: 0 } => Ok(Instruction::GlobalGet(self.size_global)),
            other => utils::instruction(self, other),
        }
    }

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, Error> {
        let memory = utils::memory_type(self, memory);
        Ok(MemoryType { minimum: memory.minimum + u64::from(RESERVE_PAGES), ..memory })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.grow_type);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_global_section(self, globals, section)?;
        for value in [self.pages, RESERVE_PAGES] {
            let number = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            globals.global(number, &ConstExpr::i32_const(value.cast_signed()));
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.grow());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    const GUEST: &str = r#"(module
        (import "env" "f" (func))
        (memory (export "memory") 2)
        (global $unused (mut i32) (i32.const 7))
        (data (i32.const 16) "kept")
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size))
        (func (export "put") (param i32) (i32.store8 (local.get 0) (i32.const 1))))"#;

    /// What a guest sees of its memory while it asks for more, and how large it is in fact.
    fn seen(bytes: &[u8], asks: &[i32]) -> (Vec<i32>, u64) {
        let engine = Engine::default();
        let module = Module::new(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let nothing = wasmtime::Func::wrap(&mut store, || {});
        let instance = Instance::new(&mut store, &module, &[nothing.into()]).unwrap();
        let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
        let size = instance.get_typed_func::<(), i32>(&mut store, "size").unwrap();
        let put = instance.get_typed_func::<i32, ()>(&mut store, "put").unwrap();
        let mut seen = vec![size.call(&mut store, ()).unwrap()];
        for ask in asks {
            let before = grow.call(&mut store, *ask).unwrap();
            seen.extend([before, size.call(&mut store, ()).unwrap()]);
            if before >= 0 && *ask > 0 {
                put.call(&mut store, ((before + ask) << 16) - 1).unwrap();
            }
        }
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(&memory.data(&store)[16..20], b"kept");
        (seen, memory.size(&store))
    }

    #[test]
    fn a_guest_sees_the_sizes_that_it_would_have_seen() {
        let plain = wat::parse_str(GUEST).unwrap();
        let made = module_with_reserve(&plain).unwrap().unwrap();
        let asks = [0, 1, 3, 0, -1];
        assert_eq!(seen(&made, &asks).0, seen(&plain, &asks).0);
        // The reserve was enough: the memory has not grown.
        assert_eq!((seen(&made, &asks).1, seen(&plain, &asks).1), (6, 6));
        // Beyond the reserve it grows in fact.
        assert_eq!(seen(&made, &[3, 2, 1]).0, [2, 2, 5, 6, 8, 8, 9]);
        assert_eq!(seen(&made, &[3, 2, 1]).1, 9);
        assert_eq!(seen(&made, &[70_000, 4]).0, [2, -1, 2, 2, 6]);
    }

    #[test]
    fn what_does_not_grow_or_is_bounded_stays_as_it_is() {
        let unchanged =
            |text: &str| module_with_reserve(&wat::parse_str(text).unwrap()).unwrap().is_none();
        assert!(unchanged(&GUEST.replace("(memory.grow (local.get 0))", "(local.get 0)")));
        assert!(unchanged(&GUEST.replace("\"memory\") 2)", "\"memory\") 2 5)")));
        assert!(unchanged(&GUEST.replace("\"memory\") 2)", "\"memory\") 97)")));
        assert!(!unchanged(&GUEST.replace("\"memory\") 2)", "\"memory\") 2 6)")));
        assert!(matches!(with_reserve(Cow::Borrowed(b"no component")), Cow::Borrowed(_)));
    }
}
