"""Why a microtunnel or a stream of it failed, in words that cross the wire and words for operators.

    ZccError
    └── TunnelError
        ├── EdgeDown      no edge is connected, or it went away before it answered
        └── Refused       the far side said no; code and text are its own
    ConnectionError
    └── StreamGone        the stream was reset or its connection ended; what was read so far is all there is

Codes of Refused, in an OpenReply and a Failure:
"""

from __future__ import annotations

from enum import StrEnum

from zcc.errors import ZccError

__all__ = ["Code", "EdgeDown", "Refused", "StreamGone", "TunnelError"]


class Code(StrEnum):
    """Error codes on the wire."""

    OK = "ok"
    BAD_REQUEST = "bad-request"  # the message is none, or out of place
    FORBIDDEN = "forbidden"  # access rules, role, or a destination outside the app connector's networks
    NO_APPLICATION = "no-application"  # no application covers name, namespace, protocol and port
    NO_APP_CONNECTOR = "no-app-connector"  # nobody of the group is connected
    NO_POOL = "no-pool"  # the edge has no pool of that name
    POOL_FULL = "pool-full"  # no address left for names under wildcards
    NAME_NOT_FOUND = "name-not-found"  # the app connector cannot resolve it
    REFUSED = "refused"  # the server answered with a reset
    UNREACHABLE = "unreachable"  # no route, or an ICMP error
    TIMEOUT = "timeout"  # no answer in time
    DRAINING = "draining"  # the far side is about to end
    INTERNAL = "internal"  # the far side failed; its log says why


class TunnelError(ZccError):
    """A microtunnel cannot do what was asked."""


class EdgeDown(TunnelError):
    """No private edge is connected, or the connection ended before the answer."""


class Refused(TunnelError):
    """The far side said no."""

    def __init__(self, code: str, text: str = "") -> None:
        self.code = code
        self.text = text
        super().__init__(f"{code}: {text}" if text else code)


class StreamGone(ConnectionError):
    """The stream was reset by either side, or its connection ended."""
