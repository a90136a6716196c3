"""Hearsay: the names that flows say of an address, here and at the other connectors of the group.

    a flow says a name of an address ───────┐     ┌─ one, that rules speak of ─▶ new flows to the address, for a time
    a connector of the group heard of one ──┴─▶───┴─ two or more ─▶ none of them

Journey: `naming` and `claims` → here → the data plane; and `claims` again, that the group hears of it. A client may say any
name. So a name by DNS stands above these, and an address of which several are said has none: who said what first does not
matter, nor at which connector. Bounded: ADDRESSES_LIMIT addresses of two names; the group is told of an address once in TELL_S,
and once more when it loses its name. One thread, the event loop's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from zcc.clock import NS_PER_S, Clock

__all__ = ["ADDRESS_S", "Claim", "Hearsay", "Taught", "nobody"]

ADDRESSES_LIMIT = 65_536
ADDRESS_S = 600  # for which an address has the name that flows say; every such flow begins it anew
TELL_S = ADDRESS_S / 2

Address = IPv4Address | IPv6Address


class Claim(NamedTuple):
    """What a flow has said of its destination."""

    namespace: int
    address: Address
    name: str
    naming: int  # how: a place in zcc.policy.objects.unnamed.NAMINGS


class Taught(Protocol):
    """What of the data plane is used: `zcc.connector.datapath.Datapath`."""

    def learn(self, namespace: int | None, address: Address, name_id: int, ttl_s: float, naming: int = 0) -> None:
        """Make an address belong to a name."""

    def forget(self, namespace: int, address: Address, number: int, naming: int) -> None:
        """Make an address belong to no name, if it is this one that it belongs to."""


def nobody(claim: Claim) -> None:
    """There is no group to be told."""


@dataclass(slots=True)
class _Heard:
    """What is said of an address."""

    names: dict[str, bool] = field(default_factory=dict)  # at most two; whether a flow here said it
    until_ns: int = 0
    taught: tuple[int, int] | None = None  # number and naming that the data plane was told
    told_ns: int | None = None  # when the group was told last


class Hearsay:
    """The names that flows say of addresses."""

    def __init__(self, plane: Taught, number_of: Callable[[str], int], may_teach: Callable[[str, Address], bool],
                 clock: Clock, counts: Counter[str], tell: Callable[[Claim], None] = nobody) -> None:
        """Compose.

        Args:
            number_of: gives a name its number; 0 = it can have none.
            may_teach: whether an address may have a name that flows say.
            tell: has the group hear of a claim, without a wait.
        """
        self._plane, self._number_of, self._may_teach, self._clock = plane, number_of, may_teach, clock
        self._counts, self._tell = counts, tell
        self._heard: dict[tuple[int, Address], _Heard] = {}  # in the order in which they were last heard of

    def said(self, claim: Claim) -> None:
        """Take what a flow has said here."""
        heard = self._note(claim, here=True)
        if heard.taught is not None and len(heard.names) > 1:
            self._untaught(claim, heard)
            self._share(claim, heard)  # the group was told of the other one
        elif len(heard.names) == 1 and self._taught(claim, heard) and self._is_due(heard):
            self._share(claim, heard)

    def told(self, claim: Claim) -> None:
        """Take what a flow has said at another connector of the group."""
        heard = self._note(claim, here=False)
        if len(heard.names) == 1:
            self._taught(claim, heard)
            return
        if heard.taught is not None:
            self._untaught(claim, heard)
        mine = next((name for name, here in heard.names.items() if here and name != claim.name), None)
        if mine is not None and self._is_due(heard):
            self._share(claim._replace(name=mine), heard)  # the others would go on by theirs

    def _note(self, claim: Claim, *, here: bool) -> _Heard:
        key, now_ns = (claim.namespace, claim.address), self._clock.monotonic_ns()
        heard = self._heard.pop(key, None)
        if heard is None or heard.until_ns <= now_ns:
            heard = _Heard()
        if len(self._heard) >= ADDRESSES_LIMIT:
            self._heard.pop(next(iter(self._heard)))
        if claim.name in heard.names or len(heard.names) < 2:
            heard.names[claim.name] = here or heard.names.get(claim.name, False)
        heard.until_ns = now_ns + ADDRESS_S * NS_PER_S
        self._heard[key] = heard
        return heard

    def _taught(self, claim: Claim, heard: _Heard) -> bool:
        """Have the data plane learn the one name of an address, if it may have it."""
        number = self._number_of(claim.name) if self._may_teach(claim.name, claim.address) else 0
        if not number:
            return False
        self._counts["addresses"] += 1
        heard.taught = number, claim.naming
        self._plane.learn(claim.namespace, claim.address, number, ADDRESS_S, claim.naming)
        return True

    def _untaught(self, claim: Claim, heard: _Heard) -> None:
        assert heard.taught is not None
        self._counts["addresses_several"] += 1
        self._plane.forget(claim.namespace, claim.address, *heard.taught)
        heard.taught = None

    def _is_due(self, heard: _Heard) -> bool:
        return heard.told_ns is None or self._clock.monotonic_ns() - heard.told_ns >= TELL_S * NS_PER_S

    def _share(self, claim: Claim, heard: _Heard) -> None:
        heard.told_ns = self._clock.monotonic_ns()
        self._tell(claim)
