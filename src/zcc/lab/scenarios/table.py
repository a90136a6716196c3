"""The rows of the lab in their order. Used by the runner and by `zcc lab --list`."""

from zcc.lab.scenarios import failures, hostile, internet_access, private_access, trust
from zcc.lab.scenarios.scenario import Scenario

_ZPA = ("cc-1", "cc-2", "pe-1", "appc-1")
_ZIA = ("cc-1", "cc-2", "ie-1", "ie-2")
_DOWNLOAD_S = 300.0

SCENARIOS = (
    Scenario(
        "zpa-own-application",
        "curl by name through ZPA, both companies, same workload address",
        "each reaches its own company's application",
        private_access.own_application,
        daemons=_ZPA,
    ),
    Scenario(
        "dig-same-answer",
        "dig of an application, answered by each connector",
        "one address, in the pool, the same from both",
        private_access.same_answer,
        daemons=_ZPA,
    ),
    Scenario(
        "zpa-other-connector",
        "connect through the connector that did not answer the query",
        "the application answers",
        private_access.other_connector,
        60,
        _ZPA,
    ),
    Scenario(
        "zpa-download",
        "large download through ZPA",
        "equal checksums",
        private_access.bulk_download,
        _DOWNLOAD_S,
        _ZPA,
    ),
    Scenario(
        "zia-download",
        "large download through ZIA",
        "equal checksums",
        internet_access.bulk_download,
        _DOWNLOAD_S,
        _ZIA,
    ),
    Scenario(
        "zia-https",
        "HTTPS to the internet through ZIA",
        "the server sees the first edge's address",
        internet_access.https,
        daemons=_ZIA,
    ),
    Scenario(
        "direct",
        "HTTP to a DIRECT destination",
        "the server sees a connector's address",
        internet_access.direct,
    ),
    Scenario(
        "local",
        "HTTP to the peer workload by LOCAL",
        "the peer sees the client's own address",
        internet_access.local,
    ),
    Scenario(
        "drop-by-name", "HTTP to a name that policy drops", "no packet leaves", internet_access.drop_by_name
    ),
    Scenario(
        "zpa-udp",
        "UDP echo through ZPA, both companies",
        "each datagram comes back",
        private_access.datagrams,
        daemons=_ZPA,
    ),
    Scenario(
        "zia-udp",
        "UDP echo through ZIA, both companies",
        "each datagram comes back",
        internet_access.datagrams,
        daemons=_ZIA,
    ),
    Scenario(
        "local-ipv6",
        "IPv6 inside Geneve by LOCAL",
        "the peer sees the client's own address",
        internet_access.local_ipv6,
    ),
    Scenario(
        "zia-ipv6",
        "IPv6 inside Geneve by ZIA",
        "the server sees an edge's IPv6 address",
        internet_access.internet_ipv6,
        daemons=_ZIA,
    ),
    Scenario(
        "path-mtu",
        "datagrams too large for the internet tunnel, not to be fragmented",
        "the workload's kernel learns the tunnel's MTU, both families",
        internet_access.path_mtu,
        daemons=_ZIA,
    ),
    Scenario(
        "odd-packets",
        "datagrams of 6,000 bytes through ZIA, and a port where nobody listens",
        "they come back whole once the MTU is known; refused at once",
        internet_access.odd_packets,
        daemons=_ZIA,
    ),
    Scenario(
        "zpa-half-close",
        "a half-closed TCP stream through ZPA",
        "the late answer arrives",
        private_access.half_close,
        daemons=_ZPA,
    ),
    Scenario(
        "internet-edge-killed",
        "kill -9 of the first internet edge",
        "downloads that start later work, within 5 s",
        failures.edge_killed,
        60,
        _ZIA,
    ),
    Scenario(
        "internet-edge-back",
        "the first internet edge serves again",
        "new flows return to it",
        failures.edge_back,
        daemons=_ZIA,
    ),
    Scenario(
        "connector-killed",
        "kill -9 of a connector",
        "GWLB removes it after its checks, new flows work",
        failures.connector_killed,
        120,
    ),
    Scenario(
        "connector-restarted",
        "kill -9 and restart of a connector",
        "the old synthetic address still works",
        failures.connector_restarted,
        120,
        _ZPA,
    ),
    Scenario(
        "stray-synthetic",
        "connect to a synthetic address that nobody was given",
        "refused at once",
        private_access.stray_address,
        daemons=_ZPA,
    ),
    Scenario(
        "wrong-certificate",
        "a stranger's and a mistaken certificate at the private edge",
        "refused, logged",
        trust.wrong_certificate,
        daemons=("pe-1",),
    ),
    Scenario(
        "policy-edit",
        "rules edited while a flow lives",
        "the flow obeys the new rule on its next packet",
        trust.policy_edit,
        60,
    ),
    Scenario(
        "gateway-edit",
        "a rule with a gateway of its own comes while a flow lives",
        "the flow leaves by the gateway's edge",
        trust.gateway_edit,
        60,
    ),
    Scenario(
        "hostile-bytes",
        "hostile bytes to every open port of every daemon",
        "all of them live on and do their work",
        hostile.bytes_at_every_port,
        300,
        ("cc-1", "cc-2", "pe-1", "ie-1", "ie-2", "appc-1"),
    ),
)
