"""Floods against a running connector: what it does before, during and after one. Each prints its figures (pytest -s).

A flow that was answered keeps its place, health checks and DNS are answered, the internet tunnel stays up by its probes, and
memory stays as it was. Packets that the connector's interface has no room for are lost to all alike, so that much of the
established flow may be lost as the flood exceeds what this machine carries; none of it afterwards.
"""

import os
import random
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.packet import Raw

from flood_site import Flood, Seen, Site, geneve
from inner_packets import tcp, udp
from isolation import isolated

SECONDS, GROWTH_KIB = 1.5, 48 << 10
SIZE_SAYS_NOTHING = "libasan" in os.environ.get("LD_PRELOAD", "")      # it keeps freed memory back


def address(chance: random.Random) -> str:
    return f"10.{chance.randrange(9, 200)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


def syn(chance: random.Random) -> bytes:
    return geneve(tcp(address(chance), "10.8.7.9", chance.randrange(1024, 65536), 443))


def fragment(chance: random.Random) -> bytes:
    return geneve(bytes(IP(src=address(chance), dst="10.8.7.9", id=chance.randrange(65536), proto=17,
                           frag=chance.randrange(1, 900)) / Raw(bytes(64))))


def name(chance: random.Random) -> bytes:
    question = b"\x10" + b"%016x" % chance.getrandbits(64) + b"\x04sink\x07example\0\0\1\0\1"
    return geneve(udp("10.8.6.66", "10.8.0.2", chance.randrange(1024, 65536), 53,
                      chance.randbytes(2) + b"\1\0\0\1" + bytes(6) + question))


def malformed(chance: random.Random) -> bytes:
    frame = bytearray(syn(chance))
    at, value = chance.choice(((0, 0x4A), (0, 0x3F), (2, 0x12), (11, 0x1F), (12, 0x99), (40, 0x15), (42, 0xFF)))
    frame[at] = value
    return bytes(frame)


# Of the frame: 40 bytes of Geneve, then IPv4; 44 its identification, 53 of the source address, 60 the port, 81 of a label.
FLOODS = {"syn": Flood(syn, (53, 54, 55, 60, 61)), "fragment": Flood(fragment, (44, 45, 53, 54, 55)),
          "name": Flood(name, tuple(range(81, 97))), "malformed": Flood(malformed, (53, 54, 55, 60, 61))}


@pytest.mark.parametrize("kind", FLOODS)
@isolated
def test_a_flood_takes_nothing_that_was_there(kind: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.until_healthy()
        site.stretch(0.5)
        before = site.stretch(SECONDS)
        with site.flood(FLOODS[kind]) as sent:
            during = site.stretch(SECONDS)
        during.flooded = sent()
        site.stretch(0.5)
        after = site.stretch(SECONDS)
        events = site.tunnel_events()
    finally:
        site.close()
    for when, seen in (("before", before), ("during", during), ("after", after)):
        print(f"{kind:9} {when:6} {seen}")
    assert_as_before(before, during, after)
    assert events.count("DOWN") == 0 and events.count("UP") == 1, events


def assert_as_before(before: Seen, during: Seen, after: Seen) -> None:
    for calm in (before, after):
        assert calm.carried == calm.lively and calm.answered >= calm.asked      # late ones of the flood come too
    assert during.flooded > 10_000
    assert during.carried > 0.2 * during.lively and during.answered > 0.2 * during.asked
    assert len(during.healthy) >= 2
    assert SIZE_SAYS_NOTHING or after.kib - before.kib < GROWTH_KIB
