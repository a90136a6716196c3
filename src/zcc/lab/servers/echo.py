"""Servers of a few lines: UDP echo, UDP who-am-I, and a TCP server that answers only after its client has
finished.

udp      the datagram comes back (RFC 862)
mirror   the datagram comes back behind "ADDRESS PORT ", what the server saw of its sender
late     TCP: reads to the end of the stream, waits a moment, answers "BYTES SHA256" and closes
"""

import hashlib
import socket
import socketserver
import time

_LATE_S = 0.5


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class _Mirror(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        address, port = self.client_address[:2]
        sock.sendto(f"{address} {port} ".encode() + data, self.client_address)


class _Late(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        digest, size = hashlib.sha256(), 0
        while chunk := self.request.recv(65536):
            digest.update(chunk)
            size += len(chunk)
        time.sleep(_LATE_S)  # the stream's other half has long been closed when the answer comes
        self.request.sendall(f"{size} {digest.hexdigest()}\n".encode())


class _Datagrams(socketserver.UDPServer):
    max_packet_size = 65536
    allow_reuse_address = True


class _Streams(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Datagrams6(_Datagrams):
    address_family = socket.AF_INET6


def serve(kind: str, address: str, port: int) -> None:
    """Serve until killed.

    Args:
        kind: udp, mirror or late.
        address: own address, IPv4, or IPv6 for datagrams; the answer leaves from it.
    """
    if kind == "late":
        _Streams((address, port), _Late).serve_forever()
    server = _Datagrams6 if ":" in address else _Datagrams
    server((address, port), {"udp": _Echo, "mirror": _Mirror}[kind]).serve_forever()
