"""Looks at a program through lldb-dap, as an editor does: `dap_scenario.py ADAPTER attach PID PROGRAM LINE`,
or `… launch PROGRAM LINE`, or `… core CORE PROGRAM`. What there is to see is printed, one fact a line.

The program is tests/programs/relay.rs, whose coroutines give way to each other (LINE: where one is stopped
in), or seen.rs.
"""

import sys

import dap_client

LOAD = "command script import lldb/coro.py"
FORMAT = "${thread.name}${script.thread:coro_lldb.formats.state}"
STEPS = 6


def main(adapter, mode, *arguments):
    session = dap_client.Session(adapter)
    session.request("initialize", adapterID="lldb-dap", linesStartAt1=True, pathFormat="path")
    if mode == "launch":
        program, line = arguments
        start = session.send("launch", program=program, args=["1", "5", "1000"], initCommands=[LOAD],
                             customThreadFormat=FORMAT)
    elif mode == "attach":
        pid, program = arguments
        # Loaded before there is a process, as an editor's settings have it.
        start = session.send("attach", pid=int(pid), program=program, stopOnEntry=True, initCommands=[LOAD],
                             customThreadFormat=FORMAT)
    else:
        core, program = arguments
        start = session.send("attach", coreFile=core, program=program, initCommands=[LOAD],
                             customThreadFormat=FORMAT)
    session.event("initialized")
    if mode == "launch":
        set_breakpoint(session, [int(line)])
    session.request("configurationDone")
    session.answer(start)
    stop = session.stop() if mode == "launch" else session.event("stopped")
    print("stopped", stop["reason"], threads_of(session).get(stop["threadId"]))
    for name in threads_of(session).values():
        print("thread", name)
    if mode == "launch":
        step(session, stop["threadId"])
    else:
        reader = next(tid for tid, name in threads_of(session).items() if "#4 reader" in name)
        look(session, reader, "read_request")
    session.request("disconnect", terminateDebuggee=mode == "launch")
    session.close()
    if "Traceback" in session.output:
        print(session.output)


def set_breakpoint(session, lines):
    session.request("setBreakpoints", source={"path": "tests/programs/relay.rs"},
                    breakpoints=[{"line": line} for line in lines])


def threads_of(session):
    return {thread["id"]: thread["name"] for thread in session.request("threads")["threads"]}


def frames_of(session, tid):
    return session.request("stackTrace", threadId=tid, startFrame=0, levels=50)["stackFrames"]


def look(session, tid, function):
    """A thread's frames, and the variables of the one of that function."""
    frames = frames_of(session, tid)
    for frame in frames:
        print("frame", frame["name"], frame.get("line"))
    frame = next(frame for frame in frames if function in frame["name"])
    scope = session.request("scopes", frameId=frame["id"])["scopes"][0]
    for variable in session.request("variables", variablesReference=scope["variablesReference"])["variables"]:
        print("variable", variable["name"], variable["value"])


def step(session, tid):
    """Steps over lines of one coroutine, in one of which all others run."""
    set_breakpoint(session, [])
    for _ in range(STEPS):
        session.request("next", threadId=tid)
        stop = session.stop()
        who = "the same" if stop["threadId"] == tid else threads_of(session).get(stop["threadId"])
        print("step", stop["reason"], who, frames_of(session, tid)[0]["line"])
    look(session, tid, "race")


if __name__ == "__main__":
    main(*sys.argv[1:])
