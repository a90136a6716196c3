"""The lab's clients as the rows use them: curl, dig, and those of zcc.lab.clients, run in a host. Used by
the scenarios only.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from zcc.lab import topology as plan
from zcc.lab.host import CommandFailed
from zcc.lab.scenarios.scenario import Lab

_CURL = ("curl", "-q", "-sS", "--noproxy", "*", "--connect-timeout", "5")
_ports = cycle(
    range(20_000, 24_000)
)  # below the ephemeral range, so that a row knows its flows by their source port
_TRIES = 40
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """The outcome of a curl: its exit status (0 = good), the HTTP status, the body, what curl measured, what
    it complained of.
    """

    exit_status: int
    status: int
    body: bytes
    figures: dict[str, Any]
    complaint: str

    @property
    def identity(self) -> dict[str, Any]:
        """The lab web server's answer: server, client …; empty when it is not one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def client(self) -> str:
        """The address that the server saw, or why there was none."""
        return str(self.identity.get("client", self.complaint or f"HTTP {self.status}"))


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A download: bytes, SHA-256, seconds, and curl's complaint if any."""

    size: int
    checksum: str
    seconds: float
    complaint: str

    def __str__(self) -> str:
        rate = self.size * 8 / self.seconds / 1e6
        return self.complaint or f"{self.size:,} bytes in {self.seconds:.1f} s, {rate:,.0f} Mbit/s"


def curl(lab: Lab, host: str, url: str, *options: str, limit_s: float = 10.0) -> Fetched:
    """GET `url` from a host with curl."""
    command = [*_CURL, "-m", f"{limit_s:g}", "-w", "%{stderr}\n%{json}", *options, url]
    done = lab.deployment.hosts[host].run(command, limit_s=limit_s + 5)
    complaint, _, figures = done.stderr.decode(errors="replace").rpartition("\n")
    measured = json.loads(figures)
    return Fetched(
        done.returncode, int(measured.get("http_code", 0)), done.stdout, measured, complaint.strip()
    )


def download(lab: Lab, host: str, url: str, limit_s: float) -> Downloaded:
    """GET `url` from a host with curl and sum up what comes, without holding it."""
    begin, digest, size = time.monotonic(), hashlib.sha256(), 0
    process = lab.deployment.hosts[host].start(
        [*_CURL, "-m", f"{limit_s:g}", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if process.stdout is None or process.stderr is None:
        raise CommandFailed("curl has no output")
    with process:
        while chunk := process.stdout.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        complaint = process.stderr.read().decode(errors="replace").strip()
    return Downloaded(size, digest.hexdigest(), time.monotonic() - begin, complaint)


def dig(lab: Lab, host: str, name: str, *options: str, source_port: int = 0) -> list[str]:
    """Ask the workload's name server with dig; return the answers of the answer section, as `dig +short`
    prints them.
    """
    source = ["-b", f"{plan.WORKLOAD}#{source_port}"] if source_port else []
    command = ["dig", "-r", "+short", "+tries=1", "+time=3", *source, f"@{plan.NAME_SERVER}", *options, name]
    return lab.deployment.hosts[host].run(command, limit_s=10).stdout.decode().split()


def connector_of(lab: Lab, company: str, source_port: int, protocol: int) -> str:
    """Return the connector to which GWLB sent a flow of the company's workload; empty when GWLB knows no
    such flow.
    """
    flows = lab.deployment.gwlb(
        f"/flows?endpoint={plan.ENDPOINT_ID[company]}&source={plan.WORKLOAD}"
        f"&source_port={source_port}&protocol={protocol}"
    )
    names = {address: name for name, address in plan.CONNECTOR.items()}
    return names.get(flows[-1]["target"], "") if flows else ""


def dig_by_connector(lab: Lab, company: str, name: str) -> dict[str, tuple[list[str], int]]:
    """Ask from ever new source ports until both connectors have been asked: connector → (answers, source
    port).
    """
    answers: dict[str, tuple[list[str], int]] = {}
    for port in _fresh_ports():
        found = dig(lab, f"workload-{company}", name, "A", source_port=port)
        answers.setdefault(connector_of(lab, company, port, 17), (found, port))
        if set(plan.CONNECTOR) <= answers.keys():
            break
    return answers


def curl_through(lab: Lab, company: str, connector: str, name: str, address: str) -> Fetched:
    """GET http://name/ at `address` from ever new source ports until a flow has gone through `connector`.

    Raises:
        CommandFailed: none did in many tries.
    """
    for port in _fresh_ports():
        got = curl(
            lab,
            f"workload-{company}",
            f"http://{name}/",
            "--local-port",
            str(port),
            "--resolve",
            f"{name}:80:{address}",
        )
        if connector_of(lab, company, port, 6) == connector:
            return got
    raise CommandFailed(f"none of {_TRIES} flows went through {connector}")


def client(lab: Lab, host: str, *words: str, limit_s: float = 20.0) -> str:
    """Run one of zcc.lab.clients in a host and return what it printed."""
    done = lab.deployment.hosts[host].run([sys.executable, "-m", "zcc.lab.clients", *words], limit_s=limit_s)
    return done.stdout.decode().strip() or done.stderr.decode(errors="replace").strip()


def say_once(lab: Lab, host: str, address: str, port: int, line: str) -> str:
    """Send one UDP datagram from a host; return the answer, `-` when there is none."""
    with conversation(lab, host, address, port) as talk:
        return talk.say(line)


class Conversation:
    """A UDP flow that lives: each line said is one datagram, each answer what came back, or `-`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def say(self, line: str) -> str:
        """Send a line; return the answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise CommandFailed("the client has no input or output")
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()


@contextmanager
def conversation(lab: Lab, host: str, address: str, port: int) -> Iterator[Conversation]:
    """Hold a UDP flow open from a host."""
    process = lab.deployment.hosts[host].start(
        [sys.executable, "-m", "zcc.lab.clients", "datagrams", address, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Conversation(process)
    finally:
        process.kill()
        process.communicate()


def _fresh_ports() -> Iterator[int]:
    """Yield source ports that no row has used lately, as many as a search may try."""
    return islice(_ports, _TRIES)
