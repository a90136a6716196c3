"""A private edge and two connectors as processes of their own, which can be killed at any moment and start again at once.

Needs a network namespace of its own. Clients ask the connectors' DNS listeners over loopback.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from identities import authority, identity

EDGE = "127.0.0.3"
EXACT = [f"exact{number}.corp.example" for number in range(4)]
LISTENERS = {"cc-1": ("127.0.0.11", 5300), "cc-2": ("127.0.0.12", 5300)}
POOLS = {"default": "10.254.0.0/26", "second": "10.9.0.0/27"}
# Short, so that names go idle, rest and give their address to others while the loop runs.
TIMES = {"idle": "6s", "renew": "3s", "quarantine": "3s"}
SECOND_RULE = {"name": "second", "action": "ZPA", "names": ["*.second.example"], "pool": "second"}
DOMAINS = {"exact": EXACT, "wild": ["*.wild.example"], "second": ["*.second.example"]}


def pool_of(name: str) -> str:
    """Return the pool that a name's address must be of."""
    return "second" if name.endswith(".second.example") else "default"


@dataclass
class Agent:
    """One process: its command line, and how often it was killed."""

    name: str
    arguments: list[str]
    output: Path
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0

    def start(self) -> None:
        """Start it; it becomes ready in its own time."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zcc", *self.arguments], stdout=output, stderr=output)

    def kill(self) -> None:
        """End it by force, and wait until it is gone."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended by itself: {self.output.read_text()[-2000:]}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it gracefully, by force if need be."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class World:
    """All agents of a folder."""

    folder: Path
    agents: list[Agent] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Issue identities and write the files."""
        self.signer = authority(self.folder / "ca")
        self._agent("private-edge", "pe-1", {
            "listen": f"{EDGE}:4443", "pool": POOLS["default"],
            "pools": [{"name": "second", "network": POOLS["second"]}], "ledger": TIMES,
            "applications": [{"name": name, "domains": domains, "tcp": [443], "app_connector_group": "dc1"}
                             for name, domains in DOMAINS.items()],
            "access": [{"name": "all", "action": "allow"}], "drain": {"limit": "200ms"}})
        for number, (name, (address, port)) in enumerate(LISTENERS.items()):
            self._agent("connector", name, self._connector(number, address, port))

    def _connector(self, number: int, address: str, port: int) -> dict[str, Any]:
        return {
            "group": "g", "namespaces": [{"name": "blue", "id": 1}], "locations": ["l1"],
            "ingress": {"address": address, "flows": 1024}, "io": "udp", "health": {"address": address},
            "kernel": {"name": f"zcc{number}", "internal": f"198.18.{number}.0/24"},
            "zpa": {"edges": [f"{EDGE}:4443"], "pool": POOLS["default"], "backoff_floor": "20ms", "backoff_ceiling": "200ms"},
            "pools": [{"name": "second", "network": POOLS["second"]}],
            "dns": {"listen": {"address": f"{address}:{port}"}}, "dns_rules": [SECOND_RULE],
            "applications": [{"name": name, "domains": domains, "tcp": [443]} for name, domains in DOMAINS.items()],
            "rules": [{"name": "apps", "method": "ZPA", "all_applications": True}, {"name": "rest", "method": "DROP"}],
            "drain": {"delay": "0s", "limit": "200ms"}}

    def _agent(self, role: str, name: str, settings: dict[str, Any]) -> None:
        own, state = identity(self.signer, role, name), self.state(name)
        state.mkdir(parents=True)
        (state / "logs").mkdir()
        common = {"role": role, "name": name, "state": str(state), "logs": {"directory": str(state / "logs")},
                  "identity": {field: str(getattr(own, field)) for field in ("certificate", "key", "ca", "crl")}}
        path = state / "zcc.yaml"
        path.write_text(yaml.safe_dump(common | settings))
        self.agents.append(Agent(name, [role, "--config", str(path)], state / "output"))

    def written(self, agent: Agent) -> Path:
        """Return the file that an agent's answers wait for: its records, on their way to the disk."""
        return self.state(agent.name) / ("ledger.sqlite-wal" if agent.name == "pe-1" else "leases.sqlite-wal")

    def state(self, name: str) -> Path:
        """Return the state directory of an agent."""
        return self.folder / name
