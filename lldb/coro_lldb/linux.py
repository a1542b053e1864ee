"""What Linux says of a process on this machine: its threads, where each stands, its numbers in PID
namespaces.

Asked at each stop, before LLDB has its own list of threads (`real_threads` says why).
"""

import os


def is_traced_here(pid):
    """Whether a process of this number is on this machine, and a debugger has it: then it is LLDB's, and not
    one of the same number elsewhere."""
    return _status(f"/proc/{pid}/status", "TracerPid:") not in ([], ["0"])


def thread_ids(pid):
    """The threads of a process, in the order in which they were made; those that have ended are left out."""
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
    return [tid for tid in tids if not _has_ended(pid, tid)]


def _has_ended(pid, tid):
    """A main thread that has ended stays as a zombie until the others have."""
    return tid == pid and _status(f"/proc/{pid}/task/{tid}/status", "State:")[:1] in (["Z"], ["X"])


def registers(pid, tid):
    """(stack pointer, pc) of a thread that is stopped; (None, None): not told."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as file:
            words = file.read().split()
        return (int(words[-2], 16), int(words[-1], 16)) if len(words) >= 3 else (None, None)
    except (OSError, ValueError):
        return None, None


def namespace_ids(pid, tid=None):
    """The numbers of a process or thread in its PID namespaces, the outermost first."""
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    return [int(number) for number in _status(path, "NSpid:") if number.isdecimal()]


def descriptor(pid, fd):
    """What a descriptor leads to, `socket:[4711]`; None: not told."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return None


def _status(path, key):
    """The words of a line of a status file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return next((line.split()[1:] for line in file if line.startswith(key)), [])
    except OSError:
        return []
