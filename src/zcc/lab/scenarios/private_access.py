"""Rows about applications reached through the private edge: whose application, which address, which
connector, how fast.
"""

import hashlib
from ipaddress import ip_address, ip_network

from zcc.lab import topology as plan
from zcc.lab.configuration import ECHO_PORT, LATE_PORT, POOL
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import (
    client,
    connector_of,
    curl,
    curl_through,
    dig,
    dig_by_connector,
    download,
    say_once,
)
from zcc.lab.servers.content import checksum

_HALF_CLOSE_BYTES = 100_000
_STRAY = "10.254.31.250"  # the last of the pool, given to no name
_AT_ONCE_MS = 1000


def own_application(lab: Lab) -> Seen:
    """curl from both workloads, which have the same address, to one name."""
    servers = {
        company: curl(lab, f"workload-{company}", f"http://{plan.PORTAL}/") for company in plan.COMPANIES
    }
    reached = {company: str(got.identity.get("server", got.complaint)) for company, got in servers.items()}
    ok = all(reached[company] == f"app-{company}" for company in plan.COMPANIES)
    return Seen(ok, ", ".join(f"{company} reached {server}" for company, server in reached.items()))


def same_answer(lab: Lab) -> Seen:
    """dig until both connectors have answered."""
    answers = dig_by_connector(lab, "co1", plan.PORTAL)
    addresses = {address for found, _ in answers.values() for address in found}
    inside = len(addresses) == 1 and all(ip_address(address) in ip_network(POOL) for address in addresses)
    text = ", ".join(
        f"{name}: {' '.join(found) or 'nothing'}" for name, (found, _) in sorted(answers.items())
    )
    return Seen(
        inside and answers.keys() >= plan.CONNECTOR.keys() and all(found for found, _ in answers.values()),
        text,
    )


def other_connector(lab: Lab) -> Seen:
    """Resolve a name that nobody has asked for yet by one connector, connect through the other."""
    for company in plan.COMPANIES:
        name = f"only-{company}.{plan.PORTAL}"
        port = 23_999
        found = dig(lab, f"workload-{company}", name, "A", source_port=port)
        asked = connector_of(lab, company, port, 17)
        if len(found) != 1 or asked not in plan.CONNECTOR:
            return Seen(False, f"dig {name}: {' '.join(found) or 'no answer'}")
        other = next(connector for connector in plan.CONNECTORS if connector != asked)
        got = curl_through(lab, company, other, name, found[0])
        if got.identity.get("server") != f"app-{company}":
            return Seen(False, f"{company}: {asked} answered, through {other}: {got.complaint or got.status}")
    return Seen(True, f"{asked} answered {found[0]}, the flow went through {other}, both companies")


def bulk_download(lab: Lab) -> Seen:
    """A large download from the application."""
    got = download(lab, "workload-co1", f"http://{plan.PORTAL}/download/{lab.download_bytes}", limit_s=280)
    return Seen(got.checksum == checksum(lab.download_bytes), f"{got}, SHA-256 {got.checksum[:12]}…")


def datagrams(lab: Lab) -> Seen:
    """UDP echo from both companies."""
    answers = {
        company: say_once(lab, f"workload-{company}", plan.PORTAL, ECHO_PORT, f"hello {company}")
        for company in plan.COMPANIES
    }
    return Seen(
        all(answers[company] == f"hello {company}" for company in plan.COMPANIES),
        ", ".join(f"{company}: {answer}" for company, answer in answers.items()),
    )


def half_close(lab: Lab) -> Seen:
    """A client finishes its half of the stream; the answer comes later."""
    said = client(lab, "workload-co2", "half-close", plan.PORTAL, str(LATE_PORT), str(_HALF_CLOSE_BYTES))
    wanted = f"{_HALF_CLOSE_BYTES} {hashlib.sha256(bytes(_HALF_CLOSE_BYTES)).hexdigest()}"
    return Seen(said == wanted, f"answer: {said[:30]}…")


def stray_address(lab: Lab) -> Seen:
    """Connect to an address of the pool that belongs to no name."""
    word, _, after_ms = client(lab, "workload-co1", "connect", _STRAY, "80").partition(" ")
    ok = word in ("refused", "unreachable") and after_ms.isdigit() and int(after_ms) < _AT_ONCE_MS
    return Seen(ok, f"{word} after {after_ms} ms")
