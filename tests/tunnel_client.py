"""A small connector's end of the internet tunnel for tests: a socket, a DTLS session, packets in and out."""

import contextlib
import socket

from OpenSSL import SSL

from fastpath.dtls import Session
from fastpath.geneve import encode_header
from zcc.itunnel import wire
from zcc.itunnel.handshake import Handshake, use_fixed_mtu

LOCATION = (0xFF5A, 1, bytes([0, 0, 0, 9]))


class SmallClient:
    """One session to an edge, blocking, with a bound on every wait."""

    def __init__(self, context: SSL.Context, edge: tuple[str, int], wait_s: float = 5.0) -> None:
        use_fixed_mtu(context)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(wait_s)
        self.socket.connect(edge)
        self.session = Session(self._shake_hands(context))
        self.probed: list[int] = []      # sizes that the edge has asked about
        self.longest = 0                 # datagram that was sent here
        self.largest = 1 << 16           # datagram that the path to here takes

    def _shake_hands(self, context: SSL.Context) -> SSL.Connection:
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        handshake = Handshake(connection)
        said = handshake.start()
        while True:
            for datagram in said:
                self.socket.send(datagram)
            if handshake.done:
                return connection
            said = handshake.receive(self.socket.recv(65536))

    def send(self, packet: bytes, vni: int) -> None:
        """Send an IP packet in a namespace."""
        protocol = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self._send(encode_header([LOCATION], protocol=protocol, vni=vni) + packet)

    def say(self, message: wire.Message) -> None:
        """Send a control message."""
        self._send(wire.encode(message))

    def _send(self, plain: bytes) -> None:
        sealed = self.session.seal(plain)
        assert sealed is not None
        self.socket.send(sealed)

    def receive(self) -> bytes:
        """Return the next Geneve packet; probes of the path's size are answered meanwhile."""
        while True:
            plain = self.open(self.socket.recv(65536))
            if plain is not None:
                return plain
            assert not self.session.closed, "the edge closed the session"

    def open(self, datagram: bytes) -> bytes | None:
        """Return the Geneve packet of a datagram; None when it is for us or nothing."""
        self.longest = max(self.longest, len(datagram))
        if len(datagram) > self.largest:
            return None
        plain = self.session.open(datagram)
        match wire.decode(plain or b""):
            case wire.SizeProbe(number, size):
                self.probed.append(size)
                self.say(wire.SizeAnswer(number, size))
                return None
        return plain

    def settle(self, silence_s: float = 0.4) -> None:
        """Answer the edge's questions about the path until it asks no more."""
        wait_s = self.socket.gettimeout()
        self.socket.settimeout(silence_s)
        with contextlib.suppress(TimeoutError):
            while True:
                self.receive()
        self.socket.settimeout(wait_s)

    def close(self) -> None:
        """Say goodbye to the edge."""
        self.socket.send(self.session.close())
        self.socket.close()
