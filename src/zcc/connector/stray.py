"""Stray: packets that can not go on by themselves, and what their senders are told.

    UNKNOWN_SYNTHETIC   a pool address without a name here: who-is → known: learn, resume; else refuse at once, with the
                        tombstone in the log: whose it was, and until when

Journey: punt → here → `Datapath.resume` or `Datapath.reply`. Another connector answered the DNS query as
often as not, so an unknown address is the normal case. Silence would leave the workload waiting for a
dead address; it is told.
"""

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from zcc.connector import packets
from zcc.connector.ports import Datapath, FlowRecord, Punt
from zcc.connector.resolver import Resolver
from zcc.connector.sessions import Labels, Records, session_fields
from zcc.connector.shares import Shares
from zcc.errors import ZccError
from zcc.synthetic.lease import Lease, Tombstone

WAITING_LIMIT = 4096  # packets held while the edge is asked; 64 of them fit a megabyte at most
WAITING_OF_ADDRESS_LIMIT = 16
Whose = tuple[int, IPv4Address | IPv6Address]  # namespace and client
STRAY_RULE = "ZPA Pool For Stray Traffic"

log = logging.getLogger(__name__)


class Stray:
    """Answers for packets that nobody else can."""

    def __init__(self, datapath: Datapath, resolver: Resolver, records: Records, labels: Labels) -> None:
        self.counts: Counter[str] = Counter()
        self._datapath = datapath
        self._resolver = resolver
        self._records = records
        self._labels = labels
        self._waiting: dict[IPv4Address, list[tuple[Punt, Whose]]] = {}
        self._held = Shares(WAITING_LIMIT)
        self._tasks: set[asyncio.Task[None]] = set()

    def unknown(self, punt: Punt) -> None:
        """Take a packet to a pool address that the data plane has no name for."""
        inner = packets.parse(punt.packet)
        if inner is None or not isinstance(inner.destination, IPv4Address):
            self.counts["unreadable"] += 1
            return
        waiting = self._waiting.get(inner.destination)
        whose = punt.namespace, inner.source
        if (waiting is not None and len(waiting) >= WAITING_OF_ADDRESS_LIMIT) or not self._held.take(*whose):
            self.counts["overflow"] += 1
            self._refuse(punt, "too many packets wait")
            return
        if waiting is not None:
            waiting.append((punt, whose))
            return
        self._waiting[inner.destination] = [(punt, whose)]
        task = asyncio.ensure_future(self._settle(inner.destination, whose))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, address: IPv4Address, whose: Whose) -> None:
        found: Lease | Tombstone | None = None
        reason = "nobody's address"
        try:
            found = await self._resolver.owner(address, whose)
        except ZccError as error:
            reason = str(error)
        finally:
            waiting = self._waiting.pop(address)
            for _, of in waiting:
                self._held.give_back(*of)
        if isinstance(found, Tombstone):
            self.counts["tombstones"] += 1
            reason = stale(found)
        for punt, _ in waiting:
            if isinstance(found, Lease):
                self.counts["healed"] += 1
                self._datapath.resume(punt)
            else:
                self._refuse(punt, reason)

    def _refuse(self, punt: Punt, reason: str) -> None:
        self.counts["stray"] += 1
        self._answer(punt)
        inner = packets.parse(punt.packet)
        if inner is None:
            return
        flow = FlowRecord(
            punt.namespace, inner.version, inner.protocol, inner.source, inner.source_port, inner.destination,
            inner.destination_port, 0, -1, 0, punt.location, (1, 0), (len(inner.raw), 0),
        )
        fields = session_fields(flow, self._labels)
        fields["fwdtypename"], fields["rdrrulename"], fields["reason"] = "DROP", STRAY_RULE, reason
        self._records.session(**fields)

    def _answer(self, punt: Punt) -> None:
        inner = packets.parse(punt.packet)
        answer = None if inner is None else packets.refusal(inner)
        if answer is not None:
            self._datapath.reply(punt, answer)


def stale(tombstone: Tombstone) -> str:
    """Say whose an address was, for the log."""
    if tombstone.released is None:
        return f"stale: it was {tombstone.name}'s"
    since = datetime.fromtimestamp(tombstone.released, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"stale since {since}: it was {tombstone.name}'s"
