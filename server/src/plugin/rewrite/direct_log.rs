//! The direct log: lets a module write log lines without two more modules around it.
//!
//! A component's import that takes text needs the memory of the calling module, which exists only
//! once that module is instantiated. So tool chains add a module with a table before it, and
//! another after it that fills the table. They cost every call 0.8 µs, even if it logs nothing. An
//! import that takes only numbers needs neither. So a module that imports nothing but the log gets
//! a function of its own in place of that import, which reads the text and passes it on eight bytes
//! at a time.

use wasm_encoder::{
    BlockType, CodeSection, EntityType, Function, FunctionSection, ImportSection, MemArg,
    TypeSection, ValType,
};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::facts::Facts;

/// The interface that a rewritten module really imports.
pub(crate) const NAME: &str = "antar:host/direct-log";
const WIT: &str = include_str!("host.wit");

/// Indices of the import, its replacement and their types.
pub(super) struct DirectLog {
    /// Function index of the import.
    import: u32,
    import_type: u32,
    /// Function index of the replacement.
    write: u32,
    write_type: u32,
}

/// Embeds the type of the new import in the module. None if that is impossible; without it, the
/// module could not become a component.
pub(super) fn with_import(mut module: Vec<u8>) -> Option<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("host.wit", WIT).ok()?;
    let world = resolve.select_world(&[package], None).ok()?;
    let encoding = StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).ok()?;
    Some(module)
}

impl DirectLog {
    /// None if the module doesn't import the log, or imports another function.
    pub(super) fn of(facts: &Facts, added_types: u32, added_functions: u32) -> Option<DirectLog> {
        let (import, write_type) = facts.log?;
        let wanted = facts.other_imports == 0 && facts.has_code && facts.memory.is_some();
        wanted.then(|| DirectLog {
            import,
            import_type: facts.types.saturating_add(added_types),
            write: facts.functions.saturating_add(added_functions),
            write_type,
        })
    }

    pub(super) fn in_place_of(&self, function: u32) -> Option<u32> {
        (function == self.import).then_some(self.write)
    }

    pub(super) fn add_type(&self, types: &mut TypeSection) {
        types.ty().function([ValType::I32, ValType::I32, ValType::I64], []);
    }

    pub(super) fn add_import(&self, imports: &mut ImportSection) {
        imports.import(NAME, "write", EntityType::Function(self.import_type));
    }

    pub(super) fn add_function(&self, functions: &mut FunctionSection) {
        functions.function(self.write_type);
    }

    /// Adds the function `write(level, at, left)`; the text is at `at`.
    pub(super) fn add_code(&self, code: &mut CodeSection) {
        let (level, at, left, word, place) = (0, 1, 2, 3, 4);
        let byte = MemArg { offset: 0, align: 0, memory_index: 0 };
        let mut function = Function::new([(1, ValType::I64), (1, ValType::I32)]);
        let mut write = function.instructions();
        // Eight bytes at a time, while more than eight are left.
        write.loop_(BlockType::Empty);
        write.local_get(left).i32_const(8).i32_gt_u().if_(BlockType::Empty);
        write.local_get(level).local_get(left).local_get(at).i64_load(byte).call(self.import);
        write.local_get(at).i32_const(8).i32_add().local_set(at);
        write.local_get(left).i32_const(8).i32_sub().local_set(left);
        write.br(1).end().end();
        // The rest byte by byte, from the last: an eight-byte load could exceed the memory.
        write.local_get(left).local_set(place);
        write.block(BlockType::Empty).loop_(BlockType::Empty);
        write.local_get(place).i32_eqz().br_if(1);
        write.local_get(place).i32_const(1).i32_sub().local_tee(place);
        write.local_get(at).i32_add().i64_load8_u(byte);
        write.local_get(word).i64_const(8).i64_shl().i64_or().local_set(word);
        write.br(0).end().end();
        write.local_get(level).local_get(left).local_get(word).call(self.import).end();
        code.function(&function);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Caller, Engine, Linker, Module, Store};

    use super::super::{Room, module};

    const GUEST: &str = r#"(module
        (import "antar:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32)))
        (memory (export "memory") 1)
        (table (export "table") 1 funcref)
        (elem (i32.const 0) func $log)
        (data (i32.const 100) "seventeen letters")
        (func (export "log") (param i32 i32 i32)
            (call $log (local.get 0) (local.get 1) (local.get 2)))
        (func (export "by-table") (param i32 i32 i32)
            (call_indirect (param i32 i32 i32) (local.get 0) (local.get 1) (local.get 2)
                (i32.const 0))))"#;

    /// The calls that the host gets when the guest writes `len` bytes from `at`.
    fn told(export: &str, at: i32, len: i32) -> Option<Vec<(i32, i32, u64)>> {
        let bytes = module(&wat::parse_str(GUEST).unwrap(), true, Room::Tight).unwrap().unwrap();
        let engine = Engine::default();
        let module = Module::new(&engine, bytes).unwrap();
        let mut linker = Linker::new(&engine);
        type Told = Vec<(i32, i32, u64)>;
        let write = |mut caller: Caller<'_, Told>, level: i32, left: i32, word: i64| {
            caller.data_mut().push((level, left, word.cast_unsigned()));
        };
        linker.func_wrap(super::NAME, "write", write).unwrap();
        let mut store = Store::new(&engine, Told::new());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let log = instance.get_typed_func::<(i32, i32, i32), ()>(&mut store, export).unwrap();
        let called = log.call(&mut store, (3, at, len));
        called.is_ok().then(|| store.into_data())
    }

    fn word(text: &str) -> u64 {
        text.bytes().rev().fold(0, |word, byte| word << 8 | u64::from(byte))
    }

    #[test]
    fn a_line_comes_in_words() {
        let line = vec![(3, 17, word("seventee")), (3, 9, word("n letter")), (3, 1, word("s"))];
        assert_eq!(told("log", 100, 17), Some(line.clone()));
        assert_eq!(told("by-table", 100, 17), Some(line));
        assert_eq!(told("log", 100, 8), Some(vec![(3, 8, word("seventee"))]));
        assert_eq!(told("log", 100, 0), Some(vec![(3, 0, 0)]));
    }

    #[test]
    fn the_end_of_memory_is_the_end_of_a_line() {
        let last = told("log", 65_533, 3);
        assert_eq!(last, Some(vec![(3, 3, 0)]));
        assert_eq!(told("log", 65_533, 4), None);
        assert_eq!(told("log", 0, -1), None);
    }

    #[test]
    fn what_imports_more_stays_as_it_is() {
        let guest = GUEST.replace(r#"(data (i32.const 100) "seventeen letters")"#, "");
        let log = r#"(import "antar:plugin/log@1.0.0" "write" (func (param i32 i32 i32)))"#;
        for import in [r#"(import "wasi:x/y" "z" (func))"#, log] {
            let more = guest.replace("(memory", &format!("{import} (memory"));
            assert!(
                module(&wat::parse_str(more).unwrap(), true, Room::Tight).unwrap().is_none(),
                "{import}"
            );
        }
        assert!(module(&wat::parse_str(&guest).unwrap(), false, Room::Tight).unwrap().is_none());
        assert!(module(&wat::parse_str(&guest).unwrap(), true, Room::Tight).unwrap().is_some());
    }
}
