"""Notes: what to know beside a decision: what was not said, what may yet change.

Journey: `zcc explain` → explain → here. One sentence each, for people. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from zcc.policy.criteria import TCP, UDP
from zcc.policy.decide import NOWHERE, Decider, Decision, Flow
from zcc.policy.names import application_map
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of_rule
from zcc.policy.watched import is_watched

__all__ = ["notes_of"]

OF_NAMES = ("destinations", "categories", "unnamed", "application_services")
OF_NAMESPACE = {"namespaces", "source_workload_groups", "destination_workload_groups", "tags"}


def notes_of(decider: Decider, flow: Flow, decision: Decision) -> Iterator[str]:
    """Yield the notes on a decision."""
    yield from _of_destination(decider, flow)
    yield from _of_place(decider, flow, decision)
    yield from _of_words(decider, flow, decision)
    yield from _of_name(decider, flow, decision)


def _of_destination(decider: Decider, flow: Flow) -> Iterator[str]:
    policy, address = decider.policy, flow.destination
    pools = [policy.pool, *(pool.network for pool in policy.pools)]
    if flow.name is None and isinstance(address, IPv4Address) and any(address in pool for pool in pools):
        yield (f"{address} is a synthetic address: a connector would first ask the private edge for its name; give the name to "
               "see what follows")
    if address == NOWHERE:
        yield "no address is given: what looks at the destination's address, country or workload does not match; give --dst"
    if flow.protocol in (TCP, UDP) and flow.port is None:
        yield "no port is given, as in a later fragment: criteria with ports do not match"


def _of_place(decider: Decider, flow: Flow, decision: Decision) -> Iterator[str]:
    """Tell what did not match because it was not said where the flow comes from."""
    policy, missed = decider.policy, {missed.criterion for missed in decision.above}
    if flow.namespace is None and missed & OF_NAMESPACE:
        known = sorted({found.namespace for found in decider.world.workloads if found.address == flow.source})
        where = f"{flow.source} is a workload of {' and of '.join(known)}; " if known else ""
        yield f"{where}no namespace is given, so that no workload and no rule of one matches; give --namespace or --endpoint"
    if flow.location is None and "locations" in missed:
        yield "no location is given, so that no rule of one matches; give --location or --endpoint"
    if flow.location is not None and flow.location not in policy.location_by_name:
        yield f"location {flow.location!r} does not exist in this file"


def _of_words(decider: Decider, flow: Flow, decision: Decision) -> Iterator[str]:
    """Tell of rules that the flow may yet come under, once it has said its name."""
    if flow.naming is not None or flow.port is None or flow.protocol not in (TCP, UDP):
        return
    policy = decider.policy
    places, rules = Places(policy), policy.ordered()
    clauses = {missed.rule: list(clauses_of_rule(policy, places, missed.index, rules[missed.index]))
               for missed in decision.above if missed.criterion in OF_NAMES}  # fmt: skip
    waiting = [name for name, some in clauses.items() if is_watched(some, flow.protocol, flow.port)]
    if waiting:
        what = f"another name than {flow.name}" if flow.name else "a name"
        yield (f"if the flow says {what}, {', '.join(waiting)} may decide it again; of a flow that has begun only DROP changes "
               "the way; ask with that --name and --naming sni")


def _of_name(decider: Decider, flow: Flow, decision: Decision) -> Iterator[str]:
    """Tell what decides as long as no answer has told the name; an application's name is known by its address."""
    by_dns = flow.naming in (None, NAMINGS[0])
    if flow.name is None or not by_dns or application_map(decider.policy.applications).get(flow.name):
        return
    before = decider.decide(replace(flow, name=None, naming=None))
    if before.index != decision.index:
        yield (f"as long as no DNS answer has told the connector of {flow.name}, rule {before.index} {before.rule.name!r} "
               f"decides: {before.rule.method}")
