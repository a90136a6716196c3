"""Answers: the reply to a question about an owned name, by record type.

Journey: last step of an intercepted query; the bytes go back to the workload under the server's address.
Spec: RFC 1035 §4.1, RFC 2308 (negative answers carry the SOA), RFC 6891, RFC 8482,
RFC 8914 (extended errors).

    question            reply
    A                   NOERROR, one address
    any other type      NOERROR without data, SOA, extended error 4; never NXDOMAIN,
                        which would deny the name's A too
    AXFR, IXFR          REFUSED
    PTR, pool address   the name; NXDOMAIN with SOA when no name has that address

and to questions that a rule of the DNS policy stops or answers itself: `blocked` and `overwritten`.

Every answer with data, NODATA and NXDOMAIN has AA set: for these names the connector is the authority, and a
resolver that iterates by itself takes only such answers. RA is always set, RD and CD are copied, AD never is.
It keeps no state and reads no clock.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from zcc.dns.question import EDNS_PAYLOAD, Malformed, Question

_COPIED_FLAGS = dns.flags.RD | dns.flags.CD
_SOA_NAMES = "connector.zcc.invalid. hostmaster.zcc.invalid."  # RFC 6761 §6.4: resolve nowhere, reach nobody


def address(question: Question, found: IPv4Address, ttl: int) -> bytes:
    """Answer A with one address.

    Args:
        found: the synthetic address.
        ttl: seconds.
    """
    reply = _reply(question)
    reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "A", str(found)))
    return reply.to_wire()


def pointer(question: Question, name: str, ttl: int) -> bytes:
    """Answer PTR with a name (no trailing dot); ttl in seconds."""
    reply = _reply(question)
    reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "PTR", name + "."))
    return reply.to_wire()


def nodata(question: Question, owner: dns.name.Name, ttl: int, why: str) -> bytes:
    """Answer that the name exists and has no record of this type.

    Args:
        owner: the owned name, which the SOA names as its zone; the question's name or an ancestor of it.
        ttl: seconds a resolver may remember it (RFC 2308 §5).
        why: text of the extended error, short.
    """
    reply = _reply(question, error=dns.edns.EDEOption(dns.edns.EDECode.FORGED_ANSWER, why))
    reply.authority.append(_soa(owner, ttl))
    return reply.to_wire()


def absent(question: Question, zone: dns.name.Name, ttl: int) -> bytes:
    """Answer NXDOMAIN below a zone that is the connector's own: an unused address of the pool."""
    reply = _reply(question, rcode=dns.rcode.NXDOMAIN)
    reply.authority.append(_soa(zone, ttl))
    return reply.to_wire()


def blocked(question: Question, rcode: int, ttl: int, rule: str) -> bytes:
    """Answer that a rule does not let the question through (RFC 8914 §4.16).

    Args:
        rcode: NXDOMAIN; NOERROR, for an answer without data; or REFUSED.
        ttl: seconds a resolver may remember it.
        rule: its name, for the extended error.
    """
    error = dns.edns.EDEOption(dns.edns.EDECode.BLOCKED, f"DNS rule {rule}")
    reply = _reply(question, rcode=rcode, error=error)
    if rcode != dns.rcode.REFUSED:
        reply.authority.append(_soa(question.name, ttl))
    return reply.to_wire()


def overwritten(question: Question, addresses: Sequence[IPv4Address | IPv6Address], ttl: int, rule: str) -> bytes:
    """Answer with those of a rule's addresses that fit the type asked for; without data when none does.

    Args:
        ttl: seconds.
        rule: its name, for the extended error (RFC 8914 §4.5).
    """
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(dns.rdatatype.RdataType.make(question.type))
    found = [str(address) for address in addresses if address.version == version]
    error = dns.edns.EDEOption(dns.edns.EDECode.FORGED_ANSWER, f"DNS rule {rule}")
    reply = _reply(question, error=error)
    if found:
        reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "A" if version == 4 else "AAAA", *found))
    else:
        reply.authority.append(_soa(question.name, ttl))
    return reply.to_wire()


def truncated(question: Question) -> bytes:
    """Answer nothing but that the answer is too long for UDP (RFC 2181 §9); the client asks again over TCP."""
    reply = _reply(question)
    reply.flags = dns.flags.Flag((reply.flags | dns.flags.TC) & ~dns.flags.AA)
    return reply.to_wire()


def fitted(question: Question, message: bytes) -> bytes:
    """Return an answer for UDP: itself, or that it is too long."""
    return message if len(message) <= question.payload else truncated(question)


def refused(question: Question, why: str) -> bytes:
    """Answer REFUSED: zone transfers of owned names."""
    error = dns.edns.EDEOption(dns.edns.EDECode.PROHIBITED, why)
    return _reply(question, rcode=dns.rcode.REFUSED, error=error).to_wire()


def failure(question: Question, why: str) -> bytes:
    """Answer SERVFAIL at once: nobody can tell the address now (RFC 8914 §4.23)."""
    error = dns.edns.EDEOption(dns.edns.EDECode.NO_REACHABLE_AUTHORITY, why)
    return _reply(question, rcode=dns.rcode.SERVFAIL, error=error).to_wire()


def bad_version(question: Question) -> bytes:
    """Answer BADVERS to an EDNS version other than 0 (RFC 6891 §6.1.3)."""
    return _reply(question, rcode=dns.rcode.BADVERS).to_wire()


def form_error(asked: Question | Malformed) -> bytes:
    """Answer FORMERR; without a question section when the question itself was unreadable."""
    if isinstance(asked, Question):
        return _reply(asked, rcode=dns.rcode.FORMERR).to_wire()
    reply = dns.message.QueryMessage(id=asked.id)
    reply.flags = dns.flags.Flag(dns.flags.QR | dns.flags.RA | (asked.flags & _COPIED_FLAGS))
    reply.set_rcode(dns.rcode.FORMERR)
    return reply.to_wire()


def _reply(
    question: Question, *, rcode: int = dns.rcode.NOERROR, error: dns.edns.Option | None = None
) -> dns.message.QueryMessage:
    reply = dns.message.QueryMessage(id=question.id)
    flags = dns.flags.QR | dns.flags.RA | (question.flags & _COPIED_FLAGS)
    if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        flags |= dns.flags.AA
    reply.flags = dns.flags.Flag(flags)
    asked = dns.rrset.RRset(
        question.name,
        dns.rdataclass.RdataClass.make(question.klass),
        dns.rdatatype.RdataType.make(question.type),
    )
    reply.question.append(asked)
    if question.edns >= 0:
        options = [error] if error is not None else []
        do = dns.flags.DO if question.dnssec_ok else 0
        reply.use_edns(0, ednsflags=do, payload=EDNS_PAYLOAD, request_payload=65535, options=options)
    reply.set_rcode(dns.rcode.Rcode.make(rcode))
    return reply


def _soa(owner: dns.name.Name, ttl: int) -> dns.rrset.RRset:
    # Serial 1 for ever: nobody transfers this zone. MINIMUM equals the TTL, so that either reading is right.
    return dns.rrset.from_text(owner, ttl, "IN", "SOA", f"{_SOA_NAMES} 1 3600 600 86400 {ttl}")
