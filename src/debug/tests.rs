//! `check` finds what is planted.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::check;
use super::invariants::problem_of;
use crate::abi::objects::{Descriptor, Role};
use crate::abi::record::Record;
use crate::abi::state::{State, flag};
use crate::registry;
use crate::stack::region;

/// The record of a coroutine with this name.
fn record(name: &str) -> &'static Record {
    let region = region::get().unwrap();
    registry::iterate(region)
        .find(|record| record.name().as_deref() == Some(name) && record.word().state() != State::Free)
        .unwrap()
}

/// What `check` says while `damage` is done, which returns how to mend it.
fn finding<M: FnOnce()>(damage: impl FnOnce(&'static Record) -> M + Send + 'static) -> String {
    crate::run(|| {
        let name = format!("victim {:?}", std::thread::current().id());
        let _victim =
            crate::CoroutineBuilder::new().name(&name).spawn(|| crate::sleep(Duration::MAX)).unwrap();
        crate::yield_now();
        assert_eq!(check(), Ok(()));
        let mend = damage(record(&name));
        let findings = check();
        mend();
        assert_eq!(check(), Ok(()));
        findings.unwrap_err().join("\n")
    })
    .unwrap()
}

#[test]
fn a_saved_stack_pointer_outside_the_stack_is_found() {
    let said = finding(|victim| {
        let sp = victim.context.sp();
        victim.context.prepare(victim.stack_top.load(Relaxed) as usize + 8);
        move || victim.context.prepare(sp)
    });
    assert!(said.contains("saved stack pointer"), "{said}");
}

#[test]
fn a_second_running_coroutine_is_found() {
    let said = finding(|victim| {
        let word = victim.word();
        victim.state.store(word.with(State::Running, 0).0, Relaxed);
        move || victim.state.store(word.0, Relaxed)
    });
    assert!(said.contains("2 coroutines") && said.contains("the thread's stack pointer is"), "{said}");
}

#[test]
fn a_link_that_was_not_cut_is_found() {
    let said = finding(|victim| {
        let end = victim.link.load(Relaxed);
        victim.link.store((&raw const victim.context).cast_mut(), Relaxed);
        move || victim.link.store(end, Relaxed)
    });
    assert!(said.contains("linked to a resumer"), "{said}");
}

#[test]
fn a_state_word_of_no_meaning_is_found() {
    let said = finding(|victim| {
        let word = victim.word();
        victim.state.store(word.0 | 0xf, Relaxed);
        move || victim.state.store(word.0, Relaxed)
    });
    assert!(said.contains("alive") || said.contains("no meaning"), "{said}");
    let unknown_flag = 1 << 11;
    assert!(flag::ALL.iter().all(|(bit, _)| bit & unknown_flag == 0));
    let said = finding(move |victim| {
        let word = victim.word();
        victim.state.store(word.0 | unknown_flag, Relaxed);
        move || victim.state.store(word.0, Relaxed)
    });
    assert!(said.contains("no meaning"), "{said}");
}

#[test]
fn a_wrong_stack_is_found() {
    let said = finding(|victim| {
        let top = victim.stack_top.load(Relaxed);
        victim.stack_top.store(top + 4096, Relaxed);
        move || victim.stack_top.store(top, Relaxed)
    });
    assert!(said.contains("says that its stack is"), "{said}");
}

#[test]
fn a_wait_for_a_descriptor_of_another_role_is_found() {
    crate::run(|| {
        let listener = crate::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let accepts = crate::spawn(move || drop(listener.accept()));
        crate::yield_now();
        assert_eq!(check(), Ok(()));
        let region = region::get().unwrap();
        let id = accepts.id().as_u64();
        let waits = registry::iterate(region).find(|record| record.id() == id).unwrap();
        let row = region.descriptor(waits.wait_object.load(Relaxed) as usize).unwrap();
        for role in [Role::None, Role::Stream] {
            row.role.store(role as u32, Relaxed);
            let said = check().unwrap_err().join("\n");
            assert!(said.contains("waits for descriptor") && said.contains("accept"), "{said}");
        }
        row.role.store(Role::Listener as u32, Relaxed);
        assert_eq!(check(), Ok(()));
    })
    .unwrap();
}

#[test]
fn a_descriptor_that_makes_no_sense_is_found() {
    let problem = |role, length, family: i32| {
        let row = Descriptor {
            role: AtomicU32::new(role),
            address_length: AtomicU32::new(length),
            last_user: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            low_watermark: AtomicU32::new(0),
            high_watermark: AtomicU32::new(0),
            address: Default::default(),
        };
        row.address[0].store(family as u32 | 80 << 16, Relaxed);
        problem_of(7, &row)
    };
    for (role, length, family) in [
        (0, 0, 0),
        (1, 0, 9),
        (1, 16, libc::AF_INET),
        (2, 28, libc::AF_INET6),
        (3, 2, libc::AF_UNIX),
        (4, 0, 0),
        (2, 96, libc::AF_UNIX),
    ] {
        assert_eq!(problem(role, length, family), None);
    }
    for (role, length, family) in [
        (5, 0, 0),
        (1, 97, libc::AF_UNIX),
        (1, 1, libc::AF_UNIX),
        (1, 16, libc::AF_INET6),
        (1, 28, libc::AF_INET),
        (1, 16, 0),
        (2, 29, libc::AF_INET6),
    ] {
        assert!(
            problem(role, length, family).unwrap().contains("descriptor 7 has"),
            "{role} {length} {family}"
        );
    }
}
