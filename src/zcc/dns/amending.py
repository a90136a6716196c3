"""Amending: an answer that goes back to a client, read once more before it does, and stripped of what it must not say.

Journey: an answer crosses or comes from a gateway → `read_answer` → rules that look at its addresses → `stripped`. Total on any
bytes. Pure.
Source: RFC 9460 (SVCB, HTTPS; §8 mandatory keys), RFC 9461 §5 (dohpath), RFC 9849 (ech), RFC 4035 §3.1 (signatures).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.rdata
import dns.rdatatype
import dns.rrset
from dns.rdtypes.svcbbase import MandatoryParam, SVCBBase

from zcc.dns.learning import addresses_of
from zcc.dns.question import EDNS_PAYLOAD, PLAIN_PAYLOAD, Question, read_message

__all__ = ["KEYS", "Answered", "read_answer", "stripped"]

KEYS = {"ech": 5, "dohpath": 7}  # IANA DNS Service Bindings
MANDATORY = 0
_BINDINGS = (dns.rdatatype.HTTPS, dns.rdatatype.SVCB)
_COPIED_FLAGS = dns.flags.RD | dns.flags.CD
ADDRESSES_LIMIT = 4096  # of one answer; 64 KiB hold no more


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, as far as it can be read."""

    question: Question  # as it would be asked again
    addresses: tuple[IPv4Address | IPv6Address, ...]  # every one in it, hints and additional records included
    broken: bool  # it can not be read to its end
    message: dns.message.Message


def read_answer(wire: bytes) -> Answered | None:
    """Read an answer; None = it is none to one readable question."""
    message = read_message(wire)
    if message is None or not message.flags & dns.flags.QR or len(message.question) != 1:
        return None
    asked = message.question[0]
    payload = EDNS_PAYLOAD if message.edns >= 0 else PLAIN_PAYLOAD
    question = Question(
        id=message.id, flags=int(message.flags) & _COPIED_FLAGS, name=asked.name, type=int(asked.rdtype),
        klass=int(asked.rdclass), edns=message.edns, dnssec_ok=bool(message.ednsflags & dns.flags.DO), broken=False,
        payload=payload,
    )  # fmt: skip
    found = (address for rrset in (*message.answer, *message.additional) for address in addresses_of(rrset))
    addresses = tuple(dict.fromkeys(found))[:ADDRESSES_LIMIT]
    return Answered(question, addresses, bool(message.errors), message)


def stripped(answered: Answered, keys: Iterable[int]) -> bytes | None:
    """Return an answer whose HTTPS and SVCB records lack some keys; None = there is nothing to take away.

    Signatures over such records go too, and with them the word that the answer is authentic (AD).
    """
    message, gone, touched = answered.message, frozenset(keys), False
    for section in (message.answer, message.authority, message.additional):
        for place, rrset in enumerate(section):
            records = [_without(record, gone) for record in rrset]
            if any(new is not old for new, old in zip(records, rrset, strict=True)):
                touched = True
                section[place] = dns.rrset.from_rdata_list(rrset.name, rrset.ttl, records)
    if not touched:
        return None
    for section in (message.answer, message.authority, message.additional):
        section[:] = [rrset for rrset in section if not _signs(rrset)]
    message.flags = dns.flags.Flag(message.flags & ~dns.flags.AD)
    return message.to_wire(max_size=0xFFFF)


def _without(record: dns.rdata.Rdata, gone: frozenset[int]) -> dns.rdata.Rdata:
    if not isinstance(record, SVCBBase) or gone.isdisjoint(map(int, record.params)):
        return record
    params = {key: value for key, value in record.params.items() if int(key) not in gone}
    mandatory = params.get(MANDATORY)
    if isinstance(mandatory, MandatoryParam):
        left = tuple(key for key in mandatory.keys if int(key) not in gone)
        if left:
            params[MANDATORY] = MandatoryParam(left)  # type: ignore[no-untyped-call]
        else:
            del params[MANDATORY]
    return record.replace(params=params)


def _signs(rrset: dns.rrset.RRset) -> bool:
    return rrset.rdtype == dns.rdatatype.RRSIG and rrset.covers in _BINDINGS
