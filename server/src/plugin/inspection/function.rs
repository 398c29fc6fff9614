//! Sizes of one function, on which the time and memory of its compilation depend.
//!
//! The compiler's work grows faster than a function's length: with the square of its blocks, with
//! the cube of the nesting of its loops, and with the product of values and blocks, because a value
//! is looked at in each block where it may be needed. The pass itself takes constant time for each
//! byte.

use wasmparser::{
    BlockType, ContType, FrameKind, FuncType, FunctionBody, ModuleArity, Operator, RefType, SubType,
};

use super::super::{Limits, UploadError};
use super::broken;

/// What a module declares before its functions.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) types: Vec<SubType>,
    /// Type of each function, imported ones first.
    pub(super) functions: Vec<u32>,
    /// Type of each tag.
    pub(super) tags: Vec<u32>,
}

/// A size that exceeds its limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) what: &'static str,
    pub(super) found: u64,
    pub(super) limit: &'static str,
    pub(super) most: usize,
}

/// Why a function is refused.
pub(super) enum Refused {
    Excess(Excess),
    Broken(UploadError),
}

impl From<wasmparser::BinaryReaderError> for Refused {
    fn from(error: wasmparser::BinaryReaderError) -> Refused {
        Refused::Broken(broken(error))
    }
}

/// Sizes of a function so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FunctionSizes {
    pub(super) bytes: u64,
    /// Parameters and declared locals.
    pub(super) locals: u64,
    /// Blocks, and branches, which end one.
    pub(super) blocks: u64,
    /// Targets of all `br_table`.
    pub(super) targets: u64,
    /// Deepest nesting of blocks.
    pub(super) depth: u64,
    /// Deepest nesting of loops.
    pub(super) loop_depth: u64,
    /// Highest operand stack.
    pub(super) operands: u64,
    /// Operands that all instructions take and give.
    pub(super) values: u64,
}

impl FunctionSizes {
    /// Measures a function of this type, and refuses it at the first limit that it exceeds.
    pub(super) fn of(
        body: &FunctionBody<'_>,
        form: u32,
        declared: &Declared,
        limits: &Limits,
    ) -> Result<FunctionSizes, Refused> {
        let mut sizes =
            FunctionSizes { bytes: body.as_bytes().len() as u64, ..FunctionSizes::default() };
        let mut at = Position { declared, frames: Vec::new(), loops: 0, height: 0 };
        let whole = BlockType::FuncType(form);
        let parameters = at.block_type_arity(whole).map_or(0, |(parameters, _)| parameters);
        sizes.locals = parameters.into();
        for locals in body.get_locals_reader()? {
            sizes.locals += u64::from(locals?.0);
            sizes.check(limits)?;
        }
        at.frames.push(Frame { form: whole, kind: FrameKind::Block, base: 0 });
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            sizes.add(&operator, &mut at);
            sizes.check(limits)?;
        }
        Ok(sizes)
    }

    fn add(&mut self, operator: &Operator<'_>, at: &mut Position<'_>) {
        // An instruction with wrong indices takes and gives nothing; the compiler refuses it.
        let (taken, given) = operator.operator_arity(at).unwrap_or_default();
        let (taken, given) = (u64::from(taken), u64::from(given));
        self.values += taken + given;
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::TryTable { .. }
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. } => self.blocks += 1,
            Operator::BrTable { targets } => {
                self.blocks += 1;
                self.targets += u64::from(targets.len());
                // Each target gets all operands.
                self.values += u64::from(targets.len()) * taken;
            }
            _ => {}
        }
        at.advance(operator, taken, given);
        self.depth = self.depth.max(at.frames.len() as u64);
        self.loop_depth = self.loop_depth.max(at.loops);
        self.operands = self.operands.max(at.height);
    }

    /// Values times blocks: how much the compiler looks at.
    pub(super) fn weight(&self) -> u64 {
        self.locals.saturating_add(self.operands).saturating_mul(self.blocks + 1)
    }

    /// The same as [`FunctionSizes::check`], quickly.
    fn fits(&self, limits: &Limits) -> bool {
        self.bytes <= limits.function_bytes_max as u64
            && self.locals <= limits.function_locals_max as u64
            && self.blocks <= limits.function_blocks_max as u64
            && self.targets <= limits.function_targets_max as u64
            && self.depth <= limits.function_depth_max as u64
            && self.loop_depth <= limits.function_loop_depth_max as u64
            && self.operands <= limits.function_operands_max as u64
            && self.values <= limits.function_values_max as u64
            && self.weight() <= limits.function_weight_max as u64
    }

    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        if self.fits(limits) {
            return Ok(());
        }
        let all = [
            ("bytes", self.bytes, "function_bytes_max", limits.function_bytes_max),
            ("locals", self.locals, "function_locals_max", limits.function_locals_max),
            ("blocks and branches", self.blocks, "function_blocks_max", limits.function_blocks_max),
            (
                "`br_table` targets",
                self.targets,
                "function_targets_max",
                limits.function_targets_max,
            ),
            ("nested blocks", self.depth, "function_depth_max", limits.function_depth_max),
            (
                "nested loops",
                self.loop_depth,
                "function_loop_depth_max",
                limits.function_loop_depth_max,
            ),
            (
                "operands on its stack",
                self.operands,
                "function_operands_max",
                limits.function_operands_max,
            ),
            (
                "operands of instructions",
                self.values,
                "function_values_max",
                limits.function_values_max,
            ),
            (
                "locals and operands times blocks",
                self.weight(),
                "function_weight_max",
                limits.function_weight_max,
            ),
        ];
        match all.into_iter().find(|(_, found, _, most)| *found > *most as u64) {
            Some((what, found, limit, most)) => {
                Err(Refused::Excess(Excess { what, found, limit, most }))
            }
            None => Ok(()),
        }
    }
}

/// A block that is open.
struct Frame {
    form: BlockType,
    kind: FrameKind,
    /// Height of the stack below its parameters.
    base: u64,
}

/// Where the pass is in a function.
struct Position<'a> {
    declared: &'a Declared,
    frames: Vec<Frame>,
    /// Loops among them.
    loops: u64,
    /// Operands on the stack. After a branch, only those of the blocks around it.
    height: u64,
}

impl Position<'_> {
    fn advance(&mut self, operator: &Operator<'_>, taken: u64, given: u64) {
        let floor = self.frames.last().map_or(0, |frame| frame.base);
        let below = self.height.saturating_sub(taken).max(floor);
        let opened = match operator {
            Operator::Block { blockty } => Some((*blockty, FrameKind::Block)),
            Operator::Loop { blockty } => Some((*blockty, FrameKind::Loop)),
            Operator::If { blockty } => Some((*blockty, FrameKind::If)),
            Operator::TryTable { try_table } => Some((try_table.ty, FrameKind::TryTable)),
            _ => None,
        };
        if let Some((form, kind)) = opened {
            let parameters = self.block_type_arity(form).map_or(0, |(parameters, _)| parameters);
            self.frames.push(Frame { form, kind, base: below });
            self.loops += u64::from(kind == FrameKind::Loop);
            self.height = below + u64::from(parameters);
            return;
        }
        match operator {
            Operator::Else => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.kind = FrameKind::Else;
                }
                self.height = floor + given;
            }
            Operator::End => {
                let closed = self.frames.pop();
                self.loops -= u64::from(closed.is_some_and(|frame| frame.kind == FrameKind::Loop));
                self.height = floor + given;
            }
            Operator::Br { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Unreachable => self.height = floor,
            _ => self.height = below + given,
        }
    }
}

impl ModuleArity for Position<'_> {
    fn sub_type_at(&self, type_idx: u32) -> Option<&SubType> {
        self.declared.types.get(usize::try_from(type_idx).ok()?)
    }

    fn tag_type_arity(&self, at: u32) -> Option<(u32, u32)> {
        let form = self.declared.tags.get(usize::try_from(at).ok()?)?;
        self.sub_type_arity(self.sub_type_at(*form)?)
    }

    fn type_index_of_function(&self, function_idx: u32) -> Option<u32> {
        self.declared.functions.get(usize::try_from(function_idx).ok()?).copied()
    }

    // Continuations and references to types are proposals that the engine does not take.
    fn func_type_of_cont_type(&self, _: &ContType) -> Option<&FuncType> {
        None
    }

    fn sub_type_of_ref_type(&self, _: &RefType) -> Option<&SubType> {
        None
    }

    fn control_stack_height(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    fn label_block(&self, depth: u32) -> Option<(BlockType, FrameKind)> {
        let frame = self.frames.iter().nth_back(usize::try_from(depth).ok()?)?;
        Some((frame.form, frame.kind))
    }
}
