"""The assembler against encodings written out by hand (RFC 9669), and the programs that are made with it."""

import hashlib
import os
import struct

import pytest

from fastpath import bpf, redirect
from fastpath.bpfcode import Code
from isolation import isolated


def instruction(opcode: int, to: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """Eight bytes, little-endian."""
    return struct.pack("<BBhi", opcode, source << 4 | to, offset, imm)


def test_instructions_are_those_of_the_rfc() -> None:
    code = Code()
    code.load(4, "r2", "r1", 16)
    code.store(8, "r10", -8, "r3")
    code.store(2, "r10", -4, 7)
    code.add_atomic("r1", 8, "r2")
    code.alu("add", "r4", 42)
    code.alu("mov", "r3", "r2", bits=32)
    code.map("r1", 9)
    code.call(51)
    code.exit()
    assert code.assemble() == b"".join([
        instruction(0x61, 2, 1, 16), instruction(0x7B, 10, 3, -8), instruction(0x6A, 10, 0, -4, 7),
        instruction(0xDB, 1, 2, 8), instruction(0x07, 4, 0, 0, 42), instruction(0xBC, 3, 2),
        instruction(0x18, 1, 1, 0, 9), instruction(0), instruction(0x85, imm=51), instruction(0x95)])


def test_jumps_find_their_labels_both_ways() -> None:
    code = Code()
    code.label("top")
    code.jump("gt", "r1", "r2", "end")
    code.jump("ne", "r1", 0xFFFFFFFF, "top", bits=32)
    code.go("end")
    code.label("end")
    code.exit()
    assert code.assemble() == b"".join([
        instruction(0x2D, 1, 2, 2), instruction(0x56, 1, 0, -2, -1), instruction(0x05, 0, 0, 0), instruction(0x95)])


def test_mistakes_are_named() -> None:
    code = Code()
    code.go("nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        code.assemble()
    with pytest.raises(ValueError, match="r11"):
        code.load(4, "r11", "r1", 0)
    code.label("here")
    with pytest.raises(ValueError, match="here"):
        code.label("here")


def test_redirect_program_is_the_same_bytes_everywhere() -> None:
    made = redirect.program("192.0.2.7", 6081, 3)
    assert len(made) == 8 * 27
    assert hashlib.sha256(made).hexdigest() == "ea661149ac7aa89556ad143cfa0885676da6286caeb284385fd08ec7c516e038"


def test_program_that_carries_flows_is_the_same_bytes_everywhere() -> None:
    made = redirect.program("192.0.2.7", 6081, 3, (4, 5, 128))
    assert hashlib.sha256(made).hexdigest() == "516e5825cce43f480981947f11e8de6b895a1027f88923a85d52224bbc9ba3d1"


def test_program_that_refuses_strangers_is_the_same_bytes_everywhere() -> None:
    made = redirect.program("192.0.2.7", 6081, 3, None, (6, 7, 12, (3, 5, 7)))
    assert hashlib.sha256(made).hexdigest() == "53855f1176caad5a0410047bce5800f5912ee55a47e2979f3a54a3882bd7b731"


@isolated
def test_redirect_judges_each_frame_as_the_drawing_says() -> None:
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            bpf.map_create(bpf.MAP_ARRAY, 4, 4, 1)
        return
    sockets = bpf.map_create(bpf.MAP_XSK, 4, 4, 4)
    program = bpf.program_load(bpf.PROGRAM_XDP, redirect.program("10.1.0.1", 6081, sockets), attach=bpf.ATTACH_XDP)
    # No socket is in the map, so what is ours passes too; a program that passes nothing but what is ours tells them apart.
    code = Code()
    redirect.match(code, "10.1.0.1", 6081, "other")
    code.alu("mov", "r0", 1)
    code.exit()
    code.label("other")
    code.alu("mov", "r0", 2)
    code.exit()
    judge = bpf.program_load(bpf.PROGRAM_XDP, code.assemble(), attach=bpf.ATTACH_XDP)
    good = frame()
    assert bpf.run(program, good, 1) == 2
    assert bpf.run(judge, good, 1) == 1
    changes = {12: 0x86, 14: 0x46, 20: 0x20, 21: 1, 23: 6, 33: 2, 37: 1}
    for at, value in changes.items():
        other = bytearray(good)
        other[at] = value
        assert bpf.run(judge, bytes(other), 1) == 2, at
    assert bpf.run(judge, good[:41], 1) == 2


def frame() -> bytes:
    """A Geneve packet's first 60 bytes."""
    ip = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, 10, 1, 0, 2, 10, 1, 0, 1)
    return bytes(12) + b"\x08\0" + ip + struct.pack("!HHHH", 60000, 6081, 26, 0) + bytes(18)


def test_refused_program_says_what_the_verifier_said() -> None:
    if os.geteuid() != 0:
        return
    with pytest.raises(OSError, match="R0"):
        bpf.program_load(bpf.PROGRAM_XDP, instruction(0x95), attach=bpf.ATTACH_XDP)
