"""The four streams of an agent and what every record carries."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from zcc.clock import ManualClock
from zcc.telemetry.logs import KINDS, Logs
from zcc.telemetry.settings import LogSettings


def test_each_kind_has_its_file_and_common_fields(tmp_path: Path) -> None:
    logs = Logs(LogSettings(directory=tmp_path), "cc-1", group="g", role="connector", clock=ManualClock())
    logs.session(clt_src_ip=IPv4Address("10.8.6.4"), clt_tx_bytes=7, rdrrulename="apps")
    logs.dns(dom_str="portal.corp.example", req_action="RES_ZPA")
    logs.tunnel(event="UP", destvip="10.0.4.11")
    logs.event(event_name="SVC_HEALTH_CHK", severity="INFO")
    logs.close()
    read = {kind: json.loads((tmp_path / f"{kind}.jsonl").read_text()) for kind in KINDS}
    for kind, record in read.items():
        assert record["log"] == kind and record["vm_name"] == "cc-1" and record["group_name"] == "g"
        assert record["connector_type"] == "connector" and record["time"] == "2023-11-14T22:13:20.000+00:00"
    assert read["session"]["clt_src_ip"] == "10.8.6.4" and read["session"]["clt_tx_bytes"] == 7
    assert (logs.written, logs.lost) == (4, 0)


def test_a_restarted_agent_numbers_its_records_above_the_old_ones(tmp_path: Path) -> None:
    clock = ManualClock()
    for _ in range(2):
        logs = Logs(LogSettings(directory=tmp_path), "cc-1", clock=clock)
        logs.event(event_name="CTL_PLANE")
        logs.close()
        clock.advance(0.001)
    numbers = [json.loads(line)["recordid"] for line in (tmp_path / "event.jsonl").read_text().splitlines()]
    assert numbers[0] < numbers[1]


def test_without_a_folder_one_stream_on_stdout_carries_all(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs(LogSettings(), "cc-1")
    logs.session(reason="DROP")
    logs.dns(dom_str="a")
    logs.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["log"] for line in lines] == ["session", "dns"]
    assert lines[1]["recordid"] == lines[0]["recordid"] + 1 and "group_name" not in lines[0]
