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

__all__ = ["ADDRESS", "NAME", "TYPES", "corpus", "mutations", "query"]

NAME, ADDRESS = "portal.corp.example", "10.254.0.7"
TYPES = ("A", "AAAA", "CNAME", "MX", "TXT", "SOA", "NS", "SRV", "PTR", "CAA", "HTTPS", "SVCB", "DS", "DNSKEY", "NAPTR", "TLSA",
         "ANY", "AXFR", "IXFR", "TYPE65280", "NULL", "RRSIG", "NSEC", "SSHFP", "LOC", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY",
         "DNAME", "HINFO", "RP", "AFSDB", "SPF", "URI", "OPENPGPKEY", "SMIMEA", "CERT", "KX", "APL", "DHCID", "IPSECKEY", "HIP",
         "CSYNC", "ZONEMD", "EUI48", "L32", "WKS", "MAILA", "MAILB", "OPT", "TSIG", "TKEY", "NONE", "TYPE65535")  # fmt: skip
SIGNED = ("A", "DS", "DNSKEY", "NSEC", "NSEC3", "RRSIG", "SOA", "ANY", "TYPE65280")
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
    yield from _odd()


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


def _odd() -> Iterator[tuple[str, bytes]]:
    """What no stub sends, and what only some do."""
    for kind in SIGNED:
        yield f"DO type {kind}", query(rdtype=kind, want_dnssec=True)
    for name in ("version.bind", "hostname.bind", "id.server"):
        yield f"class CH {name}", query(name, "TXT", "CH")
    for rdclass in ("HS", "NONE", "CLASS65280"):
        yield f"class {rdclass}", query(rdclass=rdclass)
    plain = query(use_edns=None)
    for opcode in (1, 3, 6, 7, 15):
        yield f"opcode {opcode}", plain[:2] + bytes([opcode << 3 | 1]) + plain[3:]
    for version in (2, 127, 255):
        yield f"EDNS {version}", plain[:10] + b"\0\1" + plain[12:] + _opt(version=version)
    cookies = {"with a server's part": b"c" * 8 + b"s" * 16, "too short": b"c" * 4, "too long": b"c" * 41}
    for label, data in cookies.items():
        yield f"cookie {label}", plain[:10] + b"\0\1" + plain[12:] + _opt((10, data))
    yield "keepalive", plain[:10] + b"\0\1" + plain[12:] + _opt((11, b""))
    every = ((code, b"x" * code) for code in range(1, 20) if code != 10)
    yield "every option", plain[:10] + b"\0\1" + plain[12:] + _opt(*every)
    yield "padding to 468", plain[:10] + b"\0\1" + plain[12:] + _opt((12, b"\0" * (468 - len(plain) - 15)))
    yield "option cut", plain[:10] + b"\0\1" + plain[12:] + _opt()[:-2] + b"\0\4\0\3\0\x09"
    yield "option beyond", plain[:10] + b"\0\1" + plain[12:] + _opt()[:-2] + b"\0\4\0\3\0\x0b"
    yield "OPT of a name", plain[:10] + b"\0\1" + plain[12:] + b"\xc0\x0c" + _opt()[1:]
    yield "OPT among answers", plain[:6] + b"\0\1" + plain[8:] + _opt()
    yield "OPT among authorities", plain[:8] + b"\0\1" + plain[10:] + _opt()
    yield "EDNS flags beside DO", plain[:10] + b"\0\1" + plain[12:] + _opt(flags=0x7FFF)
    yield from _pointed(plain)


def _opt(*options: tuple[int, bytes], version: int = 0, flags: int = 0) -> bytes:
    data = b"".join(code.to_bytes(2) + len(value).to_bytes(2) + value for code, value in options)
    return b"\0\0\x29\x04\xd0\0" + bytes([version]) + flags.to_bytes(2) + len(data).to_bytes(2) + data


def _pointed(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """Names that are not spelled out, or not names."""
    end = b"\0\1\0\1"
    yield "pointer forward", plain[:12] + b"\xc0\x20" + end + b"\0" * 8 + b"\3www\0"
    yield "pointer into the header", plain[:12] + b"\xc0\x02" + end
    yield "pointer to itself", plain[:12] + b"\3www\xc0\x0c" + end
    yield "pointer beyond", plain[:12] + b"\xff\xff" + end
    yield "label type 01", plain[:12] + b"\x41\0" + end
    yield "label type 10", plain[:12] + b"\x80\0" + end
    yield "no end of the name", plain[:12] + b"\3www"
    yield "name of 256 octets", plain[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0" + end
    yield "128 labels", plain[:12] + b"\1a" * 128 + b"\0" + end
    yield "counts that lie", plain[:6] + b"\xff\xff\xff\xff\xff\xff" + plain[12:]
    yield "no class", plain[:-2]
    yield "65,535 questions", plain[:4] + b"\xff\xff" + plain[6:]
    yield "two different questions", plain[:4] + b"\0\2" + plain[6:] + b"\3www\7example\0" + end


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
