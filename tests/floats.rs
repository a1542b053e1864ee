//! Floating-point state belongs to the coroutine: values survive switches, and so do the control words, which a
//! child takes over from its creator. And the stack is aligned as SSE code expects it.

#![cfg(target_arch = "x86_64")]

use std::arch::asm;
use std::hint::black_box;

use coro::{Builder, Policy, spawn, yield_now};
use pretty_assertions::assert_eq;

/// MXCSR's bits 13 and 14: to nearest, down, up, towards zero.
const ROUNDING: u32 = 0x6000;
/// MXCSR's sticky exception flags.
const STICKY: u32 = 0x3f;
const INEXACT: u32 = 0x20;
const DEFAULT_MXCSR: u32 = 0x1f80;
/// The x87 control word: all exceptions masked, 64-bit mantissa, to nearest.
const DEFAULT_X87: u16 = 0x37f;
/// Its bits 8 and 9 are the precision, 10 and 11 the rounding.
const X87_ROUNDING: u16 = 0xc00;

fn mxcsr() -> u32 {
    let mut word = 0_u32;
    // SAFETY: it stores to `word` and changes nothing else.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

fn set_mxcsr(word: u32) {
    // SAFETY: all exceptions stay masked, and who calls this does no arithmetic that counts on the rounding, or
    // puts it back before.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
}

fn x87() -> u16 {
    let mut word = 0_u16;
    // SAFETY: it stores to `word` and changes nothing else.
    unsafe { asm!("fnstcw [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

fn set_x87(word: u16) {
    // SAFETY: all exceptions stay masked; Rust computes nothing on the x87.
    unsafe { asm!("fldcw [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
}

/// 1 ÷ 3 as this coroutine rounds it, computed by an instruction that the compiler can't evaluate itself.
fn third() -> f64 {
    let mut value = 1.0_f64;
    // SAFETY: it computes on the named registers; the sticky flags that it sets count for nothing.
    unsafe { asm!("divsd {}, {}", inout(xmm_reg) value, in(xmm_reg) 3.0_f64, options(nomem, nostack)) };
    value
}

#[test]
fn floating_point_values_survive_switches() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        Builder::new()
            .policy(policy)
            .run(|| {
                let sums: Vec<_> = (1..=20)
                    .map(|n| {
                        spawn(move || {
                            // More than the sixteen vector registers hold.
                            let mut values: [f64; 24] =
                                std::array::from_fn(|i| black_box(f64::from(n) + i as f64 / 8.0));
                            for _ in 0..100 {
                                values = values.map(|value| value + 0.25);
                                yield_now();
                                values = values.map(|value| value - 0.125);
                            }
                            values.iter().sum::<f64>()
                        })
                    })
                    .collect();
                (0..100).for_each(|_| yield_now());
                for (n, sum) in (1..).zip(sums) {
                    assert_eq!(sum.join().unwrap(), 24.0 * (f64::from(n) + 12.5) + 276.0 / 8.0);
                }
            })
            .unwrap();
    }
}

#[test]
fn rounding_mode_belongs_to_the_coroutine() {
    coro::run(|| {
        let modes: Vec<_> = (0..4)
            .map(|mode| {
                spawn(move || {
                    let (mine, mine_x87) = (mode << 13, (mode as u16) << 10);
                    set_mxcsr(DEFAULT_MXCSR | mine);
                    set_x87(DEFAULT_X87 | mine_x87);
                    let before = third();
                    for _ in 0..50 {
                        yield_now();
                        assert_eq!((mxcsr() & ROUNDING, x87() & X87_ROUNDING), (mine, mine_x87));
                        assert_eq!(third().to_bits(), before.to_bits());
                    }
                    set_mxcsr(DEFAULT_MXCSR);
                    before
                })
            })
            .collect();
        let [nearest, down, up, zero]: [f64; 4] =
            modes.into_iter().map(|mode| mode.join().unwrap()).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((nearest, zero), (down, down), "a third's binary digits end in a dropped 0101...");
        assert_eq!(up.to_bits(), down.to_bits() + 1);
        assert_eq!((mxcsr() & !STICKY, x87()), (DEFAULT_MXCSR, DEFAULT_X87), "main kept its own");
    })
    .unwrap();
}

#[test]
fn precision_and_flushing_to_zero_belong_to_the_coroutine() {
    const FLUSH_TO_ZERO: u32 = 0x8000;
    const DOUBLE_PRECISION: u16 = 0x27f;
    coro::run(|| {
        let other = spawn(|| {
            set_mxcsr(DEFAULT_MXCSR | FLUSH_TO_ZERO);
            set_x87(DOUBLE_PRECISION);
            yield_now();
            let seen = (mxcsr() & !STICKY, x87());
            set_mxcsr(DEFAULT_MXCSR);
            seen
        });
        yield_now();
        assert_eq!((mxcsr() & !STICKY, x87()), (DEFAULT_MXCSR, DEFAULT_X87));
        assert_eq!(other.join().unwrap(), (DEFAULT_MXCSR | FLUSH_TO_ZERO, DOUBLE_PRECISION));
    })
    .unwrap();
}

#[test]
fn child_takes_over_the_control_words_of_its_creator() {
    const UP: u32 = 0x4000;
    const X87_DOWN: u16 = 0x400;
    for policy in [Policy::Fair, Policy::Backtrack] {
        Builder::new()
            .policy(policy)
            .run(|| {
                let creator = spawn(|| {
                    set_mxcsr(DEFAULT_MXCSR | UP);
                    set_x87(DEFAULT_X87 | X87_DOWN);
                    let child = spawn(|| (mxcsr() & !STICKY, x87()));
                    // What the creator does afterwards is no longer the child's.
                    set_mxcsr(DEFAULT_MXCSR);
                    set_x87(DEFAULT_X87);
                    child.join().unwrap()
                });
                let sibling = spawn(|| (mxcsr() & !STICKY, x87()));
                assert_eq!(creator.join().unwrap(), (DEFAULT_MXCSR | UP, DEFAULT_X87 | X87_DOWN));
                assert_eq!(sibling.join().unwrap(), (DEFAULT_MXCSR, DEFAULT_X87));
            })
            .unwrap();
    }
}

/// Sticky flags are no control bits: a switch leaves them to whoever comes, as a call does.
#[test]
fn sticky_flags_do_not_disturb_the_control_bits() {
    coro::run(|| {
        let other = spawn(|| {
            for _ in 0..10 {
                set_mxcsr(DEFAULT_MXCSR | STICKY);
                yield_now();
                assert_eq!(mxcsr() & !STICKY, DEFAULT_MXCSR);
            }
        });
        for _ in 0..10 {
            set_mxcsr(DEFAULT_MXCSR);
            third();
            assert_eq!(mxcsr(), DEFAULT_MXCSR | INEXACT);
            yield_now();
            assert_eq!(mxcsr() & !STICKY, DEFAULT_MXCSR);
        }
        other.join().unwrap();
    })
    .unwrap();
}

/// A callee whose frame the compiler aligns by the ABI's promise, and no further.
#[inline(never)]
fn aligned_local() -> usize {
    #[repr(align(16))]
    struct Sixteen([u8; 16]);
    let local = black_box(Sixteen([0; 16]));
    let address = black_box(&raw const local).addr();
    // SAFETY: it reads the sixteen bytes of `local`, which faults unless they are aligned.
    unsafe { asm!("movaps {}, [{}]", out(xmm_reg) _, in(reg) local.0.as_ptr(), options(readonly, nostack)) };
    address
}

/// The stack pointer as it was at the call: the function has no frame of its own.
#[unsafe(naked)]
extern "C" fn stack_at_call() -> usize {
    std::arch::naked_asm!("lea rax, [rsp + 8]", "ret")
}

#[test]
fn stack_is_aligned_to_16_bytes_in_every_slot() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        Builder::new()
            .policy(policy)
            .run(|| {
                // More than the sixteen colours of stack tops.
                let handles: Vec<_> = (0..40)
                    .map(|_| {
                        spawn(|| {
                            let first = (stack_at_call() % 16, aligned_local() % 16);
                            yield_now();
                            [first, (stack_at_call() % 16, aligned_local() % 16)]
                        })
                    })
                    .collect();
                for handle in handles {
                    assert_eq!(handle.join().unwrap(), [(0, 0), (0, 0)]);
                }
            })
            .unwrap();
    }
}
