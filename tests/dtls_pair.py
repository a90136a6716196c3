"""Two ends of a DTLS session in one process, for tests: real certificates, real handshake, no socket."""

from collections.abc import Iterator
from pathlib import Path

from OpenSSL import SSL

from identities import authority, identity
from zcc.itunnel.handshake import Handshake, use_fixed_mtu
from zcc.pki.context import dtls_client, dtls_server


def contexts(folder: Path) -> tuple[SSL.Context, SSL.Context]:
    """Return the contexts of a connector and of an internet edge of one tenant."""
    ca = authority(folder / "ca")
    both = dtls_client(identity(ca, "connector", "cc-1")), dtls_server(identity(ca, "internet-edge", "ie-1"))
    for context in both:
        use_fixed_mtu(context)
    return both


def pair(client_context: SSL.Context, server_context: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Shake hands (without cookies) and return both connections."""
    client, server = SSL.Connection(client_context, None), SSL.Connection(server_context, None)
    client.set_connect_state()
    server.set_accept_state()
    ends = Handshake(client), Handshake(server)
    waiting: list[list[bytes]] = [ends[0].start(), []]
    for turn in _turns():
        said = [answer for datagram in waiting[turn] for answer in ends[1 - turn].receive(datagram)]
        waiting[turn], waiting[1 - turn] = [], said
        if ends[0].done and ends[1].done:
            return client, server
    raise AssertionError("the handshake does not end")


def _turns() -> Iterator[int]:
    for turn in range(50):
        yield turn % 2
