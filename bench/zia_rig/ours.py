"""ZIA: workload ─▶ GWLB emulator ─▶ connector ═ DTLS ═ internet edge ─▶ server, in the lab's networks.

Run as a program: `ours SECONDS TRIALS`; prints a JSON list, one object a trial. The emulator stands where a cloud would, and
works on the near core too.
"""

from __future__ import annotations

import json
import sys

from bench.zia_rig.ends import FAR, NEAR, between, pin
from zcc.lab import namespaces
from zcc.lab import topology as plan
from zcc.lab.deployment import Deployment


def run(seconds: float, trials: int) -> int:
    """Bring the lab up, pin its ends, measure."""
    deployment = Deployment(namespaces.state_directory(), lambda _: None)
    deployment.start()
    ends = {**dict.fromkeys(("gwlb", *plan.CONNECTORS), NEAR), **dict.fromkeys(plan.INTERNET_EDGES, FAR)}
    for name, core in ends.items():
        pin(deployment.daemons[name].pid, core)
    tunnel = [deployment.daemons[name].pid for name in (*plan.CONNECTORS, *plan.INTERNET_EDGES)]
    found = between(deployment.hosts["workload-co1"], deployment.hosts["internet"], seconds, trials, tunnel)
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(namespaces.isolate(lambda: run(float(sys.argv[1]), int(sys.argv[2]))))
