"""zcc.private_edge.settings: what is wrong is said at its field."""

from typing import Any

import pytest
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
        ({"colour": "blue"}, ("colour",), "Extra"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(change: dict[str, Any], place: tuple[object, ...], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PrivateEdgeSettings.model_validate(FILE | change)
    [problem] = refused.value.errors()
    assert problem["loc"] == place and words in problem["msg"]
