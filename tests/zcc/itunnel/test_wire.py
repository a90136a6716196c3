"""Control messages: literal bytes, round trips, and any bytes at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.itunnel.wire import (
    Goodbye,
    Hello,
    Message,
    Probe,
    ProbeAnswer,
    SizeAnswer,
    SizeProbe,
    decode,
    encode,
)

NUMBERS, WORDS = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
MESSAGES = st.one_of(st.builds(Hello, WORDS, NUMBERS, NUMBERS, st.booleans()), st.builds(Probe, NUMBERS, NUMBERS),
                     st.builds(ProbeAnswer, NUMBERS, NUMBERS), st.just(Goodbye()),
                     st.builds(SizeProbe, WORDS, st.integers(16, 9000)), st.builds(SizeAnswer, WORDS, WORDS))

# RFC 8926 §3.4 and §3.5, written out.
PROBE = bytes.fromhex("05 80 0000 000000 00" "ff5a 11 04" "0000000000000007" "00000000000003e8")


def test_a_probe_is_these_bytes() -> None:
    assert encode(Probe(7, 1000)) == PROBE
    assert decode(PROBE) == Probe(7, 1000)


def test_a_goodbye_has_an_empty_option() -> None:
    assert encode(Goodbye()).hex() == "0180000000000000" "ff5a1300"


def test_a_size_probe_is_as_long_as_it_says_and_its_answer_tells_what_came() -> None:
    probe = encode(SizeProbe(3, 1400))
    assert len(probe) == 1400 and probe.startswith(bytes.fromhex("0280000000000000" "ff5a1401" "00000003"))
    assert decode(probe[:900]) == SizeProbe(3, 900)
    assert encode(SizeAnswer(3, 900)).hex() == "0380000000000000" "ff5a1502" "00000003" "00000384"


def test_a_longer_hello_of_a_later_version_is_read() -> None:
    assert decode(bytes.fromhex("0380000000000000" "ff5a1002" "00000002" "deadbeef")) == Hello(2)
    of_this = encode(Hello(1, 7, 8, takes_parts=True))
    assert of_this.hex() == "0780000000000000" "ff5a1006" "00000001" "0000000000000007" "0000000000000008" "00000001"
    later = bytes([of_this[0] + 1]) + of_this[1:11] + b"\x07" + of_this[12:35] + b"\xff" + b"more"
    assert decode(later) == Hello(1, 7, 8, takes_parts=True)


def test_an_older_hello_says_nothing_of_parts() -> None:
    older = bytes.fromhex("0680000000000000" "ff5a1005" "00000001" "0000000000000007" "0000000000000008")
    assert decode(older) == Hello(1, 7, 8)


@pytest.mark.parametrize("spoiled", [
    PROBE[:-1], PROBE + b"\0",                        # length differs from what the header says
    b"\x45" + PROBE[1:],                              # Geneve version 1
    PROBE[:1] + b"\0" + PROBE[2:],                    # no O bit
    PROBE[:8] + b"\xff\x5b" + PROBE[10:],             # another class
    PROBE[:10] + b"\x1f" + PROBE[11:],                # a type nobody knows
    PROBE[:10] + b"\x13" + PROBE[11:],                # a goodbye with data
    b"",
], ids=range(8))
def test_what_is_no_message_is_none(spoiled: bytes) -> None:
    assert decode(spoiled) is None


def test_numbers_too_large_are_a_bad_call() -> None:
    for message in (Hello(2**32), Probe(2**64, 0), ProbeAnswer(-1, 0), SizeProbe(2**32, 99), SizeProbe(1, 15),
                    SizeProbe(1, 2**16), SizeAnswer(1, 2**32)):
        with pytest.raises(ValueError, match="message"):
            encode(message)


@given(MESSAGES)
@settings(deadline=None)
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.one_of(st.binary(max_size=64), st.tuples(st.integers(0, 23), st.integers(0, 255)).map(
    lambda change: PROBE[:change[0]] + bytes([change[1]]) + PROBE[change[0] + 1:])))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_message_or_none(packet: bytes) -> None:
    message = decode(packet)
    if message is not None:
        # Reserved bits are ignored (RFC 8926 §3.5), so it is the meaning that must survive, not every bit.
        assert decode(encode(message)) == message
