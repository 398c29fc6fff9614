//! Sizes of an upload: one pass, before anything reads it whose time depends on more than its
//! length.
//!
//! The upload is not valid yet, and this does not validate it. What the pass can't read is refused.
//! What it reads and the compiler refuses later is harmless: the compiler has limits of its own.

use std::ops::Range;

use wasmparser::{
    CompositeInnerType, ElementItems, Encoding, FunctionBody, Instance, KnownCustom, Name, Parser,
    Payload, SubType, TypeRef,
};

use super::super::{Limits, UploadError};
use super::broken;
use super::function::{Declared, Excess, FunctionSizes, Refused};
use super::quote::cut;

/// A function's name in a refusal is cut after this.
const NAME_CHARS_MAX: usize = 100;

/// Refuses an upload that exceeds a limit. Reads each byte once.
pub(in super::super) fn check(wasm: &[u8], limits: &Limits) -> Result<(), UploadError> {
    let whole = 0..wasm.len() as u64;
    let mut pass = Pass { wasm, limits, sizes: Sizes::default(), open: Vec::new(), within: whole };
    for payload in Parser::new(0).parse_all(wasm) {
        pass.add(payload.map_err(broken)?)?;
    }
    Ok(())
}

/// Counts of all modules and components of an upload together.
#[derive(Default)]
struct Sizes {
    modules: u64,
    functions: u64,
    locals: u64,
    types: u64,
    imports: u64,
    exports: u64,
    globals: u64,
    tables: u64,
    memories: u64,
    tags: u64,
    element_segments: u64,
    elements: u64,
    data_segments: u64,
    core_instances: u64,
    component_items: u64,
}

struct Pass<'a> {
    wasm: &'a [u8],
    limits: &'a Limits,
    sizes: Sizes,
    /// Modules and components around the current place.
    open: Vec<Open>,
    /// Bytes of the one that begins next.
    within: Range<u64>,
}

struct Open {
    is_component: bool,
    bytes: Range<u64>,
    declared: Declared,
    /// Index of the next function body.
    next: usize,
}

impl Pass<'_> {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), UploadError> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                self.within = unchecked_range;
                Ok(())
            }
            Payload::Version { encoding, .. } => self.begin(encoding == Encoding::Component),
            Payload::End(_) => {
                self.open.pop();
                Ok(())
            }
            Payload::CodeSectionEntry(body) => self.function(&body),
            _ if self.open.last().is_some_and(|open| open.is_component) => self.component(payload),
            _ => self.module(payload),
        }
    }

    fn begin(&mut self, is_component: bool) -> Result<(), UploadError> {
        let bytes = self.within.clone();
        self.open.push(Open { is_component, bytes, declared: Declared::default(), next: 0 });
        let depth = self.open.iter().filter(|open| open.is_component).count() as u64;
        bounded(
            "nested components",
            depth,
            "component_depth_max",
            self.limits.component_depth_max,
        )?;
        if !is_component {
            self.sizes.modules += 1;
        }
        bounded("modules", self.sizes.modules, "upload_modules_max", self.limits.upload_modules_max)
    }

    /// Adds to one of the counts that share a limit.
    fn items(
        &mut self,
        what: &'static str,
        more: u32,
        count: impl Fn(&mut Sizes) -> &mut u64,
    ) -> Result<(), UploadError> {
        let count = count(&mut self.sizes);
        *count += u64::from(more);
        bounded(what, *count, "upload_items_max", self.limits.upload_items_max)
    }

    fn functions(&mut self, more: u32) -> Result<(), UploadError> {
        self.sizes.functions += u64::from(more);
        let most = self.limits.upload_functions_max;
        bounded("functions", self.sizes.functions, "upload_functions_max", most)
    }

    fn module(&mut self, payload: Payload<'_>) -> Result<(), UploadError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for form in group.map_err(broken)?.into_types() {
                        self.items("types", 1, |sizes| &mut sizes.types)?;
                        self.form(form)?;
                    }
                }
                Ok(())
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.items("imports", 1, |sizes| &mut sizes.imports)?;
                    self.import(import.map_err(broken)?.ty)?;
                }
                Ok(())
            }
            Payload::FunctionSection(section) => {
                // Checked before so many are read.
                self.functions(section.count())?;
                let Some(open) = self.open.last_mut() else { return Ok(()) };
                open.next = open.declared.functions.len();
                for form in section {
                    open.declared.functions.push(form.map_err(broken)?);
                }
                Ok(())
            }
            Payload::TagSection(section) => {
                self.items("tags", section.count(), |sizes| &mut sizes.tags)?;
                let Some(open) = self.open.last_mut() else { return Ok(()) };
                for tag in section {
                    open.declared.tags.push(tag.map_err(broken)?.func_type_idx);
                }
                Ok(())
            }
            Payload::TableSection(section) => {
                self.items("tables", section.count(), |sizes| &mut sizes.tables)
            }
            Payload::MemorySection(section) => {
                self.items("memories", section.count(), |sizes| &mut sizes.memories)
            }
            Payload::GlobalSection(section) => {
                self.items("globals", section.count(), |sizes| &mut sizes.globals)
            }
            Payload::ExportSection(section) => {
                self.items("exports", section.count(), |sizes| &mut sizes.exports)
            }
            Payload::DataSection(section) => {
                self.items("data segments", section.count(), |sizes| &mut sizes.data_segments)
            }
            Payload::ElementSection(section) => {
                let count = section.count();
                self.items("element segments", count, |sizes| &mut sizes.element_segments)?;
                section.into_iter().try_for_each(|segment| {
                    let items = match segment.map_err(broken)?.items {
                        ElementItems::Functions(section) => section.count(),
                        ElementItems::Expressions(_, section) => section.count(),
                    };
                    self.sizes.elements += u64::from(items);
                    let (found, most) = (self.sizes.elements, self.limits.upload_elements_max);
                    bounded("elements of tables", found, "upload_elements_max", most)
                })
            }
            _ => Ok(()),
        }
    }

    fn form(&mut self, form: SubType) -> Result<(), UploadError> {
        let values = match &form.composite_type.inner {
            CompositeInnerType::Func(form) => form.params().len() + form.results().len(),
            CompositeInnerType::Struct(form) => form.fields.len(),
            CompositeInnerType::Array(_) | CompositeInnerType::Cont(_) => 1,
        };
        let found = values as u64;
        let most = self.limits.type_values_max;
        bounded("parameters and results of one type", found, "type_values_max", most)?;
        if let Some(open) = self.open.last_mut() {
            open.declared.types.push(form);
        }
        Ok(())
    }

    fn import(&mut self, form: TypeRef) -> Result<(), UploadError> {
        match form {
            TypeRef::Func(form) | TypeRef::FuncExact(form) => {
                self.functions(1)?;
                if let Some(open) = self.open.last_mut() {
                    open.declared.functions.push(form);
                    open.next = open.declared.functions.len();
                }
                Ok(())
            }
            TypeRef::Tag(tag) => {
                if let Some(open) = self.open.last_mut() {
                    open.declared.tags.push(tag.func_type_idx);
                }
                self.items("tags", 1, |sizes| &mut sizes.tags)
            }
            TypeRef::Table(_) => self.items("tables", 1, |sizes| &mut sizes.tables),
            TypeRef::Memory(_) => self.items("memories", 1, |sizes| &mut sizes.memories),
            TypeRef::Global(_) => self.items("globals", 1, |sizes| &mut sizes.globals),
        }
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), UploadError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let index = open.next;
        open.next += 1;
        let form = open.declared.functions.get(index).copied().unwrap_or(u32::MAX);
        let sizes = FunctionSizes::of(body, form, &open.declared, self.limits);
        let bytes = open.bytes.clone();
        let sizes = sizes.map_err(|refused| match refused {
            Refused::Broken(error) => error,
            Refused::Excess(excess) => {
                let name = name_of(part(self.wasm, &bytes), index);
                let name = name.map_or_else(String::new, |name| format!(" ({name})"));
                exceeds(&format!("function {index}{name}"), excess)
            }
        })?;
        self.sizes.locals += sizes.locals;
        let (found, most) = (self.sizes.locals, self.limits.upload_locals_max);
        bounded("locals of all functions", found, "upload_locals_max", most)
    }

    fn component(&mut self, payload: Payload<'_>) -> Result<(), UploadError> {
        let more = match payload {
            Payload::InstanceSection(section) => {
                let count = section.count();
                for instance in section {
                    if let Instance::Instantiate { .. } = instance.map_err(broken)? {
                        self.sizes.core_instances += 1;
                        let most = self.limits.upload_core_instances_max;
                        let found = self.sizes.core_instances;
                        bounded("core instances", found, "upload_core_instances_max", most)?;
                    }
                }
                count
            }
            Payload::CoreTypeSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentTypeSection(section) => section.count(),
            Payload::ComponentCanonicalSection(section) => section.count(),
            Payload::ComponentImportSection(section) => section.count(),
            Payload::ComponentExportSection(section) => section.count(),
            Payload::ComponentStartSection { .. } => 1,
            _ => 0,
        };
        self.sizes.component_items += u64::from(more);
        let (found, most) = (self.sizes.component_items, self.limits.component_items_max);
        let what = "types, aliases, instances and functions of components";
        bounded(what, found, "component_items_max", most)
    }
}

fn bounded(
    what: &'static str,
    found: u64,
    limit: &'static str,
    most: usize,
) -> Result<(), UploadError> {
    if found > most as u64 {
        return Err(exceeds("the upload", Excess { what, found, limit, most }));
    }
    Ok(())
}

fn exceeds(place: &str, excess: Excess) -> UploadError {
    let Excess { what, found, limit, most } = excess;
    UploadError::Exceeds { found: format!("{place} has {found} {what}"), limit, most }
}

fn part<'a>(wasm: &'a [u8], bytes: &Range<u64>) -> &'a [u8] {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    wasm.get(at(bytes.start)..at(bytes.end)).unwrap_or_default()
}

/// The name of a function, if the module says it.
fn name_of(module: &[u8], index: usize) -> Option<String> {
    let wanted = u32::try_from(index).ok()?;
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload.ok()? else { continue };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for names in names {
            let Name::Function(names) = names.ok()? else { continue };
            let mut names = names.into_iter().map_while(Result::ok);
            let found = names.find(|naming| naming.index == wanted);
            return found.map(|naming| cut(naming.name, NAME_CHARS_MAX));
        }
    }
    None
}
