"""The criteria of a RuleSet: which clause wants what, as columns; checked here, made into rows by fastpath.rows.

Journey: whoever compiles rules fills these columns, once a policy edit. A line of a criterion says "clause c is content with
v"; lines of one clause are alternatives. A clause without a line in a criterion is content with everything. Clauses are
numbered in the order of their rules. It decides nothing.

    criterion             columns     what a packet shows
    location              Labels      its location's number, and what that carries: itself, its parent, its groups
    namespace             Labels      its namespace's number
    source                Ranges      source address
    source_workload       Labels      number of the set of groups of the workload at (namespace, source)
    tag_age               Ages        how long ago what is known of that workload was confirmed
    destination           Ranges      destination address        ┐
    destination_name      Patterns    the learned name           │ one criterion of four kinds:
    destination_country   Labels      country of the destination │ one of them is enough
    destination_category  Labels      categories of the name     ┘
    destination_workload  Labels      as source_workload, for the destination
    country               Labels      as destination_country, a criterion by itself
    category              Labels      as destination_category, a criterion by itself
    service               Services    protocol and destination port
    source_port           Ports       source port of TCP or UDP
    naming                Labels      how the flow's name is known, or why it is not (fastpath.action.Naming)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastpath.lpm import Lpm4, Lpm6
from fastpath.workloads import Workloads

__all__ = ["CLAUSES_MAX", "Ages", "Countries", "Criteria", "Labels", "Patterns", "Ports", "Ranges", "Services"]

CLAUSES_MAX = 1 << 18
GATEWAYS = 2048  # of fastpath.tunnels
LINES_MAX = 1 << 26  # of one criterion
PORT_MAX = 65_535

Numbers = npt.NDArray[Any]


class Labels(NamedTuple):
    """Lines: a clause wants a label. What a packet shows is a number, and number i carries members[offsets[i]:offsets[i + 1]].

    clause, label: int32[m]; offsets: int32[numbers + 1]; members: int32[k]. A number of `numbers` or more carries nothing.
    """

    clause: Numbers
    label: Numbers
    offsets: Numbers
    members: Numbers


class Ranges(NamedTuple):
    """Lines: a clause wants an address from first to last, or, where excluded, none of them.

    clause: int32[m]; version: uint8[m], 4 or 6; first, last: uint8[m, 16], IPv4 as ::ffff:a.b.c.d; excluded: bool[m], only of
    the source. A clause with excluded lines only wants every other address.
    """

    clause: Numbers
    version: Numbers
    first: Numbers
    last: Numbers
    excluded: Numbers


class Patterns(NamedTuple):
    """Lines: a clause wants names that match a pattern, or, where owned, names that the pattern owns.

    texts: names and `*.` patterns, lower case, each once. owner: bool[texts], the patterns that own names: a name belongs to
    the most specific of them that it matches. clause, pattern: int32[m]; owned: bool[m].
    """

    texts: tuple[str, ...]
    owner: Numbers
    clause: Numbers
    pattern: Numbers
    owned: Numbers


class Ages(NamedTuple):
    """Lines: a clause wants an age of least or more and less than below. clause: int32[m]; least, below: uint64[m], ns."""

    clause: Numbers
    least: Numbers
    below: Numbers


class Services(NamedTuple):
    """Lines: a clause wants a protocol and destination ports from low to high.

    clause: int32[m]; protocol: int16[m], -1 = every; low, high: int32[m]. low = -1: whatever the port, and also where there is
    none, as in a later fragment; other lines want TCP or UDP and a port.
    """

    clause: Numbers
    protocol: Numbers
    low: Numbers
    high: Numbers


class Ports(NamedTuple):
    """Lines: a clause wants TCP or UDP and a port from low to high. clause, low, high: int32[m]."""

    clause: Numbers
    low: Numbers
    high: Numbers


class Criteria(NamedTuple):
    """All criteria; None = no clause wants anything of it."""

    location: Labels | None = None
    namespace: Labels | None = None
    source: Ranges | None = None
    source_workload: Labels | None = None
    tag_age: Ages | None = None
    destination: Ranges | None = None
    destination_name: Patterns | None = None
    destination_country: Labels | None = None
    destination_category: Labels | None = None
    destination_workload: Labels | None = None
    country: Labels | None = None
    category: Labels | None = None
    service: Services | None = None
    source_port: Ports | None = None
    naming: Labels | None = None


class Countries(NamedTuple):
    """Tables from an address to its country's number; 0 by custom where none is known. Not to be changed afterwards."""

    v4: Lpm4
    v6: Lpm6


KINDS: dict[str, type] = {
    "location": Labels, "namespace": Labels, "source": Ranges, "source_workload": Labels, "tag_age": Ages,
    "destination": Ranges, "destination_name": Patterns, "destination_country": Labels, "destination_category": Labels,
    "destination_workload": Labels, "country": Labels, "category": Labels, "service": Services, "source_port": Ports,
    "naming": Labels,
}  # fmt: skip
DTYPES: dict[type, dict[str, type]] = {
    Labels: {"clause": np.int32, "label": np.int32},
    Ranges: {"clause": np.int32, "version": np.uint8, "excluded": np.bool_},
    Patterns: {"clause": np.int32, "pattern": np.int32, "owned": np.bool_},
    Ages: {"clause": np.int32, "least": np.uint64, "below": np.uint64},
    Services: {"clause": np.int32, "protocol": np.int16, "low": np.int32, "high": np.int32},
    Ports: {"clause": np.int32, "low": np.int32, "high": np.int32},
}


def frozen(value: Any, name: str, dtype: type, *shape: int | None) -> Numbers:
    """Return a private, read-only, C-contiguous copy of an array.

    Raises:
        ValueError: its dtype or shape (None = any) is another; names the argument.
    """
    array = np.asarray(value)
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    axes = zip(shape, array.shape, strict=False)
    if array.ndim != len(shape) or any(want is not None and want != have for want, have in axes):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({wanted}), not {array.shape}")
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy[...]            # who does not own it can neither make it writable again nor give its memory away


def rule_of(value: Any, rules: int) -> Numbers:
    """Check and freeze the rule of each clause: ascending, below `rules`."""
    array = frozen(value, "rule_of", np.int32, None)
    if not 1 <= array.size <= CLAUSES_MAX:
        raise ValueError(f"rule_of must name the rule of 1 to {CLAUSES_MAX} clauses, not {array.size}")
    if array[0] < 0 or (np.diff(array) < 0).any() or array[-1] >= rules:
        raise ValueError(f"rule_of must ascend from 0 or more to at most the last rule, {rules - 1}")
    return array


def checked_ways(gateways: Any, opens: Any, rules: int) -> tuple[Numbers, Numbers]:
    """Check and freeze what each ZIA rule says of its way out: number of its gateway, and whether it fails open.

    Raises:
        ValueError: a dtype, shape or number is wrong; names the argument.
    """
    numbers = frozen(np.zeros(rules, np.uint16) if gateways is None else gateways, "gateways", np.uint16, rules)
    flags = frozen(np.zeros(rules, np.uint8) if opens is None else opens, "opens", np.uint8, rules)
    if (numbers >= GATEWAYS).any():
        raise ValueError(f"gateways must be 0 to {GATEWAYS - 1}, not {numbers.max()}")
    return numbers, flags


def checked(criteria: Any, clauses: int) -> Criteria:
    """Check all columns and freeze them.

    Raises:
        TypeError: an argument is of another class; names it.
        ValueError: a dtype, shape or value is wrong; names the column.
    """
    if not isinstance(criteria, Criteria):
        raise TypeError(f"criteria must be Criteria, not {type(criteria).__name__}")
    made = {}
    for name, kind in KINDS.items():
        columns = getattr(criteria, name)
        if columns is not None and not isinstance(columns, kind):
            raise TypeError(f"criteria.{name} must be {kind.__name__} or None, not {type(columns).__name__}")
        made[name] = None if columns is None else _columns(columns, name, clauses)
    return Criteria(**made)


def _columns(columns: Any, name: str, clauses: int) -> Any:
    lines = len(columns.clause)
    if lines > LINES_MAX:
        raise ValueError(f"{name}.clause must have at most {LINES_MAX} lines, not {lines}")
    changed = {column: frozen(getattr(columns, column), f"{name}.{column}", dtype, lines)
               for column, dtype in DTYPES[type(columns)].items()}  # fmt: skip
    _within(changed["clause"], f"{name}.clause", 0, clauses - 1)
    made = columns._replace(**changed)
    check = CHECKS.get(type(columns))
    return made if check is None else check(made, name)


def _within(array: Numbers, name: str, low: int, high: int) -> None:
    if array.size and not (low <= int(array.min()) and int(array.max()) <= high):
        wrong = int(array.min()) if int(array.min()) < low else int(array.max())
        raise ValueError(f"{name} must be {low} to {high}, not {wrong}")


def _ordered(low: Numbers, high: Numbers, name: str) -> None:
    if (low > high).any():
        raise ValueError(f"{name} must not end before it begins, as in line {int(np.argmax(low > high))}")


def _labels(columns: Labels, name: str) -> Labels:
    offsets = frozen(columns.offsets, f"{name}.offsets", np.int32, None)
    members = frozen(columns.members, f"{name}.members", np.int32, None)
    if not offsets.size or offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(members):
        raise ValueError(f"{name}.offsets must ascend from 0 to the length of members, {len(members)}")
    _within(columns.label, f"{name}.label", 0, LINES_MAX)
    _within(members, f"{name}.members", 0, LINES_MAX)
    return columns._replace(offsets=offsets, members=members)


def _ranges(columns: Ranges, name: str) -> Ranges:
    lines = len(columns.clause)
    first, last = (frozen(getattr(columns, end), f"{name}.{end}", np.uint8, lines, 16) for end in ("first", "last"))
    if not np.isin(columns.version, (4, 6)).all():
        raise ValueError(f"{name}.version must be 4 or 6")
    mapped = np.array([0] * 10 + [0xFF] * 2, np.uint8)
    for end, array in (("first", first), ("last", last)):
        if ((array[:, :12] != mapped).any(axis=1) & (columns.version == 4)).any():
            raise ValueError(f"{name}.{end} must be ::ffff:a.b.c.d where version is 4")
    if lines and (np.ascontiguousarray(first).view("S16") > np.ascontiguousarray(last).view("S16")).any():
        raise ValueError(f"{name}.last must not be below first")
    if name == "destination" and columns.excluded.any():
        raise ValueError(f"{name}.excluded must be false: what is one of four kinds can not be excluded")
    return columns._replace(first=first, last=last)


def _patterns(columns: Patterns, name: str) -> Patterns:
    texts = tuple(columns.texts)
    if not all(isinstance(text, str) for text in texts) or len(set(texts)) != len(texts):
        raise ValueError(f"{name}.texts must be str, each once")
    if any(not 0 < len(text.removeprefix("*.").encode()) <= PATTERN_BYTES for text in texts):
        raise ValueError(f"{name}.texts must have 1 to {PATTERN_BYTES} bytes each")
    owner = frozen(columns.owner, f"{name}.owner", np.bool_, len(texts))
    _within(columns.pattern, f"{name}.pattern", 0, len(texts) - 1)
    if (columns.owned & ~owner[columns.pattern]).any():
        raise ValueError(f"{name}.owned must be set for patterns that are owners only")
    return columns._replace(texts=texts, owner=owner)


def _ages(columns: Ages, name: str) -> Ages:
    _ordered(columns.least, columns.below, name)
    return columns


def _services(columns: Services, name: str) -> Services:
    _within(columns.protocol, f"{name}.protocol", -1, 255)
    _within(columns.low, f"{name}.low", -1, PORT_MAX)
    _within(columns.high[columns.low >= 0], f"{name}.high", 0, PORT_MAX)
    _ordered(columns.low, np.where(columns.low < 0, columns.low, columns.high), name)
    return columns


def _ports(columns: Ports, name: str) -> Ports:
    _within(columns.low, f"{name}.low", 0, PORT_MAX)
    _within(columns.high, f"{name}.high", 0, PORT_MAX)
    _ordered(columns.low, columns.high, name)
    return columns


PATTERN_BYTES = 255
CHECKS: dict[type, Any] = {Labels: _labels, Ranges: _ranges, Patterns: _patterns, Ages: _ages, Services: _services,
                           Ports: _ports}  # fmt: skip


def check_tables(criteria: Criteria, *, countries: Any, workloads: Any) -> None:
    """Refuse a table of another class, and criteria whose table is missing.

    Raises:
        TypeError, ValueError: names the argument.
    """
    kinds = {"countries": (countries, Countries), "workloads": (workloads, Workloads)}
    for name, (table, kind) in kinds.items():
        if table is not None and not isinstance(table, kind):
            raise TypeError(f"{name} must be {kind.__name__} or None, not {type(table).__name__}")
    if countries is not None and not (isinstance(countries.v4, Lpm4) and isinstance(countries.v6, Lpm6)):
        raise TypeError("countries must be Countries(Lpm4, Lpm6)")
    for criterion, name in NEEDS.items():
        if getattr(criteria, criterion) is not None and kinds[name][0] is None:
            raise ValueError(f"{name} must be given, since criteria.{criterion} is")


NEEDS = {
    "source_workload": "workloads", "destination_workload": "workloads", "tag_age": "workloads",
    "country": "countries", "destination_country": "countries",
}  # fmt: skip


def name_numbers(value: Any) -> Numbers:
    """Check and freeze the numbers of sets of categories, by name."""
    return frozen(np.zeros(0, np.uint32) if value is None else value, "name_categories", np.uint32, None)
