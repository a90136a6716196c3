"""The worker and DNS: owned names are answered in the data plane, from GWLB and at the listener; the rest is handed over."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from ipaddress import IPv4Address

import dns.message
import pytest

from fastpath import gwlb
from fastpath.action import PuntReason
from fastpath.askers import AskerTable
from fastpath.dnslistener import DnsListener
from fastpath.message import Command
from fastpath.packetio import UdpSocket
from inner_packets import WORKLOAD, read, udp
from isolation import isolated
from worker_rig import SECOND, WorkerRig

SERVER, ADDRESS, SECOND_POOL = "192.0.2.53", IPv4Address("10.254.0.7"), IPv4Address("10.9.0.7")
WIRE = b"\6portal\4corp\7example\0"


def query(name: str = "portal.corp.example", kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind, id=7).to_wire()


def own(rig: WorkerRig, seconds: int = 60) -> None:
    rig.say(Command.COMMAND_OWN, namespace=1, packet=WIRE, address=ADDRESS, value=30, until_ns=rig.now + seconds * SECOND)


def asked(rig: WorkerRig, message: bytes, **more) -> list[bytes]:
    rig.from_workload(udp(WORKLOAD, SERVER, 4000, 53, message), **more)
    return rig.to_workload()


@isolated
def test_a_query_for_an_owned_name_comes_back_answered_under_its_own_header() -> None:
    rig = WorkerRig()
    own(rig)
    (frame,) = asked(rig, query(), cookie=9)
    assert frame[:40] == gwlb.header(0xAAA, 2, 9, 4)
    inner = read(frame[40:])
    assert (inner.src, inner.sport, inner.dst, inner.dport) == (SERVER, 53, WORKLOAD, 4000)
    answer = dns.message.from_wire(bytes(inner["UDP"].payload))
    assert answer.id == 7 and answer.answer[0][0].address == str(ADDRESS) and answer.answer[0].ttl == 30
    assert rig.flows.size == 0 and rig.worker.counters()["dns_answered"] == 1
    (event,) = rig.heard()
    assert event.reason == PuntReason.PUNT_DNS_ANSWERED and event.packet == frame[40:] and event.namespace == 1


@isolated
def test_what_is_not_owned_there_or_no_longer_is_handed_over() -> None:
    rig = WorkerRig()
    own(rig)
    assert asked(rig, query("www.example")) == []
    assert asked(rig, query(), endpoint=0xBBB) == []
    assert asked(rig, query(kind="AXFR")) == []
    rig.say(Command.COMMAND_DISOWN, namespace=1, packet=WIRE)
    assert asked(rig, query()) == []
    own(rig)
    rig.step(61)
    assert asked(rig, query()) == []
    own(rig)
    rig.say(Command.COMMAND_DISOWN)
    assert asked(rig, query()) == []
    assert len(rig.heard(PuntReason.PUNT_DNS_QUERY)) == 6


@isolated
def test_the_log_is_told_of_a_thousand_a_second_and_the_rest_is_counted() -> None:
    rig = WorkerRig()
    own(rig, 3600)
    rig.step(10)
    for _ in range(16):
        rig.from_workload(*(udp(WORKLOAD, SERVER, 4000, 53, query()) for _ in range(100)))
        rig.to_workload()
    counts = rig.worker.counters()
    recorded = len(rig.heard(PuntReason.PUNT_DNS_ANSWERED))
    assert counts["dns_answered"] == 1600 and recorded + counts["dns_unrecorded"] == 1600
    assert 1000 <= recorded <= 1002


@isolated
def test_a_listener_answers_owned_names_and_hands_over_the_rest() -> None:
    rig = WorkerRig()
    own(rig)
    listener = UdpSocket.bind("127.0.0.1", 0)
    rig.worker.listen(DnsListener(listener, rig.admission, 1, 0))
    with socket.socket(fileno=os.dup(listener.fd)) as held:
        port = held.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(5)
        for message in (query(), query("www.example"), b"", query(kind="AAAA")):
            client.send(message)
        assert select.select([listener], [], [], 5)[0]
        rig.step()
        said = [dns.message.from_wire(client.recv(2000)) for _ in range(2)]
        assert said[0].answer[0][0].address == str(ADDRESS) and not said[1].answer and said[1].authority
        events = rig.heard()
        event, empty = (one for one in events if one.reason == PuntReason.PUNT_DNS_QUERY)
        assert event.packet == query("www.example") and event.value == 1 and event.namespace == 1
        assert (event.peer_address, event.peer_port) == (0x7F000001, client.getsockname()[1])
        assert empty.packet == b""
    assert [one.value for one in events if one.reason == PuntReason.PUNT_DNS_ANSWERED] == [1, 1]


@pytest.mark.parametrize("clients", [1, 3, 100])     # 100: more than there are groups
@isolated
def test_clients_that_ask_at_once_each_get_their_own_answers_in_order(clients: int) -> None:
    rig = WorkerRig()
    own(rig)
    listener = UdpSocket.bind("127.0.0.1", 0)
    rig.worker.listen(DnsListener(listener, rig.admission, 1, 0))
    with contextlib.ExitStack() as undo:
        port = undo.enter_context(socket.socket(fileno=os.dup(listener.fd))).getsockname()[1]
        ends = [undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(clients)]
        for number in range(200):
            message = dns.message.make_query("portal.corp.example", "AAAA" if number % 7 == 0 else "A", id=number)
            ends[number % clients].sendto(message.to_wire(), ("127.0.0.1", port))
        assert select.select([listener], [], [], 5)[0]
        rig.step()
        for which, end in enumerate(ends):
            end.settimeout(5)
            wanted = list(range(which, 200, clients))
            assert [dns.message.from_wire(end.recv(2000)).id for _ in wanted] == wanted


@isolated
def test_queries_that_come_while_the_listener_rests_are_answered_after_it() -> None:
    rig = WorkerRig()
    own(rig, seconds=10**9)           # by the machine's clock too
    listener = DnsListener(UdpSocket.bind("127.0.0.1", 0), rig.admission, 1, 0)
    rig.worker.listen(listener)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        with socket.socket(fileno=os.dup(listener.socket.fd)) as held:
            client.connect(held.getsockname())
        client.settimeout(5)
        now = time.monotonic_ns() - 30_000_000
        for turn in range(300):            # 8 queries each 48 µs
            for _ in range(8):
                client.send(query())
            rig.worker.step(now + 48_000 * turn)
            for _ in range(8):
                client.recv(2000)
        assert listener.rest_ns > 0
        thread = threading.Thread(target=rig.worker.run)
        thread.start()
        try:
            for _ in range(20):
                client.send(query())
                assert dns.message.from_wire(client.recv(2000)).answer[0][0].address == str(ADDRESS)
        finally:
            rig.worker.stop()
            thread.join()


@isolated
def test_a_client_of_the_listener_has_its_share_of_the_control_plane_and_no_more() -> None:
    rig = WorkerRig(askers=AskerTable(5, seed=bytes(range(1, 33))))
    own(rig)
    listener = UdpSocket.bind("127.0.0.20", 0)
    rig.worker.listen(DnsListener(listener, rig.admission, 1, 0))
    with socket.socket(fileno=os.dup(listener.fd)) as view:
        where = view.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for client, source in ((greedy, "127.0.0.21"), (other, "127.0.0.22")):
            client.bind((source, 0))
            client.settimeout(5)
        for _ in range(20):
            greedy.sendto(query("www.example"), where)
        other.sendto(query("www.example"), where)
        greedy.sendto(query(), where)
        while rig.worker.counters()["dns_answered"] == 0:
            rig.step()
        handed = [str(IPv4Address(event.peer_address)) for event in rig.heard(PuntReason.PUNT_DNS_QUERY)]
        assert dns.message.from_wire(greedy.recv(600)).answer           # what is owned is no question to the control plane
    assert sorted(handed) == ["127.0.0.21"] * 5 + ["127.0.0.22"] and rig.drops() == {"punt_share": 15}


@isolated
def test_a_listener_of_bad_numbers_is_refused() -> None:
    rig = WorkerRig()
    bound = UdpSocket.bind("127.0.0.1", 0)
    with pytest.raises(ValueError, match="namespace must be 0 to 65535, not 65536"):
        DnsListener(bound, rig.admission, 65536, 0)
    with pytest.raises(ValueError, match="location must be 0 to 4294967295, not -1"):
        DnsListener(bound, rig.admission, 1, -1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected:
        connected.connect(("127.0.0.1", 9))
        with pytest.raises(ValueError, match="socket must not be connected"):
            DnsListener(UdpSocket(connected.fileno()), rig.admission, 1, 0)


@isolated
def test_an_owned_name_can_be_of_one_location_only() -> None:
    rig = WorkerRig()
    until = rig.now + 60 * SECOND
    rig.say(Command.COMMAND_OWN, namespace=1, location=0, packet=WIRE, address=ADDRESS, value=30, until_ns=until)
    rig.say(Command.COMMAND_OWN, namespace=2, location=4, packet=WIRE, address=ADDRESS, value=30, until_ns=until)
    assert len(asked(rig, query())) == 1
    assert asked(rig, query(), endpoint=0xBBB) == []           # of namespace 2, from location 0
    rig.say(Command.COMMAND_OWN, namespace=2, location=0, packet=WIRE, address=SECOND_POOL, value=30, until_ns=until)
    (frame,) = asked(rig, query(), endpoint=0xBBB)
    assert dns.message.from_wire(bytes(read(frame[40:])["UDP"].payload)).answer[0][0].address == str(SECOND_POOL)
    rig.say(Command.COMMAND_DISOWN, namespace=2, location=0, packet=WIRE)
    assert asked(rig, query(), endpoint=0xBBB) == [] and len(asked(rig, query())) == 1


@isolated
def test_addresses_of_every_pool_are_synthetic() -> None:
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, "10.254.0.77", 4000, 7), udp(WORKLOAD, str(SECOND_POOL), 4000, 7))
    assert len(rig.heard(PuntReason.PUNT_UNKNOWN_SYNTHETIC)) == 2
