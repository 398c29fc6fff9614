//! Facts about a module that decide how it is rewritten.

use wasmparser::{BinaryReaderError, Import, MemoryType, Operator, Parser, Payload, TypeRef};

use super::super::bindings;

/// Custom section that marks the SDK's arena allocator, which starts in the initial memory.
const ARENA: &str = "antar:arena";

/// Counts and properties of a module.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) types: u32,
    /// Including imported ones.
    pub(super) functions: u32,
    pub(super) globals: u32,
    pub(super) has_globals: bool,
    pub(super) has_code: bool,
    pub(super) has_data: bool,
    pub(super) has_arena: bool,
    /// Memories that it defines itself.
    pub(super) memories: usize,
    /// The only memory, if it is not imported and an ordinary one: pages of 64 KiB, 32-bit
    /// addresses, not shared.
    pub(super) memory: Option<MemoryType>,
    /// Whether it contains a `memory.grow`.
    pub(super) grows: bool,
    /// Index and type of the imported function for the log.
    pub(super) log: Option<(u32, u32)>,
    /// Number of all other imported functions.
    pub(super) other_imports: u32,
}

impl Facts {
    pub(super) fn of(bytes: &[u8]) -> Result<Facts, BinaryReaderError> {
        let mut facts = Facts::default();
        let mut imports_memory = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        facts.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(form) | TypeRef::FuncExact(form) => {
                                if facts.log.is_none() && is_log(&import) {
                                    facts.log = Some((facts.functions, form));
                                } else {
                                    facts.other_imports += 1;
                                }
                                facts.functions += 1;
                            }
                            TypeRef::Global(_) => facts.globals += 1,
                            TypeRef::Memory(_) => imports_memory = true,
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => facts.functions += section.count(),
                Payload::GlobalSection(section) => {
                    facts.has_globals = true;
                    facts.globals += section.count();
                }
                Payload::MemorySection(section) => {
                    let memories = section.into_iter().collect::<Result<Vec<_>, _>>()?;
                    facts.memories = memories.len();
                    facts.memory = match &memories[..] {
                        [one] if !imports_memory && is_ordinary(one) => Some(*one),
                        _ => None,
                    };
                }
                Payload::CodeSectionStart { .. } => facts.has_code = true,
                Payload::CodeSectionEntry(body) if !facts.grows => {
                    for operator in body.get_operators_reader()? {
                        facts.grows |= matches!(operator?, Operator::MemoryGrow { mem: 0 });
                    }
                }
                Payload::DataSection(section) => facts.has_data = section.count() > 0,
                Payload::CustomSection(section) => facts.has_arena |= section.name() == ARENA,
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Initial size of its ordinary memory; without one, more than any memory can have.
    pub(super) fn memory_pages(&self) -> u64 {
        self.memory.map_or(u64::from(u32::MAX), |memory| memory.initial)
    }
}

fn is_ordinary(memory: &MemoryType) -> bool {
    !memory.memory64 && !memory.shared && memory.page_size_log2.is_none()
}

/// Whether this imports the function that writes log lines.
pub(super) fn is_log(import: &Import<'_>) -> bool {
    (import.module, import.name) == (bindings::LOG, "write")
}
