"""Intercept: what becomes of one DNS query that crosses the connector, whatever server it was sent to.

Journey: punted query → here → an answer from us, a lease to answer with, or on along the forwarding policy.

    query                                         verdict
    too short, response, other opcode             Forward: not a query of ours to judge
    two questions, unreadable question            Answer FORMERR
    class other than IN and ANY                   Forward
    name nobody owns                              Forward, even if the rest is broken: the server decides
    owned, broken behind the question             Answer FORMERR
    owned, EDNS version above 0                   Answer BADVERS
    owned, A                                      NeedLease
    owned, AXFR or IXFR                           Answer REFUSED
    owned, any other type                         Answer NODATA
    _service._label below an owned name           Answer NODATA: such names belong to the one they qualify,
                                                  and their HTTPS and SRV would lead past the connector
    reverse name of an address of a pool          NeedName, whatever the type: whether it exists holds for all of them

Who owns a name comes in as a callable: no policy, socket, lease or clock is known here.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.reversename

from zcc.dns import answers
from zcc.dns.question import Malformed, Question, parse_question
from zcc.fields import DEFAULT_POOL

ONLY_ADDRESSES = "name of a private application: it has type A only"
ONLY_NAMES = "name of a synthetic address: it has type PTR only"
NO_TRANSFER = "names of private applications are not transferred"

_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
_REVERSE = dns.name.from_text("in-addr.arpa.")
_REVERSE_LABELS = 7  # four octets, in-addr, arpa, root


@dataclass(frozen=True, slots=True)
class Answer:
    """Send these bytes back."""

    message: bytes
    question: Question | None  # None = it could not be read


@dataclass(frozen=True, slots=True)
class NeedLease:
    """Answer with the name's synthetic address: `answers.address`."""

    question: Question
    name: str
    pool: str = DEFAULT_POOL  # that the address is taken from; the policy's to say


@dataclass(frozen=True, slots=True)
class NeedName:
    """Ask which name has the pool's address, then answer `named`."""

    question: Question
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Forward:
    """Not ours: on along the forwarding policy."""

    question: Question | None  # None = it could not be read


Verdict = Answer | NeedLease | NeedName | Forward


@dataclass(frozen=True, slots=True)
class Interceptor:
    """The rules above over one connector's names."""

    owner_of: Callable[[str], str | None]  # lower case without dot → application; None = nobody
    pools: tuple[IPv4Network, ...]  # of synthetic addresses; () = this connector has none
    ttl: int  # seconds, of our answers

    def decide(self, wire: bytes) -> Verdict:
        """Decide on one query.

        Args:
            wire: the DNS message.
        Source: RFC 1035 §4.1.2, RFC 8552 §1.1.
        """
        question = parse_question(wire)
        if question is None:
            return Forward(None)
        if isinstance(question, Malformed):
            return Answer(answers.form_error(question), None)
        if question.klass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
            return Forward(question)
        reverse = self._pool_address(question.name)
        if reverse is not None:
            return self._decide_reverse(question, reverse)
        base = below_service_labels(question.name)
        if self.owner_of(base.canonicalize().to_text(omit_final_dot=True)) is None:
            return Forward(question)
        return self._decide_owned(question, base)

    def _decide_owned(self, question: Question, base: dns.name.Name) -> Verdict:
        early = _complaint(question)
        if early is not None:
            return Answer(early, question)
        if question.type in _TRANSFERS:
            return Answer(answers.refused(question, NO_TRANSFER), question)
        if question.type != dns.rdatatype.A or len(base) != len(question.name):
            return Answer(answers.nodata(question, base, self.ttl, ONLY_ADDRESSES), question)
        return NeedLease(question, question.text)

    def _decide_reverse(self, question: Question, address: IPv4Address) -> Verdict:
        early = _complaint(question)
        if early is not None:
            return Answer(early, question)
        if question.type in _TRANSFERS:
            return Answer(answers.refused(question, NO_TRANSFER), question)
        return NeedName(question, address)

    def _pool_address(self, name: dns.name.Name) -> IPv4Address | None:
        if not self.pools or len(name) != _REVERSE_LABELS or not name.is_subdomain(_REVERSE):
            return None
        try:
            address = ipaddress.ip_address(dns.reversename.to_address(name))
        except Exception:
            # Labels that are no octets: a name like any other, and nobody's.
            return None
        pooled = isinstance(address, IPv4Address) and any(address in network for network in self.pools)
        return address if isinstance(address, IPv4Address) and pooled else None


def named(need: NeedName, name: str | None, ttl: int, absent_ttl: int) -> bytes:
    """Answer a query for the reverse name of a pool's address.

    Args:
        name: that has the address, and that the client may know of; None = no such.
        ttl: seconds, of a name, and of a denial of other types.
        absent_ttl: seconds, of the denial that the address is anybody's.
    """
    zone = reverse_zone(need.address)
    if name is None:
        return answers.absent(need.question, zone, absent_ttl)
    if need.question.type != dns.rdatatype.PTR:
        return answers.nodata(need.question, zone, ttl, ONLY_NAMES)
    return answers.pointer(need.question, name, ttl)


def below_service_labels(name: dns.name.Name) -> dns.name.Name:
    """Strip the leading labels that begin with an underscore: the name that they say something about.

    Source: RFC 8552 §1.1, RFC 9460 §2.3.
    """
    labels = list(name.labels)
    while labels and labels[0].startswith(b"_"):
        labels.pop(0)
    return dns.name.Name(labels)


def reverse_zone(address: IPv4Address) -> dns.name.Name:
    """Name the /24 of an address below in-addr.arpa, the zone that denials of pool addresses speak for."""
    return dns.reversename.from_address(str(address)).parent()


def _complaint(question: Question) -> bytes | None:
    if question.broken:
        return answers.form_error(question)
    if question.edns > 0:
        return answers.bad_version(question)
    return None
