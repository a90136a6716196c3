"""Kernel TCP between two TUN devices: what one kernel leaves uncut arrives whole at the other, whatever rows it crossed in."""

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute

import namespaces
from fastpath.batch import PacketBatch
from fastpath.packetio import Device
from isolation import isolated

ENDS = {4: ("10.7.0.1", "10.7.0.2", 24), 6: ("fd00:7::1", "fd00:7::2", 64)}
SIZE = 4 << 20


def device(family: int, end: int, offloads: bool) -> Device:
    """A TUN device here, up, with its end's address."""
    made = Device.tun("zcc0", offloads=offloads)
    with IPRoute() as ip:
        index = ip.link_lookup(ifname="zcc0")[0]
        ip.addr("add", index=index, address=ENDS[family][end], prefixlen=ENDS[family][2],
                flags=namespaces.IFA_F_NODAD if family == 6 else 0)
        ip.link("set", index=index, state="up")
    return made


def received() -> tuple[int, int]:
    """Packets and bytes that the kernel here was given by its device."""
    with IPRoute() as ip:
        found = ip.get_links(ip.link_lookup(ifname="zcc0")[0])[0].get_attr("IFLA_STATS64")
    return found["rx_packets"], found["rx_bytes"]


@contextlib.contextmanager
def carried(one: Device, two: Device, rows: int) -> Iterator[None]:
    """Carry packets between two devices until the end of the block."""
    stop = threading.Event()
    batch = PacketBatch(rows, 4096)

    def work() -> None:
        while not stop.is_set():
            moved = 0
            for source, sink in ((one, two), (two, one)):
                moved += source.recv(batch)
                sink.send(batch)
            if not moved:
                stop.wait(0.0005)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def send_all(address: str, data: bytes) -> None:
    with socket.create_connection((address, 7), timeout=20) as sock:
        sock.sendall(data)


@pytest.mark.parametrize(("family", "offloads", "rows"), [(4, True, 256), (6, True, 256), (4, True, 7), (4, False, 256)])
@isolated
def test_a_stream_arrives_as_it_was_sent(family: int, offloads: bool, rows: int) -> None:
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        with pytest.raises(OSError, match="tun"):      # then devices are veth pairs, which carry nothing large
            Device.tun("zcc0", offloads=offloads)
        return
    near = device(family, 0, offloads)
    other = namespaces.another()
    with namespaces.inside(other):
        far = device(family, 1, offloads)
        listener = socket.create_server(("", 7) if family == 4 else ("::", 7), family=socket.AF_INET if family == 4 else
                                        socket.AF_INET6)
    listener.settimeout(20)
    data = bytes(range(251)) * (SIZE // 251)
    sender = threading.Thread(target=send_all, args=(ENDS[family][1], data))
    with carried(near, far, rows), listener:
        sender.start()
        accepted, _ = listener.accept()
        found = hashlib.sha256()
        with accepted:
            while part := accepted.recv(1 << 16):
                found.update(part)
        sender.join()
    assert found.digest() == hashlib.sha256(data).digest()
    with namespaces.inside(other):
        packets, octets = received()
    assert (octets / packets > 2000) == offloads, f"{octets} bytes in {packets} packets"
