"""The worker and ICMP errors: each goes where the flow goes that it speaks of, translated with what it quotes."""

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from fastpath import gwlb
from fastpath.action import Action
from fastpath.message import Command
from inner_packets import WORKLOAD, WORKLOAD6, read, udp, whole
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, INTERNAL, REMOTE, REMOTE6, WorkerRig, tunnelled

ANYWHERE, ANYWHERE6, ROUTER, ROUTER6 = "192.0.2.1", "2001:db8:9::1", "192.0.2.254", "2001:db8:9::fe"
HEADER = gwlb.header(0xAAA, 2, 7, 4)


def error(router, about, body):
    """A router's ICMP error about a packet."""
    made = IP(src=router, dst=IP(about).src) if about[0] >> 4 == 4 else IPv6(src=router, dst=IPv6(about).src)
    return bytes(made / body / Raw(about))


@isolated
def test_error_from_the_internet_is_translated_for_the_workload_it_speaks_of():
    rig = WorkerRig()
    for source, there, router, body in ((WORKLOAD, REMOTE, ROUTER, ICMP(type=3, code=4, nexthopmtu=1300)),
                                        (WORKLOAD6, REMOTE6, ROUTER6, ICMPv6PacketTooBig(mtu=1300))):
        packet = udp(source, there, 4000, 9)
        packet = packet if ":" in source else whole(packet)      # else the number in the quote is ours
        rig.from_workload(packet)
        (out,) = rig.to_kernel()
        rig.from_kernel(error(router, out, body))
        (frame,) = rig.to_workload()
        assert frame[:40] == gwlb.header(0xAAA, 2, 7, packet[0] >> 4)
        told = read(frame[40:])
        assert (told.src, told.dst) == (router, source)
        assert bytes(frame[40:])[-len(packet):] == packet
    assert rig.drops() == {}


@isolated
def test_error_from_the_workload_about_what_it_got_goes_out_translated():
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9))
    rig.to_kernel()
    reply = udp(REMOTE, str(EGRESS4), 9, 4000)
    rig.from_kernel(reply)
    (frame,) = rig.to_workload()
    wrong = bytes(IP(src=WORKLOAD, dst=REMOTE) / ICMP(type=3, code=3) / Raw(frame[40:]))
    rig.from_workload(wrong, cookie=99)
    (out,) = rig.to_kernel()
    assert (read(out).src, read(out).dst) == (str(EGRESS4), REMOTE)
    assert out[28:] == reply
    assert (rig.flows.size, rig.drops()) == (1, {})
    rig.from_kernel(reply)
    assert rig.to_workload()[0][:40] == HEADER          # the error's cookie is not the flow's


@isolated
def test_listener_that_refuses_a_datagram_is_heard_by_the_workload():
    rig = WorkerRig()
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    packet = whole(udp(WORKLOAD, str(APPLICATION), 4000, 7))
    rig.from_workload(packet)
    (out,) = rig.to_kernel()
    rig.from_kernel(error(str(INTERNAL[1]), out, ICMP(type=3, code=3)))
    told = rig.to_workload()[0][40:]
    assert (read(told).src, read(told).dst) == (str(APPLICATION), WORKLOAD)
    assert told[28:] == packet


@isolated
def test_error_about_a_tunnelled_flow_comes_back_and_goes_there():
    rig = WorkerRig()
    rig.attach()
    for source, there, router, body in ((WORKLOAD, ANYWHERE, ROUTER, ICMP(type=11)),
                                        (WORKLOAD6, ANYWHERE6, ROUTER6, ICMPv6DestUnreach(code=1))):
        packet, answer = udp(source, there, 4000, 9), udp(there, source, 9, 4000)
        rig.from_workload(packet)
        rig.to_edge()
        rig.from_edge(tunnelled(error(router, packet, body)), tunnelled(answer))
        frames = [frame[40:] for frame in rig.to_workload()]
        assert frames[0].endswith(packet) and read(frames[0]).src == router
        wrong = error(source, answer, ICMP(type=3, code=3) if ":" not in there else ICMPv6DestUnreach(code=4))
        rig.from_workload(wrong, cookie=99)
        assert [frame[28:] for frame in rig.to_edge()] == [wrong]
    assert (rig.flows.size, rig.drops()) == (2, {})


@isolated
def test_error_about_a_local_flow_goes_by_its_rule_and_under_its_own_header():
    rig = WorkerRig()
    packet = udp(WORKLOAD, "10.8.7.4", 4000, 9)
    rig.from_workload(packet)
    rig.to_workload()
    wrong = error(ROUTER, packet, ICMP(type=11))
    rig.from_workload(wrong, cookie=99)
    assert rig.to_workload() == [gwlb.header(0xAAA, 2, 99, 4) + wrong]
    assert rig.packets(Action.ACTION_LOCAL) == (1, 1)


@isolated
def test_errors_that_speak_of_no_flow_or_another_s_are_dropped():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(udp(WORKLOAD, ANYWHERE, 4000, 9), udp(WORKLOAD, REMOTE, 4000, 9))
    (out,) = rig.to_kernel()
    unknown = udp(str(EGRESS4), REMOTE, 4999, 9)
    elsewhere = bytes(IP(src=ROUTER, dst="198.51.100.77") / ICMP(type=11) / Raw(out))
    rig.from_kernel(error(ROUTER, unknown, ICMP(type=11)), elsewhere)
    rig.from_edge(tunnelled(error(ROUTER, udp(WORKLOAD, ANYWHERE, 4001, 9), ICMP(type=11))),
                  tunnelled(error(ROUTER, udp(ANYWHERE, WORKLOAD, 9, 4000), ICMP(type=11))),
                  tunnelled(error(ROUTER, udp(WORKLOAD, ANYWHERE, 4000, 9), ICMP(type=11)), namespace=2))
    rig.from_workload(error(WORKLOAD, udp(WORKLOAD, REMOTE, 4000, 9), ICMP(type=3, code=3)))
    assert rig.to_workload() == []
    assert rig.drops() == {"icmp_unmatched": 6}
