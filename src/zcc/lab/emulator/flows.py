"""Flows of the load balancer: which target each has, under which cookie, and what is refused.

Journey: after packet.parse, before Geneve (`steer`), and after gwlb.decode on the way back (`admit`). The
    table is
fastpath.flowtable; a flow's target lives in its path's peer_address, its outer source port in peer_port, its
cookie in owner, and the whole Geneve header in header. One thread: forwarding's. Time is an argument; cookies come
from the given Random.
Source: AWS GWLB guide, "Listeners" (idle timeout) and "Target groups" (stickiness, failover).

Once the table knows a flow, its packets cost no Python each: rows are handled as NumPy columns.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from fastpath import flowkey, gwlb
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowState, FlowTable, TimeoutClass
from zcc.lab.emulator.settings import GwlbSettings
from zcc.lab.emulator.targets import Choice

HEADER_BYTES = 40
_SYN, _SYN_ACK = 0x02, 0x12
_TCP = 6
_ICMP = (1, 58)  # with ICMPv6, IANA
_FRAGMENT_LATER = 2
_REFUSED_HERE = 16  # any DropReason takes a row out of the journey; the counter says why
_BOTH_FIN = FlowState.FLOW_FIN_FORWARD | FlowState.FLOW_FIN_REVERSE
_PORT_LOW, _PORTS = 49152, 16384

Rows = npt.NDArray[np.intp]


class Flows:
    """The flow table of a load balancer.

    Args:
        settings: stickiness, idle timeouts, endpoints, size.
        secret: of the flow hash.
        random: cookies and outer ports; the choice when no target is healthy.
    """

    def __init__(self, settings: GwlbSettings, secret: flowkey.Secret, random: Random) -> None:
        self._settings = settings
        self._secret = secret
        self._random = random
        tcp, other = settings.idle.tcp.total_seconds(), settings.idle.other.total_seconds()
        # Two-tuple flows have no protocol of their own; they live as long as the longest may.
        rest = tcp if settings.stickiness == 2 else other
        self.table = FlowTable(
            settings.flows,
            {
                TimeoutClass.TIMEOUT_TCP: tcp,
                TimeoutClass.TIMEOUT_TCP_OPENING: tcp,
                TimeoutClass.TIMEOUT_TCP_CLOSING: tcp,
                TimeoutClass.TIMEOUT_UDP: other,
                TimeoutClass.TIMEOUT_ICMP: other,
                TimeoutClass.TIMEOUT_OTHER: rest,
            },
        )
        self.entries, self.paths = self.table.entries_view, self.table.paths_view
        self.choice = Choice((), (), frozenset())
        self.counts: Counter[str] = Counter()
        self._endpoint_ids = np.array([endpoint.id for endpoint in settings.endpoints], np.uint64)

    def steer(self, batch: PacketBatch, now_ns: int) -> Rows:
        """Give every live row of a parsed batch from an endpoint its flow; new flows get a target and a
        cookie.

        Args:
            batch: `namespace` holds the endpoint's index.
            now_ns: monotonic.
        Returns:
            The rows to send; `entry` says by which flow.
        """
        self.table.expire(now_ns)
        self._refuse(batch, ~_unicast(batch), "not_unicast")
        syn, later = self._look_up(batch)
        self._close_reused(batch, syn)
        missed = _live(batch) & (batch.entry[: batch.count] < 0)
        if missed.any():
            if self._settings.stickiness == 5:
                tcp = batch.protocol[: batch.count] == _TCP
                self._refuse(batch, missed & tcp & ~syn & ~later, "flow_unknown")
            if not (self.choice.eligible or self.choice.registered):
                self._refuse(batch, missed, "target_none")
            self.table.insert_misses(batch, now_ns)
            for index in np.unique(batch.entry[: batch.count][missed & _live(batch)]):
                self._assign(int(index))
        self.table.account_batch(batch, now_ns)
        return np.flatnonzero(_live(batch))

    def admit(self, batch: PacketBatch, now_ns: int) -> Rows:
        """Check every live row of a decoded and parsed batch from a target: endpoint, flow, cookie, target.

        Returns:
            The rows to hand to their endpoint, whose index is in `namespace`.
        """
        n = batch.count
        at = self._endpoint_ids[None, :] == batch.endpoint[:n, None]
        self._refuse(batch, ~at.any(axis=1), "endpoint_unknown")
        batch.namespace[:n] = at.argmax(axis=1)
        self.table.expire(now_ns)
        self._look_up(batch)
        self._find_portless(batch)
        self._refuse(batch, batch.entry[:n] < 0, "flow_unknown_from_target")
        flows = np.maximum(batch.entry[:n], 0)
        self._refuse(batch, self.paths["peer_address"][flows] != batch.peer_address[:n], "target_wrong")
        self._refuse(batch, self.entries["owner"][flows] != batch.cookie[:n], "cookie_wrong")
        self.table.account_batch(batch, now_ns)
        return np.flatnonzero(_live(batch))

    def _find_portless(self, batch: PacketBatch) -> None:
        """Give ICMP errors and later fragments the flow whose cookie they carry: they belong to it, without its ports.

        What the real load balancer does with them is not published; the cookie is all that it could go by. Rare, so
        a walk over the table serves.
        """
        n = batch.count
        icmp = np.isin(batch.protocol[:n], _ICMP) & (batch.source_port[:n] == 0) & (batch.entry[:n] < 0)
        later = batch.fragment[:n] == _FRAGMENT_LATER
        for row in np.flatnonzero((icmp | later) & _live(batch)):
            spoken_of = (
                (self.entries["used"] != 0)
                & (self.entries["owner"] == batch.cookie[row])
                & (self.paths["peer_address"] == batch.peer_address[row])
            )
            batch.entry[row] = next(iter(np.flatnonzero(spoken_of)), -1)

    def follow(self, choice: Choice) -> int:
        """Take a new state of the targets; flows of abandoned targets get another one. Return how many
        moved.
        """
        self.choice = choice
        if not choice.eligible or not choice.abandoned:
            return 0
        lost = np.isin(self.paths["peer_address"], np.fromiter(choice.abandoned, np.uint32))
        moving = np.flatnonzero(lost & (self.entries["used"] != 0))
        for index in moving:
            self._assign(int(index))
        self.counts["flows_rebalanced"] += len(moving)
        return len(moving)

    def _look_up(self, batch: PacketBatch) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Key and look up by what makes a flow here; return which rows open a TCP connection and which are
        later fragments.
        """
        n = batch.count
        syn = (batch.tcp_flags[:n] & _SYN_ACK) == _SYN
        later = batch.fragment[:n] == _FRAGMENT_LATER
        if self._settings.stickiness < 5:
            batch.source_port[:n] = batch.destination_port[:n] = 0
            batch.tcp_flags[:n] = 0  # one connection's end is not the flow's
            if self._settings.stickiness == 2:
                batch.protocol[:n] = 0
        flowkey.build_batch(batch, self._secret)
        self.table.lookup_batch(batch)
        return syn, later

    def _close_reused(self, batch: PacketBatch, syn: npt.NDArray[np.bool_]) -> None:
        """Forget flows that are over and whose ports are used again, so that they get a new cookie."""
        rows = np.flatnonzero(syn & _live(batch) & (batch.entry[: batch.count] >= 0))
        if not len(rows) or self._settings.stickiness != 5:
            return
        state = self.entries["state"][batch.entry[rows]]
        over = ((state & FlowState.FLOW_RESET) != 0) | ((state & _BOTH_FIN) == _BOTH_FIN)
        for index in np.unique(batch.entry[rows[over]]):
            self.table.remove_one(int(index))
            self.counts["flows_reused"] += 1
        if over.any():
            self.table.lookup_batch(batch)

    def _assign(self, index: int) -> None:
        """Write a flow's target, outer port, cookie and header."""
        entry: Any = self.entries[index : index + 1]
        path: Any = self.paths[index : index + 1]
        flow_hash = int(entry["hash"][0])
        endpoint = self._settings.endpoints[int(entry["namespace"][0])].id
        cookie = self._random.getrandbits(32)
        path["peer_address"] = self.choice.pick(flow_hash, self._random) or 0
        path["peer_port"] = _PORT_LOW + (flow_hash >> 32) % _PORTS
        entry["owner"] = cookie
        path["header_length"] = HEADER_BYTES
        header = gwlb.header(endpoint, _attachment(endpoint), cookie, int(entry["ip_version"][0]))
        path["header"][0, :HEADER_BYTES] = np.frombuffer(header, np.uint8)
        self.counts["flows_opened"] += 1

    def _refuse(self, batch: PacketBatch, which: npt.NDArray[np.bool_], name: str) -> None:
        refused = which & _live(batch)
        n = int(np.count_nonzero(refused))
        if n:
            self.counts[f"drop_{name}"] += n
            batch.reason[: batch.count][refused] = _REFUSED_HERE


def _attachment(endpoint: int) -> int:
    """Return an attachment id: it has no public meaning but to be echoed; here it is the endpoint's id
    turned round.
    """
    return int.from_bytes(endpoint.to_bytes(8, "big")[::-1], "big")


def describe(
    flows: Flows, indexes: Sequence[int] | Rows, names: Callable[[bytes, int], str]
) -> list[dict[str, Any]]:
    """Return flows as plain records, seen from their initiator.

    Args:
        names: prints 16 bytes of an address, given the IP version.
    """
    records = []
    for index in indexes:
        entry, path = flows.entries[int(index)], flows.paths[int(index)]
        ends = [
            (names(entry[f"{side}_address"].tobytes(), int(entry["ip_version"])), int(entry[f"{side}_port"]))
            for side in "ab"
        ]
        (source, source_port), (destination, destination_port) = (
            ends if entry["initiator"] == 0 else reversed(ends)
        )
        target = int(path["peer_address"])
        records.append(
            {
                "endpoint": int(entry["namespace"]),
                "protocol": int(entry["protocol"]),
                "source": source,
                "source_port": source_port,
                "destination": destination,
                "destination_port": destination_port,
                "target": ".".join(map(str, target.to_bytes(4, "big"))),
                "cookie": int(entry["owner"]),
                "outer_port": int(path["peer_port"]),
                "packets": entry["packets"].tolist(),
                "bytes": entry["bytes"].tolist(),
            }
        )
    return records


def _live(batch: PacketBatch) -> npt.NDArray[np.bool_]:
    return np.asarray(batch.reason[: batch.count] == 0)


def _unicast(batch: PacketBatch) -> npt.NDArray[np.bool_]:
    """Rows for one receiver beyond the link: what a VPC's router would hand to an endpoint."""
    to = batch.destination[: batch.count]
    six = batch.ip_version[: batch.count] == 6
    link_local = (to[:, 0] == 0xFE) & ((to[:, 1] & 0xC0) == 0x80)
    return np.asarray(np.where(six, (to[:, 0] != 0xFF) & ~link_local, to[:, 12] < 224), np.bool_)
