"""Compares two snapshots of one program: `agree.py ONE.json OTHER.json`. What differs is printed, a line
each; at last how many coroutines and frames have been compared.

Times are left out, and which thread number a debugger has given. Functions are compared by their last name:
LLDB has them as they are mangled, GDB as the debug information has them, with `{closure#0}` for `{closure}`
and `{impl#0}` for a type.
"""

import json
import re
import sys

#: Keys of a coroutine that both have to say alike.
KEYS = ("name", "kind", "state", "flags", "requests", "worker", "thread", "parent", "spawned_at", "stack", "record",
        "context")


def main(one, other):
    with open(one, encoding="utf-8") as file:
        first = json.load(file)["runtimes"]
    with open(other, encoding="utf-8") as file:
        second = json.load(file)["runtimes"]
    if len(first) != len(second):
        print(f"DIFFERS: {len(first)} and {len(second)} runtimes")
    counts = [0, 0]
    for a, b in zip(first, second):
        compare(a, b, counts)
    print(f"compared: {counts[0]} coroutines, {counts[1]} frames")


def compare(a, b, counts):
    """Two runtimes."""
    left = {coroutine["id"]: coroutine for coroutine in a["coroutines"]}
    right = {coroutine["id"]: coroutine for coroutine in b["coroutines"]}
    if left.keys() != right.keys():
        print(f"DIFFERS: ids {sorted(left.keys() ^ right.keys())} are in one only")
    for number in sorted(left.keys() & right.keys()):
        x, y = left[number], right[number]
        for key in KEYS:
            if x.get(key) != y.get(key):
                print(f"DIFFERS: #{number} {key}: {x.get(key)!r} and {y.get(key)!r}")
        waits = [{key: value for key, value in (one["wait"] or {}).items() if key != "left"} for one in (x, y)]
        if waits[0] != waits[1]:
            print(f"DIFFERS: #{number} waits for {waits[0]} and {waits[1]}")
        frames = [[] if one["backtrace"] is None else runtime["backtraces"][one["backtrace"]]
                  for one, runtime in ((x, a), (y, b))]
        counts[0] += 1
        counts[1] += compare_frames(number, *frames, x["state"] == "running")


def compare_frames(number, left, right, is_running):
    """Two backtraces; how many frames they have."""
    # A main coroutine's goes on below what the program itself is, and there each debugger has its own end.
    shown = [[(frame["pc"], place(frame), last(frame["function"])) for frame in frames] for frames in (left, right)]
    ends = [next((i for i, frame in enumerate(frames) if frame[2] == "main"), len(frames)) for frames in shown]
    shown = [frames[:end] for frames, end in zip(shown, ends)]
    for i, (x, y) in enumerate(zip(*shown)):
        # An instruction may belong to no line, anywhere but at a call: LLDB says so, GDB takes the line before.
        is_lineless = is_running and i == 0 and None in (x[1], y[1]) and (x[0], x[2]) == (y[0], y[2])
        if x != y and not is_lineless:
            print(f"DIFFERS: #{number} frame {i}: {x} and {y}")
    if len(shown[0]) != len(shown[1]):
        print(f"DIFFERS: #{number} has {len(shown[0])} and {len(shown[1])} frames")
    return len(shown[0])


def place(frame):
    """File and line; of the standard library's and the C library's files only what both debuggers say alike."""
    file = re.sub(r"^(/rustc/[0-9a-f]+/|\.\.?/)", "", frame["file"] or "")
    return (file, frame["line"]) if frame["line"] else None


def last(function):
    """`f` of `a::{impl#0}::f<T>`; `{closure}` of any closure."""
    name = (function or "").replace("->", "").replace("{{vtable.shim}}", "").lstrip("_")
    # The vDSO's functions have two names at one address.
    name = name.removeprefix("vdso_")
    while "<" in name:
        shorter = re.sub(r"<[^<>]*>", "", name)
        if shorter == name:
            break
        name = shorter
    name = re.sub(r"(::)+$", "", name).rpartition("::")[2]
    return "{closure}" if name.startswith("{") else name


if __name__ == "__main__":
    main(*sys.argv[1:])
