"""Values of criteria: what is read, and what is refused."""

from ipaddress import ip_address, ip_network

import pytest

from zcc.policy.criteria import AddressRange, Service, parse_destination


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("10.8.0.0/16", "10.8.255.255", "10.9.0.0"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("10.0.0.1-10.0.0.9", "10.0.0.9", "10.0.0.10"),
        ("10.0.0.1 - 10.0.0.9", "10.0.0.1", "10.0.0.0"),
        ("fd00:8::/32", "fd00:8:ffff::", "fd00:9::"),
        ("0.0.0.0/0", "255.255.255.255", "::"),
        ("::/0", "::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_a_range_holds_its_addresses(text, inside, outside):
    value = AddressRange.parse(text)
    assert ip_address(inside) in value and ip_address(outside) not in value
    assert str(value) == text


def test_a_range_is_made_of_the_fewest_networks():
    found = list(AddressRange.parse("10.0.0.1-10.0.0.4").networks())
    assert found == [ip_network("10.0.0.1"), ip_network("10.0.0.2/31"), ip_network("10.0.0.4")]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.8.6.4/16", "did you mean 10.8.0.0/16"),
        ("10.0.0.9-10.0.0.1", "the lower first"),
        ("10.0.0.1-fd00::1", "one version"),
        ("10.0.0.256", "no address"),
        ("", "no address"),
    ],
)
def test_a_wrong_range_is_refused_with_what_is_allowed(text, hint):
    with pytest.raises(ValueError, match=hint):
        AddressRange.parse(text)


@pytest.mark.parametrize(
    ("text", "protocol", "port", "matches"),
    [
        ("tcp/443", 6, 443, True),
        ("tcp/443", 6, 444, False),
        ("tcp/443", 17, 443, False),
        ("tcp/443", 6, None, False),
        ("tcp/8000-8100", 6, 8100, True),
        ("udp/53", 17, 53, True),
        ("tcp", 6, None, True),
        ("UDP", 17, 9, True),
        ("icmp", 1, None, True),
        ("icmp", 58, None, True),
        ("icmp", 6, None, False),
        ("any", 47, None, True),
    ],
)
def test_a_service_matches_protocol_and_port(text, protocol, port, matches):
    assert Service.parse(text).matches(protocol, port) is matches


@pytest.mark.parametrize("text", ["http", "icmp/8", "any/1", "tcp/", "tcp/65536", "tcp/9-1", "", 443])
def test_a_wrong_service_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="allowed"):
        Service.parse(text)


@pytest.mark.parametrize(
    ("text", "read"), [("Evil.Example.", "evil.example"), ("*.Bad.example", "*.bad.example")]
)
def test_a_destination_may_be_a_name(text, read):
    assert parse_destination(text) == read


@pytest.mark.parametrize("text", ["10.0.0.300", "10.0.0.1-10.0.0.x.1", "fd00::g", "example.com/24"])
def test_a_mistyped_address_is_not_taken_for_a_name(text):
    with pytest.raises(ValueError, match="no address"):
        parse_destination(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("*", "only as the first label"),
        ("*abc.example.com", r"did you mean \*\.abc\.example\.com"),
        ("abs.*.example.com", r"did you mean \*\.example\.com"),
        ("*.*.example.com", r"did you mean \*\.example\.com"),
        ("a..b", "labels of 1 to 63"),
    ],
)
def test_a_star_stands_only_for_the_leading_labels(text, hint):
    with pytest.raises(ValueError, match=f"no domain name.*{hint}"):
        parse_destination(text)
