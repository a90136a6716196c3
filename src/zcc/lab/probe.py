"""Look into a host from outside: is a port open, what does an HTTP status say, do packets pass an interface.

Sockets are made in the host's network namespace; no program runs there. Used by deployment and the scenarios.
"""

import http.client
import json
import socket
import struct
from ipaddress import IPv4Address
from typing import Any

from zcc.lab.host import Host

_LIMIT_S = 3.0
_ETH_P_IP = 0x0800


def listens(host: Host, address: str, port: int) -> bool:
    """Return whether a TCP connection to address:port, from the host itself, is taken."""
    try:
        _connect(host, address, port).close()
    except OSError:
        return False
    return True


def get_json(host: Host, address: str, port: int, path: str) -> Any:
    """GET a JSON document from a service as seen from the host.

    Raises:
        OSError: nobody answers there, or no JSON.
    """
    try:
        return json.loads(get(host, address, port, path)[1])
    except ValueError as error:
        raise OSError(f"{address}:{port}{path}: no JSON: {error}") from error


def get(host: Host, address: str, port: int, path: str) -> tuple[int, bytes]:
    """GET a document; return status and body.

    Raises:
        OSError: nobody answers there.
    """
    connection = http.client.HTTPConnection(address, port, timeout=_LIMIT_S)
    connection.sock = _connect(host, address, port)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{address}:{port}{path}: {error}") from error
    finally:
        connection.close()


class Watch:
    """Counts the IPv4 packets to one destination that reach an interface of a host, from its making on."""

    def __init__(self, host: Host, interface: str, destination: str) -> None:
        with host.network():
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_IP)
            )
            self._socket.bind((interface, _ETH_P_IP))
        self._destination = IPv4Address(destination).packed

    def count(self) -> int:
        """Return how many there were, and end the watch."""
        n = 0
        with self._socket as sock:
            while True:
                try:
                    packet = sock.recv(65536)
                except BlockingIOError:
                    return n
                n += len(packet) >= 20 and struct.unpack_from("4s", packet, 16)[0] == self._destination


def _connect(host: Host, address: str, port: int) -> socket.socket:
    with host.network():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(_LIMIT_S)
    try:
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
