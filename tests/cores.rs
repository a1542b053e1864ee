//! What a core dump has of the region: the stacks, records and descriptors in use, and not the reserve.
//!
//! Held against the flags of the mappings (`dd` is "do not dump"), which is what the kernel goes by, so that it doesn't
//! matter what becomes of cores on this machine. tests/long/million.sh makes one.

mod support;

use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::{fs, ptr};

use coro::net::TcpListener;
use coro::spawn;
use pretty_assertions::assert_eq;
use support::image::{Process, header_by_note};
use support::registry_reader::Registry;

/// A mapping: where it is, and whether it is left out of core dumps.
#[derive(Debug)]
struct Mapping {
    start: usize,
    end: usize,
    is_left_out: bool,
}

/// Those around an address which lie side by side, from the kernel's /proc/self/smaps.
fn mappings_around(address: usize) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let range =
            range.map(|(start, end)| (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)));
        if let Some((Ok(start), Ok(end))) = range {
            all.push(Mapping { start, end, is_left_out: false });
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            all.last_mut().unwrap().is_left_out = flags.split_whitespace().any(|flag| flag == "dd");
        }
    }
    let own = all.iter().position(|mapping| (mapping.start..mapping.end).contains(&address)).unwrap();
    let first = (0..own).rev().find(|i| all[*i].end != all[i + 1].start).map_or(0, |i| i + 1);
    let last = (own..all.len() - 1).find(|i| all[*i].end != all[i + 1].start).unwrap_or(all.len() - 1);
    all.drain(first..=last).collect()
}

/// One test, because all tests of a program share the region.
#[test]
fn what_is_in_use_is_in_core_dumps_and_the_reserve_is_not() {
    descriptors_are_in_core_dumps_as_they_come_into_use();
    few_stacks_are_in_core_dumps_and_the_reserve_is_not();
    more_comes_into_core_dumps_as_slots_come_into_use();
}

fn descriptors_are_in_core_dumps_as_they_come_into_use() {
    coro::run(|| {
        let image = Process::open(std::process::id()).unwrap();
        let registry = Registry::at(&image, header_by_note(&image).unwrap()).unwrap();
        let (start, stride) = registry.place("descriptors").unwrap();
        let is_left_out = |number: usize| {
            let row = start as usize + number * stride as usize;
            let region = mappings_around(row);
            region.iter().find(|mapping| (mapping.start..mapping.end).contains(&row)).unwrap().is_left_out
        };
        let last = registry.count("descriptors").unwrap() as usize - 1;
        assert!(is_left_out(0) && is_left_out(last), "there is no socket yet");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_left_out(listener.as_raw_fd() as usize));
        // A step is a MiB.
        assert_eq!(is_left_out(last), last >= (1 << 20) / 64);
    })
    .unwrap();
}

fn few_stacks_are_in_core_dumps_and_the_reserve_is_not() {
    coro::run(|| {
        let stacks: Vec<usize> = (0..3)
            .map(|_| spawn(|| ptr::from_ref(&black_box(0_u8)).addr()).join().unwrap())
            .chain([coro::CoroutineBuilder::new()
                .stack_size(1 << 20)
                .spawn(|| ptr::from_ref(&black_box(0_u8)).addr())
                .unwrap()
                .join()
                .unwrap()])
            .collect();
        let region = mappings_around(stacks[0]);
        for stack in stacks {
            let own = region.iter().find(|mapping| (mapping.start..mapping.end).contains(&stack)).unwrap();
            assert!(!own.is_left_out, "the stack at {stack:#x} is left out: {own:x?}");
        }
        // Tables and records come first.
        assert!(!region[0].is_left_out, "{:x?}", region[0]);
        let sum = |is_left_out: bool| -> usize {
            let of_that = region.iter().filter(|mapping| mapping.is_left_out == is_left_out);
            of_that.map(|mapping| mapping.end - mapping.start).sum()
        };
        let (dumped, left_out) = (sum(false), sum(true));
        // Steps of 64 MiB for the stacks of three classes and their records.
        assert!(dumped <= 5 * (64 << 20), "{} MiB are in core dumps", dumped >> 20);
        assert!(left_out > 100 * dumped, "{} MiB are not, {} MiB are", left_out >> 20, dumped >> 20);
    })
    .unwrap();
}

fn more_comes_into_core_dumps_as_slots_come_into_use() {
    coro::run(|| {
        // 500 stacks of 260 KiB: beyond two steps.
        let addresses: Vec<_> = (0..500)
            .map(|_| {
                spawn(|| {
                    let here = ptr::from_ref(&black_box(0_u8)).addr();
                    coro::yield_now();
                    here
                })
            })
            .collect();
        let stacks: Vec<usize> = addresses.into_iter().map(|coroutine| coroutine.join().unwrap()).collect();
        let region = mappings_around(stacks[0]);
        let left_out: Vec<&usize> = stacks
            .iter()
            .filter(|stack| {
                region
                    .iter()
                    .any(|mapping| mapping.is_left_out && (mapping.start..mapping.end).contains(*stack))
            })
            .collect();
        assert_eq!(left_out, Vec::<&usize>::new());
    })
    .unwrap();
}
