"""Whether an instruction reads or writes, by its bytes."""

import unittest

from coro_debug.access import access

PC, SP = 0x5555_0000_1000, 0x7000_0000


def of(code, address=SP + 64):
    return access(bytes.fromhex(code), PC, address, SP)


class Access(unittest.TestCase):
    def test_what_writes(self):
        for code, what in {
            "48 c7 04 24 00 00 00 00": "mov qword ptr [rsp], 0",
            "c6 44 24 10 01": "mov byte ptr [rsp + 16], 1",
            "48 89 5c 24 08": "mov [rsp + 8], rbx",
            "66 89 03": "mov [rbx], ax",
            "88 07": "mov [rdi], al",
            "55": "push rbp",
            "41 57": "push r15",
            "6a 01": "push 1",
            "e8 00 00 00 00": "call",
            "f3 48 ab": "rep stosq",
            "0f 29 04 24": "movaps [rsp], xmm0",
            "66 0f 7f 07": "movdqa [rdi], xmm0",
            "f3 0f 7f 07": "movdqu [rdi], xmm0",
            "66 0f d6 07": "movq [rdi], xmm0",
            "66 48 0f 7e 07": "movq [rdi], xmm0",
            "0f 94 00": "sete [rax]",
            "c5 fd 7f 07": "vmovdqa [rdi], ymm0",
            "c4 c1 7e 7f 00": "vmovdqu [r8], ymm0",
            "62 f1 fd 48 7f 07": "vmovdqa64 [rdi], zmm0",
        }.items():
            self.assertEqual(of(code), "write", what)

    def test_what_reads(self):
        for code, what in {
            "48 8b 07": "mov rax, [rdi]",
            "8a 07": "mov al, [rdi]",
            "0f b6 07": "movzx eax, byte ptr [rdi]",
            "48 63 07": "movsxd rax, [rdi]",
            "48 85 04 24": "test [rsp], rax",
            "f6 07 01": "test byte ptr [rdi], 1",
            "80 3f 00": "cmp byte ptr [rdi], 0",
            "48 3b 07": "cmp rax, [rdi]",
            "48 03 07": "add rax, [rdi]",
            "48 f7 37": "div qword ptr [rdi]",
            "5d": "pop rbp",
            "c3": "ret",
            "f3 a6": "repe cmpsb",
            "ff 27": "jmp [rdi]",
            "0f 28 04 24": "movaps xmm0, [rsp]",
            "f3 0f 6f 07": "movdqu xmm0, [rdi]",
            "f3 0f 7e 07": "movq xmm0, [rdi]",
            "f2 0f 58 07": "addsd xmm0, [rdi]",
            "c5 fe 6f 07": "vmovdqu ymm0, [rdi]",
            "c5 fa 7e 07": "vmovq xmm0, [rdi]",
            "c5 fd 74 07": "vpcmpeqb ymm0, ymm0, [rdi]",
        }.items():
            self.assertEqual(of(code), "read", what)

    def test_a_call_through_memory_reads_there_and_writes_to_the_stack(self):
        self.assertEqual(of("ff 17", SP - 8), "write")
        self.assertEqual(of("ff 17", SP + 64), "read")
        self.assertEqual(of("ff 37", SP - 8), "write")

    def test_what_does_both_or_neither_or_is_not_known(self):
        for code, what in {
            "48 01 07": "add [rdi], rax",
            "83 07 01": "add dword ptr [rdi], 1",
            "83 0c 24 00": "or dword ptr [rsp], 0",
            "ff 07": "inc dword ptr [rdi]",
            "f0 0f b1 17": "lock cmpxchg [rdi], edx",
            "f3 a4": "rep movsb",
            "48 89 d8": "mov rax, rbx",
            "0f 10 c1": "movups xmm0, xmm1",
            "0f 85 00 00 00 00": "jne",
            "0f 0b": "ud2",
            "dd 07": "fld qword ptr [rdi]",
            "c4 e2 7d 18 07": "vbroadcastss ymm0, [rdi]",
            "48": "cut off",
            "66": "cut off",
            "c5 fd": "cut off",
        }.items():
            self.assertEqual(of(code), "access", what)

    def test_a_jump_into_what_cannot_be_executed(self):
        self.assertEqual(access(b"", PC, PC, SP), "jump")
        self.assertEqual(access(bytes(15), PC, PC, SP), "jump")
        self.assertEqual(access(b"", PC, PC + 3, SP), "jump")
        self.assertEqual(access(b"", PC, SP, SP), "access")
