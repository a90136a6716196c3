"""TunnelWatch: how much a client's queries below one domain look like data in disguise.

Journey: every query that crosses is seen here first; rules of the DNS policy may ask for the score, and the log shows it. A
tunnel over DNS must put its bytes into names that nobody asks twice: long, of many different characters, and many of them.
One such sign alone is common (content networks, reputation services); the score asks for all three:

    length    of what stands before the registered domain          20 → 0, 80 or more → 1
    entropy   of its characters, in bits                             3 → 0, 4 or more → 1
    rate      of names not seen before, in a minute                 10 → 0, 300 or more → 1, by the logarithm

    score = 100 · cube root of their product; each counts over the last minutes, older queries ever less

The registered domain is guessed: the last two labels, or three where the last but one is a short word below a country. One
thread; time is an argument. Bounded: pairs of client and domain that were quiet longest are forgotten first. Pure.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

__all__ = ["TunnelWatch", "registered_domain"]

PAIRS_LIMIT = 16_384
RECENT_LIMIT = 512  # names of one pair by their hash, to tell new ones
HALF_LIFE_S = 60.0
LENGTH, ENTROPY, RATE = (20.0, 80.0), (3.0, 4.0), (10.0, 300.0)
COUNTRY_LETTERS, WORD_LETTERS = 2, 3


@dataclass(slots=True)
class _Pair:
    at: float
    queries: float = 0.0  # all three fade together
    length: float = 0.0
    entropy: float = 0.0
    fresh: float = 0.0
    recent: OrderedDict[int, None] = field(default_factory=OrderedDict)


class TunnelWatch:
    """Scores by client and registered domain."""

    def __init__(self, limit: int = PAIRS_LIMIT) -> None:
        """Begin with nothing seen.

        Args:
            limit: pairs that are remembered.
        """
        self._limit = limit
        self._pairs: OrderedDict[Hashable, _Pair] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pairs)

    def score(self, client: Hashable, name: str, now: float) -> int:
        """Count a query in and return the score of its client and domain, 0 … 100.

        Args:
            client: who asks; namespace and address, say.
            name: lower case, no final dot.
            now: seconds, of any clock that never goes back.
        """
        domain = registered_domain(name)
        below = name[: -len(domain) - 1] if len(name) > len(domain) else ""
        if not below:
            return 0
        pair = self._pairs.pop((client, domain), None) or _Pair(now)
        self._pairs[client, domain] = pair
        if len(self._pairs) > self._limit:
            self._pairs.popitem(last=False)
        _count(pair, below.replace(".", ""), now)
        signs = (
            _between(pair.length / pair.queries, *LENGTH),
            _between(pair.entropy / pair.queries, *ENTROPY),
            # What fades by half in a minute sums up to 1/ln 2 minutes of a steady rate.
            _between(math.log(max(1.0, pair.fresh * math.log(2))), *map(math.log, RATE)),
        )
        return round(100 * math.prod(signs) ** (1 / 3))


def _count(pair: _Pair, text: str, now: float) -> None:
    faded = 0.5 ** ((now - pair.at) / HALF_LIFE_S)
    pair.at = now
    mark = hash(text)
    is_new = mark not in pair.recent
    pair.recent[mark] = None
    pair.recent.move_to_end(mark)
    if len(pair.recent) > RECENT_LIMIT:
        pair.recent.popitem(last=False)
    pair.queries = pair.queries * faded + 1
    pair.length = pair.length * faded + len(text)
    pair.entropy = pair.entropy * faded + _entropy(text)
    pair.fresh = pair.fresh * faded + is_new


def _entropy(text: str) -> float:
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def registered_domain(name: str) -> str:
    """Guess the part of a name that somebody registered: example.com, example.co.uk."""
    labels = name.split(".")
    short = len(labels) > 2 and len(labels[-1]) == COUNTRY_LETTERS and len(labels[-2]) <= WORD_LETTERS
    return ".".join(labels[-3:] if short else labels[-2:])
