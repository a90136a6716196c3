"""Learning: which addresses an answer gives to the name that was asked.

Journey: an answer crosses towards a workload → here → the data plane learns → only then the answer goes on.
Spec: RFC 1035 §3.2, §4.1; RFC 1034 §3.6.2 (aliases); RFC 9460 §7.3 (address hints, which clients dial too).
Total on any bytes: an answer that cannot be read teaches nothing. No clock, no state. It does not check that
the answer was asked for: `pending` does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.svcbbase import ParamKey

from zcc.dns.pending import Asked
from zcc.dns.question import read_message

CHAIN_LIMIT = 16  # aliases followed; common resolvers stop between 8 and 17
ADDRESS_LIMIT = 256  # addresses one answer may teach

Address = IPv4Address | IPv6Address
_HINTED = (dns.rdatatype.HTTPS, dns.rdatatype.SVCB)


@dataclass(frozen=True, slots=True)
class Learned:
    """What an answer teaches."""

    id: int
    asked: Asked
    rcode: int
    names: tuple[str, ...]  # the asked name, then its aliases in order; lower case, no final dot
    addresses: tuple[Address, ...]  # of the last of the names
    ttl: int  # seconds, within floor and ceiling; valid iff addresses


def learn(wire: bytes, floor: int, ceiling: int) -> Learned | None:
    """Read an answer.

    Args:
        wire: the DNS message.
        floor, ceiling: seconds between which the smallest TTL of the chain is kept: a connection may outlive
            a record of 0 s, and a name may move long before a record of a week ends.
    Returns:
        What it teaches (`addresses` empty when nothing); None if it is no readable answer to one question.
    """
    message = read_message(wire)
    if message is None or not message.flags & dns.flags.QR or len(message.question) != 1:
        return None
    question = message.question[0]
    asked = (_text(question.name), int(question.rdtype), int(question.rdclass))
    rcode = int(message.rcode())
    if rcode != dns.rcode.NOERROR or question.rdclass != dns.rdataclass.IN:
        return Learned(message.id, asked, rcode, (asked[0],), (), 0)
    names, ttls = _chain(message.answer, question.name)
    addresses = _addresses(message.answer, names[-1], ttls)
    ttl = max(floor, min([ceiling, *ttls]))
    return Learned(message.id, asked, rcode, tuple(map(_text, names)), addresses, ttl)


def _chain(answer: list[dns.rrset.RRset], start: dns.name.Name) -> tuple[list[dns.name.Name], list[int]]:
    aliases = {
        rrset.name: (rrset[0].target, rrset.ttl)
        for rrset in answer
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.rdclass == dns.rdataclass.IN and len(rrset)
    }
    names, ttls = [start], []
    while names[-1] in aliases and len(names) <= CHAIN_LIMIT:
        target, ttl = aliases[names[-1]]
        if target in names:
            break
        names.append(target)
        ttls.append(ttl)
    return names, ttls


def _addresses(answer: list[dns.rrset.RRset], name: dns.name.Name, ttls: list[int]) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for rrset in answer:
        if rrset.name != name or rrset.rdclass != dns.rdataclass.IN:
            continue
        before = len(found)
        found.update(dict.fromkeys(addresses_of(rrset)))
        if len(found) > before:
            ttls.append(rrset.ttl)
    return tuple(found)[:ADDRESS_LIMIT]


def addresses_of(rrset: dns.rrset.RRset) -> Iterable[Address]:
    """Return the addresses that records give, hints included."""
    if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return (ip_address(rdata.address) for rdata in rrset)
    if rrset.rdtype in _HINTED:
        hints = (
            rdata.params.get(key) for rdata in rrset for key in (ParamKey.IPV4HINT, ParamKey.IPV6HINT)
        )
        return (ip_address(address) for hint in hints if hint is not None for address in hint.addresses)
    return ()


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True).removesuffix(".")
