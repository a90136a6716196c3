"""Recorded: flows of a session log, decided again by a candidate policy.

Journey: the JSON lines of zcc.telemetry → here → a Tally of the flows that would change. Lines that are no session records
are counted. What a flow was decided by is what its record says, or what another policy says if one is given. Pure.

A flow that says its name itself may have two records: of what went before it was cut, and of the rest. A record that would
change because a flow like it would be cut waits for the other one: if it comes, the flow was cut then, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from zcc.policy.compare import Tally, Verdict
from zcc.policy.criteria import TCP, UDP
from zcc.policy.decide import Decider, Flow
from zcc.policy.midway import SAID, midway
from zcc.policy.model import Method, Policy, Rule
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places

__all__ = ["Recorded", "flow_of"]

PROTOCOLS = {"ICMP": 1, "TCP": TCP, "UDP": UDP, "ICMPV6": 58}
METHODS = frozenset({"ZIA", "ZPA", "DIRECT", "DROP", "LOCAL"})
LINE_LIMIT = 1 << 20
REMEMBERED = 1 << 18  # flows alike are decided once; as many kinds of them are kept


def flow_of(record: Mapping[str, Any], endpoints: Mapping[str, Endpoint] | None = None) -> Flow | None:
    """Return the flow of a session record, or None if it is no record of one.

    Args:
        endpoints: one for each place, by the name that records have in `location`.
    """
    try:
        protocol = record["clt_nw_protocol"]
        number = PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)
        place = record.get("location") or None
        return Flow(
            source=ip_address(record["clt_src_ip"]),
            destination=ip_address(record["clt_dst_ip"]),
            protocol=number,
            port=int(record["clt_dst_port"]) if number in (TCP, UDP) and "clt_dst_port" in record else None,
            name=record.get("clt_dst_name") or None,
            namespace=record.get("namespace") or None,
            location=place.partition("/")[0] if place else None,
            group=record.get("group_name") or None,
            endpoint=(endpoints or {}).get(place) if place else None,
            naming=naming if (naming := record.get("clt_dst_name_from")) in NAMINGS else None,
            at_s=datetime.fromisoformat(record["time"]).timestamp() if "time" in record else 0.0,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Ways:
    """What a policy makes of a flow; the three differ for one that has said its name itself."""

    first: Verdict  # until it has said it
    then: Verdict  # from then on
    named: Verdict  # where others had said that name of its address before


class Recorded:
    """Decides a log's flows by a candidate policy.

    Args:
        candidate: decides.
        current: what decided so far; None = as the records say.
    """

    def __init__(self, candidate: Decider, current: Decider | None = None) -> None:
        self.tally = Tally()
        self.skipped: Counter[str] = Counter()
        self._candidate, self._current = candidate, current
        self._endpoints = _endpoints(candidate.policy)
        self._known: dict[Any, tuple[Ways, Ways | None]] = {}
        self._waiting: dict[Any, tuple[dict[str, Any], Flow, Verdict, Verdict]] = {}  # for the record of the rest of a flow
        self._ages = any(rule.tags_older_than or rule.tags_newer_than
                         for decider in (candidate, current) if decider for rule in decider.policy.rules)  # fmt: skip

    def changes(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """Yield every record whose flow would change, with `before` and `after`."""
        for line in lines:
            record = self._record(line)
            if record is None:
                continue
            flow = flow_of(record, self._endpoints)
            if flow is None or (record.get("fwdtypename") not in METHODS and self._current is None):
                self.skipped["records that tell no flow or no method"] += 1
                continue
            recorded = Verdict(record["fwdtypename"], record.get("rdrrulename", ""))
            before, after = _compared(recorded, *self._decide(flow))
            if recorded.method == Method.DROP and (cut := self._waiting.pop(_ends(record), None)) is not None:
                self.tally.add(cut[1], cut[2], cut[2])
            if before != after == Verdict(Method.DROP, after.rule) and self._current is None and flow.naming in SAID:
                if len(self._waiting) >= REMEMBERED:
                    yield from self._changed(*self._waiting.pop(next(iter(self._waiting))))
                self._waiting[_ends(record)] = record, flow, before, after
            else:
                yield from self._changed(record, flow, before, after)
        for waiting in self._waiting.values():
            yield from self._changed(*waiting)
        self._waiting.clear()

    def _changed(self, record: dict[str, Any], flow: Flow, before: Verdict, after: Verdict) -> Iterator[dict[str, Any]]:
        nbytes = sum(value for name in ("clt_tx_bytes", "clt_rx_bytes") if isinstance(value := record.get(name), int))
        if self.tally.add(flow, before, after, nbytes):
            yield {**record, "before": before._asdict(), "after": after._asdict()}

    def _record(self, line: bytes) -> dict[str, Any] | None:
        if not line.strip():
            return None
        try:
            record = json.loads(line) if len(line) <= LINE_LIMIT else None
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            self.skipped["lines that are no JSON object"] += 1
            return None
        if isinstance(record.get("gap"), int):
            self.skipped["records that the log has lost"] += record["gap"]
            return None
        if record.get("log", "session") != "session":
            self.skipped[f"records of the log {str(record['log'])[:20]}"] += 1
            return None
        return record

    def _decide(self, flow: Flow) -> tuple[Ways, Ways | None]:
        key = (flow.source, flow.destination, flow.protocol, flow.port, flow.name, flow.namespace, flow.location, flow.group,
               flow.endpoint.id if flow.endpoint else None, flow.at_s if self._ages else None,
               flow.naming)  # fmt: skip
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = ways(self._candidate, flow), ways(self._current, flow) if self._current else None
            self._known[key] = found
        return found


def ways(decider: Decider, flow: Flow) -> Ways:
    """Return what a policy makes of a flow."""
    if flow.naming not in SAID:
        return Ways(*3 * (verdict(decider, flow),))
    now = decider.decide(flow)
    found = midway(decider, flow, now)
    assert found is not None, "it has said its name"
    return Ways(_of(found.first.rule), _of(found.then(now)), _of(now.rule))


def verdict(decider: Decider, flow: Flow) -> Verdict:
    """Return what the rule that matches a flow makes of it."""
    return _of(decider.rule_of(flow))


def _of(rule: Rule) -> Verdict:
    return Verdict(str(rule.method), rule.name)


def _compared(recorded: Verdict, candidate: Ways, current: Ways | None) -> tuple[Verdict, Verdict]:
    """What was made of the flow of a record, and what would be."""
    if current is None:
        same = recorded in (candidate.then, candidate.named)
        return recorded, recorded if same else candidate.then
    if recorded == current.then or recorded not in (current.first, current.named):
        return current.then, candidate.then
    if recorded == current.first:
        return current.first, candidate.first  # the rest of the flow has a record of its own
    return current.named, candidate.named


def _ends(record: Mapping[str, Any]) -> tuple[object, ...]:
    fields = ("namespace", "clt_nw_protocol", "clt_src_ip", "clt_src_port", "clt_dst_ip", "clt_dst_port", "clt_dst_name")
    return tuple(str(record.get(field)) for field in fields)


def _endpoints(policy: Policy) -> dict[str, Endpoint]:
    places = Places(policy)
    return {places.of_endpoint(endpoint.id): endpoint for endpoint in policy.endpoints}
