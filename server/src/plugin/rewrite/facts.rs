//! What there is to know of a module before it is rewritten.

use wasmparser::{BinaryReaderError, Import, MemoryType, Operator, Parser, Payload, TypeRef};

use super::super::bindings;

/// The section by which the SDK's allocator says that it begins in the memory there is.
const ARENA: &str = "antar:arena";

/// Counts, and what the module has.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) types: u32,
    /// With those that it imports.
    pub(super) functions: u32,
    pub(super) globals: u32,
    pub(super) has_globals: bool,
    pub(super) has_code: bool,
    pub(super) has_data: bool,
    pub(super) has_arena: bool,
    /// Of its own.
    pub(super) memories: usize,
    /// The only one, none imported, and an ordinary one: pages of 64 KiB, addresses of 32 bits.
    pub(super) memory: Option<MemoryType>,
    /// Whether it asks for more of it.
    pub(super) grows: bool,
    /// The function that it imports for its log, and its type.
    pub(super) log: Option<(u32, u32)>,
    /// Functions that it imports, all others.
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

    /// What its memory begins with; more than there can be, where it has none of that kind.
    pub(super) fn memory_pages(&self) -> u64 {
        self.memory.map_or(u64::from(u32::MAX), |memory| memory.initial)
    }
}

fn is_ordinary(memory: &MemoryType) -> bool {
    !memory.memory64 && !memory.shared && memory.page_size_log2.is_none()
}

/// Whether this is the function that lines of the log go through.
pub(super) fn is_log(import: &Import<'_>) -> bool {
    (import.module, import.name) == (bindings::LOG, "write")
}
