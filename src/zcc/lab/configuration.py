"""The configuration of every daemon of the lab, from the topology: what would be /etc/zcc/zcc.yaml on each
machine.

Pure: returns plain structures for YAML. Called by deployment; the scenarios edit the connectors' rules
through it.
"""

from pathlib import Path
from typing import Any

from zcc.lab import topology as plan

Yaml = dict[str, Any]

LATE_PORT = 7000  # the application that answers after its client has finished
MIRROR_PORT = 5007  # UDP: says whom it sees
ECHO_PORT = 7
TUNNEL_MTU = 1400      # largest packet inside the internet tunnel
STATUS_PORT = 8080  # of the load balancer, on its own loopback
HEALTH_PORT = 50000
METRICS_PORT = 9100
POOL = "10.254.0.0/19"
SECOND_GATEWAY = "second"  # the second internet edge alone; rules that come by an edit name it

ROLES = {
    **dict.fromkeys(plan.CONNECTORS, "connector"),
    **dict.fromkeys(plan.INTERNET_EDGES, "internet-edge"),
    "pe-1": "private-edge",
    "appc-1": "app-connector",
    "gwlb": "gwlb",
}
_ADDRESS = {**plan.CONNECTOR, **plan.INTERNET_EDGE, "pe-1": plan.PRIVATE_EDGE, "appc-1": "10.0.5.10"}
_IDLE = {
    "tcp": "400s",
    "tcp_opening": "30s",
    "tcp_closing": "5s",
    "udp": "130s",
    "icmp": "30s",
    "other": "130s",
}


def rules() -> list[Yaml]:
    """Return the forwarding rules that the lab starts with; what none of them matches goes by ZIA."""
    return [
        {"name": "apps", "method": "ZPA", "all_applications": True},
        {"name": "no-evil", "method": "DROP", "destinations": [plan.EVIL_NAME]},
        {
            "name": "east-west",
            "method": "LOCAL",
            "sources": ["10.8.0.0/16", "fd00:8::/32"],
            "destinations": ["10.8.0.0/16", "fd00:8::/32"],
        },
        {
            "name": "updates",
            "method": "DIRECT",
            "connector_groups": ["cc-group-1"],
            "destinations": [f"{plan.UPDATES}/32"],
        },
    ]


def of_daemon(name: str, state: Path) -> Yaml:
    """Return the configuration of the daemon on host `name`.

    Args:
        state: the lab's directory; identities lie in identity/NAME, logs go to log/NAME, the daemon's own
            state to var/NAME.
    """
    role = ROLES[name]
    if role == "gwlb":
        return _gwlb()
    identity = state / "identity" / name
    shared: Yaml = {
        "role": role,
        "name": name,
        "state": str(state / "var" / name),
        "identity": {
            "certificate": str(identity / "certificate.pem"),
            "key": str(identity / "key.pem"),
            "ca": str(identity / "ca.pem"),
            "crl": str(identity / "crl.pem"),
        },
        "logs": {"directory": str(state / "log" / name), "level": "info"},
        "metrics": {"address": _ADDRESS[name], "port": METRICS_PORT},
    }
    own = {
        "connector": _connector,
        "internet-edge": _internet_edge,
        "private-edge": _private_edge,
        "app-connector": _app_connector,
    }[role]
    return {**shared, **own(name)}


def _connector(name: str) -> Yaml:
    return {
        "group": "cc-group-1",
        "namespaces": [{"name": company, "id": number} for number, company in enumerate(plan.COMPANIES, 1)],
        "locations": [f"aws-{company}" for company in plan.COMPANIES],
        "endpoints": [
            {"id": plan.ENDPOINT_ID[company], "namespace": company, "location": f"aws-{company}"}
            for company in plan.COMPANIES
        ],
        "ingress": {"address": plan.CONNECTOR[name], "port": 6081, "flows": 262144, "idle": _IDLE},
        "kernel": {"device": "auto", "name": "zcc0", "mtu": 8500, "internal": "198.18.0.0/16"},
        "workers": 1 if name == next(iter(plan.CONNECTOR)) else 2,      # both ways of composing one are shown
        "zpa": {"edges": [f"{plan.PRIVATE_EDGE}:443"], "pool": POOL},
        "zia": {
            "edges": [
                {"name": edge, "address": f"{plan.INTERNET_EDGE[edge]}:443"} for edge in plan.INTERNET_EDGES
            ],
            "fail": "closed",
            "probe_interval": "500ms",
            "probe_lost": 4,
            "inner_mtu": TUNNEL_MTU,
            "renew": {"age": "10s"},       # so often that every row sees one
        },
        "gateways": [{"name": SECOND_GATEWAY, "primary": plan.INTERNET_EDGES[1]}],
        "direct": {"address": plan.CONNECTOR_EGRESS[name]},
        "applications": [
            {
                "name": "portal",
                "domains": [plan.PORTAL, f"*.{plan.PORTAL}"],
                "tcp": [80, LATE_PORT],
                "udp": [ECHO_PORT],
            }
        ],
        "rules": rules(),
        "dns": {"ttl": "60s", "learn_floor": "60s", "learn_ceiling": "24h"},
        "health": {"address": plan.CONNECTOR[name], "port": HEALTH_PORT},
        "drain": {"delay": "5s", "limit": "30s"},
    }


def _internet_edge(name: str) -> Yaml:
    return {
        "listen": f"{plan.INTERNET_EDGE[name]}:443",
        "kernel": {"device": "auto", "name": "zcc0", "mtu": 1500},
        "nat": {"addresses": [plan.EDGE_EGRESS[name], plan.EDGE_EGRESS_6[name]], "ports": "1024-65535"},
        "flows": 262144,
        "idle": _IDLE,
    }


def _private_edge(_name: str) -> Yaml:
    applications = [
        {
            "name": f"portal-{company}",
            "domains": [plan.PORTAL, f"*.{plan.PORTAL}"],
            "tcp": [80, LATE_PORT],
            "udp": [ECHO_PORT],
            "namespaces": [company],
            "app_connector_group": "dc1",
            "servers": [plan.APPLICATION[company]],
        }
        for company in plan.COMPANIES
    ]
    access = [
        {
            "name": f"own-{company}",
            "action": "allow",
            "applications": [f"portal-{company}"],
            "namespaces": [company],
            "connector_groups": ["cc-group-1"],
        }
        for company in plan.COMPANIES
    ]
    return {
        "listen": f"{plan.PRIVATE_EDGE}:443",
        "pool": POOL,
        "applications": applications,
        "access": access,
    }


def _app_connector(_name: str) -> Yaml:
    return {"group": "dc1", "edges": [f"{plan.PRIVATE_EDGE}:443"], "networks": ["10.20.0.0/16"]}


def _gwlb() -> Yaml:
    return {
        "role": "gwlb",
        "name": "gwlb",
        "listen": plan.GWLB,
        "status": f"127.0.0.1:{STATUS_PORT}",
        "endpoints": [
            {
                "id": plan.ENDPOINT_ID[company],
                "interface": f"vpce-{company}",
                "peer_mac": plan.ROUTER_MAC[company],
            }
            for company in plan.COMPANIES
        ],
        "targets": [{"address": plan.CONNECTOR[name]} for name in plan.CONNECTORS],
        # Faster than AWS allows, so that a row need not wait half a minute.
        "health": {
            "protocol": "http",
            "port": HEALTH_PORT,
            "path": "/?cchealth",
            "interval": "1s",
            "timeout": "1s",
            "healthy": 2,
            "unhealthy": 2,
        },
        "stickiness": 5,
        "rebalance": True,
    }
