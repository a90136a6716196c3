"""The reference of fastpath.classify: the first clause whose bit is set in every criterion's row."""

from fastpath import criteria

FRAGMENT_LATER = 2
TCP, UDP = 6, 17


def bit(rows, row, clause):
    return int(rows[row][clause // 64]) >> (clause % 64) & 1


class RuleSet:
    def __init__(  # noqa: PLR0913 - the signature of fastpath's
        self, generation, *, actions, rule_of, location, source, destination, service, name, spare_rows=1024
    ):
        self.generation = generation
        self.actions = criteria.frozen(actions, "actions", "uint8", None)
        self.rules = len(self.actions)
        self.rule_of = criteria.rule_of(rule_of, self.rules)
        last = len(self.rule_of) - 1
        self.words = last // 64 + 1
        self.location = criteria.rows(location, "location", self.words, last)
        self.source, self.destination = source, destination
        self.source_rows = criteria.networks(source, "source", self.words, last)
        self.destination_rows = criteria.networks(destination, "destination", self.words, last)
        self.service = criteria.services(service, self.words, last)
        names = criteria.names(name, self.words, spare_rows)
        self.row_of = names.row_of.copy()
        self.name_rows = [list(row) for row in name.rows]
        self.room = len(names.rows)

    name_capacity = property(lambda self: len(self.row_of))
    spare_name_rows = property(lambda self: self.room - len(self.name_rows))

    def _network_row(self, networks, address, version):
        return networks.v4.lookup(bytes(address[12:])) if version == 4 else networks.v6.lookup(bytes(address))

    def _service_row(self, protocol, port, fragment):
        if protocol == TCP and fragment != FRAGMENT_LATER:
            return self.service.tcp[port]
        if protocol == UDP and fragment != FRAGMENT_LATER:
            return self.service.udp[port]
        return self.service.protocols[protocol]

    def _decide(self, b, i, location, name_id):
        version = b.ip_version[i]
        source = self._network_row(self.source, b.source[i], version)
        destination = self._network_row(self.destination, b.destination[i], version)
        service = self._service_row(b.protocol[i], b.destination_port[i], b.fragment[i])
        location = location if location < len(self.location) else 0
        name = self.row_of[name_id] if name_id < len(self.row_of) else 0
        for clause, rule in enumerate(self.rule_of):
            if (
                bit(self.location, location, clause)
                and bit(self.source_rows, source, clause)
                and bit(self.service.rows, service, clause)
                and (bit(self.destination_rows, destination, clause) or bit(self.name_rows, name, clause))
            ):
                return int(rule)
        raise AssertionError("the last clause matches everything")

    def decide_batch(self, batch, locations, name_ids, out):
        for name, array in (("locations", locations), ("name_ids", name_ids), ("out", out)):
            if len(array) < batch.count:
                raise ValueError(f"{name} must have at least {batch.count} entries, not {len(array)}")
        alive = [i for i in range(batch.count) if batch.reason[i] == 0]
        out[: batch.count] = -1
        for i in alive:
            out[i] = self._decide(batch, i, locations[i], name_ids[i])
        return len(alive)

    def add_name_row(self, bitmap):
        row = criteria.frozen(bitmap, "bitmap", "uint64", self.words)
        if not self.spare_name_rows:
            raise ValueError("bitmap must fit into the spare rows: none is spare")
        self.name_rows.append(list(row))
        return len(self.name_rows) - 1

    def bind_name(self, name_id, row):
        if not 1 <= name_id < len(self.row_of):
            raise ValueError(f"name_id must be 1 to {len(self.row_of) - 1}, not {name_id}")
        if row >= len(self.name_rows):
            raise ValueError(f"row must be below {len(self.name_rows)}, not {row}")
        if self.row_of[name_id] not in (0, row):
            raise ValueError(f"name_id {name_id} is bound already")
        self.row_of[name_id] = row


class NameTable:
    """A dictionary; when it is full, the name that expires first of all gives way."""

    def __init__(self, capacity, seed=None):
        if not 8 <= capacity <= 1 << 26:
            raise ValueError(f"capacity must be 8 to {1 << 26}, not {capacity}")
        if seed is not None and len(seed) != 32:
            raise ValueError("seed must be 32 bytes")
        self.capacity = 1 << (capacity - 1).bit_length()
        self.replaced = 0
        self._names = {}

    size = property(lambda self: len(self._names))

    @staticmethod
    def _key(namespace, address):
        if len(address) != 16:
            raise ValueError(f"address must be 16 bytes, not {len(address)}")
        return namespace, bytes(address)

    def lookup(self, namespace, address, now_ns):
        name_id, expires_ns = self._names.get(self._key(namespace, address), (0, 0))
        return name_id if expires_ns > now_ns else 0

    def insert(self, namespace, address, name_id, expires_ns):
        key = self._key(namespace, address)
        if name_id == 0:
            raise ValueError("name_id must be 1 or more, not 0")
        if key not in self._names and len(self._names) == self.capacity:
            del self._names[min(self._names, key=lambda other: self._names[other][1])]
            self.replaced += 1
        self._names[key] = name_id, max(expires_ns, 1)

    def remove(self, namespace, address):
        return self._names.pop(self._key(namespace, address), None) is not None
