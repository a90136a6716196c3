"""The Cython example builds from the installed .pxd files alone, and counts as the Python classes do."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastpath
from fastpath.batch import PacketBatch
from fastpath.flowkey import Secret, build_batch
from fastpath.flowtable import FlowTable
from fastpath.packet import parse_batch
from inner_packets import tcp, udp

from .compiler import EXAMPLES, SANITIZED, run

SEED = bytes(range(32))
pytestmark = pytest.mark.skipif(
    SANITIZED, reason="the compiler does not run with the sanitizers loaded, nor the package without: the release build's job")


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The extension, built in a folder of its own."""
    folder = tmp_path_factory.mktemp("cython")
    for source in (EXAMPLES / "cython").iterdir():
        shutil.copy(source, folder)
    done = run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob("meter.*.so")
    spec = importlib.util.spec_from_file_location("meter", built)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = "# cython: language_level=3\n"       # and no other directive: a host has its own


def test_every_pxd_can_be_cimported_by_a_host_with_its_own_directives(tmp_path: Path) -> None:
    folder = Path(fastpath.get_include()).parent
    names = sorted(path.stem for path in folder.glob("*.pxd"))
    (tmp_path / "every.pyx").write_text(PLAIN + "".join(f"from fastpath cimport {name}\n" for name in names))
    done = run([sys.executable, "-m", "cython", "every.pyx"], cwd=tmp_path)
    assert len(names) > 50 and (done.returncode, done.stderr) == (0, "")


def test_the_tables_without_python_are_compiled_into_a_host(tmp_path: Path) -> None:
    (tmp_path / "routes_here.pyx").write_text(PLAIN + """
from libc.stdint cimport uint64_t
from fastpath.lpmtable cimport Table, close_table, insert_prefix, lookup4, open_table

def ask(unsigned int address):
    cdef Table* table = open_table(32, 7)
    insert_prefix(table, <uint64_t> 0x0A000000 << 32, 0, 8, 9)
    found = lookup4(table, address)
    close_table(table)
    return found
""")
    build = "from Cython.Build import cythonize; from setuptools import setup; setup(ext_modules=cythonize('routes_here.pyx'))"
    done = run([sys.executable, "-c", build, "-q", "build_ext", "--inplace"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = "import routes_here; print(routes_here.ask(0x0A010203), routes_here.ask(1))"
    assert run([sys.executable, "-c", asked], cwd=tmp_path).stdout == "9 7\n"


def loaded(packets: list[bytes]) -> PacketBatch:
    batch = PacketBatch(256, 2048)
    n = batch.load(packets)
    batch.inner_start[:n], batch.inner_length[:n] = batch.start[:n], batch.length[:n]
    return batch


def packets(n: int) -> list[bytes]:
    """Both directions of some flows, and one packet in ten broken."""
    random = np.random.default_rng(n)
    made = []
    for kind, port in random.integers(0, 40, (n, 2)).tolist():
        ends = ("10.0.0.1", "192.0.2.1") if kind % 2 else ("192.0.2.1", "10.0.0.1")
        ports = (1000 + port, 443) if kind % 2 else (443, 1000 + port)
        packet = (tcp if port % 3 else udp)(*ends, *ports)
        made.append(packet[:19] if kind % 10 == 0 else packet)
    return made


def test_the_extension_counts_as_the_classes_do(meter: ModuleType) -> None:
    ours, table, secret = meter.Meter(1000, SEED), FlowTable(1000), Secret(SEED)
    broken = 0
    for now_ns in range(1, 6):
        some = packets(200 + now_ns)
        batch = loaded(some)
        alive = parse_batch(batch)
        broken += len(some) - alive
        build_batch(batch, secret)
        table.lookup_batch(batch)
        table.insert_misses(batch, now_ns)
        table.account_batch(batch, now_ns)
        assert ours.count(loaded(some), now_ns) == alive
    assert (ours.broken, ours.refused, len(ours.table)) == (broken, 0, len(table))

    def counted(flows: FlowTable) -> list[dict]:
        entries = flows.entries_view
        return sorted(map(str, entries[entries["used"] != 0][["hash", "packets", "bytes", "state"]].tolist()))

    assert counted(ours.table) == counted(table)


def test_a_full_table_refuses_and_says_so(meter: ModuleType) -> None:
    ours = meter.Meter(2, SEED)
    assert ours.count(loaded([udp("10.0.0.1", "192.0.2.1", port, 53) for port in (1, 2, 3, 1)]), 1) == 3
    assert (ours.refused, ours.top(5)) == (1, [(66, 1, 53), (33, 2, 53)])
