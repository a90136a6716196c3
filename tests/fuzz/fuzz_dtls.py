"""Invariant: whatever datagrams arrive, in any order, the next genuine record opens, nothing opens twice, and no session ends
that its peer did not end; the edge's listener keeps nothing for who has not shown a cookie.

    python -m tests.fuzz.fuzz_dtls --seconds 60 --seed 1

Datagrams are genuine records and handshake flights with bytes changed, cut, repeated, joined or made up; the seed makes a run
repeatable. A failure prints the datagrams since the last good record in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from OpenSSL import SSL

from dtls_pair import contexts, pair
from fastpath.dtls import Session
from zcc.internet_edge.cookie import Cookies
from zcc.internet_edge.listener import Listener
from zcc.internet_edge.settings import LimitSettings
from zcc.itunnel import wire
from zcc.itunnel.handshake import Handshake
from zcc.pki.peer import Peer

TYPES = (20, 21, 22, 23, 24, 25, 0, 255)
STRANGER = (0x0A000002, 4444)


def changed(chance: random.Random, datagram: bytes) -> bytes:
    """Spoil a datagram in one of many ways."""
    spoiled = bytearray(datagram)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(spoiled)) if spoiled else 0
        match chance.randrange(6):
            case 0 if spoiled:
                spoiled[at] ^= 1 << chance.randrange(8)
            case 1:
                del spoiled[at:]
            case 2:
                spoiled[at:at] = chance.randbytes(chance.randint(1, 40))
            case 3 if len(spoiled) > 13:
                spoiled[11:13] = chance.randbytes(2)
            case 4 if spoiled:
                spoiled[0] = chance.choice(TYPES)
            case 5 if len(spoiled) > 4:
                spoiled[3:5] = chance.choice((b"\0\0", b"\0\1", b"\0\2", b"\xff\xff"))
    return bytes(spoiled)


class Sessions:
    """Two ends, and what has been said between them."""

    def __init__(self, folder: Path) -> None:
        self.ends = [Session(end) for end in pair(*contexts(folder))]
        self.opened: set[bytes] = set()
        self.said = 0

    def attack(self, chance: random.Random) -> list[bytes]:
        """Send nonsense one way, then a genuine record; return the nonsense if that record does not open."""
        sender, receiver = chance.sample(self.ends, 2)
        genuine = [self.seal(sender) for _ in range(chance.randint(1, 3))]
        nonsense = [changed(chance, chance.choice(genuine)[1]) for _ in range(chance.randint(0, 6))]
        nonsense += [chance.randbytes(chance.randint(0, 60)) for _ in range(chance.randint(0, 2))]
        if chance.random() < 0.2:
            nonsense.append(b"".join(chance.choice(genuine)[1] for _ in range(3)))
        for datagram in nonsense:
            plain = receiver.open(datagram)
            while plain is not None:
                if plain in self.opened or plain not in {text for text, _ in genuine}:
                    return nonsense
                self.opened.add(plain)
                plain = receiver.open(b"")
            receiver.pending()
        text, datagram = self.seal(sender)
        wanted = receiver.open(datagram) == text and receiver.open(datagram) is None
        return [] if wanted and not receiver.closed else [*nonsense, datagram]

    def seal(self, sender: Session) -> tuple[bytes, bytes]:
        """Seal a text never said before."""
        self.said += 1
        text = b"record %d" % self.said
        datagram = sender.seal(text)
        assert datagram is not None
        return text, datagram


class Strangers:
    """The listener, and flights to spoil."""

    def __init__(self, folder: Path) -> None:
        self.client, server = contexts(folder)
        peer = Peer("acme", "connector", "cc-1", 1)
        self.listener = Listener(server, lambda der: peer, LimitSettings(half_open=8, half_open_per_address=8), Cookies(0))

    def attack(self, chance: random.Random) -> list[bytes]:
        """Send spoiled hellos of a stranger; return them if the listener kept anything."""
        connection = SSL.Connection(self.client, None)
        connection.set_connect_state()
        hello = Handshake(connection).start()[0]
        spoiled = [changed(chance, hello) for _ in range(5)]
        for datagram in spoiled:
            if sum(map(len, self.listener.receive(STRANGER, datagram, 0))) > len(datagram) + 100:
                return spoiled
        return spoiled if len(self.listener) else []


def control(chance: random.Random) -> list[bytes]:
    """Decode spoiled control messages; return one that does not come back as it was read."""
    packet = changed(chance, wire.encode(wire.Probe(chance.getrandbits(64), chance.getrandbits(64))))
    message = wire.decode(packet)
    if message is None or isinstance(message, wire.Hello):
        return []
    return [] if wire.decode(wire.encode(message)) == message else [packet]


def main() -> int:
    """Attack until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, rounds = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        sessions, strangers = Sessions(Path(folder) / "sessions"), Strangers(Path(folder) / "strangers")
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            rounds += 1
            attack = (sessions.attack, sessions.attack, strangers.attack, control)[rounds % 4]
            failure = attack(chance)
            if failure:
                print(f"seed {options.seed}, round {rounds}:", *[datagram.hex() for datagram in failure], sep="\n")
                return 1
    print(f"{rounds} rounds, no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
