"""Invariant: on any bytes fastpath.dns returns what its reference returns; dnspython can read every answer.

    python tests/fuzz/fuzz_dns.py --seconds 60 --seed 1

Messages are real ones with bytes changed, cut, repeated or replaced by lengths and pointers; the seed makes a
run repeatable. A failure prints the message in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import dns.exception
import dns.message
import dns.rrset

sys.path.insert(0, str(Path(__file__).parents[1]))

from fastpath import dns as native
from model import dns as reference

INTERESTING = (0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xC0, 0xC0, 0x0C, 0xFF)
ANSWERS = (
    {"type": 1, "data": b"\x0a\xfe\x00\x07", "ttl": 60},
    {"type": 28, "data": bytes(16), "ttl": 0},
    {"ttl": 30, "extended_error": 4, "text": "A only"},
    {"rcode": 3, "ttl": 30},
    {"rcode": 16},
    {"type": 16, "data": bytes(600)},
)


def seeds() -> list[bytes]:
    """Messages to start from: a query of each shape, and answers with aliases."""
    queries = [dns.message.make_query(name, kind, use_edns=edns)
               for name in ("portal.corp.example.", ".", "a." * 100, "x" * 63 + ".")
               for kind in ("A", "AAAA", "HTTPS", "PTR") for edns in (False, 0)]
    answer = dns.message.make_response(queries[0])
    answer.answer = [
        dns.rrset.from_text("portal.corp.example.", 9, "IN", "CNAME", "a.cdn.example."),
        dns.rrset.from_text("a.cdn.example.", 8, "IN", "CNAME", "b.cdn.example."),
        dns.rrset.from_text("b.cdn.example.", 7, "IN", "A", "192.0.2.1", "192.0.2.2"),
        dns.rrset.from_text("b.cdn.example.", 7, "IN", "AAAA", "2001:db8::1"),
    ]
    return [message.to_wire() for message in (*queries, answer)] + [answer.to_wire()] * len(queries)


def mutate(chance: random.Random, message: bytes) -> bytes:
    """Change a message in up to six places."""
    data = bytearray(message)
    for _ in range(chance.randrange(7)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and data:
            data[at % len(data)] = chance.choice(INTERESTING)
        elif kind == 1 and data:
            data[at % len(data)] = chance.randrange(256)
        elif kind == 2:
            del data[at:at + chance.randrange(8)]
        elif kind == 3:
            data[at:at] = data[chance.randrange(len(data) + 1):][:chance.randrange(40)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(12))
    return bytes(data)


def check(message: bytes) -> None:
    """Hold the invariant for one message.

    Raises:
        AssertionError: it does not hold.
    """
    for call in ("read_query", "read_addresses"):
        mine, theirs = getattr(native, call)(message), getattr(reference, call)(message)
        assert mine == theirs, f"{call}: {mine} instead of {theirs}"
    for arguments in ANSWERS:
        built = native.build_answer(message, **arguments)
        expected = reference.build_answer(message, **arguments)
        assert built == expected, f"build_answer {arguments}: {built.hex()} instead of {expected.hex()}"
        if len(built) > reference.HEADER:
            try:
                dns.message.from_wire(built)
            except dns.exception.DNSException as error:
                raise AssertionError(f"dnspython refuses the answer {built.hex()}: {error!r}") from None


def main() -> int:
    """Fuzz for a time; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, corpus, tried = random.Random(arguments.seed), seeds(), 0
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        message = mutate(chance, chance.choice(corpus))
        try:
            check(message)
        except Exception as error:
            print(f"after {tried} messages, {message.hex()}:\n{error!r}", file=sys.stderr)
            return 1
        tried += 1
    print(f"{tried} messages, seed {arguments.seed}: the invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
