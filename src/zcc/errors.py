"""What can go wrong in a daemon or a command, in the operator's words.

    ZccError                    base; the message says what happened and what to do next
    ├── ConfigurationError      the file is wrong: every problem with its line; exit code 2, network untouched
    ├── IdentityError           our own certificate, key, CA or CRL cannot be used
    ├── AuthorityError          the tenant CA's folder refuses an operation
    ├── PeerRefused             the other side proved an identity that is not allowed here
    ├── ListenError             an address cannot be bound
    ├── DeviceError             the kernel refuses a device, an address or a route
    ├── FeedError               a file that rules look into (countries, categories, workloads) can not be used
    ├── LedgerError             the store of synthetic addresses cannot be read or written
    └── CaptureError            a capture file cannot be read

Packages derive their own errors from these. A bad packet is never one of them (it is a counted reason),
and neither is a bad call (ValueError or TypeError naming the argument).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AuthorityError",
    "CaptureError",
    "ConfigurationError",
    "DeviceError",
    "FeedError",
    "IdentityError",
    "LedgerError",
    "ListenError",
    "PeerRefused",
    "Problem",
    "ZccError",
]


class ZccError(Exception):
    """A failure that an operator can act on; str() is one or more complete lines for the terminal."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file; line counts from 1, field is a dotted path and may be empty."""

    file: str
    line: int
    field: str
    message: str
    severity: str = "error"  # or "warning": allowed, and hardly what was meant
    code: str = "wrong"  # of docs/check.md

    def __str__(self) -> str:
        said = self.message if self.severity == "error" else f"{self.severity}: {self.message}"
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.field}: {said}" if self.field else f"{where}: {said}"


class ConfigurationError(ZccError):
    """The configuration file is wrong; carries all problems at once, in the order of their lines."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class IdentityError(ZccError):
    """This agent's own certificate, key, CA or CRL is missing, unreadable or does not fit together."""


class AuthorityError(ZccError):
    """The tenant CA cannot do what was asked, and has changed nothing."""


class PeerRefused(ZccError):
    """The peer's certificate is genuine or not, but it may not talk to us; the connection is closed."""


class ListenError(ZccError):
    """An address cannot be bound: in use, not on this host, or a port that needs a capability."""


class DeviceError(ZccError):
    """The kernel refuses a device, an address or a route."""


class FeedError(ZccError):
    """A file that rules look into can not be read, or is wrong."""


class LedgerError(ZccError):
    """The store of synthetic addresses cannot be read or written."""


class CaptureError(ZccError):
    """A capture file cannot be read."""
