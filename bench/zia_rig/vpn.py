"""The peer: OpenConnect ═ DTLS ═ ocserv over the same networks, AES-GCM; TCP from OpenConnect's host to the same server.

Run as a program: `vpn SECONDS TRIALS [tls] [small]`; prints a JSON list, one object a trial; with `tls` by TLS alone; with
`small` the first has small packets too. Exits 1 when the tunnel did not come to DTLS, or to TLS.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.zia_rig.ends import FAR, NEAR, between, pinned
from bench.zia_rig.small import small
from zcc.lab import identity, namespaces, network
from zcc.lab import topology as plan
from zcc.lab.host import Host

PORT, NETWORK, WORD, LIMIT_S = 4433, "10.77.0.0", "bench-word", 15
NEAR_HOST, FAR_HOST = "cc-1", "ie-1"
SETTINGS = """
auth = "plain[passwd={state}/passwd]"
tcp-port = {port}
udp-port = {port}
socket-file = {state}/ocserv.sock
pid-file = {state}/ocserv.pid
server-cert = {state}/web/web.pem
server-key = {state}/web/web-key.pem
isolate-workers = false
max-clients = 4
max-same-clients = 4
keepalive = 32400
dpd = 90
try-mtu-discovery = false
mtu = 1500
compression = false
tls-priorities = "NORMAL:-CIPHER-ALL:+AES-128-GCM"
cisco-client-compat = true
dtls-legacy = true
device = vpns
ipv4-network = {network}
ipv4-netmask = 255.255.255.0
route = {internet}/255.255.255.255
"""

# What OpenConnect runs to set its device up.
LINK = """#!/bin/sh
[ "$reason" = connect ] || exit 0
ip link set "$TUNDEV" up mtu "$INTERNAL_IP4_MTU"
ip addr add "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"
ip route replace {internet}/32 dev "$TUNDEV"
"""


UP = {"DTLS": "Established DTLS connection", "TLS": "with SSL connected and DTLS disabled"}      # what OpenConnect says then


def run(seconds: float, trials: int, transport: str, with_small: bool) -> int:
    """Lay the networks, bring the tunnel up, measure."""
    state = namespaces.state_directory()
    hosts = network.build(plan.build(), state / "hosts", {})
    identity.issue_web(state / "web")
    server = serve(hosts[FAR_HOST], state)
    client, log = dial(hosts[NEAR_HOST], state, ["--no-dtls"] if transport == "TLS" else [])
    hosts["wan"].run(["ip", "route", "add", f"{NETWORK}/24", "via", plan.INTERNET_EDGE[FAR_HOST]], limit_s=5)
    wait_for(lambda: UP[transport] in log.read_text(), log)
    far = [server.pid, *children(server.pid)]
    found = between(hosts[NEAR_HOST], hosts["internet"], seconds, trials, [client.pid, *far])
    if with_small:
        found[0] |= small(hosts[NEAR_HOST], hosts["internet"], far)
    print(json.dumps(found), flush=True)
    return 0


def serve(host: Host, state: Path) -> subprocess.Popen[bytes]:
    """Start ocserv."""
    hashed = subprocess.run(["openssl", "passwd", "-6", WORD], capture_output=True, text=True, check=True).stdout.strip()
    (state / "passwd").write_text(f"bench:*:{hashed}\n")
    settings = state / "ocserv.conf"
    settings.write_text(SETTINGS.format(state=state, port=PORT, network=NETWORK, internet=plan.INTERNET))
    log = state / "ocserv.log"
    with log.open("wb") as output:
        started = host.start(pinned(FAR, "ocserv", "-f", "-c", str(settings)), log=output)
    time.sleep(1)
    if started.poll() is not None:
        raise RuntimeError(f"ocserv ended:\n{log.read_text()}")
    return started


def dial(host: Host, state: Path, options: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
    """Start OpenConnect."""
    script = state / "link"
    script.write_text(LINK.format(internet=plan.INTERNET))
    script.chmod(0o755)
    log = state / "openconnect.log"
    pin = subprocess.run(
        f"openssl x509 -in {state}/web/web.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary"
        " | base64", shell=True, capture_output=True, text=True, check=True).stdout.strip()
    command = ["openconnect", "-v", "--user=bench", "--passwd-on-stdin", f"--servercert=pin-sha256:{pin}", f"--script={script}",
               "--no-proxy", *options, f"{plan.INTERNET_EDGE[FAR_HOST]}:{PORT}"]
    with log.open("wb") as output:
        started = host.start(pinned(NEAR, *command), log=output, stdin=subprocess.PIPE)
    assert started.stdin is not None
    started.stdin.write(f"{WORD}\n".encode())
    started.stdin.close()
    return started, log


def wait_for(holds: Callable[[], bool], log: Path) -> None:
    """Wait until it holds, or tell what the log says."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no tunnel within {LIMIT_S} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


if __name__ == "__main__":
    transport, with_small = "TLS" if "tls" in sys.argv[3:] else "DTLS", "small" in sys.argv[3:]
    sys.exit(namespaces.isolate(lambda: run(float(sys.argv[1]), int(sys.argv[2]), transport, with_small)))
