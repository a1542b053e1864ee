"""A client of the Debug Adapter Protocol, as an editor is one: requests with their answers, events in
between.

`session(adapter)` starts lldb-dap. What the adapter says is read as it comes; only an event that it may have lost is
asked for when nothing has come for a while.
"""

import json
import re
import select
import subprocess


#: Seconds after which LLDB is asked whether an event was lost.
SILENCE = 5


class Failed(Exception):
    """A request was refused."""


class Session:
    """One run of the adapter."""

    def __init__(self, adapter):
        # Unbuffered, so that what has come and wasn't read is in the pipe, to be waited for.
        self._process = subprocess.Popen([adapter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._sequence = 0
        #: Events that nobody has asked for yet, the oldest first.
        self._events = []
        #: Answers to requests which were sent, and not waited for.
        self._answers = {}
        #: All output that the adapter has passed on.
        self.output = ""

    def send(self, command, **arguments):
        """Sends a request; its number, for `answer`."""
        self._sequence += 1
        request = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()
        return self._sequence

    def answer(self, number):
        """The body of the answer to a request."""
        while number not in self._answers:
            self._take()
        answer = self._answers.pop(number)
        if not answer["success"]:
            raise Failed(f"{answer['command']}: {answer.get('message') or answer.get('body')}")
        return answer.get("body", {})

    def request(self, command, **arguments):
        """Sends a request, and waits for the answer's body."""
        return self.answer(self.send(command, **arguments))

    def event(self, name):
        """The body of the next event of that name; those before it are dropped."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if event["event"] == name:
                    return event.get("body", {})
            self._take()

    def stop(self):
        """The next stop: the body of its event, or what LLDB says of it.

        lldb-dap 19 loses such an event now and then, also without any scripts (4 of 110 on a busy machine), though LLDB
        knows that the program has stopped. So it is asked when nothing has come for a while; while the program runs, the wait
        goes on.
        """
        while not any(event["event"] == "stopped" for event in self._events):
            if select.select([self._process.stdout], [], [], SILENCE)[0]:
                self._take()
                continue
            said = self._ask("process status")
            reason = re.search(r"^\* thread #.* stop reason = (\w+)", said, re.MULTILINE)
            if reason and not self._events:
                thread = re.search(r"\btid = (\w+)", self._ask("thread info"))
                return {"reason": reason[1], "threadId": int(thread[1], 0)}
        return self.event("stopped")

    def _ask(self, command):
        """What LLDB says to a command of its own."""
        return self.request("evaluate", expression=f"`{command}", context="repl")["result"]

    def close(self):
        """Ends the adapter."""
        self._process.stdin.close()
        self._process.stdout.readall()
        return self._process.wait()

    def _take(self):
        """Reads one message."""
        length = 0
        while (line := self._process.stdout.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length == 0:
            raise Failed(f"the adapter has ended; it said:\n{self.output}")
        body = b""
        while len(body) < length:
            piece = self._process.stdout.read(length - len(body))
            if not piece:
                raise Failed(f"the adapter has ended amid a message; it said:\n{self.output}")
            body += piece
        message = json.loads(body)
        if message["type"] == "response":
            self._answers[message["request_seq"]] = message
        elif message["event"] == "output":
            self.output += message["body"].get("output", "")
        else:
            self._events.append(message)
