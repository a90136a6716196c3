"""Rows about the internet tunnel itself: a path that carries less, sessions that are renewed, UDP that is blocked. Each puts
right again what it changed.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute

from zcc.asking import ask
from zcc.lab import topology as plan
from zcc.lab.configuration import ECHO_PORT
from zcc.lab.network import SWITCH
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import Conversation, Downloaded, conversation, curl, download
from zcc.lab.servers.content import checksum

_NARROW = 1400                 # bytes of a packet that the path then carries
_VLAN_BYTES = 4                # a bridge takes packets longer than its port's MTU by a VLAN tag; what leaves by the port is not
_LEAST, _IPV6_UDP_BYTES = 1280, 48
_NARROWEST = _LEAST + _VLAN_BYTES
_LEAST_DATAGRAMS = 200
_FOUND_S, _BY_TLS_S, _BACK_S = 12.0, 10.0, 30.0
_RENEWALS, _RENEWED_S = 3, 60.0
_DOWNLOAD = 64 << 20
_TUNNEL_PORT = 443
_PRIORITY = 10                 # of rules about routes, before the main table's
_POLL_S = 0.1


def path_shrinks(lab: Lab) -> Seen:
    """The path to the internet edges comes to carry 1,400 bytes, and drops what is longer without a word."""
    with _narrow(lab, _NARROW):
        seconds = _until(lambda: _all(lab, "path_mtu") == {_NARROW}, _FOUND_S)
        got = download(lab, "workload-co2", f"http://{plan.INTERNET}/download/{_DOWNLOAD}", limit_s=60)
    if seconds is None:
        return Seen(False, f"after {_FOUND_S:g} s the connectors think that it carries {sorted(_all(lab, 'path_mtu'))}")
    return Seen(got.checksum == checksum(_DOWNLOAD), f"{_NARROW} bytes found after {seconds:.1f} s, then {got}")


def narrow(lab: Lab) -> Seen:
    """The path to the edges carries 1,284 bytes, back 1,280, tunnel and all: IPv6's least packet goes in parts, both ways."""
    lines = [f"datagram {number} ".ljust(_LEAST - _IPV6_UDP_BYTES, "x") for number in range(_LEAST_DATAGRAMS)]
    with _narrow(lab, _NARROWEST):
        seconds = _until(lambda: _all(lab, "path_mtu") == {_NARROWEST}, _FOUND_S)
        with conversation(lab, "workload-co1", plan.INTERNET_6, ECHO_PORT) as talk:
            lost = sum(talk.say(line) != line for line in lines)
        got = download(lab, "workload-co2", f"http://[{plan.INTERNET_6}]/download/{_DOWNLOAD}", limit_s=60)
    if seconds is None:
        return Seen(False, f"after {_FOUND_S:g} s the connectors think that it carries {sorted(_all(lab, 'path_mtu'))}")
    return Seen(
        lost == 0 and got.checksum == checksum(_DOWNLOAD),
        f"{_NARROWEST} bytes found after {seconds:.1f} s; {len(lines)} datagrams, {lost} unanswered; then {got}",
    )


def renewed(lab: Lab) -> Seen:
    """Sessions to the edges are renewed three times under a download and a stream of numbered datagrams."""
    before = _renewals(lab)
    lost = said = 0
    with _downloading(lab) as loading, conversation(lab, "workload-co1", plan.INTERNET, ECHO_PORT) as talk:
        deadline = time.monotonic() + _RENEWED_S
        while min(after - first for after, first in zip(_renewals(lab), before, strict=True)) < _RENEWALS:
            if time.monotonic() > deadline:
                return Seen(False, f"renewals before {before}, {_RENEWED_S:g} s later {_renewals(lab)}")
            for _ in range(200):
                said += 1
                lost += talk.say(f"datagram {said}") != f"datagram {said}"
    complaints = [got.complaint or "wrong bytes" for got in loading if got.checksum != checksum(_DOWNLOAD)]
    return Seen(
        lost == 0 and bool(loading) and not complaints,
        f"{_RENEWALS} renewals or more of each session: {said:,} datagrams, {lost} lost; {len(loading)} downloads, "
        f"{len(complaints)} of them broken {'; '.join(complaints[:1])}",
    )


def udp_blocked(lab: Lab) -> Seen:
    """UDP to the internet edges is blocked, and later free again; a download and a flow live on throughout."""
    address = plan.INTERNET
    with _downloading(lab) as loading, conversation(lab, "workload-co1", address, ECHO_PORT) as talk:
        first = talk.say("before")
        with _blocked(lab):
            by_tls = _until(lambda: _all(lab, "transport") == {"TLS"} and _all(lab, "state") == {"up"}, _BY_TLS_S)
            works = curl(lab, "workload-co2", f"http://{address}/").client
            second = _say(talk, "by TLS")
        back = _until(lambda: _all(lab, "transport") == {"DTLS"} and _all(lab, "state") == {"up"}, _BACK_S)
        third = talk.say("after")
    broken = sum(got.checksum != checksum(_DOWNLOAD) for got in loading)
    ok = (first, second, third) == ("before", "by TLS", "after") and works in plan.EDGE_EGRESS.values() and not broken
    return Seen(
        ok and by_tls is not None and back is not None and bool(loading),
        f"by TLS after {_seconds(by_tls)}, the server saw {works}; DTLS again {_seconds(back)} after UDP was free; "
        f"{len(loading)} downloads, {broken} broken; the flow said {first}, {second}, {third}",
    )


def _edges(lab: Lab) -> list[dict[str, Any]]:
    """What every connector says of every edge."""
    told = [ask(lab.deployment.state / "var" / name / "connector.sock", {"ask": "status"}) for name in plan.CONNECTORS]
    return [edge for one in told for edge in one["internet_edges"]]


def _all(lab: Lab, field: str) -> set[Any]:
    return {edge[field] for edge in _edges(lab)}


def _renewals(lab: Lab) -> list[int]:
    return [edge["renewals"] for edge in _edges(lab)]


def _until(holds: Callable[[], bool], limit_s: float) -> float | None:
    """Return after how many seconds something held; None = not in time."""
    begin = time.monotonic()
    while time.monotonic() - begin < limit_s:
        if holds():
            return time.monotonic() - begin
        time.sleep(_POLL_S)
    return None


def _seconds(seconds: float | None) -> str:
    return "no time that was waited" if seconds is None else f"{seconds:.1f} s"


def _say(talk: Conversation, line: str) -> str:
    """Say a line until it is answered: a datagram that was on its way when UDP ended is lost."""
    for _ in range(3):
        if (answer := talk.say(line)) == line:
            break
    return answer


@contextmanager
def _downloading(lab: Lab) -> Iterator[list[Downloaded]]:
    """Download one file after the other beside what is done; those that are done, at the end all of them."""
    done: list[Downloaded] = []
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            done.append(download(lab, "workload-co1", f"http://{plan.INTERNET}/download/{_DOWNLOAD}", limit_s=120))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        ending.set()
        thread.join()


@contextmanager
def _narrow(lab: Lab, size: int) -> Iterator[None]:
    """Have the switch before the edges' router take packets of a size at most; a bridge tells nobody of those it drops."""
    with lab.deployment.hosts[SWITCH].network(), IPRoute() as ip:
        ports = [index for index, name in _ports(ip) if name.endswith("-wan") and _joins(ip, index, "-ie-1")]
        for index in ports:
            ip.link("set", index=index, mtu=size - _VLAN_BYTES)
    try:
        yield
    finally:
        with lab.deployment.hosts[SWITCH].network(), IPRoute() as ip:
            for index in ports:
                ip.link("set", index=index, mtu=plan.WIDE)


def _ports(ip: IPRoute) -> list[tuple[int, str]]:
    return [(link["index"], link.get_attr("IFLA_IFNAME")) for link in ip.get_links()]


def _joins(ip: IPRoute, index: int, ending: str) -> bool:
    """Whether a port's bridge has another one of that name."""
    bridge = ip.get_links(index)[0].get_attr("IFLA_MASTER")
    return any(name.endswith(ending) and ip.get_links(other)[0].get_attr("IFLA_MASTER") == bridge for other, name in _ports(ip))


@contextmanager
def _blocked(lab: Lab) -> Iterator[None]:
    """Have the router drop the tunnels' datagrams both ways, without a word."""
    ends = ({"dport_range": f"{_TUNNEL_PORT}:{_TUNNEL_PORT}"}, {"sport_range": f"{_TUNNEL_PORT}:{_TUNNEL_PORT}"})

    def change(what: str) -> None:
        with lab.deployment.hosts["wan"].network(), IPRoute() as ip:
            for end in ends:
                ip.rule(what, priority=_PRIORITY, action="blackhole", ip_proto=17, **end)

    change("add")
    try:
        yield
    finally:
        change("del")
