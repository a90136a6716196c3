"""Floods: what a worker does before, during and after one. All figures are counts; no clock is looked at.

A flow that was answered goes on, new ones get through once the flood is over, and every table stays as large as it was made.
"""

import os
import random
import resource

import pytest
from scapy.layers.inet import IP
from scapy.packet import Raw

from fastpath import gwlb
from fastpath.action import Action, PuntReason
from fastpath.askers import AskerTable
from fastpath.message import Command
from inner_packets import TCP_PORT, WORKLOAD, read, tcp, udp
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, INTERNAL, REMOTE, WorkerRig

ROUNDS, A_ROUND = 120, 100
SEED = bytes(range(1, 33))
LIVELY = udp(WORKLOAD, REMOTE, 4000, 9)
ANSWER = udp(REMOTE, str(EGRESS4), 9, 4000)
GROWTH_KIB = 1024               # of the process in the second half of a flood; in the first, tables are used that were not yet
# AddressSanitizer keeps freed memory back, so the process grows whatever we do: the ordinary build's tests look at its size.
SIZE_SAYS_NOTHING = "libasan" in os.environ.get("LD_PRELOAD", "")


class Flood:
    """A worker with an answered flow, and what of it came through."""

    def __init__(self, **changes):
        self.chance = random.Random(20_261_126)
        self.rig = WorkerRig(**changes)
        self.there = self.back = 0
        self.lively()
        self.size = self.rig.flows.size
        self.before = dict(self.rig.drops())

    def lively(self):
        """The answered flow says something and is answered."""
        rig = self.rig
        rig.from_workload(LIVELY)
        self.there += sum(packet[20:24] == LIVELY[20:24] for packet in rig.to_kernel())
        rig.from_kernel(ANSWER)
        self.back += sum(frame[40:].endswith(ANSWER[28:]) for frame in rig.to_workload())

    def run(self, make):
        """The flood: make() returns whole Geneve packets; the lively flow speaks between them."""
        rig = self.rig
        self.there = self.back = sent = 0
        memory = 0
        for k in range(ROUNDS):
            if k == ROUNDS // 2:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            frames = [make() for _ in range(A_ROUND)]
            for frame in frames:
                rig.from_gwlb(frame)
            sent += len(frames)
            rig._arrived(rig.worker.geneve)
            rig.step()
            rig.to_kernel(), rig.to_workload()
            self.lively()
        assert (self.there, self.back) == (ROUNDS, ROUNDS), "the answered flow has lost packets"
        assert SIZE_SAYS_NOTHING or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < GROWTH_KIB
        return sent

    def dropped(self):
        return {name: n - self.before.get(name, 0) for name, n in self.rig.drops().items() if n != self.before.get(name, 0)}

    def address(self):
        return f"10.{self.chance.randrange(8, 200)}.{self.chance.randrange(256)}.{self.chance.randrange(1, 255)}"


def geneve(packet, cookie=7):
    return gwlb.header(0xAAA, 2, cookie, packet[0] >> 4) + packet


def serves_anew(rig):
    """Whether a new connection gets through."""
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4100, 443))
    return [read(packet).dport for packet in rig.to_kernel()] == [443]


@isolated
def test_syns_of_distinct_sources_push_out_each_other_only():
    flood = Flood(flows=64)
    rig = flood.rig
    sent = flood.run(lambda: geneve(tcp(flood.address(), REMOTE, flood.chance.randrange(1024, 65536), 443)))
    counts = rig.worker.counters()
    assert rig.flows.size <= 64 and rig.nat.size <= 64
    assert counts["opened"] > 0.95 * sent and counts["evicted"] >= counts["opened"] - 64
    assert serves_anew(rig)
    rig.step(31)
    flood.lively()
    assert rig.flows.size == 1                       # after: all that the flood left is gone


@isolated
def test_connections_that_are_answered_but_never_go_on_push_out_each_other_only():
    flood = Flood(flows=64)
    rig = flood.rig
    for k in range(4 * 64):
        rig.from_workload(tcp(flood.address(), REMOTE, 2000 + k, 443))
        (syn,) = rig.to_kernel()                         # their server answers, whoever the source may be
        rig.from_kernel(tcp(REMOTE, str(EGRESS4), 443, read(syn).sport, "SA"))
        if k % 16 == 0:
            flood.lively()
    assert (flood.there, flood.back) == (17, 17) and flood.dropped() == {}
    assert serves_anew(rig)
    rig.step(31)
    flood.lively()
    assert rig.flows.size == 1


@isolated
def test_forged_sources_use_aliases_up_but_not_for_good():
    rig = WorkerRig(flows=1024)
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    rig.from_workload(tcp(WORKLOAD, str(APPLICATION), 4000, 80))
    (first,) = rig.to_kernel()
    alias, nat_port = read(first).src, read(first).sport
    for k in range(40):                                  # the rig has 16
        rig.from_workload(tcp(f"10.66.0.{k + 1}", str(APPLICATION), 4000, 80))
    assert len(rig.to_kernel()) == 15
    for _ in range(70):                                  # what was begun and never went on ends; one that speaks stays
        rig.step(5)
        rig.from_workload(tcp(WORKLOAD, str(APPLICATION), 4000, 80, "A"))
        rig.from_kernel(tcp(str(INTERNAL[1]), alias, TCP_PORT, nat_port, "A"))
    rig.to_kernel(), rig.to_workload()
    rig.from_workload(tcp("10.8.6.5", str(APPLICATION), 4000, 80))
    (anew,) = rig.to_kernel()
    assert read(anew).src != alias
    rig.from_kernel(tcp(str(INTERNAL[1]), read(anew).src, TCP_PORT, read(anew).sport, "SA"),
                    tcp(str(INTERNAL[1]), alias, TCP_PORT, nat_port, "A"))
    assert [read(frame[40:]).dst for frame in rig.to_workload()] == ["10.8.6.5", WORKLOAD]


@isolated
def test_names_at_random_are_asked_of_the_control_plane_as_far_as_its_ring_goes():
    flood = Flood(event_bytes=1 << 14, askers=AskerTable(0, seed=SEED))
    rig = flood.rig
    labels = iter(range(1 << 30))
    sent = flood.run(lambda: geneve(udp(WORKLOAD, "10.8.7.4", flood.chance.randrange(1024, 65536), 53,
                                        bytes(12) + b"\x08%08x\x04corp\0\0\1\0\1" % next(labels))))
    asked, lost = len(rig.heard(PuntReason.PUNT_DNS_QUERY)), flood.dropped()["punt_full"]
    assert asked > 0 and asked + lost == sent and flood.dropped().keys() == {"punt_full"}
    assert rig.flows.size == flood.size              # no query makes a flow before it is read
    rig.from_workload(udp(WORKLOAD, "10.8.7.4", 5000, 53, b"after the flood"))
    assert len(rig.heard(PuntReason.PUNT_DNS_QUERY)) == 1


@pytest.mark.parametrize("what", ["names", "synthetic addresses"])
@isolated
def test_a_source_asks_the_control_plane_no_more_than_its_share_and_others_have_theirs(what):
    flood = Flood(event_bytes=1 << 22, askers=AskerTable(50, seed=SEED))
    rig, ports = flood.rig, iter(range(1024, 65536))

    def question(source):
        if what == "names":
            return udp(source, "10.8.7.4", next(ports), 53, bytes(12) + b"\x08%08x\0\0\1\0\1" % next(ports))
        return udp(source, f"10.254.{flood.chance.randrange(1, 31)}.{flood.chance.randrange(1, 255)}", next(ports), 7)

    reason = PuntReason.PUNT_DNS_QUERY if what == "names" else PuntReason.PUNT_UNKNOWN_SYNTHETIC
    sent = flood.run(lambda: geneve(question("10.8.6.66")))
    assert len(rig.heard(reason)) == 50 and flood.dropped() == {"punt_share": sent - 50}
    rig.from_workload(question(WORKLOAD))                            # another one
    rig.from_workload(question("10.8.6.66"), endpoint=0xBBB)         # the same address in another namespace
    assert len(rig.heard(reason)) == 2
    rig.step(0.1)
    rig.from_workload(*(question("10.8.6.66") for _ in range(9)))    # time gives some back
    assert len(rig.heard(reason)) == 5


@isolated
def test_fragments_of_distinct_datagrams_touch_no_flow():
    flood = Flood()
    rig = flood.rig
    table = rig.admission.fragments

    def later():
        return geneve(bytes(IP(src=flood.address(), dst=REMOTE, id=flood.chance.randrange(65536), proto=17,
                               frag=flood.chance.randrange(1, 900)) / Raw(bytes(64))))

    sent = flood.run(later)
    assert (rig.flows.size, table.waiting) == (flood.size, table.held_capacity)
    rig.step(1.1)
    assert (table.waiting, flood.dropped()) == (0, {"fragment_orphan": sent})
    assert serves_anew(rig)


@pytest.mark.parametrize("kind", ["random bytes", "spoilt headers"])
@isolated
def test_malformed_geneve_is_counted_and_nothing_else(kind):
    flood = Flood()
    rig, chance = flood.rig, flood.chance

    def malformed():
        if kind == "random bytes":
            return b"\xff" + chance.randbytes(chance.randrange(200))      # a version that there is not
        frame = bytearray(geneve(udp(flood.address(), REMOTE, 4000, 9)))
        at, value = chance.choice(((0, 0x4A), (0, 0x3F), (2, 0x12), (11, 0x1F), (12, 0x99), (40, 0x15), (42, 0xFF)))
        frame[at] = value
        return bytes(frame)

    sent = flood.run(malformed)
    assert sum(flood.dropped().values()) == sent
    assert all(name.startswith(("geneve_", "gwlb_", "packet_")) for name in flood.dropped())
    assert (rig.flows.size, rig.packets(Action.ACTION_LOCAL)) == (flood.size, (0, 0))
    assert serves_anew(rig)
