"""Rows about what breaks: an internet edge, a connector, a connector's memory. Each puts right again what it
broke.
"""

import time
from collections.abc import Callable

from zcc.lab import topology as plan
from zcc.lab.host import CommandFailed
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import Fetched, curl, curl_through, dig

_EDGE_LIMIT_S = 5.0
_RETURN_LIMIT_S = 20.0
_READY_S = 30.0
_PATIENCE_S = 30.0
_NEW_FLOWS = 12


def edge_killed(lab: Lab) -> Seen:
    """kill -9 of the first internet edge; downloads that start later go by the second."""
    edge = lab.deployment.daemons["ie-1"]
    edge.kill()
    try:
        seconds, got = _first_by(lab, "ie-2", _EDGE_LIMIT_S)
        later = [_fetch(lab).client for _ in range(3)] if got else []
    finally:
        edge.start()
        edge.wait_ready(_READY_S)
    if got is None:
        return Seen(False, f"no download worked within {_EDGE_LIMIT_S:g} s")
    ok = seconds <= _EDGE_LIMIT_S and all(address == plan.EDGE_EGRESS["ie-2"] for address in later)
    return Seen(
        ok,
        f"a download worked after {seconds:.1f} s, the server saw {got.client}, then {', '.join(later)}",
    )


def edge_back(lab: Lab) -> Seen:
    """The first edge serves again: new flows return to it."""
    seconds, got = _first_by(lab, "ie-1", _RETURN_LIMIT_S)
    return Seen(
        got is not None,
        f"new flows by ie-1 {seconds:.1f} s after its restart" if got else "new flows stay on ie-2",
    )


def connector_killed(lab: Lab) -> Seen:
    """kill -9 of a connector; GWLB takes it out after its checks, new flows work."""
    deployment = lab.deployment
    victim = deployment.daemons["cc-1"]
    victim.kill()
    try:
        seconds = deployment.wait_until(
            lambda: deployment.target_states()["cc-1"] == "unhealthy",
            _PATIENCE_S,
            lambda: "GWLB still thinks that cc-1 is healthy",
        )
        bad = []
        for number in range(_NEW_FLOWS):
            url = f"http://{plan.PORTAL if number % 2 else plan.WWW}/"
            got = curl(lab, f"workload-co{1 + number % 2}", url, "-4", limit_s=5)
            if got.exit_status or not got.identity:
                bad.append(f"{url}: {got.complaint}")
    finally:
        _start_again(lab, "cc-1")
    return Seen(
        not bad,
        f"out after {seconds:.1f} s, then {_NEW_FLOWS - len(bad)} of {_NEW_FLOWS} new flows worked "
        + "; ".join(bad[:2]),
    )


def connector_restarted(lab: Lab) -> Seen:
    """kill -9 and restart of a connector; an address that was handed out before is used through it."""
    found = dig(lab, "workload-co1", plan.PORTAL, "A")
    if len(found) != 1:
        return Seen(False, f"dig: {' '.join(found) or 'no answer'}")
    lab.deployment.daemons["cc-1"].kill()
    _start_again(lab, "cc-1")
    got = curl_through(lab, "co1", "cc-1", plan.PORTAL, found[0])
    return Seen(
        got.identity.get("server") == "app-co1",
        f"{found[0]} through the restarted cc-1: {got.identity.get('server') or got.complaint}",
    )


def _start_again(lab: Lab, name: str) -> None:
    deployment = lab.deployment
    deployment.daemons[name].start()
    deployment.daemons[name].wait_ready(_READY_S)
    deployment.wait_until(
        lambda: deployment.target_states()[name] == "healthy",
        _PATIENCE_S,
        lambda: f"GWLB does not find {name} healthy again",
    )


def _fetch(lab: Lab) -> Fetched:
    return curl(lab, "workload-co1", f"http://{plan.INTERNET}/", limit_s=1.0)


def _first_by(lab: Lab, edge: str, limit_s: float) -> tuple[float, Fetched | None]:
    """Start downloads until one has gone by `edge`; return after how many seconds it was done, and it."""
    return _repeat(lambda: _fetch(lab), lambda got: got.client == plan.EDGE_EGRESS[edge], limit_s)


def _repeat(
    act: Callable[[], Fetched], good: Callable[[Fetched], bool], limit_s: float
) -> tuple[float, Fetched | None]:
    begin = time.monotonic()
    while time.monotonic() - begin < limit_s:
        try:
            got = act()
        except CommandFailed:
            continue
        if good(got):
            return time.monotonic() - begin, got
        time.sleep(0.05)
    return time.monotonic() - begin, None
