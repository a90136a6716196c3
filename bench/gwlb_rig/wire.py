"""No device under test: an XDP program that turns Geneve packets round where they arrive. What is left is the way itself.

Run as a program inside the namespace that holds DEVICE: `wire CORE`; it ends with its input.
"""

from __future__ import annotations

import os
import socket
import sys

from bench.gwlb_rig.load import DEVICE_MAC, GATEWAY_MAC
from fastpath import bpf
from fastpath.bpfcode import Code

XDP_PASS, XDP_TX = 2, 3
GENEVE = int.from_bytes((6081).to_bytes(2, "big"), "little")


def turning() -> bytes:
    """Assemble it: swap the MAC and the IPv4 addresses of what goes to port 6081, and send it back."""
    code = Code()
    code.load(4, "r7", "r1", 0)
    code.load(4, "r8", "r1", 4)
    code.alu("mov", "r2", "r7")
    code.alu("add", "r2", 42)
    code.jump("gt", "r2", "r8", "pass")
    code.load(2, "r1", "r7", 36)
    code.jump("ne", "r1", GENEVE, "pass")
    for at, value in ((0, GATEWAY_MAC), (6, DEVICE_MAC)):
        for word in range(0, 6, 2):
            code.store(2, "r7", at + word, int.from_bytes(value[word:word + 2], "little"))
    code.load(4, "r1", "r7", 26)
    code.load(4, "r2", "r7", 30)
    code.store(4, "r7", 26, "r2")
    code.store(4, "r7", 30, "r1")
    code.alu("mov", "r0", XDP_TX)
    code.exit()
    code.label("pass")
    code.alu("mov", "r0", XDP_PASS)
    code.exit()
    return code.assemble()


def main() -> None:
    """wire CORE"""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    program = bpf.program_load(bpf.PROGRAM_XDP, turning(), attach=bpf.ATTACH_XDP)
    link = bpf.link_create(program, socket.if_nametoindex("d0"), bpf.ATTACH_XDP, bpf.XDP_DRIVER)
    print("ready", flush=True)
    sys.stdin.read()
    os.close(link)


if __name__ == "__main__":
    main()
