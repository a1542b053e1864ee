//! One row of call frame information: how the caller's registers are found at one instruction.
//!
//! Rows are taken out of gimli's tables once, and applied many times.

use std::io;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, Encoding, EndianSlice, EvaluationResult, Expression, LittleEndian,
    Location, NativeEndian, RegisterRule, UnwindContext, UnwindExpression, UnwindTableRow, Value,
};

use crate::registers::{CALLEE_SAVED, COUNT, RETURN_ADDRESS, Registers, SP};

pub(crate) type Slice<'d> = EndianSlice<'d, LittleEndian>;
pub(crate) type Frames<'d> = EhFrame<Slice<'d>>;
pub(crate) type Fde<'d> = gimli::FrameDescriptionEntry<Slice<'d>>;

/// How a register of the caller is found.
#[derive(Clone, Debug)]
enum Rule {
    Unknown,
    /// As it is here.
    Same,
    /// In memory, so far from the CFA.
    At(i64),
    /// The CFA and so much.
    Value(i64),
    /// In another register.
    In(usize),
    /// In memory where an expression says.
    AtExpression(Box<[u8]>),
    ValueExpression(Box<[u8]>),
    Constant(u64),
}

/// The canonical frame address: where the caller's stack pointer was before the call.
#[derive(Clone, Debug)]
enum Cfa {
    Register(usize, i64),
    Expression(Box<[u8]>),
}

/// All that CFI says of one instruction.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    cfa: Cfa,
    /// The registers', then the return address's.
    rules: [Rule; COUNT + 1],
    pub(crate) is_signal_frame: bool,
    encoding: Encoding,
}

/// The caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Frame(Registers),
    /// There is none: the return address is undefined.
    None,
}

impl Row {
    /// The row for an address, which the entry covers.
    pub(crate) fn of(
        frames: &Frames<'_>,
        bases: &BaseAddresses,
        fde: &Fde<'_>,
        pc: u64,
    ) -> Result<Row, gimli::Error> {
        let mut context = UnwindContext::new();
        let row: &UnwindTableRow<usize> = fde.unwind_info_for_address(frames, bases, &mut context, pc)?;
        let bytes = |expression: &UnwindExpression<usize>| {
            expression.get(frames).map(|Expression(bytes)| Box::from(bytes.slice()))
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Cfa::Register(register.0.into(), *offset),
            CfaRule::Expression(expression) => Cfa::Expression(bytes(expression)?),
        };
        // What CFI doesn't mention: the stack pointer is the CFA, callee-saved registers are as they are here, the
        // others are lost (System V ABI for AMD64, 3.2.1).
        let mut rules = [const { Rule::Unknown }; COUNT + 1];
        rules[SP] = Rule::Value(0);
        CALLEE_SAVED.into_iter().for_each(|number| rules[number] = Rule::Same);
        for (register, rule) in row.registers() {
            // Vector registers are of no interest.
            let Some(place) = rules.get_mut(usize::from(register.0)) else { continue };
            *place = match rule {
                RegisterRule::Undefined => Rule::Unknown,
                RegisterRule::SameValue => Rule::Same,
                RegisterRule::Offset(offset) => Rule::At(*offset),
                RegisterRule::ValOffset(offset) => Rule::Value(*offset),
                RegisterRule::Register(other) => Rule::In(other.0.into()),
                RegisterRule::Expression(expression) => Rule::AtExpression(bytes(expression)?),
                RegisterRule::ValExpression(expression) => Rule::ValueExpression(bytes(expression)?),
                RegisterRule::Constant(value) => Rule::Constant(*value),
                _ => return Err(gimli::Error::UnknownCallFrameInstruction(gimli::constants::DwCfa(0))),
            };
        }
        let is_signal_frame = fde.is_signal_trampoline();
        Ok(Row { cfa, rules, is_signal_frame, encoding: fde.cie().encoding() })
    }

    /// The CFA, if it is found from registers alone, as in all compiled code.
    pub(crate) fn plain_cfa(&self, frame: &Registers) -> Option<u64> {
        match self.cfa {
            Cfa::Register(number, offset) => Some(frame.get(number)?.wrapping_add_signed(offset)),
            Cfa::Expression(_) => None,
        }
    }

    /// The row of a function that has done nothing yet.
    pub(crate) fn of_a_start() -> Row {
        let mut rules = [const { Rule::Unknown }; COUNT + 1];
        CALLEE_SAVED.into_iter().for_each(|number| rules[number] = Rule::Same);
        (rules[SP], rules[RETURN_ADDRESS]) = (Rule::Value(0), Rule::At(-8));
        let encoding = Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 1 };
        Row { cfa: Cfa::Register(SP, 8), rules, is_signal_frame: false, encoding }
    }

    /// The caller of the frame whose registers these are. `word` reads memory.
    pub(crate) fn caller(
        &self,
        callee: &Registers,
        mut word: impl FnMut(u64) -> io::Result<u64>,
    ) -> Result<Caller, String> {
        if matches!(self.rules[RETURN_ADDRESS], Rule::Unknown) {
            return Ok(Caller::None);
        }
        let register = |number: usize| {
            callee.get(number).ok_or_else(|| format!("the CFI needs register {number}, which is lost"))
        };
        let expression =
            |bytes: &[u8], initial: Option<u64>, word: &mut dyn FnMut(u64) -> io::Result<u64>| {
                evaluate(bytes, self.encoding, initial, register, word)
            };
        let cfa = match &self.cfa {
            Cfa::Register(number, offset) => register(*number)?.wrapping_add_signed(*offset),
            Cfa::Expression(bytes) => expression(bytes, None, &mut word)?,
        };
        let mut caller = Registers::at(0);
        for (number, rule) in self.rules.iter().enumerate() {
            // Where in memory, or what itself.
            let (place, value) = match rule {
                Rule::Unknown => continue,
                Rule::Same => (None, callee.get(number)),
                Rule::At(offset) => (Some(cfa.wrapping_add_signed(*offset)), None),
                Rule::Value(offset) => (None, Some(cfa.wrapping_add_signed(*offset))),
                Rule::In(other) => (None, Some(register(*other)?)),
                Rule::AtExpression(bytes) => (Some(expression(bytes, Some(cfa), &mut word)?), None),
                Rule::ValueExpression(bytes) => (None, Some(expression(bytes, Some(cfa), &mut word)?)),
                Rule::Constant(value) => (None, Some(*value)),
            };
            let value = match place {
                Some(place) => Some(word(place).map_err(|error| format!("the word at {place:#x}: {error}"))?),
                None => value,
            };
            match (number, value) {
                (RETURN_ADDRESS, Some(pc)) => caller.pc = pc,
                (RETURN_ADDRESS, None) => return Err("the return address is lost".into()),
                (_, Some(value)) => caller.set(number, value),
                (_, None) => {}
            }
        }
        Ok(Caller::Frame(caller))
    }
}

/// The value of a DWARF expression.
fn evaluate(
    bytes: &[u8],
    encoding: Encoding,
    initial: Option<u64>,
    register: impl Fn(usize) -> Result<u64, String>,
    word: &mut dyn FnMut(u64) -> io::Result<u64>,
) -> Result<u64, String> {
    let fails = |error: gimli::Error| format!("a CFI expression: {error}");
    let mut evaluation = Expression(EndianSlice::new(bytes, NativeEndian)).evaluation(encoding);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut result = evaluation.evaluate().map_err(fails)?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                let value = word(address).map_err(|error| format!("the word at {address:#x}: {error}"))?;
                evaluation.resume_with_memory(Value::Generic(value))
            }
            EvaluationResult::RequiresRegister { register: number, .. } => {
                evaluation.resume_with_register(Value::Generic(register(number.0.into())?))
            }
            other => return Err(format!("a CFI expression wants {other:?}")),
        }
        .map_err(fails)?;
    }
    match evaluation.result()[..] {
        [gimli::Piece { location: Location::Address { address }, .. }] => Ok(address),
        ref other => Err(format!("a CFI expression gives {other:?}")),
    }
}
