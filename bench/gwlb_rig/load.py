"""A gateway load balancer's side, in the kernel: Geneve packets from many flows, sent at once and counted when they return.

    bpf(2) run ─▶ source (XDP) ─▶ g0 ═ veth ═ d0 ─▶ the device under test ─▶ d0 ═ veth ═ g0 ─▶ sink (tcx): counted, dropped

A closed loop: at most `window` packets are on their way, so nothing is lost and the rate found is the device's own. Or, with a
gap, an open one: a packet each `gap_ns`, which carries the time when it left, so that the sink can tell how long it took; by a
`batch` above one they leave in bursts of at most so many, which lets the source send thrice as many. With `distinct`, no two
packets are of one flow; with `mixed` too, which wants a gap, every eighth is of one of 125 flows that stay, and what became of
those is counted apart. Frames lie in pages, as a network card's do. Run as a program it reads lines of JSON, the arguments of
`Load.trial`, and answers each with a JSON object; it ends with its input. Every trial ends by time, whatever comes back.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time

from fastpath import bpf
from fastpath.bpfcode import Code

GATEWAY, DEVICE = "10.99.0.1", "10.99.0.2"
GATEWAY_MAC, DEVICE_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FLOWS, BATCH, RUNS = 1000, 32, 1 << 30
ENDPOINT = 0x2B8EE1D4DB0C51C4
XDP_ABORTED, XDP_DROP, XDP_PASS, TC_OK, TC_SHOT = 0, 1, 2, 0, 2
LOOKUP, TIME_NS, REDIRECT, SKB_LOAD = 1, 5, 23, 26       # bpf helpers
GIVEN_UP_NS = 30_000_000
# The one element of the map `state`: eight bytes each.
NAMES = ("received", "bad", "sent", "lost", "last_received", "last_ns", "window", "room", "full", "flow", "interface", "gap",
         "next", "step", "round", "mixed", "staying_sent", "staying_received",
         "late")
AT = {name: 8 * number for number, name in enumerate(NAMES)}
HELD = -78            # where the sink keeps a packet, from its byte 12 on, so that its words lie even on the stack
STAMP_HELD = -104
STAMP = 110           # where the inner payload begins: the time when it left, and whether its flow is one that stays
STAMPED = 16          # bytes of payload that a packet by a gap has at least
TICK_BITS, TICKS = 7, 1 << 14      # delays are counted by 128 ns, up to 2.1 ms
LATE_NS, LATE_IN_BURSTS_NS = 1_000_000, 50_000_000    # a source that falls so far behind does not catch up
FLOW_BYTES = 24      # source, destination, ports, cookie, outer port, IPv4 checksum, padding


def find(code: Code, map_fd: int, missing: str) -> None:
    """r0 = the element whose index stands at r10-4."""
    code.map("r1", map_fd)
    code.alu("mov", "r2", "r10")
    code.alu("add", "r2", -4)
    code.call(LOOKUP)
    code.jump("eq", "r0", 0, missing)


def source(state: int, flows: int) -> bytes:
    """Assemble the source: the next flow's packet to g0, or none while the window is full."""
    code = Code()
    code.load(4, "r7", "r1", 0)
    code.load(4, "r8", "r1", 4)
    code.alu("mov", "r2", "r7")
    code.alu("add", "r2", STAMP + STAMPED)
    code.jump("gt", "r2", "r8", "abort")
    code.store(4, "r10", -4, 0)
    find(code, state, "abort")
    code.alu("mov", "r9", "r0")
    code.load(8, "r1", "r9", AT["gap"])
    code.jump("ne", "r1", 0, "paced")
    wait_for_window(code)
    code.go("send")
    code.label("paced")
    wait_for_time(code)
    code.label("send")
    next_flow(code)
    find(code, flows, "abort")
    write_packet(code)
    code.load(8, "r1", "r9", AT["sent"])
    code.alu("add", "r1", 1)
    code.store(8, "r9", AT["sent"], "r1")
    code.load(4, "r1", "r9", AT["interface"])
    code.alu("mov", "r2", 0)
    code.call(REDIRECT)
    code.exit()
    for label, verdict in (("drop", XDP_DROP), ("abort", XDP_ABORTED)):
        code.label(label)
        code.alu("mov", "r0", verdict)
        code.exit()
    return code.assemble()


def next_flow(code: Code) -> None:
    """Leave the flow's number at r10-4 and go on to the next; after the last one comes the next round. r9 = state."""
    code.load(8, "r1", "r9", AT["flow"])
    code.store(4, "r10", -4, "r1")
    code.alu("add", "r1", 1)
    code.jump("lt", "r1", FLOWS, "in range")
    code.load(8, "r1", "r9", AT["round"])
    code.load(8, "r2", "r9", AT["step"])
    code.alu("add", "r1", "r2")
    code.store(8, "r9", AT["round"], "r1")
    code.alu("mov", "r1", 0)
    code.label("in range")
    code.store(8, "r9", AT["flow"], "r1")


def wait_for_window(code: Code) -> None:
    """Drop while the window is full; it is refilled in bursts. What has not come back for 30 ms is given up. r9 = state."""
    code.load(8, "r1", "r9", AT["sent"])
    for name in ("received", "lost"):
        code.load(8, "r2", "r9", AT[name])
        code.alu("sub", "r1", "r2")
    code.load(8, "r2", "r9", AT["window"])
    code.jump("sgt", "r2", "r1", "not full")
    code.store(8, "r9", AT["full"], 1)
    code.label("not full")
    code.load(8, "r2", "r9", AT["room"])
    code.jump("sgt", "r1", "r2", "still full")
    code.store(8, "r9", AT["full"], 0)
    code.label("still full")
    code.load(8, "r2", "r9", AT["full"])
    code.jump("eq", "r2", 0, "send")
    code.store(8, "r10", -16, "r1")
    code.call(TIME_NS)
    code.load(8, "r2", "r9", AT["received"])
    code.load(8, "r3", "r9", AT["last_received"])
    code.jump("eq", "r2", "r3", "silent")
    code.store(8, "r9", AT["last_received"], "r2")
    code.store(8, "r9", AT["last_ns"], "r0")
    code.label("silent")
    code.load(8, "r3", "r9", AT["last_ns"])
    code.alu("add", "r3", GIVEN_UP_NS)
    code.jump("gt", "r3", "r0", "drop")
    code.store(8, "r9", AT["last_ns"], "r0")
    code.load(8, "r1", "r10", -16)
    code.load(8, "r2", "r9", AT["lost"])
    code.alu("add", "r2", "r1")
    code.store(8, "r9", AT["lost"], "r2")


def wait_for_time(code: Code) -> None:
    """Drop until the next packet's time has come; write the time into the packet. r1 = gap, r7 = frame, r9 = state."""
    code.call(TIME_NS)
    code.load(8, "r1", "r9", AT["next"])
    code.jump("gt", "r1", "r0", "drop")
    code.load(8, "r2", "r9", AT["late"])
    code.alu("add", "r2", "r1")
    code.jump("gt", "r2", "r0", "on time")
    code.alu("mov", "r1", "r0")
    code.label("on time")
    code.load(8, "r2", "r9", AT["gap"])
    code.alu("add", "r1", "r2")
    code.store(8, "r9", AT["next"], "r1")
    code.store(8, "r7", STAMP, "r0")
    code.store(8, "r7", STAMP + 8, 0)


def write_packet(code: Code) -> None:
    """Write what tells flows apart, and what a reflector may have changed in the page. r7 = frame, r0 = flow, r9 = state."""
    fixed = DEVICE_MAC + GATEWAY_MAC
    for at in range(0, 12, 4):
        code.store(4, "r7", at, int.from_bytes(fixed[at:at + 4], "little"))
    code.store(4, "r7", 26, int.from_bytes(socket.inet_aton(GATEWAY), "little"))
    code.store(4, "r7", 30, int.from_bytes(socket.inet_aton(DEVICE), "little"))
    code.store(2, "r7", 36, int.from_bytes((6081).to_bytes(2, "big"), "little"))
    for size, of_flow, at in ((4, 0, 94), (4, 4, 98), (2, 8, 102), (2, 10, 104), (4, 12, 78), (2, 16, 34), (2, 18, 92)):
        code.load(size, "r1", "r0", of_flow)
        code.store(size, "r7", at, "r1")
    code.load(2, "r1", "r0", 8)
    code.load(8, "r2", "r9", AT["round"])
    stay(code)
    code.alu("add", "r1", "r2")
    code.store(2, "r7", 102, "r1")         # the source port: no checksum covers it


def stay(code: Code) -> None:
    """Of a mixture, leave every eighth flow in one round, and say so in its packet. r2 = round, r7 = frame, r9 = state."""
    code.load(8, "r3", "r9", AT["mixed"])
    code.jump("eq", "r3", 0, "any flow")
    code.load(4, "r3", "r10", -4)
    code.jump("set", "r3", 7, "any flow")
    code.alu("mov", "r2", 0)
    code.store(8, "r7", STAMP + 8, 1)
    code.load(8, "r3", "r9", AT["staying_sent"])
    code.alu("add", "r3", 1)
    code.store(8, "r9", AT["staying_sent"], "r3")
    code.label("any flow")


def sink(state: int, delays: int) -> bytes:
    """Assemble the sink: an answer has the outer addresses swapped, port 6081 and the three options; all of it ends here."""
    code = Code()
    code.alu("mov", "r7", "r1")
    code.alu("mov", "r6", "r1")
    code.alu("mov", "r2", 12)
    code.alu("mov", "r3", "r10")
    code.alu("add", "r3", HELD)
    code.alu("mov", "r4", 66)
    code.call(SKB_LOAD)
    code.jump("ne", "r0", 0, "other")
    for size, at, wanted in ((2, 12, b"\x08\x00"), (4, 26, socket.inet_aton(DEVICE)), (4, 30, socket.inet_aton(GATEWAY))):
        expect(code, size, at, wanted, "other")
    code.store(4, "r10", -84, 0)
    code.map("r1", state)
    code.alu("mov", "r2", "r10")
    code.alu("add", "r2", -84)
    code.call(LOOKUP)
    code.jump("eq", "r0", 0, "other")
    for size, at, wanted in ((2, 36, (6081).to_bytes(2, "big")), (1, 42, b"\x08"), (4, 50, b"\x01\x08\x01\x02"),
                             (4, 62, b"\x01\x08\x02\x02"), (4, 74, b"\x01\x08\x03\x01")):
        expect(code, size, at, wanted, "bad")
    code.load(8, "r1", "r0", AT["gap"])
    code.jump("eq", "r1", 0, "counted")
    count_delay(code, delays)
    code.label("counted")
    count(code, "received")
    code.label("bad")
    count(code, "bad")
    code.label("other")
    code.alu("mov", "r0", TC_OK)
    code.exit()
    return code.assemble()


def expect(code: Code, size: int, at: int, wanted: bytes, other: str) -> None:
    """Go on only if the packet holds the bytes; the stack holds it from its byte 12 on."""
    code.load(size, "r1", "r10", at - 12 + HELD)
    code.jump("ne", "r1", int.from_bytes(wanted, "little"), other, bits=32)


def count_delay(code: Code, delays: int) -> None:
    """Count how long the packet took. r7 = context, r0 = state, both kept (r0 in r6, and back)."""
    code.alu("mov", "r6", "r0")
    code.alu("mov", "r1", "r7")
    code.alu("mov", "r2", STAMP)
    code.alu("mov", "r3", "r10")
    code.alu("add", "r3", STAMP_HELD)
    code.alu("mov", "r4", STAMPED)
    code.call(SKB_LOAD)
    code.jump("ne", "r0", 0, "other")
    code.load(8, "r1", "r6", AT["staying_received"])
    code.load(8, "r2", "r10", STAMP_HELD + 8)
    code.alu("add", "r1", "r2")
    code.store(8, "r6", AT["staying_received"], "r1")
    code.call(TIME_NS)
    code.load(8, "r1", "r10", STAMP_HELD)
    code.alu("sub", "r0", "r1")
    code.alu("rsh", "r0", TICK_BITS)
    code.jump("lt", "r0", TICKS, "in time")
    code.alu("mov", "r0", TICKS - 1)
    code.label("in time")
    code.store(4, "r10", -84, "r0")
    code.map("r1", delays)
    code.alu("mov", "r2", "r10")
    code.alu("add", "r2", -84)
    code.call(LOOKUP)
    code.jump("eq", "r0", 0, "other")
    code.load(8, "r1", "r0", 0)
    code.alu("add", "r1", 1)
    code.store(8, "r0", 0, "r1")
    code.alu("mov", "r0", "r6")


def count(code: Code, name: str) -> None:
    """Count, and end the packet. r0 = state."""
    code.load(8, "r1", "r0", AT[name])
    code.alu("add", "r1", 1)
    code.store(8, "r0", AT[name], "r1")
    code.alu("mov", "r0", TC_SHOT)
    code.exit()


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def ipv4(source_address: bytes, destination: bytes, payload: int) -> bytes:
    """An IPv4 header for UDP."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + payload, 0, 0x4000, 64, 17, 0, source_address, destination)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:]


def frame(payload: bytes) -> bytes:
    """A packet of no flow in particular."""
    size = 8 + len(payload)
    inner = ipv4(bytes(4), bytes(4), size) + struct.pack("!HHHH", 0, 0, size, 0) + payload
    options = struct.pack("!HBBQHBBQHBBI", 0x108, 1, 2, ENDPOINT, 0x108, 2, 2, 7, 0x108, 3, 1, 0)
    geneve = struct.pack("!BBHI", 8, 0, 0x0800, 0) + options + inner
    udp = struct.pack("!HHHH", 50000, 6081, 8 + len(geneve), 0)
    outer = ipv4(socket.inet_aton(GATEWAY), socket.inet_aton(DEVICE), 8 + len(geneve))
    return DEVICE_MAC + GATEWAY_MAC + b"\x08\x00" + outer + udp + geneve


def flow(number: int, size: int, port: int) -> bytes:
    """What makes a packet of `size` bytes of payload one of flow `number` to this port, as the map holds it."""
    source_address = (0x0A010000 + number).to_bytes(4, "big")
    destination = (0xAC100000 + number * 7919 % (1 << 20)).to_bytes(4, "big")
    ports = struct.pack("!HH", 1024 + number * 31 % 60000, port)
    inner = ipv4(source_address, destination, 8 + size)
    outer_port = struct.pack("!H", 49152 + number * 17 % 16384)
    return source_address + destination + ports + struct.pack("!I", 0xC0000000 + number) + outer_port + inner[10:12] + bytes(4)


class Load:
    """The source and the sink on one interface, and their state.

    takes_frames: an XDP program is on it too, without which veth takes no answer that is sent at the other end's XDP hook.
    """

    def __init__(self, interface: str, payload: bytes, port: int, takes_frames: bool) -> None:
        index = socket.if_nametoindex(interface)
        self.state = bpf.map_create(bpf.MAP_ARRAY, 4, 8 * len(NAMES), 1)
        flows = bpf.map_create(bpf.MAP_ARRAY, 4, FLOW_BYTES, FLOWS)
        for number in range(FLOWS):
            bpf.map_update(flows, number.to_bytes(4, "little"), flow(number, len(payload), port))
        self.source = bpf.program_load(bpf.PROGRAM_XDP, source(self.state, flows), attach=bpf.ATTACH_XDP)
        self.delays = bpf.map_create(bpf.MAP_ARRAY, 4, 8, TICKS)
        sinking = bpf.program_load(bpf.PROGRAM_SCHED_CLS, sink(self.state, self.delays), attach=bpf.ATTACH_TCX_INGRESS)
        self.link = bpf.link_create(sinking, index, bpf.ATTACH_TCX_INGRESS)
        if takes_frames:
            passing = Code()
            passing.alu("mov", "r0", XDP_PASS)
            passing.exit()
            loaded = bpf.program_load(bpf.PROGRAM_XDP, passing.assemble(), attach=bpf.ATTACH_XDP)
            self.frames = bpf.link_create(loaded, index, bpf.ATTACH_XDP, bpf.XDP_DRIVER)
        self.frame, self.index, self.round = frame(payload), index, 1

    def read(self) -> dict[str, int]:
        """The state as it is."""
        element = bpf.map_lookup(self.state, bytes(4), 8 * len(NAMES)) or bytes(8 * len(NAMES))
        return dict(zip(NAMES, struct.unpack(f"<{len(NAMES)}Q", element), strict=True))

    def trial(self, seconds: float, window: int = 0, gap_ns: int = 0, distinct: bool = False, mixed: bool = False,
              batch: int = 0) -> dict[str, object]:
        """Send for so long; return what was sent, received and lost, the seconds it took and, by a gap, delays by tick.

        batch: packets that the source may send at once, most 256; 0: one by a gap, else BATCH.
        """
        now = time.monotonic_ns()
        start = {**dict.fromkeys(NAMES, 0), "window": window, "room": max(window - BATCH, 0), "interface": self.index,
                 "last_ns": now, "gap": gap_ns, "next": now, "step": int(distinct), "round": self.round,
                 "mixed": int(mixed), "late": LATE_IN_BURSTS_NS if batch > 1 else LATE_NS}
        bpf.map_update(self.state, bytes(4), struct.pack(f"<{len(NAMES)}Q", *start.values()))
        begun = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, seconds)      # one run for all of it: to begin and end one takes milliseconds
        with contextlib.suppress(InterruptedError):
            bpf.run(self.source, self.frame, RUNS, batch=batch or (1 if gap_ns else BATCH), flags=bpf.LIVE_FRAMES)
        took, state = time.monotonic() - begun, self.read()
        time.sleep(0.05)       # what is still on its way must not count for the next trial
        self.round = state["round"]
        told = ("received", "bad", "lost", "sent", "staying_sent", "staying_received")
        return {**{name: state[name] for name in told}, "seconds": took, "delays": self.delays_of_last() if gap_ns else {}}

    def delays_of_last(self) -> dict[int, int]:
        """Take the delays counted since they were taken: packets by tick of 2^TICK_BITS ns, the last tick for all above."""
        found = {}
        for tick in range(TICKS):
            number = tick.to_bytes(4, "little")
            if count := int.from_bytes(bpf.map_lookup(self.delays, number, 8) or b"", "little"):
                found[tick] = count
                bpf.map_update(self.delays, number, bytes(8))
        return found


def main() -> None:
    """load INTERFACE PAYLOAD PORT CORE skb|xdp; the payload in hexadecimal"""
    interface, payload, port, core = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    os.sched_setaffinity(0, {core})
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    load = Load(interface, payload, port, sys.argv[5] == "xdp")
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(load.trial(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
