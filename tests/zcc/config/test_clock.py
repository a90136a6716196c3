"""Clocks and the service manager's datagrams."""

import socket
from pathlib import Path

import pytest

from zcc import notify
from zcc.clock import Clock, ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(monotonic_ns=5, time=100.0)
    clock.advance(1.5)
    assert (clock.monotonic_ns(), clock.time()) == (1_500_000_005, 101.5)
    with pytest.raises(ValueError, match="seconds"):
        clock.advance(-1)


def test_both_clocks_fit_the_protocol() -> None:
    clocks: list[Clock] = [SystemClock(), ManualClock()]
    assert all(isinstance(clock.monotonic_ns(), int) and clock.time() > 1e9 for clock in clocks)


def test_notify_sends_one_datagram_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.ready()
        notify.status("two\nlines")
        notify.watchdog()
        notify.stopping()
        received = [manager.recv(100) for _ in range(4)]
    assert received == [b"READY=1", b"STATUS=two lines", b"WATCHDOG=1", b"STOPPING=1"]


def test_notify_reaches_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an abstract name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + manager.getsockname()[1:].decode())
        assert notify.send("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_notify_without_a_manager_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.send("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify.send("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [("", "", None), ("0", "", None), ("20000000", "", 10.0), ("20000000", "1", None), ("x", "", None)],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    usec: str, pid: str, interval: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_interval_s() == interval
