"""Programs that wait, started for a test: tests/programs/NAME.rs, built."""

import os
import subprocess

import plain_port

from coro_debug import session

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Waiting:
    """A process of such a program, in which everything waits; with a port and a session on it."""

    def __init__(self, name):
        path = os.environ.get(f"CORO_{name.upper()}", os.path.join(ROOT, "target", "debug", "examples", name))
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} is not there: `cargo build --workspace --example {name}` makes it")
        self._process = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            said = self._process.stdout.readline()
            if said != "parked\n":
                raise AssertionError(f"{path} said {said!r} instead of `parked`")
            # Main has yet to wait. Then io does, for all of them: the one place where the process sleeps.
            while not self._sleeps():
                os.sched_yield()
            self.port = plain_port.PlainPort(self._process.pid)
            self.session = session.Session(self.port)
        except BaseException:
            # It would keep our standard error open.
            self._end()
            raise

    def _sleeps(self):
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii", errors="replace") as file:
            return ") S " in file.read()

    def close(self):
        self.port.close()
        self._end()

    def _end(self):
        self._process.kill()
        self._process.communicate()
