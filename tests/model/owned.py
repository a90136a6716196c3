"""OwnedNames, the obvious way: a dict, and answers made by dnspython through zcc.dns. It has no bound."""

from __future__ import annotations

from ipaddress import IPv4Address

from zcc.connector import packets
from zcc.dns import answers
from zcc.dns.intercept import ONLY_ADDRESSES
from zcc.dns.question import Question, parse_question

AXFR, IXFR, A = 252, 251, 1


class OwnedNames:
    """Names and their addresses; answer() is what the worker sends back for an inner packet."""

    def __init__(self, by_location: bool = False) -> None:
        self.by_location = by_location
        self.names: dict[tuple[int, int, bytes], tuple[IPv4Address, int, int]] = {}

    def _key(self, namespace: int, location: int, name: bytes) -> tuple[int, int, bytes]:
        return namespace, location if self.by_location else 0, name

    def learn_one(
        self, namespace: int, name: bytes, address: IPv4Address, ttl: int, until_ns: int, location: int = 0
    ) -> None:
        self.names[self._key(namespace, location, name)] = (address, ttl, until_ns)

    def forget_one(self, namespace: int, name: bytes, location: int = 0) -> None:
        self.names.pop(self._key(namespace, location, name), None)

    def find_one(self, namespace: int, name: bytes, now_ns: int, location: int = 0) -> tuple[IPv4Address, int] | None:
        address, ttl, until_ns = self.names.get(self._key(namespace, location, name), (IPv4Address(0), 0, 0))
        return (address, ttl) if until_ns > now_ns else None

    def answer(self, namespace: int, packet: bytes, now_ns: int) -> bytes | None:
        """Return the packet that answers a query, or None when it is not one for a name of ours."""
        inner = packets.parse(packet)
        if inner is None or inner.protocol != packets.UDP or inner.fragment or inner.destination_port != 53:
            return None
        if inner.l4 != (20 if inner.version == 4 else 40):
            return None
        question = parse_question(inner.payload)
        if not isinstance(question, Question) or question.broken or question.klass != 1 or question.edns > 0:
            return None
        if question.type in (AXFR, IXFR):
            return None
        found = self.find_one(namespace, question.name.canonicalize().to_wire() or b"", now_ns)
        if found is None:
            return None
        if question.type == A:
            return packets.udp_reply(inner, answers.address(question, *found))
        return packets.udp_reply(inner, answers.nodata(question, question.name, found[1], ONLY_ADDRESSES))
