"""What every package and module has: a docstring, stubs, sorted names, and no trace of the machine it was made on."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from .sources import FASTPATH, ROOT, ZCC, python_files

SOURCES = [*python_files(ROOT / "src", ROOT / "bench", ROOT / "tools"), *sorted(FASTPATH.glob("*.pyx"))]
# Home folders, temporary folders of one run, and work trees; /tmp alone is a place that a program may name.
MACHINE = re.compile(r"/(?:work|home|root|Users)/[\w.]+|/tmp/\w+")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_modules_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text)) if path.suffix == ".py" else re.match(r'\s*"""', text)
    assert docstring


@pytest.mark.parametrize("folder", sorted({path.parent for path in python_files(ROOT / "src")}), ids=place)
def test_folders_of_sources_are_packages(folder: Path) -> None:
    assert (folder / "__init__.py").exists()


@pytest.mark.parametrize("path", sorted(FASTPATH.glob("*.pyx")), ids=place)
def test_compiled_modules_have_a_contract_and_a_stub(path: Path) -> None:
    assert path.with_suffix(".pxd").exists()
    # A module of cdef leaves only has nothing that Python could see.
    offers = re.search(r"^(?:def|class|cpdef|cdef class)\b", path.read_text(), re.MULTILINE)
    assert path.with_suffix(".pyi").exists() or not offers


def test_contracts_and_stubs_are_in_the_wheel_and_sources_are_not() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"*.pxd", "*.pyi", "py.typed"} <= set(tools["package-data"]["fastpath"])
    assert {"*.pyx", "*.c"} <= set(tools["exclude-package-data"]["fastpath"])


@pytest.mark.parametrize("path", python_files(ROOT / "src"), ids=place)
def test_all_is_sorted_and_exists(path: Path) -> None:
    tree = ast.parse(path.read_text())
    listed = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and [getattr(target, "id", "") for target in node.targets] == ["__all__"]
    ]
    for value in listed:
        names = ast.literal_eval(value)
        assert names == sorted(names, key=natural) and len(names) == len(set(names))


def natural(name: str) -> tuple[int, str]:
    """Ruff's order: constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def tracked_files() -> list[Path]:
    """The repository's text files; in a source distribution, all files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()] or SOURCES


def test_no_file_names_a_path_of_one_machine() -> None:
    wrong = []
    for path in tracked_files():
        if path == Path(__file__) or b"\0" in (data := path.read_bytes()):
            continue
        wrong += [f"{place(path)}: {found}" for found in MACHINE.findall(data.decode(errors="replace"))]
    assert not wrong


def test_the_readme_s_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^make (\w+)", readme, re.MULTILINE)) <= targets
    cli = (ZCC / "cli.py").read_text()
    for command in set(re.findall(r"^\| `zcc ([\w-]+)`", readme, re.MULTILINE)):
        assert f'"{command}"' in cli, f"zcc {command} is in the README and not in the command line"


def test_the_readme_s_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{place(path)}: {target}"


def test_the_version_is_in_one_piece() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'__version__ = "{version}"' in (ZCC / "__init__.py").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "systemd").glob("*.service")), ids=place)
def test_units_start_a_role_and_drop_privileges(path: Path) -> None:
    unit, role = path.read_text(), path.stem.removeprefix("zcc-")
    assert f"ExecStart=/usr/bin/zcc {role} --config /etc/zcc/{role}.yaml\n" in unit
    assert "Type=notify\n" in unit and "NoNewPrivileges=yes\n" in unit
    [bounding] = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    own = {"CAP_NET_RAW", "CAP_BPF"} if role == "connector" else set()      # until its sockets are open (zcc.privileges)
    allowed = {"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"} | own
    assert set(bounding.split()) <= allowed
