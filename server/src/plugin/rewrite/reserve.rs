//! Room for guests that ask for memory.
//!
//! Most allocators begin with `memory.grow`. In a fresh instance that costs more than a small call:
//! two changes of page protection, for which the threads of the process wait for each other. So a
//! module's memory begins a little larger than it says, and its `memory.grow` is a function that
//! hands out this reserve first. The guest sees the sizes that it would have seen.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
    Instruction, TypeSection, ValType,
};
use wasmparser::Operator;

use super::{CLEARED_PAGES_MAX, facts::Facts};

/// 256 KiB: what one call with a small event takes.
const PAGES: u64 = 4;
/// Larger memories are left as they are, so that none outgrows its slot by the reserve.
const MEMORY_PAGES_MAX: u64 = 100;

/// Numbers of what is added to a module.
pub(super) struct Reserve {
    /// The memory's size as the guest sees it, in pages.
    size_global: u32,
    /// Pages of the reserve that are left.
    left_global: u32,
    grow_type: u32,
    grow_function: u32,
    /// What the memory begins with.
    memory_pages: u32,
    pages: u32,
}

impl Reserve {
    /// None when the module has no memory that grows, or one that needs no reserve.
    pub(super) fn of(facts: &Facts) -> Option<Reserve> {
        let memory = facts.memory?;
        // A small memory stays small.
        let pages = match CLEARED_PAGES_MAX.checked_sub(memory.initial) {
            Some(_) if facts.has_arena => 0,
            None | Some(0) => PAGES,
            Some(left) => left.min(PAGES),
        };
        let larger = memory.initial.saturating_add(pages);
        let fits = larger <= MEMORY_PAGES_MAX && memory.maximum.is_none_or(|most| larger <= most);
        let wanted = facts.grows && facts.has_globals && fits && pages > 0;
        wanted.then(|| Reserve {
            size_global: facts.globals,
            left_global: facts.globals.saturating_add(1),
            grow_type: facts.types,
            grow_function: facts.functions,
            memory_pages: u32::try_from(memory.initial).unwrap_or(0),
            pages: u32::try_from(pages).unwrap_or(0),
        })
    }

    pub(super) fn pages(&self) -> u64 {
        self.pages.into()
    }

    /// What stands in place of an instruction that has to do with the memory's size.
    pub(super) fn instruction<'a>(&self, operator: &Operator<'_>) -> Option<Instruction<'a>> {
        match operator {
            Operator::MemoryGrow { mem: 0 } => Some(Instruction::Call(self.grow_function)),
            Operator::MemorySize { mem: 0 } => Some(Instruction::GlobalGet(self.size_global)),
            _ => None,
        }
    }

    pub(super) fn add_type(&self, types: &mut TypeSection) {
        types.ty().function([ValType::I32], [ValType::I32]);
    }

    pub(super) fn add_function(&self, functions: &mut FunctionSection) {
        functions.function(self.grow_type);
    }

    pub(super) fn add_globals(&self, globals: &mut GlobalSection) {
        for value in [self.memory_pages, self.pages] {
            let number = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            globals.global(number, &ConstExpr::i32_const(value.cast_signed()));
        }
    }

    /// `memory.grow`, from the reserve while that is enough.
    pub(super) fn add_code(&self, code: &mut CodeSection) {
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
        code.function(&grow);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::super::module;

    const GUEST: &str = r#"(module
        (import "env" "f" (func))
        (memory (export "memory") 2)
        (global $unused (mut i32) (i32.const 7))
        (data (i32.const 16) "kept")
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size))
        (func (export "put") (param i32) (i32.store8 (local.get 0) (i32.const 1))))"#;

    fn guest(memory: &str) -> Vec<u8> {
        wat::parse_str(GUEST.replace("\"memory\") 2)", &format!("\"memory\") {memory})"))).unwrap()
    }

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
        let plain = guest("10");
        let made = module(&plain, false).unwrap().unwrap();
        let asks = [0, 1, 3, 0, -1];
        assert_eq!(seen(&made, &asks).0, seen(&plain, &asks).0);
        // The reserve was enough: the memory has not grown.
        assert_eq!((seen(&made, &asks).1, seen(&plain, &asks).1), (14, 14));
        // Beyond the reserve it grows in fact.
        assert_eq!(seen(&made, &[3, 2, 1]).0, [10, 10, 13, 14, 16, 16, 17]);
        assert_eq!(seen(&made, &[3, 2, 1]).1, 17);
        assert_eq!(seen(&made, &[70_000, 4]).0, [10, -1, 10, 10, 14]);
    }

    #[test]
    fn a_small_memory_stays_small_enough_to_be_cleared() {
        for memory in ["1", "2"] {
            let plain = guest(memory);
            let made = module(&plain, false).unwrap().unwrap();
            assert_eq!(seen(&made, &[]).1, 3);
            assert_eq!(seen(&made, &[1, 1, 1]).0, seen(&plain, &[1, 1, 1]).0);
        }
        assert_eq!(seen(&module(&guest("3"), false).unwrap().unwrap(), &[]).1, 7);
    }

    #[test]
    fn what_does_not_grow_begins_elsewhere_or_is_bounded_stays_as_it_is() {
        let pages = |text: &str| {
            let plain = wat::parse_str(text).unwrap();
            seen_size(&module(&plain, false).unwrap().unwrap_or(plain))
        };
        let guest =
            |memory: &str| GUEST.replace("\"memory\") 2)", &format!("\"memory\") {memory})"));
        assert_eq!(pages(&guest("2").replace("(memory.grow (local.get 0))", "(local.get 0)")), 2);
        assert_eq!(
            pages(&guest("2").replace("(module", "(module (@custom \"antar:arena\" \"\")")),
            2
        );
        assert_eq!(pages(&guest("2 2")), 2);
        assert_eq!(pages(&guest("2 3")), 3);
        assert_eq!(pages(&guest("97")), 97);
        assert_eq!(pages(&guest("96")), 100);
    }

    /// What a module's memory begins with, in pages.
    fn seen_size(bytes: &[u8]) -> u64 {
        let module = Module::new(&Engine::default(), bytes).unwrap();
        module.resources_required().max_initial_memory_size.unwrap()
    }
}
