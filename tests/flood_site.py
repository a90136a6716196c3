"""A connector under flood: its real process, an internet edge's, and a gateway that floods, asks and counts.

    gateway's namespace (this one): flood, lively flow, DNS, health checks, internet edge   g0 ── d0   the connector's

The flood comes from a process of its own, as fast as that sends; all that is looked at are counts and answers, and how long
a health check waited. Needs a network namespace of its own (`isolation.isolated`).
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import namespaces
from fastpath import gwlb
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.packetio import GeneveSocket
from identities import authority, identity
from inner_packets import udp

CONNECTOR, GATEWAY, FLOODER, EDGE = "10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4"
ENDPOINT, SINK = "vpce-0aaaaaaaaaaaaaaa1", "192.0.2.77"
HERE, THERE, ASKER = "10.8.6.4", "10.8.7.4", "10.8.6.9"
ROWS, HEADER = 256, 40
CONFIGURATION = """\
role: connector
name: cc-1
state: {folder}/state
identity: {identity}
logs: {{directory: {folder}/logs, level: warning}}
namespaces: [{{name: co1, id: 1}}]
locations: [aws-co1]
endpoints: [{{id: {endpoint}, namespace: co1, location: aws-co1}}]
ingress: {{address: {connector}, flows: {flows}}}
kernel: {{device: auto, name: zcc0, mtu: 8500, internal: 198.18.0.0/16}}
zia: {{edges: [{{name: ie-1, address: "{edge}:443"}}], probe_interval: 250ms, probe_lost: 8}}
rules: [{{name: east-west, method: LOCAL, destinations: [10.8.0.0/16]}}]
dns_rules: [{{name: sink, action: OVERWRITE, names: ["*.sink.example"], addresses: [{sink}]}}]
health: {{address: {connector}, port: 50000}}
drain: {{delay: 0s, limit: 0s}}
"""
EDGE_CONFIGURATION = """\
role: internet-edge
name: ie-1
state: {folder}/edge
identity: {identity}
logs: {{directory: {folder}/edge-logs, level: warning}}
listen: "{edge}:443"
kernel: {{device: auto, name: zcc1, mtu: 1500}}
nat: {{addresses: [10.98.0.1]}}
"""


@dataclass(frozen=True)
class Flood:
    """What is sent: frames, and the places in them that are another letter each time, so that no two are alike."""

    make: Callable[[random.Random], bytes]
    varied: tuple[int, ...]


@dataclass
class Seen:
    """What came of a stretch of time."""

    lively: int = 0             # packets of the established flow that were sent, both ways together
    carried: int = 0
    asked: int = 0
    answered: int = 0
    healthy: list[float] = field(default_factory=list)      # seconds that each health check took
    flooded: int = 0
    kib: int = 0                # of memory that the connector holds

    def __str__(self) -> str:
        return (f"flood {self.flooded:9,} packets, established flow {self.carried}/{self.lively}, "
                f"DNS {self.answered}/{self.asked}, {len(self.healthy)} health checks, "
                f"the slowest {1e3 * max(self.healthy):.0f} ms, {self.kib:,} KiB")


class Site:
    """The connector and all around it."""

    def __init__(self, folder: Path, flows: int = 4096) -> None:
        self.folder, self.number = folder, 0
        self.space = namespaces.another()
        namespaces.link("g0", [f"{address}/24" for address in (GATEWAY, FLOODER, EDGE)], self.space, "d0", [f"{CONNECTOR}/24"])
        signer = authority(folder / "ca")
        fields = {"folder": folder, "connector": CONNECTOR, "edge": EDGE, "flows": flows, "sink": SINK, "endpoint": ENDPOINT}
        self.programs: list[subprocess.Popen[bytes]] = []
        for role, name, text, space in (("internet-edge", "ie-1", EDGE_CONFIGURATION, None),
                                        ("connector", "cc-1", CONFIGURATION, self.space)):
            paths = identity(signer, role, name).model_dump(mode="json")
            written = folder / f"{role}.yaml"
            written.write_text(text.format(identity=json.dumps(paths), **fields))
            self.programs.append(self._start(role, written, space))
        self.connector = self.programs[1]
        self.port = GeneveSocket(GATEWAY)
        self.batch = PacketBatch(64)

    def _start(self, role: str, file: Path, space: int | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "zcc", role, "--config", str(file)]
        for logs in ("logs", "edge-logs"):
            (self.folder / logs).mkdir(exist_ok=True)
        if space is None:
            return subprocess.Popen(command)
        with namespaces.inside(space):
            return subprocess.Popen(command)

    def until_healthy(self, patience_s: float = 30) -> None:
        """Wait until the connector says that all is well, its tunnel included."""
        limit = time.monotonic() + patience_s
        while self.health()[0] != 200:
            assert time.monotonic() < limit, f"not healthy: {self.health()}"
            assert all(program.poll() is None for program in self.programs), "a program has ended"
            time.sleep(0.1)

    def health(self, patience_s: float = 5) -> tuple[int, str]:
        """Ask as GWLB does; (0, why) where nobody answers in time."""
        try:
            with socket.create_connection((CONNECTOR, 50_000), patience_s) as asked:
                asked.settimeout(patience_s)
                asked.sendall(b"GET /?cchealth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                head, _, body = asked.makefile("rb").read().partition(b"\r\n\r\n")
                return int(head.split()[1]), body.decode()
        except (OSError, IndexError) as error:
            return 0, str(error)

    # ---- a stretch of time ----

    def stretch(self, seconds: float) -> Seen:
        """Keep a flow alive, ask names, check health; say what came of it."""
        seen, end = Seen(), time.monotonic() + seconds
        next_question = time.monotonic()
        while time.monotonic() < end:
            self.number += 1
            for source, destination, ports in ((HERE, THERE, (4000, 9)), (THERE, HERE, (9, 4000))):
                self._send(udp(source, destination, *ports, self.number.to_bytes(4, "big")))
            seen.lively += 2
            if time.monotonic() >= next_question:
                next_question += 0.1
                self._send(udp(ASKER, "10.8.0.2", 5000 + self.number % 50_000, 53, query(self.number)))
                seen.asked += 1
                begun = time.monotonic()
                status, why = self.health()
                assert status == 200, f"health check: {status} {why}"
                seen.healthy.append(time.monotonic() - begun)
            time.sleep(0.002)
            self._listen(seen)
        time.sleep(0.2)
        self._listen(seen)
        seen.kib = self.memory_kib()
        return seen

    def _send(self, packet: bytes) -> None:
        self.batch.load([gwlb.header(int(ENDPOINT[-17:], 16), 2, 7, 4) + packet])
        self.batch.peer_address[0], self.batch.peer_port[0] = int.from_bytes(socket.inet_aton(CONNECTOR), "big"), 50_000
        self.port.send(self.batch)

    def _listen(self, seen: Seen) -> None:
        while count := self.port.recv(self.batch):
            for row in range(count):
                start, length = int(self.batch.start[row]), int(self.batch.length[row])
                packet = self.batch.data[row, start + HEADER:start + length].tobytes()
                seen.carried += packet[20:24] in (b"\x0f\xa0\0\x09", b"\0\x09\x0f\xa0")
                seen.answered += packet[20:22] == b"\0\x35" and socket.inet_aton(SINK) in packet

    def memory_kib(self) -> int:
        """What the connector holds of the machine's memory."""
        status = Path(f"/proc/{self.connector.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    # ---- the flood ----

    @contextmanager
    def flood(self, kind: Flood) -> Iterator[Callable[[], int]]:
        """Flood from another process; the value says, after the end, how many packets were sent."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, str(flood_until_ended(kind, writing)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        assert os.read(reading, 1) == b"!", "the flood did not begin"
        sent: list[int] = []
        try:
            yield lambda: sent[0]
        finally:
            os.kill(child, signal.SIGTERM)
            sent.append(int(os.read(reading, 20) or b"0"))
            os.close(reading)
            os.waitpid(child, 0)

    def tunnel_events(self) -> list[str]:
        """What the tunnel log tells."""
        path = self.folder / "logs" / "tunnel.jsonl"
        return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []

    def close(self) -> None:
        """End the programs."""
        for program in self.programs:
            program.terminate()
        for program in self.programs:
            try:
                program.wait(15)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def query(number: int) -> bytes:
    """A query for a name of its own that a rule answers."""
    label = b"%08x" % number
    return number.to_bytes(4, "big")[2:] + b"\1\0\0\1" + bytes(6) + b"\x08" + label + b"\x04sink\x07example\0\0\1\0\1"


def flood_until_ended(kind: Flood, begun: int) -> int:
    """Send until SIGTERM; packets that went."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    chance, port, batch, sent = random.Random(20_261_126), GeneveSocket(FLOODER), PacketBatch(ROWS), 0
    numbers, places = np.random.default_rng(20_261_126), np.array(kind.varied) + HEADROOM_BYTES
    batch.load([kind.make(chance) for _ in range(ROWS)])
    batch.peer_address[:], batch.peer_port[:] = int.from_bytes(socket.inet_aton(CONNECTOR), "big"), 50_000
    os.write(begun, b"!")
    while not ended:
        batch.data[:, places] = numbers.integers(ord("a"), ord("q"), (ROWS, len(places)), np.uint8)
        batch.reason[:] = 0
        sent += port.send(batch)
    return sent


def geneve(packet: bytes) -> bytes:
    """As GWLB sends it."""
    return gwlb.header(int(ENDPOINT[-17:], 16), 2, 7, packet[0] >> 4) + packet


