"""The zia: section."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from zcc.itunnel.settings import TunnelSettings

EDGE = {"name": "ie-1", "address": "10.0.4.11:443"}


def test_defaults_move_flows_in_time() -> None:
    settings = TunnelSettings.model_validate({"edges": [EDGE]})
    assert settings.probe_interval * (settings.probe_lost + 1) <= timedelta(seconds=5)
    assert (settings.fail, settings.inner_mtu) == ("closed", 8500)


@pytest.mark.parametrize(("change", "said"), [
    ({"edges": []}, "edges"),
    ({"edges": [EDGE, EDGE]}, "name of its own"),
    ({"edges": [{"name": "x", "address": "edge.example:443"}]}, "address"),
    ({"edges": [EDGE], "probe_interval": "2s"}, "5s"),
    ({"edges": [EDGE], "probe_interval": "1ms"}, "20ms"),
    ({"edges": [EDGE], "fail": "maybe"}, "fail"),
    ({"edges": [EDGE], "inner_mtu": 500}, "inner_mtu"),
    ({"edges": [EDGE], "inner_mtu": 8501}, "8500"),          # GWLB would drop it on its way back
    ({"edges": [EDGE], "mode": "udp"}, "mode"),
    ({"edges": [EDGE], "renew": {"age": "1s"}}, "10s to 168h"),
    ({"edges": [EDGE], "renew": {"records": 1 << 29}}, "records"),
    ({"edges": [EDGE], "renew": {"records": 10}}, "records"),
])
def test_mistakes_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TunnelSettings.model_validate(change)
