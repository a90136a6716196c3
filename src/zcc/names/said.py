"""Said: what the first bytes of a flow say of its name, or why they say none.

Journey: clienthello, httphost and quicinitial read; reader brings them the bytes; the connector tells its data plane. One
answer a flow. It knows no rules.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from zcc.fields import parse_dns_name

__all__ = ["NOT_WEB", "NO_NAME", "UNREAD", "How", "Said", "of_host"]


class How(StrEnum):
    """From where a name came, or why there is none."""

    SNI = "sni"  # server_name of a ClientHello over TCP
    HOST = "host"  # of an HTTP/1 request
    QUIC = "quic"  # server_name of a ClientHello in QUIC Initials
    ECH = "ech"  # an encrypted ClientHello is there too: the name outside may be only its provider's
    NO_NAME = "no-name"  # a ClientHello without server_name, a request without Host, an address in its place
    NOT_WEB = "not-web"  # neither TLS nor HTTP/1 nor QUIC
    UNREAD = "unread"  # cut short, contradictory, malformed, of another version, or beyond the bounds


class Said(NamedTuple):
    """An answer; the name is lower case without the final dot, and None unless how is SNI, HOST, QUIC or ECH."""

    how: How
    name: str | None = None


NO_NAME = Said(How.NO_NAME)
NOT_WEB = Said(How.NOT_WEB)
UNREAD = Said(How.UNREAD)


def of_host(host: bytes, how: How) -> Said:
    """Make the answer of a host as it was sent: a name, an address (NO_NAME), or what is neither (UNREAD)."""
    try:
        text = host.decode("ascii")
    except UnicodeDecodeError:
        return UNREAD
    if _is_address(text):
        return NO_NAME
    try:
        # What it would take off around a name, a server would not: that is no name then.
        return UNREAD if text != text.strip() else Said(how, parse_dns_name(text))
    except ValueError:
        return UNREAD


def _is_address(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    for kind in (IPv4Address, IPv6Address):
        try:
            kind(bare)
        except ValueError:
            continue
        return True
    # No top-level domain is all digits (RFC 3696 §2): an address in one of its other forms, such as 127.1.
    return text.removesuffix(".").rpartition(".")[2].isdigit()
