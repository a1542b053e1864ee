"""Many idle keep-alive connections at a server, and what each takes of the server's memory: see tests/long/idle.sh.

    python3 tests/scripts/idle.py ADDRESS COUNT PID BAR

Says the bytes for each, resident and page tables. Fails when they are more than BAR, or a connection does not work.
"""

import socket
import sys


def kib(pid, key):
    """A figure of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise SystemExit(f"/proc/{pid}/status has no {key}")


def memory(pid):
    """Bytes that the process takes."""
    return (kib(pid, "VmRSS") + kib(pid, "VmPTE")) * 1024


def ask(connection, target):
    """A request, and its answer, which the end of its body tells."""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: idle\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"Hello, world!"):
        piece = connection.recv(4096)
        if not piece:
            raise SystemExit(f"the server ended a connection after {answer!r}")
        answer += piece


def main(address, count, pid, bar):
    host, port = address.rsplit(":", 1)

    def connect():
        connection = socket.create_connection((host, int(port)))
        ask(connection, "/hello")
        return connection

    connections = [connect()]
    before = memory(pid)
    connections += [connect() for _ in range(count)]
    each = (memory(pid) - before) // count
    print(f"{count} idle connections: {each} bytes each, of {bar} that they may take", flush=True)
    # They are still there, and as usable as before.
    print("ready", flush=True)
    sys.stdin.readline()
    for connection in connections[:: max(1, count // 100)]:
        ask(connection, "/hello")
    return int(each > bar)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
