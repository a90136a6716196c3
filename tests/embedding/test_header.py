"""fastpath.h and libfastpath say the same, and the library is a plain one: nothing of Python in it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import fastpath
from fastpath.flowtable import FlowState, TimeoutClass

from .library import DECLARATIONS, FUNCTIONS, HEADER, ffi, lib, text

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libasan.so.8", "libubsan.so.1"}
ERRORS = ("OK", "EINVAL", "ENOMEM", "ENOENT", "EEXIST", "EFULL", "EROOM")


def symbols(option: str) -> set[str]:
    done = subprocess.run(
        ["nm", "-D", option, fastpath.get_library()], capture_output=True, text=True, check=True, timeout=30
    )
    return {line.split()[-1].partition("@")[0] for line in done.stdout.splitlines()}


def dynamic_section() -> str:
    done = subprocess.run(
        ["readelf", "-d", fastpath.get_library()], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def test_the_library_exports_what_the_header_declares_and_nothing_else() -> None:
    assert symbols("--defined-only") - {"FASTPATH_1"} == set(FUNCTIONS)


def test_the_library_needs_nothing_of_python() -> None:
    undefined = symbols("--undefined-only")
    assert undefined and not {name for name in undefined if re.match("_?Py", name)}
    assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic_section())) <= SYSTEM


def test_the_soname_carries_the_interface_s_version() -> None:
    [version] = re.findall(r"#define FASTPATH_API_VERSION (\d+)", HEADER.read_text())
    assert f"[libfastpath.so.{version}]" in dynamic_section()
    assert lib.fastpath_api_version() == int(version)


def test_the_version_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ffi.string(lib.fastpath_version()).decode() == project["version"]


def test_every_function_is_described() -> None:
    """A comment stands right before each declaration, or before the one of the other family."""
    code = re.sub(r"/\*.*?\*/", "/**/", HEADER.read_text(), flags=re.DOTALL)
    blocks = [block for block in code.split("\n\n") if "FASTPATH_API " in block and "#define" not in block]
    undescribed = [block for block in blocks if "/**/" not in block]
    assert undescribed == ["FASTPATH_API void fastpath_flows_free(fastpath_flows **flows);"]


def test_reasons_are_python_s_drop_reasons() -> None:
    reasons = ffi.typeof("enum fastpath_reason").relements
    for name, value in reasons.items():
        assert fastpath.DropReason["DROP_" + name.removeprefix("FASTPATH_")] == value
    decoders = re.compile("DROP_(GENEVE|GWLB|PACKET)_")
    wanted = {reason.value for reason in fastpath.DropReason if decoders.match(reason.name)}
    assert set(reasons.values()) == wanted - {fastpath.DropReason.DROP_GWLB_ENDPOINT_UNKNOWN}


def test_numbers_are_python_s_too() -> None:
    def same(prefix: str, there: str, python) -> None:
        for member in python:
            name = f"FASTPATH_{prefix}{member.name.removeprefix(there)}"
            if hasattr(lib, name):
                assert getattr(lib, name) == member.value, name

    same("TIMEOUT_", "TIMEOUT_", TimeoutClass)
    same("FLOW_", "FLOW_", FlowState)
    same("FRAGMENT_", "FRAGMENT_", fastpath.Fragment)
    same("DIRECTION_", "DIRECTION_", fastpath.Direction)
    assert len(TimeoutClass) == lib.FASTPATH_TIMEOUTS
    assert {name for name in re.findall(r"FASTPATH_FLOW_\w+", DECLARATIONS)} == {
        f"FASTPATH_{name}" for name in ("FLOW_SEEN_REPLY", "FLOW_FIN_FORWARD", "FLOW_FIN_REVERSE", "FLOW_RESET",
                                           "FLOW_ACKNOWLEDGED")
    }


@pytest.mark.parametrize("kind", ["fastpath_error", "fastpath_reason"])
def test_every_result_has_a_text_of_its_own(kind: str) -> None:
    results = ffi.typeof(f"enum {kind}").relements.values()
    texts = {text(result) for result in results}
    assert len(texts) == len(results) and "unknown" not in texts


@pytest.mark.parametrize("result", [-(1 << 31), -7, 8, 15, (1 << 31) - 1])
def test_other_numbers_have_no_text(result: int) -> None:
    assert text(result) == "unknown"


def test_the_structures_have_no_gaps() -> None:
    """What is not named is not cleared by everybody: every byte belongs to a member."""
    for name in re.findall(r"struct (fastpath_\w+) \{", DECLARATIONS):
        kind = ffi.typeof(f"struct {name}")
        assert sum(ffi.sizeof(field.type) for _, field in kind.fields) == ffi.sizeof(kind), name
