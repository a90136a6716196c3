"""The whole system brought up: hosts, certificates, configuration, servers, daemons in their order, until
traffic can flow.

Used by the runner; the scenarios get the finished `Deployment`. It judges nothing.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from zcc.errors import ZccError
from zcc.lab import configuration, identity, network, probe
from zcc.lab import topology as plan
from zcc.lab.host import Host
from zcc.lab.process import Daemon

_START_LIMIT_S = 30.0
_RELOAD_LIMIT_S = 5.0
_POLL_S = 0.1
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
# Daemons of one line start together; those of the next when they are ready.
_ORDER = (("pe-1", "ie-1", "ie-2"), ("appc-1", "cc-1", "cc-2"), ("gwlb",))


class NotServing(ZccError):
    """Something that should serve after the start does not."""


class Deployment:
    """The lab's hosts and daemons.

    Args:
        state: an empty directory of the lab's own.
        tell: called with what is being done, for people.
    """

    def __init__(self, state: Path, tell: Callable[[str], None]) -> None:
        self.state = state
        self.logs = state / "log"
        self._tell = tell
        self.daemons: dict[str, Daemon] = {}
        tell("making hosts and networks")
        files = {
            "/etc/resolv.conf": f"nameserver {plan.NAME_SERVER}\noptions timeout:2 attempts:3\n",
            "/etc/hosts": _HOSTS,
            "/etc/nsswitch.conf": "hosts: files dns\n",
        }
        self.hosts = network.build(plan.build(), state / "hosts", files)

    def start(self) -> None:
        """Issue certificates, write configuration, start servers and daemons, wait until the load balancer
        has both targets.

        Raises:
            ZccError: something did not come up; the message says what, with its last words.
        """
        self._tell("issuing certificates")
        for part in ("log", "run", "etc", "var"):
            (self.state / part).mkdir(exist_ok=True)
        identity.issue_agents(self.state / "pki", self.state / "identity")
        identity.issue_web(self.state / "web")
        self._tell("starting servers")
        self._start_servers()
        for names in _ORDER:
            self._tell(f"starting {', '.join(names)}")
            for name in names:
                self._make_daemon(name).start()
            for name in names:
                self.daemons[name].wait_ready(_START_LIMIT_S)
        self._tell("waiting until GWLB finds both connectors healthy")
        self.wait_until(
            lambda: all(state == "healthy" for state in self.target_states().values()),
            _START_LIMIT_S,
            self._explain_targets,
        )

    def config_path(self, name: str) -> Path:
        """Return where the configuration file of a daemon lies."""
        return self.state / "etc" / f"{name}.yaml"

    def write_config(self, name: str, **changes: Any) -> None:
        """Write a daemon's configuration file, with some of its top-level keys changed; whole or not at
        all.
        """
        path = self.config_path(name)
        settings = {**configuration.of_daemon(name, self.state), **changes}
        new = path.with_suffix(".new")
        new.write_text(yaml.safe_dump(settings, sort_keys=False))
        new.replace(path)

    def apply_rules(self, rules: list[configuration.Yaml]) -> None:
        """Write other forwarding rules into the connectors' files and have them read: SIGHUP, as an operator
        would.

        A connector says READY=1 again when its worker has been told (sd_notify(3), RELOADING=1); the worker takes
        the rules between two batches, a moment later.
        """
        for name in plan.CONNECTORS:
            self.write_config(name, rules=rules)
            self.daemons[name].reload(_RELOAD_LIMIT_S)

    def target_states(self) -> dict[str, str]:
        """Return what the load balancer thinks of each connector, by the connector's name."""
        status = self.gwlb("/status")
        by_address = {target["address"]: target["state"] for target in status["targets"]}
        return {name: by_address[address] for name, address in plan.CONNECTOR.items()}

    def gwlb(self, path: str) -> Any:
        """GET a path of the load balancer's status."""
        return probe.get_json(self.hosts["gwlb"], "127.0.0.1", configuration.STATUS_PORT, path)

    def wait_until(self, holds: Callable[[], bool], limit_s: float, explain: Callable[[], str]) -> float:
        """Wait until `holds()`; return the seconds that it took.

        Raises:
            NotServing: it did not within `limit_s`; the message is `explain()`.
        """
        begin = time.monotonic()
        while time.monotonic() - begin < limit_s:
            try:
                if holds():
                    return time.monotonic() - begin
            except OSError:
                pass  # not listening yet
            time.sleep(_POLL_S)
        raise NotServing(explain())

    def save_logs(self, where: Path) -> None:
        """Copy all logs and configuration files out of the lab's own file system."""
        for part in ("log", "etc"):
            if (self.state / part).exists():
                shutil.copytree(self.state / part, where / part, dirs_exist_ok=True)

    def _make_daemon(self, name: str) -> Daemon:
        (self.state / "var" / name).mkdir(exist_ok=True)
        (self.logs / name).mkdir(exist_ok=True)
        self.write_config(name)
        command = [
            sys.executable,
            "-m",
            "zcc",
            configuration.ROLES[name],
            "--config",
            str(self.config_path(name)),
        ]
        daemon = Daemon(
            name, self.hosts[name], command, log=self.logs / f"{name}.log", notify=self.state / "run" / name
        )
        self.daemons[name] = daemon
        return daemon

    def _start_servers(self) -> None:
        web = self.state / "web"
        certificate = [str(web / "web.pem"), str(web / "web-key.pem")]
        zone = json.dumps(plan.NAMES)
        echo, mirror = str(configuration.ECHO_PORT), str(configuration.MIRROR_PORT)
        programs: list[tuple[str, list[str], int | None]] = [
            ("internet", ["web", "internet", "80"], 80),
            ("internet", ["web", "internet", "443", *certificate], 443),
            ("internet", ["names", plan.NAME_SERVER, zone], None),
            *(
                ("internet", ["echo", "udp", address, echo], None)
                for address in (plan.INTERNET, plan.INTERNET_6)
            ),
            *(
                ("internet", ["echo", "mirror", address, mirror], None)
                for address in (plan.INTERNET, plan.UPDATES)
            ),
        ]
        for company in plan.COMPANIES:
            app, address = f"app-{company}", plan.APPLICATION[company]
            programs += [
                (app, ["web", app, "80"], 80),
                (app, ["echo", "udp", address, echo], None),
                (app, ["echo", "late", address, str(configuration.LATE_PORT)], configuration.LATE_PORT),
                (f"peer-{company}", ["web", f"peer-{company}", "80"], 80),
            ]
        for number, (host, words, _) in enumerate(programs):
            self._start_server(self.hosts[host], number, words)
        for host, words, port in programs:
            if port:
                own = plan.APPLICATION.get(host.removeprefix("app-"), "127.0.0.1")
                self._wait_listening(self.hosts[host], own, port, words)

    def _start_server(self, host: Host, number: int, words: list[str]) -> None:
        with (self.logs / f"server-{number}-{host.name}-{words[0]}.log").open("wb") as log:
            host.start([sys.executable, "-m", "zcc.lab.servers", *words], log=log)

    def _wait_listening(self, host: Host, address: str, port: int, words: list[str]) -> None:
        self.wait_until(
            lambda: probe.listens(host, address, port),
            _START_LIMIT_S,
            lambda: f"the lab's server {' '.join(words)} on {host.name} does not listen at {address}:{port}",
        )

    def _explain_targets(self) -> str:
        targets = "\n".join(
            f"  {target['address']} {target['state']}: {target['reason']}"
            for target in self.gwlb("/status")["targets"]
        )
        tails = "\n".join(f"--- {name}\n{self.daemons[name].tail()}" for name in plan.CONNECTORS)
        return f"the load balancer does not find all connectors healthy:\n{targets}\n{tails}"
