"""Queries about names that the connector answers itself: every type and flag that clients send, and what they should not."""

from __future__ import annotations

import random
from collections.abc import Iterator

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rdataclass
import dns.rdatatype

__all__ = ["ADDRESS", "NAME", "corpus", "mutations"]

NAME, ADDRESS = "portal.corp.example", "10.254.0.7"
TYPES = ("A", "AAAA", "CNAME", "MX", "TXT", "SOA", "NS", "SRV", "PTR", "CAA", "HTTPS", "SVCB", "DS", "DNSKEY", "NAPTR", "TLSA",
         "ANY", "AXFR", "IXFR", "TYPE65280", "NULL", "RRSIG", "NSEC", "SSHFP", "LOC")  # fmt: skip
ID = 4711


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield (label, query)."""
    for kind in TYPES:
        yield f"type {kind}", query(rdtype=kind)
    yield from _flags()
    yield from _edns()
    yield "case", query("PoRTal.cORP.example")
    yield "class CH", query(rdclass="CH")
    yield "class ANY", query(rdclass="ANY")
    yield "service name", query(f"_443._tcp.{NAME}")
    yield "service name HTTPS", query(f"_8443._https.{NAME}", "HTTPS")
    yield "service name SRV", query(f"_ldap._tcp.{NAME}", "SRV")
    yield "reverse PTR", query("7.0.254.10.in-addr.arpa", "PTR")
    yield "reverse A", query("7.0.254.10.in-addr.arpa", "A")
    yield "reverse unused PTR", query("9.0.254.10.in-addr.arpa", "PTR")
    yield from _broken()


def query(name: str = NAME, rdtype: str = "A", rdclass: str = "IN", **more) -> bytes:
    """Make a query; EDNS 0 unless said otherwise."""
    return dns.message.make_query(name, rdtype, rdclass, id=ID, **{"use_edns": 0, **more}).to_wire()


def _flags() -> Iterator[tuple[str, bytes]]:
    for label, flags in (("none", 0), ("RD", 0x0100), ("CD", 0x0010), ("AD", 0x0020), ("RD CD AD", 0x0130), ("AA", 0x0400),
                         ("TC", 0x0200), ("RA", 0x0080), ("Z", 0x0040)):  # fmt: skip
        yield f"flags {label}", query(flags=flags)


def _edns() -> Iterator[tuple[str, bytes]]:
    yield "no EDNS", query(use_edns=None)
    yield "no EDNS AAAA", query(rdtype="AAAA", use_edns=None)
    yield "EDNS 1", query(use_edns=1)
    yield "DO", query(want_dnssec=True)
    for payload in (0, 511, 512, 4096, 65_535):
        yield f"payload {payload}", query(payload=payload)
    options = {
        "cookie": dns.edns.CookieOption(b"12345678", b""), "subnet": dns.edns.ECSOption("10.8.6.0", 24),
        "NSID": dns.edns.GenericOption(3, b""), "padding": dns.edns.GenericOption(12, b"\0" * 8),
        "unknown option": dns.edns.GenericOption(65_001, b"x"),
    }  # fmt: skip
    for label, option in options.items():
        yield label, query(options=[option])


def _broken() -> Iterator[tuple[str, bytes]]:
    good = query()
    plain = query(use_edns=None)
    yield "two questions", plain[:4] + b"\0\2" + plain[6:] + plain[12:]
    yield "no question", plain[:4] + b"\0\0" + plain[6:12]
    yield "cut in the name", plain[:20]
    yield "cut behind the name", plain[:-3]
    yield "trailing bytes", plain + b"rest"
    yield "EDNS twice", good[:10] + b"\0\2" + good[12:] + good[len(plain) :]
    yield "EDNS cut", good[:-2]
    yield "an answer inside", plain[:6] + b"\0\1" + plain[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4"
    yield "response", bytes([plain[0], plain[1], plain[2] | 0x80]) + plain[3:]
    for opcode in ("STATUS", "NOTIFY", "UPDATE"):
        bits = int(dns.opcode.from_text(opcode)) << 3
        yield f"opcode {opcode}", plain[:2] + bytes([plain[2] & 0x87 | bits]) + plain[3:]
    yield "header only", plain[:12]
    yield "short", plain[:11]
    yield "compression loop", plain[:12] + b"\xc0\x0c\0\1\0\1"
    yield "long label", plain[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1"


def mutations(number: int, seed: int) -> Iterator[bytes]:
    """Yield queries of the corpus with one to three octets changed, cut or added; the same for the same seed."""
    chance = random.Random(seed)
    seeds = [wire for _, wire in corpus()]
    for _ in range(number):
        wire = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(wire))
            if chance.random() < 0.8:
                wire[at] = chance.randrange(256)
            elif chance.random() < 0.5:
                del wire[at:]
                wire = wire or bytearray(1)
            else:
                wire.insert(at, chance.randrange(256))
        yield bytes(wire)
