//! Memory checkers are told nothing: what stands for checkers.rs without the feature `sanitize`.

use super::geometry::StackBounds;
use crate::abi::record::Record;

/// Whether there is somebody to tell, for callers to whom the arguments cost something.
pub(super) const ARE_TOLD: bool = false;

#[inline(always)]
pub(crate) fn reserve(_start: usize, _end: usize) {}

#[inline(always)]
pub(crate) fn allow(_start: usize, _end: usize) {}

#[inline(always)]
pub(crate) fn open(_record: &Record, _bounds: Option<StackBounds>) {}

#[inline(always)]
pub(crate) fn acquire(_record: &Record, _bounds: Option<StackBounds>) {}

#[inline(always)]
pub(crate) fn release(_record: &Record, _bounds: Option<StackBounds>) {}

pub(crate) struct Left;

/// # Safety
/// None.
#[inline(always)]
pub(crate) unsafe fn leave(_from: &Record, _to: &Record, _for_good: bool) -> Left {
    Left
}

/// # Safety
/// None.
#[inline(always)]
pub(crate) unsafe fn begin() {}

/// # Safety
/// None.
#[inline(always)]
pub(crate) unsafe fn arrive(_left: Left) {}
