"""A random policy over all criteria, the names and the world it speaks of, and packets for it; for bench/classify.py.

The shape is that of a large tenant: most rules want a destination and a service, many a source or workload groups, some a
location, a country or a category. Packets come from anywhere in the tenant's networks to a rule's destination or elsewhere;
most match a late rule or none.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any

import numpy as np

from fastpath.batch import PacketBatch
from zcc.policy.compile import CompiledPolicy
from zcc.policy.domains import DomainSet
from zcc.policy.model import Policy
from zcc.policy.objects.tag_expression import TagType
from zcc.policy.workload import Workload, Workloads
from zcc.policy.world import World

MAPPED = bytes(10) + b"\xff\xff"
LOCATIONS, NAMESPACES, GROUPS, SUBNETS, SERVICES, CATEGORIES = 20, 8, 50, 300, 200, 8
COUNTRIES = ("AT", "BE", "BR", "CA", "CH", "CN", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "NL", "SE", "US")
WORKLOADS = 20_000


class Draw:
    """Chances and choices, the same in every run."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def maybe(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def some(self, prefix: str, among: int, most: int) -> list[str]:
        return [f"{prefix}{i}" for i in set(self.random.integers(0, among, self.random.integers(1, most + 1)).tolist())]

    def number(self, below: int) -> int:
        return int(self.random.integers(0, below))


def subnet(i: int) -> str:
    """The i-th network of the tenant."""
    return f"10.{i % 250}.{i // 250 * 16}.0/20"


def policy_of(rules: int) -> Policy:
    """A policy of so many rules."""
    draw = Draw(rules)
    return Policy.model_validate({
        "namespaces": [{"name": f"n{i}", "id": i + 1} for i in range(NAMESPACES)],
        "locations": [{"name": f"l{i}"} for i in range(LOCATIONS)],
        "source_groups": [{"name": f"s{i}", "addresses": [subnet(3 * i), subnet(3 * i + 1)]} for i in range(50)],
        "workload_groups": [{"name": f"g{i}", "expression": f"vm-tag-g{i}=yes"} for i in range(GROUPS)],
        "applications": [{"name": f"a{i}", "domains": [f"*.a{i}.corp"], "tcp": [443]} for i in range(rules // 10)],
        "rules": [rule(i, draw, rules) for i in range(rules)],
    })  # fmt: skip


def rule(i: int, draw: Draw, rules: int) -> dict[str, Any]:
    """One rule, by chance."""
    made: dict[str, Any] = {"name": f"r{i}", "method": "DROP"}
    if draw.maybe(0.1):
        return made | {"method": "ZPA", "applications": draw.some("a", rules // 10, 2)}
    shares = {"locations": 0.3, "namespaces": 0.1, "source_workload_groups": 0.3, "source_groups": 0.2}
    kinds = {"locations": ("l", LOCATIONS), "namespaces": ("n", NAMESPACES), "source_workload_groups": ("g", GROUPS),
             "source_groups": ("s", 50)}  # fmt: skip
    made |= {field: draw.some(*kinds[field], 2) for field, share in shares.items() if draw.maybe(share)}
    if draw.maybe(0.4):
        made["sources"] = [subnet(draw.number(SUBNETS))]
    if draw.maybe(0.05):
        made["exclude_source_groups"] = draw.some("s", 50, 1)
    if draw.maybe(0.05):
        made["tags_newer_than"] = "1h"
    if draw.maybe(0.7):
        service = f"{'tcp' if draw.maybe(0.8) else 'udp'}/{draw.number(SERVICES) + 1}"
        made["services"] = [service, "tcp/443"][: 1 + draw.maybe(0.3)]
    if draw.maybe(0.08):
        made |= {"method": "LOCAL", "destination_workload_groups": draw.some("g", GROUPS, 2)}
    else:
        made |= {"countries": [COUNTRIES[draw.number(16)]]} if draw.maybe(0.1) else {}
        made |= {"categories": draw.some("c", CATEGORIES, 2)} if draw.maybe(0.1) else {}
    # Whoever wants little wants one destination at least: a rule that all match would end the list.
    if draw.maybe(0.8) or len(made) < 5:
        made["destinations"] = [destination(draw.number(3 * rules)) for _ in range(1 + draw.number(3))]
    return made


def destination(i: int) -> str:
    """The i-th destination: two networks, then a name."""
    return f"*.d{i}.example" if i % 3 == 2 else f"{100 + i // 65_536}.{i // 256 % 256}.{i % 256}.0/24"


class Countries:
    """Networks of /16, one country after the other."""

    ALL = tuple((ip_network(f"{a}.{b}.0.0/16"), COUNTRIES[(a + b) % 16]) for a in range(100, 104) for b in range(256))

    def of(self, address: Any) -> str | None:
        return next((code for network, code in self.ALL if address in network), None)

    def networks(self, codes: frozenset[str]) -> list[tuple[IPv4Network, str]]:
        return [(network, code) for network, code in self.ALL if code in codes]  # type: ignore[misc]


def world() -> World:
    """20,000 workloads of 50 groups, 16 countries, 8 lists of domains."""
    draw = Draw(7)
    tags = [{TagType.VM: {f"g{g}": "yes" for g in draw.random.integers(0, GROUPS, 3)}} for _ in range(500)]
    workloads = [Workload(f"n{i % NAMESPACES}", ip_address(source(i)), tags[i % 500], {}, 0.0) for i in range(WORKLOADS)]
    lists = {f"c{i}": DomainSet([b"".join(b"d%d.example\n" % n for n in range(i, 30_000, 17))]) for i in range(CATEGORIES)}
    return World(Countries(), lists, Workloads(workloads))


def source(i: int) -> str:
    """The i-th workload's address."""
    network = ip_network(subnet(i % SUBNETS))
    return str(network[16 + i // SUBNETS])


def packets_of(compiled: CompiledPolicy, rules: int, size: int, batches: int, names: int
               ) -> list[tuple[PacketBatch, np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of distinct packets, with locations, numbers of names and room for decisions."""
    draw = Draw(rules + 1)
    made = []
    for _ in range(batches):
        batch = PacketBatch(size, 512)
        batch.reset(size)
        batch.ip_version[:] = 4
        for i in range(size):
            at = destination(3 * draw.number(rules) + draw.number(2)).partition("/")[0]
            packed = bytes(ip_address(at).packed[:3]) if draw.maybe(0.5) else bytes(draw.random.integers(1, 200, 3).tolist())
            batch.destination[i] = list(MAPPED + packed + bytes([draw.number(256)]))
            batch.source[i] = list(MAPPED + ip_address(source(draw.number(WORKLOADS))).packed)
            batch.protocol[i] = 6 if draw.maybe(0.8) else 17
            batch.destination_port[i] = 443 if draw.maybe(0.3) else 1 + draw.number(SERVICES)
            batch.source_port[i], batch.namespace[i] = 32_768 + draw.number(28_000), 1 + draw.number(NAMESPACES)
        known = draw.random.random(size) < 0.5
        numbers = np.where(known, draw.random.integers(1, max(2, names), size), 0).astype(np.uint32)
        locations = draw.random.integers(0, LOCATIONS + 1, size).astype(np.uint32)
        made.append((batch, locations, numbers, np.zeros(size, np.int32)))
    return made
