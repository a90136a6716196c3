"""compile: a policy as bitmaps and prefix lists, for fastpath.classify.

Journey: after an edit, once; the result goes through zcc.connector.ruleset into the data plane. The
connector's group is resolved here. Each criterion becomes a table from what a packet shows (location,
address, service, name) to the number of a row; a row is a bitmap over the clauses that this value lets
match. Equal rows are one row. It knows nothing of fastpath.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network

import numpy as np
import numpy.typing as npt

from zcc.errors import ZccError
from zcc.policy.clauses import Clause, ports_of
from zcc.policy.criteria import TCP, UDP, AddressRange
from zcc.policy.model import Policy, Rule
from zcc.policy.names import NameBook, PatternMap, application_map, patterns_of
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of

__all__ = ["CompiledPolicy", "NetworkRows", "PolicyTooLarge", "ServiceRows", "compile_policy"]

ROW_NUMBERS = 1 << 16  # a service row's number has 16 bits
PORTS = 1 << 16
NOT_YET = ("namespaces", "not_sources", "source_groups", "tag_age", "destination_groups", "countries",
           "categories", "source_ports")
Network = IPv4Network | IPv6Network
Bitmap = npt.NDArray[np.uint64]


class PolicyTooLarge(ZccError):
    """The rules tell more kinds of services apart than the data plane can."""


class RowBook:
    """Distinct bitmaps and their row numbers."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def number(self, bits: int) -> int:
        """Return the row of a bitmap, a new one if need be."""
        return self._numbers.setdefault(bits, len(self._numbers))

    def array(self, words: int) -> Bitmap:
        """Make uint64[rows, words]."""
        return _array(self._numbers, words)


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """A criterion over addresses: the row of the longest prefix that holds an address, or `default`."""

    prefixes: tuple[tuple[Network, int], ...]
    default: int
    rows: Bitmap


@dataclass(frozen=True, slots=True)
class ServiceRows:
    """The row of a TCP or UDP port (uint16[65536]), or of a protocol (uint16[256])."""

    tcp: npt.NDArray[np.uint16]
    udp: npt.NDArray[np.uint16]
    protocols: npt.NDArray[np.uint16]
    rows: Bitmap


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy for connectors of one group; immutable."""

    rules: tuple[Rule, ...]  # all, by rule index; their methods are the actions
    rule_of: npt.NDArray[np.int32]  # rule index of each clause
    location_ids: dict[str, int]  # from 1, in the order of Policy.locations; 0 = none
    location_rows: Bitmap  # by location id
    sources: NetworkRows
    destinations: NetworkRows
    services: ServiceRows
    name_rows: Bitmap  # row 0: names that no rule speaks of
    name_row_of: npt.NDArray[np.uint32]  # by number of the name; as many as the book has
    _patterns: PatternMap[int] = field(repr=False)

    @property
    def words(self) -> int:
        """Words of a bitmap."""
        return int(self.name_rows.shape[1])

    def name_row(self, name: str) -> int:
        """Return the row of a name. There is one for every name there can be."""
        return self._patterns.get(name) or 0


def compile_policy(policy: Policy, group: str, names: NameBook | None = None) -> CompiledPolicy:
    """Compile a policy for connectors of a group.

    Args:
        names: names that have numbers already; without it, room for none.
    Raises:
        PolicyTooLarge: more distinct service rows than 16 bits can number.
    """
    clauses = clauses_of(policy, group)
    for clause in clauses:
        _check(clause)
    words = (len(clauses) - 1) // 64 + 1
    ids = {name: number for number, name in enumerate(Places(policy).names, 1)}
    name_rows, patterns = _name_rows(policy, clauses, words)
    row_of = np.zeros(names.capacity if names else 1, np.uint32)
    for number, name in names.items() if names else ():
        row_of[number] = patterns.get(name) or 0
    return CompiledPolicy(
        rules=policy.ordered(),
        rule_of=np.array([clause.index for clause in clauses], np.int32),
        location_ids=ids,
        location_rows=_location_rows(policy, clauses, words),
        sources=_network_rows([(clause.sources or (), clause.sources is None) for clause in clauses], words),
        destinations=_network_rows([_destination_ranges(clause) for clause in clauses], words),
        services=_service_rows(clauses, words),
        name_rows=name_rows,
        name_row_of=row_of,
        _patterns=patterns,
    )


def _check(clause: Clause) -> None:
    targets = clause.destinations
    wanted = [name for name in NOT_YET if getattr(clause, name)]
    if wanted or (targets and (targets.countries or targets.categories)):
        raise ZccError(f"rule {clause.index} has criteria that the data plane does not tell apart yet: "
                       f"{', '.join(wanted) or 'countries or categories of destinations'}")


def _bits(clauses: Iterable[Clause], matches: Callable[[Clause], bool]) -> int:
    return sum(1 << number for number, clause in enumerate(clauses) if matches(clause))


def _location_rows(policy: Policy, clauses: Sequence[Clause], words: int) -> Bitmap:
    rows = [_bits(clauses, lambda clause: clause.locations is None)]
    rows += [rows[0] | _bits(clauses, partial(_is_in, name)) for name in Places(policy).names]
    return _array(rows, words)


def _is_in(location: str, clause: Clause) -> bool:
    return clause.locations is not None and location in clause.locations


def _array(rows: Iterable[int], words: int) -> Bitmap:
    packed = b"".join(bits.to_bytes(words * 8, "little") for bits in rows)
    return np.frombuffer(packed, np.dtype("<u8")).astype(np.uint64).reshape(-1, words)


def _destination_ranges(clause: Clause) -> tuple[tuple[AddressRange, ...], bool]:
    """The networks of a clause's destination criterion, and whether any address matches."""
    return (clause.destinations.ranges, False) if clause.destinations is not None else ((), True)


def _network_rows(criteria: Sequence[tuple[Sequence[AddressRange], bool]], words: int) -> NetworkRows:
    """One row a prefix: bits of the clauses that name it or one around it, and of those that name none."""
    anywhere = sum(1 << number for number, (_, empty) in enumerate(criteria) if empty)
    own: dict[Network, int] = {}
    for number, (ranges, _) in enumerate(criteria):
        for network in {network for value in ranges for network in value.networks()}:
            own[network] = own.get(network, 0) | 1 << number
    lengths = {version: sorted({n.prefixlen for n in own if n.version == version}) for version in (4, 6)}
    book = RowBook()
    default = book.number(anywhere)
    prefixes = []
    for network in own:
        bits = anywhere
        for length in lengths[network.version]:
            if length <= network.prefixlen:
                bits |= own.get(network.supernet(new_prefix=length), 0)
        prefixes.append((network, book.number(bits)))
    return NetworkRows(tuple(prefixes), default, book.array(words))


def _service_rows(clauses: Sequence[Clause], words: int) -> ServiceRows:
    book = RowBook()
    tables = {protocol: _port_table(clauses, protocol, book) for protocol in (TCP, UDP)}
    protocols = np.zeros(256, np.uint16)
    for number in range(256):
        protocols[number] = _small(book.number(_bits(clauses, partial(_is_wide, number))))
    return ServiceRows(tables[TCP], tables[UDP], protocols, book.array(words))


def _is_wide(protocol: int, clause: Clause) -> bool:
    return clause.services is None or any(
        reach.ports is None and (reach.protocols is None or protocol in reach.protocols) for reach in clause.services)


def _port_table(clauses: Sequence[Clause], protocol: int, book: RowBook) -> npt.NDArray[np.uint16]:
    """Sweep the ports upwards; at an end of an interval the clause's bit turns over."""
    turns: dict[int, int] = {0: 0}
    for number, clause in enumerate(clauses):
        for port in (end for low, high in ports_of(clause.services, protocol) for end in (low, high + 1)):
            turns[port] = turns.get(port, 0) ^ 1 << number
    table = np.zeros(PORTS, np.uint16)
    bits = 0
    for port in sorted(turns):
        bits ^= turns[port]
        if port < PORTS:
            table[port:] = _small(book.number(bits))
    return table


def _small(row: int) -> int:
    if row >= ROW_NUMBERS:
        raise PolicyTooLarge(f"the rules and applications tell more than {ROW_NUMBERS} kinds of services "
                             "apart; use fewer distinct port ranges")
    return row


def _name_rows(policy: Policy, clauses: Sequence[Clause], words: int) -> tuple[Bitmap, PatternMap[int]]:
    """A row a pattern in use: what a name matches depends only on the most specific that it matches."""
    by_pattern: dict[str, int] = {}
    for number, clause in enumerate(clauses):
        for value in clause.destinations.patterns if clause.destinations else ():
            by_pattern[value] = by_pattern.get(value, 0) | 1 << number
    by_application: dict[str, int] = {}
    for number, clause in enumerate(clauses):
        for name in clause.destinations.applications if clause.destinations else ():
            by_application[name] = by_application.get(name, 0) | 1 << number
    owners = application_map(policy.applications)
    book = RowBook()
    book.number(0)
    rows: list[tuple[str, int]] = []
    for pattern in {**by_pattern, **dict.fromkeys(owners)}:
        # A wildcard stands for a name below it that nobody lists: "?" is no character of a name.
        name = pattern.replace("*", "?", 1)
        owner = owners.get(name)
        bits = by_application.get(owner.name, 0) if owner is not None else 0
        for match in patterns_of(name):
            bits |= by_pattern.get(match, 0)
        rows.append((pattern, book.number(bits)))
    return book.array(words), PatternMap(rows)


