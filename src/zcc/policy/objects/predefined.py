"""Predefined network services: the usual ones by their usual ports.

Journey: rules name them without defining them; a file that defines one of the same name replaces it. Names are written as
here. Ports are those that IANA assigned, or that the product of the name is known to use. Source: IANA service names and
port numbers registry.
"""

from __future__ import annotations

from zcc.policy.criteria import Service
from zcc.policy.objects.service import NetworkService, ServiceGroup

__all__ = ["PREDEFINED_SERVICES", "PREDEFINED_SERVICE_GROUPS"]

_SERVICES = {
    "ICMP": "icmp",
    "TCP": "tcp",
    "UDP": "udp",
    "HTTP": "tcp/80",
    "HTTPS": "tcp/443",
    "QUIC": "udp/443",
    "HTTP_PROXY": "tcp/3128 tcp/8080",
    "DNS": "udp/53 tcp/53",
    "DNS_OVER_TLS": "tcp/853 udp/853",  # udp: DNS over QUIC, or over DTLS
    "MULTICAST_DNS": "udp/5353",
    "LLMNR": "udp/5355 tcp/5355",
    "DHCP": "udp/67 udp/68",
    "DHCPV6": "udp/546 udp/547",
    "NTP": "udp/123",
    "SSH": "tcp/22",
    "TELNET": "tcp/23",
    "RLOGIN": "tcp/513",
    "RSH": "tcp/514",
    "FTP": "tcp/20 tcp/21",
    "FTPS": "tcp/989 tcp/990",
    "TFTP": "udp/69",
    "RSYNC": "tcp/873",
    "SMTP": "tcp/25",
    "SMTPS": "tcp/465",
    "SUBMISSION": "tcp/587",
    "POP3": "tcp/110",
    "POP3S": "tcp/995",
    "IMAP": "tcp/143",
    "IMAPS": "tcp/993",
    "NNTP": "tcp/119",
    "LDAP": "tcp/389 udp/389",
    "LDAPS": "tcp/636",
    "GLOBAL_CATALOG": "tcp/3268 tcp/3269",
    "KERBEROS": "tcp/88 udp/88 tcp/464 udp/464",
    "RADIUS": "udp/1645-1646 udp/1812-1813",
    "TACACS_PLUS": "tcp/49",
    "SMB": "tcp/445",
    "NETBIOS": "tcp/137 udp/137 udp/138 tcp/139",
    "MS_RPC": "tcp/135 udp/135",
    "SUN_RPC": "tcp/111 udp/111",
    "NFS": "tcp/2049 udp/2049",
    "ISCSI": "tcp/3260",
    "RDP": "tcp/3389 udp/3389",
    "VNC": "tcp/5900-5903",
    "X11": "tcp/6000-6063",
    "WINRM": "tcp/5985 tcp/5986",
    "CITRIX": "tcp/1494 tcp/2598 udp/1494 udp/2598",
    "MS_SQL": "tcp/1433 udp/1434",
    "MYSQL": "tcp/3306",
    "POSTGRESQL": "tcp/5432",
    "ORACLE_DB": "tcp/1521",
    "MONGODB": "tcp/27017-27019",
    "REDIS": "tcp/6379",
    "CASSANDRA": "tcp/9042",
    "ELASTICSEARCH": "tcp/9200 tcp/9300",
    "MEMCACHED": "tcp/11211 udp/11211",
    "KAFKA": "tcp/9092-9093",
    "AMQP": "tcp/5671-5672",
    "MQTT": "tcp/1883 tcp/8883",
    "SNMP": "udp/161 tcp/161",
    "SNMP_TRAP": "udp/162",
    "SYSLOG": "udp/514 tcp/601",
    "SYSLOG_TLS": "tcp/6514",
    "NETFLOW": "udp/2055 udp/4739",
    "SIP": "udp/5060 tcp/5060 tcp/5061",
    "RTSP": "tcp/554 udp/554",
    "H323": "tcp/1720 udp/1719",
    "STUN": "udp/3478-3479 tcp/3478 tcp/5349",
    "XMPP": "tcp/5222 tcp/5269",
    "IRC": "tcp/6667 tcp/6697",
    "BGP": "tcp/179",
    "IKE": "udp/500 udp/4500",
    "L2TP": "udp/1701",
    "PPTP": "tcp/1723",
    "OPENVPN": "udp/1194 tcp/1194",
    "WIREGUARD": "udp/51820",
    "SOCKS": "tcp/1080",
    "GIT": "tcp/9418",
    "DOCKER": "tcp/2375-2376",
    "KUBERNETES_API": "tcp/6443",
    "ETCD": "tcp/2379-2380",
    "CONSUL": "tcp/8300-8302 udp/8301-8302 tcp/8500",
    "PROMETHEUS": "tcp/9090",
    "ZOOKEEPER": "tcp/2181",
    "TRACEROUTE": "udp/33434-33534",
}
_GROUPS = {
    "WEB": "HTTP HTTPS QUIC HTTP_PROXY",
    "MAIL": "SMTP SMTPS SUBMISSION POP3 POP3S IMAP IMAPS",
    "FILE_SHARING": "SMB NETBIOS NFS FTP FTPS TFTP RSYNC",
    "DATABASES": "MS_SQL MYSQL POSTGRESQL ORACLE_DB MONGODB REDIS CASSANDRA",
    "REMOTE_ACCESS": "SSH TELNET RDP VNC WINRM CITRIX RLOGIN RSH",
    "DIRECTORY": "LDAP LDAPS GLOBAL_CATALOG KERBEROS MS_RPC DNS",
    "VPN": "IKE L2TP PPTP OPENVPN WIREGUARD",
}

PREDEFINED_SERVICES: tuple[NetworkService, ...] = tuple(
    NetworkService(name=name, services=tuple(Service.parse(text) for text in listed.split()))
    for name, listed in _SERVICES.items()
)
PREDEFINED_SERVICE_GROUPS: tuple[ServiceGroup, ...] = tuple(
    ServiceGroup(name=name, services=tuple(listed.split())) for name, listed in _GROUPS.items()
)
