"""zcc.private_edge.settings: what is wrong is said at its field."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from zcc.private_edge.settings import PrivateEdgeSettings

IDENTITY = {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"}
APPLICATION = {"name": "a", "domains": ["*.Corp.example."], "tcp": [80, "8000-8100"], "app_connector_group": "dc1"}
FILE = {"name": "pe-1", "state": "/var/lib/zcc", "identity": IDENTITY, "listen": "10.0.3.10:443",
        "applications": [APPLICATION], "access": [{"name": "all", "action": "allow"}]}


def test_a_whole_file_becomes_final_types() -> None:
    settings = PrivateEdgeSettings.model_validate(FILE)
    assert settings.applications[0].domains == ("*.corp.example",)
    assert 8050 in settings.applications[0].tcp[1]
    assert str(settings.pool) == "10.254.0.0/19"


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"pool": "10.0.0.0/30"}, ("pool",), "too small"),
        ({"applications": [APPLICATION, APPLICATION]}, ("applications", 1, "name"), "twice"),
        ({"access": [{"name": "x", "action": "allow", "applications": ["b"]}]},
         ("access", 0, "applications", 0), "does not exist"),
        ({"access": [{"name": "x", "action": "maybe"}]}, ("access", 0, "action"), "allow"),
        ({"applications": [APPLICATION | {"tcp": []}]}, ("applications", 0), "at least one"),
        ({"ledger": {"idle": "1h", "renew": "1h"}}, ("ledger",), "twice renew"),
        ({"pools": [{"name": "b", "network": "10.254.16.0/24"}]}, ("pools", 0, "network"),
         "overlaps 10.254.0.0/19 of pool 'default'"),
        ({"pools": [{"name": "b", "network": "10.9.0.0/24"}, {"name": "c", "network": "10.9.0.0/25"}]},
         ("pools", 1, "network"), "overlaps 10.9.0.0/24 of pool 'b'"),
        ({"pools": [{"name": "default", "network": "10.9.0.0/24"}]}, ("pools", 0, "name"), "twice"),
        ({"pools": [{"name": "b", "network": "10.9.0.0/30"}]}, ("pools", 0, "network"), "too small"),
        ({"pools": [{"name": "b", "network": "10.9.0.0/24", "idle": "1h"}]}, ("pools", 0), "twice renew"),
        ({"pools": [{"name": "b", "network": "10.9.0.0/24", "quarantine": "0s"}]}, ("pools", 0, "quarantine"), "greater"),
        ({"ledger": {"quarantine": "0s"}}, ("ledger",), "1s or more"),
        ({"colour": "blue"}, ("colour",), "Extra"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(change: dict[str, Any], place: tuple[object, ...], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PrivateEdgeSettings.model_validate(FILE | change)
    [problem] = refused.value.errors()
    assert problem["loc"] == place and words in problem["msg"]


def test_a_pool_takes_what_it_does_not_say_from_the_ledger_s_settings() -> None:
    settings = PrivateEdgeSettings.model_validate(FILE | {
        "pools": [{"name": "b", "network": "10.9.0.0/24", "idle": "24h", "reserved_share": 0}],
        "ledger": {"quarantine": "2h", "renew": "10m", "reserved_share": 0.5}})
    default, other = settings.ledger_pools()
    assert (default.name, default.reserved_share, default.quarantine_s, default.idle_s) == ("default", 0.5, 7200, 604_800)
    assert (other.name, other.reserved_share, other.quarantine_s, other.idle_s, other.renew_s) == ("b", 0, 7200, 86_400, 600)


def test_the_example_in_docs_is_taken() -> None:
    document = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()
    [text] = re.findall(r"```yaml private-edge\n(.*?)```", document, re.DOTALL)
    settings = PrivateEdgeSettings.model_validate(FILE | yaml.safe_load(text))
    assert [pool.name for pool in settings.ledger_pools()] == ["default", "aws-1", "partners"]
