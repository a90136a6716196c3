"""Rows about who is let in and what policy says: wrong certificates, and an edit while a flow lives."""

import time

from zcc.lab import configuration
from zcc.lab import topology as plan
from zcc.lab.configuration import MIRROR_PORT
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import client, conversation

_ALPN = "zcc-mtunnel/1"
_LOG_LIMIT_S = 3.0
# Who offers a certificate, and a word of the reason why it must be refused.
_REASONS = {"stranger": "certificate verify failed", "mistaken": "may connect"}


def wrong_certificate(lab: Lab) -> Seen:
    """A certificate of another CA, and one of ours in the wrong role, at the private edge."""
    seen = {name: _offer(lab, name, reason) for name, reason in _REASONS.items()}
    return Seen(all(seen_one.ok for seen_one in seen.values()), "; ".join(one.text for one in seen.values()))


def _offer(lab: Lab, name: str, reason: str) -> Seen:
    """Offer the identity `name` to the private edge; it must close, and log a line that contains `reason`."""
    folder = lab.deployment.state / "identity" / name
    before = len(_edge_log(lab))
    files = [str(folder / "certificate.pem"), str(folder / "key.pem")]
    said = client(lab, "cc-1", "tls", plan.PRIVATE_EDGE, "443", _ALPN, *files)
    deadline = time.monotonic() + _LOG_LIMIT_S
    while not (lines := _lines_with(reason, _edge_log(lab)[before:])) and time.monotonic() < deadline:
        time.sleep(0.1)
    logged = f"logged: …{reason}…" if lines else "NOT logged"
    return Seen(said.startswith("closed") and bool(lines), f"{name}: {said[:50]}, {logged}")


def _edge_log(lab: Lab) -> str:
    return (lab.deployment.logs / "pe-1.log").read_text(errors="replace")


def _lines_with(word: str, text: str) -> list[str]:
    return [line for line in text.splitlines() if "refused" in line and word in line]


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


def gateway_edit(lab: Lab) -> Seen:
    """One UDP flow to the internet; a rule with a gateway of the second edge alone comes and takes it there."""
    service = {"destinations": [f"{plan.INTERNET}/32"], "services": [f"udp/{MIRROR_PORT}"]}
    with conversation(lab, "workload-co1", plan.INTERNET, MIRROR_PORT) as flow:
        before = _server_saw(flow.say("one"))
        try:
            lab.deployment.apply_rules(
                [{"name": "lab-gateway", "method": "ZIA", "gateway": configuration.SECOND_GATEWAY, **service},
                 *configuration.rules()]
            )  # fmt: skip
            moved = _server_saw(flow.say("two"))
        finally:
            lab.deployment.apply_rules(configuration.rules())
    edges = plan.EDGE_EGRESS
    ok = (before, moved) == (edges["ie-1"], edges["ie-2"])
    return Seen(ok, f"before: {before}, by the gateway: {moved}")


def _server_saw(answer: str) -> str:
    return "nothing" if answer.startswith("-") else answer.split(" ", maxsplit=1)[0]
