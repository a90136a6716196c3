"""Bindings of fastpath.nat and its model, by one suite: which port a flow gets, and that it is given back."""

import ipaddress

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import machine_scripts
from fastpath import nat
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from model import nat as reference

SEED = bytes(range(32))
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}


@pytest.fixture(params=[nat, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def mapped(text):
    address = ipaddress.ip_address(text)
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


LOCAL, REMOTE, OTHER = mapped("192.0.2.1"), mapped("198.51.100.7"), mapped("203.0.113.9")


def test_the_wanted_port_is_taken_when_free(impl):
    table = impl.NatTable(10, (1024, 65535), SEED)
    assert table.bind_one(6, LOCAL, REMOTE, 443, 50000, 5) == 50000
    assert table.find_one(6, LOCAL, 50000, REMOTE, 443) == 5
    assert len(table) == table.size == 1


def test_a_taken_or_unsuitable_port_gives_way_to_one_in_the_range(impl):
    table = impl.NatTable(10, (2000, 2003), SEED)
    first = table.bind_one(6, LOCAL, REMOTE, 443, 2001, 1)
    second = table.bind_one(6, LOCAL, REMOTE, 443, 2001, 2)
    third = table.bind_one(6, LOCAL, REMOTE, 443, 80, 3)
    assert first == 2001
    assert len({first, second, third}) == 3
    assert {second, third} < {2000, 2002, 2003}
    assert [table.find_one(6, LOCAL, port, REMOTE, 443) for port in (first, second, third)] == [1, 2, 3]


def test_one_port_serves_many_remote_ends_protocols_and_locals(impl):
    table = impl.NatTable(10, (1024, 65535), SEED)
    ends = [(6, LOCAL, REMOTE, 443), (17, LOCAL, REMOTE, 443), (6, OTHER, REMOTE, 443), (6, LOCAL, OTHER, 443),
            (6, LOCAL, REMOTE, 444)]
    for flow, (protocol, local, remote, remote_port) in enumerate(ends):
        assert table.bind_one(protocol, local, remote, remote_port, 5000, flow) == 5000
    for flow, (protocol, local, remote, remote_port) in enumerate(ends):
        assert table.find_one(protocol, local, 5000, remote, remote_port) == flow


def test_all_ports_of_the_range_are_given_out_once_then_none(impl):
    table = impl.NatTable(1000, (3000, 3299), SEED)
    ports = [table.bind_one(17, LOCAL, REMOTE, 53, 7, flow) for flow in range(300)]
    assert sorted(ports) == list(range(3000, 3300))
    assert table.bind_one(17, LOCAL, REMOTE, 53, 7, 300) is None
    assert table.bind_one(17, LOCAL, REMOTE, 54, 7, 301) is not None
    assert table.release_one(17, LOCAL, 3111, REMOTE, 53)
    assert table.bind_one(17, LOCAL, REMOTE, 53, 7, 302) == 3111


def test_a_full_table_binds_nothing_until_a_release(impl):
    table = impl.NatTable(2, (1, 65535), SEED)
    assert table.bind_one(6, LOCAL, REMOTE, 1, 10, 1) == 10
    assert table.bind_one(6, LOCAL, REMOTE, 2, 10, 2) == 10
    assert table.bind_one(6, LOCAL, REMOTE, 3, 10, 3) is None
    assert table.release_one(6, LOCAL, 10, REMOTE, 1)
    assert table.bind_one(6, LOCAL, REMOTE, 3, 10, 3) == 10


def test_searches_where_next_to_no_port_is_free_end():
    table = nat.NatTable(1 << 18, (1024, 65535), SEED)
    for port in range(1024, 65536):
        assert table.bind_one(6, LOCAL, REMOTE, 443, port, port) == port
    assert table.bind_one(6, LOCAL, REMOTE, 443, 1, 0) is None and table.looked == 64512
    before = table.looked
    for port in range(2000, 3000):                       # one is given back, one is wanted, one too many is wanted
        table.release_one(6, LOCAL, port, REMOTE, 443)
        assert [table.bind_one(6, LOCAL, REMOTE, 443, 1, 0) for _ in range(2)] == [port, None]
    assert table.looked == before
    for port in range(2000, 2010):                       # several are: they are found, as far as that pays
        table.release_one(6, LOCAL, port, REMOTE, 443)
    found = [table.bind_one(6, LOCAL, REMOTE, 443, 1, 0) for _ in range(5000)]
    assert {port for port in found if port} == set(range(2000, 2010))
    assert table.looked - before < 64 * 5000 + (1 << 17)
    assert table.bind_one(6, LOCAL, OTHER, 443, 1, 0)    # another remote end is not touched by it


def test_release_forgets_once(impl):
    table = impl.NatTable(10, (1024, 65535), SEED)
    table.bind_one(6, LOCAL, REMOTE, 443, 50000, 5)
    assert table.release_one(6, LOCAL, 50000, REMOTE, 443) is True
    assert table.release_one(6, LOCAL, 50000, REMOTE, 443) is False
    assert table.find_one(6, LOCAL, 50000, REMOTE, 443) == -1
    assert len(table) == 0


def test_ports_that_an_attacker_sees_do_not_tell_the_next_remote_ends():
    runs = []
    for seed in (SEED, SEED[::-1]):
        table = nat.NatTable(100, (1024, 65535), seed)
        runs.append([table.bind_one(6, LOCAL, REMOTE, port, 0, 1) for port in range(20)])
    assert runs[0] != runs[1]
    assert len(set(runs[0])) > 15


def test_wrong_calls_are_refused_by_name(impl):
    for capacity in (0, -1, (1 << 28) + 1):
        with pytest.raises(ValueError, match="capacity"):
            impl.NatTable(capacity, (1, 2), SEED)
    for ports in ((0, 5), (6, 5), (1, 65536)):
        with pytest.raises(ValueError, match="ports"):
            impl.NatTable(1, ports, SEED)
    with pytest.raises(ValueError, match="seed"):
        impl.NatTable(1, (1, 2), bytes(31))
    table = impl.NatTable(1, (1, 2), SEED)
    with pytest.raises(ValueError, match="protocol"):
        table.bind_one(47, LOCAL, REMOTE, 0, 1, 1)
    with pytest.raises(ValueError, match="local"):
        table.bind_one(6, b"", REMOTE, 0, 1, 1)
    with pytest.raises(ValueError, match="remote"):
        table.find_one(6, LOCAL, 1, bytes(17), 0)


ENDS = st.tuples(st.sampled_from([1, 6, 17, 58]), st.sampled_from([LOCAL, OTHER]),
                 st.sampled_from([REMOTE, mapped("203.0.113.1")]), st.integers(0, 2))
ROWS = 6


def rows_of(flows, *, back):
    """A batch of packets as packet.parse leaves them: outbound with the wanted port, or the answers to it."""
    batch = PacketBatch(ROWS, 256)
    batch.reset(len(flows))
    batch.ip_version[:], batch.inner_start[:], batch.inner_length[:], batch.l4_start[:] = 4, 128, 64, 148
    batch.data[:, 128] = 0x45
    for i, (protocol, local, remote, remote_port, port) in enumerate(flows):
        batch.protocol[i], batch.data[i, 148] = protocol, {1: 8, 58: 128}.get(protocol, 0)
        ends = (batch.destination, batch.source) if back else (batch.source, batch.destination)
        ports = (batch.destination_port, batch.source_port) if back else (batch.source_port, batch.destination_port)
        for column, value in zip((*ends, *ports), (list(local), list(remote), port, remote_port), strict=True):
            column[i] = value
    return batch, np.arange(len(flows), dtype=np.uint16)


class Machine(RuleBasedStateMachine):
    """Any sequence of binds and releases, one by one or by rows: what the model says is bound, is; a port is given out only
    when it is free, the wanted one if it is; a full table and an exhausted range refuse and change nothing."""

    @initialize(capacity=st.integers(1, 12), low=st.integers(1, 65530), ports=st.integers(0, 5))
    def start(self, capacity, low, ports):
        self.table = nat.NatTable(capacity, (low, low + ports), SEED)
        self.model = reference.NatTable(capacity, (low, low + ports), SEED)
        self.ports = range(low, low + ports + 1)

    def agreed(self, end, wanted, flow, port):
        """Hold what was given out against the model, and let the model give out the same."""
        protocol, local, remote, remote_port = end
        free = [one for one in self.ports if (protocol, local, one, remote, remote_port) not in self.model.flows]
        if not free or len(self.model) == self.model.capacity:
            assert port is None
            return
        assert port == wanted if wanted in free else port in free
        assert self.model.bind_one(protocol, local, remote, remote_port, port, flow) == port

    @rule(end=ENDS, wanted=st.integers(-1, 6), flow=st.integers(0, 1 << 30))
    def bind(self, end, wanted, flow):
        protocol, local, remote, remote_port = end
        wanted = (self.ports[0] + wanted) % 65536
        self.agreed(end, wanted, flow, self.table.bind_one(protocol, local, remote, remote_port, wanted, flow))

    @rule(ends=st.lists(st.tuples(ENDS, st.integers(0, 6)), max_size=ROWS), flow=st.integers(0, 1 << 30))
    def bind_rows(self, ends, flow):
        # The remote port of an echo is its identifier's place and always 0 in a binding.
        ends = [((protocol, local, remote, 0 if protocol in (1, 58) else remote_port), min(self.ports[0] + wanted, 65535))
                for (protocol, local, remote, remote_port), wanted in ends]
        batch, rows = rows_of([(*end, wanted) for end, wanted in ends], back=False)
        local = np.array([list(end[1]) for end, _ in ends], np.uint8).reshape(-1, 16)
        flows, ports = np.arange(flow, flow + len(ends), dtype=np.int64).astype(np.int32), np.zeros(len(ends), np.uint16)
        bound = self.table.bind_rows(batch, rows, local, flows, ports)
        for i, (end, wanted) in enumerate(ends):
            refused = batch.reason[i] == DropReason.DROP_NAT_EXHAUSTED
            assert refused or batch.reason[i] == 0
            self.agreed(end, wanted, int(flows[i]), None if refused else int(ports[i]))
        assert bound == int((batch.reason[:len(ends)] == 0).sum())

    @rule(ends=st.lists(st.tuples(ENDS, st.integers(0, 6)), max_size=ROWS))
    def find_rows(self, ends):
        answers = [(*end, min(self.ports[0] + offset, 65535)) for end, offset in ends]
        batch, rows = rows_of(answers, back=True)
        found, expected = np.zeros(len(ends), np.int32), np.zeros(len(ends), np.int32)
        assert self.table.find_rows(batch, rows, found) == self.model.find_rows(batch, rows, expected)
        assert found.tolist() == expected.tolist()
        assert not batch.reason[:len(ends)].any()

    @rule(end=ENDS, offset=st.integers(0, 6))
    def release(self, end, offset):
        protocol, local, remote, remote_port = end
        port = min(self.ports[0] + offset, 65535)
        was = self.model.release_one(protocol, local, port, remote, remote_port)
        assert self.table.release_one(protocol, local, port, remote, remote_port) == was

    @invariant()
    def what_is_bound_is_found(self):
        if hasattr(self, "table"):
            assert len(self.table) == len(self.model)
            for (protocol, local, port, remote, remote_port), flow in self.model.flows.items():
                assert self.table.find_one(protocol, local, port, remote, remote_port) == flow


@pytest.mark.parametrize("steps", machine_scripts.NAT.values(), ids=machine_scripts.NAT)
def test_a_written_sequence_of_bindings(steps):
    machine_scripts.play(Machine, "what_is_bound_is_found", steps)


TestAnyBindings = Machine.TestCase
TestAnyBindings.settings = settings(max_examples=80, stateful_step_count=40, deadline=None,
                                    suppress_health_check=list(HealthCheck))
