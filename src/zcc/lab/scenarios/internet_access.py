"""Rows about the internet and the cloud: through the internet edges, straight out, east-west, or not at
all.
"""

from zcc.lab import topology as plan
from zcc.lab.configuration import ECHO_PORT, TUNNEL_MTU
from zcc.lab.probe import Watch
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import client, conversation, curl, download, say_once
from zcc.lab.servers.content import checksum

LARGE = 6_000  # bytes: more than a tunnel or the internet carries in one packet, less than GWLB does
CLOSED_PORT, FLOWS = 9, 6


def bulk_download(lab: Lab) -> Seen:
    """A large download from the internet."""
    got = download(lab, "workload-co2", f"http://{plan.WWW}/download/{lab.download_bytes}", limit_s=280)
    return Seen(got.checksum == checksum(lab.download_bytes), f"{got}, SHA-256 {got.checksum[:12]}…")


def path_mtu(lab: Lab) -> Seen:
    """Datagrams between the tunnel's size and the workload's own MTU; the kernel of the workload must learn the tunnel's."""
    learned = [
        client(lab, "workload-co1", "path-mtu", address, str(ECHO_PORT), str(TUNNEL_MTU))
        for address in (plan.INTERNET, plan.INTERNET_6)
    ]
    return Seen(learned == [str(TUNNEL_MTU)] * 2, f"IPv4 {learned[0]}, IPv6 {learned[1]}")


def odd_packets(lab: Lab) -> Seen:
    """Datagrams that no path carries whole, both ways through ZIA; and a port on the internet where nobody listens."""
    line, whole = "l" + "arge" * (LARGE // 4), 0
    for _ in range(FLOWS):     # the load balancer sends later fragments where the hash without ports says, maybe elsewhere
        with conversation(lab, "workload-co1", plan.INTERNET, ECHO_PORT) as talk:
            whole += sum(talk.say(line) == line for _ in range(2))     # the first teaches the kernel the path's MTU
        if whole:
            break
    refused = say_once(lab, "workload-co1", plan.INTERNET, CLOSED_PORT, "anybody?")
    return Seen(
        whole > 0 and "refused" in refused,
        f"{whole or 'no'} datagrams of {len(line):,} bytes came back whole; where nobody listens: {refused}",
    )


def https(lab: Lab) -> Seen:
    """HTTPS with the server's certificate verified; the server says whom it sees."""
    authority = str(lab.deployment.state / "web" / "web-ca.pem")
    seen = {
        company: curl(lab, f"workload-{company}", f"https://{plan.WWW}/", "-4", "--cacert", authority).client
        for company in plan.COMPANIES
    }
    return Seen(
        all(address == plan.EDGE_EGRESS["ie-1"] for address in seen.values()),
        ", ".join(f"{company}: the server saw {address}" for company, address in seen.items()),
    )


def direct(lab: Lab) -> Seen:
    """A destination that policy sends out of the connector itself."""
    seen = {
        company: curl(lab, f"workload-{company}", "http://updates.example/").client
        for company in plan.COMPANIES
    }
    return Seen(
        all(address in plan.CONNECTOR_EGRESS.values() for address in seen.values()),
        ", ".join(f"{company}: the server saw {address}" for company, address in seen.items()),
    )


def local(lab: Lab) -> Seen:
    """The peer workload says whom it sees."""
    got = {company: curl(lab, f"workload-{company}", f"http://{plan.PEER}/") for company in plan.COMPANIES}
    ok = all(
        answer.client == plan.WORKLOAD and answer.identity["server"] == f"peer-{company}"
        for company, answer in got.items()
    )
    return Seen(
        ok,
        ", ".join(
            f"{answer.identity.get('server', company)} saw {answer.client}" for company, answer in got.items()
        ),
    )


def drop_by_name(lab: Lab) -> Seen:
    """curl to a name that policy drops, and a watch on the server's interface."""
    watch = Watch(lab.deployment.hosts["internet"], "eth0", plan.EVIL)
    try:
        got = curl(lab, "workload-co1", f"http://{plan.EVIL_NAME}/", "-4", limit_s=4)
    finally:
        packets = watch.count()
    resolved = "resolve" not in got.complaint
    return Seen(
        got.exit_status != 0 and packets == 0 and resolved, f"{packets} packets arrived; {got.complaint[:70]}"
    )


def datagrams(lab: Lab) -> Seen:
    """UDP echo on the internet."""
    answers = [
        say_once(lab, f"workload-{company}", plan.INTERNET, ECHO_PORT, f"hello {company}")
        for company in plan.COMPANIES
    ]
    return Seen(answers == [f"hello {company}" for company in plan.COMPANIES], ", ".join(answers))


def local_ipv6(lab: Lab) -> Seen:
    """The peer workload says whom it sees, over IPv6."""
    got = curl(lab, "workload-co1", f"http://[{plan.PEER_6}]/")
    return Seen(got.client == plan.WORKLOAD_6, f"{got.identity.get('server', '')} saw {got.client}")


def internet_ipv6(lab: Lab) -> Seen:
    """A server on the internet says whom it sees, over IPv6."""
    got = curl(lab, "workload-co1", f"http://{plan.WWW}/", "-6")
    return Seen(got.client in plan.EDGE_EGRESS_6.values(), f"the server saw {got.client}")
