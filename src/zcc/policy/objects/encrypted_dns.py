"""encrypted_dns: resolvers that are known to take DNS over TLS, HTTPS or QUIC, as a predefined destination group.

Journey: rules name the group without defining it; a file that defines a destination group of this name replaces the list.
Services tell what goes there: DNS_OVER_TLS is port 853 of TCP (RFC 7858) and UDP (DoQ, RFC 9250), whoever the resolver is;
DNS over HTTPS (RFC 8484) hides among HTTPS and QUIC, so that only the resolver gives it away. No list is whole.
The list is encrypted_dns.txt beside this file, with its date.
"""

from __future__ import annotations

from importlib import resources

from zcc.policy.criteria import parse_destination
from zcc.policy.objects.address_group import DestinationGroup

__all__ = ["CANARY", "DISCOVERY", "ENCRYPTED_DNS", "PREDEFINED_DESTINATION_GROUPS", "resolvers"]

ENCRYPTED_DNS = "encrypted_dns"
CANARY = "use-application-dns.net"  # an answer without addresses keeps Firefox from switching to DNS over HTTPS by itself
DISCOVERY = "_dns.resolver.arpa"  # where clients ask a resolver for its encrypted forms (RFC 9462 §4)
FILE = "encrypted_dns.txt"


def resolvers(text: str) -> dict[str, tuple[str, ...]]:
    """Read such a list: destinations by operator.

    Raises:
        ValueError: a line stands before any operator.
    """
    found: dict[str, list[str]] = {}
    operator: str | None = None
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            operator = line[1:-1]
        elif line and not line.startswith("#"):
            if operator is None:
                raise ValueError(f"{line!r} is no operator's; allowed: an [operator] before it")
            found.setdefault(operator, []).extend(line.split())
    return {name: tuple(values) for name, values in found.items()}


_LISTED = resolvers(resources.files(__package__).joinpath(FILE).read_text("utf-8"))
PREDEFINED_DESTINATION_GROUPS = (
    DestinationGroup(
        name=ENCRYPTED_DNS, description="Resolvers that are known to take DNS over TLS, HTTPS or QUIC.",
        destinations=tuple(parse_destination(text) for listed in _LISTED.values() for text in listed),
    ),
)  # fmt: skip
