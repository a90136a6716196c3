"""Sessions: what the connector's logs say of flows and DNS exchanges, in the feeds' field names.

Journey: a closed flow's record → session fields; an answered query → DNS fields → `zcc.telemetry.logs`.
Numbers that the data plane uses are turned into the names that people gave. Pure but for the call that
queues the record.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Unpack, cast

import dns.rcode
import dns.rdataclass
import dns.rdatatype

from zcc.connector.ports import FlowRecord
from zcc.policy.objects.unnamed import NAMINGS
from zcc.telemetry.records import Address, DnsFields, SessionFields

_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPV6"}
SERVICES = {(6, 80): "HTTP", (6, 443): "HTTPS", (17, 443): "QUIC", (17, 53): "DNS", (6, 53): "DNS", (6, 22): "SSH",
            (6, 21): "FTP", (17, 123): "NTP"}  # fmt: skip


class Records(Protocol):
    """Where records go: `zcc.telemetry.logs.Logs`."""

    def session(self, **fields: Unpack[SessionFields]) -> None:
        """Record a flow."""

    def dns(self, **fields: Unpack[DnsFields]) -> None:
        """Record a DNS exchange."""


@dataclass(slots=True)
class Labels:
    """What the data plane's numbers mean. The daemon replaces `rules` when the policy changes."""

    namespaces: Mapping[int, str]
    locations: Mapping[int, str]
    methods: Mapping[int, str]  # Action → ZIA, ZPA, DIRECT, DROP, LOCAL
    rules: Sequence[str]  # by index
    name_of: Callable[[int], str | None]  # name id → name
    tunnels: dict[int, str] = field(default_factory=dict)  # slot → internet edge

    def namespace(self, number: int) -> str:
        """Name a namespace; a number nobody named prints as itself."""
        return self.namespaces.get(number, str(number))

    def location(self, number: int) -> str:
        """Name a location; "" = none."""
        return self.locations.get(number, "")

    def rule(self, index: int) -> str:
        """Name a rule; "" = none decided, or a policy that is gone."""
        return self.rules[index] if 0 <= index < len(self.rules) else ""

    def method(self, action: int) -> str:
        """Name what was done with a flow."""
        return self.methods.get(action, "NONE")

    def tunnel(self, slot: int) -> str:
        """Name an internet edge; "" = none."""
        return self.tunnels.get(slot, "")

    def name(self, number: int) -> str:
        """Spell a name; "" = none is known."""
        return self.name_of(number) or ""


def protocol_name(number: int) -> str:
    """Name a protocol; one without a name here prints as itself."""
    return _PROTOCOLS.get(number, str(number))


def session_fields(flow: FlowRecord, labels: Labels) -> SessionFields:
    """Turn a flow's record into the fields of a session record.

    Args:
        flow: as its initiator sees it, so bytes[0] came from the client.
    """
    fields: SessionFields = {
        "clt_src_ip": flow.source,
        "clt_src_port": flow.source_port,
        "clt_dst_ip": flow.destination,
        "clt_dst_port": flow.destination_port,
        "clt_dst_name": labels.name(flow.name_id),
        "clt_dst_name_from": NAMINGS[flow.naming] if flow.name_id or flow.naming else "",
        "fwdtypename": labels.method(flow.action),
        "rdrrulename": labels.rule(flow.rule),
        "clt_tx_bytes": flow.bytes[1],
        "clt_rx_bytes": flow.bytes[0],
        "clt_tx_packets": flow.packets[1],
        "clt_rx_packets": flow.packets[0],
        "session_duration": max(0, flow.ended_ns - flow.started_ns) // 1_000_000,
        "num_sess": 1,
        "clt_nw_protocol": protocol_name(flow.protocol),
        "nw_service": SERVICES.get((flow.protocol, flow.destination_port), ""),
        "gw_name": labels.tunnel(flow.tunnel),
        "location": labels.location(flow.location),
        "namespace": labels.namespace(flow.namespace),
    }
    if flow.nat_address is not None:
        fields["srv_src_ip"], fields["srv_src_port"] = flow.nat_address, flow.nat_port
        fields["srv_dst_ip"], fields["srv_dst_port"] = flow.destination, flow.destination_port
    return cast(SessionFields, _without_empty(fields))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One DNS query and what became of it."""

    namespace: int
    location: int
    client: Address
    port: int
    server: Address  # as asked
    protocol: str  # UDP, TCP
    asked: tuple[str, int, int]  # name, type, class
    action: str  # one of zcc.connector.dns_control.ACTIONS
    rcode: int = 0
    addresses: tuple[Address, ...] = ()
    sizes: tuple[int, int] = (0, 0)  # bytes of the query (0 = not kept), of the answer
    seconds: float = 0.0
    rule: str = ""  # of the DNS policy; "" = none was asked
    score: int = 0  # of the tunnel watch
    review: tuple[str, str] = ("", "")  # rule that decided on the answer, and its action; "" = none did
    reason: str = ""  # why it was not answered as the rule says
    gateway: tuple[int, str] = (-1, "")  # slot of the DNS gateway and what came of it; -1 = none was asked


def dns_fields(exchange: Exchange, labels: Labels) -> DnsFields:
    """Turn a DNS exchange into the fields of a DNS record."""
    rcode = dns.rcode.Rcode.make(exchange.rcode)
    kind = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(exchange.asked[1]))
    fields: DnsFields = {
        "req_action": exchange.action,
        "req_rulename": exchange.rule,
        "clt_ip": exchange.client,
        "clt_port": exchange.port,
        "resolver": exchange.server,
        "srv_port": 53,
        "protocol": exchange.protocol,
        "dom_str": exchange.asked[0],
        "req_type": kind,
        "res_type": kind if exchange.addresses else "",
        "resp_val_str": ",".join(str(address) for address in exchange.addresses[:16]),
        "num_resp": len(exchange.addresses),
        "dns_err": "" if rcode == dns.rcode.NOERROR else dns.rcode.to_text(rcode),
        "req_duration": round(exchange.seconds * 1000),
        "outbytes": exchange.sizes[1],
        "location": labels.location(exchange.location),
        "namespace": labels.namespace(exchange.namespace),
        "reason": exchange.reason,
    }
    if exchange.sizes[0]:
        fields["inbytes"] = exchange.sizes[0]
    if exchange.score:
        fields["tunnel_score"] = exchange.score
    fields["res_rulename"], fields["res_action"] = exchange.review
    if exchange.gateway[0] >= 0:
        fields["dnsgw_slot"], fields["dnsgw_flags"] = exchange.gateway
    return cast(DnsFields, _without_empty(fields))


def _without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value != ""}
