"""The roles' own files: what an operator would write is right, and slips in it are told at their place."""

import pytest

from zcc.config import parse
from zcc.errors import ConfigurationError

from .examples import CONNECTOR, EXAMPLES, PRIVATE_EDGE


@pytest.mark.parametrize("role", sorted(EXAMPLES))
def test_the_example_of_a_role_is_right(role: str) -> None:
    settings = parse(EXAMPLES[role].encode(), "f", role)
    assert settings.model_dump()["name"]


@pytest.mark.parametrize("role", sorted(EXAMPLES))
def test_settings_are_frozen_and_hashable_as_json(role: str) -> None:
    settings = parse(EXAMPLES[role].encode(), "f")
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "other"  # type: ignore[attr-defined]
    settings.model_dump_json()


@pytest.mark.parametrize(
    ("role", "old", "new", "line", "field"),
    [
        pytest.param("connector", "method: ZPA", "method: ZPX", 23, "rules[0].method", id="method"),
        pytest.param(
            "connector",
            "applications: [portal]",
            "applications: [crm]",
            23,
            "rules[0].applications[0]",
            id="rule names an unknown application",
        ),
        pytest.param(
            "connector",
            "namespace: co2",
            "namespace: co3",
            13,
            "endpoints[1].namespace",
            id="endpoint names an unknown namespace",
        ),
        pytest.param(
            "connector", "{name: co2, id: 2}", "{name: co2, id: 1}", 9, "namespaces[1].id", id="id twice"
        ),
        pytest.param("connector", "10.254.0.0/19}", "10.254.0.0/33}", 17, "zpa.pool", id="network"),
        pytest.param("connector", "ttl: 60s", "ttl: 1 minute", 28, "dns.ttl", id="duration"),
        pytest.param(
            "private-edge", "tcp: [80, 443]", "tcp: [80, 99999]", 8, "applications[0].tcp[1]", id="port"
        ),
        pytest.param("app-connector", "networks:", "network:", 7, "network", id="unknown field"),
        pytest.param("internet-edge", "[10.9.0.11,", "[10.9.0,", 7, "nat.addresses[0]", id="address"),
    ],
)
def test_a_slip_is_told_with_its_line_and_field(role: str, old: str, new: str, line: int, field: str) -> None:
    assert old in EXAMPLES[role]
    with pytest.raises(ConfigurationError) as caught:
        parse(EXAMPLES[role].replace(old, new).encode(), "f")
    assert (line, field) in [(problem.line, problem.field) for problem in caught.value.problems]


def test_a_file_of_another_role_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="zcc private-edge --config f"):
        parse(PRIVATE_EDGE.encode(), "f", "connector")


def test_duplicate_sections_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="dns: is given twice; first on line 28"):
        parse((CONNECTOR + "dns: {ttl: 5s}\n").encode(), "f")
