"""Names: which pattern or application a name belongs to, and the numbers by which the data plane knows names.

Journey: DNS answers and leases bring names; NameBook gives each a number, which the data plane keeps
with the address and the flow; PatternMap says what the number means to the rules. Names are lower case
without the final dot.

Exact beats wildcard, the longer wildcard beats the shorter. `*.example.com` means every name below
example.com, at any depth, and not example.com itself. It does not look anything up in the DNS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from zcc.errors import ZccError
from zcc.policy.objects.segment import Application

__all__ = ["NameBook", "NameBookFull", "PatternMap", "application_map", "patterns_of"]

Value = TypeVar("Value")

CAPACITY = 1 << 21  # names; about 320 MB when full, 16 MB of it at once


def patterns_of(name: str) -> Iterator[str]:
    """Yield every pattern that a name matches, most specific first: itself, then ever shorter wildcards."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield f"*.{name}"


class PatternMap(Generic[Value]):
    """A value for each of some names and `*.` patterns."""

    def __init__(self, values: Iterable[tuple[str, Value]]) -> None:
        self._values = dict(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str) -> Value | None:
        """Return the value of the most specific pattern that the name matches, or None."""
        return next((self._values[key] for key in patterns_of(name) if key in self._values), None)


def application_map(applications: Iterable[Application]) -> PatternMap[Application]:
    """Make the map from a name to the application that owns it."""
    return PatternMap((domain, application) for application in applications for domain in application.domains)


class NameBookFull(ZccError):
    """Every number for names has been given out."""


class NameBook:
    """Numbers of names, given out at first use and never changed; and the application that owns a name.

    Lives as long as the data plane; policies come and go. One thread.

    Args:
        applications: those of the policy in force.
        capacity: numbers there are, 0 included.
        announce: called with (number, name) when a number is given out, before anyone else learns it.
    """

    def __init__(self, applications: Iterable[Application] = (), *, capacity: int = CAPACITY,
                 announce: Callable[[int, str], None] | None = None) -> None:
        self.capacity = capacity
        self.announce = announce
        self._ids: dict[str, int] = {}
        self._names: list[str] = [""]
        self.adopt(applications)

    def adopt(self, applications: Iterable[Application]) -> None:
        """Go on with the applications of another policy; numbers stay."""
        self._applications = application_map(applications)

    def id_of(self, name: str) -> int:
        """Return the number of a name, 1 or more.

        Raises:
            NameBookFull: the name is new and no number is left.
        """
        number = self._ids.get(name)
        if number is not None:
            return number
        number = len(self._names)
        if number >= self.capacity:
            raise NameBookFull(f"{self.capacity - 1} names are known and no number is left for {name}; "
                               "find out who asks for so many names, then restart the connector")
        self._names.append(name)
        self._ids[name] = number
        if self.announce is not None:
            self.announce(number, name)
        return number

    def name_of(self, number: int) -> str | None:
        """Return the name of a number, or None when it has not been given out."""
        return self._names[number] if 0 < number < len(self._names) else None

    def application_of(self, name: str) -> str | None:
        """Return the application that owns a name, or None."""
        application = self._applications.get(name)
        return None if application is None else application.name

    def names_from(self, number: int, most: int | None = None) -> list[str]:
        """Return the names of this number and the next ones, at most so many; safe in any thread."""
        return self._names[number : None if most is None else number + most]

    def items(self) -> Iterator[tuple[int, str]]:
        """Yield every number given out, with its name."""
        return enumerate(self._names[1:], 1)
