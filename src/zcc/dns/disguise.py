"""Disguise: a query under an id and in a spelling of our own, and the check that an answer belongs to it.

Journey: a redirected query → disguised → server of a gateway → `undisguised`, or thrown away → client. Whoever wants to slip
an answer in has to guess the id, the port and the case of every letter of the name.
The client's id and spelling are put back; owner names that point at the question follow it by themselves. Pure.
Source: RFC 5452 §9.1, draft-vixie-dnsext-dns0x20.
"""

from __future__ import annotations

from zcc.dns.octets import HEADER_BYTES, OPT, question_end
from zcc.dns.question import EDNS_PAYLOAD, Question

__all__ = ["CHANCE_BYTES", "KEPT_FLAGS", "bare_query", "disguised", "under_question_of", "undisguised"]

CHANCE_BYTES = 34  # two for the id, and a bit for each of the 255 octets a name has at most
CASE_BIT = 0x20
KEPT_FLAGS = 0x0110  # RD, CD


def bare_query(wire: bytes, question: Question) -> bytes:
    """Return a query with nothing of the client but its question, RD, CD, and whether it takes EDNS and signatures.

    What else it says (cookies, its subnet) is between it and the server that it asked, and would make answers unfit for
    anybody else.
    """
    end = question_end(wire)
    if end is None:
        return wire
    counts = b"\0\1\0\0\0\0" + (b"\0\1" if question.edns >= 0 else b"\0\0")
    flags = (question.flags & KEPT_FLAGS).to_bytes(2)
    return wire[:2] + flags + counts + wire[HEADER_BYTES:end] + (_opt(question) if question.edns >= 0 else b"")


def _opt(question: Question) -> bytes:
    flags = 0x8000 if question.dnssec_ok else 0
    return b"\0" + OPT.to_bytes(2) + EDNS_PAYLOAD.to_bytes(2) + flags.to_bytes(4) + b"\0\0"


def disguised(wire: bytes, chance: bytes) -> bytes | None:
    """Return a query under another id and in a spelling by chance.

    Args:
        chance: CHANCE_BYTES that nobody can predict.

    Returns:
        The query; None when its question is not one plain name.
    """
    if len(chance) != CHANCE_BYTES:
        raise ValueError(f"chance must be {CHANCE_BYTES} bytes, not {len(chance)}")
    end = question_end(wire)
    if end is None:
        return None
    out = bytearray(chance[:2] + wire[2:])
    coins = int.from_bytes(chance[2:])
    # Lengths of labels are below 64 and so no letters.
    for at in range(HEADER_BYTES, end - 5):
        if chr(out[at]).isascii() and chr(out[at]).isalpha():
            out[at] = (out[at] | CASE_BIT) ^ (CASE_BIT * (coins & 1))
            coins >>= 1
    return bytes(out)


def undisguised(answer: bytes, sent: bytes, asked: bytes) -> bytes | None:
    """Return an answer as the client must see it.

    Args:
        sent: the disguised query.
        asked: the client's query.

    Returns:
        The answer under the client's id and spelling; None when it does not answer exactly what was sent.
    """
    end = question_end(sent)
    if end is None or len(answer) < end:
        return None
    is_response = answer[2] & 0x80 and answer[2] & 0x78 == sent[2] & 0x78
    if not is_response or answer[:2] != sent[:2] or answer[4:6] != sent[4:6]:
        return None
    if answer[HEADER_BYTES:end] != sent[HEADER_BYTES:end]:
        return None
    return under_question_of(asked, answer)


def under_question_of(asked: bytes, answer: bytes) -> bytes:
    """Return an answer to the same question under the id and spelling of `asked`."""
    end = question_end(asked)
    assert end is not None, "an answer to a question that can not be read"
    return asked[:2] + answer[2:HEADER_BYTES] + asked[HEADER_BYTES:end] + answer[end:]
