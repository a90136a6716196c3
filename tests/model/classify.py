"""The reference of fastpath.classify: of all clauses whose lines hold, the first rule; each line read as it is written."""

import numpy as np

from fastpath import criteria as columns
from model.arguments import TIME, Array, takes

FRAGMENT_LATER = 2
TCP, UDP = 6, 17
LABELS = ("location", "namespace", "source_workload", "destination_workload", "country", "category", "naming")
NAME_BITS = 26
DESTINATION = ("destination", "destination_name", "destination_country", "destination_category")
AGE_UNKNOWN = 2**64 - 2


class RuleSet:
    def __init__(  # noqa: PLR0913 - the signature of fastpath's
        self, generation, *, actions, rule_of, criteria, countries=None, workloads=None, names=b"",
        name_categories=None, name_capacity=1, gateways=None, opens=None, watched=b"",
    ):  # fmt: skip
        self.generation = generation
        if len(watched) not in (0, 16_384):
            raise ValueError(f"watched must be 0 or 16384 bytes, not {len(watched)}")
        self.watched = watched
        self.actions = columns.frozen(actions, "actions", "uint8", None)
        self.rules = len(self.actions)
        self.gateways, self.opens = columns.checked_ways(gateways, opens, self.rules)
        self.rule_of = columns.rule_of(rule_of, self.rules)
        self.words = (len(self.rule_of) - 1) // 64 + 1
        self.criteria = columns.checked(criteria, len(self.rule_of))
        columns.check_tables(self.criteria, countries=countries, workloads=workloads)
        if not 1 <= name_capacity <= 1 << 26:
            raise ValueError(f"name_capacity must be 1 to {1 << 26}, not {name_capacity}")
        self.countries, self.workloads = countries, workloads
        self._lines = {name: by_clause(getattr(self.criteria, name)) for name in columns.KINDS}
        self.categories = dict(enumerate(columns.name_numbers(name_categories).tolist()))
        listed = bytes(names).decode().split("\n")
        if listed.pop() or len(listed) >= name_capacity:
            raise ValueError("names must be fewer than name_capacity and each end with a line feed")
        self.names = dict(enumerate(listed, 1))
        self.name_capacity = name_capacity
        self._likenesses = {}

    def bind_name(self, name_id, name, categories=2**32 - 1):
        if not 1 <= name_id < self.name_capacity:
            raise ValueError(f"name_id must be 1 to {self.name_capacity - 1}, not {name_id}")
        if self.names.setdefault(name_id, name) != name and self.speaks_of(self.names[name_id]):
            raise ValueError(f"name_id {name_id} is bound already")
        self.categories[name_id] = categories

    def speaks_of(self, name):
        lines = self.criteria.destination_name
        return lines is not None and any(is_named(lines, i, name) for i in range(len(lines.clause)))

    def likeness(self, name):
        lines = self.criteria.destination_name
        alike = () if lines is None else tuple(i for i in range(len(lines.clause)) if is_named(lines, i, name))
        clauses = frozenset(int(lines.clause[i]) for i in alike)
        return self._likenesses.setdefault(clauses, len(self._likenesses))

    @takes(locations=Array(np.uint32), name_ids=Array(np.uint32), out=Array(np.int32, written=True), now_ns=TIME)
    def decide_batch(self, batch, locations, name_ids, out, now_ns=0):
        for name, array in (("locations", locations), ("name_ids", name_ids), ("out", out)):
            if len(array) < batch.count:
                raise ValueError(f"{name} must have at least {batch.count} entries, not {len(array)}")
        alive = [i for i in range(batch.count) if batch.reason[i] == 0]
        out[: batch.count] = -1
        for i in alive:
            out[i] = self._decide(Packet(self, batch, i, int(locations[i]), int(name_ids[i]), now_ns))
        return len(alive)

    def _decide(self, packet):
        rules = [int(self.rule_of[c]) for c in range(len(self.rule_of)) if self._holds(c, packet)]
        return min(rules, default=self.rules - 1)

    def _holds(self, clause, packet):
        return (
            all(self._any(name, clause, packet.carries, packet.labels(name)) for name in LABELS)
            and self._in_ranges("source", clause, packet.source)
            and self._any("tag_age", clause, packet.is_old)
            and self._any("service", clause, packet.is_served)
            and self._any("source_port", clause, packet.comes_from)
            and self._destination(clause, packet)
        )

    def _destination(self, clause, packet):
        ranges, names, countries, categories = (self._lines[kind].get(clause) for kind in DESTINATION)
        if not (ranges or names or countries or categories):
            return True
        return bool(
            (ranges and self._in_ranges("destination", clause, packet.destination))
            or (names and any(is_named(self.criteria.destination_name, i, packet.name) for i in names))
            or (countries and self._any("destination_country", clause, packet.carries, packet.labels("country")))
            or (categories and self._any("destination_category", clause, packet.carries, packet.labels("category")))
        )

    def _any(self, criterion, clause, holds, *more):
        wanted = self._lines[criterion].get(clause)
        return not wanted or any(holds(getattr(self.criteria, criterion), i, *more) for i in wanted)

    def _in_ranges(self, criterion, clause, seen):
        lines, wanted = getattr(self.criteria, criterion), self._lines[criterion].get(clause, ())
        within = {i for i in wanted if lines.version[i] == seen[0]
                  and lines.first[i].tobytes() <= seen[1] <= lines.last[i].tobytes()}  # fmt: skip
        included = [i for i in wanted if not lines.excluded[i]]
        return not any(lines.excluded[i] for i in within) and (not included or bool(within & set(included)))


class Packet:
    """What one packet shows."""

    def __init__(self, rules, batch, i, location, name_id, now_ns):
        self.rules, version = rules, int(batch.ip_version[i])
        naming, name_id = name_id >> NAME_BITS, name_id & ((1 << NAME_BITS) - 1)
        self.source, self.destination = (version, batch.source[i].tobytes()), (version, batch.destination[i].tobytes())
        self.protocol = int(batch.protocol[i])
        self.has_ports = self.protocol in (TCP, UDP) and batch.fragment[i] != FRAGMENT_LATER
        self.source_port, self.port = int(batch.source_port[i]), int(batch.destination_port[i])
        self.name = rules.names.get(name_id)
        namespace = int(batch.namespace[i])
        source_set, self.age = self._workload(namespace, self.source, now_ns)
        self._numbers = {
            "location": location, "namespace": namespace, "source_workload": source_set,
            "destination_workload": self._workload(namespace, self.destination, now_ns)[0],
            "country": self._country(),
            "category": rules.categories.get(name_id) if name_id in rules.names else None,
            "naming": naming,
        }  # fmt: skip

    def _workload(self, namespace, address, now_ns):
        version, packed = address
        mapped = packed[:12] == bytes(10) + b"\xff\xff"
        if self.rules.workloads is None or mapped != (version == 4):
            return None, AGE_UNKNOWN
        return self.rules.workloads.lookup(namespace, packed, now_ns) or (None, AGE_UNKNOWN)

    def _country(self):
        version, packed = self.destination
        if self.rules.countries is None:
            return None
        if version == 4:
            return self.rules.countries.v4.lookup(int.from_bytes(packed[12:]))
        return self.rules.countries.v6.lookup(packed)

    def labels(self, name):
        return self._numbers[name]

    def carries(self, lines, i, number):
        if number is None or number >= len(lines.offsets) - 1:
            return False
        return lines.label[i] in lines.members[lines.offsets[number] : lines.offsets[number + 1]]

    def is_old(self, lines, i):
        return lines.least[i] <= self.age < lines.below[i]

    def is_served(self, lines, i):
        if lines.protocol[i] not in (-1, self.protocol):
            return False
        return lines.low[i] < 0 or (self.has_ports and lines.low[i] <= self.port <= lines.high[i])

    def comes_from(self, lines, i):
        return self.has_ports and lines.low[i] <= self.source_port <= lines.high[i]


def by_clause(lines):
    """Numbers of the lines of each clause that has some."""
    found = {}
    for i, clause in enumerate([] if lines is None else lines.clause.tolist()):
        found.setdefault(clause, []).append(i)
    return found


def is_named(lines, i, name):
    """Tell whether line i is content with a name."""
    if name is None:
        return False
    pattern = lines.texts[lines.pattern[i]]
    if not lines.owned[i]:
        return pattern in patterns_of(name)
    owners = {text for text, owner in zip(lines.texts, lines.owner, strict=True) if owner}
    return pattern == next((text for text in patterns_of(name) if text in owners), None)


def patterns_of(name):
    """Every pattern that a name matches, the most specific first."""
    labels = name.split(".")
    return [name, *("*." + ".".join(labels[i:]) for i in range(1, len(labels)))]
