"""Rules by the thousand: shadows are those that comparing every pair finds, and few pairs are compared one by one."""

from __future__ import annotations

import random

import pytest

from zcc.policy.lint.above import Above, Weighed
from zcc.policy.lint.shadow import shadow
from zcc.policy.model import Policy
from zcc.policy.places import Places
from zcc.policy.region import region_of, together
from zcc.policy.resolve import clauses_of_rule

LOCATIONS = [f"l{i}" for i in range(6)]
FEW, MANY = 150, 1500


def policy_of(rules: int, seed: int, spread: int) -> Policy:
    """Rules by chance; the smaller the spread, the more of them share values."""
    chance = random.Random(seed)
    return Policy.model_validate({
        "locations": LOCATIONS, "rules": [_rule(i, chance, spread) for i in range(rules)],
        "workload_groups": [{"name": f"g{i}", "expression": f"vm-tag-g{i}=yes"} for i in range(80)],
    })  # fmt: skip


def _rule(i: int, chance: random.Random, spread: int) -> dict:
    def some(values: list[str], share: float) -> list[str]:
        return chance.sample(values, chance.randint(1, 2)) if chance.random() < share else []

    networks = [f"10.{n % 200}.{n // 200 * 16}.0/{bits}" for n in range(spread) for bits in (16, 20) if bits == 20 or n < 200]
    names = [f"{star}d{n}.example" for n in range(spread) for star in ("", "*.", "a.")] + ["*.example"]
    ports = [f"{word}/{port}" for word in ("tcp", "udp") for port in range(1, spread)] + ["tcp", "tcp/1-100"]
    made = {
        "name": f"r{i}", "method": "DROP", "locations": some(LOCATIONS, 0.3), "services": some(ports, 0.6),
        "sources": some(networks, 0.3), "source_workload_groups": some([f"g{n}" for n in range(80)], 0.1),
        "connector_groups": some(["c1", "c2"], 0.1), "tags_newer_than": chance.choice(["1h", "2h", None, None, None]),
        "countries": some(["DE", "FR", "JP"], 0.1),
    }  # fmt: skip
    to = [*some(networks, 0.6), *some(names, 0.4), *some(["fd00::/16", "fd00:1::/32"], 0.1)]
    return made | {"destinations": to or ["192.0.2.0/24"]}


def by_every_pair(policy: Policy) -> set[str]:
    """The rules that never decide, found without a short cut."""
    places, above, found = Places(policy), [], set()
    for index, rule in enumerate(policy.rules):
        regions = [region_of(clause) for clause in clauses_of_rule(policy, places, index, rule)]
        there = [other for groups, other in above
                 if not groups or (rule.connector_groups and set(rule.connector_groups) <= set(groups))]  # fmt: skip
        if regions and all(_covered(there, region) for region in regions):
            found.add(rule.name)
        above += [(rule.connector_groups, region) for region in regions]
    return found


def _covered(above: list, region) -> bool:
    missed = [(other, other.misses(region)) for other in above]
    if any(not criteria for _, criteria in missed):
        return True
    for criterion in range(len(region.sets)):
        part = [other.sets[criterion] for other, criteria in missed if criteria == [criterion]]
        if len(part) > 1 and together(part, region.sets[criterion]):
            return True
    return False


@pytest.mark.parametrize("spread", [3, 8, 30])
@pytest.mark.parametrize("seed", range(4))
def test_shadows_are_those_that_every_pair_tells(spread: int, seed: int) -> None:
    policy = policy_of(FEW, seed, spread)
    told = {policy.rules[finding.place[1]].name for finding in shadow(policy) if finding.code in ("shadowed", "unreachable")}
    assert told == by_every_pair(policy)
    assert spread > 3 or told  # else nothing was tried


def test_few_of_a_million_pairs_are_compared_one_by_one() -> None:
    policy = policy_of(MANY, 1, 400)
    seen, places = Above(), Places(policy)
    for index, rule in enumerate(policy.rules):
        weighed = [Weighed(region_of(clause)) for clause in clauses_of_rule(policy, places, index, rule)]
        for own in weighed:
            seen.covering(rule.connector_groups, own)
        seen.add(index, rule.connector_groups, weighed)
    assert 0 < seen.pairs < 4 * MANY, "of 1,124,250 pairs"
