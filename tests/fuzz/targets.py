"""Every decoder of bytes from outside, and what checks it; its corpus is tests/fuzz/corpus/NAME.

docs/fuzzing.md says how to run them. fuzz_worker, which plays whole days with a worker in namespaces, has no corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fuzz import native, protocols

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, or several that read the same bytes one after the other.

    `check` raises when what must hold on any bytes does not; `limit` is the longest input that is worth trying.
    """

    check: Callable[[bytes], None]
    decodes: tuple[str, ...]
    limit: int = 1024


TARGETS = {
    "answers": Target(protocols.check_answers, ("zcc/connector/packets.py",)),
    "capture": Target(protocols.check_capture, ("zcc/connector/capture.py",), 2048),
    "configuration": Target(protocols.check_configuration, ("zcc/config.py", "zcc/policy/model.py"), 2048),
    "datagram_name": Target(
        protocols.check_datagram_name, ("zcc/names/quicinitial.py", "zcc/names/clienthello.py"), 2048),
    "dns": Target(native.check_dns, ("fastpath/dns.pyx", "fastpath/dnsname.pxd")),
    "dns_stream": Target(protocols.check_dns_stream, ("zcc/connector/dns_tcp.py",)),
    "document": Target(protocols.check_document, ("zcc/document.py",), 2048),
    "dtls": Target(native.check_dtls, ("fastpath/dtls.pyx",)),
    "expression": Target(protocols.check_expression, ("zcc/policy/objects/tag_expression.py",), 256),
    "frames": Target(native.check_frames, ("fastpath/frames.pyx", "fastpath/stream.pyx"), 2048),
    "geneve": Target(native.check_geneve, ("fastpath/geneve.pyx", "fastpath/gwlb.pyx"), native.PACKET_LIMIT),
    "gwlb_names": Target(native.check_names, ("fastpath/gwlb.pyx",), 64),
    "health": Target(protocols.check_health, ("zcc/connector/health.py",)),
    "hello": Target(protocols.check_hello, ("zcc/internet_edge/listener.py", "zcc/internet_edge/cookie.py")),
    "identity": Target(protocols.check_identity, ("zcc/pki/certificate.py",), 256),
    "itunnel": Target(protocols.check_itunnel, ("zcc/itunnel/wire.py",), 128),
    "message": Target(native.check_message, ("fastpath/message.pyx", "fastpath/ring.pyx")),
    "messages": Target(protocols.check_messages, ("zcc/mtunnel/messages.py",), 2048),
    "packet": Target(native.check_packet, ("fastpath/packet.pyx", "fastpath/flowkey.pyx"), native.PACKET_LIMIT),
    "parts": Target(native.check_parts, ("fastpath/parts.pyx",), 2048),
    "question": Target(protocols.check_question, ("zcc/dns/question.py", "zcc/dns/learning.py")),
    "rewrite": Target(native.check_rewrite, ("fastpath/rewrite.pyx", "fastpath/checksum.pyx"), native.PACKET_LIMIT),
    "stream_name": Target(
        protocols.check_stream_name, ("zcc/names/clienthello.py", "zcc/names/httphost.py", "zcc/names/pieces.py"), 2048),
    "superpacket": Target(native.check_superpacket, ("fastpath/superpacket.pyx", "fastpath/trains.pyx"), 2048),
    "trains": Target(native.check_trains, ("fastpath/trains.pyx",), 2048),
    "words": Target(protocols.check_words, ("zcc/fields.py",), 128),
    "yamux": Target(protocols.check_yamux, ("zcc/mtunnel/frames.py", "zcc/mtunnel/session.py"), 2048),
}


def corpus(name: str) -> Iterator[Path]:
    """The committed inputs of a target, in order."""
    return iter(sorted((CORPUS / name).iterdir()))
