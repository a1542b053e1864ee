"""What is said of a registry that has been overwritten."""

import struct

import damage


class Said(damage.Damage):
    def test_what_is_wrong_is_said(self):
        table = struct.unpack("<Q", self.pages.read(self.header + 32, 8))[0]
        klass, stride, _count = self.layout.tables["classes"]
        default = klass + stride * next(
            i for i, one in enumerate(self.registry.classes) if one.name == "default"
        )
        record, at = self.records[-1], self.layout.record.fields
        state = self.layout.state_word["state"][0]
        word = struct.unpack("<Q", self.pages.read(record + at["state"].offset, 8))[0]
        for patches, words in (
            ([(self.header, b"XX")], "instead of b'COROABI"),
            ([(self.header, bytes(8))], "no runtime of this program has started"),
            ([(self.header + 8, bytes(8))], "it is a copy, or has been overwritten"),
            ([(self.header + 16, b"\2")], "version 2.*: use the scripts which came with"),
            ([(self.header + 24, b"\xff\xff\xff\xff")], "it has been overwritten"),
            ([(self.header + 32, bytes(8))], "leads to memory which is not there"),
            ([(table, b"nonsense\0")], "has no table `records`"),
            (
                [(default + self.layout.klass.fields["base"].offset, b"\xff" * 8)],
                "do not fit into the region",
            ),
            ([(default + self.layout.klass.fields["used"].offset, b"\xff\xff\xff")], "used slots of"),
            (
                [(record + at["state"].offset, struct.pack("<Q", word | 15 << state))],
                "1 record of no known state",
            ),
            ([(record + at["context"].offset, bytes(16))], r"1 record with something that can't be right"),
            ([(record + at["stack_top"].offset, bytes(8))], r"1 record with something that can't be right"),
            ([(record + at["id"].offset, struct.pack("<Q", 4))], "an id that another one has"),
        ):
            text = self.survives(self.pages.with_patches(patches), ["list", "why 4"])
            self.assertRegex(text, words)

    def test_a_newer_minor_version_is_read(self):
        text = self.survives(self.pages.with_patches([(self.header + 20, struct.pack("<I", 77))]), ["list"])
        self.assertIn("sleeper", text)
