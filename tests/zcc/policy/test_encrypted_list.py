"""The list of resolvers that take encrypted DNS: every entry is one, none twice, none private, and the known ones are there."""

from __future__ import annotations

import itertools
import re
from datetime import date
from importlib import resources

import pytest

from zcc.policy.criteria import AddressRange, parse_destination
from zcc.policy.objects.encrypted_dns import PREDEFINED_DESTINATION_GROUPS, resolvers

TEXT = resources.files("zcc.policy.objects").joinpath("encrypted_dns.txt").read_text("utf-8")
LISTED = resolvers(TEXT)
BOTH_FAMILIES = ("AdGuard", "Applied Privacy", "Cisco", "CleanBrowsing", "Cloudflare", "Control D", "DNS.SB", "DNS4EU",
                 "dns0.eu", "Google", "Mullvad", "NextDNS", "Quad9")  # fmt: skip
WELL_KNOWN = (
    "1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "8.8.8.8", "8.8.4.4", "2001:4860:4860::8844", "9.9.9.9", "2620:fe::fe",
    "149.112.112.112", "208.67.222.222", "208.67.220.220", "94.140.14.14", "45.90.28.7", "76.76.2.2", "185.222.222.222",
    "dns.google", "cloudflare-dns.com", "one.one.one.one", "dns.quad9.net", "doh.opendns.com", "dns.nextdns.io",
    "dns.mullvad.net", "doh.dns.sb", "dns.adguard-dns.com", "mozilla.cloudflare-dns.com",
)  # fmt: skip


def ranges(values: tuple[str, ...]) -> list[AddressRange]:
    return [found for text in values if isinstance(found := parse_destination(text), AddressRange)]


@pytest.mark.parametrize("operator", LISTED)
def test_every_entry_is_a_name_or_public_addresses(operator: str) -> None:
    for text in LISTED[operator]:
        found = parse_destination(text)
        if isinstance(found, AddressRange):
            assert found.low.is_global and found.high.is_global, text
            assert int(found.high) - int(found.low) < (1 << (8 if found.low.version == 4 else 80)), f"{text} is a wide one"
        else:
            assert re.fullmatch(r"(\*\.)?([a-z0-9-]+\.)+[a-z]{2,}|8888\.google", found), text


def test_nothing_is_there_twice() -> None:
    names = [text for values in LISTED.values() for text in values if isinstance(parse_destination(text), str)]
    assert len(names) == len(set(names))
    for one, other in itertools.combinations(ranges(tuple(itertools.chain(*LISTED.values()))), 2):
        assert one.low.version != other.low.version or one.high < other.low or other.high < one.low, f"{one} {other}"


@pytest.mark.parametrize("operator", BOTH_FAMILIES)
def test_the_great_ones_are_there_by_name_and_in_both_families(operator: str) -> None:
    families = {found.low.version for found in ranges(LISTED[operator])}
    assert families == {4, 6} and len(ranges(LISTED[operator])) < len(LISTED[operator])


@pytest.mark.parametrize("known", WELL_KNOWN)
def test_what_everybody_knows_is_in_the_group(known: str) -> None:
    (group,) = PREDEFINED_DESTINATION_GROUPS
    wanted = parse_destination(known)
    if isinstance(wanted, str):
        assert wanted in group.destinations
    else:
        held = [one for one in group.destinations if isinstance(one, AddressRange) and one.low.version == wanted.low.version]
        assert any(one.low <= wanted.low <= one.high for one in held)


def test_the_list_says_of_when_it_is_and_a_line_without_operator_is_wrong() -> None:
    (day,) = re.findall(r"^# date: (\S+)$", TEXT, re.MULTILINE)
    assert date.fromisoformat(day).year >= 2026
    with pytest.raises(ValueError, match="no operator"):
        resolvers("dns.example")
