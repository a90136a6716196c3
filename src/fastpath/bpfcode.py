"""bpfcode: an assembler for eBPF, as much of it as this package's programs need.

Journey: programs are assembled when a port is opened, from Python that reads like the listing it makes; so the source is
the object, and neither clang nor libbpf is wanted anywhere. It loads nothing (`bpf` does).

Source: RFC 9669 (BPF instruction set), §2.2 encoding, §4.1 arithmetic, §4.3 jumps, §5 loads and stores; linux/bpf.h for
BPF_PSEUDO_MAP_FD.
"""

from __future__ import annotations

import struct

__all__ = ["Code"]

_LDX, _ST, _STX, _ALU32, _ALU64, _JMP, _JMP32 = 0x61, 0x62, 0x63, 0x04, 0x07, 0x05, 0x06
_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_ALU = {"add": 0x00, "sub": 0x10, "mul": 0x20, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70, "xor": 0xA0, "mov": 0xB0}
_JUMPS = {"eq": 0x10, "gt": 0x20, "ge": 0x30, "set": 0x40, "ne": 0x50, "lt": 0xA0, "le": 0xB0, "sgt": 0x60, "sge": 0x70}
_BY_REGISTER = 0x08
_ATOMIC_ADD_64 = 0xDB


class Code:
    """A program in the making. Registers are written "r0" … "r10", anything else is a number; labels are names."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int, int]] = []     # opcode, destination, source, offset, immediate
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def load(self, size: int, to: str, base: str, offset: int) -> None:
        """Load `size` bytes at base + offset."""
        self._add(_LDX | _SIZES[size], _number(to), _number(base), offset)

    def store(self, size: int, base: str, offset: int, value: str | int) -> None:
        """Store a register's low `size` bytes, or a number."""
        if isinstance(value, str):
            self._add(_STX | _SIZES[size], _number(base), _number(value), offset)
        else:
            self._add(_ST | _SIZES[size], _number(base), 0, offset, value)

    def add_atomic(self, base: str, offset: int, value: str) -> None:
        """Add a register to the 8 bytes at base + offset, whole."""
        self._add(_ATOMIC_ADD_64, _number(base), _number(value), offset)

    def alu(self, operation: str, to: str, value: str | int, bits: int = 64) -> None:
        """to = to operation value; "mov" takes the value alone."""
        self._operate((_ALU64 if bits == 64 else _ALU32) | _ALU[operation], to, value)

    def jump(self, condition: str, left: str, right: str | int, label: str, bits: int = 64) -> None:
        """Go to the label if the condition holds (unsigned, but for sgt and sge)."""
        self._jumps.append((len(self._code), label))
        self._operate((_JMP if bits == 64 else _JMP32) | _JUMPS[condition], left, right)

    def go(self, label: str) -> None:
        """Go to the label."""
        self._jumps.append((len(self._code), label))
        self._add(_JMP)

    def label(self, name: str) -> None:
        """Name the next instruction."""
        if name in self._labels:
            raise ValueError(f"label {name!r} is used twice")
        self._labels[name] = len(self._code)

    def map(self, to: str, fd: int) -> None:
        """Load the address of the map that fd is."""
        self._add(0x18, _number(to), 1, 0, fd)     # BPF_PSEUDO_MAP_FD; two slots
        self._add(0)

    def call(self, helper: int) -> None:
        """Call a kernel helper by its number; r1 … r5 are spent, r0 is its answer."""
        self._add(0x85, imm=helper)

    def exit(self) -> None:
        """Return r0."""
        self._add(0x95)

    def assemble(self) -> bytes:
        """Return the instructions, 8 bytes each.

        Raises:
            ValueError: a jump to a label that is nowhere.
        """
        code = list(self._code)
        for at, label in self._jumps:
            if label not in self._labels:
                raise ValueError(f"label {label!r} is nowhere")
            opcode, to, source, _, imm = code[at]
            code[at] = (opcode, to, source, self._labels[label] - at - 1, imm)
        return b"".join(
            struct.pack("<BBhi", opcode, source << 4 | to, offset, _signed(imm)) for opcode, to, source, offset, imm in code
        )

    def _operate(self, opcode: int, to: str, value: str | int) -> None:
        if isinstance(value, str):
            self._add(opcode | _BY_REGISTER, _number(to), _number(value))
        else:
            self._add(opcode, _number(to), imm=value)

    def _add(self, opcode: int, to: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> None:
        self._code.append((opcode, to, source, offset, imm))


def _number(register: str) -> int:
    number = int(register[1:])
    if register[0] != "r" or not 0 <= number <= 10:
        raise ValueError(f"register must be r0 to r10, not {register!r}")
    return number


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
