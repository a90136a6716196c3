"""The connector itself in place of the bare engine: its process with all its threads, on the device's core.

Its configuration is a small one: LOCAL for what the load sends, one DNS rule, health checks. `asker` asks for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.gwlb_rig.load import DEVICE, ENDPOINT
from bench.gwlb_rig.rig import DEVICE_CORE, GATEWAY_CORE, Rig, ready
from identities import authority, identity

SINK, HEALTH_PORT = "192.0.2.77", 50_000
FLOWS = 1 << 16
CONFIGURATION = """\
role: connector
name: cc-1
state: {folder}/state
identity: {identity}
logs: {{directory: {folder}/logs, level: error}}
namespaces: [{{name: co1, id: 1}}]
locations: [aws-co1]
endpoints: [{{id: vpce-{endpoint:017x}, namespace: co1, location: aws-co1}}]
ingress: {{address: {device}, flows: {flows}}}
kernel: {{device: auto, name: zcc0, mtu: 8500, internal: 198.18.0.0/16}}
io: {{kind: {kind}, core: {core}}}
rules: [{{name: east-west, method: LOCAL, destinations: [172.16.0.0/12]}}]
dns_rules: [{{name: sink, action: OVERWRITE, names: ["*.sink.example"], addresses: [{sink}]}}]
health: {{address: {device}, port: {health}}}
drain: {{delay: 0s, limit: 0s}}
"""


def connector(rig: Rig, kind: str) -> subprocess.Popen[str]:
    """Start it by a back end; it answers once the asker is ready."""
    folder = Path(rig.undo.enter_context(tempfile.TemporaryDirectory()))
    (folder / "logs").mkdir()
    paths = identity(authority(folder / "ca"), "connector", "cc-1").model_dump(mode="json")
    written = folder / "connector.yaml"
    written.write_text(CONFIGURATION.format(
        folder=folder, identity=json.dumps(paths), endpoint=ENDPOINT, device=DEVICE, flows=FLOWS, kind=kind, core=DEVICE_CORE,
        sink=SINK, health=HEALTH_PORT))
    command = ["taskset", "-c", str(DEVICE_CORE), sys.executable, "-m", "zcc", "connector", "--config", str(written)]
    made = rig.start(command)
    rig.undo.callback(made.terminate)
    return made


def asker(rig: Rig) -> subprocess.Popen[str]:
    """Start what asks it, and wait until it is answered."""
    tests = Path(__file__).parents[2] / "tests"
    made = rig.start([sys.executable, "-m", "bench.gwlb_rig.asker", str(GATEWAY_CORE)], rig.gateway,
                     env={**os.environ, "PYTHONPATH": str(tests)})
    ready(made)
    return made


def memory_kib(program: subprocess.Popen[str]) -> int:
    """What it holds of the machine's memory."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
