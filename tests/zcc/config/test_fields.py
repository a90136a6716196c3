"""Field types: what people write, what it becomes, and that printing it gives the same again."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.fields import (
    HostPort,
    PortRange,
    format_duration,
    format_endpoint_id,
    parse_dns_name,
    parse_dns_pattern,
    parse_duration,
    parse_endpoint_id,
)

PARSERS = [
    HostPort.parse,
    PortRange.parse,
    parse_dns_name,
    parse_dns_pattern,
    parse_duration,
    parse_endpoint_id,
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("5m", 300), ("1h", 3600), (7, 7), (0.5, 0.5), ("1.5s", 1.5)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "10 s", "-1s", "1d", -1, True, None, "s", "9" * 400 + "h", float("nan")]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(milliseconds=st.integers(0, 10**10))
def test_durations_print_as_they_are_read(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize("text", ["10.0.0.1:443", "[::1]:443", "[2001:db8::1]:0", "0.0.0.0:65535"])
def test_addresses_with_ports_print_as_they_are_read(text: str) -> None:
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1",
        "::1:443",
        "[10.0.0.1]:443",
        "a:443",
        "10.0.0.1:x",
        "10.0.0.1:65536",
        ":443",
        443,
        None,
        "[::1]",
    ],
)
def test_what_is_no_address_with_port(text: object) -> None:
    with pytest.raises(ValueError, match="no address with port"):
        HostPort.parse(text)


@given(number=st.integers(0, 2**64 - 1))
def test_endpoint_ids_print_as_they_are_read(number: int) -> None:
    text = format_endpoint_id(number)
    assert parse_endpoint_id(text) == number and len(text) == 22


@pytest.mark.parametrize(
    "text", ["vpce-1", "vpce-10000000000000000", "vpce-0AAAAAAAAAAAAAAA1", "eni-0", -1, 2**64, True]
)
def test_what_is_no_endpoint_id(text: object) -> None:
    with pytest.raises(ValueError, match="no endpoint id"):
        parse_endpoint_id(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Portal.Corp.Example.", "portal.corp.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("_sip._tcp.example", "_sip._tcp.example"),
        ("portal", "portal"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_domain_names_become_one_form(text: str, name: str) -> None:
    assert parse_dns_name(text) == name


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a.example", "a b", "a" * 64, "*.example", "a/b", ".".join(["a" * 60] * 5)]
)
def test_what_is_no_domain_name(text: str) -> None:
    with pytest.raises(ValueError):
        parse_dns_name(text)


def test_patterns_have_their_star_in_front_only() -> None:
    assert parse_dns_pattern("*.Bad.Example.") == "*.bad.example"
    for text in ("*", "*.", "a.*.example", "*a.example", "**.example"):
        with pytest.raises(ValueError):
            parse_dns_pattern(text)


@pytest.mark.parametrize(
    ("text", "low", "high"), [(443, 443, 443), ("443", 443, 443), ("1024-65535", 1024, 65535)]
)
def test_port_ranges(text: object, low: int, high: int) -> None:
    ports = PortRange.parse(text)
    assert (ports.low, ports.high) == (low, high) and low in ports and high + 1 not in ports
    assert PortRange.parse(str(ports)) == ports


@pytest.mark.parametrize("text", [-1, 65536, "9-1", "1-65536", "", "a", True, 4.5, None, "1-2-3", "٣"])
def test_what_is_no_port_range(text: object) -> None:
    with pytest.raises(ValueError, match="no port"):
        PortRange.parse(text)


@given(
    value=st.one_of(
        st.text(max_size=40), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text())
    )
)
@settings(max_examples=200, deadline=None)
def test_any_value_is_read_or_is_a_value_error(value: object) -> None:
    for parse in PARSERS:
        try:
            parse(value)
        except ValueError as error:
            assert str(error)
