"""`zcc status`: the connector's parts in words, over its socket."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.zcc.connector.fakes import CONNECTOR
from typer.testing import CliRunner

from zcc.cli import app
from zcc.connector.local_socket import NAME, LocalSocket
from zcc.connector.settings import ConnectorSettings
from zcc.connector.status import Status
from zcc.errors import ZccError
from zcc.itunnel.client import EdgeStatus
from zcc.policy.stances import GatewayDown

SETTINGS = ConnectorSettings.model_validate({
    **CONNECTOR,
    "zia": {"edges": [{"name": "ie-1", "address": "10.0.4.11:443"}, {"name": "ie-2", "address": "10.0.4.12:443"}]},
    "direct": {"address": "10.1.200.111"}, "pools": [{"name": "second", "network": "10.9.0.0/24"}],
    "gateways": [{"name": "near", "primary": "ie-2", "secondary": "ie-1"},
                 {"name": "lone", "primary": "ie-2", "fail": "open"}]})


class Tunnels:
    """ie-1 is up, ie-2 down."""

    def status(self) -> list[EdgeStatus]:
        return [EdgeStatus("ie-1", "10.0.4.11:443", "up", True, 1.5, 4, 4, "", "DTLS", 1492, 1399, "complete", 0, 3),
                EdgeStatus("ie-2", "10.0.4.12:443", "down", False, 0.0, 0, 0, "no answer")]

    def gateways(self) -> dict[str, tuple[str, ...]]:
        return {"": ("ie-1", "ie-2"), "near": ("ie-2", "ie-1"), "lone": ("ie-2",)}

    def active(self, name: str) -> str | None:
        return None if name == "lone" else "ie-1"


def status(tunnels: Tunnels | None) -> Status:
    edits = SimpleNamespace(settings=SETTINGS, failures=frozenset({GatewayDown("lone")}))
    edge = SimpleNamespace(connected=False, edge=None, round_trip_ns=0, last_error="refused")
    return Status(edits, SimpleNamespace(counters=lambda: SimpleNamespace(flows=1234)), tunnels, edge)


@pytest.fixture
def socket(tmp_path: Path):
    """A connector's socket, served by a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    local = LocalSocket(tmp_path / NAME, {"status": status(Tunnels()).tell})
    asyncio.run_coroutine_threadsafe(local.start(), loop).result(10)
    yield tmp_path / NAME
    asyncio.run_coroutine_threadsafe(local.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_every_gateway_is_told_with_its_edges_and_the_one_in_use(socket):
    run = CliRunner().invoke(app, ["status", "--socket", str(socket), "--json"])
    told = json.loads(run.output)
    assert told["gateways"] == [
        {"name": "", "edges": ["ie-1", "ie-2"], "active": "ie-1", "fail": "closed"},
        {"name": "near", "edges": ["ie-2", "ie-1"], "active": "ie-1", "fail": "closed"},
        {"name": "lone", "edges": ["ie-2"], "active": None, "fail": "open"}]
    assert told["failures"] == ["no edge of gateway lone is up"] and told["flows"] == 1234
    assert (told["internet_edges"][0]["path_mtu"], told["internet_edges"][0]["renewals"]) == (1492, 3)
    assert told["pools"] == {"default": "10.254.0.0/19", "second": "10.9.0.0/24"}


def test_it_reads_as_a_table(socket):
    out = CliRunner().invoke(app, ["status", "--socket", str(socket)]).output
    assert "failed: no edge of gateway lone is up" in out and "private edge: not connected; last failure: refused" in out
    lone = next(line for line in out.splitlines() if "lone" in line and "ie-2" in line)
    assert "DIRECT" in lone and "open" in lone
    assert "second 10.9.0.0/24" in out
    edge = next(line for line in out.splitlines() if "10.0.4.11:443" in line)
    assert "DTLS" in edge and "1492 (complete)" in edge and "1399" in edge


def test_a_connector_without_internet_edges_has_none_to_tell():
    told = asyncio.run(status(None).tell({}))
    assert told["gateways"] == told["internet_edges"] == []


def test_nobody_there_is_an_error_with_the_place(tmp_path):
    run = CliRunner().invoke(app, ["status", "--socket", str(tmp_path / "none")])
    assert isinstance(run.exception, ZccError) and "does a connector run here" in str(run.exception)
