"""Which application covers a name: the most specific domain wins, then the order of the file. Pure.

The application is always found here, from the name asked for; what a connector believes is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zcc.private_edge.settings import EdgeApplication

__all__ = ["Catalogue"]


class Catalogue:
    """All applications, indexed by domain. Never changed."""

    def __init__(self, applications: Iterable[EdgeApplication]) -> None:
        """Index them."""
        self._domains: dict[str, list[EdgeApplication]] = {}
        for application in applications:
            for domain in application.domains:
                self._domains.setdefault(domain, []).append(application)

    def covering(self, namespace: str | None, name: str) -> EdgeApplication | None:
        """Return the application that owns a name.

        Args:
            namespace: who asks; None = whoever it is.
            name: lower case, no trailing dot.
        """
        return next(iter(self._candidates(namespace, name)), None)

    def serving(self, namespace: str, name: str, protocol: str, port: int) -> EdgeApplication | None:
        """Return the application that owns a name and serves the port.

        Only the most specific domain counts: a name that is spelled out is not also served by a wildcard.

        Args:
            protocol: "tcp" or "udp".
        """
        for application in self._candidates(namespace, name):
            ports = application.tcp if protocol == "tcp" else application.udp
            if any(port in one for one in ports):
                return application
        return None

    def spelled_out(self, name: str) -> bool:
        """Whether some application has exactly this name among its domains."""
        return name in self._domains

    def _candidates(self, namespace: str | None, name: str) -> list[EdgeApplication]:
        for pattern in _patterns(name):
            found = [
                application
                for application in self._domains.get(pattern, ())
                if namespace is None or not application.namespaces or namespace in application.namespaces
            ]
            if found:
                return found
        return []


def _patterns(name: str) -> Iterator[str]:
    yield name
    rest = name
    while "." in rest:
        rest = rest.partition(".")[2]
        yield "*." + rest
