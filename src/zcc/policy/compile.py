"""compile: a policy as columns of numbers, for fastpath.classify.

Journey: after an edit, once, in any thread; the result goes through zcc.connector.ruleset into the data plane. The
connector's group is resolved here. Each criterion becomes the columns that fastpath.criteria describes: a line says
"clause c is content with v". Names become numbers; no bitmap is made here. It knows nothing of fastpath and decides
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from zcc.policy.category_sets import CategorySets
from zcc.policy.clauses import Clause, Targets
from zcc.policy.criteria import AddressRange
from zcc.policy.model import Policy, Rule
from zcc.policy.name_categories import NameCategories
from zcc.policy.names import NameBook
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of
from zcc.policy.stances import fails_open
from zcc.policy.watched import watched_ports
from zcc.policy.world import World

__all__ = ["CATEGORIES_NONE", "CompiledPolicy", "compile_policy", "country_number"]

Column = npt.NDArray[Any]
Columns = dict[str, Column | tuple[str, ...]]
NOWHERE: frozenset[str] = frozenset()
NANOSECONDS = 1e9
AGE_LIMIT = (1 << 64) - 1  # none
CATEGORIES_NONE = 0xFFFFFFFF  # the number of no set
NAMES_AT_ONCE = 8192  # joined while no other thread may run


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy for connectors of one group; immutable."""

    rules: tuple[Rule, ...]  # all, by rule index; their methods are the actions
    rule_of: npt.NDArray[np.int32]  # rule index of each clause
    opens: npt.NDArray[np.uint8]  # by rule index: 1 = ZIA that goes DIRECT while no edge of its gateway is up
    location_ids: dict[str, int]  # of the places, from 1; 0 = none
    criteria: dict[str, Columns]  # by criterion and column, as in fastpath.criteria; only those that a clause uses
    countries: frozenset[str]  # that a clause speaks of
    workloads: Columns | None  # namespaces, addresses, sets, confirmed_s by line; None = no clause speaks of workloads
    names: bytes  # those that had a number, from 1, each ended by a line feed
    name_count: int  # so many
    name_capacity: int  # numbers there are, 0 included
    name_categories: npt.NDArray[np.uint32]  # number of the set of categories, by number of the name; may be short
    watched: bytes  # ports whose flows may say their names: zcc.policy.watched
    category_sets: CategorySets  # those that a name may be in; empty if no clause speaks of categories

    def categories_of(self, held: frozenset[str]) -> int:
        """Return the number of a set of categories."""
        number = self.category_sets.number_of(held)
        return CATEGORIES_NONE if number is None else number


def compile_policy(policy: Policy, group: str, names: NameBook | None = None, world: World | None = None,
                   categories: NameCategories | None = None) -> CompiledPolicy:
    """Compile a policy for connectors of a group.

    Args:
        names: names that have numbers already; without it, room for none. It may give out more meanwhile.
        world: what is known beside the policy; None = nothing.
        categories: what has been found of names before, to go on from; not to be used by another thread meanwhile.
    """
    world = world or World()
    clauses = [clause for clause in clauses_of(policy, group) if _can_match(clause)]
    ids = {name: number for number, name in enumerate(Places(policy).names, 1)}
    text, count = _text_of(names)
    namespaces = {namespace.name: namespace.id for namespace in policy.namespaces}
    workloads, group_sets = _workloads(policy, clauses, world, namespaces)
    categories = categories or NameCategories()
    spoken_of = [c.categories for c in clauses] + [t.categories for c in clauses if (t := c.destinations)]
    numbers = categories.numbers(names, count, world) if names and any(spoken_of) else np.zeros(0, np.uint32)
    category_sets = CategorySets(categories.sets, spoken_of)
    carried = _Carried(ids, namespaces, group_sets, list(category_sets))
    return CompiledPolicy(
        rules=policy.ordered(),
        rule_of=np.array([clause.index for clause in clauses], np.int32),
        opens=np.array([fails_open(rule, policy) for rule in policy.ordered()], np.uint8),
        location_ids=ids,
        criteria={name: columns for name, columns in _criteria(policy, clauses, carried) if columns is not None},
        countries=_all([c.countries for c in clauses] + [t.countries for c in clauses if (t := c.destinations)]),
        workloads=workloads,
        names=text,
        name_count=count,
        name_capacity=names.capacity if names else 1,
        name_categories=numbers,
        watched=watched_ports(clauses),
        category_sets=category_sets,
    )


def country_number(code: str) -> int:
    """Return the number of a country in the data plane, from 1: that of its ISO 3166-1 alpha-2 code among pairs of letters."""
    return (ord(code[0]) - ord("A")) * 26 + ord(code[1]) - ord("A") + 1


def _can_match(clause: Clause) -> bool:
    """Whether no criterion is empty, which nothing matches."""
    wanted = (clause.locations, clause.namespaces, clause.sources, clause.source_groups, clause.destination_groups,
              clause.countries, clause.categories, clause.unnamed, clause.services, clause.source_ports)
    targets = clause.destinations
    return all(values is None or len(values) for values in wanted) and targets != Targets()


def _text_of(names: NameBook | None) -> tuple[bytes, int]:
    """All names with a number, each ended by a line feed, and how many; other threads run in between."""
    parts: list[bytes] = []
    count = 0
    while names and (some := names.names_from(count + 1, NAMES_AT_ONCE)):
        parts.append("\n".join((*some, "")).encode())
        count += len(some)
    return b"".join(parts), count


def _workloads(policy: Policy, clauses: Sequence[Clause], world: World, namespaces: Mapping[str, int]
               ) -> tuple[Columns | None, list[frozenset[str]]]:
    """The workloads as columns, and the sets of groups that they are in; only groups that a clause speaks of."""
    wanted = _all([c.source_groups for c in clauses] + [c.destination_groups for c in clauses])
    if not wanted and all(clause.tag_age is None for clause in clauses):
        return None, []
    groups = {name: policy.workload_group_by_name[name] for name in sorted(wanted)}
    sets: dict[frozenset[str], int] = {}
    asked: dict[object, frozenset[str]] = {}
    lines = []
    for workload in world.workloads:
        if workload.namespace in namespaces:
            # Many workloads have the same tags, and to ask every group costs more than to compare those.
            tags = tuple((level, tuple(own.items())) for level, own in workload.own.items()), tuple(workload.attributes.items())
            held = asked.get(tags)
            if held is None:
                held = asked[tags] = frozenset(name for name, group in groups.items() if group.holds(workload))
            lines.append((namespaces[workload.namespace], workload.address, sets.setdefault(held, len(sets)),
                          workload.confirmed_s))  # fmt: skip
    return {
        "namespaces": _column(lines, lambda line: line[0], np.uint16),
        "addresses": _addresses(line[1] for line in lines),
        "sets": _column(lines, lambda line: line[2], np.uint32),
        "confirmed_s": _column(lines, lambda line: line[3], np.float64),
    }, list(sets)


# ---- one function a kind of columns; None = no clause has a line ----

@dataclass(frozen=True, slots=True)
class _Carried:
    """What the numbers that packets show stand for."""

    places: Mapping[str, int]
    namespaces: Mapping[str, int]
    group_sets: Sequence[frozenset[str]]
    category_sets: Sequence[frozenset[str]]


def _criteria(policy: Policy, clauses: Sequence[Clause], carried: _Carried) -> Iterable[tuple[str, Columns | None]]:
    targets = [clause.destinations for clause in clauses]
    countries = [t.countries or None if t else None for t in targets]
    categories = [t.categories or None if t else None for t in targets]
    yield "location", _labels([c.locations for c in clauses], _by_number(carried.places))
    yield "namespace", _labels([c.namespaces for c in clauses], _by_number(carried.namespaces))
    yield "source", _ranges([(c.sources or (), c.not_sources) for c in clauses])
    yield "source_workload", _labels([c.source_groups for c in clauses], carried.group_sets)
    yield "tag_age", _ages([c.tag_age for c in clauses])
    yield "destination", _ranges([(t.ranges if t else (), ()) for t in targets])
    yield "destination_name", _patterns(policy, clauses)
    yield "destination_country", _labels(countries, _by_country(countries))
    yield "destination_category", _labels(categories, carried.category_sets)
    yield "destination_workload", _labels([c.destination_groups for c in clauses], carried.group_sets)
    yield "country", _labels([c.countries for c in clauses], _by_country(c.countries for c in clauses))
    yield "category", _labels([c.categories for c in clauses], carried.category_sets)
    yield "service", _services(clauses)
    yield "source_port", _ports(clauses)
    yield "naming", _labels([c.unnamed for c in clauses], [frozenset({naming}) for naming in NAMINGS])


def _all(sets: Iterable[frozenset[str] | None]) -> frozenset[str]:
    return frozenset().union(*(some for some in sets if some))


def _by_number(numbers: Mapping[str, int]) -> list[frozenset[str]]:
    """What each number carries: the name that has it."""
    names = {number: frozenset((name,)) for name, number in numbers.items()}
    return [names.get(number, NOWHERE) for number in range(max(names, default=-1) + 1)]


def _by_country(wanted: Iterable[frozenset[str] | None]) -> list[frozenset[str]]:
    return _by_number({code: country_number(code) for code in _all(wanted)})


def _labels(wanted: Sequence[frozenset[str] | None], carried: Sequence[frozenset[str]]) -> Columns | None:
    numbers: dict[str, int] = {}
    lines = [(clause, numbers.setdefault(label, len(numbers)))
             for clause, labels in enumerate(wanted) for label in labels or ()]
    if not lines:
        return None
    held = [[numbers[label] for label in labels if label in numbers] for labels in carried]
    clause, label = np.array(lines, np.int32).T
    return {
        "clause": clause,
        "label": label,
        "offsets": np.cumsum([0, *map(len, held)]).astype(np.int32),
        "members": np.fromiter(chain.from_iterable(held), np.int32),
    }


def _ranges(wanted: Sequence[tuple[Iterable[AddressRange], Iterable[AddressRange]]]) -> Columns | None:
    lines = [(clause, excluded, value) for clause, sides in enumerate(wanted)
             for excluded, values in enumerate(sides) for value in values]
    if not lines:
        return None
    return {
        "clause": _column(lines, lambda line: line[0], np.int32),
        "version": _column(lines, lambda line: line[2].low.version, np.uint8),
        "first": _addresses(line[2].low for line in lines),
        "last": _addresses(line[2].high for line in lines),
        "excluded": _column(lines, lambda line: line[1], np.bool_),
    }


def _addresses(addresses: Iterable[Any]) -> Column:
    """IPv4 as ::ffff:a.b.c.d."""
    mapped = bytes(10) + b"\xff\xff"
    packed = b"".join(a.packed if a.version == 6 else mapped + a.packed for a in addresses)
    return np.frombuffer(packed, np.uint8).reshape(-1, 16)


def _column(lines: Sequence[Any], value: Callable[[Any], int], dtype: type) -> Column:
    return np.fromiter(map(value, lines), dtype, len(lines))


def _ages(wanted: Sequence[tuple[float, float] | None]) -> Columns | None:
    lines = [(clause, *(_nanoseconds(end) for end in ages)) for clause, ages in enumerate(wanted) if ages is not None]
    if not lines:
        return None
    return {name: _column(lines, lambda line, i=i: line[i], dtype)  # type: ignore[misc]
            for i, (name, dtype) in enumerate((("clause", np.int32), ("least", np.uint64), ("below", np.uint64)))}


def _nanoseconds(seconds: float) -> int:
    return min(AGE_LIMIT, int(seconds * NANOSECONDS)) if seconds < AGE_LIMIT else AGE_LIMIT


def _patterns(policy: Policy, clauses: Sequence[Clause]) -> Columns | None:
    domains = {application.name: application.domains for application in policy.applications}
    owners = {domain for owned in domains.values() for domain in owned}
    lines = [(clause, pattern, False) for clause, c in enumerate(clauses) if c.destinations
             for pattern in c.destinations.patterns]
    lines += [(clause, pattern, True) for clause, c in enumerate(clauses) if c.destinations
              for name in c.destinations.applications for pattern in domains[name]]
    if not lines and not owners:
        return None
    # Patterns that no clause wants are there too, since a name that one of them owns is no other's.
    numbers = {text: number for number, text in enumerate(dict.fromkeys([*(line[1] for line in lines), *owners]))}
    return {
        "texts": tuple(numbers),
        "owner": np.array([text in owners for text in numbers], np.bool_),
        "clause": _column(lines, lambda line: line[0], np.int32),
        "pattern": _column(lines, lambda line: numbers[line[1]], np.int32),
        "owned": _column(lines, lambda line: line[2], np.bool_),
    }


def _services(clauses: Sequence[Clause]) -> Columns | None:
    lines = [(clause, protocol, *(reach.ports or (-1, -1))) for clause, c in enumerate(clauses)
             for reach in c.services or () for protocol in sorted(reach.protocols or (-1,))]
    if not lines:
        return None
    return {name: _column(lines, lambda line, i=i: line[i], np.int16 if name == "protocol" else np.int32)  # type: ignore[misc]
            for i, name in enumerate(("clause", "protocol", "low", "high"))}


def _ports(clauses: Sequence[Clause]) -> Columns | None:
    lines = [(clause, *ports) for clause, c in enumerate(clauses) for ports in c.source_ports or ()]
    if not lines:
        return None
    return {name: _column(lines, lambda line, i=i: line[i], np.int32)  # type: ignore[misc]
            for i, name in enumerate(("clause", "low", "high"))}
