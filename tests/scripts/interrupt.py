"""Ctrl-C in LLDB on a terminal: `interrupt.py LLDB PID COMMAND...` attaches, gives the commands, and, as soon as the
program runs, Ctrl-C, once. Prints all that LLDB shows."""

import os
import pty
import select
import sys
import time

PATIENCE = 60
PROMPT = "(lldb) "


class Terminal:
    """LLDB on a terminal."""

    def __init__(self, words):
        self.shown = ""
        self._pid, self._end = pty.fork()
        if self._pid == 0:
            os.environ["TERM"] = "dumb"
            os.execvp(words[0], words)

    def wait(self, is_there):
        """Reads on until it is so; what has been shown since it was last waited."""
        until = time.monotonic() + PATIENCE
        while not is_there(self.shown):
            if time.monotonic() > until:
                raise TimeoutError(self.shown)
            if select.select([self._end], [], [], 0.05)[0]:
                self.shown += os.read(self._end, 65536).decode(errors="replace")
        shown, self.shown = self.shown, ""
        print(shown)
        return shown

    def send(self, text):
        os.write(self._end, text.encode())

    def close(self):
        os.close(self._end)
        os.waitpid(self._pid, 0)


def runs(pid):
    """Whether a process is not stopped by a debugger."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(") ")[2][0] not in "tT"


def main(lldb, pid, *commands):
    start = ["--no-lldbinit", "-X", "-Q", "-o", "command script import lldb/coro.py", "-p", pid]
    terminal = Terminal([lldb, *start])
    terminal.wait(lambda shown: "lists the commands" in shown and PROMPT in shown.partition("lists the")[2])
    for command in commands[:-1]:
        terminal.send(command + "\n")
        terminal.wait(lambda shown: PROMPT in shown)
    terminal.send(commands[-1] + "\n")
    terminal.wait(lambda shown: PROMPT in shown and runs(pid))
    terminal.send("\x03")
    terminal.wait(lambda shown: "stop reason = " in shown)
    terminal.send("thread list\n")
    terminal.wait(lambda shown: "tid = " in shown and PROMPT in shown.rpartition("tid = ")[2])
    terminal.close()


main(*sys.argv[1:])
