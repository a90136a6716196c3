"""Two ends of a TLS session over TCP on loopback, for tests: real certificates, real handshake."""

import socket
from pathlib import Path

from OpenSSL import SSL

from identities import authority, identity
from zcc.itunnel.handshake import StreamHandshake
from zcc.pki.context import stream_client, stream_server


def contexts(folder: Path) -> tuple[SSL.Context, SSL.Context]:
    """Return the contexts of a connector and of an internet edge of one tenant."""
    ca = authority(folder / "ca")
    return stream_client(identity(ca, "connector", "cc-1")), stream_server(identity(ca, "internet-edge", "ie-1"))


def sockets() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def pair(client_context: SSL.Context, server_context: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Shake hands in memory and return both connections."""
    client, server = SSL.Connection(client_context, None), SSL.Connection(server_context, None)
    client.set_connect_state()
    server.set_accept_state()
    ends = StreamHandshake(client), StreamHandshake(server)
    said = ends[0].receive(b"")
    for turn in range(20):
        said = ends[1 - turn % 2].receive(said) if said else b""
        if ends[0].done and ends[1].done:
            if said:
                ends[turn % 2].connection.bio_write(said)
            return client, server
    raise AssertionError("the handshake does not end")
