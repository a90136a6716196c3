"""How large may a datagram be on this path? Probes of known sizes out, answers in; time is an argument, there is no socket.

    BASE ──answered──▶ SEARCH ──nothing left between what passed and what did not──▶ COMPLETE
      │ not                ▲                                                           │ the size is lost, a base one is not:
      ▼                    └──────────────────────── raise timer ──────────────────────┤ black hole, down to what passes
    ERROR: sizes below the base                                                        └──▶ SEARCH

Datagram packetization layer path MTU discovery: what ICMP says is not needed, so neither a router that drops in silence nor one
that lies does harm. Unlike the RFC's example a round tries several sizes at once, spread over what is not known yet, each up to
TRIES times before it counts as too large: a few rounds instead of a dozen. Its timer follows the round trip, since the peer
answers at once. Sizes are those of the datagram (UDP's payload). One object a direction of a session; one thread.
Source: RFC 8899 §5 (states, timers, §5.3.3 raising, §4.3 black holes); RFC 4821 §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from zcc.itunnel.wire import SizeAnswer, SizeProbe

__all__ = ["BASE_BYTES", "CONFIRM_NS", "FAN", "TRIES", "PathMtu", "Phase", "datagram_in", "datagram_of", "inner_mtu",
           "outer_mtu", "plain_bytes"]

RECORD_BYTES = 37            # header 13, nonce 8, tag 16: RFC 6347 §4.1, RFC 5288 §3
GENEVE_BYTES = 28            # base header, location, flow hash (design §3)
IP_UDP_BYTES = {4: 28, 6: 48}
BASE_BYTES = {4: 1200, 6: 1232}        # RFC 8899 §5.1.2; RFC 8200 §5 less the headers
LEAST_BYTES = {4: 548, 6: 1232}        # a 576-byte packet, RFC 791 §3.1
# Payloads of packets that links are known to have: Ethernet, PPPoE, tunnels in it, RFC 8200's least.
USUAL_PACKETS = (1280, 1400, 1420, 1450, 1480, 1492, 1500)

FAN = 8                      # sizes a round
REMEMBERED = 64              # probes that may still be answered
TRIES = 3                    # MAX_PROBES of RFC 8899 §5.1.2
TIMER_NS = 500_000_000       # before a round trip is known
TIMER_LIMITS_NS = (100_000_000, 1_000_000_000)
CONFIRM_NS = 2_000_000_000   # between two looks at whether the size found still passes
RAISE_NS = 600_000_000_000   # PMTU_RAISE_TIMER, RFC 8899 §5.1.1
AGAIN_NS = 30_000_000_000    # after an error


def plain_bytes(size: int) -> int:
    """Return how many plain bytes a record in a datagram of this size holds."""
    return size - RECORD_BYTES


def inner_mtu(size: int) -> int:
    """Return the largest inner packet in a datagram of this size."""
    return plain_bytes(size) - GENEVE_BYTES


def datagram_of(inner: int) -> int:
    """Return the datagram that an inner packet of this size needs."""
    return inner + GENEVE_BYTES + RECORD_BYTES


def datagram_in(packet: int, version: int) -> int:
    """Return the largest datagram in an IP packet of this size; never less than may be searched."""
    return max(packet - IP_UDP_BYTES[version], LEAST_BYTES[version])


def outer_mtu(size: int, version: int) -> int:
    """Return the IP packet of a datagram of this size: the path MTU as people know it."""
    return size + IP_UDP_BYTES[version]


class Phase(Enum):
    """Where the search is; names of RFC 8899 §5.2."""

    BASE = "base"
    SEARCH = "search"
    COMPLETE = "complete"
    ERROR = "error"


class PathMtu:
    """Searches one path."""

    def __init__(self, version: int, ceiling: int, now_ns: int, former: PathMtu | None = None) -> None:
        """Start with the base size, its probe due at once; or go on where a former search of the same path is.

        Args:
            version: of IP outside, 4 or 6.
            ceiling: largest datagram that is of use: what the interface and the inner MTU allow.
            now_ns: monotonic.
            former: of the session that this one follows; what it found is only looked at again, what it was about to find is
                searched from there, and its raise timer runs on. None = nothing is known.
        Raises:
            ValueError: version is neither, or the ceiling is below the least size.
        """
        if version not in BASE_BYTES:
            raise ValueError(f"version must be 4 or 6, not {version}")
        if ceiling < LEAST_BYTES[version]:
            raise ValueError(f"ceiling must be at least {LEAST_BYTES[version]}, not {ceiling}")
        self.ceiling, self._base = ceiling, min(BASE_BYTES[version], ceiling)
        self._least = min(LEAST_BYTES[version], self._base)
        self._usual = tuple(packet - IP_UDP_BYTES[version] for packet in USUAL_PACKETS)
        self._low, self._high = 0, ceiling + 1      # largest that passed, smallest that did not
        self._number = 0
        self._open: dict[int, tuple[int, int]] = {}      # number → size, time sent; the newest
        self.timer_ns = TIMER_NS
        self.black_holes = 0
        self.sent = 0
        self._waiting: set[int] = set()      # sizes of the round that nobody has answered for
        self._tries, self._smaller, self._next_ns = 0, 0, now_ns      # _smaller: what passed beside the size looked at
        self._raise_ns = now_ns + RAISE_NS
        if former is not None and 0 < former._low <= ceiling:
            self._follow(former, now_ns)
        else:
            self._begin(now_ns)

    def _follow(self, former: PathMtu, now_ns: int) -> None:
        """Take over what a search of the same path knows; where it is over, look again at what it found."""
        self._low = former._low
        self._high = former._high if former.ceiling == self.ceiling else self.ceiling + 1
        self._search(now_ns)
        if self.phase is Phase.COMPLETE:
            self._raise_ns = former._raise_ns
            self._start([self._low], now_ns)

    def _begin(self, from_ns: int) -> None:
        """Know nothing; the base and what may lie above it are tried at once."""
        self.phase = Phase.BASE
        self._low, self._high = 0, self.ceiling + 1
        usual = [size for size in self._usual if self._base < size < self.ceiling]
        self._start([self._base, *usual, self.ceiling], from_ns)

    @property
    def size(self) -> int:
        """The largest datagram that may be sent."""
        return self._low or self._base

    @property
    def next_ns(self) -> int:
        """When probes() has something to do."""
        return self._next_ns

    def probes(self, now_ns: int) -> Sequence[SizeProbe]:
        """Return what is to be sent now."""
        if now_ns < self._next_ns:
            return ()
        if not self._waiting or self._tries >= TRIES:
            self._conclude(now_ns)
        if now_ns < self._next_ns:
            return ()
        self._tries += 1
        self._next_ns = now_ns + self.timer_ns
        # Whether a size is lost or everything is, only smaller ones can tell; the base may be lost with it.
        beside = {self._base, self._least} if self.phase is Phase.COMPLETE and self._tries > 1 else set()
        beside = {size for size in beside if self._smaller < size < self._low}
        return [self._probe(size, now_ns) for size in sorted(self._waiting | beside)]

    def answer(self, message: SizeAnswer, now_ns: int) -> bool:
        """Take an answer; return whether the size has changed by it."""
        before = self.size
        size, sent_ns = self._open.pop(message.number, (0, 0))
        if size == 0 or plain_bytes(size) != message.size:
            return False
        self._measure(now_ns - sent_ns)
        if self.phase is Phase.COMPLETE and size < self._low:
            self._smaller = max(self._smaller, size)
            return False
        if size >= self._high:               # it came after all, when its round was over: nothing is known above it
            self._high = self.ceiling + 1
            self.phase = Phase.SEARCH
        self._low = max(self._low, size)
        self._waiting = {waiting for waiting in self._waiting if waiting > size}
        if not self._waiting and self.phase is not Phase.COMPLETE:
            self._next_ns = now_ns
        return self.size != before

    # ---- rounds ----

    def _start(self, sizes: Sequence[int], now_ns: int) -> None:
        self._waiting, self._tries, self._smaller = set(sizes), 0, 0
        self._next_ns = now_ns

    def _rest(self, until_ns: int) -> None:
        self._start([], until_ns)

    def _probe(self, size: int, now_ns: int) -> SizeProbe:
        self._number = (self._number + 1) & 0xFFFF_FFFF
        self._open[self._number] = size, now_ns
        if len(self._open) > REMEMBERED:
            del self._open[next(iter(self._open))]
        self.sent += 1
        return SizeProbe(self._number, plain_bytes(size))

    def _conclude(self, now_ns: int) -> None:
        """A round is over: begin the next one, or rest."""
        if self.phase is Phase.COMPLETE:
            self._confirmed(now_ns)
            return
        if self.phase is Phase.ERROR and self._low == 0:
            self._begin(now_ns + AGAIN_NS)          # nothing has passed: perhaps nobody was there to answer
            return
        if self._low == 0:
            self.phase, self._high = Phase.ERROR, self._base
            self._start([self._least, *self._between(self._least, self._base)], now_ns)
            return
        if self._waiting:
            self._high = min(self._high, *self._waiting)
        elif self.phase is Phase.ERROR:
            self._high = self.ceiling + 1           # all below the base passes: it may have been lost by chance
        self._search(now_ns)

    def _search(self, now_ns: int) -> None:
        if self._high - self._low > 1:
            self.phase = Phase.SEARCH
            self._start(self._between(self._low, self._high), now_ns)
            return
        self.phase = Phase.COMPLETE
        self._raise_ns = now_ns + RAISE_NS
        self._rest(now_ns + CONFIRM_NS)

    def _confirmed(self, now_ns: int) -> None:
        """The size found was looked at again, or is to be."""
        if self._waiting and self._smaller:
            self.black_holes += 1
            self._open.clear()               # what passed before says nothing now
            self._low, self._high = self._smaller, self._low
            self._search(now_ns)
        elif self._tries:
            self._rest(now_ns + CONFIRM_NS)
        elif now_ns >= self._raise_ns and self._low < self.ceiling:
            self._high = self.ceiling + 1
            self._search(now_ns)
        else:
            self._start([self._low], now_ns)

    def _between(self, low: int, high: int) -> list[int]:
        """Return up to FAN sizes above low and below high."""
        sizes = {low + (high - low) * part // (FAN + 1) for part in range(1, FAN + 1)}
        if high == self.ceiling + 1:
            sizes.add(self.ceiling)
        return [size for size in sizes if low < size < high]

    def _measure(self, round_trip_ns: int) -> None:
        least, most = TIMER_LIMITS_NS
        self.timer_ns = min(max(4 * round_trip_ns, least, self.timer_ns // 2), most)
