"""Which way to GWLB is taken, what the log says of it, and what a daemon gives up afterwards."""

import logging
import os

import pytest
from pydantic import ValidationError

import namespaces
from fastpath import bpf
from fastpath.bpfcode import Code
from fastpath.packetio import GeneveSocket
from fastpath.packetring import PacketRing
from isolation import isolated
from zcc import privileges
from zcc.connector.ingress import open_ingress, open_ports
from zcc.connector.settings import IoSettings

ADDRESS = "10.1.0.1"


class Heard(logging.Handler):
    """What the chooser has said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        logger = logging.getLogger("zcc.connector.ingress")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def cable() -> None:
    namespaces.link("g0", [f"{ADDRESS}/24"], namespaces.another(), "g1", ["10.1.0.2/24"])


@isolated
def test_auto_takes_the_best_and_says_which() -> None:
    cable()
    heard = Heard()
    with open_ingress(IoSettings(), ADDRESS, 6081) as port:
        (line,) = heard.lines
        if os.geteuid() == 0:
            assert "by xdp (driver, copy, 1 queues)" in line
        else:
            assert isinstance(port, PacketRing)
            assert "not by xdp: Operation not permitted: a capability is missing" in line


@isolated
def test_flows_in_the_kernel_are_xdps_alone() -> None:
    cable()
    heard = Heard()
    with open_ingress(IoSettings(kind="packet", kernel_flows=True), ADDRESS, 6081, 64):
        assert "kernel_flows has no effect" in heard.lines[-1]
    if os.geteuid() == 0:
        with open_ingress(IoSettings(kernel_flows=True), ADDRESS, 6081, 64) as port:
            assert port.flows.capacity == 64
        assert "decided flows in the kernel" in heard.lines[-1]


@isolated
def test_auto_passes_over_an_interface_that_another_program_has() -> None:
    cable()
    if os.geteuid() != 0:
        return      # the test before has seen the same step for another reason
    heard, code = Heard(), Code()
    code.alu("mov", "r0", 2)
    code.exit()
    program = bpf.program_load(bpf.PROGRAM_XDP, code.assemble(), attach=bpf.ATTACH_XDP)
    link = bpf.link_create(program, 2, bpf.ATTACH_XDP, bpf.XDP_DRIVER)
    with open_ingress(IoSettings(), ADDRESS, 6081) as port:
        assert isinstance(port, PacketRing)
    assert "by packet (rings on g0, known flows first); not by xdp: " in heard.lines[0]
    assert "another XDP program" in heard.lines[0]
    os.close(link)


@isolated
def test_auto_ends_at_sockets_where_there_is_no_ethernet() -> None:
    heard = Heard()
    with open_ingress(IoSettings(), "127.0.0.1", 6081) as port:
        assert isinstance(port, GeneveSocket)
    assert "by udp (receive buffer" in heard.lines[0]
    assert "not by packet: lo is no Ethernet interface" in heard.lines[0]


@isolated
def test_the_way_asked_for_is_taken_or_refused() -> None:
    cable()
    for kind, made in (("udp", GeneveSocket), ("packet", PacketRing)):
        with open_ingress(IoSettings(kind=kind, buffer=1 << 20), ADDRESS, 6081) as port:
            assert type(port) is made
    with pytest.raises(OSError, match="Ethernet"):
        open_ingress(IoSettings(kind="packet"), "127.0.0.1", 6081)
    with pytest.raises(OSError, match=r"(?i)address"):
        open_ingress(IoSettings(), "192.0.2.9", 6081)


def test_a_word_is_short_for_the_kind() -> None:
    assert IoSettings.model_validate("packet").kind == "packet"
    with pytest.raises(ValidationError, match="'auto', 'xdp', 'packet' or 'udp'"):
        IoSettings.model_validate("dpdk")
    with pytest.raises(ValidationError, match="busy_poll"):
        IoSettings.model_validate({"busy_poll": -1})


@isolated
def test_capabilities_given_up_are_gone_and_an_open_port_works_on() -> None:
    cable()
    with open_ingress(IoSettings(), ADDRESS, 6081):
        before = privileges.held()
        privileges.drop(privileges.CAP_BPF, privileges.CAP_NET_RAW)
        assert before & ~privileges.held() == before & (1 << privileges.CAP_BPF | 1 << privileges.CAP_NET_RAW)
        with pytest.raises(PermissionError):
            GeneveSocket(ADDRESS, 6082)


@isolated
def test_each_of_several_workers_gets_a_port_by_the_best_way_that_has_one_for_all() -> None:
    cable()
    heard = Heard()
    ports = open_ports(IoSettings(), ADDRESS, 6081, 64, 2)
    assert [type(port) for port in ports] == [PacketRing, PacketRing]
    assert "by packet (rings on g0, known flows first) to 2 workers; not by xdp: " in heard.lines[-1]
    if os.geteuid() == 0:
        assert "a queue a worker" in heard.lines[-1]
        with pytest.raises(OSError, match="too few queues for 2 workers"):
            open_ports(IoSettings(kind="xdp"), ADDRESS, 6082, 64, 2)
    for port in ports:
        port.close()
    ports = open_ports(IoSettings(kind="udp"), ADDRESS, 6081, 64, 3)
    assert [type(port) for port in ports] == [GeneveSocket] * 3
    for kind in ("udp", "packet"):
        for workers in (1, 2):      # a second connector does not get in beside the first
            with pytest.raises(OSError, match="in use"):
                open_ports(IoSettings(kind=kind), ADDRESS, 6081, 64, workers)
    for port in ports:
        port.close()


@isolated
def test_workers_share_the_queues_of_an_interface() -> None:
    if os.geteuid() != 0:
        return      # AF_XDP wants rights that a user namespace does not give
    other = namespaces.another()
    namespaces.link("g0", [f"{ADDRESS}/24"], other, "g1", ["10.1.0.2/24"], queues=3)
    heard = Heard()
    ports = open_ports(IoSettings(kind="xdp"), ADDRESS, 6081, 64, 2)
    assert [[queue.queue for queue in port.queues] for port in ports] == [[0, 2], [1]]
    assert "3 queues) to 2 workers" in heard.lines[-1]
    for port in ports:
        port.close()
