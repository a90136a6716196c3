"""The listener without a socket: cookies, bounds, refusals, expiry."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from dtls_pair import contexts
from zcc.errors import PeerRefused
from zcc.internet_edge.cookie import Cookies
from zcc.internet_edge.listener import Listener, opens_handshake
from zcc.internet_edge.settings import LimitSettings
from zcc.itunnel.handshake import Handshake
from zcc.pki.peer import Peer

S = 1_000_000_000
PEER = Peer("acme", "connector", "cc-1", 1)
HELLO_VERIFY = 3      # RFC 6347 §4.3.2


class Stage:
    """A listener, and strangers that talk to it."""

    def __init__(self, folder: Path, verify: Callable[[bytes], Peer] = lambda der: PEER, **limits: int) -> None:
        self.client, server = contexts(folder)
        self.cookies = Cookies(0)
        self.listener = Listener(server, verify, LimitSettings(**limits), self.cookies)

    def stranger(self) -> tuple[Handshake, list[bytes]]:
        """A client and its first flight."""
        connection = SSL.Connection(self.client, None)
        connection.set_connect_state()
        handshake = Handshake(connection)
        return handshake, handshake.start()

    def second_hello(self, address: tuple[int, int]) -> tuple[Handshake, list[bytes]]:
        """A client that has its cookie."""
        client, said = self.stranger()
        [cookie] = self.listener.receive(address, said[0], 0)
        return client, client.receive(cookie)

    def shake(self, address: tuple[int, int]) -> None:
        """A whole handshake."""
        client, said = self.second_hello(address)
        for _ in range(10):
            answers = [answer for datagram in said for answer in self.listener.receive(address, datagram, 0)]
            said = [answer for datagram in answers for answer in client.receive(datagram)]


def test_a_stranger_gets_a_cookie_and_leaves_no_trace(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for port in range(50):
        _, said = stage.stranger()
        [answer] = stage.listener.receive((7, port), said[0], 0)
        assert answer[13] == HELLO_VERIFY
        assert len(answer) <= len(said[0]), "a stranger must not be able to amplify"
    assert len(stage.listener) == 0
    assert stage.listener.counts["cookies"] == 50


def test_the_cookie_makes_it_half_open_and_the_certificate_a_session(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.shake((7, 7))
    [accepted] = stage.listener.accepted
    assert (accepted.address, accepted.peer) == ((7, 7), PEER)
    assert len(stage.listener) == 0


def test_a_cookie_is_good_for_its_own_address_only(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    _, hello = stage.second_hello((7, 7))
    for elsewhere in ((7, 8), (8, 7)):
        stage.listener.receive(elsewhere, hello[0], 0)
    assert len(stage.listener) == 0
    stage.listener.receive((7, 7), hello[0], 0)
    assert len(stage.listener) == 1


def test_a_cookie_dies_after_two_minutes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    _, hello = stage.second_hello((7, 7))
    stage.cookies.rotate(61 * S)
    assert stage.listener.receive((7, 7), hello[0], 62 * S)
    assert len(stage.listener) == 1
    stage = Stage(tmp_path / "again")
    _, hello = stage.second_hello((7, 7))
    stage.cookies.rotate(61 * S)
    stage.cookies.rotate(122 * S)
    stage.listener.receive((7, 7), hello[0], 123 * S)
    assert len(stage.listener) == 0


def test_half_open_handshakes_are_bounded_and_the_oldest_gives_way(tmp_path: Path) -> None:
    stage = Stage(tmp_path, half_open=3, half_open_per_address=2)
    for address in range(5):
        _, hello = stage.second_hello((address, 1))
        stage.listener.receive((address, 1), hello[0], address)
    assert len(stage.listener) == 3
    assert not stage.listener.wants((0, 1), b"")
    assert stage.listener.wants((4, 1), b"")


def test_one_address_cannot_take_all_places(tmp_path: Path) -> None:
    stage = Stage(tmp_path, half_open=10, half_open_per_address=2)
    for port in range(5):
        _, hello = stage.second_hello((7, port))
        stage.listener.receive((7, port), hello[0], 0)
    assert len(stage.listener) == 2
    assert stage.listener.counts["crowded"] == 3


def test_a_handshake_that_takes_too_long_is_forgotten(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    _, hello = stage.second_hello((7, 7))
    stage.listener.receive((7, 7), hello[0], 0)
    stage.listener.tick(9 * S)
    assert len(stage.listener) == 1
    stage.listener.tick(11 * S)
    assert len(stage.listener) == 0
    assert stage.listener.counts["expired"] == 1


def test_a_refused_peer_is_no_session(tmp_path: Path) -> None:
    def refuse(der: bytes) -> Peer:
        raise PeerRefused("not here")

    stage = Stage(tmp_path, refuse)
    stage.shake((7, 7))
    assert not stage.listener.accepted
    assert stage.listener.counts["refused"] == 1
    assert len(stage.listener) == 0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: Any) -> Stage:
    """One listener for many strangers."""
    return Stage(tmp_path_factory.mktemp("stage"))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(
    lambda tail: b"\x16\xfe\xfd" + bytes(8) + len(tail).to_bytes(2, "big") + tail),
    st.binary(max_size=300).map(lambda tail: b"\x16\xfe\xff" + bytes(8) + (len(tail) + 1).to_bytes(2, "big") + b"\1" + tail)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_of_a_stranger_leave_no_trace(stage: Stage, datagram: bytes) -> None:
    answers = stage.listener.receive((9, 9), datagram, 0)
    assert sum(map(len, answers)) <= len(datagram) + 100
    assert len(stage.listener) == 0


def test_listener_works_after_all_that(stage: Stage) -> None:
    stage.shake((1, 2))
    assert [accepted.address for accepted in stage.listener.accepted] == [(1, 2)]


def test_only_a_client_hello_of_epoch_0_opens_a_handshake() -> None:
    good = b"\x16\xfe\xfd\0\0" + bytes(8) + b"\1"
    cases = [good, b"\x17" + good[1:], good[:3] + b"\0\1" + good[5:], good[:13] + b"\2", good[:13]]
    assert [opens_handshake(case) for case in cases] == [True, False, False, False, False]
