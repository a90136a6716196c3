"""Rows about who is let in and what policy says: wrong certificates, and an edit while a flow lives."""

import time

from zcc.lab import configuration
from zcc.lab import topology as plan
from zcc.lab.configuration import MIRROR_PORT
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import client, conversation

_ALPN = "zcc-mtunnel/1"
_LOG_LIMIT_S = 5.0


def wrong_certificate(lab: Lab) -> Seen:
    """A certificate of another CA, and one of ours in the wrong role, at the private edge."""
    deployment = lab.deployment
    seen = []
    good = True
    for name in ("stranger", "mistaken"):
        before = _logged(lab)
        folder = deployment.state / "identity" / name
        said = client(
            lab,
            "cc-1",
            "tls",
            plan.PRIVATE_EDGE,
            "443",
            _ALPN,
            str(folder / "certificate.pem"),
            str(folder / "key.pem"),
        )
        deadline = time.monotonic() + _LOG_LIMIT_S
        while len(_logged(lab)) == len(before) and time.monotonic() < deadline:
            time.sleep(0.1)
        line = _logged(lab)[len(before) :].strip().splitlines()[:1]
        good = good and said.startswith("closed") and bool(line)
        seen.append(f"{name}: {said[:50]}, {'logged' if line else 'NOT logged'}")
    return Seen(good, "; ".join(seen))


def _logged(lab: Lab) -> str:
    """Everything that the private edge has written about refusals so far."""
    files = [lab.deployment.logs / "pe-1.log", *sorted((lab.deployment.logs / "pe-1").glob("event*"))]
    lines = [
        line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()
    ]
    return "\n".join(
        line for line in lines if any(word in line.lower() for word in ("refus", "certificate", "handshake"))
    )


def policy_edit(lab: Lab) -> Seen:
    """One UDP flow to the internet; the rules change under it twice."""
    address = plan.INTERNET
    service = {"destinations": [f"{address}/32"], "services": [f"udp/{MIRROR_PORT}"]}
    seen = []
    with conversation(lab, "workload-co1", address, MIRROR_PORT) as flow:
        try:
            seen.append(_server_saw(flow.say("one")))
            lab.deployment.apply_rules(
                [{"name": "lab-direct", "method": "DIRECT", **service}, *configuration.rules()]
            )
            seen.append(_server_saw(flow.say("two")))
            lab.deployment.apply_rules(
                [{"name": "lab-drop", "method": "DROP", **service}, *configuration.rules()]
            )
            seen.append(_server_saw(flow.say("three")))
        finally:
            lab.deployment.apply_rules(configuration.rules())
        seen.append(_server_saw(flow.say("four")))
    edges = set(plan.EDGE_EGRESS.values())
    ok = (
        seen[0] in edges
        and seen[1] in plan.CONNECTOR_EGRESS.values()
        and seen[2] == "nothing"
        and seen[3] in edges
    )
    return Seen(ok, f"ZIA: {seen[0]}, edited to DIRECT: {seen[1]}, to DROP: {seen[2]}, back: {seen[3]}")


def _server_saw(answer: str) -> str:
    return "nothing" if answer.startswith("-") else answer.split(" ", maxsplit=1)[0]
