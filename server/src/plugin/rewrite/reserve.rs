//! The memory reserve: spare pages for the first `memory.grow` of a guest.
//!
//! Most allocators start with `memory.grow`. In a fresh instance that costs more than a small call:
//! two changes of page protection, for which the threads of the process wait for each other. So a
//! module's memory starts a little larger than declared, and its `memory.grow` becomes a function
//! that hands out this reserve first. As long as the reserve lasts, the guest sees the same sizes
//! as without it.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
    Instruction, TypeSection, ValType,
};
use wasmparser::Operator;

use super::{CLEARED_PAGES_MAX, Room, facts::Facts};

/// 256 KiB, enough for one call with a small event.
const PAGES: u64 = 4;
/// Memories that would be larger with the reserve get none, so that none outgrows its slot by it.
const MEMORY_PAGES_MAX: u64 = 100;

/// Indices and sizes of what is added to a module.
pub(super) struct Reserve {
    /// Global with the memory's size as the guest sees it, in pages.
    size_global: u32,
    /// Global with the pages left in the reserve.
    left_global: u32,
    grow_type: u32,
    grow_function: u32,
    /// Declared initial size of the memory.
    memory_pages: u32,
    pages: u32,
}

impl Reserve {
    /// None if the module has no memory that grows, or its memory needs or permits no reserve.
    pub(super) fn of(facts: &Facts, room: Room) -> Option<Reserve> {
        let memory = facts.memory?;
        let pages = match room {
            Room::Ample => PAGES,
            Room::Tight if facts.has_arena => 0,
            Room::Tight => CLEARED_PAGES_MAX.saturating_sub(memory.initial),
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

    /// The replacement of an instruction that grows or measures the memory.
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

    /// Adds the function for `memory.grow`, which uses the reserve as long as it suffices.
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
        // The rest of the reserve now lies below the new pages and is given up.
        write.local_get(before).local_get(wanted).i32_add().global_set(size);
        write.i32_const(0).global_set(left);
        write.end().end().local_get(before).end();
        code.function(&grow);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::{
        super::{can_be_tight, module},
        *,
    };

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

    /// The sizes that a guest sees while it grows its memory, and the real size at the end.
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
        let plain = guest("2");
        let [ample, tight] =
            [Room::Ample, Room::Tight].map(|room| module(&plain, false, room).unwrap().unwrap());
        let asks = [0, 1, 3, 0, -1];
        assert_eq!(seen(&ample, &asks).0, seen(&plain, &asks).0);
        assert_eq!(seen(&tight, &asks).0, seen(&plain, &asks).0);
        // The ample reserve was enough: the memory has not grown.
        assert_eq!((seen(&ample, &asks).1, seen(&ample, &[]).1, seen(&tight, &[]).1), (6, 6, 3));
        // Beyond the reserve the memory really grows.
        assert_eq!(seen(&ample, &[3, 2, 1]).0, [2, 2, 5, 6, 8, 8, 9]);
        assert_eq!(seen(&ample, &[3, 2, 1]).1, 9);
        assert_eq!(seen(&ample, &[70_000, 4]).0, [2, -1, 2, 2, 6]);
    }

    #[test]
    fn what_does_not_grow_or_is_bounded_has_no_reserve() {
        let pages = |text: &str| {
            let plain = wat::parse_str(text).unwrap();
            [Room::Ample, Room::Tight].map(|room| {
                let made = module(&plain, false, room).unwrap();
                let made =
                    Module::new(&Engine::default(), made.as_ref().unwrap_or(&plain)).unwrap();
                made.resources_required().max_initial_memory_size.unwrap()
            })
        };
        let text =
            |memory: &str| GUEST.replace("\"memory\") 2)", &format!("\"memory\") {memory})"));
        let still = text("2").replace("(memory.grow (local.get 0))", "(local.get 0)");
        let arena = text("2").replace("(module", "(module (@custom \"antar:arena\" \"\")");
        assert_eq!(pages(&still), [2, 2]);
        assert_eq!(pages(&arena), [6, 2]);
        assert_eq!(pages(&text("2")), [6, 3]);
        assert_eq!(pages(&text("3")), [7, 3]);
        assert_eq!(pages(&text("10")), [14, 10]);
        assert_eq!(pages(&text("2 5")), [2, 3]);
        assert_eq!(pages(&text("96")), [100, 96]);
        assert_eq!(pages(&text("97")), [97, 97]);
        let is_tight = |text: &str| can_be_tight(&wat::parse_str(text).unwrap());
        assert_eq!([&still, &arena].map(|text| is_tight(text)), [false, true]);
        assert_eq!(["1", "2", "3", "4"].map(|n| is_tight(&text(n))), [true, true, false, false]);
    }
}
