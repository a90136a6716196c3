"""encrypted_dns: resolvers that are known to take DNS over TLS, HTTPS or QUIC, as a predefined destination group.

Journey: rules name the group without defining it; a file that defines a destination group of this name replaces the list.
Services tell what goes there: DNS_OVER_TLS is port 853 of TCP (RFC 7858) and UDP (DoQ, RFC 9250), whoever the resolver is;
DNS over HTTPS (RFC 8484) hides among HTTPS and QUIC, so that only the resolver gives it away. No list is whole.
Source: what the operators publish of their services, as their setup pages told in 2026; one line an operator.
"""

from __future__ import annotations

from zcc.policy.criteria import parse_destination
from zcc.policy.objects.address_group import DestinationGroup

__all__ = ["CANARY", "DISCOVERY", "ENCRYPTED_DNS", "PREDEFINED_DESTINATION_GROUPS"]

ENCRYPTED_DNS = "encrypted_dns"
CANARY = "use-application-dns.net"  # an answer without addresses keeps Firefox from switching to DNS over HTTPS by itself
DISCOVERY = "_dns.resolver.arpa"  # where clients ask a resolver for its encrypted forms (RFC 9462 §4)
# Operator → names and addresses. A *. is listed where each customer has a name below.
_RESOLVERS = {
    "AdGuard": "dns.adguard-dns.com family.adguard-dns.com unfiltered.adguard-dns.com *.d.adguard-dns.com dns.adguard.com "
               "dns-family.adguard.com dns-unfiltered.adguard.com 94.140.14.14-94.140.14.15 94.140.15.15-94.140.15.16 "
               "94.140.14.140-94.140.14.141 2a10:50c0::ad1:ff 2a10:50c0::ad2:ff 2a10:50c0::bad1:ff 2a10:50c0::bad2:ff "
               "2a10:50c0::1:ff 2a10:50c0::2:ff",
    "Alibaba": "dns.alidns.com 223.5.5.5 223.6.6.6 2400:3200::1 2400:3200:baba::1",
    "Apple": "doh.dns.apple.com",
    "Cisco": "doh.opendns.com dns.opendns.com doh.familyshield.opendns.com familyshield.opendns.com "
             "doh.sandbox.opendns.com sandbox.opendns.com doh.umbrella.com dns.umbrella.com 208.67.222.222-208.67.222.223 "
             "208.67.220.220 208.67.222.123 208.67.220.123 2620:119:35::35 2620:119:53::53",
    "CleanBrowsing": "doh.cleanbrowsing.org family-filter-dns.cleanbrowsing.org adult-filter-dns.cleanbrowsing.org "
                     "security-filter-dns.cleanbrowsing.org 185.228.168.9-185.228.168.10 185.228.168.168 185.228.169.9 "
                     "185.228.169.11 185.228.169.168",
    "Cloudflare": "cloudflare-dns.com one.one.one.one 1dot1dot1dot1.cloudflare-dns.com security.cloudflare-dns.com "
                  "family.cloudflare-dns.com mozilla.cloudflare-dns.com chrome.cloudflare-dns.com dns.cloudflare.com "
                  "*.cloudflare-gateway.com 1.1.1.1-1.1.1.3 1.0.0.1-1.0.0.3 2606:4700:4700::1111-2606:4700:4700::1113 "
                  "2606:4700:4700::1001-2606:4700:4700::1003 2606:4700:4700::64 2606:4700:4700::6400",
    "Comcast": "doh.xfinity.com dot.xfinity.com",
    "Control D": "dns.controld.com *.dns.controld.com freedns.controld.com *.freedns.controld.com 76.76.2.0/24 76.76.10.0/24",
    "DNS.SB": "doh.dns.sb dot.sb doh.sb 185.222.222.222 45.11.45.11 2a09:: 2a11::",
    "DNSPod": "doh.pub dot.pub dns.pub 1.12.12.12 1.12.12.21 120.53.53.53",
    "Google": "dns.google dns.google.com dns64.dns.google 8888.google 8.8.8.8 8.8.4.4 2001:4860:4860::8888 "
              "2001:4860:4860::8844 2001:4860:4860::64 2001:4860:4860::6464",
    "Mullvad": "dns.mullvad.net adblock.dns.mullvad.net base.dns.mullvad.net extended.dns.mullvad.net family.dns.mullvad.net "
               "all.dns.mullvad.net 194.242.2.2-194.242.2.9",
    "NextDNS": "dns.nextdns.io *.dns.nextdns.io doh.nextdns.io chromium.dns.nextdns.io firefox.dns.nextdns.io 45.90.28.0/24 "
               "45.90.30.0/24",
    "Quad9": "dns.quad9.net dns9.quad9.net dns10.quad9.net dns11.quad9.net dns12.quad9.net 9.9.9.9-9.9.9.12 "
             "149.112.112.9-149.112.112.12 149.112.112.112 2620:fe::fe 2620:fe::9-2620:fe::12 2620:fe::fe:9-2620:fe::fe:12",
    "Yandex": "common.dot.dns.yandex.net safe.dot.dns.yandex.net family.dot.dns.yandex.net 77.88.8.1-77.88.8.3 "
              "77.88.8.7-77.88.8.8 77.88.8.88",
}  # fmt: skip

PREDEFINED_DESTINATION_GROUPS = (
    DestinationGroup(
        name=ENCRYPTED_DNS, description="Resolvers that are known to take DNS over TLS, HTTPS or QUIC.",
        destinations=tuple(parse_destination(text) for listed in _RESOLVERS.values() for text in listed.split()),
    ),
)  # fmt: skip
