"""The topology made real: hosts, cables, switches, addresses, routes, by pyroute2 alone.

A network of two ends is a veth pair; one of more is a bridge in the host `switch`, which has no address and
forwards nothing. Called by the lab's runner, inside its world. It starts no daemon.
"""

from collections.abc import Mapping
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from zcc.lab import offload
from zcc.lab.host import Host
from zcc.lab.topology import Interface, Machine, Route, Topology

SWITCH = "switch"
_NUD_PERMANENT = 0x80
_IFA_F_NODAD = 0x02
_FAMILY = {4: 2, 6: 10}


def build(topology: Topology, state: Path, files: Mapping[str, str]) -> dict[str, Host]:
    """Make every host of the topology with its interfaces up and its routes set; return them by name.

    Args:
        state: an empty directory; each host gets a directory of its own below.
        files: text by path that every host sees instead of the machine's own file.
    """
    names = [machine.name for machine in topology.machines]
    hosts = {name: Host(name, files, state / name) for name in [*names, SWITCH]}
    routes = {name: _open(host) for name, host in hosts.items()}
    try:
        _lay_cables(topology, hosts, routes)
        for machine in topology.machines:
            _set_up(machine, topology, hosts[machine.name], routes[machine.name])
    finally:
        for route in routes.values():
            route.close()
    return hosts


def _open(host: Host) -> IPRoute:
    for name, value in (
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
    ):
        host.write_sysctl(name, value)
    with host.network():
        route = IPRoute()
    route.link("set", index=1, state="up")
    return route


def _lay_cables(topology: Topology, hosts: Mapping[str, Host], routes: Mapping[str, IPRoute]) -> None:
    switch = routes[SWITCH]
    for number, (network, mtu) in enumerate(topology.networks.items()):
        ends = [
            (machine.name, interface)
            for machine in topology.machines
            for interface in machine.interfaces
            if interface.network == network
        ]
        if len(ends) == 2:
            (left, near), (right, far) = ends
            routes[left].link("add", mtu=mtu, **_veth(near, far, hosts[right]))
            continue
        hosts[SWITCH].write_sysctl("ipv6/conf/default/disable_ipv6", "1")
        bridge = f"br{number}"
        switch.link("add", ifname=bridge, kind="bridge", br_mcast_snooping=0)
        index = switch.link_lookup(ifname=bridge)[0]
        switch.link("set", index=index, state="up")
        for name, interface in ends:
            port = Interface(f"b{number}-{name}", network)
            switch.link("add", mtu=mtu, **_veth(port, interface, hosts[name]))
            switch.link("set", index=switch.link_lookup(ifname=port.name)[0], master=index, state="up")


def _veth(near: Interface, far: Interface, far_host: Host) -> dict[str, Any]:
    peer: dict[str, Any] = {"ifname": far.name, "net_ns_fd": far_host.network_descriptor}
    if far.mac:
        peer["address"] = far.mac
    link: dict[str, Any] = {"ifname": near.name, "kind": "veth", "peer": peer}
    if near.mac:
        link["address"] = near.mac
    return link


def _set_up(machine: Machine, topology: Topology, host: Host, route: IPRoute) -> None:
    for interface in machine.interfaces:
        if not interface.local_address:
            host.write_sysctl(f"ipv6/conf/{interface.name}/addr_gen_mode", "1")
        index = route.link_lookup(ifname=interface.name)[0]
        route.link("set", index=index, mtu=topology.networks[interface.network], state="up")
        for address in map(ip_interface, interface.addresses):
            flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
            route.addr(
                "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **flags
            )
        if interface.whole_packets:
            with host.network():
                offload.turn_off(interface.name)
    if machine.forwards:
        host.write_sysctl("ipv4/ip_forward", "1")
        host.write_sysctl("ipv6/conf/all/forwarding", "1")
    for way in machine.routes:
        _add_route(route, way)
    for priority, (name, table) in enumerate(machine.tables.items(), 100):
        for family in _FAMILY.values():
            route.rule("add", family=family, priority=priority, iifname=name, table=table)


def _add_route(route: IPRoute, way: Route) -> None:
    network = ip_network(way.destination)
    where: dict[str, Any] = {}
    if way.interface:
        where["oif"] = route.link_lookup(ifname=way.interface)[0]
    if way.mac:
        route.neigh(
            "add",
            dst=way.via,
            lladdr=way.mac,
            ifindex=where["oif"],
            state=_NUD_PERMANENT,
            family=_FAMILY[network.version],
        )
    route.route(
        "add", dst=str(network), gateway=way.via, table=way.table, family=_FAMILY[network.version], **where
    )
