"""Question: the one question of a DNS query, and what the client said it can take.

Journey: first thing that is made of a query's bytes; `intercept` decides on it, `answers` replies to it.
Spec: RFC 1035 §4.1, RFC 6891 §6.1 (EDNS), RFC 9619 (one question a query). Total on any bytes.
It does not decide anything and does not look behind the question but for the OPT record.
"""

from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.opcode

from zcc.dns.octets import HEADER_BYTES

EDNS_PAYLOAD = 1232  # DNS flag day 2020: never fragments on any path with an IPv6 minimum MTU
PLAIN_PAYLOAD = 512  # RFC 1035 §4.2.1; also what a smaller EDNS size means (RFC 6891 §6.2.3)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked."""

    id: int
    flags: int  # of the header, as received
    name: dns.name.Name  # case as received, so that 0x20 encoding survives
    type: int
    klass: int
    edns: int  # version; -1 = the query had no OPT record
    dnssec_ok: bool
    broken: bool  # the question was readable, something behind it was not
    payload: int = PLAIN_PAYLOAD  # bytes of the largest answer that the client takes over UDP

    @property
    def text(self) -> str:
        """The name in lower case without the final dot; the root is ''."""
        return self.name.canonicalize().to_text(omit_final_dot=True).removesuffix(".")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A query whose question cannot be read; enough of it to say FORMERR."""

    id: int
    flags: int


def parse_question(wire: bytes) -> Question | Malformed | None:
    """Read the question of a query.

    Args:
        wire: the whole UDP payload, or one message of a TCP stream without its length.
    Returns:
        Question; Malformed for a query with two questions or an unreadable one; None for what is not a query
        that can be answered: too short, a response, an opcode other than QUERY, no question (RFC 7873 §5.4).
    """
    if len(wire) < HEADER_BYTES:
        return None
    message_id, flags, count = (int.from_bytes(wire[i : i + 2]) for i in (0, 2, 4))
    if flags & dns.flags.QR or dns.opcode.from_flags(flags) != dns.opcode.QUERY or count == 0:
        return None
    if count > 1:
        return Malformed(message_id, flags)
    message = read_message(wire)
    if message is None or len(message.question) != 1:
        return Malformed(message_id, flags)
    asked = message.question[0]
    return Question(
        id=message_id,
        flags=flags,
        name=asked.name,
        type=int(asked.rdtype),
        klass=int(asked.rdclass),
        edns=message.edns,
        dnssec_ok=bool(message.ednsflags & dns.flags.DO),
        broken=bool(message.errors),
        payload=max(PLAIN_PAYLOAD, message.payload),
    )


def read_message(wire: bytes) -> dns.message.Message | None:
    """Parse as much of a message as can be read; what could not be is listed in its `errors`.

    Returns:
        The message, or None when not even the header could be read.
    """
    try:
        return dns.message.from_wire(wire, keyring=False, ignore_trailing=True, continue_on_error=True)
    except Exception:
        # The parser raises more than its own exceptions on hostile bytes; any of them means unreadable.
        return None
