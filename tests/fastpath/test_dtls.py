"""dtls over real sessions: what is sealed opens once, and nothing that a stranger sends matters."""

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from dtls_pair import contexts, pair
from fastpath import dtls as compiled
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from model import dtls as reference

DATA = b"\x17\xfe\xfd\x00\x01"      # application data, DTLS 1.2, epoch 1 (RFC 6347 §4.1)

Sessions = tuple[Any, Any]


@pytest.fixture(scope="module")
def both_contexts(tmp_path_factory: Any) -> tuple[SSL.Context, SSL.Context]:
    """A client's and a server's context."""
    return contexts(tmp_path_factory.mktemp("dtls"))


@pytest.fixture(params=[compiled, reference], ids=["fastpath", "model"])
def impl(request: Any) -> ModuleType:
    """Both implementations."""
    return request.param


@pytest.fixture
def ends(impl: ModuleType, both_contexts: Any) -> Sessions:
    """Two ends of one session."""
    client, server = pair(*both_contexts)
    return impl.Session(client), impl.Session(server)


def still_works(ours: Any, theirs: Any) -> None:
    """Both ways, whatever happened before."""
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        assert receiver.open(sender.seal(b"still here")) == b"still here"
        assert not receiver.closed


@pytest.mark.parametrize("size", [1, 13, 1300, 9000, 16384])
def test_what_is_sealed_opens(ends: Sessions, size: int) -> None:
    plain = bytes(range(256)) * 64
    sealed = ends[0].seal(plain[:size])
    assert len(sealed) == size + 37
    assert ends[1].open(sealed) == plain[:size]
    still_works(*ends)


def test_replayed_record_is_refused(ends: Sessions) -> None:
    sealed = ends[0].seal(b"once")
    assert ends[1].open(sealed) == b"once"
    assert ends[1].open(sealed) is None
    still_works(*ends)


def test_records_open_in_any_order(ends: Sessions) -> None:
    sealed = [ends[0].seal(bytes([number])) for number in range(1, 20)]
    assert [ends[1].open(one) for one in reversed(sealed)] == [bytes([number]) for number in range(19, 0, -1)]


def test_every_flipped_bit_is_noticed(ends: Sessions) -> None:
    for bit in range(0, 8 * 53, 5):
        sealed = bytearray(ends[0].seal(b"sixteen bytes ok"))
        sealed[bit // 8] ^= 1 << bit % 8
        assert ends[1].open(bytes(sealed)) is None, f"bit {bit}"
    still_works(*ends)


def test_cut_datagram_does_not_spoil_the_next(ends: Sessions) -> None:
    for length in range(54):
        sealed = ends[0].seal(b"sixteen bytes ok")
        if length < len(sealed):
            assert ends[1].open(sealed[:length]) is None
        assert ends[1].open(ends[0].seal(b"next")) == b"next"


def test_two_halves_of_a_record_do_not_make_one(ends: Sessions) -> None:
    sealed = ends[0].seal(b"sixteen bytes ok")
    assert ends[1].open(sealed[:20]) is None
    assert ends[1].open(sealed[20:]) is None
    still_works(*ends)


@pytest.mark.parametrize("forged", [
    b"\x15\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x02\x02\x28",               # fatal alert in the clear, epoch 0
    b"\x15\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x02\x01\x00",               # close_notify in the clear
    b"\x15\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x02\x02\x28",               # fatal alert, epoch 1, not sealed
    b"\x16\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x0c\x00" + bytes(11),       # HelloRequest in the clear
    b"\x16\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x0c\x01" + bytes(11),       # an empty ClientHello
    b"\x14\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x01\x01",                   # ChangeCipherSpec
    b"\x17\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x04data",                   # data of epoch 0
    b"\x17\xfe\xfd\x00\x02" + bytes(6) + b"\x00\x04data",                   # data of an epoch to come
    b"\x17\xfe\xfd\x00\x01\xff\xff\xff\xff\xff\xff\x00\x40" + bytes(64),    # the highest sequence number
    b"\x17\x03\x03\x00\x01" + bytes(6) + b"\x00\x20" + bytes(32),           # TLS's version
    b"\x18\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x20" + bytes(32),           # heartbeat
    DATA + bytes(6) + b"\x00\x00",                                          # no bytes
    DATA + bytes(6) + b"\x48\x01" + bytes(0x4801),                          # longer than a record may be
], ids=range(13))
def test_forged_datagram_changes_nothing(ends: Sessions, forged: bytes) -> None:
    assert ends[1].open(forged) is None
    assert ends[0].open(forged) is None
    still_works(*ends)


def test_records_of_one_datagram_come_one_by_one(ends: Sessions) -> None:
    datagram = b"".join(ends[0].seal(plain) for plain in (b"one", b"two", b"three"))
    assert [ends[1].open(datagram), *(ends[1].open(b"") for _ in range(3))] == [b"one", b"two", b"three", None]
    still_works(*ends)


def test_records_not_asked_for_do_not_become_the_next_datagrams(ends: Sessions) -> None:
    assert ends[1].open(ends[0].seal(b"one") + ends[0].seal(b"two")) == b"one"
    assert ends[1].open(ends[0].seal(b"fresh")) == b"fresh"
    assert ends[1].open(b"") is None


def test_bad_record_before_a_good_one_in_a_datagram(ends: Sessions) -> None:
    bad = bytearray(ends[0].seal(b"bad"))
    bad[-1] ^= 1
    assert ends[1].open(bytes(bad) + ends[0].seal(b"good")) == b"good"
    still_works(*ends)


def test_close_is_told_and_final(ends: Sessions) -> None:
    said = ends[0].close()
    assert ends[0].closed
    assert ends[0].close() == b""
    assert ends[0].seal(b"x") is None
    assert ends[1].open(said) is None
    assert ends[1].closed
    assert ends[1].open(b"anything") is None


def test_nothing_is_pending_between_records(ends: Sessions) -> None:
    ends[0].pending()
    ends[1].open(ends[0].seal(b"x"))
    assert ends[0].pending() == ends[1].pending() == b""


def test_wrong_arguments_are_named(impl: ModuleType, ends: Sessions, both_contexts: Any) -> None:
    with pytest.raises(TypeError, match="connection"):
        impl.Session(object())
    for plain in (b"", bytes(16385)):
        with pytest.raises(ValueError, match="plain"):
            ends[0].seal(plain)
    batch = PacketBatch(2, 512)
    batch.load([b"x"])
    with pytest.raises(ValueError, match="rows"):
        ends[0].seal_rows(batch, np.array([1], np.uint16))
    with pytest.raises(TypeError, match="rows"):
        ends[0].open_rows(batch, [0])


def test_rows_are_sealed_and_opened_in_place(ends: Sessions) -> None:
    batch = PacketBatch(8, 1024)
    frames = [bytes([number]) * (100 * number) for number in range(1, 7)]
    batch.load(frames)
    batch.start[:3] -= 28          # as after a header was put in front
    batch.length[:3] += 28
    before = [batch.frame(row) for row in range(6)]
    assert ends[0].seal_rows(batch) == 6
    assert [int(length) for length in batch.length[:6]] == [len(frame) + 37 for frame in before]
    assert ends[1].open_rows(batch, np.arange(6, dtype=np.uint16)) == 6
    assert [batch.frame(row) for row in range(6)] == before
    assert set(batch.start[:6].tolist()) == {HEADROOM_BYTES}


def test_rows_that_are_no_records_are_dropped_and_dead_rows_left_alone(ends: Sessions) -> None:
    batch = PacketBatch(8, 1024)
    batch.load([ends[0].seal(b"good"), b"garbage", b"", ends[0].seal(b"dead"), ends[0].seal(b"also good")])
    batch.reason[3] = DropReason.DROP_POLICY
    dropped = DropReason.DROP_DTLS_RECORD
    assert ends[1].open_rows(batch) == 2
    assert batch.reason[:5].tolist() == [0, dropped, dropped, DropReason.DROP_POLICY, 0]
    assert (batch.frame(0), batch.frame(4)) == (b"good", b"also good")


def test_row_without_room_for_the_record_is_dropped(ends: Sessions) -> None:
    batch = PacketBatch(4, 512)
    batch.load([bytes(384 - 37), bytes(384 - 36), bytes(384)])
    assert ends[0].seal_rows(batch) == 1
    assert batch.reason[:3].tolist() == [0, DropReason.DROP_DTLS_RECORD, DropReason.DROP_DTLS_RECORD]
    still_works(*ends)


@settings(max_examples=200, deadline=None)
@given(junk=st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda tail: DATA + tail)),
       cut=st.integers(0, 60))
def test_any_bytes_are_survived_and_both_agree(both: Any, junk: bytes, cut: int) -> None:
    answers = []
    for client, server in both:
        sealed = client.seal(b"sixteen bytes ok")
        answers.append((server.open(junk), server.open(sealed[:cut]), server.open(junk + sealed), server.closed))
        assert server.open(client.seal(b"after")) == b"after"
        assert client.open(server.seal(b"back")) == b"back"
    assert answers[0] == answers[1]


@pytest.fixture(scope="module")
def both(both_contexts: Any) -> list[Sessions]:
    """A session of each implementation."""
    return [tuple(impl.Session(end) for end in pair(*both_contexts)) for impl in (compiled, reference)]


def test_sessions_of_several_threads_do_not_disturb_one_another(both_contexts: Any) -> None:
    failures: list[str] = []

    def work(client: Any, server: Any) -> None:
        batch = PacketBatch(64, 2048)
        for turn in range(50):
            batch.load([bytes([turn]) * 1000] * 64)
            client.seal_rows(batch)
            if turn % 3 == 0:
                server.open(b"\x17 forged" * 9)      # leaves errors in this thread's queue
            if server.open_rows(batch) != 64 or batch.frame(63) != bytes([turn]) * 1000:
                failures.append(f"turn {turn}")

    made = [tuple(map(compiled.Session, pair(*both_contexts))) for _ in range(3)]
    threads = [threading.Thread(target=work, args=session) for session in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_session_outlives_its_maker(both_contexts: Any, tmp_path: Path) -> None:
    client, server = map(compiled.Session, pair(*both_contexts))
    assert server.open(client.seal(b"x")) == b"x"
    del client
    assert server.seal(b"y") is not None
