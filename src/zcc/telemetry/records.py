"""The fields of the four kinds of records, named as in the feeds of comparable products.

All fields are optional: what does not apply is absent, never empty. Beyond the feeds' own names there are
namespace, trace, reason, the packet counters and from where a name is known. Directions are the client's side of the connector:
clt_tx_bytes = server → client, clt_rx_bytes = client → server.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypedDict

__all__ = ["Address", "DnsFields", "EventFields", "SessionFields", "TunnelFields"]

Address = IPv4Address | IPv6Address | str


class SessionFields(TypedDict, total=False):
    """One flow, when it ends or is refused; session_duration in ms."""

    clt_dst_name: str
    clt_dst_name_from: str
    clt_src_ip: Address
    clt_src_port: int
    clt_dst_ip: Address
    clt_dst_port: int
    fwdtypename: str
    zapptunname: str
    gw_name: str
    gw_dst_ip: Address
    gw_dst_port: int
    zia_src_ip: Address
    zia_src_port: int
    srv_dst_ip: Address
    srv_dst_port: int
    srv_src_ip: Address
    srv_src_port: int
    srv_ip_country: str
    session_duration: int
    num_sess: int
    num_aggr_sess: int
    aggrname: str
    rdrrulename: str
    self_rulename: str
    clt_tx_bytes: int
    clt_rx_bytes: int
    clt_tx_packets: int
    clt_rx_packets: int
    nw_service: str
    traffic_type: str
    clt_nw_protocol: str
    srv_nw_protocol: str
    zia_gw_protocol: str
    zpa_appseg: str
    name: str
    location: str
    region_name: str
    platform_name: str
    platformgeo_name: str
    account_id: str
    namespace: str
    trace: str
    reason: str


class DnsFields(TypedDict, total=False):
    """One query and its answer; req_duration in ms."""

    req_rulename: str
    req_action: str
    res_rulename: str
    res_action: str
    inbytes: int
    outbytes: int
    clt_ip: Address
    clt_port: int
    req_duration: int
    resolver: Address
    location: str
    dom_str: str
    res_type: str
    resp_val_str: str
    req_type: str
    srv_port: int
    num_resp: int
    dns_err: str
    protocol: str
    dnsgw_flags: str
    dnsgw_slot: int
    tunnel_score: int
    namespace: str
    trace: str
    reason: str


class TunnelFields(TypedDict, total=False):
    """A tunnel's change (event, eventreason), or a sample of its counters."""

    tunnelactionname: str
    locationname: str
    destvip: Address
    destport: int
    sourceip: Address
    srcport: int
    tunneltype: str
    event: str
    eventreason: str
    txbytes: int
    rxbytes: int
    txpackets: int
    rxpackets: int
    dpdrec: int
    cipher: str
    protocol: str
    sessionid: str
    peer: str
    trace: str
    reason: str


class EventFields(TypedDict, total=False):
    """A change of the agent's own state; severity is ERR, WARN or INFO."""

    event_name: str
    category: str
    severity: str
    prev_state: str
    curr_state: str
    gid: str
    gwip: Address
    error_code: str
    account_id: str
    inteventtime: str
    abstime: str
    peer: str
    reason: str
