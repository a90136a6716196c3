"""The lab's name server: a few names with A and AAAA records, over UDP and TCP. RFC 1035; messages by
dnspython.
"""

import socketserver
import struct
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_TTL_S = 60


def answer(query: dns.message.Message, zone: Mapping[str, Sequence[str]]) -> dns.message.Message:
    """Answer one query from the zone (name without final dot → addresses)."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    if len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = query.question[0]
    addresses = zone.get(question.name.to_text(omit_final_dot=True).lower())
    if addresses is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
        return response
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(question.rdtype)
    found = [address for address in addresses if ip_address(address).version == version]
    if found:
        response.answer.append(dns.rrset.from_text_list(question.name, _TTL_S, "IN", question.rdtype, found))
    return response


class _Handler(socketserver.BaseRequestHandler):
    zone: Mapping[str, Sequence[str]] = {}

    def reply(self, wire: bytes) -> bytes:
        try:
            return answer(dns.message.from_wire(wire), self.zone).to_wire()
        except (dns.exception.DNSException, ValueError):
            return b""


class _Udp(_Handler):
    def handle(self) -> None:
        data, sock = self.request
        if wire := self.reply(data):
            sock.sendto(wire, self.client_address)


class _Tcp(_Handler):
    def handle(self) -> None:
        stream = self.request.makefile("rb")
        while len(head := stream.read(2)) == 2:
            wire = self.reply(stream.read(struct.unpack("!H", head)[0]))
            if not wire:
                return
            self.request.sendall(struct.pack("!H", len(wire)) + wire)


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(address: str, zone: Mapping[str, Sequence[str]], port: int = 53) -> None:
    """Serve until killed."""
    _Handler.zone = zone
    tcp = _TcpServer((address, port), _Tcp)
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    with socketserver.ThreadingUDPServer((address, port), _Udp) as udp:
        udp.serve_forever()
