"""The worker and odd packets: fragments, packets too large, the middle of connections, no port left."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    defragment6,
    fragment6,
)
from scapy.packet import Raw

from fastpath import gwlb
from fastpath.message import Command
from inner_packets import WORKLOAD, WORKLOAD6, pieces, read, tcp, udp, whole
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, EGRESS6, INTERNAL, REMOTE, REMOTE6, WorkerRig, tunnelled

ANYWHERE, ANYWHERE6, ROUTER, ROUTER6 = "192.0.2.1", "2001:db8:9::1", "192.0.2.254", "2001:db8:9::fe"
HEADER = gwlb.header(0xAAA, 2, 7, 4)
PAYLOAD = bytes(k % 251 for k in range(3000))


def pieces6(packet, size=1280):
    head = IPv6(packet)
    made = IPv6(src=head.src, dst=head.dst) / IPv6ExtHdrFragment(id=7) / head.payload
    return [bytes(piece) for piece in fragment6(made, size)]


def together(packets):
    """One packet of its fragments, its transport checksum right."""
    if packets[0][0] >> 4 == 4:
        (made,) = defragment(sorted((IP(packet) for packet in packets), key=lambda piece: piece.frag))
        return read(bytes(made))
    made = IPv6(bytes(defragment6([IPv6(packet) for packet in packets])))
    again = made.copy()
    del again[UDP].chksum
    assert bytes(again) == bytes(made), "the checksum is wrong"
    return made


ORDERS = pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]],
                                 ids=["in order", "backwards", "first in the middle"])
FAMILIES = pytest.mark.parametrize(("there", "packet", "cut"), [
    (REMOTE, udp(WORKLOAD, REMOTE, 4000, 9, PAYLOAD), lambda packet: pieces(packet, 1200)),
    (REMOTE6, udp(WORKLOAD6, REMOTE6, 4000, 9, PAYLOAD), pieces6)], ids=["v4", "v6"])


# ---- fragments ----

@ORDERS
@FAMILIES
@isolated
def test_fragments_go_direct_and_come_back_in_any_order(order, there, packet, cut):
    rig = WorkerRig()
    parts = cut(packet)
    assert len(parts) == 3
    for k in order:
        rig.from_workload(parts[k])
    out = together(rig.to_kernel())
    assert (out.src, out.dst, out[UDP].sport, bytes(out[UDP].payload)) == (
        str(EGRESS4 if ":" not in there else EGRESS6), there, 4000, PAYLOAD)
    assert (rig.flows.size, rig.nat.size, rig.drops()) == (1, 1, {})
    back = cut(udp(out.dst, out.src, 9, 4000, PAYLOAD))
    for k in order:
        rig.from_kernel(back[k])
    frames = rig.to_workload()
    assert {frame[:40] for frame in frames} == {gwlb.header(0xAAA, 2, 7, packet[0] >> 4)}
    home = together([frame[40:] for frame in frames])
    assert (home.src, home.dst, home[UDP].dport, bytes(home[UDP].payload)) == (
        there, WORKLOAD if ":" not in there else WORKLOAD6, 4000, PAYLOAD)
    assert rig.drops() == {}


@pytest.mark.parametrize("there", [REMOTE, str(APPLICATION)], ids=["direct", "zpa"])
@isolated
def test_fragments_of_two_workloads_with_the_same_number_leave_with_two(there):
    rig = WorkerRig()
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    senders = {0xAAA: PAYLOAD, 0xBBB: PAYLOAD[::-1]}          # the same address in two namespaces
    parts = {endpoint: pieces(udp(WORKLOAD, there, 4000, 7, payload), 1200) for endpoint, payload in senders.items()}
    for k in (1, 0, 2):
        for endpoint in senders:
            rig.from_workload(parts[endpoint][k], endpoint=endpoint)
    out = rig.to_kernel()
    numbers = {IP(packet).id for packet in out}
    assert len(numbers) == 2 and len(out) == 6
    got = [bytes(together([packet for packet in out if IP(packet).id == number])[UDP].payload) for number in numbers]
    assert sorted(got) == sorted(senders.values())


@isolated
def test_what_can_not_be_in_fragments_and_what_goes_local_keeps_its_number():
    rig = WorkerRig()
    sent = udp(WORKLOAD, REMOTE, 4000, 9)
    rig.from_workload(whole(sent), sent, sent)
    kept, *given = [read(packet).id for packet in rig.to_kernel()]
    assert kept == 1 and len({*given}) == 2
    rig.from_workload(udp(WORKLOAD, "10.8.7.4", 4000, 853))
    assert [read(frame[40:]).id for frame in rig.to_workload()] == [1]


@ORDERS
@isolated
def test_fragments_go_by_the_tunnel_and_come_back(order):
    rig = WorkerRig()
    rig.attach()
    parts = pieces(udp(WORKLOAD, ANYWHERE, 4000, 9, PAYLOAD), 1200)
    for k in order:
        rig.from_workload(parts[k])
    assert bytes(together([frame[28:] for frame in rig.to_edge()])[UDP].payload) == PAYLOAD
    back = pieces(udp(ANYWHERE, WORKLOAD, 9, 4000, PAYLOAD), 1200)
    for k in order:
        rig.from_edge(tunnelled(back[k]))
    assert bytes(together([frame[40:] for frame in rig.to_workload()])[UDP].payload) == PAYLOAD
    assert (rig.flows.size, rig.drops()) == (1, {})


@ORDERS
@isolated
def test_fragments_reach_the_listener_and_its_answers_come_back(order):
    rig = WorkerRig()
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    parts = pieces(udp(WORKLOAD, str(APPLICATION), 4000, 7, PAYLOAD), 1200)
    for k in order:
        rig.from_workload(parts[k])
    out = together(rig.to_kernel())
    assert (out.dst, bytes(out[UDP].payload)) == (str(INTERNAL[1]), PAYLOAD)
    back = pieces(udp(out.dst, out.src, out[UDP].dport, out[UDP].sport, PAYLOAD), 1200)
    for k in order:
        rig.from_kernel(back[k])
    home = together([frame[40:] for frame in rig.to_workload()])
    assert (home.src, home.dst, home[UDP].sport, bytes(home[UDP].payload)) == (str(APPLICATION), WORKLOAD, 7, PAYLOAD)


@isolated
def test_local_fragments_follow_the_rule_of_their_first():
    rig = WorkerRig()
    rig.edit([{"name": "dns over tls", "method": "LOCAL", "services": ["DNS_OVER_TLS"]}, {"name": "rest", "method": "DROP"}])
    parts = pieces(udp(WORKLOAD, "10.8.7.4", 4000, 853, PAYLOAD), 1200)
    rig.from_workload(*reversed(parts))
    assert sorted(frame[40:] for frame in rig.to_workload()) == sorted(parts)
    assert rig.flows.size == 1


@isolated
def test_fragments_of_a_dns_query_are_all_dropped():
    rig = WorkerRig()
    rig.attach()
    parts = pieces(udp(WORKLOAD, "192.0.2.53", 4000, 53, PAYLOAD), 1200)
    rig.from_workload(*parts)
    assert rig.to_edge() == []
    assert rig.drops() == {"policy": 3}


@isolated
def test_a_fragment_whose_first_never_comes_is_counted():
    rig = WorkerRig()
    rig.from_workload(pieces(udp(WORKLOAD, REMOTE, 4000, 9, PAYLOAD), 1200)[1])
    rig.step(1.1)
    assert (rig.to_kernel(), rig.flows.size, rig.drops()) == ([], 0, {"fragment_orphan": 1})


@isolated
def test_fragments_of_a_flow_that_has_ended_are_dropped():
    rig = WorkerRig(flows=1)
    parts = pieces(udp(WORKLOAD, REMOTE, 4000, 9, PAYLOAD), 1200)
    rig.from_workload(parts[0])
    rig.from_workload(udp(WORKLOAD, REMOTE, 4001, 9))
    rig.from_workload(parts[1])
    assert rig.drops() == {"fragment_orphan": 1}


@isolated
def test_an_overlapping_fragment_drops_the_rest():
    rig = WorkerRig()
    parts = pieces(udp(WORKLOAD, REMOTE, 4000, 9, PAYLOAD), 1200)
    rig.from_workload(parts[0], _shifted(parts[1]), *parts[1:])
    assert len(rig.to_kernel()) == 1
    assert rig.drops() == {"fragment_overlap": 3}


def _shifted(fragment):
    """The same fragment eight bytes further to the front."""
    made = IP(fragment)
    made.frag -= 1
    del made.chksum
    return bytes(made)


@isolated
def test_a_flood_of_fragments_leaves_flows_and_other_fragments_alone():
    rig = WorkerRig(flows=8)
    lively = udp(WORKLOAD, REMOTE, 4000, 9)
    rig.from_workload(lively)
    rig.from_kernel(udp(REMOTE, str(EGRESS4), 9, 4000))
    chance = random.Random(1)
    later = [bytes(IP(src=f"10.8.{chance.randrange(256)}.{chance.randrange(256)}", dst=REMOTE, id=chance.randrange(65536),
                      proto=17, frag=chance.randrange(1, 900)) / Raw(bytes(64))) for _ in range(2000)]
    for at in range(0, len(later), 100):
        rig.from_workload(*later[at:at + 100])
        rig.from_workload(lively)
    table = rig.admission.fragments
    assert table.waiting <= table.held_capacity
    rig.step(1.1)
    assert (table.waiting, rig.flows.size) == (0, 1)
    dropped = rig.drops()
    assert dropped.keys() <= {"fragment_orphan", "io_truncated"} and dropped["fragment_orphan"] > 1000
    parts = pieces(udp(WORKLOAD, REMOTE, 4002, 9, PAYLOAD), 1200)
    rig.to_kernel()
    rig.from_workload(*reversed(parts))
    assert bytes(together(rig.to_kernel())[UDP].payload) == PAYLOAD


# ---- too large ----

@pytest.mark.parametrize(("there", "action", "mtu"), [(ANYWHERE, "zia", 1400), (REMOTE, "direct", 1500),
                                                      (ANYWHERE6, "zia", 1400), (REMOTE6, "direct", 1500)])
@isolated
def test_who_may_not_be_fragmented_is_told_the_mtu_under_its_own_header(there, action, mtu):
    rig = WorkerRig()
    rig.attach()
    source = WORKLOAD6 if ":" in there else WORKLOAD
    offender = udp(source, there, 4000, 9, PAYLOAD)
    offender = offender if ":" in there else whole(offender)
    rig.from_workload(offender, cookie=66)
    assert (rig.to_edge(), rig.to_kernel(), rig.drops()) == ([], [], {f"{action}_too_big": 1})
    (frame,) = rig.to_workload()
    assert frame[:40] == gwlb.header(0xAAA, 2, 66, offender[0] >> 4)
    told = read(frame[40:])
    assert (told.src, told.dst) == (there, source)
    assert (told[ICMPv6PacketTooBig].mtu if ":" in there else told[ICMP].nexthopmtu) == mtu
    assert frame[40 + (48 if ":" in there else 28):] == offender[:1232 if ":" in there else 548]


@isolated
def test_who_may_be_fragmented_is():
    rig = WorkerRig()
    rig.attach()
    for there in (ANYWHERE, REMOTE):
        rig.from_workload(udp(WORKLOAD, there, 4000, 9, PAYLOAD))
    inside = [frame[28:] for frame in rig.to_edge()]
    outside = rig.to_kernel()
    assert [max(map(len, packets)) for packets in (inside, outside)] == [1396, 1500]
    for packets in (inside, outside):
        assert bytes(together(packets)[UDP].payload) == PAYLOAD
    assert (rig.drops(), rig.worker.counters()["cut"], rig.to_workload()) == ({}, 2, [])


@isolated
def test_jumbo_datagram_for_an_application_reaches_the_listener_in_pieces():
    rig = WorkerRig()
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    rig.from_workload(udp(WORKLOAD, str(APPLICATION), 4000, 7, bytes(8000)),
                      whole(udp(WORKLOAD, str(APPLICATION), 4000, 7, PAYLOAD)))
    assert bytes(together(rig.to_kernel())[UDP].payload) == bytes(8000)
    assert read(rig.to_workload()[0][40:])[ICMP].nexthopmtu == 1500
    assert rig.drops() == {"zpa_too_big": 1}


@isolated
def test_mss_of_direct_connections_is_clamped_both_ways():
    rig = WorkerRig()
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443))
    out = read(rig.to_kernel()[0])
    assert dict(out[TCP].options)["MSS"] == 1460
    rig.from_kernel(tcp(REMOTE, str(EGRESS4), 443, 4000, "SA"))
    assert dict(read(rig.to_workload()[0][40:])[TCP].options)["MSS"] == 1460


# ---- refused, and the middle of a connection ----

@pytest.mark.parametrize(("midstream", "told", "gone"), [("adopt", 0, {}), ("reset", 1, {"midstream": 2}),
                                                         ("drop", 0, {"midstream": 2})])
@isolated
def test_the_middle_of_a_connection_that_is_not_known(midstream, told, gone):
    rig = WorkerRig(midstream=midstream)
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443, "A"), tcp(WORKLOAD, REMOTE, 4001, 443, "R"),
                      tcp(WORKLOAD, REMOTE, 4002, 443, "S"))
    frames = rig.to_workload()
    assert len(frames) == told and all(read(frame[40:])[TCP].flags == "R" for frame in frames)
    assert (rig.drops(), len(rig.to_kernel())) == (gone, 1 if gone else 3)


@isolated
def test_who_is_rejected_is_told_at_once_and_under_its_own_header():
    rig = WorkerRig()
    rig.edit([{"name": "no", "method": "DROP", "reject": True, "destinations": ["203.0.113.0/24", "2001:db8:5::/48"]}])
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443), udp(WORKLOAD6, REMOTE6, 4000, 9), cookie=66)
    frames = rig.to_workload()
    assert [frame[:40] for frame in frames] == [gwlb.header(0xAAA, 2, 66, version) for version in (4, 6)]
    reset, told = read(frames[0][40:]), read(frames[1][40:])
    assert (reset.src, reset[TCP].flags, reset[TCP].ack) == (REMOTE, "RA", 1)
    assert (told.src, told[ICMPv6DestUnreach].code) == (REMOTE6, 1)
    assert (rig.drops(), rig.flows.size) == ({"rejected": 2}, 2)
    rig.edit([{"name": "no", "method": "DROP", "destinations": ["203.0.113.0/24"]}])
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443))
    assert (rig.to_workload(), rig.drops()) == ([], {"rejected": 2, "policy": 1})


@isolated
def test_without_a_port_left_a_flow_is_refused_and_the_others_go_on():
    rig = WorkerRig(ports=(5000, 5001))
    first = [tcp(WORKLOAD, REMOTE, 4000 + k, 443) for k in range(3)]
    rig.from_workload(*first, udp(WORKLOAD, REMOTE, 4000, 443))
    assert len(rig.to_kernel()) == 3
    assert [read(frame[40:])[TCP].flags for frame in rig.to_workload()] == ["RA"]
    assert (rig.drops(), rig.flows.size, rig.nat.size) == ({"nat_exhausted": 1}, 3, 3)
    rig.from_workload(first[0])
    assert len(rig.to_kernel()) == 1
    rig.step(31)
    rig.from_workload(first[2])
    assert len(rig.to_kernel()) == 1


@isolated
def test_refusals_are_so_many_a_second():
    rig = WorkerRig(flows=1024, ports=(5000, 5000))
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443))
    for at in range(0, 400, 50):
        rig.from_workload(*[tcp(f"10.8.6.{1 + k}", REMOTE, 6000 + at + k, 443) for k in range(50)])
    assert len(rig.to_workload()) == 250
    assert (rig.worker.counters()["untold"], rig.drops()["nat_exhausted"]) == (150, 400)
    rig.step(0.01)
    rig.from_workload(*[tcp(f"10.8.6.{1 + k}", REMOTE, 7000 + k, 443) for k in range(50)])
    assert len(rig.to_workload()) == 10


@isolated
def test_who_is_refused_often_leaves_others_what_they_are_told():
    rig = WorkerRig(flows=1024, ports=(5000, 5000))
    rig.from_workload(tcp(WORKLOAD, REMOTE, 4000, 443))
    large = whole(udp(WORKLOAD, REMOTE, 4000, 9, PAYLOAD))
    for k in range(50):                              # twice as fast as all of them together may be told
        rig.from_workload(*[tcp("10.8.6.66", REMOTE, 6000 + 40 * k + n, 443) for n in range(40)])
        rig.to_workload()
        rig.from_workload(large)
        assert read(rig.to_workload()[0][40:])[ICMP].nexthopmtu == 1500
        rig.step(0.02)
    assert rig.worker.counters()["refusals"][1] == 50
    rig.from_workload(*[whole(udp("10.8.6.66", REMOTE, 4000, 9, PAYLOAD)) for _ in range(50)])
    assert len(rig.to_workload()) < 25               # it has had its share
    rig.from_workload(large)
    assert len(rig.to_workload()) == 1


@isolated
def test_mss_of_a_syn_that_leaves_in_pieces_is_clamped_too():
    rig = WorkerRig()
    rig.attach()
    for there in (ANYWHERE, REMOTE):
        rig.from_workload(tcp(WORKLOAD, there, 4000, 443, payload=PAYLOAD))
    inside = together([frame[28:] for frame in rig.to_edge()])
    outside = together(rig.to_kernel())
    assert [dict(made[TCP].options)["MSS"] for made in (inside, outside)] == [1360, 1460]


@isolated
def test_options_and_extension_headers_are_translated_behind():
    rig = WorkerRig()
    rig.from_workload(bytes(IP(src=WORKLOAD, dst=REMOTE, options=[b"\x01"] * 8) / UDP(sport=4000, dport=9) / b"x"),
                      bytes(IPv6(src=WORKLOAD6, dst=REMOTE6) / IPv6ExtHdrHopByHop() / UDP(sport=4000, dport=9) / b"x"))
    assert [read(packet).src for packet in rig.to_kernel()] == [str(EGRESS4), str(EGRESS6)]
