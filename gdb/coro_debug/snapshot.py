"""A snapshot as data: what `coro dump --json` writes. Stable: names are not changed, only added.

    {
      "format": "coro snapshot", "version": 1,
      "runtimes": [{
        "abi": "1.1", "header": ADDRESS, "pid": N, "is_forked": false,
        "now": NANOSECONDS of CLOCK_MONOTONIC or null, "is_clock_old": false,
        "region": {"base": ADDRESS, "length": BYTES, "redzone_method": "guard"},
        "classes": [{"name", "base", "stride", "redzone", "first_record", "count", "used"}],
        "workers": [{"number", "thread", "values": {…}}],
        "coroutines": [{
          "id", "name", "kind", "state", "flags": [], "requests": [],
          "worker": N or null, "thread": TID or null,
          "parent": ID or null, "age": NANOSECONDS or null, "lifetime": NANOSECONDS or null,
          "wait": null or {"reason", …, "left": NANOSECONDS}, "wait_text": "read fd 7 -> 127.0.0.1:8080",
          "spawned_at": {"file", "line"} or null, "stack": {"limit", "top", "used": BYTES or null},
          "record": {"address", "index", "generation"}, "context": {"sp", "pc"} or null,
          "backtrace": INDEX into "backtraces" or null
        }],
        "backtraces": [[{"pc", "function", "file", "line", "is_inlined"}]],
        "problems": ["…"]
      }]
    }

Addresses and times are numbers below 2^63; a text that isn't known is "". Coroutines come in the order of
their records.
"""

import json

from . import source, waits
from .coroutine import NO_WORKER

VERSION = 1


def write_json(registries, frames_of, write, progress):
    """Writes the snapshot piece by piece: a million coroutines are not held."""
    write(f'{{"format": "coro snapshot", "version": {VERSION}, "runtimes": [')
    for i, registry in enumerate(registries):
        write(",\n" if i else "\n")
        _write_runtime(registry, frames_of(registry), write, progress)
    write("\n]}\n")


def _write_runtime(registry, frames, write, progress):
    head = json.dumps(runtime(registry))
    write(head[:-1] + ', "coroutines": [')
    backtraces = {}
    for i, coroutine in enumerate(registry.each()):
        pcs = frames.walker.chain(coroutine)
        data = describe(coroutine)
        data["backtrace"] = backtraces.setdefault(pcs, len(backtraces)) if pcs else None
        write(("," if i else "") + "\n" + json.dumps(data))
        if i % 2000 == 1999:
            progress(f"{i + 1:,} coroutines written")
    write('\n], "backtraces": [')
    for i, pcs in enumerate(backtraces):
        write(("," if i else "") + "\n" + json.dumps(backtrace(pcs, frames)))
    write('\n], "problems": ' + json.dumps(registry.problems) + "}")


def runtime(registry):
    """Of a runtime, all but its coroutines."""
    header, layout = registry.header, registry.layout
    return {
        "abi": f"{layout.major}.{layout.minor}",
        "header": layout.address,
        "pid": header["pid"],
        "is_forked": registry.is_forked,
        "now": registry.now,
        "is_clock_old": registry.is_clock_old,
        "region": {
            "base": header["region_base"],
            "length": header["region_length"],
            "redzone_method": layout.redzone_methods.get(header["redzone_method"], ""),
        },
        "classes": [
            {
                "name": klass.name,
                "base": klass.base,
                "stride": klass.stride,
                "redzone": klass.redzone,
                "first_record": klass.first,
                "count": klass.count,
                "used": klass.used,
            }
            for klass in registry.classes
        ],
        "workers": [
            {
                "number": worker.number,
                "thread": worker.tid,
                "values": {name: value for name, value in worker.values.items() if isinstance(value, int)},
            }
            for worker in registry.workers
        ],
    }


def describe(coroutine):
    """Of a coroutine, all but its backtrace."""
    wait = waits.wait_of(coroutine)
    file, line = coroutine.spawn_place
    return {
        "id": coroutine.id,
        "name": coroutine.name,
        "kind": coroutine.kind,
        "state": coroutine.state,
        "flags": coroutine.flags,
        "requests": coroutine.requests,
        "worker": coroutine.worker if coroutine.worker != NO_WORKER else None,
        "thread": coroutine.thread.tid if coroutine.thread is not None else None,
        "parent": coroutine.parent or None,
        "age": coroutine.age,
        "lifetime": coroutine.lifetime,
        "wait": wait,
        "wait_text": waits.in_words(wait) if wait else "",
        "spawned_at": {"file": file, "line": line} if file else None,
        "stack": {"limit": coroutine.stack_limit, "top": coroutine.stack_top, "used": coroutine.stack_used},
        "record": {
            "address": coroutine.record_address,
            "index": coroutine.index,
            "generation": coroutine.generation,
        },
        "context": dict(zip(("sp", "pc"), coroutine.context)) if coroutine.has_saved_registers else None,
    }


def backtrace(pcs, frames):
    """A chain's places."""
    found = []
    places = list(frames.places(pcs))
    for i, (pc, location) in enumerate(places):
        is_inlined = i + 1 < len(places) and places[i + 1][0] == pc and location is not None
        found.append(
            {
                "pc": pc,
                "function": (
                    source.plain_function(location.function)
                    if location is not None and location.function
                    else ""
                ),
                "file": location.file or "" if location is not None else "",
                "line": location.line or 0 if location is not None else 0,
                "is_inlined": is_inlined,
            }
        )
    return found
