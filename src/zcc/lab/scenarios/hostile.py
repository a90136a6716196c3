"""The row about strangers: hostile bytes to every open port of every daemon, after which all of them still do their work."""

from zcc.lab import topology as plan
from zcc.lab.scenarios.scenario import Lab, Seen
from zcc.lab.scenarios.traffic import client, curl

_SEED = 20_261_124


def bytes_at_every_port(lab: Lab) -> Seen:
    """Throw, then look: the same processes, the load balancer content, an application and the internet reached."""
    daemons = lab.deployment.daemons
    before = {name: daemon.pid for name, daemon in daemons.items()}
    thrown = sum(
        int(client(lab, name, "garbage", str(_SEED + n), limit_s=60).split()[0])
        for n, name in enumerate(daemons)
    )
    changed = [name for name, daemon in daemons.items() if not daemon.running or daemon.pid != before[name]]
    sick = [name for name, state in lab.deployment.target_states().items() if state != "healthy"]
    reached = [curl(lab, "workload-co1", f"http://{name}/").status for name in (plan.PORTAL, plan.WWW)]
    ok = not changed and not sick and reached == [200, 200] and thrown > 0
    return Seen(
        ok,
        f"{thrown:,} messages; ended: {changed or 'none'}, unhealthy: {sick or 'none'}, then HTTP {reached}",
    )
