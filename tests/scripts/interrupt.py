"""Ctrl-C in LLDB on a terminal: `interrupt.py LLDB PID COMMAND...` attaches, gives the commands, and, as soon as the
program runs, Ctrl-C until it stops: LLDB forgets one that comes while a command is ending, and whoever types it
sees that and types it again. Prints all that LLDB shows, as it comes."""

import os
import pty
import select
import sys

PROMPT = "(lldb) "
LOOKS_AGAIN = 0.05
PRESSES_AGAIN = 1


class Terminal:
    """LLDB on a terminal."""

    def __init__(self, words):
        self.shown = ""
        self._pid, self._end = pty.fork()
        if self._pid == 0:
            os.environ["TERM"] = "dumb"
            os.execvp(words[0], words)

    def wait(self, is_there):
        """Reads on until it is so of what has been shown since it was last waited."""
        while not is_there(self.shown):
            self.read(LOOKS_AGAIN)
        self.shown = ""

    def read(self, seconds):
        """Whether LLDB has shown more within that time."""
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        text = os.read(self._end, 65536).decode(errors="replace")
        print(text, end="", flush=True)
        self.shown += text
        return True

    def forget(self):
        """Takes all that LLDB has shown until now for seen."""
        while self.read(0):
            pass
        self.shown = ""

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
    terminal.wait(lambda _: runs(pid))
    terminal.forget()
    while "stop reason = " not in terminal.shown:
        terminal.send("\x03")
        while "stop reason = " not in terminal.shown and terminal.read(PRESSES_AGAIN):
            pass
    terminal.forget()
    terminal.send("thread list\n")
    terminal.wait(lambda shown: "tid = " in shown and PROMPT in shown.rpartition("tid = ")[2])
    terminal.close()


main(*sys.argv[1:])
