"""Preview: the live flows, decided by the policy in force and by a candidate, to see what an edit would do.

Journey: LocalSocket asks → a copy of the flow table's entries → both rule sets, natively → a Tally. Part of the doorway to
fastpath. The worker goes on meanwhile: flows that begin or end while their entries are copied may be counted or not. Any
thread; it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch
from zcc.connector.ruleset import RuleSet
from zcc.connector.sessions import Labels
from zcc.policy.compare import Changes, Tally, Verdict
from zcc.policy.criteria import TCP, UDP
from zcc.policy.decide import Flow
from zcc.policy.model import Rule
from zcc.policy.objects.unnamed import NAMINGS

__all__ = ["Side", "preview"]

ROWS = 256
EXAMPLES = 3
NAME_BITS = 26  # of fastpath.naming
Entries = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Side:
    """A policy: its rules by index, and what the data plane makes of them."""

    rules: tuple[Rule, ...]
    native: RuleSet

    def verdict(self, index: int) -> Verdict:
        """Return what a rule makes of a flow."""
        return Verdict(str(self.rules[index].method), self.rules[index].name)


def preview(entries: Entries, current: Side, candidate: Side, labels: Labels, now_ns: int) -> Tally:
    """Decide flows by two policies.

    Args:
        entries: of a flow table (fastpath.flowentry.ENTRY), in use.
        labels: what their numbers mean.
        now_ns: monotonic, for the age of tags.
    """
    tally = Tally(looked_at=len(entries))
    before, after = (_decided(side.native, entries, now_ns) for side in (current, candidate))
    # A flow that said its name midway may still be under the rule it began with, which an edit then ends.
    before = np.where(entries["generation"] == current.native.generation, entries["rule"], before)
    nbytes = entries["bytes"].sum(axis=1)
    pairs, where, counts = np.unique(np.stack([before, after], axis=1), axis=0, return_inverse=True, return_counts=True)
    for number, (old, new) in enumerate(pairs.tolist()):
        verdicts = current.verdict(old), candidate.verdict(new)
        if verdicts[0] == verdicts[1]:
            continue
        members = np.flatnonzero(where.reshape(-1) == number)
        found = tally.changes.setdefault(verdicts, Changes())
        found.flows += int(counts[number])
        found.bytes += int(nbytes[members].sum())
        room = max(0, EXAMPLES - len(found.examples))
        found.examples += [_flow(entries[index], labels) for index in members[:room].tolist()]
    return tally


def _decided(rules: RuleSet, entries: Entries, now_ns: int) -> npt.NDArray[np.int32]:
    """The rule of each flow, seen from the side that began it."""
    batch, decided = PacketBatch(ROWS, 2048), np.zeros(len(entries), np.int32)
    for begin in range(0, len(entries), ROWS):
        some = entries[begin : begin + ROWS]
        n, reverse = len(some), some["initiator"] != 0
        batch.reset(n)
        batch.source[:n] = np.where(reverse[:, None], some["b_address"], some["a_address"])
        batch.destination[:n] = np.where(reverse[:, None], some["a_address"], some["b_address"])
        batch.source_port[:n] = np.where(reverse, some["b_port"], some["a_port"])
        batch.destination_port[:n] = np.where(reverse, some["a_port"], some["b_port"])
        for column in ("ip_version", "protocol", "namespace"):
            getattr(batch, column)[:n] = some[column]
        batch.fragment[:n] = 0
        places, names = (np.ascontiguousarray(some[column]) for column in ("location", "name_id"))
        rules.decide_batch(batch, places, names, decided[begin : begin + n], now_ns)
    return decided


def _flow(entry: Any, labels: Labels) -> Flow:
    ends = [_address(entry[end], int(entry["ip_version"])) for end in ("a_address", "b_address")]
    ports = [int(entry["a_port"]), int(entry["b_port"])]
    if entry["initiator"]:
        ends, ports = ends[::-1], ports[::-1]
    protocol, word = int(entry["protocol"]), int(entry["name_id"])
    return Flow(ends[0], ends[1], protocol, ports[1] if protocol in (TCP, UDP) else None,
                labels.name_of(word & (1 << NAME_BITS) - 1), labels.namespace(int(entry["namespace"])),
                labels.location(int(entry["location"])) or None, naming=NAMINGS[word >> NAME_BITS])  # fmt: skip


def _address(packed: npt.NDArray[np.uint8], version: int) -> IPv4Address | IPv6Address:
    data = packed.tobytes()
    return IPv4Address(data[12:]) if version == 4 else IPv6Address(data)
