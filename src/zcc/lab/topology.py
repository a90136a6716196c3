"""The lab on paper: which networks there are, which hosts stand on them, who routes what.

    workload-co1 10.8.6.4 ┐           ┌──────┐ 10.1.200.0/24 ┌ cc-1 .11 ┐
    peer-co1     10.8.7.4 ┴ vpc-co1 ──┤ gwlb ├───────────────┤          ├ wan ┬ ie-1, ie-2 10.0.4.11, .12
    workload-co2 10.8.6.4 ┬ vpc-co2 ──┤      │               └ cc-2 .12 ┘     ├ pe-1       10.0.3.10
    peer-co2     10.8.7.4 ┘           └──────┘                                ├ internet   203.0.113.10
                                               app-co1, app-co2 ── appc-1 ────┘ 10.20.1.0/24, 10.0.5.10

Pure data; network makes it real, deployment writes the daemons' configuration from it. It starts nothing.
Both companies use the same addresses on purpose. What GWLB carries has jumbo frames (8,500 bytes inside,
9,001 on the way to the connectors, as AWS has); everything beyond the WAN router has 1,500.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

COMPANIES = ("co1", "co2")
CONNECTORS = ("cc-1", "cc-2")
INTERNET_EDGES = ("ie-1", "ie-2")

WORKLOAD, WORKLOAD_6 = "10.8.6.4", "fd00:8:6::4"
PEER, PEER_6 = "10.8.7.4", "fd00:8:7::4"
GWLB = "10.1.200.5"
CONNECTOR = {"cc-1": "10.1.200.11", "cc-2": "10.1.200.12"}
CONNECTOR_EGRESS = {"cc-1": "10.1.200.111", "cc-2": "10.1.200.112"}
PRIVATE_EDGE = "10.0.3.10"
INTERNET_EDGE = {"ie-1": "10.0.4.11", "ie-2": "10.0.4.12"}
INTERNET_EDGE_6 = {"ie-1": "fd00:0:4::11", "ie-2": "fd00:0:4::12"}
EDGE_EGRESS = {"ie-1": "10.9.0.11", "ie-2": "10.9.0.12"}
EDGE_EGRESS_6 = {"ie-1": "fd00:9::11", "ie-2": "fd00:9::12"}
APPLICATION = {"co1": "10.20.1.10", "co2": "10.20.1.20"}
INTERNET, INTERNET_6 = "203.0.113.10", "2001:db8:113::10"
UPDATES = "203.0.113.20"  # the internet host's address that policy sends DIRECT
NAME_SERVER = "203.0.113.53"
EVIL = "203.0.113.66"  # the address of the name that policy drops

PORTAL = "portal.corp.example"
WWW = "www.internet.example"
EVIL_NAME = "evil.example"
NAMES = {WWW: (INTERNET, INTERNET_6), "updates.example": (UPDATES,), EVIL_NAME: (EVIL,)}

ENDPOINT_ID = {"co1": "vpce-0aaaaaaaaaaaaaaa1", "co2": "vpce-0bbbbbbbbbbbbbbb2"}
ENDPOINT_MAC = {"co1": "02:00:00:01:00:02", "co2": "02:00:00:02:00:02"}  # GWLB's side of an endpoint
ROUTER_MAC = {"co1": "02:00:00:01:00:01", "co2": "02:00:00:02:00:01"}  # the VPC router's side

JUMBO, ENDPOINT_MTU, WIDE = 9001, 8500, 1500
TO_ENDPOINT = 100  # the routing table of subnets that send everything to the endpoint
_NEXT_HOP, _NEXT_HOP_6 = "169.254.77.2", "fe80::77:2"  # stands for GWLB's side; nobody answers for it


@dataclass(frozen=True)
class Interface:
    """One end of a cable: a network's name, the addresses with their prefix length, perhaps a fixed MAC."""

    name: str
    network: str
    addresses: tuple[str, ...] = ()
    mac: str | None = None
    whole_packets: bool = False  # no offloads: what leaves here is read by a program, not by a kernel
    local_address: bool = True  # has an IPv6 link-local address


@dataclass(frozen=True)
class Route:
    """Where to send `destination`: to the neighbour `via`, which has `mac` if it cannot be asked for it."""

    destination: str
    via: str
    interface: str | None = None
    mac: str | None = None
    table: int = 254


@dataclass(frozen=True)
class Machine:
    """A host: its interfaces and routes, the interfaces whose traffic uses another table, what it is for."""

    name: str
    purpose: str
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...] = ()
    tables: Mapping[str, int] = field(default_factory=dict)
    forwards: bool = False


@dataclass(frozen=True)
class Topology:
    """Networks (name → MTU) and the hosts on them."""

    networks: Mapping[str, int]
    machines: tuple[Machine, ...]


def build() -> Topology:
    """Return the lab's topology."""
    networks = {
        "service": JUMBO,
        "private-edges": WIDE,
        "internet-edges": WIDE,
        "branch": WIDE,
        "datacentre": WIDE,
        "internet": WIDE,
    }
    machines: list[Machine] = []
    for company in COMPANIES:
        networks |= {f"{company}-{part}": ENDPOINT_MTU for part in ("workload", "peer", "endpoint")}
        machines += _company(company)
    machines += [
        _gwlb(),
        *map(_connector, CONNECTORS),
        _wan(),
        _private_edge(),
        *map(_internet_edge, INTERNET_EDGES),
        *_datacentre(),
        _internet(),
    ]
    return Topology(networks, tuple(machines))


def _company(company: str) -> list[Machine]:
    """A VPC as AWS routes it: subnets to the endpoint, the endpoint to the subnets."""
    mac = ENDPOINT_MAC[company]
    router = Machine(
        f"vpc-{company}",
        f"VPC router of {company}",
        (
            Interface("workload", f"{company}-workload", ("10.8.6.1/24", "fd00:8:6::1/64")),
            Interface("peer", f"{company}-peer", ("10.8.7.1/24", "fd00:8:7::1/64")),
            Interface(
                "vpce",
                f"{company}-endpoint",
                ("169.254.77.1/30", "fe80::77:1/64"),
                ROUTER_MAC[company],
                whole_packets=True,
                local_address=False,
            ),
        ),
        (
            Route("0.0.0.0/0", _NEXT_HOP, "vpce", mac, TO_ENDPOINT),
            Route("::/0", _NEXT_HOP_6, "vpce", mac, TO_ENDPOINT),
        ),
        {"workload": TO_ENDPOINT, "peer": TO_ENDPOINT},
        forwards=True,
    )
    return [
        router,
        _workload(f"workload-{company}", f"{company}-workload", (WORKLOAD, WORKLOAD_6)),
        _workload(f"peer-{company}", f"{company}-peer", (PEER, PEER_6)),
    ]


def _workload(name: str, network: str, addresses: tuple[str, str]) -> Machine:
    four, six = addresses
    return Machine(
        name,
        "workload",
        (Interface("eth0", network, (f"{four}/24", f"{six}/64")),),
        (Route("0.0.0.0/0", four[:-1] + "1"), Route("::/0", six[:-1] + "1")),
    )


def _gwlb() -> Machine:
    ends = tuple(
        Interface(f"vpce-{company}", f"{company}-endpoint", (), ENDPOINT_MAC[company], local_address=False)
        for company in COMPANIES
    )
    return Machine("gwlb", "gateway load balancer", (*ends, Interface("eth0", "service", (f"{GWLB}/24",))))


def _connector(name: str) -> Machine:
    return Machine(
        name,
        "cloud connector",
        (Interface("eth0", "service", (f"{CONNECTOR[name]}/24",)),),
        (Route("0.0.0.0/0", "10.1.200.1"),),
        forwards=True,
    )


def _wan() -> Machine:
    to_egress = [Route(f"{CONNECTOR_EGRESS[name]}/32", CONNECTOR[name]) for name in CONNECTORS]
    for name in INTERNET_EDGES:
        to_egress += [
            Route(f"{EDGE_EGRESS[name]}/32", INTERNET_EDGE[name]),
            Route(f"{EDGE_EGRESS_6[name]}/128", INTERNET_EDGE_6[name]),
        ]
    return Machine(
        "wan",
        "router between the sites",
        (
            Interface("service", "service", ("10.1.200.1/24",)),
            Interface("pe", "private-edges", ("10.0.3.1/24",)),
            Interface("ie", "internet-edges", ("10.0.4.1/24", "fd00:0:4::1/64")),
            Interface("branch", "branch", ("10.0.5.1/24",)),
            Interface("internet", "internet", ("203.0.113.1/24", "2001:db8:113::1/64")),
        ),
        tuple(to_egress),
        forwards=True,
    )


def _private_edge() -> Machine:
    return Machine(
        "pe-1",
        "private service edge",
        (Interface("eth0", "private-edges", (f"{PRIVATE_EDGE}/24",)),),
        (Route("0.0.0.0/0", "10.0.3.1"),),
    )


def _internet_edge(name: str) -> Machine:
    addresses = (f"{INTERNET_EDGE[name]}/24", f"{INTERNET_EDGE_6[name]}/64")
    return Machine(
        name,
        "internet service edge",
        (Interface("eth0", "internet-edges", addresses),),
        (Route("0.0.0.0/0", "10.0.4.1"), Route("::/0", "fd00:0:4::1")),
        forwards=True,
    )


def _datacentre() -> list[Machine]:
    applications = [
        Machine(
            f"app-{company}",
            f"application of {company}",
            (Interface("eth0", "datacentre", (f"{APPLICATION[company]}/24",)),),
        )
        for company in COMPANIES
    ]
    connector = Machine(
        "appc-1",
        "app connector",
        (Interface("eth0", "branch", ("10.0.5.10/24",)), Interface("dc", "datacentre", ("10.20.1.5/24",))),
        (Route("0.0.0.0/0", "10.0.5.1"),),
    )
    return [connector, *applications]


def _internet() -> Machine:
    addresses = tuple(f"{address}/24" for address in (INTERNET, UPDATES, NAME_SERVER, EVIL))
    return Machine(
        "internet",
        "servers of the internet",
        (Interface("eth0", "internet", (*addresses, f"{INTERNET_6}/64")),),
        (Route("0.0.0.0/0", "203.0.113.1"), Route("::/0", "2001:db8:113::1")),
    )
