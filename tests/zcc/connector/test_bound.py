"""Flows that lead to the listeners: known by the worker's events, and by its table where events were lost."""

from types import SimpleNamespace

from fastpath.message import Command, drain
from inner_packets import tcp
from isolation import isolated
from worker_rig import APPLICATION, INTERNAL, WorkerRig
from zcc.connector.bound import LOOK_S, Bound
from zcc.connector.events import Events


class Ends:
    """A worker, and what is known here of its flows."""

    def __init__(self, event_bytes: int) -> None:
        self.rig = WorkerRig(flows=64, event_bytes=event_bytes)
        self.rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=self.rig.portal, until_ns=1 << 62)
        self.bound = Bound(SimpleNamespace(
            events=[self.rig.events], workers=[self.rig.worker], aliases_of=lambda number: INTERNAL[2]))
        self.events, self.due, self.ended = Events(INTERNAL[2], ()), [], []
        self.bound.loop = SimpleNamespace(call_later=lambda after, call: self.due.append((after, call)))
        self.bound.ended = self.ended.append
        self.port = 1024

    def open(self, n: int) -> None:
        """Workloads open n connections; their events are taken after that."""
        packets = [tcp(f"10.8.6.{1 + (self.port + k) % 14}", str(APPLICATION), self.port + k, 80) for k in range(n)]
        self.port += n
        self.rig.from_workload(*packets)
        self.rig.to_kernel(), self.rig.to_workload()
        self.pump()

    def pump(self) -> None:
        """Take the worker's events."""
        for event in drain(self.rig.events):
            self.bound.track(self.events.punt(event))
        self.bound.watch()


@isolated
def test_flows_whose_end_was_lost_are_forgotten_all_the_same():
    ends = Ends(1 << 12)
    for _ in range(100):
        ends.open(30)
    for _ in range(4):
        ends.rig.step(31)
        ends.pump()
    left = len(ends.bound)
    assert left > 0 and ends.rig.flows.size == 0, "no end was lost: this shows nothing"
    ends.open(3)
    assert len(ends.due) == 1 and ends.due[0][0] == LOOK_S      # asked for once, however often something was lost
    ends.due.pop()[1]()
    assert (len(ends.bound), len(ends.ended), ends.ended[0].destination) == (3, left, APPLICATION)
    ends.rig.step(31)
    ends.pump()
    assert len(ends.bound) == 0


@isolated
def test_where_nothing_is_lost_nobody_looks():
    ends = Ends(1 << 20)
    ends.open(20)
    assert len(ends.bound) == 20
    for flow in list(ends.bound._flows.values()):
        assert ends.bound.get(flow.protocol, flow.alias, flow.nat_port) is flow
    ends.bound.look()
    assert len(ends.bound) == 20
    ends.rig.step(31)
    ends.pump()
    assert (len(ends.bound), ends.due, ends.ended) == (0, [], [])
