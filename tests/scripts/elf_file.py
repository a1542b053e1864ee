"""ELF files of a process, for the plain port: where they are loaded, their `.eh_frame`, and names by
address."""

import os
import struct
import subprocess


class Module:
    """A file that is mapped into a process."""

    def __init__(self, path, start):
        self.path = path
        with open(path, "rb") as file:
            self.data = file.read()
        self.sections = dict(self._sections())
        first = next(address - offset for kind, offset, address in self._segments() if kind == 1)
        #: What is added to the file's addresses.
        self.bias = start - first
        self._lines = None

    def _segments(self):
        at, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        for i in range(count):
            kind, _flags, offset, address = struct.unpack_from("<IIQQ", self.data, at + i * size)
            yield kind, offset, address

    def _sections(self):
        at, = struct.unpack_from("<Q", self.data, 40)
        size, count, names = struct.unpack_from("<HHH", self.data, 58)
        rows = [struct.unpack_from("<IIQQQQ", self.data, at + i * size) for i in range(count)]
        for name, _kind, _flags, address, offset, length in rows:
            start = rows[names][4] + name
            yield self.data[start:self.data.index(b"\0", start)].decode(), (address, offset, length)

    def locations(self, address):
        """(function, file, line) at one of its run-time addresses, inlined functions first, by addr2line."""
        if self._lines is None:
            self._lines = subprocess.Popen(
                ["addr2line", "-a", "-f", "-i", "-C", "-e", self.path],
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        # The answer to a second question, at an address where there is nothing, ends that to the first.
        self._lines.stdin.write(f"{address - self.bias:#x}\n0xffffffffffff\n")
        self._lines.stdin.flush()
        self._lines.stdout.readline()
        found = []
        for line in self._lines.stdout:
            if line.startswith("0x"):
                break
            file, _, number = self._lines.stdout.readline().strip().rpartition(":")
            found.append(
                (
                    line.strip(),
                    file if file != "??" else None,
                    int(number.split()[0]) if number[:1].isdigit() else None,
                )
            )
        for _ in range(2):
            self._lines.stdout.readline()
        return [place for place in found if place[0] != "??"]

    def close(self):
        if self._lines is not None:
            self._lines.communicate()


def modules(pid):
    """The files that a process has mapped executable: [(start, end, Module)]."""
    found, first = {}, {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        rows = [line.split(None, 5) for line in maps]
    for row in rows:
        if len(row) == 6 and row[5].startswith("/"):
            path, (start, end) = row[5].strip(), (int(part, 16) for part in row[0].split("-"))
            first.setdefault(path, start)
            if "x" in row[1] and os.path.exists(path):
                found[path] = start, end
    return [(start, end, Module(path, first[path])) for path, (start, end) in found.items()]
