"""One file a role, as an operator would write it; also what the documentation shows."""

CONNECTOR = """\
role: connector
name: cc-1
group: cc-group-1
state: /var/lib/zcc
identity: {certificate: /etc/zcc/identity/certificate.pem, key: /etc/zcc/identity/key.pem,
           ca: /etc/zcc/identity/ca.pem, crl: /etc/zcc/identity/crl.pem}
logs: {directory: /var/log/zcc, level: info}
metrics: {address: 10.0.9.11, port: 9090}
namespaces: [{name: co1, id: 1}, {name: co2, id: 2}]
locations: [aws-co1, aws-co2]
endpoints:
- {id: vpce-0aaaaaaaaaaaaaaa1, namespace: co1, location: aws-co1}
- {id: vpce-0aaaaaaaaaaaaaaa2, namespace: co2, location: aws-co2}
ingress: {address: 10.1.200.11, port: 6081, flows: 262144,
          idle: {tcp: 400s, tcp_opening: 30s, tcp_closing: 5s, udp: 130s, icmp: 30s, other: 130s}}
kernel: {device: auto, name: zcc0, mtu: 8500, internal: 198.18.0.0/16}
zpa: {edges: ["10.0.3.10:443"], pool: 10.254.0.0/19}
zia: {edges: [{name: ie-1, address: "10.0.4.11:443"}, {name: ie-2, address: "10.0.4.12:443"}], fail: closed,
      probe_interval: 500ms, probe_lost: 4, inner_mtu: 1400}
direct: {address: 10.1.200.111}
applications: [{name: portal, domains: [portal.corp.example], tcp: [80, 443, "8000-8100"], udp: [7]}]
rules:
- {name: apps, method: ZPA, applications: [portal]}
- {name: no-evil, method: DROP, destinations: [evil.example, "*.bad.example"]}
- {name: east-west, method: LOCAL, sources: [10.8.6.0/24], destinations: [10.8.0.0/16, "fd00:8::/32"]}
- {name: updates, method: DIRECT, locations: [aws-co1], connector_groups: [cc-group-1],
   destinations: [203.0.113.0/24], services: [tcp/80, udp/5000-5100, icmp]}
dns: {ttl: 60s, learn_floor: 60s, learn_ceiling: 24h}
health: {address: 10.1.200.11, port: 50000}
drain: {delay: 5s, limit: 30s}
"""

PRIVATE_EDGE = """\
role: private-edge
name: pe-1
state: /var/lib/zcc
identity: {certificate: certificate.pem, key: key.pem, ca: ca.pem, crl: crl.pem}
listen: "10.0.3.10:443"
pool: 10.254.0.0/19
applications:
- {name: portal-co1, domains: [portal.corp.example], tcp: [80, 443], udp: [7], namespaces: [co1],
   app_connector_group: dc1, servers: [10.20.1.10]}
access:
- {name: all, action: allow, applications: [portal-co1], namespaces: [co1], connector_groups: [cc-group-1]}
"""

APP_CONNECTOR = """\
role: app-connector
name: ac-1
state: /var/lib/zcc
identity: {certificate: certificate.pem, key: key.pem, ca: ca.pem}
group: dc1
edges: ["10.0.3.10:443"]
networks: [10.20.0.0/16]
"""

INTERNET_EDGE = """\
role: internet-edge
name: ie-1
state: /var/lib/zcc
identity: {certificate: certificate.pem, key: key.pem, ca: ca.pem, crl: crl.pem}
listen: "10.0.4.11:443"
kernel: {device: auto, name: zcc0, mtu: 1500}
nat: {addresses: [10.9.0.11, "fd00:9::11"], ports: 1024-65535}
flows: 262144
idle: {tcp: 400s, tcp_opening: 30s, tcp_closing: 5s, udp: 130s, icmp: 30s, other: 130s}
"""

EXAMPLES = {
    "connector": CONNECTOR,
    "private-edge": PRIVATE_EDGE,
    "app-connector": APP_CONNECTOR,
    "internet-edge": INTERNET_EDGE,
}
