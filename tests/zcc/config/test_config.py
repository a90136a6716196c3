"""Settings from files: each kind of mistake with its line, its field and what is allowed; all at once."""

import json
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal, Self

import pytest
from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from zcc import config
from zcc.config import ROLES, load, parse, schema, validate
from zcc.document import read_document
from zcc.errors import ConfigurationError
from zcc.fields import DnsPattern, Duration, EndpointId, HostPort, PortRange, Settings
from zcc.telemetry.settings import LogSettings, MetricSettings


class Rule(Settings):
    name: str = Field(description="shown in logs")
    method: Literal["ZIA", "DROP"]
    ports: tuple[PortRange, ...] = ()
    destinations: tuple[IPv4Network | DnsPattern, ...] = ()
    application: str = ""


class Small(Settings):
    name: str
    logs: LogSettings = LogSettings()
    metrics: MetricSettings | None = None
    listen: HostPort = HostPort(IPv4Address("10.0.0.1"), 443)
    wait: Duration = timedelta(seconds=90)
    endpoint: EndpointId | None = None
    known: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = Field(default=(), max_length=3)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError("x", "no such application"), loc=("rules", i, "application")
            )
            for i, rule in enumerate(self.rules)
            if rule.application and rule.application not in self.known
        ]
        if wrong:
            raise ValidationError.from_exception_data("Small", wrong)
        if self.wait > timedelta(hours=1):
            raise ValueError("wait is longer than an hour; allowed: up to 1h")
        return self


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        validate(read_document(text.encode(), "f"), Small)
    return str(caught.value).splitlines()


def test_a_right_file_becomes_final_types() -> None:
    text = "name: a\nwait: 5m\nlisten: '[::1]:53'\nrules: [{name: r, method: ZIA, ports: [80, 8000-8100]}]\n"
    settings = validate(read_document(text.encode(), "f"), Small)
    assert isinstance(settings, Small) and settings.wait == timedelta(minutes=5)
    assert settings.listen.port == 53 and settings.rules[0].ports == (
        PortRange(80, 80),
        PortRange(8000, 8100),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("wait: 1s\n", "f:1: name: missing", id="missing"),
        pytest.param(
            "name: a\nrules:\n- {name: r, method: ZIA}\n-\n  method: ZIA\n",
            "f:5: rules[1].name: missing; allowed: shown in logs",
            id="missing in a list item",
        ),
        pytest.param(
            "name: a\nmetrics: {port: 9}\n", "f:2: metrics.address: missing", id="missing in an optional part"
        ),
        pytest.param(
            "name: a\nnmae: b\n", "f:2: nmae: unknown field; did you mean name?; allowed: name,", id="unknown"
        ),
        pytest.param(
            "name: a\nmetrics:\n  address: 10.0.0.1\n  prot: 9\n  port: 9\n",
            "f:4: metrics.prot: unknown field; did you mean port?; allowed: address, port",
            id="unknown inside",
        ),
        pytest.param("name: a\nzzz: b\n", "f:2: zzz: unknown field; allowed: name,", id="nothing near"),
        pytest.param("name: 5\n", "f:1: name: 5: should be text; put it in quotes", id="number for text"),
        pytest.param("name:\n", "f:1: name: empty: should be text", id="empty"),
        pytest.param("name: a\nlogs: 5\n", "f:2: logs: 5: should be a mapping of fields", id="no mapping"),
        pytest.param("name: a\nrules: ZIA\n", "f:2: rules: 'ZIA': should be a list", id="no list"),
        pytest.param(
            "name: a\nlogs: {level: loud}\n",
            "f:2: logs.level: 'loud': should be 'debug', 'info', 'warning' or 'error'",
            id="choice",
        ),
        pytest.param(
            "name: a\nwait: soon\n", "f:2: wait: 'soon' is no duration; allowed: 250ms", id="duration"
        ),
        pytest.param(
            "name: a\nlisten: 10.0.0.1\n",
            "f:2: listen: '10.0.0.1' is no address with port; allowed",
            id="address without port",
        ),
        pytest.param(
            "name: a\nlisten: web:443\n", "f:2: listen: 'web:443' is no address with port", id="host name"
        ),
        pytest.param(
            "name: a\nendpoint: vpce-1\n", "f:2: endpoint: 'vpce-1' is no endpoint id", id="endpoint"
        ),
        pytest.param(
            "name: a\nmetrics: {address: 10.0.0.1, port: 70000}\n",
            "f:2: metrics.port: 70000: should be less than or equal to 65535",
            id="range",
        ),
        pytest.param(
            "name: a\nmetrics: {address: ten, port: 9}\n",
            "f:2: metrics.address: 'ten': is not a valid IPv4 address or is not a valid IPv6 address",
            id="union",
        ),
        pytest.param(
            "name: a\nrules: [{name: r, method: ZIA, ports: [9-1]}]\n",
            "f:2: rules[0].ports[0]: '9-1' is no port range; allowed",
            id="item of an item",
        ),
        pytest.param(
            "name: a\nrules:\n- name: r\n  method: DROP\n  application: crm\n",
            "f:5: rules[0].application: no such application",
            id="between fields, with a place",
        ),
        pytest.param(
            "name: a\nwait: 2h\n",
            "f:1: wait is longer than an hour; allowed: up to 1h",
            id="between fields, without a place",
        ),
        pytest.param("- name\n", "f:1: ['name']: should be a mapping of fields", id="a list as a file"),
        pytest.param(f"name: {'[' * 3}{'x' * 90}{']' * 3}\n", "…: should be text", id="long values are cut"),
    ],
)
def test_a_mistake_says_line_field_and_what_is_allowed(text: str, expected: str) -> None:
    [line] = problems(text)
    assert line.startswith(expected) or (expected.startswith("…") and expected in line)


def test_all_mistakes_come_at_once_in_the_order_of_their_lines() -> None:
    text = "name: a\nrules:\n- method: ZIX\n  name: 7\n- foo\nwait: x\nwait: 3s\nlogs: {levle: info}\n"
    places = [line.split(": ")[0] + " " + line.split(": ")[1] for line in problems(text)]
    assert places == [
        "f:3 rules[0].method",
        "f:4 rules[0].name",
        "f:5 rules[1]",
        "f:6 wait",
        "f:7 wait",
        "f:8 logs.levle",
    ]


def test_a_union_of_networks_and_names_says_both() -> None:
    [line] = problems("name: a\nrules: [{name: r, method: ZIA, destinations: ['bad..example']}]\n")
    assert "destinations[0]" in line and " or " in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1: empty, or not a mapping"),
        ("name: a\n", "f:1: role: missing; allowed: connector, private-edge"),
        ("\nrole: conector\n", "f:2: role: 'conector' is unknown; did you mean connector?"),
        (
            "role: internet-edge\n",
            "f:1: role: this file is for internet-edge; run: zcc internet-edge --config f",
        ),
        ("role: a: b\n", "f:1: not YAML"),
    ],
)
def test_the_role_is_checked_before_anything_is_imported(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "settings_class", None)
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "f", "connector")
    assert str(caught.value).startswith(message) and len(caught.value.problems) == 1


def test_a_class_without_a_role_field_accepts_the_file_s_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "settings_class", lambda role: Small)
    assert parse(b"role: connector\nname: a\n", "f") == Small(name="a")


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file") as caught:
        load(tmp_path / "absent.yaml")
    assert caught.value.exit_code == 2


def test_the_schema_names_the_role_and_prints_defaults_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "settings_class", lambda role: Small)
    made = schema("connector")
    assert (
        made["properties"]["role"] == {"const": "connector", "title": "Role"} and "role" in made["required"]
    )
    assert (
        made["properties"]["wait"]["default"] == "90s"
        and made["properties"]["listen"]["default"] == "10.0.0.1:443"
    )
    assert made["additionalProperties"] is False
    json.dumps(made)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_the_schema_in_docs_is_current(role: str) -> None:
    path = Path(__file__).parents[3] / "docs" / "schema" / f"{role}.json"
    assert json.loads(path.read_text()) == schema(role), "run: make schema"
