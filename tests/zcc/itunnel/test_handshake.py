"""Datagrams of a handshake: cut, lost, forged, refused."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from dtls_pair import contexts, pair
from identities import authority, identity
from zcc.itunnel.handshake import (
    DATAGRAM_BYTES,
    Handshake,
    HandshakeFailed,
    datagrams,
    records,
    use_fixed_mtu,
)
from zcc.pki.context import dtls_client, dtls_server


def ends(client: SSL.Context, server: SSL.Context) -> tuple[Handshake, Handshake]:
    """Two handshakes that know nothing of each other yet."""
    for context in (client, server):
        use_fixed_mtu(context)
    ours, theirs = SSL.Connection(client, None), SSL.Connection(server, None)
    ours.set_connect_state()
    theirs.set_accept_state()
    return Handshake(ours), Handshake(theirs)


def record(size: int) -> bytes:
    """A record of `size` bytes inside."""
    return b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size)


def test_flights_are_packed_into_datagrams() -> None:
    flight = [record(600), record(500), record(100), record(2000), record(1)]
    packed = datagrams(b"".join(flight))
    assert packed == [flight[0] + flight[1], flight[2], flight[3], flight[4]]


@given(st.binary(max_size=100))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_records_or_refused(datagram: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert b"".join(records(datagram)) == datagram


def test_all_datagrams_of_a_handshake_cross_any_path(tmp_path: Path) -> None:
    client, server = ends(*contexts(tmp_path))
    said = client.start()
    seen = list(said)
    receiver, sender = server, client
    while not (client.done and server.done):
        said = [answer for datagram in said for answer in receiver.receive(datagram)]
        seen += said
        receiver, sender = sender, receiver
    assert max(map(len, seen)) <= DATAGRAM_BYTES
    assert client.certificate() != server.certificate()


def test_garbage_between_the_datagrams_does_no_harm(tmp_path: Path) -> None:
    client, server = ends(*contexts(tmp_path))
    said, receiver, sender = client.start(), server, client
    while not (client.done and server.done):
        for junk in (b"", b"\x16", bytes(50), b"\x16\xfe\xfd" + bytes(60), said[0][:40] if said else b"x"):
            receiver.receive(junk)
        said = [answer for datagram in said for answer in receiver.receive(datagram)]
        receiver, sender = sender, receiver


def test_a_lost_flight_has_a_time_to_be_repeated(tmp_path: Path) -> None:
    client, _ = ends(*contexts(tmp_path))
    assert client.wait_s() is None
    client.start()
    wait = client.wait_s()
    assert wait is not None and 0 < wait <= 1.0
    assert client.expired() == []      # not yet


def test_a_peer_of_another_ca_is_refused_by_both(tmp_path: Path) -> None:
    ours, others = authority(tmp_path / "ours"), authority(tmp_path / "others")
    client, server = dtls_client(identity(ours, "connector", "cc")), dtls_server(identity(others, "internet-edge", "ie"))
    with pytest.raises(HandshakeFailed, match="certificate verify failed") as caught:
        refuse(*ends(client, server))
    assert caught.value.farewell, "the other side is not told"


def refuse(client: Handshake, server: Handshake) -> None:
    """Shake hands until one side refuses."""
    said, receiver, sender = client.start(), server, client
    for _ in range(20):
        said = [answer for datagram in said for answer in receiver.receive(datagram)]
        receiver, sender = sender, receiver


def test_refusing_after_the_handshake_is_told(tmp_path: Path) -> None:
    client, server = pair(*contexts(tmp_path))
    del client
    done = Handshake(server)
    assert len(done.refuse()) == 1
