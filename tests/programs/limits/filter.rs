//! System calls that fail, by a seccomp filter (seccomp(2)): no kernel of another version is needed.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// Makes a system call fail from now on: `guard` is `madvise(MADV_GUARD_INSTALL)`, `advice` any other `madvise`,
/// `guards-at-once` any `process_madvise`, `large-mmap` an `mmap` of at least 1 GiB, `redzone` an `mprotect(PROT_NONE)`,
/// `thread` a `clone3`, by which threads are made.
pub(super) fn deny(call: &str) {
    const SYSTEM_CALL: u32 = 0;
    const MADV_GUARD_INSTALL: u32 = 102;
    let argument = |n: u32| 16 + 8 * n;
    let (call, errno) = call.split_once(':').unwrap();
    let errno = match errno {
        "EAGAIN" => libc::EAGAIN,
        "EPERM" => libc::EPERM,
        "EINVAL" => libc::EINVAL,
        "ENOMEM" => libc::ENOMEM,
        _ => panic!("{errno}?"),
    };
    let (number, checks) = match call {
        "guard" => (libc::SYS_madvise, equals(argument(2), MADV_GUARD_INSTALL)),
        "advice" => (libc::SYS_madvise, vec![load(argument(2)), jump(BPF_JEQ, MADV_GUARD_INSTALL, 1, 0)]),
        "thread" => (libc::SYS_clone3, vec![]),
        "guards-at-once" => (libc::SYS_process_madvise, vec![]),
        "redzone" => (libc::SYS_mprotect, equals(argument(2), libc::PROT_NONE as u32)),
        // The high half isn't zero, or the low one is a GiB at least.
        "large-mmap" => {
            let (high, low) = (load(argument(1) + 4), load(argument(1)));
            (libc::SYS_mmap, vec![high, jump(BPF_JEQ, 0, 0, 2), low, jump(BPF_JGE, 1 << 30, 0, 1)])
        }
        _ => panic!("{call}?"),
    };
    let mut filter = vec![load(SYSTEM_CALL), jump(BPF_JEQ, number as u32, 0, checks.len() as u8 + 1)];
    filter.extend(checks);
    filter.push(give(libc::SECCOMP_RET_ERRNO | errno as u32));
    filter.push(give(libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives across the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// The low half of an argument is `value`; if not, the instruction behind is skipped.
fn equals(argument: u32, value: u32) -> Vec<sock_filter> {
    vec![load(argument), jump(BPF_JEQ, value, 0, 1)]
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn give(action: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: action }
}

/// Skips so many instructions if the condition holds, or if it doesn't.
fn jump(condition: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | condition | BPF_K) as u16, jt: then, jf: otherwise, k: value }
}
