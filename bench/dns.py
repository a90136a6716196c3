"""DNS messages: read a query, answer it, read the addresses of an answer; dnspython and dnslib are the peers.

batch-1, -32 and -256 are what a worker's loop costs, a call a batch; the others of one message are a Python call each, most
of which is the call. dnslib and dnspython have a call a message.
served-loopback is the whole: our listener beside other servers, asked by dnsperf (bench/dns_rig).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import dns.message
import dns.rrset
import numpy as np

from bench.decoders import dnslib_message, dnspython_message, peer_cases
from bench.dns_rig import served, through
from bench.harness import Case
from fastpath import dns as native
from fastpath.batch import PacketBatch
from model import dns as reference

QUERY = dns.message.make_query("portal.corp.example.", "A", use_edns=0, payload=1232).to_wire()
HTTPS_QUERY = dns.message.make_query("portal.corp.example.", "HTTPS", use_edns=0, payload=1232).to_wire()
SIZES = (1, 32, 256)
ADDRESS = bytes([10, 254, 0, 7])


def cases(quick: bool) -> Iterator[Case]:
    """read, answer A, answer NODATA, learn."""
    answer = answer_with_aliases()
    for impl, module in (("fastpath", native), ("reference", reference)):
        for size in SIZES:
            yield Case(impl, f"batch-{size}", "ns", size, reading(module, size))
        yield Case(impl, "read", "ns", 1, lambda module=module: module.read_query(QUERY))
        yield Case(impl, "answer-a", "ns", 1,
                   lambda module=module: module.build_answer(QUERY, type=1, data=ADDRESS, ttl=60))
        yield Case(impl, "answer-nodata", "ns", 1, lambda module=module: module.build_answer(
            HTTPS_QUERY, ttl=60, extended_error=4, text="A only"))
        yield Case(impl, "learn", "ns", 1, lambda module=module: module.read_addresses(answer))
    for size in SIZES:
        yield from peer_cases({"dnslib": dnslib_message, "dnspython": dnspython_message}, f"batch-{size}", [QUERY] * size)
    yield Case("dnspython", "read", "ns", 1, lambda: dns.message.from_wire(QUERY))
    yield Case("dnspython", "answer-a", "ns", 1, answering)
    yield Case("dnspython", "learn", "ns", 1, lambda: dns.message.from_wire(answer).resolve_chaining())
    yield from served.cases(quick)
    yield from through.cases(quick)


def reading(module: ModuleType, size: int) -> Callable[[], object]:
    """Judge a batch of queries."""
    batch, errors = PacketBatch(size, 1024), np.zeros(size, np.uint8)
    batch.load([bytes(28) + QUERY] * size)
    batch.inner_start[:], batch.l4_start[:], batch.protocol[:] = 128, 148, 17
    batch.inner_length[:] = 28 + len(QUERY)
    return lambda: module.read_batch(batch, errors)


def answer_with_aliases() -> bytes:
    """Two CNAMEs, then four addresses."""
    message = dns.message.make_response(dns.message.make_query("www.example.", "A"))
    message.answer = [
        dns.rrset.from_text("www.example.", 300, "IN", "CNAME", "www.cdn.example."),
        dns.rrset.from_text("www.cdn.example.", 20, "IN", "CNAME", "edge.cdn.example."),
        dns.rrset.from_text("edge.cdn.example.", 60, "IN", "A", *(f"192.0.2.{i}" for i in range(1, 5))),
    ]
    return message.to_wire()


def answering() -> bytes:
    """Read the query and answer it with one address, by dnspython."""
    reply = dns.message.make_response(dns.message.from_wire(QUERY), our_payload=1232)
    reply.answer.append(dns.rrset.from_text("portal.corp.example.", 60, "IN", "A", "10.254.0.7"))
    return reply.to_wire()
