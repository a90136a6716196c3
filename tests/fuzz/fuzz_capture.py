"""Invariant: any file gives frames and at most one CaptureError with its offset; a cut file gives the first of its frames;
and zcc replay counts every frame once.

    python -m tests.fuzz.fuzz_capture --seconds 60 --seed 1

Files are pcap and pcapng of both byte orders, every link type and hostile packets, with bytes changed, cut, repeated or put
in; the seed makes a run repeatable. A failure prints the file in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import re
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import dns.message
import dns.rrset
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from tests.zcc.config.examples import CONNECTOR

from fastpath import gwlb
from zcc.config import load
from zcc.connector.capture import Frame, read_frames
from zcc.connector.replay import Replay
from zcc.connector.replayed import Summary
from zcc.connector.settings import ConnectorSettings
from zcc.errors import CaptureError

INTERESTING = (0, 1, 2, 3, 4, 6, 8, 9, 16, 17, 0x0A, 0x0D, 0x1A, 0x45, 0x60, 0x7F, 0x80, 0x81, 0xFF)
LINKS = {0: b"\x02\0\0\0", 1: bytes(12) + b"\x08\x00", 101: b"", 108: b"\0\0\0\x02", 113: bytes(14) + b"\x08\x00",
         228: b"", 276: b"\x08\x00" + bytes(18)}
ENDPOINT = gwlb.endpoint_id("vpce-0aaaaaaaaaaaaaaa1")  # as in the example
POLICY = ("policy", "policy_stray", "rejected")  # counted in a flow too
FILES = 50  # whose frames go through one replay


def packets() -> list[bytes]:
    """What frames carry: plain packets, Geneve from a known and an unknown endpoint, DNS, fragments."""
    query = dns.message.make_query("evil.example.", "A", id=7)
    answer = dns.message.make_response(query)
    answer.answer = [dns.rrset.from_text("evil.example.", 9, "IN", "A", "192.0.2.66")]
    ends, back = {"src": "10.8.6.4", "dst": "192.0.2.66"}, {"dst": "10.8.6.4", "src": "192.0.2.66"}
    inner = [
        IP(**ends) / UDP(sport=5000, dport=53) / query.to_wire(), IP(**back) / UDP(sport=53, dport=5000) / answer.to_wire(),
        IP(**ends) / TCP(sport=5000, dport=443, flags="S"), IP(**back) / TCP(sport=443, dport=5000, flags="SA"),
        IP(**ends, flags="MF") / UDP(sport=1, dport=2) / bytes(8), IP(**ends, frag=1, proto=17) / bytes(8),
        IP(src="10.8.6.4", dst="10.254.0.9") / ICMP(id=3), IPv6() / IPv6ExtHdrFragment(m=1) / TCP(flags="F"),
    ]  # fmt: skip
    outer = [IP(src="10.1.200.1", dst="10.1.200.11") / UDP(sport=40000, dport=6081) / (gwlb.header(id, 2, 3, 4) + bytes(packet))
             for packet in inner for id in (ENDPOINT, 7)]
    return [bytes(packet) for packet in (*inner, *outer)]


def pcap(frames: list[tuple[int, bytes]], order: str, nano: bool) -> bytes:
    """A pcap file of the first frame's link type."""
    head = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, frames[0][0])
    return head + b"".join(struct.pack(order + "IIII", n, n, len(data), len(data)) + data for n, (_, data) in enumerate(frames))


def pcapng(frames: list[tuple[int, bytes]], order: str, chance: random.Random) -> bytes:
    """A pcapng file: an interface a frame, some simple packets, some blocks that nobody knows."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + length + body + length

    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    for n, (link, data) in enumerate(frames):
        out += block(1, struct.pack(order + "HHIHHB3x", link, 0, 0, 9, 1, chance.randrange(256)))
        if n == 0 and chance.random() < 0.3:
            out += block(3, struct.pack(order + "I", len(data)) + data)
        out += block(6, struct.pack(order + "IIIII", n, 0, n, len(data), len(data)) + data)
        if chance.random() < 0.2:
            out += block(0xBAD, chance.randbytes(9))
    return out


def made(chance: random.Random, corpus: list[bytes]) -> bytes:
    """A whole capture file."""
    links = [chance.choice(list(LINKS))] * 6 if chance.random() < 0.5 else chance.choices(list(LINKS), k=6)
    frames = [(link, LINKS[link] + chance.choice(corpus)) for link in links]
    order = chance.choice("<>")
    return pcap(frames, order, chance.random() < 0.5) if chance.random() < 0.4 else pcapng(frames, order, chance)


def mutate(chance: random.Random, file: bytes) -> bytes:
    """Change a file in up to five places."""
    data = bytearray(file)
    for _ in range(chance.randrange(6)):
        at, kind = chance.randrange(len(data) + 1), chance.randrange(5)
        if kind <= 1 and data:
            data[at % len(data)] = chance.choice(INTERESTING) if kind else chance.randrange(256)
        elif kind == 2:
            del data[at:at + chance.randrange(8)]
        elif kind == 3:
            data[at:at] = data[chance.randrange(len(data) + 1):][:chance.randrange(60)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(6))
    return bytes(data)


def read(path: Path, data: bytes) -> list[Frame]:
    """The frames of a file, up to its damage if it is damaged."""
    path.write_bytes(data)
    frames: list[Frame] = []
    try:
        for frame in read_frames(path):
            frames.append(frame)
    except CaptureError as error:
        found = re.search(r"offset (\d+):", str(error))
        assert found is not None and int(found[1]) <= len(data), f"{error} in a file of {len(data)} bytes"
    return frames


def check(path: Path, data: bytes, cut: int) -> list[Frame]:
    """Hold the invariant for reading one file; return its frames.

    Raises:
        AssertionError: it does not hold.
    """
    frames = read(path, data)
    for frame in frames:
        assert frame.data in data and frame.time_ns >= 0 and frame.missing >= 0, f"{frame} is not in the file"
    first = read(path, data[:cut])
    assert first == frames[:len(first)], f"cut at {cut} the file begins with other frames"
    return frames


def check_replay(settings: ConnectorSettings, frames: list[Frame]) -> Summary:
    """Hold the invariant for the frames of some files, one after the other.

    Raises:
        AssertionError: it does not hold.
    """
    replay = Replay(settings)
    for frame in frames:
        replay.take(frame)
    flows, summary = replay.finish()
    dropped = sum(n for reason, n in summary.drops.items() if reason not in POLICY)
    aside = summary.not_ip + summary.outside + summary.echoes + summary.errors + sum(summary.link_types.values()) + dropped
    counted = sum(sum(flow.packets) for flow in flows)
    assert summary.frames == counted + aside == len(frames), f"{counted} packets and {aside} aside of {len(frames)}"
    return summary


def connector_settings(folder: Path) -> ConnectorSettings:
    """The documentation's example, with a small flow table."""
    path = folder / "zcc.yaml"
    path.write_text(CONNECTOR.replace("262144", "64"))
    settings = load(path, "connector")
    assert isinstance(settings, ConnectorSettings)
    return settings


def main() -> int:
    """Fuzz for a time; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, corpus, tried = random.Random(arguments.seed), packets(), 0
    with tempfile.TemporaryDirectory() as folder:
        settings, path = connector_settings(Path(folder)), Path(folder) / "capture"
        whole = check_replay(settings, [Frame(0, n, 101, True, data, 0) for n, data in enumerate(corpus)])
        third = len(corpus) // 3  # plain, from the known endpoint, from the unknown one
        fragments = sum(number for reason, number in whole.drops.items() if reason.startswith("fragment"))
        taken = whole.packets + fragments, whole.drops["gwlb_endpoint_unknown"]
        assert taken == (2 * third, third) and fragments < third, f"a weak corpus: {whole}"
        end = time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            files = [mutate(chance, made(chance, corpus)) for _ in range(FILES)]
            try:
                frames = [frame for data in files for frame in check(path, data, chance.randrange(len(data) + 1))]
                check_replay(settings, frames)
            except Exception as error:
                print(f"after {tried} files, {[data.hex() for data in files]}:\n{error!r}", file=sys.stderr)
                return 1
            tried += FILES
    print(f"{tried} files, seed {arguments.seed}: the invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
