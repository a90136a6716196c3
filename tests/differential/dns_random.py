"""Queries made by chance: every field of a message that a client may set, well or badly, alone and together.

Each comes with its traits, words such as `type=TXT` or `trailing`, by which dns_differences tells which differences are meant.
The same seed makes the same messages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import dns.edns
import dns.rdatatype
from tests.differential.dns_corpus import NAME

__all__ = ["randoms"]

Traits = dict[str, str]
TYPES = (*range(1, 261), 32_768, 32_769, 65_280, 65_535, 0)
OTHERS = ("www.zone.example", "zone.example", "none.zone.example", "big.zone.example", "a.wild.zone.example",
          "alias.zone.example", "loop.zone.example", "x.moved.zone.example", "none.example")  # fmt: skip
REVERSES = ("7.0.254.10.in-addr.arpa", "9.0.254.10.in-addr.arpa")
ODD = ("any-octets", "254", "255", "256", "root", "127-labels", "below", "above", "with-dot", "63", "pointer")
SPOILED = ("trailing", "two-questions", "no-question", "count", "answer", "authority", "additional", "edns-twice")
OPTIONS: dict[str, Callable[[random.Random], tuple[int, bytes]]] = {
    "cookie": lambda chance: (10, chance.randbytes(8)),
    "server-cookie": lambda chance: (10, chance.randbytes(chance.choice([16, 24, 40]))),
    "wrong-cookie": lambda chance: (10, chance.randbytes(chance.choice([0, 1, 7, 9, 15, 41]))),
    "NSID": lambda chance: (3, b""),
    "subnet": lambda chance: (8, b"\0\1\x18\0" + chance.randbytes(3)),
    "wrong-subnet": lambda chance: (8, chance.choice([b"", b"\0\1\x21\0" + bytes(5), b"\0\3\x18\0abc", b"\0\1\x18\0ab"])),
    "padding": lambda chance: (12, bytes(chance.randrange(300))),
    "keepalive": lambda chance: (11, b""),
    "unknown-option": lambda chance: (chance.randrange(100, 65_535), chance.randbytes(chance.randrange(20))),
}


def randoms(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (traits, message)."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _one(chance)


def _one(chance: random.Random) -> tuple[str, bytes]:
    traits: Traits = {}
    spelled = _name(chance, traits)
    kind = dns.rdatatype.RdataType.make(chance.choice(TYPES) if chance.random() < 0.7 else 1)
    klass = chance.choice([3, 4, 254, 255, 0, 65_280]) if chance.random() < 0.08 else 1
    question = spelled + int(kind).to_bytes(2) + klass.to_bytes(2)
    traits |= {"asks": _asks(kind), "type": dns.rdatatype.to_text(kind), "class": {1: "IN", 255: "ANY"}.get(klass, "other")}
    flags = _flags(chance, traits)
    edns = _edns(chance, traits) if chance.random() < 0.7 else b""
    counts = [1, 0, 0, int(bool(edns))]
    body = question + edns
    if chance.random() < 0.15:
        counts, body = _spoiled(chance, traits, counts, question, edns)
    message = chance.randbytes(2) + flags.to_bytes(2) + b"".join(count.to_bytes(2) for count in counts) + body
    if chance.random() < 0.03:
        message, traits["cut"] = message[: chance.randrange(12, len(message) + 1)], ""
    return " ".join(f"{word}={value}" if value else word for word, value in sorted(traits.items())) + " ", message


def _asks(kind: int) -> str:
    """What a type is: the one that we have, one of a record, or of the range of those that ask for none (RFC 6895 §3.1)."""
    if kind in (251, 252):
        return "transfer"
    return "A" if kind == 1 else "meta" if kind == 41 or 128 <= kind <= 254 else "other"


def _name(chance: random.Random, traits: Traits) -> bytes:
    kind = chance.choices(["owned", "other", "service", "reverse", "odd"], [60, 20, 8, 6, 6])[0]
    traits["name"] = kind
    if kind == "owned":
        name = NAME
    elif kind == "other":
        name = chance.choice(OTHERS)
        traits["name"] = name
    elif kind == "service":
        name = "".join(f"_{chance.choice(['tcp', '443', 'x', 'https'])}." for _ in range(chance.randint(1, 3))) + NAME
    elif kind == "reverse":
        name = chance.choice(REVERSES)
        traits["name"] = f"reverse-{name[0]}"
    else:
        return _odd_name(chance, traits)
    labels = [_case(chance, label).encode() for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _odd_name(chance: random.Random, traits: Traits) -> bytes:
    """Names at the bounds, of any octets, and those that look like the owned one."""
    last = b"\6portal\4corp\7example\0"
    kind = chance.choice(ODD)
    traits["odd"] = kind
    room = {"254": 254, "255": 255, "256": 256}.get(kind)
    if room is not None:
        labels, left = b"", room - len(last)
        while left > 1:
            size = min(63, left - 1) if left - 1 != 64 else 62
            labels, left = labels + bytes([size]) + b"a" * size, left - 1 - size
        return labels + last
    made = {
        "any-octets": bytes([5]) + chance.randbytes(5) + last, "root": b"\0", "127-labels": b"\1a" * 127 + b"\0",
        "below": b"\1x" + last, "above": last[7:], "with-dot": b"\x0bportal.corp\7example\0", "63": b"\x3f" + b"b" * 63 + last,
        "pointer": b"\6portal\xc0\x0c",
    }  # fmt: skip
    return made[kind]


def _case(chance: random.Random, label: str) -> str:
    return "".join(chance.choice([letter, letter.upper()]) for letter in label)


def _flags(chance: random.Random, traits: Traits) -> int:
    flags = 0x0100 if chance.random() < 0.8 else 0
    for word, bit, share in (("AD", 0x20, 0.2), ("CD", 0x10, 0.2), ("AA", 0x400, 0.03), ("TC", 0x200, 0.03), ("RA", 0x80, 0.05),
                             ("Z", 0x40, 0.05), ("QR", 0x8000, 0.03)):  # fmt: skip
        if chance.random() < share:
            flags |= bit
            traits[word] = ""
    if chance.random() < 0.05:
        opcode = chance.randrange(1, 16)
        flags |= opcode << 11
        traits["opcode"] = str(opcode)
    if chance.random() < 0.03:
        flags |= chance.randrange(1, 16)
        traits["rcode"] = ""
    return flags


def _edns(chance: random.Random, traits: Traits) -> bytes:
    version = chance.choice([1, 2, 255]) if chance.random() < 0.06 else 0
    payload = chance.choice([0, 12, 511, 512, 513, 1232, 1400, 4096, 65_535])
    flags = 0x8000 if chance.random() < 0.4 else 0
    if chance.random() < 0.05:
        flags |= chance.randrange(1, 0x8000)
    traits["edns"] = str(version)
    data = b""
    for word in chance.sample([*OPTIONS], chance.choice([0, 0, 1, 1, 2, 3])):
        code, value = OPTIONS[word](chance)
        traits[word] = ""
        data += code.to_bytes(2) + len(value).to_bytes(2) + value
    return b"\0\0\x29" + payload.to_bytes(2) + b"\0" + bytes([version]) + flags.to_bytes(2) + len(data).to_bytes(2) + data


def _spoiled(
    chance: random.Random, traits: Traits, counts: list[int], question: bytes, edns: bytes
) -> tuple[list[int], bytes]:  # fmt: skip
    """Counts and records as no client should send them."""
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4"
    kind = chance.choice(SPOILED)
    traits[kind] = ""
    if kind == "trailing":
        return counts, question + edns + chance.randbytes(chance.randint(1, 40))
    if kind == "two-questions":
        return [2, *counts[1:]], question + question + edns
    if kind == "no-question":
        return [0, *counts[1:]], edns
    if kind == "count":
        place = chance.randrange(4)
        counts[place] += chance.choice([1, 2, 65_535 - counts[place]])
        traits[kind] = "question" if place == 0 else "records"
        return counts, question + edns
    if kind == "edns-twice":
        return [1, 0, 0, 2], question + (edns or b"\0\0\x29\4\xd0\0\0\0\0\0\0") * 2
    place = ("answer", "authority", "additional").index(kind) + 1
    counts[place] += 1
    return counts, question + (record + edns if kind != "additional" else edns + record)
