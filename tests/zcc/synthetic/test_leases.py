"""zcc.synthetic.leases: a copy that survives, never contradicts itself, and is replaced when it is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.errors import LedgerError
from zcc.synthetic.lease import Lease
from zcc.synthetic.leases import LeaseCache

WRITER = """
import sys
from ipaddress import IPv4Address
from pathlib import Path
from zcc.synthetic.lease import Lease
from zcc.synthetic.leases import LeaseCache
cache = LeaseCache(Path(sys.argv[1]))
for number in range(1_000_000):
    lease = Lease(name=f"n{number}.example", address=IPv4Address(0x0A000000 + number), application="a", ttl=60)
    cache.put("co1", lease, 0.0)
    print(number, flush=True)
"""


def lease(name: str, last: int, application: str = "app") -> Lease:
    return Lease(name=name, address=IPv4Address(f"10.254.0.{last}"), application=application, ttl=60)


def test_leases_are_there_after_a_restart(tmp_path: Path) -> None:
    cache = LeaseCache(tmp_path / "state" / "leases")
    cache.put("co1", lease("a.example", 2), 100.0)
    cache.put("", lease("b.example", 3), 101.0)
    cache.close()
    again = LeaseCache(tmp_path / "state" / "leases")
    found = again.get("co1", "a.example")
    assert found is not None and found.lease == lease("a.example", 2)
    assert found.fresh(159.9) and not found.fresh(160.0) and not found.fresh(99.0)
    assert again.get("co2", "a.example") is None
    at = again.at(IPv4Address("10.254.0.3"))
    assert at is not None and at.lease.name == "b.example" and at.namespace == ""
    again.close()


def test_what_contradicts_a_newer_lease_is_forgotten(tmp_path: Path) -> None:
    cache = LeaseCache(tmp_path / "leases")
    cache.put("co1", lease("a.example", 2), 0.0)
    cache.put("co2", lease("a.example", 2, "other"), 1.0)
    cache.put("co1", lease("b.example", 2), 2.0)
    assert [cached.lease.name for cached in cache] == ["b.example"]
    cache.put("co2", lease("b.example", 9), 3.0)
    assert [str(cached.lease.address) for cached in cache] == ["10.254.0.9"]
    cache.forget("co2", "b.example")
    cache.forget("co2", "b.example")
    assert len(cache) == 0 and cache.at(IPv4Address("10.254.0.9")) is None
    cache.close()
    assert len(LeaseCache(tmp_path / "leases")) == 0


@settings(max_examples=40, deadline=None)
@given(damage=st.binary(min_size=1, max_size=300), at=st.integers(0, 20_000))
def test_a_damaged_file_is_set_aside_or_still_right(tmp_path_factory: pytest.TempPathFactory, damage: bytes,
                                                    at: int) -> None:
    path = tmp_path_factory.mktemp("leases") / "leases"
    cache = LeaseCache(path)
    for number in range(2, 50):
        cache.put("co1", lease(f"n{number}.example", number), 0.0)
    cache.close()
    with path.open("r+b") as file:
        file.seek(min(at, path.stat().st_size))
        file.write(damage)
    again = LeaseCache(path)
    again.put("co1", lease("after.example", 200), 1.0)
    assert again.get("co1", "after.example") is not None
    again.close()


def test_a_file_that_is_no_database_is_kept_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    for number in (1, 2):
        path.write_bytes(b"garbage " * 200)
        cache = LeaseCache(path)
        assert len(cache) == 0
        cache.close()
        assert (tmp_path / f"leases.broken-{number}").read_bytes() == b"garbage " * 200


def test_a_place_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="able to write"):
        LeaseCache(tmp_path / "file" / "leases")


def test_leases_survive_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        promised = 0
        while promised < 100:
            promised = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    cache = LeaseCache(path)
    assert all(cache.get("co1", f"n{number}.example") for number in range(promised + 1))
    cache.close()


def test_a_name_has_a_lease_in_each_pool(tmp_path: Path) -> None:
    cache = LeaseCache(tmp_path / "leases")
    second = Lease(name="a.example", address=IPv4Address("10.9.0.2"), application="app", ttl=60, pool="second", keeps=100)
    for one in (lease("a.example", 2), second, lease("a.example", 3)):
        cache.put("co1", one, 10.0)
    cache.close()
    again = LeaseCache(tmp_path / "leases")
    assert sorted(str(cached.lease.address) for cached in again) == ["10.254.0.3", "10.9.0.2"]
    found = again.get("co1", "a.example", "second")
    assert found is not None and found.lease == second
    assert [found.safe_s(now) for now in (9.0, 10.0, 60.0, 110.0, 200.0)] == [0, 100, 50, 0, 0]
    again.forget("co1", "a.example", "second")
    assert again.get("co1", "a.example", "second") is None and again.get("co1", "a.example") is not None
    again.close()
